//! Streams that go on with another agent when one is lost, and miss nothing and repeat nothing. Where no agent finds a majority of the
//! voters they keep trying, and say for whom they wait.

use std::time::Duration;

use model::{RolloutId, ServiceName};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{Status, Streaming};

use super::{
    Address, Attempt, Client, ClientError,
    error::{Meaning, meaning},
    source::{EventsSource, Quorum, Source, WatchSource},
};
use crate::view::{Cursor, EventItem, WatchItem};

/// Shortest pause after all agents were asked in vain.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Time between two words on what is waited for, while they stay the same.
const WORD: Duration = Duration::from_secs(10);
/// How long no agent may answer before that is said.
const FIRST: Duration = Duration::from_secs(2);
/// Least time between two words that differ: agents in turn miss different others.
const NEWS: Duration = Duration::from_secs(5);

/// What to do when there is no quorum.
const QUORUM_NEXT: &str =
    "the rollout goes on once a majority of the voters is back; `deployinator status` names who is missing";

/// What comes next from a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// A message.
    Item(T),
    /// An agent was lost; the stream goes on with another one, if one is found.
    Lost(Attempt),
    /// Nobody can say how it goes at present; the stream keeps trying.
    Waits(Waits),
}

/// Why nobody can say how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Who is missing, in words.
    pub reason: String,
    /// How long it has lasted.
    pub lasted: Duration,
    /// How much longer the stream keeps trying; none when it does not give up by itself.
    pub left: Option<Duration>,
}

/// One rollout, followed to its end.
pub struct Watch(Resuming<WatchSource>);

/// What happens, in order.
pub struct Events(Resuming<EventsSource>);

impl Client {
    /// Follows `rollout`, or the one under way, or else the last one, from the event after `after`.
    #[must_use]
    pub fn watch(&self, service: &ServiceName, rollout: Option<RolloutId>, after: Option<Cursor>) -> Watch {
        Watch(Resuming::new(self.clone(), WatchSource { service: service.clone(), rollout, after }))
    }

    /// What happened after `after`, to `service` or to everything; with `follow`, what happens next as well.
    #[must_use]
    pub fn events(&self, service: Option<&ServiceName>, after: Option<Cursor>, follow: bool) -> Events {
        Events(Resuming::new(self.clone(), EventsSource { service: service.cloned(), follow, after }))
    }
}

impl Watch {
    /// Never gives up by itself once an agent has answered: the caller does.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.0.gives_up = false;
        self
    }

    /// The next message; none after the last, which is [`WatchItem::Ended`]. Not to be cancelled and called again in
    /// quick succession, as a connection that is being made is then given up.
    ///
    /// # Errors
    /// Refused, or no agent with a quorum takes the stream up for as long as patience lasts. Nothing follows an error.
    pub async fn next(&mut self) -> Result<Option<Step<WatchItem>>, ClientError> {
        self.0.next().await
    }
}

impl Events {
    /// The next message; none after the last one that is kept, unless the stream follows.
    ///
    /// # Errors
    /// As of [`Watch::next`].
    pub async fn next(&mut self) -> Result<Option<Step<EventItem>>, ClientError> {
        self.0.next().await
    }
}

/// A stream that goes on with another agent.
pub(super) struct Resuming<S: Source> {
    client: Client,
    source: S,
    open: Option<(usize, Streaming<S::Message>)>,
    /// When that was opened.
    opened: Instant,
    /// Whether an agent has ever taken the stream up. Until then a wrong address is more likely than a fleet that is away.
    taken_up: bool,
    /// Whether patience has an end.
    gives_up: bool,
    /// Since when nobody can say how it goes, and why.
    quiet: Option<Quiet>,
    /// Until when the present agent may go without a quorum.
    turn_ends: Option<Instant>,
    pause: Duration,
    over: bool,
}

/// Nobody can say how it goes.
struct Quiet {
    since: Instant,
    /// Who is missing, in words, and who says so; none while no agent answers.
    no_quorum: Option<(Address, String)>,
    /// What came of the last round of asking.
    attempts: Vec<Attempt>,
    /// What was said last, and when.
    said: Option<(Instant, String)>,
}

impl Quiet {
    fn reason(&self) -> String {
        match &self.no_quorum {
            Some((_, reason)) => reason.clone(),
            None => {
                let tries =
                    self.attempts.iter().map(|attempt| format!("{}: {}", attempt.address, attempt.reason));
                format!("no agent answers: {}", tries.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

impl<S: Source> Resuming<S> {
    pub(super) fn new(client: Client, source: S) -> Self {
        Self {
            client,
            source,
            open: None,
            opened: Instant::now(),
            taken_up: false,
            gives_up: true,
            quiet: None,
            turn_ends: None,
            pause: PAUSE,
            over: false,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step<S::Item>>, ClientError> {
        loop {
            if self.over {
                return Ok(None);
            }
            if let Some(waits) = self.word()? {
                return Ok(Some(Step::Waits(waits)));
            }
            let Some((agent, stream)) = &mut self.open else {
                self.reopen().await?;
                continue;
            };
            let agent = *agent;
            let message = match self.turn_ends {
                Some(end) => timeout_at(end, stream.message()).await,
                None => Ok(stream.message().await),
            };
            match message {
                Err(_) => self.pass_on(agent),
                Ok(Ok(Some(message))) => {
                    if let Some(item) = self.take(agent, message)? {
                        return Ok(Some(Step::Item(item)));
                    }
                }
                Ok(Ok(None)) if self.source.may_end() => self.over = true,
                Ok(Ok(None)) => {
                    return self.lose(agent, &Status::unavailable("the agent ended the stream")).map(Some);
                }
                Ok(Err(status)) => return self.lose(agent, &status).map(Some),
            }
        }
    }

    /// Reads a message. What was seen before is passed over.
    fn take(&mut self, agent: usize, message: S::Message) -> Result<Option<S::Item>, ClientError> {
        let item = S::Item::try_from(message).map_err(|source| {
            self.over = true;
            ClientError::Malformed {
                attempted: self.source.attempted(),
                address: self.address(agent),
                source,
            }
        })?;
        match S::quorum(&item) {
            Quorum::There => (self.quiet, self.turn_ends) = (None, None),
            Quorum::Missing(stale) => {
                let from = (self.address(agent), format!("no quorum: {}", stale.reason));
                self.quiet().no_quorum = Some(from);
                // Another agent may see a quorum.
                self.turn_ends.get_or_insert(Instant::now() + self.client.agents.patience.stream);
            }
            // What an agent without a quorum knows is old, and proves none.
            Quorum::NotSaid if self.turn_ends.is_none() => self.quiet = None,
            Quorum::NotSaid => (),
        }
        let Some(item) = self.source.note(item) else { return Ok(None) };
        self.over = S::is_last(&item);
        Ok(Some(item))
    }

    fn address(&self, agent: usize) -> Address {
        self.client.agents.address(agent).clone()
    }

    fn quiet(&mut self) -> &mut Quiet {
        self.quiet.get_or_insert_with(|| Quiet {
            since: Instant::now(),
            no_quorum: None,
            attempts: Vec::new(),
            said: None,
        })
    }

    /// What is to be said about the wait, if it is time for that; an error when patience is over.
    fn word(&mut self) -> Result<Option<Waits>, ClientError> {
        let patience = self.patience();
        let Some(quiet) = &mut self.quiet else { return Ok(None) };
        let lasted = quiet.since.elapsed();
        if patience.is_some_and(|patience| patience <= lasted) {
            self.over = true;
            return Err(self.gave_up(lasted));
        }
        // An agent that starts again is soon back.
        let is_short = quiet.no_quorum.is_none() && (quiet.attempts.is_empty() || lasted < FIRST);
        if !self.taken_up || is_short {
            return Ok(None);
        }
        let reason = quiet.reason();
        let pause = |said: &str| if said == reason { WORD } else { NEWS };
        if quiet.said.as_ref().is_some_and(|(at, said)| at.elapsed() < pause(said)) {
            return Ok(None);
        }
        quiet.said = Some((Instant::now(), reason.clone()));
        Ok(Some(Waits { reason, lasted, left: patience.map(|patience| patience.saturating_sub(lasted)) }))
    }

    fn patience(&self) -> Option<Duration> {
        let patience = &self.client.agents.patience;
        match (self.taken_up, self.gives_up) {
            (false, _) => Some(patience.stream),
            (true, true) => Some(patience.quorum),
            (true, false) => None,
        }
    }

    fn gave_up(&mut self, lasted: Duration) -> ClientError {
        let attempted = self.source.attempted();
        let quiet = self.quiet();
        match &quiet.no_quorum {
            Some((address, reason)) => ClientError::NoQuorum {
                attempted,
                address: address.clone(),
                reason: format!("{reason}; waited {} s for it", lasted.as_secs()),
                next: Some(QUORUM_NEXT.into()),
            },
            None => ClientError::Unreachable { attempted, attempts: quiet.attempts.clone() },
        }
    }

    /// An election is over by the next turn, or another agent sees the quorum that this one does not.
    fn pass_on(&mut self, agent: usize) {
        self.turn_ends = None;
        if 1 < self.client.agents.count() {
            self.open = None;
            self.client.agents.avoid(agent);
        } else {
            self.turn_ends = Some(Instant::now() + self.client.agents.patience.stream);
        }
    }

    fn lose(&mut self, agent: usize, status: &Status) -> Result<Step<S::Item>, ClientError> {
        // A stream that was silent for long was there all the same: patience begins anew.
        if self.turn_ends.is_none() && self.client.agents.patience.stream < self.opened.elapsed() {
            self.quiet = None;
        }
        (self.open, self.turn_ends) = (None, None);
        self.quiet();
        let attempt = self.failed(agent, status)?;
        Ok(Step::Lost(attempt))
    }

    /// What a failed try comes to; an error when the answer is no.
    fn failed(&mut self, agent: usize, status: &Status) -> Result<Attempt, ClientError> {
        self.client.agents.avoid(agent);
        match meaning(status) {
            Meaning::TryNext { reason, no_quorum, .. } => {
                if no_quorum {
                    let from = (self.address(agent), reason.clone());
                    self.quiet().no_quorum = Some(from);
                }
                Ok(self.client.agents.attempt(agent, reason))
            }
            Meaning::No { reason, exit, next } => {
                self.over = true;
                let (attempted, address) = (self.source.attempted(), self.address(agent));
                Err(ClientError::Refused { attempted, address, reason, exit, next })
            }
        }
    }

    /// Opens the stream with the first agent that takes it; asks every agent once, and pauses when none does.
    async fn reopen(&mut self) -> Result<(), ClientError> {
        let round_ends = Instant::now() + self.client.agents.patience.stream;
        self.quiet();
        let mut attempts = Vec::new();
        for agent in self.client.agents.in_turn() {
            let left = round_ends.saturating_duration_since(Instant::now());
            match self.try_open(agent, left).await? {
                Ok(stream) => {
                    self.client.agents.prefer(agent);
                    (self.open, self.opened) = (Some((agent, stream)), Instant::now());
                    (self.taken_up, self.pause) = (true, PAUSE);
                    self.quiet().attempts.clear();
                    return Ok(());
                }
                Err(attempt) => attempts.push(attempt),
            }
        }
        let quiet = self.quiet();
        quiet.attempts = attempts;
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    async fn try_open(
        &mut self,
        agent: usize,
        left: Duration,
    ) -> Result<Result<Streaming<S::Message>, Attempt>, ClientError> {
        if left.is_zero() {
            return Ok(Err(self.client.agents.attempt(agent, "not tried, as the time was up")));
        }
        let wire = match self.client.agents.connect(agent, left).await {
            Ok(wire) => wire,
            Err(attempt) => {
                self.client.agents.avoid(agent);
                return Ok(Err(attempt));
            }
        };
        let opened = timeout(left, self.source.open(wire)).await;
        let status = match opened {
            Ok(Ok(stream)) => return Ok(Ok(stream)),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer to the call"),
        };
        self.failed(agent, &status).map(Err)
    }
}
