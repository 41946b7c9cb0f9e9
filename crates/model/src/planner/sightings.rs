//! What the leader has heard and how long it has waited. Never replicated: the next leader learns it anew, and goes on from the elapsed times
//! that were committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    hold::{Hold, TimedHold},
    timers,
};
use crate::{
    HostId, RolloutId, ServiceName, Timestamp,
    fleet::{Fleet, Timer},
};

/// What the leader has heard and how long it has waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sightings {
    /// How long a host may say nothing.
    silent_after: Duration,
    led_since: Timestamp,
    last: BTreeMap<HostId, Timestamp>,
    /// When this leader learned that the host is there.
    known: BTreeMap<HostId, Timestamp>,
    watches: BTreeMap<(RolloutId, Timer), Stopwatch>,
    /// When a host gave its change up for the so many-th time in a row.
    abandoned: BTreeMap<(ServiceName, HostId), (u32, Timestamp)>,
    holds: BTreeMap<HoldKey, Timestamp>,
}

/// What makes a hold the same one as before: service, rollout, name and host, not its changing words.
type HoldKey = (ServiceName, Option<RolloutId>, &'static str, Option<HostId>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopwatch {
    before: Duration,
    running_since: Option<Timestamp>,
}

impl Sightings {
    /// Of a leader that was elected now.
    #[must_use]
    pub fn new(silent_after: Duration, now: Timestamp) -> Self {
        Self {
            silent_after,
            led_since: now,
            last: BTreeMap::new(),
            known: BTreeMap::new(),
            watches: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            holds: BTreeMap::new(),
        }
    }

    /// A host said something, by the leader's own clock of receipt.
    pub fn hear(&mut self, host: &HostId, now: Timestamp) {
        self.last.insert(host.clone(), now);
    }

    /// Starts, stops and forgets stopwatches as the fleet asks for. Called before each plan.
    pub fn observe(&mut self, fleet: &Fleet, now: Timestamp) {
        let mut wanted = BTreeSet::new();
        for service in fleet.services.values() {
            for rollout in [service.active(), service.next()].into_iter().flatten() {
                for timer in timers(rollout) {
                    wanted.insert((rollout.id, timer));
                    let fresh = Stopwatch { before: rollout.elapsed(timer), running_since: None };
                    let watch = self.watches.entry((rollout.id, timer)).or_insert(fresh);
                    match (rollout.paused.is_some(), watch.running_since) {
                        (false, None) => watch.running_since = Some(now),
                        (true, Some(since)) => {
                            *watch =
                                Stopwatch { before: watch.before + now.since(since), running_since: None }
                        }
                        _ => (),
                    }
                }
            }
        }
        self.watches.retain(|key, _| wanted.contains(key));
        let there = |host: &HostId| fleet.hosts.get(host).is_some_and(|record| record.departed.is_none());
        self.last.retain(|host, _| there(host));
        self.known.retain(|host, _| there(host));
        for (host, _) in fleet.present() {
            self.known.entry(host.clone()).or_insert(now);
        }
        for (host, record) in fleet.present() {
            for (name, here) in &record.services {
                let key = (name.clone(), host.clone());
                let known = self.abandoned.get(&key).map(|(times, _)| *times);
                if here.abandoned == 0 {
                    self.abandoned.remove(&key);
                } else if known != Some(here.abandoned) {
                    self.abandoned.insert(key, (here.abandoned, now));
                }
            }
        }
    }

    /// How long this wait has lasted, with what earlier leaders committed, without pauses.
    #[must_use]
    pub fn elapsed(&self, rollout: RolloutId, timer: Timer, now: Timestamp) -> Duration {
        let Some(watch) = self.watches.get(&(rollout, timer)) else { return Duration::ZERO };
        watch.before + watch.running_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether this leader has heard from the host.
    #[must_use]
    pub fn heard(&self, host: &HostId) -> bool {
        self.last.contains_key(host)
    }

    /// How long ago the host said something to this leader; since the leader knows of it when it never did.
    #[must_use]
    pub fn quiet_for(&self, host: &HostId, now: Timestamp) -> Duration {
        let heard = self.last.get(host).or_else(|| self.known.get(host));
        heard.map_or(Duration::ZERO, |since| now.since((*since).max(self.led_since)))
    }

    /// Whether the leader is too new to call anyone silent.
    #[must_use]
    pub fn is_learning(&self, now: Timestamp) -> bool {
        now.since(self.led_since) < self.silent_after
    }

    pub(super) fn learning_ends_in(&self, now: Timestamp) -> Duration {
        self.silent_after.saturating_sub(now.since(self.led_since))
    }

    /// The hosts that have said nothing for too long.
    #[must_use]
    pub fn silent(&self, fleet: &Fleet, now: Timestamp) -> BTreeSet<HostId> {
        fleet
            .present()
            .filter(|(host, _)| self.silent_after <= self.quiet_for(host, now))
            .map(|(host, _)| host.clone())
            .collect()
    }

    /// The hosts that have said nothing for too long, and for how long.
    #[must_use]
    pub fn silences(&self, now: Timestamp) -> BTreeMap<HostId, Duration> {
        let known = self.known.keys().chain(self.last.keys());
        let quiet = known.map(|host| (host.clone(), self.quiet_for(host, now)));
        quiet.filter(|(_, quiet)| self.silent_after <= *quiet).collect()
    }

    /// When the next host would be silent.
    pub(super) fn next_silence(&self, fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
        let quiet = fleet
            .present()
            .map(|(host, _)| self.quiet_for(host, now))
            .filter(|quiet| *quiet < self.silent_after);
        quiet.max().map(|quiet| now + self.silent_after.saturating_sub(quiet))
    }

    /// How much longer a host that gave up is left alone: a second, doubled with each time in a row, a minute at most.
    pub(super) fn retry_in(&self, service: &ServiceName, host: &HostId, now: Timestamp) -> Option<Duration> {
        let (times, since) = self.abandoned.get(&(service.clone(), host.clone()))?;
        let pause = Duration::from_secs(1 << times.saturating_sub(1).min(6)).min(Duration::from_secs(60));
        let left = pause.saturating_sub(now.since(*since));
        (!left.is_zero()).then_some(left)
    }

    /// Adds to each hold how long it has lasted. A hold is the same as long as its name, rollout and host are.
    pub fn time(&mut self, holds: &[(Hold, Option<Duration>)], now: Timestamp) -> Vec<TimedHold> {
        let key =
            |hold: &Hold| (hold.service.clone(), hold.rollout, hold.why.name(), hold.why.host().cloned());
        let present: BTreeSet<_> = holds.iter().map(|(hold, _)| key(hold)).collect();
        self.holds.retain(|key, _| present.contains(key));
        let timed = holds.iter().map(|(hold, ends_in)| {
            let since = *self.holds.entry(key(hold)).or_insert(now);
            TimedHold { hold: hold.clone(), lasted: now.since(since), ends_in: *ends_in }
        });
        timed.collect()
    }
}
