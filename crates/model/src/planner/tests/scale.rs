//! What a rollout of many hosts costs. How long that takes is printed on demand and never asserted:
//! `cargo test --release -p model scale -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{play::Play, script::release};
use crate::{
    Fence, HostId, Policy, Revision, ServiceName,
    fleet::{Act, Command, Fleet, PhaseKind, Report, Request, RolloutPhase},
    planner::{plan, preview::preview},
    time::WallTime,
};

const STEPS: [(PhaseKind, PhaseKind); 6] = [
    (PhaseKind::Granted, PhaseKind::Draining),
    (PhaseKind::Draining, PhaseKind::Stopping),
    (PhaseKind::Stopping, PhaseKind::Starting),
    (PhaseKind::Starting, PhaseKind::Probing),
    (PhaseKind::Probing, PhaseKind::Joining),
    (PhaseKind::Joining, PhaseKind::Soaking),
];

/// A voter that leads: each entry finds a reader who still looks at the state before.
struct Leader {
    play: Play,
    fleet: Arc<Fleet>,
    web: ServiceName,
    entries: u64,
    plans: u64,
    copying: Duration,
    applying: Duration,
    planning: Duration,
}

impl Leader {
    fn of(hosts: u32) -> Self {
        let (mut play, web) = (Play::new(), "web".parse().unwrap());
        for number in 0..hosts {
            let host: HostId = format!("i-0123456789abcd{number:04}").parse().unwrap();
            play.enrols(&host, std::slice::from_ref(&web), 80);
            play.sightings.hear(&host, play.now);
        }
        let fleet = Arc::new(play.fleet.clone());
        let none = Duration::ZERO;
        Self { play, fleet, web, entries: 0, plans: 0, copying: none, applying: none, planning: none }
    }

    fn apply(&mut self, proposer: &str, act: Act) {
        self.entries += 1;
        let (proposer, at) = (proposer.to_owned(), WallTime(0));
        let command = Command { proposer, sequence: self.entries, at, act };
        let reader = self.fleet.clone();
        let revision = Revision(self.fleet.revision.0 + 1);
        let began = Instant::now();
        let fleet = Arc::make_mut(&mut self.fleet);
        let copied = Instant::now();
        fleet.apply(revision, &command);
        self.copying += copied - began;
        self.applying += copied.elapsed();
        drop(reader);
    }

    fn plan(&mut self) {
        loop {
            self.plans += 1;
            let began = Instant::now();
            self.play.sightings.observe(&self.fleet, self.play.now);
            let plan = plan(&self.fleet, &self.play.sightings, self.play.now);
            self.play.sightings.time(&plan.holds, self.play.now);
            self.planning += began.elapsed();
            if plan.acts.is_empty() {
                return;
            }
            plan.acts.into_iter().for_each(|act| self.apply("leader", act));
        }
    }

    fn report(&mut self, host: &HostId, report: Report) {
        self.apply(host.as_str(), Act::Report { host: host.clone(), service: self.web.clone(), report });
        self.plan();
    }

    /// Pushes, and lets every host go through all that it goes through.
    fn rolls(&mut self, name: &str) {
        let slots = u32::try_from(self.fleet.hosts.len() / 10).unwrap().max(1);
        let policy = Some(Policy { max_unavailable: slots.try_into().unwrap(), ..Policy::default() });
        let request = Request::Push { release: release(name), policy };
        self.apply("ci", Act::Ask { service: self.web.clone(), by: Default::default(), request });
        self.plan();
        for host in self.fleet.hosts.keys().cloned().collect::<Vec<_>>() {
            self.report(&host, Report::Staged { release: release(name).id });
        }
        loop {
            let busy = self.fleet.declaring(&self.web);
            let busy = busy.filter_map(|(host, here)| Some((host.clone(), here.change.as_ref()?.fence)));
            let busy: Vec<(HostId, Fence)> = busy.collect();
            if busy.is_empty() {
                break;
            }
            for (from, to) in STEPS {
                for (host, fence) in &busy {
                    self.report(host, Report::Moved { fence: *fence, from, to, reason: None });
                }
            }
            for (host, fence) in &busy {
                self.report(host, Report::Changed { fence: *fence });
            }
        }
        let last = self.fleet.services[&self.web].rollouts.values().next_back().unwrap();
        assert!(matches!(last.phase, RolloutPhase::Ended { .. }), "{:?}", last.phase);
    }
}

#[test]
fn entries_of_a_rollout_grow_with_the_hosts_and_not_with_their_square() {
    let entries = |hosts: u32| {
        let mut leader = Leader::of(hosts);
        leader.plan();
        leader.rolls("r1");
        leader.entries = 0;
        leader.rolls("r2");
        leader.entries
    };
    let (few, many) = (entries(20), entries(80));
    assert!(many <= 4 * few + 20, "{few} entries for 20 hosts, {many} for 80");
}

#[test]
fn a_copy_of_the_state_shares_all_but_what_has_changed() {
    let mut leader = Leader::of(30);
    leader.plan();
    leader.rolls("r1");
    leader.rolls("r2");
    let before = leader.fleet.clone();
    let host = before.hosts.keys().next().unwrap().clone();
    let (availability, cause) = (crate::fleet::Availability::Out, crate::fleet::Cause::Surroundings);
    let (service, reason) = (leader.web.clone(), "unplugged".into());
    let report = Report::Availability { availability, cause, reason, tail: "".into() };
    leader.apply(host.as_str(), Act::Report { host: host.clone(), service, report });
    let after = &leader.fleet;
    let apart: Vec<&HostId> =
        before.hosts.keys().filter(|id| !Arc::ptr_eq(&before.hosts[*id], &after.hosts[*id])).collect();
    assert_eq!(apart, [&host]);
    let (old, new) = (&before.services[&leader.web], &after.services[&leader.web]);
    assert!(old.rollouts.keys().all(|id| Arc::ptr_eq(&old.rollouts[id], &new.rollouts[id])));
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for hosts in [30, 300, 3000] {
        let mut leader = Leader::of(hosts);
        leader.plan();
        leader.rolls("r1");
        let ahead = |slots: u32| {
            let policy = Policy { max_unavailable: slots.try_into().unwrap(), ..Policy::default() };
            let began = Instant::now();
            let Leader { play, fleet, web, .. } = &leader;
            let shown =
                preview(fleet, &play.sightings, play.now, web, &release("r2"), Some(&policy)).unwrap();
            println!(
                "{hosts} hosts, preview with {slots} slots: {:?}, {:?}",
                shown.ahead.end,
                began.elapsed()
            );
        };
        ahead((hosts / 10).max(1));
        ahead(1);
        let none = Duration::ZERO;
        (leader.entries, leader.plans) = (leader.entries, 0);
        (leader.copying, leader.applying, leader.planning) = (none, none, none);
        let before = leader.entries;
        leader.rolls("r2");
        println!(
            "{hosts} hosts: {} entries copied in {:?}, applied in {:?}; {} plans in {:?}",
            leader.entries - before,
            leader.copying,
            leader.applying,
            leader.plans,
            leader.planning
        );
    }
}
