//! The account of one rollout: what the service took on each host, and what passed in between.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use demo::timeline::{Mark, Moment};
use localbalancer::{Change, TargetState};

use crate::stage::{Rolled, since};

/// Time that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// From the push until the first host leaves: staging, migrating, the first grant.
    First,
    /// From the end of a host's soak until the next host of its slot leaves.
    HandOver,
    /// From the end of the drain until the old process is told to stop.
    Stop,
    /// From the end of the old process until the new program begins: verifying and exec.
    Start,
    /// From the first answer to a health check until it is registered.
    Join,
    /// From the end of the last soak until the caller knows.
    Last,
}

impl Gap {
    pub(super) const ALL: [Self; 6] =
        [Self::First, Self::HandOver, Self::Stop, Self::Start, Self::Join, Self::Last];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::First => "push → first host leaves",
            Self::HandOver => "soaked → next host leaves",
            Self::Stop => "drained → told to stop",
            Self::Start => "stopped → new program begins",
            Self::Join => "healthy → registered",
            Self::Last => "last soaked → caller knows",
        }
    }
}

/// One rollout.
#[derive(Debug)]
pub(super) struct Account {
    /// From the push until the caller knew that it had completed.
    pub(super) wall: Duration,
    /// What it would have taken if every host had taken what its service took and nothing else.
    pub(super) ideal: Duration,
    /// What the service took on each host, in the order of their turns.
    pub(super) own: Vec<Duration>,
    gaps: Vec<(Gap, Duration)>,
}

/// The moments of one host's change.
#[derive(Debug, Clone, Copy)]
struct Turn {
    left: SystemTime,
    drained: SystemTime,
    told: SystemTime,
    stopped: SystemTime,
    began: SystemTime,
    listens: SystemTime,
    registered: SystemTime,
    in_service: SystemTime,
}

impl Turn {
    fn own(&self, soak: Duration) -> Duration {
        since(self.left, self.drained)
            + since(self.told, self.stopped)
            + since(self.began, self.listens)
            + since(self.registered, self.in_service)
            + soak
    }
}

impl Account {
    /// What the service and the balancer say of this rollout, over `slots` slots.
    pub(super) fn of(
        rolled: &Rolled,
        marks: &[Mark],
        standings: &[Change],
        slots: usize,
        soak: Duration,
    ) -> Result<Self> {
        let during = rolled.pushed..=rolled.ended;
        let mut hosts: BTreeMap<&str, ()> = BTreeMap::new();
        hosts.extend(
            marks.iter().filter(|mark| during.contains(&mark.at)).map(|mark| (mark.host.as_str(), ())),
        );
        let turns = hosts.into_keys().map(|host| {
            let turn = turn(rolled, host, marks, standings);
            turn.with_context(|| format!("the account of {host} in rollout {} is not complete", rolled.id))
        });
        let mut turns = turns.collect::<Result<Vec<Turn>>>()?;
        turns.sort_by_key(|turn| turn.left);
        let own: Vec<Duration> = turns.iter().map(|turn| turn.own(soak)).collect();
        Ok(Self {
            wall: rolled.took(),
            ideal: ideal(&own, slots),
            gaps: gaps(rolled, &turns, slots, soak),
            own,
        })
    }

    pub(super) fn ratio(&self) -> f64 {
        self.wall.as_secs_f64() / self.ideal.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(super) fn gaps_of(&self, gap: Gap) -> impl Iterator<Item = Duration> {
        self.gaps.iter().filter(move |(which, _)| *which == gap).map(|(_, took)| *took)
    }
}

/// The moments of one host; none when one of them is missing.
fn turn(rolled: &Rolled, host: &str, marks: &[Mark], standings: &[Change]) -> Option<Turn> {
    let said = |moment| {
        let of = |mark: &&Mark| mark.host == host && mark.moment == moment && rolled.pushed <= mark.at;
        marks.iter().find(of).map(|mark| mark.at)
    };
    let mut stood =
        standings.iter().filter(|change| change.host.as_str() == host && rolled.pushed <= change.at);
    let out = [TargetState::Draining, TargetState::Absent];
    let left = stood.by_ref().find(|change| out.contains(&change.state))?;
    let drained = if left.state == TargetState::Absent {
        left
    } else {
        stood.find(|change| change.state == TargetState::Absent)?
    };
    let registered = stood.find(|change| change.state == TargetState::Initial)?;
    let in_service = stood.find(|change| change.state == TargetState::InService)?;
    Some(Turn {
        left: left.at,
        drained: drained.at,
        told: said(Moment::Told)?,
        stopped: said(Moment::Stopped)?,
        began: said(Moment::Began)?,
        listens: said(Moment::Listens)?,
        registered: registered.at,
        in_service: in_service.at,
    })
}

/// What the turns take on so many slots when nothing comes between them: each begins when the first slot is free, and none after
/// the first wave, which is as large as there are slots, before that wave is through.
fn ideal(own: &[Duration], slots: usize) -> Duration {
    let (wave, rest) = own.split_at(slots.min(own.len()));
    let mut free = vec![wave.iter().max().copied().unwrap_or_default(); slots.max(1)];
    for turn in rest {
        if let Some(first) = free.iter_mut().min() {
            *first += *turn;
        }
    }
    free.into_iter().max().unwrap_or_default()
}

fn gaps(rolled: &Rolled, turns: &[Turn], slots: usize, soak: Duration) -> Vec<(Gap, Duration)> {
    let soaked = |turn: &Turn| turn.in_service + soak;
    let mut gaps = Vec::new();
    for (number, turn) in turns.iter().enumerate() {
        gaps.push((Gap::Stop, since(turn.drained, turn.told)));
        gaps.push((Gap::Start, since(turn.stopped, turn.began)));
        gaps.push((Gap::Join, since(turn.listens, turn.registered)));
        if number < slots {
            gaps.push((Gap::First, since(rolled.pushed, turn.left)));
            continue;
        }
        // After the first wave a slot is free when all of it is through; later, when so many are through.
        let mut through: Vec<SystemTime> = turns.iter().map(soaked).collect();
        through.sort_unstable();
        let freed = through[(number - slots).max(slots - 1)];
        gaps.push((Gap::HandOver, since(freed, turn.left)));
    }
    if let Some(last) = turns.iter().map(soaked).max() {
        gaps.push((Gap::Last, since(last, rolled.ended)));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    /// A host that leaves at `from`, and takes 10 ms for each of its four steps with 1 ms of ours in between.
    fn host(host: &str, from: u64) -> (Vec<Mark>, Vec<Change>) {
        let mark = |ms, moment| Mark { at: at(from + ms), host: host.into(), moment };
        let change = |ms, state| Change { at: at(from + ms), host: host.parse().unwrap(), state };
        let marks = vec![
            mark(11, Moment::Told),
            mark(21, Moment::Stopped),
            mark(22, Moment::Began),
            mark(32, Moment::Listens),
        ];
        let changes = vec![
            change(0, TargetState::Draining),
            change(10, TargetState::Absent),
            change(33, TargetState::Initial),
            change(43, TargetState::InService),
        ];
        (marks, changes)
    }

    #[test]
    fn what_is_not_the_services_is_ours() {
        let (mut marks, mut changes) = host("h1", 105);
        let (second, later) = host("h2", 170);
        marks.extend(second);
        changes.extend(later);
        let rolled = Rolled { pushed: at(100), ended: at(230), id: 1 };
        let account = Account::of(&rolled, &marks, &changes, 1, Duration::from_millis(10)).unwrap();
        assert_eq!(account.own, [Duration::from_millis(50); 2]);
        assert_eq!((account.wall, account.ideal), (Duration::from_millis(130), Duration::from_millis(100)));
        let ours: Duration = account.gaps.iter().map(|(_, took)| *took).sum();
        assert_eq!(ours, Duration::from_millis(30), "{:?}", account.gaps);
    }

    #[test]
    fn the_ideal_fills_the_slots_after_the_first_wave() {
        let own = [1, 3, 2, 2, 1].map(Duration::from_secs);
        assert_eq!(ideal(&own, 1), Duration::from_secs(9));
        assert_eq!(ideal(&own, 2), Duration::from_secs(6));
        assert_eq!(ideal(&own, 5), Duration::from_secs(3));
        assert_eq!(ideal(&[], 2), Duration::ZERO);
    }

    #[test]
    fn an_account_with_a_hole_is_none() {
        let (marks, changes) = host("h1", 105);
        let rolled = Rolled { pushed: at(100), ended: at(230), id: 1 };
        assert!(Account::of(&rolled, &marks[..3], &changes, 1, Duration::ZERO).is_err());
    }
}
