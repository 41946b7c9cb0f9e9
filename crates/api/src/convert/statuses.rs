//! How a cluster is now.

use std::time::Duration;

use model::{Revision, RolloutId, time::WallTime};

use super::{
    Invalid, all, all_named, each, maybe, maybe_named, millis, named, needed, read,
    types::migration_state,
    words::{Word, maybe_word},
};
use crate::{
    v1,
    view::{
        ChangeStatus, ChannelStatus, HoldStatus, HostStatus, MigrationStatus, QuarantineStatus,
        ServiceStatus, Slots, Stale, Status,
    },
};

impl From<Status> for v1::StatusResponse {
    fn from(status: Status) -> Self {
        let stale = status.stale.is_some();
        let Stale { reason, missing } = status.stale.unwrap_or_default();
        Self {
            cluster: status.cluster,
            leader: status.leader.map(Into::into),
            revision: status.revision.0,
            answered_by: status.answered_by.into(),
            stale,
            stale_reason: reason,
            missing: each(missing),
            services: each(status.services),
            cursor: Some(status.cursor.into()),
        }
    }
}

impl TryFrom<v1::StatusResponse> for Status {
    type Error = Invalid;
    fn try_from(wire: v1::StatusResponse) -> Result<Self, Invalid> {
        let missing = all_named("missing", &wire.missing)?;
        Ok(Self {
            cluster: wire.cluster,
            leader: maybe_named("leader", wire.leader.as_deref())?,
            revision: Revision(wire.revision),
            answered_by: named("answered_by", &wire.answered_by)?,
            stale: wire.stale.then_some(Stale { reason: wire.stale_reason, missing }),
            services: all("services", wire.services)?,
            cursor: needed("cursor", wire.cursor)?.into(),
        })
    }
}

impl From<ServiceStatus> for v1::ServiceStatus {
    fn from(status: ServiceStatus) -> Self {
        Self {
            service: status.service.into(),
            policy: Some(status.policy.into()),
            active: status.active.map(Into::into),
            next: status.next.map(Into::into),
            completed: status.completed.map(Into::into),
            quarantine: each(status.quarantine),
            migrations: each(status.migrations),
            holds: each(status.holds),
            hosts: each(status.hosts),
            slots: Some(v1::Slots { limit: status.slots.limit, holders: each(status.slots.holders) }),
            migration_lock: status.migration_lock.map(Into::into),
            mixed: status.mixed,
            channel: status.channel.map(Into::into),
        }
    }
}

impl TryFrom<v1::ServiceStatus> for ServiceStatus {
    type Error = Invalid;
    fn try_from(wire: v1::ServiceStatus) -> Result<Self, Invalid> {
        let slots = needed("slots", wire.slots)?;
        Ok(Self {
            service: named("service", &wire.service)?,
            policy: read("policy", wire.policy)?,
            active: maybe("active", wire.active)?,
            next: maybe("next", wire.next)?,
            completed: maybe("completed", wire.completed)?,
            quarantine: all("quarantine", wire.quarantine)?,
            migrations: all("migrations", wire.migrations)?,
            holds: all("holds", wire.holds)?,
            hosts: all("hosts", wire.hosts)?,
            slots: Slots { limit: slots.limit, holders: all_named("slots.holders", &slots.holders)? },
            migration_lock: maybe("migration_lock", wire.migration_lock)?,
            mixed: wire.mixed,
            channel: maybe("channel", wire.channel)?,
        })
    }
}

impl From<ChannelStatus> for v1::Channel {
    fn from(channel: ChannelStatus) -> Self {
        let ChannelStatus { url, release, refused, trouble } = channel;
        Self { url, release: release.map(Into::into), refused, trouble }
    }
}

impl TryFrom<v1::Channel> for ChannelStatus {
    type Error = Invalid;
    fn try_from(wire: v1::Channel) -> Result<Self, Invalid> {
        let v1::Channel { url, release, refused, trouble } = wire;
        Ok(Self { url, release: maybe_named("release", release.as_deref())?, refused, trouble })
    }
}

impl From<QuarantineStatus> for v1::Quarantine {
    fn from(kept: QuarantineStatus) -> Self {
        let rollout = kept.rollout.map(|rollout| rollout.0);
        Self { release: kept.release.into(), reason: kept.reason, rollout }
    }
}

impl TryFrom<v1::Quarantine> for QuarantineStatus {
    type Error = Invalid;
    fn try_from(wire: v1::Quarantine) -> Result<Self, Invalid> {
        let rollout = wire.rollout.map(RolloutId);
        Ok(Self { release: named("release", &wire.release)?, reason: wire.reason, rollout })
    }
}

impl From<MigrationStatus> for v1::Migration {
    fn from(known: MigrationStatus) -> Self {
        let host = known.host.map(Into::into);
        Self { release: known.release.into(), host, state: Some(known.state.into()) }
    }
}

impl TryFrom<v1::Migration> for MigrationStatus {
    type Error = Invalid;
    fn try_from(wire: v1::Migration) -> Result<Self, Invalid> {
        Ok(Self {
            release: named("release", &wire.release)?,
            host: maybe_named("host", wire.host.as_deref())?,
            state: migration_state(wire.state)?,
        })
    }
}

impl From<HoldStatus> for v1::Hold {
    fn from(hold: HoldStatus) -> Self {
        Self {
            runbook: hold.name.clone(),
            name: hold.name,
            text: hold.text,
            ends_when: hold.ends_when,
            lasted_ms: millis(hold.lasted),
            ends_in_ms: hold.ends_in.map(millis),
            host: hold.host.map(Into::into),
            rollout: hold.rollout.map(|rollout| rollout.0),
        }
    }
}

impl TryFrom<v1::Hold> for HoldStatus {
    type Error = Invalid;
    fn try_from(wire: v1::Hold) -> Result<Self, Invalid> {
        Ok(Self {
            name: wire.name,
            text: wire.text,
            ends_when: wire.ends_when,
            lasted: Duration::from_millis(wire.lasted_ms),
            ends_in: wire.ends_in_ms.map(Duration::from_millis),
            host: maybe_named("host", wire.host.as_deref())?,
            rollout: wire.rollout.map(RolloutId),
        })
    }
}

impl From<HostStatus> for v1::HostStatus {
    fn from(status: HostStatus) -> Self {
        Self {
            host: status.host.into(),
            address: status.address,
            zone: status.zone,
            current: status.current.map(Into::into),
            change: status.change.map(Into::into),
            availability: status.availability.write(),
            counted: status.counted,
            excluded: status.excluded.map(Into::into),
            parked: status.parked.map(Into::into),
            staged: each(status.staged),
            stage_trouble: status.stage_trouble,
            silent_ms: status.silent.map(millis),
            pid: status.pid,
            restarts: status.restarts,
            trouble: status.trouble,
            waits_for: status.waits_for,
            health: status.health.map(Into::into),
            staging: status.staging.map(Into::into),
            last_failure: status.last_failure.map(Into::into),
            part: status.part.map_or(0, Word::write),
        }
    }
}

impl TryFrom<v1::HostStatus> for HostStatus {
    type Error = Invalid;
    fn try_from(wire: v1::HostStatus) -> Result<Self, Invalid> {
        Ok(Self {
            host: named("host", &wire.host)?,
            address: wire.address,
            zone: wire.zone,
            current: maybe("current", wire.current)?,
            change: maybe("change", wire.change)?,
            availability: Word::read("availability", wire.availability)?,
            counted: wire.counted,
            excluded: wire.excluded.map(Into::into),
            parked: wire.parked.map(Into::into),
            staged: all_named("staged", &wire.staged)?,
            stage_trouble: wire.stage_trouble,
            silent: wire.silent_ms.map(Duration::from_millis),
            pid: wire.pid,
            restarts: wire.restarts,
            trouble: wire.trouble,
            waits_for: wire.waits_for,
            health: wire.health.map(Into::into),
            staging: maybe("staging", wire.staging)?,
            last_failure: maybe("last_failure", wire.last_failure)?,
            part: maybe_word("part", wire.part)?,
        })
    }
}

impl From<ChangeStatus> for v1::Change {
    fn from(change: ChangeStatus) -> Self {
        Self {
            fence: Some(change.fence.into()),
            to: change.to.map(Into::into),
            from: change.from.map(Into::into),
            phase: change.phase.write(),
            since_ms: millis(change.since),
            revert: change.revert,
            rollout: change.rollout.map(|rollout| rollout.0),
            park: change.park,
            granted_at_ms: change.granted_at.map(|at| at.0),
        }
    }
}

impl TryFrom<v1::Change> for ChangeStatus {
    type Error = Invalid;
    fn try_from(wire: v1::Change) -> Result<Self, Invalid> {
        Ok(Self {
            fence: needed("fence", wire.fence)?.into(),
            to: maybe("to", wire.to)?,
            from: maybe("from", wire.from)?,
            phase: Word::read("phase", wire.phase)?,
            since: Duration::from_millis(wire.since_ms),
            revert: wire.revert,
            rollout: wire.rollout.map(RolloutId),
            park: wire.park,
            granted_at: wire.granted_at_ms.map(WallTime),
        })
    }
}
