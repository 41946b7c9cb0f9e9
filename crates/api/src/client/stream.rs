//! Streams that go on with another agent when one is lost, and miss nothing and repeat nothing.

use std::time::Duration;

use model::{RolloutId, ServiceName};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{Status, Streaming, transport::Channel};

use super::{
    Address, Attempt, Client, ClientError,
    error::{Meaning, meaning},
};
use crate::{
    convert::Invalid,
    v1::{self, deployinator_client::DeployinatorClient as Wire},
    view::{Cursor, EventItem, WatchItem},
};

/// Shortest pause after all agents were asked in vain.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Most agents in a row that may go without a quorum before a stream ends.
const STALE_TIMES_LIMIT: usize = 3;
/// What to do when there is no quorum.
const QUORUM_NEXT: &str =
    "the rollout goes on once a majority of the voters is back; `status` names who is missing";

/// What comes next from a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// A message.
    Item(T),
    /// An agent was lost; the stream goes on with another one, if one is found.
    Lost(Attempt),
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
    /// The next message; none after the last, which is [`WatchItem::Ended`]. Not to be cancelled and called again in
    /// quick succession, as a connection that is being made is then given up.
    ///
    /// # Errors
    /// Refused, or no agent takes the stream up. Nothing follows an error.
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

/// What differs between the streams: what is asked for, and where in it the client is.
pub(super) trait Source {
    type Message: 'static;
    type Item: TryFrom<Self::Message, Error = Invalid>;

    fn attempted(&self) -> String;
    /// Asks for what comes after the last item that was noted.
    async fn open(&self, wire: Wire<Channel>) -> Result<Streaming<Self::Message>, Status>;
    /// Whether an agent may end the stream without a last message.
    fn may_end(&self) -> bool;
    fn is_last(item: &Self::Item) -> bool;
    /// Takes note of where the client is now. What it has seen before is left out of the item, or the whole item is.
    fn note(&mut self, item: Self::Item) -> Option<Self::Item>;
    /// What the item says about the quorum: nothing, that there is one, or why there is none.
    fn quorum(item: &Self::Item) -> Option<Result<(), String>>;
}

/// Whether a client that has seen everything up to `after` has not seen this, and now has.
fn is_new(after: &mut Option<Cursor>, cursor: Cursor) -> bool {
    let is_new = after.is_none_or(|after| after < cursor);
    if is_new {
        *after = Some(cursor);
    }
    is_new
}

struct WatchSource {
    service: ServiceName,
    rollout: Option<RolloutId>,
    after: Option<Cursor>,
}

impl Source for WatchSource {
    type Message = v1::WatchResponse;
    type Item = WatchItem;

    fn attempted(&self) -> String {
        match self.rollout {
            Some(rollout) => format!("watch {rollout} of {}", self.service),
            None => format!("watch {}", self.service),
        }
    }

    async fn open(&self, mut wire: Wire<Channel>) -> Result<Streaming<Self::Message>, Status> {
        let (rollout, after) = (self.rollout.map(|rollout| rollout.0), self.after.map(Into::into));
        let request = v1::WatchRequest { service: self.service.to_string(), rollout, after };
        Ok(wire.watch(request).await?.into_inner())
    }

    fn may_end(&self) -> bool {
        false
    }

    fn is_last(item: &WatchItem) -> bool {
        matches!(item, WatchItem::Ended(_))
    }

    fn note(&mut self, item: WatchItem) -> Option<WatchItem> {
        // "The one under way" must not become another one with the next agent.
        if let (None, WatchItem::Picture(status)) = (self.rollout, &item) {
            let here = status.services.iter().find(|service| service.service == self.service);
            self.rollout = here.and_then(|here| here.active.as_ref()).map(|active| active.id);
        }
        let is_new = match &item {
            WatchItem::Event(event) => is_new(&mut self.after, event.cursor),
            _ => true,
        };
        is_new.then_some(item)
    }

    fn quorum(item: &WatchItem) -> Option<Result<(), String>> {
        let WatchItem::Picture(status) = item else { return None };
        Some(status.stale.as_ref().map_or(Ok(()), |stale| Err(stale.reason.clone())))
    }
}

struct EventsSource {
    service: Option<ServiceName>,
    follow: bool,
    after: Option<Cursor>,
}

impl Source for EventsSource {
    type Message = v1::EventsResponse;
    type Item = EventItem;

    fn attempted(&self) -> String {
        self.service.as_ref().map_or_else(|| "events".to_owned(), |service| format!("events of {service}"))
    }

    async fn open(&self, mut wire: Wire<Channel>) -> Result<Streaming<Self::Message>, Status> {
        let service = self.service.as_ref().map(ToString::to_string);
        let request = v1::EventsRequest { service, after: self.after.map(Into::into), follow: self.follow };
        Ok(wire.events(request).await?.into_inner())
    }

    fn may_end(&self) -> bool {
        !self.follow
    }

    fn is_last(_: &EventItem) -> bool {
        false
    }

    fn note(&mut self, item: EventItem) -> Option<EventItem> {
        let is_new = match &item {
            EventItem::Event(event) => is_new(&mut self.after, event.cursor),
            EventItem::Gap(_) => true,
        };
        is_new.then_some(item)
    }

    fn quorum(_: &EventItem) -> Option<Result<(), String>> {
        None
    }
}

/// A stream that goes on with another agent.
pub(super) struct Resuming<S: Source> {
    client: Client,
    source: S,
    open: Option<(usize, Streaming<S::Message>)>,
    /// When that was opened.
    opened: Instant,
    /// Since when no agent has sent anything, or has kept the stream open for long.
    lost: Option<Instant>,
    /// Until when the agent may go without a quorum, and why it has none.
    stale: Option<(Instant, String)>,
    /// How often that time has passed since there was a quorum.
    stale_times: usize,
    over: bool,
}

impl<S: Source> Resuming<S> {
    pub(super) fn new(client: Client, source: S) -> Self {
        let opened = Instant::now();
        Self { client, source, open: None, opened, lost: None, stale: None, stale_times: 0, over: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step<S::Item>>, ClientError> {
        loop {
            if self.over {
                return Ok(None);
            }
            let Some((agent, stream)) = &mut self.open else {
                self.reopen().await?;
                continue;
            };
            let agent = *agent;
            let message = match &self.stale {
                Some((end, _)) => timeout_at(*end, stream.message()).await,
                None => Ok(stream.message().await),
            };
            let Ok(message) = message else { return self.lose_without_quorum(agent).map(Some) };
            match message {
                Ok(Some(message)) => {
                    self.lost = None;
                    if let Some(item) = self.take(agent, message)? {
                        return Ok(Some(Step::Item(item)));
                    }
                }
                Ok(None) if self.source.may_end() => self.over = true,
                Ok(None) => {
                    return self.lose(agent, &Status::unavailable("the agent ended the stream")).map(Some);
                }
                Err(status) => return self.lose(agent, &status).map(Some),
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
        let Some(item) = self.source.note(item) else { return Ok(None) };
        self.over = S::is_last(&item);
        match S::quorum(&item) {
            Some(Ok(())) => (self.stale, self.stale_times) = (None, 0),
            Some(Err(reason)) => {
                let end = self.stale.take().map_or(Instant::now() + self.patience(), |(end, _)| end);
                self.stale = Some((end, reason));
            }
            None => (),
        }
        Ok(Some(item))
    }

    fn address(&self, agent: usize) -> Address {
        self.client.agents.address(agent).clone()
    }

    fn patience(&self) -> Duration {
        self.client.agents.patience.stream
    }

    /// Another agent may see a quorum; an election is over by the next time. After that, nobody can say how it goes.
    fn lose_without_quorum(&mut self, agent: usize) -> Result<Step<S::Item>, ClientError> {
        let reason = self.stale.take().map(|(_, reason)| reason).unwrap_or_default();
        self.stale_times += 1;
        if self.client.agents.count().clamp(2, STALE_TIMES_LIMIT) <= self.stale_times {
            self.over = true;
            let (attempted, address) = (self.source.attempted(), self.address(agent));
            let reason = format!("no quorum: {reason}");
            return Err(ClientError::NoQuorum { attempted, address, reason, next: Some(QUORUM_NEXT.into()) });
        }
        self.open = None;
        self.client.agents.avoid(agent);
        Ok(Step::Lost(self.client.agents.attempt(agent, format!("no quorum: {reason}"))))
    }

    fn lose(&mut self, agent: usize, status: &Status) -> Result<Step<S::Item>, ClientError> {
        self.open = None;
        // A stream that was silent for long was there all the same: patience begins anew.
        if self.patience() < self.opened.elapsed() {
            self.lost = None;
        }
        self.lost.get_or_insert_with(Instant::now);
        let attempt = self.failed(agent, status)?;
        Ok(Step::Lost(attempt))
    }

    /// What a failed try comes to; an error when the answer is no.
    fn failed(&mut self, agent: usize, status: &Status) -> Result<Attempt, ClientError> {
        self.client.agents.avoid(agent);
        match meaning(status) {
            Meaning::TryNext { reason, .. } => Ok(self.client.agents.attempt(agent, reason)),
            Meaning::No { reason, exit, next } => {
                self.over = true;
                let (attempted, address) = (self.source.attempted(), self.address(agent));
                Err(ClientError::Refused { attempted, address, reason, exit, next })
            }
        }
    }

    /// Opens the stream with the first agent that takes it, for as long as patience lasts.
    async fn reopen(&mut self) -> Result<(), ClientError> {
        let end = *self.lost.get_or_insert_with(Instant::now) + self.patience();
        let mut pause = PAUSE;
        loop {
            let mut attempts = Vec::new();
            for agent in self.client.agents.in_turn() {
                let left = end.saturating_duration_since(Instant::now());
                match self.try_open(agent, left).await? {
                    Ok(stream) => {
                        self.client.agents.prefer(agent);
                        (self.open, self.opened) = (Some((agent, stream)), Instant::now());
                        return Ok(());
                    }
                    Err(attempt) => attempts.push(attempt),
                }
            }
            if end <= Instant::now() + pause {
                self.over = true;
                return Err(ClientError::Unreachable { attempted: self.source.attempted(), attempts });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
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
