//! What people do and what goes wrong.

use std::fmt;

use crate::{HostNo, ServiceNo};

/// A time that something takes, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Length(pub u32);

impl Length {
    /// In milliseconds.
    #[must_use]
    pub(crate) fn ms(self) -> u64 {
        self.0.into()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1000, self.0 % 1000)
    }
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// CI pushes a release.
    Push { service: ServiceNo, release: usize },
    /// CI pushes what was pushed last once more.
    Again { service: ServiceNo },
    /// An operator rolls back.
    Rollback { service: ServiceNo },
    /// An operator restarts.
    Restart { service: ServiceNo },
    /// An operator pauses.
    Pause { service: ServiceNo },
    /// An operator resumes.
    Resume { service: ServiceNo },
    /// An operator aborts.
    Abort { service: ServiceNo, leave: bool },
    /// An operator sets another policy.
    SetPolicy { service: ServiceNo, policy: usize },
    /// An operator breaks the slot of a host, dead or alive.
    BreakSlot { service: ServiceNo, host: HostNo },
    /// An operator breaks the migration lock, whoever has it.
    BreakMigrationLock { service: ServiceNo },
    /// An operator takes a host out of the sum.
    Exclude { service: ServiceNo, host: HostNo },
    /// An operator takes it in again.
    Include { service: ServiceNo, host: HostNo },
    /// An operator drains a host.
    Drain { service: ServiceNo, host: HostNo },
    /// An operator admits it again.
    Admit { service: ServiceNo, host: HostNo },
    /// An operator says how a migration ended: succeeded, failed, or to be tried again.
    Resolve { service: ServiceNo, verdict: u8 },
    /// An operator releases all that is quarantined.
    Unquarantine { service: ServiceNo },
    /// An operator removes a host that is off for good.
    Remove { host: HostNo },
    /// A new host comes up.
    Join,
    /// An agent dies, and is started again.
    AgentDies { host: HostNo, down: Length },
    /// An agent dies before its so many-th effect from now on.
    AgentDiesAt { host: HostNo, effects: u32, down: Length },
    /// A keeper dies.
    KeeperDies { service: ServiceNo, host: HostNo },
    /// A host loses power, and comes back.
    PowerLost { host: HostNo, down: Length },
    /// An agent is frozen.
    AgentFrozen { host: HostNo, length: Length },
    /// A whole host is frozen.
    HostFrozen { host: HostNo, length: Length },
    /// A machine is terminated, and the cloud says so some time later.
    Terminated { host: HostNo, told: Length },
    /// The disk of an agent is full.
    DiskFull { host: HostNo, length: Length },
    /// Nothing comes to a host, and nothing from it.
    CutOff { host: HostNo, length: Length },
    /// Nothing comes to a host.
    Deaf { host: HostNo, length: Length },
    /// Nothing comes from a host.
    Mute { host: HostNo, length: Length },
    /// Two hosts do not hear each other.
    Apart { one: HostNo, other: HostNo, length: Length },
    /// Another host leads; the old leader does not know it for a while.
    AnotherLeads { unaware: Length },
    /// A host sees what is committed late.
    Laggard { host: HostNo, length: Length },
    /// The balancer asks to be asked less.
    Throttled { service: ServiceNo, length: Length },
    /// The balancer answers slowly.
    Slow { service: ServiceNo, length: Length },
    /// The balancer does what it is asked, and its answers are lost.
    AnswersLost { service: ServiceNo, length: Length },
    /// The balancer answers from the past.
    Stale { service: ServiceNo, by: Length, length: Length },
    /// The balancer registers late.
    RegistersLate { service: ServiceNo, by: Length, length: Length },
    /// The balancer drains for long.
    DrainsLong { service: ServiceNo, drain: Length, length: Length },
    /// The balancer loses a registration.
    LosesTarget { service: ServiceNo, host: HostNo },
    /// The store of a host finds nothing new.
    StoreEmpty { host: HostNo, length: Length },
    /// The store of a host is slow.
    StoreSlow { host: HostNo, length: Length },
    /// A host loses the releases that it does not run.
    StoreLoses { service: ServiceNo, host: HostNo },
    /// A service's process is killed from outside.
    Killed { service: ServiceNo, host: HostNo },
    /// A keeper dies with all that it knew, and what it ran with it.
    RecordLost { service: ServiceNo, host: HostNo },
    /// What happens to the first host that comes to this work from now on, some time after it has come there.
    Amid { work: Work, service: ServiceNo, after: Length, blow: Blow },
}

/// What a host can be amid of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// It was granted a change, and begins.
    Change,
    /// It runs a migration.
    Migration,
}

/// What can happen to a host amid of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    AgentDies(Length),
    KeeperDies,
    RecordLost,
    PowerLost(Length),
    AgentFrozen(Length),
    CutOff(Length),
    Terminated(Length),
    Removed,
    LockBroken,
    Drained,
    Excluded,
}

/// How long something waits for a host to come to its work, in milliseconds.
pub(crate) const AMID: u64 = 30_000;

impl Blow {
    /// The item that it is, of a host at its work.
    #[must_use]
    pub(crate) fn of(self, work: Work, service: ServiceNo, host: HostNo) -> Item {
        match self {
            Self::AgentDies(down) => Item::AgentDies { host, down },
            Self::KeeperDies => Item::KeeperDies { service, host },
            Self::RecordLost => Item::RecordLost { service, host },
            Self::PowerLost(down) => Item::PowerLost { host, down },
            Self::AgentFrozen(length) => Item::AgentFrozen { host, length },
            Self::CutOff(length) => Item::CutOff { host, length },
            Self::Terminated(told) => Item::Terminated { host, told },
            Self::Removed => Item::Remove { host },
            Self::LockBroken => match work {
                Work::Change => Item::BreakSlot { service, host },
                Work::Migration => Item::BreakMigrationLock { service },
            },
            Self::Drained => Item::Drain { service, host },
            Self::Excluded => Item::Exclude { service, host },
        }
    }
}

impl Item {
    /// How long it goes on, in milliseconds.
    #[must_use]
    pub(crate) fn lasts(&self) -> u64 {
        match self {
            Self::AgentDies { down: length, .. }
            | Self::AgentDiesAt { down: length, .. }
            | Self::PowerLost { down: length, .. }
            | Self::AgentFrozen { length, .. }
            | Self::HostFrozen { length, .. }
            | Self::Terminated { told: length, .. }
            | Self::DiskFull { length, .. }
            | Self::CutOff { length, .. }
            | Self::Deaf { length, .. }
            | Self::Mute { length, .. }
            | Self::Apart { length, .. }
            | Self::AnotherLeads { unaware: length }
            | Self::Laggard { length, .. }
            | Self::Throttled { length, .. }
            | Self::Slow { length, .. }
            | Self::AnswersLost { length, .. }
            | Self::Stale { length, .. }
            | Self::RegistersLate { length, .. }
            | Self::DrainsLong { length, .. }
            | Self::StoreEmpty { length, .. }
            | Self::StoreSlow { length, .. } => length.ms(),
            Self::Amid { work, service, after, blow } => {
                AMID + after.ms() + blow.of(*work, *service, 0).lasts()
            }
            _ => 0,
        }
    }

    /// The word for it.
    #[must_use]
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Push { .. } => "push",
            Self::Again { .. } => "push again",
            Self::Rollback { .. } => "rollback",
            Self::Restart { .. } => "restart",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Abort { .. } => "abort",
            Self::SetPolicy { .. } => "policy set",
            Self::BreakSlot { .. } => "break a slot",
            Self::BreakMigrationLock { .. } => "break the migration lock",
            Self::Exclude { .. } => "exclude",
            Self::Include { .. } => "include",
            Self::Drain { .. } => "drain",
            Self::Admit { .. } => "admit",
            Self::Resolve { .. } => "resolve a migration",
            Self::Unquarantine { .. } => "release from quarantine",
            Self::Remove { .. } => "remove a host",
            Self::Join => "a host joins",
            Self::AgentDies { .. } => "an agent dies",
            Self::AgentDiesAt { .. } => "an agent dies at an effect",
            Self::KeeperDies { .. } => "a keeper dies",
            Self::PowerLost { .. } => "a host loses power",
            Self::AgentFrozen { .. } => "an agent is frozen",
            Self::HostFrozen { .. } => "a host is frozen",
            Self::Terminated { .. } => "a host is terminated",
            Self::DiskFull { .. } => "a disk is full",
            Self::CutOff { .. } => "a host is cut off",
            Self::Deaf { .. } => "a host is deaf",
            Self::Mute { .. } => "a host is mute",
            Self::Apart { .. } => "two hosts are apart",
            Self::AnotherLeads { .. } => "another host leads",
            Self::Laggard { .. } => "a host sees late",
            Self::Throttled { .. } => "the balancer throttles",
            Self::Slow { .. } => "the balancer is slow",
            Self::AnswersLost { .. } => "the balancer's answers are lost",
            Self::Stale { .. } => "the balancer answers from the past",
            Self::RegistersLate { .. } => "the balancer registers late",
            Self::DrainsLong { .. } => "the balancer drains for long",
            Self::LosesTarget { .. } => "the balancer loses a target",
            Self::StoreEmpty { .. } => "a store finds nothing",
            Self::StoreSlow { .. } => "a store is slow",
            Self::StoreLoses { .. } => "a store loses releases",
            Self::Killed { .. } => "a process is killed",
            Self::RecordLost { .. } => "a keeper loses its record",
            Self::Amid { work: Work::Change, .. } => "something amid of a change",
            Self::Amid { work: Work::Migration, .. } => "something amid of a migration",
        }
    }
}
