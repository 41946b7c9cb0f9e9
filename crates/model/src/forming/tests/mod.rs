//! Tests of forming: tables of single hosts, and many hosts under every disorder.

mod answers;
mod bootstrap;
mod decisions;
mod disorder;
mod holds;
mod rosters;
mod world;

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use super::*;
use crate::{ClusterId, HostId, Timestamp};

pub(super) const RETRY: Duration = Duration::from_millis(100);
pub(super) const HEAD_START: Duration = Duration::from_millis(1000);

pub(super) fn id(name: &str) -> HostId {
    name.parse().unwrap()
}

/// `h3` has state UUID 3, the address 10.0.0.3:7000, and was launched third.
pub(super) fn number(name: &str) -> u8 {
    name.trim_start_matches('h').parse().unwrap()
}

pub(super) fn identity(name: &str) -> Identity {
    Identity { host: id(name), state: StateUuid(number(name).into()) }
}

pub(super) fn listing(name: &str) -> Listing {
    let address = ([10, 0, 0, number(name)], 7000).into();
    Listing { host: id(name), address, zone: None, launched: number(name).into(), terminated: false }
}

/// `"h1 h2 -h3"`: two hosts, and one that is terminated.
pub(super) fn list(text: &str) -> Event {
    let one = |word: &str| match word.strip_prefix('-') {
        Some(name) => Listing { terminated: true, ..listing(name) },
        None => listing(word),
    };
    Event::Listed(text.split_whitespace().map(one).collect())
}

pub(super) fn roster(round: u64, names: &str) -> Roster {
    let hosts: Vec<_> = names.split_whitespace().map(|n| (listing(n), identity(n).state)).collect();
    let proposer = identity(names.split_whitespace().next().unwrap()).state;
    Roster::new(proposer, round, &hosts, BTreeMap::new()).unwrap()
}

pub(super) fn former_with(name: &str, expected: usize, record: Record) -> Former {
    let expected = NonZeroUsize::new(expected).unwrap();
    let options = Options { expected, retry: RETRY, head_start: HEAD_START };
    Former::new(identity(name), options, record, Timestamp(0))
}

pub(super) fn former(name: &str, expected: usize) -> Former {
    former_with(name, expected, Record::default())
}

pub(super) fn standing(round: u64, standing: Standing) -> Record {
    Record { round, standing, ..Record::default() }
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp(millis)
}

pub(super) fn says(name: &str, said: Said) -> Event {
    Event::Answered { to: id(name), answer: Answer { from: identity(name), gone: BTreeMap::new(), said } }
}

pub(super) fn terminated(names: &str) -> BTreeMap<HostId, Gone> {
    names.split_whitespace().map(|name| (id(name), Gone::Terminated)).collect()
}

pub(super) fn no_group() -> Said {
    Said::NoGroup { round: 0, agreed: None }
}

pub(super) fn asks(name: &str, question: Question) -> Event {
    Event::Asked(Ask { from: identity(name), gone: BTreeMap::new(), question })
}

pub(super) fn withdraw(roster: &Roster) -> Question {
    Question::Withdraw { cluster: roster.cluster.clone(), round: roster.round }
}

pub(super) fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

/// Effects in short, one word each: `persist(agreed c1) ask(h2 agree) reply(agreed) initialise join refuse`.
pub(super) fn short(effects: &[Effect]) -> String {
    let words = effects.iter().map(|effect| match effect {
        Effect::Persist(record) => format!("persist({})", short_standing(&record.standing)),
        Effect::Reply(answer) => format!("reply({})", short_said(&answer.said)),
        Effect::Ask { to, ask, .. } => format!("ask({to} {})", short_question(&ask.question)),
        Effect::Initialise(roster) => format!("initialise({})", roster.round),
        Effect::Join { cluster, .. } => format!("join({cluster})"),
        Effect::Refuse(refused) => format!("refuse({refused})"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn short_standing(standing: &Standing) -> String {
    match standing {
        Standing::Free => "free".into(),
        Standing::Agreed(roster) => format!("agreed {}", roster.round),
        Standing::Withdrawn(roster) => format!("withdrawn {}", roster.round),
        Standing::Initialising(roster) => format!("initialising {}", roster.round),
        Standing::Member { cluster } => format!("member {cluster}"),
    }
}

fn short_said(said: &Said) -> &'static str {
    match said {
        Said::NoGroup { .. } => "no group",
        Said::Group { .. } => "group",
        Said::Agreed { .. } => "agreed",
        Said::Refused { .. } => "refused",
        Said::Withdrawn { .. } => "withdrawn",
    }
}

fn short_question(question: &Question) -> &'static str {
    match question {
        Question::Group => "group?",
        Question::Agree(_) => "agree?",
        Question::Withdraw { .. } => "withdraw?",
    }
}

/// One event for a host, and the effects that it must have.
#[track_caller]
pub(super) fn expect(former: &mut Former, now: u64, event: Event, effects: &str) {
    let what = format!("{event:?}");
    assert_eq!(short(&former.handle(event, at(now))), effects, "after {what}\nin {:#?}", former.record());
}
