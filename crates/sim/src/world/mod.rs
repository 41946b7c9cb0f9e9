//! Lets a scenario happen: one queue of events in true time, and whatever each of them leads to.

mod agents;
mod balancer;
mod effects;
mod faults;
mod happening;
mod keeper;
mod leading;
mod machines;
mod network;
mod people;
mod settling;
mod stores;
mod words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use model::{
    HostId, ReleaseId, ServiceName,
    fleet::{Act, Command, Fleet},
    time::WallTime,
};

pub(crate) use self::{
    agents::HostSim,
    balancer::{Balancer, Target},
    happening::{From, Happening, Letter},
    keeper::{Keeper, Runs},
    leading::{Leader, SILENT_AFTER},
    network::Network,
    people::Pushed,
};
use crate::{At, Chance, Coverage, HostNo, Scenario, ServiceNo, invariants::Invariants, scenario::Item};

/// A run that comes here goes in circles.
const EVENTS_LIMIT: u64 = 3_000_000;

/// Wall clocks show something from 1970 to a hundred years later, in milliseconds.
const WALL: u64 = 100 * 365 * 24 * 3600 * 1000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which, or what else is wrong.
    pub(crate) promise: &'static str,
    /// How.
    pub(crate) text: String,
    /// When.
    pub(crate) at: At,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// The first promise that was broken.
    pub(crate) broken: Option<Broken>,
    /// What was met.
    pub(crate) coverage: Coverage,
    /// Rollouts that came to an end.
    pub(crate) rollouts: u64,
    /// Log entries.
    pub(crate) entries: u64,
    /// Events of the simulator.
    pub(crate) events: u64,
    /// True time that passed.
    pub(crate) lasted: At,
    /// Each step in words, where that was asked for.
    pub(crate) story: Vec<String>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) at: At,
    queue: BinaryHeap<Reverse<(At, u64, Slot)>>,
    slots: Vec<Option<Happening>>,
    free: Vec<usize>,
    counter: u64,
    pub(crate) scenario: Scenario,
    pub(crate) chance: Chance,
    /// The state that the log leads to.
    pub(crate) fleet: Arc<Fleet>,
    since_snapshot: u64,
    pub(crate) letters: Vec<Letter>,
    pub(crate) hosts: Vec<HostSim>,
    pub(crate) names: BTreeMap<HostId, HostNo>,
    pub(crate) services: Vec<ServiceName>,
    pub(crate) balancers: Vec<Balancer>,
    pub(crate) network: Network,
    pub(crate) leaders: Vec<Leader>,
    pub(crate) reigns: u64,
    pub(crate) pushed: Vec<Pushed>,
    pub(crate) people: u64,
    /// Releases of which a process was killed from outside.
    pub(crate) killed: BTreeSet<(ServiceNo, ReleaseId)>,
    /// Items that wait for a host to come to its work, and until when.
    armed: Vec<(usize, At)>,
    pub(crate) settling: bool,
    settles_until: At,
    over: bool,
    pub(crate) invariants: Option<Box<Invariants>>,
    pub(crate) broken: Option<Broken>,
    pub(crate) coverage: Coverage,
    pub(crate) rollouts: u64,
    pub(crate) story: Option<Vec<String>>,
}

type Slot = usize;

/// Runs a scenario to its end, or until a promise is broken. With `tell`, says each step in words.
pub(crate) fn run(scenario: &Scenario, tell: bool) -> Ended {
    let mut world = World::new(scenario.clone(), tell);
    let events = world.play();
    Ended {
        broken: world.broken,
        coverage: world.coverage,
        rollouts: world.rollouts,
        entries: world.fleet.revision.0,
        events,
        lasted: world.at,
        story: world.story.unwrap_or_default(),
    }
}

impl World {
    fn new(scenario: Scenario, tell: bool) -> Self {
        let services: Vec<ServiceName> = scenario
            .services
            .iter()
            .map(|service| service.name.parse().unwrap_or_else(|_| unreachable!("a valid name")))
            .collect();
        let mut world = Self {
            at: 0,
            queue: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            counter: 0,
            chance: Chance::new(scenario.seed, 2),
            fleet: Arc::default(),
            since_snapshot: 0,
            letters: Vec::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            balancers: services.iter().map(|_| Balancer::default()).collect(),
            services,
            network: Network::default(),
            leaders: Vec::new(),
            reigns: 0,
            pushed: Vec::new(),
            people: 0,
            killed: BTreeSet::new(),
            armed: Vec::new(),
            settling: false,
            settles_until: 0,
            over: false,
            invariants: Some(Box::new(Invariants::new(&scenario))),
            broken: None,
            coverage: Coverage::default(),
            rollouts: 0,
            story: tell.then(Vec::new),
            scenario,
        };
        for _ in 0..world.scenario.hosts {
            world.add_host();
        }
        for number in 0..world.scenario.items.len() {
            world.later_at(world.scenario.items[number].0, Happening::Item(number));
        }
        world
    }

    fn play(&mut self) -> u64 {
        let faults_end = self.scenario.ends() + 1;
        let mut events = 0;
        while self.broken.is_none() {
            let next = self.queue.peek().map(|Reverse((at, ..))| *at);
            if !self.settling && next.is_none_or(|at| faults_end < at) {
                self.at = faults_end;
                self.heal();
            }
            if self.settling && self.is_over() {
                break;
            }
            let Some(Reverse((at, _, slot))) = self.queue.pop() else {
                self.break_promise("liveness", "nothing happens any more".into());
                break;
            };
            self.at = self.at.max(at);
            let Some(happening) = self.slots[slot].take() else { continue };
            self.free.push(slot);
            self.happen(happening);
            events += 1;
            if EVENTS_LIMIT < events {
                self.break_promise("liveness", "it goes in circles".into());
            }
        }
        events
    }

    /// Lets it happen after so many milliseconds.
    pub(crate) fn later(&mut self, after: u64, happening: Happening) {
        self.later_at(self.at + after, happening);
    }

    pub(crate) fn later_at(&mut self, at: At, happening: Happening) {
        self.counter += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(happening);
                slot
            }
            None => {
                self.slots.push(Some(happening));
                self.slots.len() - 1
            }
        };
        self.queue.push(Reverse((at, self.counter, slot)));
    }

    /// What a frozen host's processes do waits until it thaws.
    fn is_frozen(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Health { host, .. }
            | Happening::Exit { host, .. }
            | Happening::Restart { host, .. }
            | Happening::Gone { host, .. }
            | Happening::MigrationEnds { host, .. } => self.hosts[*host].stopped != 0,
            _ => false,
        }
    }

    fn happen(&mut self, happening: Happening) {
        if self.is_frozen(&happening) {
            return self.later(300, happening);
        }
        match happening {
            Happening::Item(number) => self.begin(number),
            Happening::Over(number) => self.end(number),
            Happening::ToMachine { host, service, run, event } => {
                self.hand_over(host, service, run, *event);
            }
            Happening::Deadline { host, service, run } => self.deadline(host, service, run),
            Happening::Call { host, service, run, effect } => self.call(host, service, run, *effect),
            Happening::Offer { host, run, letter } => self.offer(host, run, letter),
            Happening::Arrives { letter, from } => self.arrives(letter, from),
            Happening::Answered { letter, run } => self.answered(letter, run),
            Happening::Learn { host } => self.learn(host),
            Happening::Sight { host, run } => self.sight(host, run),
            Happening::Heard { host } => self.heard(host),
            Happening::Elect => self.elect(),
            Happening::Plan { reign } => self.plan(reign),
            Happening::Propose { reign } => self.propose_planned(reign),
            Happening::Deposed { reign } => self.leaders.retain(|leader| leader.reign != reign),
            Happening::Health { host, service, pid, healthy } => self.health(host, service, pid, healthy),
            Happening::Exit { host, service, pid } => self.exit(host, service, pid),
            Happening::Restart { host, service, pid } => self.restart(host, service, pid),
            Happening::Gone { host, service, pid } => self.gone(host, service, pid),
            Happening::MigrationEnds { host, service, run } => self.migration_ends(host, service, run),
            Happening::Check { service, host } => self.check(service, host),
            Happening::Start { host } => self.start_agent(host),
            Happening::Bounce { host } => self.restart_agent(host),
            Happening::Succeeds { host } => self.remove_old(host),
            Happening::Enrols { host, run } => self.enrol_once_more(host, run),
            Happening::Evidence { host } => self.evidence(host),
            Happening::Serves { host, boot } => self.must_serve(host, boot),
            Happening::Asks { letter, tries } => self.asks(letter, tries),
            Happening::Registers { service, host, leaves } => self.registers(service, host, leaves),
            Happening::Tidy => self.tidy(),
        }
    }

    /// A command in somebody's name. What his wall clock shows is anything: nothing may be decided by it.
    pub(crate) fn command(proposer: String, sequence: u64, act: Act) -> Command {
        let drawn =
            proposer.bytes().fold(sequence, |all, byte| all.wrapping_mul(31).wrapping_add(byte.into()));
        let at = WallTime(drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % WALL);
        Command { proposer, sequence, at, act }
    }

    /// Has the invariants look.
    pub(crate) fn watch(
        &mut self,
        look: impl FnOnce(&mut Invariants, &Self) -> Result<(), (&'static str, String)>,
    ) {
        let Some(mut invariants) = self.invariants.take() else { return };
        let found = look(&mut invariants, self);
        self.invariants = Some(invariants);
        if let Err((promise, text)) = found {
            self.break_promise(promise, text);
        }
    }

    pub(crate) fn break_promise(&mut self, promise: &'static str, text: String) {
        self.told(|| format!("BROKEN {promise}: {text}"));
        let at = self.at;
        self.broken.get_or_insert(Broken { promise, text, at });
    }

    /// Says a step in words, where somebody listens.
    pub(crate) fn told(&mut self, words: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>8}.{:03}  {}", self.at / 1000, self.at % 1000, words()));
        }
    }

    /// How long a message takes.
    pub(crate) fn message(&mut self) -> u64 {
        let most = self.scenario.noise.message;
        self.chance.between(1, most)
    }

    /// How long a call to the outside takes, one way.
    pub(crate) fn way(&mut self) -> u64 {
        let most = self.scenario.noise.call;
        self.chance.between(1, most)
    }

    /// Whether this message is lost.
    pub(crate) fn is_lost(&mut self) -> bool {
        let lost = self.scenario.noise.lost;
        !self.settling && self.chance.per_mille(lost)
    }

    /// The item of this number.
    pub(crate) fn item(&self, number: usize) -> Item {
        self.scenario.items[number].1.clone()
    }

    /// The place of a host.
    pub(crate) fn number(&self, host: &HostId) -> Option<HostNo> {
        self.names.get(host).copied()
    }

    /// Whether the fleet means this machine by its name, and not one that had it before.
    pub(crate) fn is_meant(&self, host: HostNo) -> bool {
        let here = &self.hosts[host];
        self.fleet.hosts.get(&here.name).is_some_and(|known| known.state == here.state)
    }

    /// The place of a service.
    pub(crate) fn service_number(&self, name: &ServiceName) -> Option<ServiceNo> {
        self.services.iter().position(|other| other == name)
    }
}
