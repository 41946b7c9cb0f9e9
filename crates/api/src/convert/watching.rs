//! What the streams carry, and the answer to a push.

use model::{Revision, RolloutId};

use super::{
    Invalid, all, all_named, each, maybe, maybe_named, needed, read,
    rollouts::{read_verdict, write_verdict},
};
use crate::{
    v1::{self, events_response, watch_response},
    view::{Ended, EventItem, History, Pushed, Stale, WatchItem},
};

impl From<WatchItem> for v1::WatchResponse {
    fn from(item: WatchItem) -> Self {
        use watch_response::Item;
        Self {
            item: Some(match item {
                WatchItem::Event(event) => Item::Event(event.into()),
                WatchItem::Gap(gap) => Item::Gap(gap.into()),
                WatchItem::Picture(status) => Item::Picture((*status).into()),
                WatchItem::Ended(ended) => Item::Ended(ended.into()),
            }),
        }
    }
}

impl TryFrom<v1::WatchResponse> for WatchItem {
    type Error = Invalid;
    fn try_from(wire: v1::WatchResponse) -> Result<Self, Invalid> {
        use watch_response::Item;
        Ok(match needed("item", wire.item)? {
            Item::Event(event) => Self::Event(read("event", Some(event))?),
            Item::Gap(gap) => Self::Gap(read("gap", Some(gap))?),
            Item::Picture(status) => Self::Picture(Box::new(read("picture", Some(status))?)),
            Item::Ended(ended) => Self::Ended(read("ended", Some(ended))?),
        })
    }
}

impl From<EventItem> for v1::EventsResponse {
    fn from(item: EventItem) -> Self {
        use events_response::Item;
        Self {
            item: Some(match item {
                EventItem::Event(event) => Item::Event(event.into()),
                EventItem::Gap(gap) => Item::Gap(gap.into()),
            }),
        }
    }
}

impl TryFrom<v1::EventsResponse> for EventItem {
    type Error = Invalid;
    fn try_from(wire: v1::EventsResponse) -> Result<Self, Invalid> {
        use events_response::Item;
        Ok(match needed("item", wire.item)? {
            Item::Event(event) => Self::Event(read("event", Some(event))?),
            Item::Gap(gap) => Self::Gap(read("gap", Some(gap))?),
        })
    }
}

impl From<Ended> for v1::Ended {
    fn from(ended: Ended) -> Self {
        let (outcome, superseded_by) = write_verdict(&ended.verdict);
        let (rollback, verdict) = ended.rollback.map_or((None, None), |(id, verdict)| (Some(id), verdict));
        Self {
            rollout: ended.rollout.0,
            outcome,
            exit_code: u32::from(ended.verdict.exit_code()),
            rollback: rollback.map(|rollback| rollback.0),
            rollback_outcome: verdict.as_ref().map(|verdict| write_verdict(verdict).0),
            superseded_by,
            reason: ended.reason,
            next: ended.next,
            failures: each(ended.failures),
        }
    }
}

impl TryFrom<v1::Ended> for Ended {
    type Error = Invalid;
    fn try_from(wire: v1::Ended) -> Result<Self, Invalid> {
        let verdict = |word| read_verdict("rollback_outcome", word, None);
        let rollback_verdict = wire.rollback_outcome.map(verdict).transpose()?;
        Ok(Self {
            rollout: RolloutId(wire.rollout),
            verdict: read_verdict("outcome", wire.outcome, wire.superseded_by)?,
            rollback: wire.rollback.map(|rollback| (RolloutId(rollback), rollback_verdict)),
            reason: wire.reason,
            next: wire.next,
            failures: all("failures", wire.failures)?,
        })
    }
}

impl From<Pushed> for v1::PushResponse {
    fn from(pushed: Pushed) -> Self {
        Self {
            rollout: pushed.rollout.0,
            joined: pushed.joined,
            release: pushed.release.map(Into::into),
            after: pushed.after.map(Into::into),
        }
    }
}

impl TryFrom<v1::PushResponse> for Pushed {
    type Error = Invalid;
    fn try_from(wire: v1::PushResponse) -> Result<Self, Invalid> {
        Ok(Self {
            rollout: RolloutId(wire.rollout),
            joined: wire.joined,
            release: maybe("release", wire.release)?,
            after: wire.after.map(Into::into),
        })
    }
}

impl From<History> for v1::HistoryResponse {
    fn from(history: History) -> Self {
        let stale = history.stale.is_some();
        let Stale { reason, missing } = history.stale.unwrap_or_default();
        Self {
            rollouts: each(history.rollouts),
            stale,
            stale_reason: reason,
            missing: each(missing),
            answered_by: history.answered_by.map(Into::into).unwrap_or_default(),
            revision: history.revision.0,
        }
    }
}

impl TryFrom<v1::HistoryResponse> for History {
    type Error = Invalid;
    fn try_from(wire: v1::HistoryResponse) -> Result<Self, Invalid> {
        let missing = all_named("missing", &wire.missing)?;
        let answered_by = Some(wire.answered_by.as_str()).filter(|name| !name.is_empty());
        Ok(Self {
            rollouts: all("rollouts", wire.rollouts)?,
            answered_by: maybe_named("answered_by", answered_by)?,
            revision: Revision(wire.revision),
            stale: wire.stale.then_some(Stale { reason: wire.stale_reason, missing }),
        })
    }
}
