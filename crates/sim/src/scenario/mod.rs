//! What happens in one run: a fleet, its services and releases, and a list of what people do and what goes wrong, each with its moment.
//!
//! All that has a name is drawn here, before anything runs, so that a failure can be played again without some of it. What has no name (how
//! long each message takes) is drawn while it runs, from the same seed.

mod draw;
mod item;

use std::time::Duration;

use model::{Policy, Release};

pub(crate) use self::item::{AMID, BLOWS, Blow, ITEMS, Item, Length, Work, blow_word, item_word};
use crate::{At, HostNo, ServiceNo};

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// What it was drawn from, and what the rest is drawn from.
    pub(crate) seed: u64,
    /// Hosts at the beginning.
    pub(crate) hosts: usize,
    /// Its services. Each host declares all of them.
    pub(crate) services: Vec<Service>,
    /// What happens, in order of time.
    pub(crate) items: Vec<(At, Item)>,
    /// What is drawn while it runs.
    pub(crate) noise: Noise,
}

/// A service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: &'static str,
    /// Behind a balancer.
    pub(crate) headful: bool,
    /// It is probed.
    pub(crate) probe: bool,
    /// How it is rolled at first, and what `policy set` changes to.
    pub(crate) policies: Vec<Policy>,
    /// Its releases.
    pub(crate) releases: Vec<Traits>,
    /// How long requests are in flight when a host leaves.
    pub(crate) drain: Length,
}

/// How a release behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Its name.
    pub(crate) id: &'static str,
    /// Its migration; none brings none.
    pub(crate) migration: Option<Migration>,
    /// From its start until it is healthy.
    pub(crate) healthy_after: Length,
    /// What is wrong with it, and where: on every host where none is named.
    pub(crate) ill: Option<(Ill, Option<HostNo>)>,
    /// It ignores SIGTERM.
    pub(crate) deaf: bool,
}

/// What can be wrong with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// It exits at once.
    Exits,
    /// It exits some time after its start.
    ExitsLater(Length),
    /// It never answers its probe.
    NeverHealthy,
    /// It falls sick some time after it was healthy.
    FallsSick(Length),
    /// Its probe passes, and the balancer finds it unhealthy all the same.
    Sick,
    /// It cannot be executed.
    NoExec,
}

/// A migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Migration {
    /// How long it takes; longer than its deadline where it hangs.
    pub(crate) takes: Length,
    /// Its exit code.
    pub(crate) code: i32,
    /// The only host where that is so; elsewhere it ends well, and soon.
    pub(crate) only: Option<HostNo>,
}

/// What is drawn while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noise {
    /// Longest way of a message, in milliseconds.
    pub(crate) message: u64,
    /// Messages of a thousand that are lost.
    pub(crate) lost: u64,
    /// Proposals of a thousand that arrive a second time, much later.
    pub(crate) twice: u64,
    /// Proposals of a thousand that arrive much later than they were sent.
    pub(crate) late: u64,
    /// Longest time of a call to the outside, in milliseconds.
    pub(crate) call: u64,
    /// Log entries between two snapshots.
    pub(crate) snapshot: u64,
    /// How much faster or slower than true time a clock runs, in thousandths.
    pub(crate) drift: u64,
}

impl Noise {
    /// Everything works, and takes a little time.
    pub(crate) const CALM: Self =
        Self { message: 3, lost: 0, twice: 0, late: 0, call: 5, snapshot: 200, drift: 0 };
}

impl Traits {
    /// What a host stages.
    #[must_use]
    pub(crate) fn release(&self) -> Release {
        let id = self.id.parse().unwrap_or_else(|_| unreachable!("the simulator's names are valid"));
        Release { id, source: format!("/store/{}", self.id), migrates: self.migration.is_some() }
    }

    /// What is wrong with it on this host.
    #[must_use]
    pub(crate) fn ill_on(&self, host: HostNo) -> Option<Ill> {
        self.ill.filter(|(_, only)| only.is_none_or(|only| only == host)).map(|(ill, _)| ill)
    }

    /// How long its migration takes on this host, and with which code it ends.
    #[must_use]
    pub(crate) fn migrates_on(&self, host: HostNo) -> (Length, i32) {
        match self.migration {
            Some(migration) if migration.only.is_none_or(|only| only == host) => {
                (migration.takes, migration.code)
            }
            _ => (Length(0), 0),
        }
    }

    /// Whether its migration ends well everywhere, if it has one, and in time.
    #[must_use]
    pub(crate) fn migrates_well(&self, policy: &Policy) -> bool {
        self.migration.is_none_or(|migration| {
            migration.code == 0 && migration.takes.ms() < ms(policy.deadlines.migrate) / 2
        })
    }

    /// Whether nothing is wrong with it on this host, so that nothing there may condemn it.
    #[must_use]
    pub(crate) fn is_good_on(&self, host: HostNo, policy: &Policy) -> bool {
        let (takes, code) = self.migrates_on(host);
        self.ill_on(host).is_none()
            && code == 0
            && takes.ms() < ms(policy.deadlines.migrate) / 2
            && self.healthy_after.ms() < ms(policy.deadlines.healthy) / 2
    }
}

impl Scenario {
    /// The same without the items that are not named.
    #[must_use]
    pub(crate) fn only(&self, items: &[usize]) -> Self {
        let kept = self.items.iter().enumerate().filter(|(number, _)| items.contains(number));
        Self { items: kept.map(|(_, item)| item.clone()).collect(), ..self.clone() }
    }

    /// When the last of its faults is over.
    #[must_use]
    pub(crate) fn ends(&self) -> At {
        self.items.iter().map(|(at, item)| at + item.lasts()).max().unwrap_or_default()
    }

    /// The service, by its place.
    #[must_use]
    pub(crate) fn service(&self, service: ServiceNo) -> &Service {
        &self.services[service]
    }
}

/// Whole milliseconds.
#[must_use]
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
