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
        let source = WatchSource { service: service.clone(), rollout };
        Watch(Resuming::new(self.clone(), source, after))
    }

    /// What happened after `after`, to `service` or to everything; with `follow`, what happens next as well.
    #[must_use]
    pub fn events(&self, service: Option<&ServiceName>, after: Option<Cursor>, follow: bool) -> Events {
        let source = EventsSource { service: service.cloned(), follow };
        Events(Resuming::new(self.clone(), source, after))
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

/// What differs between the streams.
trait Source {
    type Message: 'static;
    type Item: TryFrom<Self::Message, Error = Invalid>;

    fn attempted(&self) -> String;
    async fn open(
        &self,
        wire: Wire<Channel>,
        after: Option<Cursor>,
    ) -> Result<Streaming<Self::Message>, Status>;
    /// Whether an agent may end the stream without a last message.
    fn may_end(&self) -> bool;
    fn cursor(item: &Self::Item) -> Option<Cursor>;
    fn is_last(item: &Self::Item) -> bool;
    /// What the item says about what to ask for next time.
    fn learn(&mut self, item: &Self::Item);
    /// What the item says about the quorum: nothing, that there is one, or why there is none.
    fn quorum(item: &Self::Item) -> Option<Result<(), String>>;
}

struct WatchSource {
    service: ServiceName,
    rollout: Option<RolloutId>,
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

    async fn open(
        &self,
        mut wire: Wire<Channel>,
        after: Option<Cursor>,
    ) -> Result<Streaming<Self::Message>, Status> {
        let rollout = self.rollout.map(|rollout| rollout.0);
        let request =
            v1::WatchRequest { service: self.service.to_string(), rollout, after: after.map(Into::into) };
        Ok(wire.watch(request).await?.into_inner())
    }

    fn may_end(&self) -> bool {
        false
    }

    fn cursor(item: &WatchItem) -> Option<Cursor> {
        if let WatchItem::Event(event) = item { Some(event.cursor) } else { None }
    }

    fn is_last(item: &WatchItem) -> bool {
        matches!(item, WatchItem::Ended(_))
    }

    /// "The one under way" must not become another one with the next agent.
    fn learn(&mut self, item: &WatchItem) {
        if let (None, WatchItem::Picture(status)) = (self.rollout, item) {
            let here = status.services.iter().find(|service| service.service == self.service);
            self.rollout = here.and_then(|here| here.active.as_ref()).map(|active| active.id);
        }
    }

    fn quorum(item: &WatchItem) -> Option<Result<(), String>> {
        let WatchItem::Picture(status) = item else { return None };
        Some(status.stale.as_ref().map_or(Ok(()), |stale| Err(stale.reason.clone())))
    }
}

struct EventsSource {
    service: Option<ServiceName>,
    follow: bool,
}

impl Source for EventsSource {
    type Message = v1::EventsResponse;
    type Item = EventItem;

    fn attempted(&self) -> String {
        self.service.as_ref().map_or_else(|| "events".to_owned(), |service| format!("events of {service}"))
    }

    async fn open(
        &self,
        mut wire: Wire<Channel>,
        after: Option<Cursor>,
    ) -> Result<Streaming<Self::Message>, Status> {
        let service = self.service.as_ref().map(ToString::to_string);
        let request = v1::EventsRequest { service, after: after.map(Into::into), follow: self.follow };
        Ok(wire.events(request).await?.into_inner())
    }

    fn may_end(&self) -> bool {
        !self.follow
    }

    fn cursor(item: &EventItem) -> Option<Cursor> {
        if let EventItem::Event(event) = item { Some(event.cursor) } else { None }
    }

    fn is_last(_: &EventItem) -> bool {
        false
    }

    fn learn(&mut self, _: &EventItem) {}

    fn quorum(_: &EventItem) -> Option<Result<(), String>> {
        None
    }
}

struct Resuming<S: Source> {
    client: Client,
    source: S,
    after: Option<Cursor>,
    open: Option<(usize, Streaming<S::Message>)>,
    /// Since when no agent has sent anything.
    lost: Option<Instant>,
    /// Until when the agent may go without a quorum, and why it has none.
    stale: Option<(Instant, String)>,
    /// How often that time has passed since there was a quorum.
    stale_times: usize,
    over: bool,
}

impl<S: Source> Resuming<S> {
    fn new(client: Client, source: S, after: Option<Cursor>) -> Self {
        Self { client, source, after, open: None, lost: None, stale: None, stale_times: 0, over: false }
    }

    async fn next(&mut self) -> Result<Option<Step<S::Item>>, ClientError> {
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

    /// Reads a message. An event that was seen before is passed over.
    fn take(&mut self, agent: usize, message: S::Message) -> Result<Option<S::Item>, ClientError> {
        let item = S::Item::try_from(message).map_err(|source| {
            self.over = true;
            ClientError::Malformed {
                attempted: self.source.attempted(),
                address: self.address(agent),
                source,
            }
        })?;
        if let Some(cursor) = S::cursor(&item) {
            if self.after.is_some_and(|after| cursor <= after) {
                return Ok(None);
            }
            self.after = Some(cursor);
        }
        self.source.learn(&item);
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
                        self.open = Some((agent, stream));
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
        let opened = timeout(left, self.source.open(wire, self.after)).await;
        let status = match opened {
            Ok(Ok(stream)) => return Ok(Ok(stream)),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer to the call"),
        };
        self.failed(agent, &status).map(Err)
    }
}
