//! What differs between the streams.

use model::{RolloutId, ServiceName};
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    convert::Invalid,
    v1::{self, deployinator_client::DeployinatorClient as Wire},
    view::{self, Cursor, EventItem, Stale, WatchItem},
};

/// One kind of stream: what is asked for, and where in it the client is.
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
    /// What the item says about the quorum.
    fn quorum(item: &Self::Item) -> Quorum;
}

/// Whether a client that has seen everything up to `after` has not seen this, and now has.
fn is_new(after: &mut Option<Cursor>, cursor: Cursor) -> bool {
    let is_new = after.is_none_or(|after| after < cursor);
    if is_new {
        *after = Some(cursor);
    }
    is_new
}

pub(super) struct WatchSource {
    pub(super) service: ServiceName,
    pub(super) rollout: Option<RolloutId>,
    pub(super) after: Option<Cursor>,
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
            self.rollout = here.and_then(|here| here.active.as_ref()).map(view::followed);
        }
        let is_new = match &item {
            WatchItem::Event(event) => is_new(&mut self.after, event.cursor),
            _ => true,
        };
        is_new.then_some(item)
    }

    fn quorum(item: &WatchItem) -> Quorum {
        match item {
            WatchItem::Picture(status) => status.stale.clone().map_or(Quorum::There, Quorum::Missing),
            WatchItem::Event(_) | WatchItem::Gap(_) | WatchItem::Ended(_) => Quorum::NotSaid,
        }
    }
}

pub(super) struct EventsSource {
    pub(super) service: Option<ServiceName>,
    pub(super) follow: bool,
    pub(super) after: Option<Cursor>,
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

    fn quorum(_: &EventItem) -> Quorum {
        Quorum::NotSaid
    }
}

/// What a message says about the quorum.
pub(super) enum Quorum {
    NotSaid,
    There,
    /// There is none, and why.
    Missing(Stale),
}
