//! What people do and what goes wrong.

use std::fmt;

use crate::{HostNo, ServiceNo, coverage::words};

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
    /// An operator breaks the migration lock, whoever has it; and may then say that the migration is to be tried again.
    BreakMigrationLock { service: ServiceNo, again: bool },
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
    /// A machine is gone, and nobody ever says so by himself.
    Vanished { host: HostNo },
    /// A machine is built anew under its old name, with an empty disk; an operator removes the old one some time after it is up.
    Rebuilt { host: HostNo, down: Length, removed: Length },
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
    /// The hosts whose numbers are in this set of bits, and all others, do not hear each other.
    Split { side: u16, length: Length },
    /// For a while a host follows a member that learns nothing new; in the middle of it its agent is started again, and remembers nothing newer.
    Behind { host: HostNo, restarts: Length, length: Length },
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
    /// An agent is started again with another port of the service in its configuration, and once more when that is mended.
    Misconfigured { service: ServiceNo, host: HostNo, length: Length },
    /// What is staged on a host is spoilt, which shows when it is to be started.
    StoreSpoilt { service: ServiceNo, host: HostNo },
    /// A host cannot ask whether its service is healthy.
    CannotProbe { service: ServiceNo, host: HostNo, length: Length },
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
    Vanished,
    Rebuilt { down: Length, removed: Length },
    Removed,
    CannotProbe(Length),
    LockBroken { again: bool },
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
            Self::Vanished => Item::Vanished { host },
            Self::Rebuilt { down, removed } => Item::Rebuilt { host, down, removed },
            Self::CannotProbe(length) => Item::CannotProbe { service, host, length },
            Self::Removed => Item::Remove { host },
            Self::LockBroken { again } => match work {
                Work::Change => Item::BreakSlot { service, host },
                Work::Migration => Item::BreakMigrationLock { service, again },
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
            | Self::Behind { length, .. }
            | Self::Rebuilt { down: length, .. }
            | Self::CannotProbe { length, .. }
            | Self::Split { length, .. }
            | Self::Misconfigured { length, .. }
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
}

words! {
    /// The word for something that happens.
    pub(crate) fn item_word(Item), ITEMS:
    Item::Push { .. } => "push",
    Item::Again { .. } => "push again",
    Item::Rollback { .. } => "rollback",
    Item::Restart { .. } => "restart",
    Item::Pause { .. } => "pause",
    Item::Resume { .. } => "resume",
    Item::Abort { .. } => "abort",
    Item::SetPolicy { .. } => "policy set",
    Item::BreakSlot { .. } => "break a slot",
    Item::BreakMigrationLock { .. } => "break the migration lock",
    Item::Exclude { .. } => "exclude",
    Item::Include { .. } => "include",
    Item::Drain { .. } => "drain",
    Item::Admit { .. } => "admit",
    Item::Resolve { .. } => "resolve a migration",
    Item::Unquarantine { .. } => "release from quarantine",
    Item::Remove { .. } => "remove a host",
    Item::Join => "a host joins",
    Item::AgentDies { .. } => "an agent dies",
    Item::AgentDiesAt { .. } => "an agent dies at an effect",
    Item::KeeperDies { .. } => "a keeper dies",
    Item::PowerLost { .. } => "a host loses power",
    Item::AgentFrozen { .. } => "an agent is frozen",
    Item::HostFrozen { .. } => "a host is frozen",
    Item::Terminated { .. } => "a host is terminated",
    Item::Vanished { .. } => "a host vanishes",
    Item::Rebuilt { .. } => "a host is built anew",
    Item::DiskFull { .. } => "a disk is full",
    Item::CutOff { .. } => "a host is cut off",
    Item::Deaf { .. } => "a host is deaf",
    Item::Mute { .. } => "a host is mute",
    Item::Apart { .. } => "two hosts are apart",
    Item::Split { .. } => "the hosts are split in two",
    Item::Behind { .. } => "a host follows one that is behind",
    Item::AnotherLeads { .. } => "another host leads",
    Item::Laggard { .. } => "a host sees late",
    Item::Throttled { .. } => "the balancer throttles",
    Item::Slow { .. } => "the balancer is slow",
    Item::AnswersLost { .. } => "the balancer's answers are lost",
    Item::Stale { .. } => "the balancer answers from the past",
    Item::RegistersLate { .. } => "the balancer registers late",
    Item::DrainsLong { .. } => "the balancer drains for long",
    Item::LosesTarget { .. } => "the balancer loses a target",
    Item::StoreEmpty { .. } => "a store finds nothing",
    Item::StoreSlow { .. } => "a store is slow",
    Item::StoreLoses { .. } => "a store loses releases",
    Item::Misconfigured { .. } => "a host is misconfigured",
    Item::StoreSpoilt { .. } => "a store is spoilt",
    Item::CannotProbe { .. } => "a host cannot probe",
    Item::Killed { .. } => "a process is killed",
    Item::RecordLost { .. } => "a keeper loses its record",
    Item::Amid { work: Work::Change, .. } => "something amid of a change",
    Item::Amid { work: Work::Migration, .. } => "something amid of a migration",
}

words! {
    /// The word for what happens to a host at its work.
    pub(crate) fn blow_word(Blow), BLOWS:
    Blow::AgentDies(_) => "its agent dies",
    Blow::KeeperDies => "its keeper dies",
    Blow::RecordLost => "its keeper loses its record",
    Blow::PowerLost(_) => "it loses power",
    Blow::AgentFrozen(_) => "its agent is frozen",
    Blow::CutOff(_) => "it is cut off",
    Blow::Terminated(_) => "it is terminated",
    Blow::Rebuilt { .. } => "it is built anew",
    Blow::Vanished => "it vanishes",
    Blow::CannotProbe(_) => "it cannot probe",
    Blow::Removed => "it is removed",
    Blow::LockBroken { .. } => "its lock is broken",
    Blow::Drained => "it is drained",
    Blow::Excluded => "it is excluded",
}
