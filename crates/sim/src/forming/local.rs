//! One host: its machine as it ships, its disk, and all that can happen to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    time::Duration,
};

use model::{
    ClusterId, HostId, Timestamp,
    forming::{
        Answer, Ask, Effect, Event, Former, Identity, Listing, Options, Record, Refusal, Roster, Said,
        Standing, StateUuid,
    },
};

use super::{HostNo, scenario::Scenario, table::LetterId};

/// Everything that a host waits for by itself is over then.
const LATE: Timestamp = Timestamp(1000);
const RETRY: Duration = Duration::from_millis(5);
const HEAD_START: Duration = Duration::from_millis(1);

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Local {
    pub(super) host: HostNo,
    /// How often its state directory was emptied.
    pub(super) disk: u8,
    pub(super) former: Former,
    pub(super) stored: Record,
    /// The groups that were started on its disk.
    pub(super) started: BTreeSet<Roster>,
    /// The groups that were started on disks that it lost.
    pub(super) lost: BTreeSet<Roster>,
    /// The group that is being started.
    pub(super) running: Option<Roster>,
    pub(super) is_terminated: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Letter {
    pub(super) from: HostNo,
    pub(super) to: HostNo,
    pub(super) body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Body {
    Ask(Ask),
    Answer(Answer),
    /// The first message of a group's Raft.
    Contact(ClusterId),
    /// The group took the host in.
    Joined(ClusterId),
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Happens {
    Arrives(LetterId),
    /// So much time passes that everything is due.
    Late,
    /// The inventory answers, one bit for each host that is shown, and for each that it says is terminated.
    Listed {
        shown: u8,
        dead: u8,
    },
    /// The group is on the disk.
    Started,
    NotStarted,
    Crash,
    Emptied,
    Terminated,
    /// An operator sets a host aside.
    SetAside(HostNo),
}

/// A host after something happened, and what it sent.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) local: Local,
    pub(super) sent: Vec<Letter>,
}

pub(super) fn name(host: HostNo) -> HostId {
    let text = format!("h{}", host + 1);
    text.parse().unwrap_or_else(|_| panic!("{text} is a host id"))
}

/// The place of a host that is named so.
pub(super) fn number(host: &HostId) -> HostNo {
    host.as_str().trim_start_matches('h').parse::<HostNo>().map_or(0, |number| number - 1)
}

fn identity(host: HostNo, disk: u8) -> Identity {
    Identity { host: name(host), state: StateUuid((host as u128 + 1) * 16 + u128::from(disk)) }
}

fn listing(host: HostNo, terminated: bool) -> Listing {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    let (address, launched) = (([10, 0, 0, last], 7000).into(), u64::from(last));
    Listing { host: name(host), address, zone: None, launched, terminated }
}

pub(super) fn hosts_of(bits: u8) -> impl Iterator<Item = HostNo> {
    (0..8).filter(move |host| bits & (1 << host) != 0)
}

impl Local {
    pub(super) fn new(scenario: &Scenario, host: HostNo, disk: u8) -> Self {
        let stored = if disk == 0 { begun(scenario, host) } else { Record::default() };
        let former = former(scenario, host, disk, &stored);
        let (started, lost) = (BTreeSet::new(), BTreeSet::new());
        Self { host, disk, former, stored, started, lost, running: None, is_terminated: false }
    }

    /// The agent begins again, from what is stored.
    pub(super) fn restarted(&self, scenario: &Scenario) -> Self {
        let former = former(scenario, self.host, self.disk, &self.stored);
        Self { former, running: None, ..self.clone() }.plain(scenario)
    }

    /// The same, without what the machine of a host that has a group remembers and does not use: it only answers, from its record, and starts its group
    /// until that is done.
    fn plain(mut self, scenario: &Scenario) -> Self {
        if self.stored == *self.former.record() && self.stored.cluster().is_some() {
            self.former = former(scenario, self.host, self.disk, &self.stored);
            self.running = match &self.stored.standing {
                Standing::Initialising(roster) => Some(roster.clone()),
                _ => None,
            };
        }
        self
    }

    /// The groups that it is in, or that are on its disk.
    pub(super) fn groups(&self) -> BTreeSet<&ClusterId> {
        let member = match &self.stored.standing {
            Standing::Member { cluster } => Some(cluster),
            _ => None,
        };
        self.started.iter().map(|roster| &roster.cluster).chain(member).collect()
    }

    /// The groups that it was ever a voter of.
    pub(super) fn voted(&self) -> BTreeSet<&Roster> {
        let starting = match &self.stored.standing {
            Standing::Initialising(roster) => Some(roster),
            _ => None,
        };
        self.started.iter().chain(&self.lost).chain(starting).collect()
    }

    /// What comes of it: first all the way, then with a crash after each effect.
    pub(super) fn after(
        &self,
        scenario: &Scenario,
        happens: Happens,
        letter: Option<&Letter>,
    ) -> Vec<Outcome> {
        let alone = |local| vec![Outcome { local, sent: Vec::new() }];
        let event = match happens {
            Happens::Crash => return alone(self.restarted(scenario)),
            Happens::Emptied => {
                let lost = self.lost.union(&self.started).cloned().collect();
                return alone(Self { lost, ..Self::new(scenario, self.host, self.disk + 1) });
            }
            Happens::Terminated => return alone(Self { is_terminated: true, ..self.restarted(scenario) }),
            Happens::Arrives(_) => match letter {
                Some(letter) => arrival(letter),
                None => return Vec::new(),
            },
            Happens::Late => Event::DeadlinePassed,
            Happens::Listed { shown, dead } => {
                Event::Listed(hosts_of(shown).map(|host| listing(host, dead & (1 << host) != 0)).collect())
            }
            Happens::SetAside(host) => {
                Event::Bootstrap { without: [name(host)].into(), reason: "dead".into() }
            }
            Happens::NotStarted => Event::InitialiseFailed { problem: "disk is full".into() },
            Happens::Started => return self.has_started(scenario),
        };
        let now = if happens == Happens::Late { LATE } else { Timestamp(0) };
        let mut local = self.clone();
        if happens == Happens::NotStarted {
            local.running = None;
        }
        local.handle(scenario, event, now, letter.map(|letter| letter.from), Vec::new())
    }

    /// The group is on the disk; its Raft asks the other voters, and then the machine is told.
    fn has_started(&self, scenario: &Scenario) -> Vec<Outcome> {
        let mut local = self.clone();
        let Some(roster) = local.running.take() else { return Vec::new() };
        let cluster = roster.cluster.clone();
        let voters = roster.voters().map(|seat| number(&seat.identity.host)).filter(|to| *to != self.host);
        let body = Body::Contact(cluster.clone());
        let sent: Vec<Letter> = voters.map(|to| Letter { from: self.host, to, body: body.clone() }).collect();
        local.started.insert(roster);
        let untold = Outcome { local: local.restarted(scenario), sent: sent.clone() };
        let mut outcomes = local.handle(scenario, Event::Initialised { cluster }, Timestamp(0), None, sent);
        outcomes.push(untold);
        outcomes
    }

    fn handle(
        mut self,
        scenario: &Scenario,
        event: Event,
        now: Timestamp,
        asker: Option<HostNo>,
        mut sent: Vec<Letter>,
    ) -> Vec<Outcome> {
        let mut cut_short = Vec::new();
        for effect in self.former.handle(event, now) {
            self.perform(effect, asker, &mut sent);
            cut_short.push(Outcome { local: self.restarted(scenario), sent: sent.clone() });
        }
        self.former = self.former.timeless();
        let mut outcomes = vec![Outcome { local: self.plain(scenario), sent }];
        outcomes.append(&mut cut_short);
        outcomes
    }

    fn perform(&mut self, effect: Effect, asker: Option<HostNo>, sent: &mut Vec<Letter>) {
        let from = self.host;
        match effect {
            Effect::Persist(record) => self.stored = record,
            Effect::Reply(answer) => {
                sent.extend(asker.map(|to| Letter { from, to, body: Body::Answer(plain(answer)) }));
            }
            Effect::Ask { to, ask, .. } => {
                sent.push(Letter { from, to: number(&to), body: Body::Ask(ask) });
            }
            Effect::Initialise(roster) => self.running = Some(roster),
            Effect::Join { cluster, via } => {
                let member = via.keys().next().map(number);
                let joined = |member| Letter { from: member, to: from, body: Body::Joined(cluster) };
                sent.extend(member.map(joined));
            }
            Effect::Refuse(_) => {}
        }
    }
}

/// What a host has stored before it begins.
fn begun(scenario: &Scenario, host: HostNo) -> Record {
    let roster = scenario.begun.filter(|(_, agreed)| agreed & (1 << host) != 0).and_then(|(hosts, _)| {
        let seats: Vec<_> =
            hosts_of(hosts).map(|host| (listing(host, false), identity(host, 0).state)).collect();
        Roster::new(identity(0, 0).state, 1, &seats, BTreeMap::new())
    });
    match roster {
        Some(roster) => Record { round: 1, standing: Standing::Agreed(roster), ..Record::default() },
        None => Record::default(),
    }
}

/// The same answer to whoever gets it: what it refused a roster for matters only where that names hosts, and what else it is bound to does not.
fn plain(mut answer: Answer) -> Answer {
    match &mut answer.said {
        Said::Refused { why, .. } if !matches!(why, Refusal::LeavesOut(_)) => {
            *why = Refusal::Outdated { round: 0 }
        }
        Said::NoGroup { round, agreed: Some(cluster) } => {
            *round = 0;
            *cluster = "another".parse().unwrap_or_else(|_| panic!("a cluster can be named so"));
        }
        _ => {}
    }
    answer
}

fn arrival(letter: &Letter) -> Event {
    let from = name(letter.from);
    match letter.body.clone() {
        Body::Ask(ask) => Event::Asked(ask),
        Body::Answer(answer) => Event::Answered { to: from, answer },
        Body::Contact(cluster) => Event::Contacted { cluster, from },
        Body::Joined(cluster) => Event::Joined { cluster },
    }
}

fn former(scenario: &Scenario, host: HostNo, disk: u8, record: &Record) -> Former {
    let expected = NonZeroUsize::new(scenario.expected).unwrap_or(NonZeroUsize::MIN);
    let options = Options { expected, retry: RETRY, head_start: HEAD_START };
    Former::new(identity(host, disk), options, record.clone(), Timestamp(0)).timeless()
}
