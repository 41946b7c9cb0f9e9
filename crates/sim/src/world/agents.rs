//! The agents: one run after the other on each host, each with a host machine for every service.

use std::sync::Arc;

use model::{
    HostId, ReleaseId, Revision,
    fleet::{Act, Assignment, Declaration, Enrolment, Fleet, Reply, SUPPORTED_LEVEL},
    host::{Answer, Event, Host, Ledger, Setup},
};

use super::{From, Happening, Keeper, World};
use crate::{At, HostNo, ServiceNo, clock::Clock};

/// Between two words of a host to the leader, in milliseconds.
const SIGHTING: u64 = 1_000;
/// Between two tries to enrol, in milliseconds.
const ENROL_PAUSE: u64 = 500;
/// And after one that was refused.
const REFUSED_PAUSE: u64 = 5_000;

/// A machine of the fleet, with all that is on it.
pub(crate) struct HostSim {
    pub(crate) name: HostId,
    /// Identity of its state directory.
    pub(crate) state: String,
    pub(crate) clock: Clock,
    /// The run of its agent, while it runs.
    pub(crate) agent: Option<Agent>,
    /// Runs of its agent so far.
    pub(crate) runs: u64,
    /// How many things freeze its agent now.
    pub(crate) frozen: u32,
    /// How many things freeze the whole host now.
    pub(crate) stopped: u32,
    /// How many things keep its disk full now.
    pub(crate) full: u32,
    /// How much later than others it sees what is committed, in milliseconds.
    pub(crate) laggard: u64,
    /// It has power.
    pub(crate) power: bool,
    /// When a leader heard of it last.
    pub(crate) heard: Option<At>,
    /// Times that it was booted.
    pub(crate) boots: u64,
    /// It is gone for good.
    pub(crate) terminated: bool,
    /// And an operator says so, not the cloud.
    pub(crate) removed: bool,
    /// It will see what is committed.
    pub(crate) learning: bool,
    /// Its agent dies before so many more effects, and stays down for so long.
    pub(crate) doom: Option<(u32, u64)>,
    pub(crate) disks: Vec<Disk>,
    /// Releases that were ever staged here, for each service.
    pub(crate) had: Vec<std::collections::BTreeSet<ReleaseId>>,
    pub(crate) keepers: Vec<Keeper>,
    /// How many things keep it from asking each service.
    pub(crate) unasked: Vec<u32>,
    /// How many mistakes are in what its configuration says of each service.
    pub(crate) odd: Vec<u32>,
    /// What the member that it follows knows, where that learns nothing new.
    pub(crate) behind: Option<Arc<Fleet>>,
    /// When a keeper here lost its record last, or a change was over.
    pub(crate) disturbed: At,
    /// It is being built anew; so long after it is up an operator removes the one that it was.
    pub(crate) rebuilt: Option<u64>,
    /// What an operator asked who removes the one that had its name.
    pub(crate) removal: Option<usize>,
    /// What its store finds and how slow it is.
    pub(crate) store_empty: u32,
    pub(crate) store_slow: u32,
}

/// What is on a host of one service, besides what its keeper knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) ledger: Ledger,
    pub(crate) staged: std::collections::BTreeSet<ReleaseId>,
    /// Those of them that are no longer what was staged, which nobody has found out.
    pub(crate) spoilt: std::collections::BTreeSet<ReleaseId>,
}

/// One run of an agent.
pub(crate) struct Agent {
    pub(crate) machines: Vec<Machine>,
    /// The fleet has taken this host.
    pub(crate) enrolled: bool,
    /// In this entry, as far as it knows.
    enrolled_in: Revision,
    enrolling: bool,
    /// Proposals so far.
    sequence: u64,
    /// What it was told last is of this revision.
    pub(crate) view: Option<Revision>,
}

/// A host machine.
pub(crate) struct Machine {
    pub(crate) host: Host,
    /// When it wants to be asked, as it is in the queue.
    pub(super) asked: Option<At>,
    /// What had come while it was frozen.
    pub(crate) waiting: Vec<Event>,
}

impl World {
    /// A new machine, of which nobody knows yet.
    pub(crate) fn add_host(&mut self) {
        let number = self.hosts.len();
        let name: HostId = format!("h{number}").parse().unwrap_or_else(|_| unreachable!("a valid name"));
        let drift = self.scenario.noise.drift;
        let rate = self.chance.between(1000 - drift, 1000 + drift);
        let offset = self.chance.below(10_000_000);
        let services = self.services.len();
        self.names.insert(name.clone(), number);
        for balancer in &mut self.balancers {
            balancer.targets.push(super::Target::default());
        }
        self.hosts.push(HostSim {
            state: format!("state of {name}"),
            name,
            clock: Clock::new(self.at, offset, rate),
            agent: None,
            runs: 0,
            frozen: 0,
            stopped: 0,
            full: 0,
            laggard: 0,
            power: true,
            heard: None,
            boots: 1,
            terminated: false,
            removed: false,
            learning: false,
            doom: None,
            disks: vec![Disk::default(); services],
            had: vec![std::collections::BTreeSet::new(); services],
            keepers: (0..services).map(|_| Keeper::default()).collect(),
            unasked: vec![0; services],
            odd: vec![0; services],
            behind: None,
            disturbed: 0,
            rebuilt: None,
            removal: None,
            store_empty: 0,
            store_slow: 0,
        });
        let after = self.chance.below(300);
        self.later(after, Happening::Start { host: number });
    }

    /// What a host's configuration says of a service.
    pub(crate) fn setup(&self, host: HostNo, service: ServiceNo) -> Setup {
        let spec = self.scenario.service(service);
        Setup {
            headful: spec.headful,
            probe: spec.probe,
            asks_ready: false,
            instances: 1,
            seed: self.scenario.seed ^ ((host as u64) << 8) ^ service as u64,
        }
    }

    pub(super) fn start_agent(&mut self, host: HostNo) {
        let here = &self.hosts[host];
        if here.agent.is_some() || !here.power || here.terminated {
            return;
        }
        if 0 < here.full {
            // It ends at once, and is started again.
            return self.later(2000, Happening::Start { host });
        }
        let machines = (0..self.services.len())
            .map(|service| Machine {
                host: Host::new(self.setup(host, service), here.disks[service].ledger.clone()),
                asked: None,
                waiting: Vec::new(),
            })
            .collect();
        let here = &mut self.hosts[host];
        here.runs += 1;
        here.learning = false;
        here.agent = Some(Agent {
            machines,
            enrolled: false,
            enrolled_in: Revision(0),
            enrolling: false,
            sequence: 0,
            view: None,
        });
        let run = here.runs;
        self.told(|| format!("the agent of h{host} starts (run {run})"));
        for service in 0..self.services.len() {
            self.hand_over(host, service, run, Event::Booted);
        }
        self.enrol(host);
        let after = self.chance.below(SIGHTING);
        self.later(after, Happening::Sight { host, run });
        self.reconsider();
    }

    /// The agent of a host is no more. What it had asked for goes on.
    pub(super) fn kill_agent(&mut self, host: HostNo) {
        if self.hosts[host].agent.take().is_some() {
            self.told(|| format!("the agent of h{host} dies"));
            self.abdicate(host);
        }
    }

    /// It was refused, and asks again: somebody may have removed who has its name.
    pub(super) fn enrol_once_more(&mut self, host: HostNo, run: u64) {
        let here = &self.hosts[host];
        if here.runs == run && here.agent.as_ref().is_some_and(|agent| !agent.enrolling && !agent.enrolled) {
            self.enrol(host);
        }
    }

    fn enrol(&mut self, host: HostNo) {
        let odd = &self.hosts[host].odd;
        let declares =
            self.scenario.services.iter().zip(&self.services).zip(odd).map(|((spec, name), odd)| {
                let declaration = Declaration {
                    port: if 0 < *odd { 81 } else { 80 },
                    probe: spec.probe.then(|| "GET /".into()),
                    balancer: spec.headful.then(|| "group".into()),
                    channel: None,
                };
                (name.clone(), declaration)
            });
        let here = &self.hosts[host];
        let enrolment = Enrolment {
            host: here.name.clone(),
            state: here.state.clone(),
            address: ([10, 0, 0, u8::try_from(host % 250).unwrap_or(0)], 7100).into(),
            zone: None,
            declares: declares.collect(),
            level: SUPPORTED_LEVEL,
            obeyed: None,
            migrated: Default::default(),
            migrated_before: Default::default(),
        };
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.enrolling = true;
        }
        self.submit(host, From::Enrolment, Act::Enrol(enrolment));
    }

    /// What the present run of an agent is called.
    fn proposer(&self, host: HostNo) -> String {
        format!("{}.{}", self.hosts[host].name, self.hosts[host].runs)
    }

    /// An agent proposes, and asks again until it has its answer.
    pub(super) fn submit(&mut self, host: HostNo, of: From, act: Act) {
        let run = self.hosts[host].runs;
        let proposer = self.proposer(host);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.sequence += 1;
        let command = Self::command(proposer, agent.sequence, act);
        let letter = self.letter(host, of, command);
        self.later(0, Happening::Offer { host, run, letter });
    }

    pub(super) fn answered(&mut self, letter: usize, run: u64) {
        let (host, of) = (self.letters[letter].host, self.letters[letter].of);
        if self.letters[letter].done || self.hosts[host].runs != run {
            return;
        }
        if let From::Person { push } = of {
            self.letters[letter].done = true;
            let reply = self.letters[letter].reply.clone();
            return self.person_hears(push, reply);
        }
        if self.hosts[host].agent.is_none() {
            return;
        }
        self.letters[letter].done = true;
        let Some(reply) = self.letters[letter].reply.clone() else { return };
        match of {
            From::Machine { service, id } => {
                let took = self.took(letter);
                let answer = match reply {
                    Reply::Refused(refusal) => Answer::Refused(refusal.to_string()),
                    _ => Answer::Accepted,
                };
                self.hand_over(host, service, run, Event::ReportAnswered { id, answer, took });
            }
            From::Enrolment => {
                let Some(agent) = &mut self.hosts[host].agent else { return };
                agent.enrolling = false;
                agent.enrolled = !matches!(reply, Reply::Refused(_));
                if !agent.enrolled {
                    return self.later(REFUSED_PAUSE, Happening::Enrols { host, run });
                }
                agent.enrolled_in = self.letters[letter].revision;
                self.later(1, Happening::Learn { host });
            }
            From::Person { .. } | From::Nobody => (),
        }
    }

    /// A host sees what is committed.
    pub(super) fn learn(&mut self, host: HostNo) {
        self.hosts[host].learning = false;
        if self.hosts[host].agent.is_none() {
            return;
        }
        let hears = self.leader().is_some_and(|leader| self.hear_each_other(host, leader));
        if !hears {
            self.hosts[host].learning = true;
            return self.later(300, Happening::Learn { host });
        }
        let old = self.behind(host);
        if old.is_some() {
            // It asks another member in a while.
            self.hosts[host].learning = true;
            self.later(500, Happening::Learn { host });
        }
        let fleet = old.unwrap_or_else(|| self.fleet.clone());
        let assignment = fleet.assignment(&self.hosts[host].name);
        let mine = assignment.state.as_ref().is_none_or(|state| *state == self.hosts[host].state);
        let proposer = self.proposer(host);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        // Members are not all equally far: one run of an agent goes by the newest that it has seen.
        if !agent.enrolled || agent.view.is_some_and(|view| assignment.revision <= view) {
            return;
        }
        agent.view = Some(assignment.revision);
        let again = !agent.enrolling && assignment.asks_who(&proposer, agent.enrolled_in);
        if assignment.enrolled && mine && again {
            self.enrol(host);
        }
        let Some(agent) = &mut self.hosts[host].agent else { return };
        if !assignment.enrolled || !mine {
            if !agent.enrolling && !self.hosts[host].terminated {
                self.later(ENROL_PAUSE, Happening::Learn { host });
                self.hosts[host].learning = true;
                self.enrol_again(host, &fleet);
            }
            return;
        }
        self.assign(host, assignment);
    }

    /// What a member that is behind tells a host of it, when it is that one which tells.
    fn behind(&mut self, host: HostNo) -> Option<Arc<Fleet>> {
        let here = &self.hosts[host];
        let knows = |fleet: &&Arc<Fleet>| {
            let known = fleet.hosts.get(&here.name);
            known.is_some_and(|known| known.departed.is_none() && known.state == here.state)
        };
        let old = here.behind.as_ref().filter(knows).cloned()?;
        self.chance.one_in(2).then_some(old)
    }

    /// An agent is started again.
    pub(super) fn restart_agent(&mut self, host: HostNo) {
        self.kill_agent(host);
        self.later(50, Happening::Start { host });
    }

    fn enrol_again(&mut self, host: HostNo, fleet: &Arc<Fleet>) {
        // One that was removed or terminated is not to come back by itself.
        let departed =
            fleet.hosts.get(&self.hosts[host].name).is_some_and(|record| record.departed.is_some());
        if !departed {
            self.enrol(host);
        }
    }

    fn assign(&mut self, host: HostNo, mut assignment: Assignment) {
        let run = self.hosts[host].runs;
        for service in 0..self.services.len() {
            let name = self.services[service].clone();
            if let Some(mine) = assignment.services.remove(&name) {
                let event = Event::Assigned { revision: assignment.revision, assignment: Box::new(mine) };
                self.hand_over(host, service, run, event);
            }
        }
    }

    pub(super) fn sight(&mut self, host: HostNo, run: u64) {
        let here = &self.hosts[host];
        if here.runs != run || here.agent.is_none() {
            return;
        }
        self.later(SIGHTING, Happening::Sight { host, run });
        let enrolled = self.hosts[host].agent.as_ref().is_some_and(|agent| agent.enrolled);
        let Some(leader) = self.leader() else { return };
        if enrolled
            && self.is_awake(host)
            && self.is_awake(leader)
            && self.network.carries(host, leader)
            && !self.is_lost()
        {
            let after = self.message();
            self.later(after, Happening::Heard { host });
        }
    }
}
