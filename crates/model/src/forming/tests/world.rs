//! Several hosts, a network that loses, delays and doubles, crashes between any two effects, lists that leave
//! hosts out: one seed gives one run.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) hosts: usize,
    pub(super) expected: usize,
    /// Lists may leave hosts out.
    pub(super) partial: bool,
    /// One host may be terminated for good; a new one is launched for it.
    pub(super) terminates: bool,
}

#[derive(Debug, Clone)]
enum Body {
    Ask(Ask),
    Answer(Answer),
    Contact(ClusterId),
    Joined(ClusterId),
}

#[derive(Debug, Clone)]
struct Mail {
    from: usize,
    to: usize,
    body: Body,
}

/// How disorderly a run is: drawn anew for each, so that some runs have much of one fault and none of another.
#[derive(Debug, Default)]
struct Disorder {
    deliver: usize,
    list: usize,
    wake: usize,
    crash: usize,
    /// Of ten lists of one host, how many leave another one out.
    unlisted: Vec<usize>,
    /// Of a hundred effects, how many are followed by a crash.
    cut_short: usize,
    /// Of ten messages, how many come twice.
    doubled: usize,
    /// Of ten messages between two hosts, how many are held back when they could be delivered.
    held_back: Vec<usize>,
}

struct Node {
    former: Former,
    stored: Record,
    terminated: bool,
    /// Groups that were started on this host's disk.
    started: BTreeSet<ClusterId>,
}

pub(super) struct World {
    scenario: Scenario,
    nodes: Vec<Node>,
    mail: Vec<Mail>,
    rosters: BTreeMap<ClusterId, Roster>,
    now: u64,
    chance: u64,
    disorder: Disorder,
    calm: bool,
}

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Formed,
    /// The hosts that started the group are gone, as nobody can prevent.
    Lost,
}

impl World {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Self {
        let chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let (nodes, mail, rosters) = (Vec::new(), Vec::new(), BTreeMap::new());
        let disorder = Disorder::default();
        let mut world = Self { scenario, nodes, mail, rosters, now: 0, chance, disorder, calm: false };
        world.disorder = Disorder {
            deliver: 5 + world.below(30),
            list: 1 + world.below(8),
            wake: 1 + world.below(10),
            crash: world.below(4),
            unlisted: (0..64).map(|_| [0, 3, 9][world.below(3)]).collect(),
            cut_short: world.below(10),
            doubled: world.below(6),
            held_back: (0..64).map(|_| [0, 5, 9][world.below(3)]).collect(),
        };
        for _ in 0..scenario.hosts {
            world.launch();
        }
        world
    }

    fn launch(&mut self) {
        let former = self.start(self.nodes.len(), Record::default());
        let stored = Record::default();
        self.nodes.push(Node { former, stored, terminated: false, started: BTreeSet::new() });
    }

    fn start(&self, node: usize, record: Record) -> Former {
        let expected = NonZeroUsize::new(self.scenario.expected).unwrap();
        let options = Options { expected, retry: RETRY, head_start: RETRY * 5 };
        Former::new(identity(&name(node)), options, record, at(self.now))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.chance >> 33) % limit as u64).unwrap()
    }

    /// Faults, then none: gives how it ended, or what went wrong.
    pub(super) fn run(mut self, turns: usize) -> Result<End, String> {
        for _ in 0..turns {
            self.disturb();
            self.check()?;
        }
        self.calm = true;
        for _ in 0..600 {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            self.quiet_turn();
            self.check()?;
        }
        let holds = self.nodes.iter().map(|n| (n.former.record().clone(), n.former.holds()));
        Err(format!("did not end: {:#?}", holds.collect::<Vec<_>>()))
    }

    fn disturb(&mut self) {
        let node = self.below(self.nodes.len());
        let Disorder { deliver, list, wake, crash, .. } = self.disorder;
        let choice = self.below(deliver + list + wake + crash + 3);
        if choice < deliver {
            self.deliver_any();
        } else if choice < deliver + list {
            self.list(node);
        } else if choice < deliver + list + wake {
            self.now += self.below(80) as u64;
            self.wake(node);
        } else if choice < deliver + list + wake + crash {
            self.crash(node);
        } else if choice < deliver + list + wake + crash + 2 {
            self.contact(node);
        } else if self.scenario.terminates && self.nodes.len() == self.scenario.hosts && self.below(4) == 0 {
            self.nodes[node].terminated = true;
            self.launch();
        } else {
            self.now += 200;
        }
    }

    fn quiet_turn(&mut self) {
        self.now += 20;
        for node in 0..self.nodes.len() {
            self.list(node);
            self.contact(node);
            self.wake(node);
        }
        for mail in std::mem::take(&mut self.mail) {
            self.deliver(mail);
        }
    }

    fn deliver_any(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let index = self.below(self.mail.len());
        let (from, to) = (self.mail[index].from, self.mail[index].to);
        if self.below(10) < self.disorder.held_back[from * 8 + to] {
            return;
        }
        if self.below(10) < self.disorder.doubled {
            return self.deliver(self.mail[index].clone());
        }
        let mail = self.mail.swap_remove(index);
        if self.below(10) > 0 {
            self.deliver(mail);
        }
    }

    fn deliver(&mut self, mail: Mail) {
        let event = match mail.body {
            Body::Ask(ask) => Event::Asked(ask),
            Body::Answer(answer) => Event::Answered { to: id(&name(mail.from)), answer },
            Body::Contact(cluster) => Event::Contacted { cluster, from: id(&name(mail.from)) },
            Body::Joined(cluster) => Event::Joined { cluster },
        };
        self.handle(mail.to, event, Some(mail.from));
    }

    fn list(&mut self, node: usize) {
        let whole = self.calm || !self.scenario.partial;
        let unlisted = |world: &Self, other| world.disorder.unlisted[node * 8 + other];
        let there: Vec<usize> =
            (0..self.nodes.len()).filter(|other| whole || self.below(10) >= unlisted(self, *other)).collect();
        let listings = there
            .into_iter()
            .map(|other| Listing { terminated: self.nodes[other].terminated, ..listing(&name(other)) })
            .collect();
        self.handle(node, Event::Listed(listings), None);
    }

    fn wake(&mut self, node: usize) {
        if self.nodes[node].former.deadline().is_some_and(|due| due <= at(self.now)) {
            self.handle(node, Event::DeadlinePassed, None);
        }
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node].former = self.start(node, self.nodes[node].stored.clone());
    }

    /// A host that started a group asks the other voters for their votes.
    fn contact(&mut self, node: usize) {
        let Some(roster) = self.nodes[node].former.cluster().and_then(|c| self.rosters.get(c)) else {
            return;
        };
        if self.nodes[node].terminated {
            return;
        }
        let voters = roster.voters().map(|seat| number(seat.identity.host.as_str()) as usize - 1);
        let body = Body::Contact(roster.cluster.clone());
        let mail = voters.filter(|to| *to != node).map(|to| Mail { from: node, to, body: body.clone() });
        self.mail.extend(mail.collect::<Vec<_>>());
    }

    fn handle(&mut self, node: usize, event: Event, asker: Option<usize>) {
        if self.nodes[node].terminated {
            return;
        }
        let effects = self.nodes[node].former.handle(event, at(self.now));
        for effect in effects {
            if !self.calm && self.below(100) < self.disorder.cut_short {
                return self.crash(node);
            }
            self.perform(node, effect, asker);
        }
    }

    fn perform(&mut self, node: usize, effect: Effect, asker: Option<usize>) {
        match effect {
            Effect::Persist(record) => self.nodes[node].stored = record,
            Effect::Reply(answer) => {
                let to = asker.expect("only a question is replied to");
                self.mail.push(Mail { from: node, to, body: Body::Answer(answer) });
            }
            Effect::Ask { to, ask, .. } => {
                let to = number(to.as_str()) as usize - 1;
                self.mail.push(Mail { from: node, to, body: Body::Ask(ask) });
            }
            Effect::Initialise(roster) => {
                let cluster = roster.cluster.clone();
                self.nodes[node].started.insert(cluster.clone());
                self.rosters.insert(cluster.clone(), roster);
                let event = match !self.calm && self.below(4) == 0 {
                    true => Event::InitialiseFailed { problem: "disk is full".into() },
                    false => Event::Initialised { cluster },
                };
                self.contact(node);
                self.handle(node, event, None);
            }
            Effect::Join { cluster, via } if self.is_alive(&cluster) => {
                let member = via.keys().map(|host| number(host.as_str()) as usize - 1).next().unwrap();
                self.mail.push(Mail { from: member, to: node, body: Body::Joined(cluster) });
            }
            Effect::Join { .. } | Effect::Refuse(_) => {}
        }
    }

    fn serves(&self, node: &Node, cluster: &ClusterId) -> bool {
        !node.terminated && node.former.cluster() == Some(cluster)
    }

    /// Whether most voters of a group are there.
    fn is_alive(&self, cluster: &ClusterId) -> bool {
        let Some(roster) = self.rosters.get(cluster) else { return false };
        let voter = |seat: &Seat| &self.nodes[number(seat.identity.host.as_str()) as usize - 1];
        let there = roster.voters().filter(|seat| self.serves(voter(seat), cluster)).count();
        there > roster.voters().count() / 2
    }

    /// The promise: hosts that are not terminated are never in two groups.
    fn check(&self) -> Result<(), String> {
        let alive = self.nodes.iter().filter(|node| !node.terminated);
        let groups: BTreeSet<_> = alive.flat_map(|n| n.started.iter().chain(n.former.cluster())).collect();
        if groups.len() > 1 {
            return Err(format!("two groups: {groups:?}"));
        }
        Ok(())
    }

    fn end(&self) -> Option<End> {
        let mut alive = self.nodes.iter().filter(|node| !node.terminated);
        let first = alive.clone().find_map(|node| node.former.cluster().cloned())?;
        if self.rosters.get(&first).is_some_and(|roster| {
            let gone = |s: &&Seat| self.nodes[number(s.identity.host.as_str()) as usize - 1].terminated;
            roster.voters().filter(gone).count() * 2 >= roster.voters().count()
        }) {
            return Some(End::Lost);
        }
        let is_member = |n: &Node| *n.stored.cluster().unwrap_or(&cluster("none")) == first;
        (alive.all(is_member) && self.is_alive(&first)).then_some(End::Formed)
    }
}

fn name(node: usize) -> String {
    format!("h{}", node + 1)
}
