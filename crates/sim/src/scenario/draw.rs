//! Draws a scenario.

use std::{num::NonZeroU32, time::Duration};

use model::{
    Policy,
    policy::{Deadlines, MigratePer, OnFailure},
};

use super::{Blow, Ill, Item, Length, Migration, Noise, Scenario, Service, Traits, Work};
use crate::{Chance, HostNo};

const NAMES: [&str; 3] = ["web", "api", "jobs"];
const RELEASES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Most hosts of a drawn fleet.
const HOSTS: u64 = 12;
/// When the first push comes, in milliseconds: after the fleet has formed.
const FIRST_PUSH: u64 = 2_000;

impl Scenario {
    /// Draws one: small fleets mostly, with anything going wrong.
    #[must_use]
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let hosts = match chance.below(10) {
            0..=5 => chance.between(2, 4),
            6..=8 => chance.between(1, 6),
            _ => chance.between(5, HOSTS),
        };
        let hosts = usize::try_from(hosts).unwrap_or(3);
        let several = chance.one_in(4);
        let count = if several { chance.between(2, 3) } else { 1 };
        let services = NAMES.iter().take(usize::try_from(count).unwrap_or(1));
        let services: Vec<Service> = services.map(|name| service(&mut chance, name, hosts)).collect();
        let mut scenario = Self { seed, hosts, services, items: Vec::new(), noise: noise(&mut chance) };
        scenario.items = items(&mut chance, &scenario);
        scenario
    }

    /// Nothing goes wrong: a first release, and `pushes` good ones after it, with so many hosts.
    #[must_use]
    pub(crate) fn calm(seed: u64, hosts: usize, pushes: usize) -> Self {
        let mut chance = Chance::new(seed, 1);
        let good = |id| Traits { id, migration: None, healthy_after: Length(300), ill: None, deaf: false };
        let service = Service {
            name: NAMES[0],
            headful: true,
            probe: true,
            policies: vec![Policy { soak: Duration::from_secs(1), ..Policy::default() }],
            releases: RELEASES.iter().map(|id| good(id)).collect(),
            drain: Length(500),
        };
        let pushes = (0..=pushes).map(|number| {
            let at = FIRST_PUSH + 60_000 * hosts as u64 / 3 * number as u64;
            (at + chance.below(10), Item::Push { service: 0, release: number % RELEASES.len() })
        });
        Self { seed, hosts, services: vec![service], items: pushes.collect(), noise: Noise::CALM }
    }
}

fn noise(chance: &mut Chance) -> Noise {
    if chance.one_in(4) {
        return Noise::CALM;
    }
    Noise {
        message: chance.between(1, 40),
        lost: *chance.pick(&[0, 0, 10, 100]),
        twice: *chance.pick(&[0, 10, 100]),
        late: *chance.pick(&[0, 0, 10, 50]),
        call: chance.between(1, 400),
        snapshot: chance.between(3, 300),
        drift: *chance.pick(&[0, 1, 50]),
    }
}

fn service(chance: &mut Chance, name: &'static str, hosts: usize) -> Service {
    let headful = !chance.one_in(4);
    let policies = (0..3).map(|_| policy(chance)).collect();
    let mut releases: Vec<Traits> = RELEASES.iter().map(|id| traits(chance, id, hosts)).collect();
    // There is mostly something to go back to.
    if !chance.one_in(8) {
        releases[0].ill = None;
        releases[0].migration = None;
    }
    Service {
        name,
        headful,
        probe: headful || !chance.one_in(3),
        policies,
        releases,
        drain: Length(u32::try_from(chance.between(0, 3000)).unwrap_or(0)),
    }
}

fn number(chance: &mut Chance, least: u64, most: u64) -> NonZeroU32 {
    let drawn = u32::try_from(chance.between(least, most)).ok().and_then(NonZeroU32::new);
    drawn.unwrap_or(NonZeroU32::MIN)
}

fn policy(chance: &mut Chance) -> Policy {
    let seconds = |chance: &mut Chance, least, most| Duration::from_millis(chance.between(least, most));
    Policy {
        max_unavailable: if chance.one_in(2) { NonZeroU32::MIN } else { number(chance, 1, 3) },
        canary: number(chance, 1, 2),
        wave: chance.one_in(2).then(|| number(chance, 1, 3)),
        soak: seconds(chance, 0, 3000),
        wave_soak: if chance.one_in(3) { seconds(chance, 0, 8000) } else { Duration::ZERO },
        failure_tolerance: if chance.one_in(5) { 1 } else { 0 },
        on_failure: if chance.one_in(4) { OnFailure::Pause } else { OnFailure::Rollback },
        migrate: if chance.one_in(3) { MigratePer::Host } else { MigratePer::Fleet },
        rollback_parallel: number(chance, 1, 3),
        deadlines: Deadlines {
            stage: Duration::from_secs(60),
            migrate: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            healthy: Duration::from_secs(15),
            join: Duration::from_secs(30),
        },
        settle: if chance.one_in(3) { seconds(chance, 0, 1000) } else { Duration::ZERO },
        stop_grace: Duration::from_secs(3),
    }
}

fn traits(chance: &mut Chance, id: &'static str, hosts: usize) -> Traits {
    let length = |chance: &mut Chance, most| Length(u32::try_from(chance.below(most)).unwrap_or(0));
    let migration = chance.one_in(3).then(|| match chance.below(6) {
        0 => Migration { takes: length(chance, 3000), code: 3, only: only(chance, hosts) },
        1 => Migration { takes: Length(60_000), code: 0, only: only(chance, hosts) },
        _ => Migration { takes: length(chance, 5000), code: 0, only: None },
    });
    let ill = chance.one_in(3).then(|| match chance.below(6) {
        0 => Ill::Exits,
        1 => Ill::ExitsLater(length(chance, 6000)),
        2 => Ill::NeverHealthy,
        3 => Ill::FallsSick(length(chance, 5000)),
        4 => Ill::Sick,
        _ => Ill::NoExec,
    });
    let only = only(chance, hosts);
    Traits {
        id,
        migration,
        healthy_after: length(chance, 2000),
        ill: ill.map(|ill| (ill, only)),
        deaf: chance.one_in(6),
    }
}

/// Something is wrong on one host only, now and then; it may be one that joins.
fn only(chance: &mut Chance, hosts: usize) -> Option<HostNo> {
    chance.one_in(3).then(|| chance.index(hosts + 1))
}

/// Pushes, what operators ask, and faults, in order of time.
fn items(chance: &mut Chance, scenario: &Scenario) -> Vec<(u64, Item)> {
    let mut items = Vec::new();
    let span = 20_000 + chance.below(100_000);
    for service in 0..scenario.services.len() {
        items.push((FIRST_PUSH + chance.below(1000), Item::Push { service, release: 0 }));
        for release in 1..=chance.index(4) {
            items.push((FIRST_PUSH + 5000 + chance.below(span), Item::Push { service, release }));
        }
    }
    let faults = if chance.one_in(8) { 0 } else { chance.below(10) };
    for _ in 0..faults {
        items.push((chance.below(span + 10_000), fault(chance, scenario)));
    }
    let asks = if chance.one_in(2) { 0 } else { chance.below(6) };
    for _ in 0..asks {
        items.push((FIRST_PUSH + chance.below(span), ask(chance, scenario)));
    }
    items.sort_by_key(|(at, _)| *at);
    items
}

fn ask(chance: &mut Chance, scenario: &Scenario) -> Item {
    let service = chance.index(scenario.services.len());
    let host = chance.index(scenario.hosts);
    match chance.below(20) {
        0 | 1 => Item::Again { service },
        2 => Item::Rollback { service },
        3 => Item::Restart { service },
        4 | 5 => Item::Pause { service },
        6 | 7 => Item::Resume { service },
        8 => Item::Abort { service, leave: chance.one_in(3) },
        9 => Item::SetPolicy { service, policy: chance.index(3) },
        10 => Item::BreakSlot { service, host },
        11 => Item::BreakMigrationLock { service, again: chance.one_in(2) },
        12 => Item::Exclude { service, host },
        13 => Item::Include { service, host },
        14 => Item::Drain { service, host },
        15 => Item::Admit { service, host },
        16 | 17 => Item::Resolve { service, verdict: u8::try_from(chance.below(3)).unwrap_or(0) },
        18 => Item::Unquarantine { service },
        _ => Item::Remove { host },
    }
}

fn fault(chance: &mut Chance, scenario: &Scenario) -> Item {
    let service = chance.index(scenario.services.len());
    let host = chance.index(scenario.hosts);
    let length = length(chance);
    match chance.below(6) {
        5 => amid(chance, scenario, service),
        0 => of_hosts(chance, service, host, length),
        1 => of_the_network(chance, scenario.hosts, host, length),
        2 => of_the_balancer(chance, service, host, length),
        3 => Item::AgentDiesAt { host, effects: u32::try_from(chance.below(120)).unwrap_or(0), down: length },
        _ => match chance.below(9) {
            8 => Item::StoreSpoilt { service, host },
            7 => Item::Misconfigured { service, host, length },
            6 => Item::CannotProbe { service, host, length },
            5 => Item::RecordLost { service, host },
            0 => Item::StoreEmpty { host, length },
            1 => Item::StoreSlow { host, length },
            2 => Item::StoreLoses { service, host },
            3 => Item::DiskFull { host, length },
            _ => Item::Killed { service, host },
        },
    }
}

/// Something happens to a host at its work, whichever that is.
fn amid(chance: &mut Chance, scenario: &Scenario, service: usize) -> Item {
    let migrates = scenario.services[service].releases.iter().any(|release| release.migration.is_some());
    let work = if migrates && chance.one_in(2) { Work::Migration } else { Work::Change };
    let most = *chance.pick(&[10, 300, 3000, 10_000]);
    let after = Length(u32::try_from(chance.below(most)).unwrap_or(0));
    let length = length(chance);
    let blow = match chance.below(14) {
        0 => Blow::AgentDies(length),
        1 => Blow::KeeperDies,
        2 => Blow::RecordLost,
        3 => Blow::PowerLost(length),
        4 => Blow::AgentFrozen(length),
        5 => Blow::CutOff(length),
        6 => Blow::Terminated(length),
        7 => Blow::Removed,
        8 => Blow::LockBroken { again: chance.one_in(2) },
        9 => Blow::Drained,
        10 => Blow::Vanished,
        12 => Blow::Rebuilt { down: length, removed: removed(chance) },
        11 => Blow::CannotProbe(length),
        _ => Blow::Excluded,
    };
    Item::Amid { work, service, after, blow }
}

/// Short mostly, and now and then longer than every deadline.
fn length(chance: &mut Chance) -> Length {
    let most = *chance.pick(&[300, 2000, 5000, 15_000, 40_000, 120_000]);
    Length(u32::try_from(chance.below(most)).unwrap_or(0))
}

fn of_hosts(chance: &mut Chance, service: usize, host: HostNo, length: Length) -> Item {
    match chance.below(10) {
        0 | 1 => Item::AgentDies { host, down: length },
        2 => Item::KeeperDies { service, host },
        3 => Item::PowerLost { host, down: length },
        4 => Item::AgentFrozen { host, length },
        5 => Item::HostFrozen { host, length },
        6 => Item::Terminated { host, told: length },
        7 => Item::Vanished { host },
        8 => Item::Rebuilt { host, down: length, removed: removed(chance) },
        _ => Item::Join,
    }
}

/// From a rebuilt host's start until the operator looks.
fn removed(chance: &mut Chance) -> Length {
    let most = *chance.pick(&[100, 5000, 60_000]);
    Length(u32::try_from(chance.below(most)).unwrap_or(0))
}

fn of_the_network(chance: &mut Chance, hosts: usize, host: HostNo, length: Length) -> Item {
    match chance.below(8) {
        0 => Item::CutOff { host, length },
        1 => Item::Deaf { host, length },
        2 => Item::Mute { host, length },
        3 => Item::Apart { one: host, other: chance.index(hosts), length },
        4 => Item::Laggard { host, length },
        6 if 1 < hosts => {
            let side = chance.between(1, (1 << hosts.min(15)) - 2);
            Item::Split { side: u16::try_from(side).unwrap_or(1), length }
        }
        5 => {
            let restarts = Length(u32::try_from(chance.below(length.ms() + 1)).unwrap_or(0));
            Item::Behind { host, restarts, length }
        }
        _ => Item::AnotherLeads { unaware: length },
    }
}

fn of_the_balancer(chance: &mut Chance, service: usize, host: HostNo, length: Length) -> Item {
    let by = Length(u32::try_from(chance.below(4000)).unwrap_or(0));
    match chance.below(7) {
        0 => Item::Throttled { service, length },
        1 => Item::Slow { service, length },
        2 => Item::AnswersLost { service, length },
        3 => Item::Stale { service, by: Length(by.0 / 2), length },
        4 => Item::RegistersLate { service, by, length },
        5 => Item::DrainsLong { service, drain: Length(by.0 * 15), length },
        _ => Item::LosesTarget { service, host },
    }
}
