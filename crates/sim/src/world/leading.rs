//! The log: who may append to it, and what the leader plans. Openraft is not in here; what a Raft group promises is: one log, entries of a
//! majority, a leader that may not know yet that it no longer leads, and proposals that are lost, late or taken without an answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use model::{
    Revision, ServiceName, Timestamp,
    fleet::{Act, Command, Fleet, Reply},
    planner::{self, Sightings},
};

use super::{
    From, Happening, Letter, World,
    words::{in_words, reply_in_words},
};
use crate::{
    At, HostNo,
    coverage::{ELECTED, Group, hold_word},
    invariants::Applied,
};

/// How long a host may say nothing.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Longest time until a proposal that arrives late arrives, in milliseconds.
const LATE: u64 = 120_000;
/// How long an agent waits for an answer before it asks again, in milliseconds.
const PATIENCE: u64 = 5_000;
/// Pause before somebody else is asked, in milliseconds.
const PAUSE: u64 = 200;
/// Pause before a plan that was refused whole is made again, in milliseconds.
const REFUSED_PAUSE: u64 = 1_000;

/// An agent that believes to lead. Only the last one does.
pub(crate) struct Leader {
    pub(crate) host: HostNo,
    pub(crate) reign: u64,
    pub(crate) sightings: Sightings,
    /// What it knows, when it no longer leads.
    frozen: Option<Arc<Fleet>>,
    todo: VecDeque<Act>,
    planned: bool,
    wake: Option<At>,
    sequence: u64,
    refused: BTreeMap<ServiceName, (Revision, At)>,
    /// Why what waits does, as planned last.
    pub(crate) holds: Vec<planner::Hold>,
}

impl Leader {
    /// Whether it still leads.
    pub(crate) fn leads(&self) -> bool {
        self.frozen.is_none()
    }

    /// What it is about to propose.
    pub(crate) fn todo(&self) -> impl Iterator<Item = &Act> {
        self.todo.iter()
    }

    /// It has something to propose.
    pub(crate) fn is_busy(&self) -> bool {
        !self.todo.is_empty()
    }
}

impl World {
    /// The host that leads.
    pub(crate) fn leader(&self) -> Option<HostNo> {
        self.leaders.last().filter(|leader| leader.frozen.is_none()).map(|leader| leader.host)
    }

    /// The leader, if entries can be committed now.
    pub(crate) fn working_leader(&self) -> Option<HostNo> {
        self.leader().filter(|leader| self.has_majority(*leader))
    }

    /// Appends to the log, and applies.
    pub(crate) fn commit(&mut self, command: &Command) -> Reply {
        let before = self.fleet.clone();
        let revision = model::Revision(before.revision.0 + 1);
        let reply = Arc::make_mut(&mut self.fleet).apply(revision, command);
        self.told(|| format!("#{revision} {} -> {}", in_words(&command.act), reply_in_words(&reply)));
        let after = self.fleet.clone();
        self.coverage.entry(&before, &after, &command.act, &reply);
        self.watch(|invariants, world| {
            invariants.applied(
                world,
                &Applied { before: &before, after: &after, command, act: &command.act, reply: &reply },
            )
        });
        self.rollouts += after
            .events
            .iter()
            .rev()
            .take_while(|event| event.revision == revision)
            .filter(|event| matches!(event.kind, model::fleet::EventKind::RolloutEnded { .. }))
            .count() as u64;
        self.snapshot();
        self.everybody_learns();
        reply
    }

    /// A replica that starts from a snapshot is the same as one that saw every entry.
    fn snapshot(&mut self) {
        self.since_snapshot += 1;
        if self.since_snapshot < self.scenario.noise.snapshot {
            return;
        }
        self.since_snapshot = 0;
        let text = serde_json::to_string(&*self.fleet);
        let read = text.and_then(|text| serde_json::from_str::<Fleet>(&text));
        match read {
            Ok(read) if read == *self.fleet => self.fleet = Arc::new(read),
            Ok(_) => self.break_promise("P11", "a snapshot is not what it was made of".into()),
            Err(error) => self.break_promise("P11", format!("a snapshot cannot be read: {error}")),
        }
    }

    pub(super) fn elect(&mut self) {
        if self.working_leader().is_some() {
            return;
        }
        let able: Vec<HostNo> = self.voters().into_iter().filter(|voter| self.has_majority(*voter)).collect();
        if able.is_empty() {
            return;
        }
        let host = *self.chance.pick(&able);
        let unaware = self.chance.below(3000);
        self.lead(host, unaware);
    }

    /// From now on this host leads; who led before believes so for a while.
    pub(super) fn lead(&mut self, host: HostNo, unaware: u64) {
        if let Some(old) = self.leaders.last_mut().filter(|old| old.frozen.is_none()) {
            old.frozen = Some(self.fleet.clone());
            let reign = old.reign;
            if old.host == host {
                self.leaders.pop();
            } else {
                self.later(unaware, Happening::Deposed { reign });
            }
        }
        self.reigns += 1;
        let now = self.hosts[host].clock.read(self.at);
        self.told(|| format!("h{host} leads"));
        self.coverage.met(Group::Consensus, ELECTED);
        self.leaders.push(Leader {
            host,
            reign: self.reigns,
            sightings: Sightings::new(SILENT_AFTER, now),
            frozen: None,
            todo: VecDeque::new(),
            planned: false,
            wake: None,
            sequence: 0,
            refused: BTreeMap::new(),
            holds: Vec::new(),
        });
        self.later(5, Happening::Plan { reign: self.reigns });
    }

    /// The leader's agent is gone.
    pub(super) fn abdicate(&mut self, host: HostNo) {
        self.leaders.retain(|leader| leader.host != host);
        self.reconsider();
    }

    pub(super) fn everybody_learns(&mut self) {
        for host in 0..self.hosts.len() {
            if !self.hosts[host].learning && self.hosts[host].agent.is_some() {
                self.hosts[host].learning = true;
                let after = self.message() + self.hosts[host].laggard;
                self.later(after, Happening::Learn { host });
            }
        }
        if let Some(leader) =
            self.leaders.last_mut().filter(|leader| leader.frozen.is_none() && !leader.planned)
        {
            leader.planned = true;
            let reign = leader.reign;
            self.later(1, Happening::Plan { reign });
        }
    }

    pub(super) fn heard(&mut self, host: HostNo) {
        let at = self.at;
        let name = self.hosts[host].name.clone();
        let clock = |world: &Self, leader: HostNo| world.hosts[leader].clock.read(at);
        let Some(leader) = self.leader() else { return };
        self.hosts[host].heard = Some(at);
        let now = clock(self, leader);
        let Some(leader) = self.leaders.last_mut() else { return };
        let quiet =
            !leader.sightings.heard(&name) || Duration::from_secs(2) < leader.sightings.quiet_for(&name, now);
        leader.sightings.hear(&name, now);
        if quiet && !leader.planned {
            leader.planned = true;
            let reign = leader.reign;
            self.later(1, Happening::Plan { reign });
        }
    }

    pub(super) fn plan(&mut self, reign: u64) {
        let Some(place) = self.leaders.iter().position(|leader| leader.reign == reign) else { return };
        let host = self.leaders[place].host;
        if !self.is_awake(host) {
            // A frozen leader plans when it thaws.
            self.later(1000, Happening::Plan { reign });
            return;
        }
        let now = self.hosts[host].clock.read(self.at);
        let leader = &mut self.leaders[place];
        let fleet = leader.frozen.clone().unwrap_or_else(|| self.fleet.clone());
        if !leader.todo.is_empty() {
            return;
        }
        leader.planned = false;
        leader.sightings.observe(&fleet, now);
        let plan = planner::plan(&fleet, &leader.sightings, now);
        leader.holds = plan.holds.iter().map(|(hold, _)| hold.clone()).collect();
        let wake = plan.wake.map(|wake| self.hosts[host].clock.when(wake));
        let (at, acts) = (self.at, plan.acts);
        let leader = &mut self.leaders[place];
        let too_soon = |act: &Act| match act {
            Act::Plan { service, planned_at, .. } => leader
                .refused
                .get(service)
                .filter(|(revision, until)| revision == planned_at && at < *until)
                .map(|(_, until)| *until),
            _ => None,
        };
        let pauses: Option<At> = acts.iter().filter_map(too_soon).min();
        leader.todo = acts.into_iter().filter(|act| too_soon(act).is_none()).collect();
        let wake = wake.into_iter().chain(pauses).min();
        let busy = !leader.todo.is_empty();
        for number in 0..self.leaders[place].holds.len() {
            let name = hold_word(&self.leaders[place].holds[number].why);
            self.coverage.met(Group::Hold, name);
        }
        self.watch(|invariants, world| invariants.planned(world, &world.leaders[place], &fleet));
        if busy {
            let after = self.message();
            self.later(after, Happening::Propose { reign });
        } else if let Some(wake) = wake {
            let sooner = self.leaders[place].wake.is_none_or(|known| wake < known || known <= at);
            if sooner {
                self.leaders[place].wake = Some(wake);
                self.later_at(wake.max(at + 1), Happening::Plan { reign });
            }
        }
    }

    pub(super) fn propose_planned(&mut self, reign: u64) {
        let Some(place) = self.leaders.iter().position(|leader| leader.reign == reign) else { return };
        let host = self.leaders[place].host;
        let Some(act) = self.leaders[place].todo.pop_front() else { return };
        let leads = self.leaders[place].frozen.is_none() && self.has_majority(host);
        self.leaders[place].sequence += 1;
        let sequence = self.leaders[place].sequence;
        let command = Self::command(format!("{}.leader.{reign}", self.hosts[host].name), sequence, act);
        if leads {
            let reply = self.commit(&command);
            self.note_refusal(place, &command.act, &reply);
        } else if self.chance.one_in(8) {
            // It had reached a voter that leads now, and is committed after all.
            let letter = self.letter(host, From::Nobody, command);
            let after = self.chance.below(LATE);
            self.later(after, Happening::Arrives { letter, from: host });
        }
        let more = self.leaders.iter().any(|leader| leader.reign == reign && !leader.todo.is_empty());
        let after = self.message() + 1;
        let next = if more { Happening::Propose { reign } } else { Happening::Plan { reign } };
        self.later(after, next);
    }

    fn note_refusal(&mut self, place: usize, act: &Act, reply: &Reply) {
        let (Act::Plan { service, planned_at, .. }, Reply::Planned(results)) = (act, reply) else { return };
        if results.iter().all(Result::is_err)
            && let Some(leader) = self.leaders.get_mut(place)
        {
            leader.refused.insert(service.clone(), (*planned_at, self.at + REFUSED_PAUSE));
        }
    }

    /// Writes a proposal down, for whoever waits for it.
    pub(super) fn letter(&mut self, host: HostNo, of: From, command: Command) -> usize {
        let run = self.hosts[host].runs;
        let began = self.hosts[host].clock.read(self.at);
        self.letters.push(Letter {
            command,
            host,
            run,
            of,
            began,
            reply: None,
            revision: Revision(0),
            done: false,
        });
        self.letters.len() - 1
    }

    /// An agent offers a proposal to the leader, and does so until it has an answer.
    pub(super) fn offer(&mut self, host: HostNo, run: u64, letter: usize) {
        if self.letters[letter].done || self.hosts[host].runs != run || self.hosts[host].agent.is_none() {
            return;
        }
        if self.hosts[host].frozen != 0 {
            return self.later(500, Happening::Offer { host, run, letter });
        }
        let reaches = self
            .working_leader()
            .is_some_and(|leader| self.is_awake(leader) && self.network.carries(host, leader));
        if !reaches || self.is_lost() {
            let after = self.chance.between(PAUSE, 2 * PAUSE);
            return self.later(after, Happening::Offer { host, run, letter });
        }
        let noise = self.scenario.noise;
        let late = !self.settling && self.chance.per_mille(noise.late);
        let after = if late { self.chance.below(LATE) } else { self.message() };
        self.later(after, Happening::Arrives { letter, from: host });
        if !self.settling && self.chance.per_mille(noise.twice) {
            let after = self.chance.below(LATE);
            self.later(after, Happening::Arrives { letter, from: host });
        }
        let patience = self.chance.between(PATIENCE, PATIENCE + PAUSE);
        self.later(patience, Happening::Offer { host, run, letter });
    }

    /// A proposal is at the leader: it is committed, and the answer goes back, if it can.
    pub(super) fn arrives(&mut self, letter: usize, from: HostNo) {
        let Some(leader) = self.working_leader() else { return };
        let command = self.letters[letter].command.clone();
        let reply = self.commit(&command);
        let waits = matches!(self.letters[letter].of, From::Nobody);
        if waits || !self.network.carries(leader, from) || self.is_lost() {
            return;
        }
        self.letters[letter].reply = Some(reply);
        self.letters[letter].revision = self.fleet.revision;
        let run = self.letters[letter].run;
        let after = self.message() + 1;
        self.later(after, Happening::Answered { letter, run });
    }

    /// The age of what `host` waited for, by its own clock.
    pub(super) fn took(&self, letter: usize) -> Duration {
        let letter = &self.letters[letter];
        let now: Timestamp = self.hosts[letter.host].clock.read(self.at);
        now.since(letter.began)
    }
}
