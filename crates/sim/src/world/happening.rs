//! What can happen, and what is under way.

use model::{
    fleet::{Command, Reply},
    host::{Effect, Event, ReportId},
};

use crate::{HostNo, ServiceNo};

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// An item of the scenario.
    Item(usize),
    /// Its end.
    Over(usize),
    /// An event for a host machine of one run of an agent.
    ToMachine { host: HostNo, service: ServiceNo, run: u64, event: Box<Event> },
    /// A machine wants to be asked.
    Deadline { host: HostNo, service: ServiceNo, run: u64 },
    /// A call reaches the outside.
    Call { host: HostNo, service: ServiceNo, run: u64, effect: Box<Effect> },
    /// An agent offers a command.
    Offer { host: HostNo, run: u64, letter: usize },
    /// It reaches the leader.
    Arrives { letter: usize, from: HostNo },
    /// Its answer comes back.
    Answered { letter: usize, run: u64 },
    /// A host sees what is committed.
    Learn { host: HostNo },
    /// A host says how it is.
    Sight { host: HostNo, run: u64 },
    /// Its word reaches the leader.
    Heard { host: HostNo },
    /// The voters may have to choose.
    Elect,
    /// A leader looks.
    Plan { reign: u64 },
    /// A leader proposes the next thing that it planned.
    Propose { reign: u64 },
    /// A leader finds out that it no longer leads.
    Deposed { reign: u64 },
    /// A process becomes healthy, or sick.
    Health { host: HostNo, service: ServiceNo, pid: u32, healthy: bool },
    /// A process ends by itself.
    Exit { host: HostNo, service: ServiceNo, pid: u32 },
    /// A keeper starts it again.
    Restart { host: HostNo, service: ServiceNo, pid: u32 },
    /// A process that was told to stop is gone.
    Gone { host: HostNo, service: ServiceNo, pid: u32 },
    /// A migration ends.
    MigrationEnds { host: HostNo, service: ServiceNo, run: u64 },
    /// A balancer looks at a target.
    Check { service: ServiceNo, host: HostNo },
    /// An agent is started.
    Start { host: HostNo },
    /// An agent is started again.
    Bounce { host: HostNo },
    /// An operator sees that a host was built anew, and removes the one that it was.
    Succeeds { host: HostNo },
    /// An agent says again who it is.
    Enrols { host: HostNo, run: u64 },
    /// The cloud has said that a host is terminated.
    Evidence { host: HostNo },
    /// After a reboot what was in service is to serve again, whoever can be reached.
    Serves { host: HostNo, boot: u64 },
    /// Somebody asks, for the so many-th time.
    Asks { letter: usize, tries: u32 },
    /// A target is registered late.
    Registers { service: ServiceNo, host: HostNo, leaves: u64 },
    /// The operator looks after what waits.
    Tidy,
}

/// What is proposed, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) command: Command,
    pub(crate) host: HostNo,
    pub(crate) run: u64,
    pub(crate) of: From,
    /// When it was offered first, by the host's clock.
    pub(crate) began: model::Timestamp,
    pub(crate) reply: Option<Reply>,
    /// The entry that it became.
    pub(crate) revision: model::Revision,
    pub(crate) done: bool,
}

/// Who waits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    Machine { service: ServiceNo, id: ReportId },
    Enrolment,
    Person { push: Option<usize> },
    Nobody,
}
