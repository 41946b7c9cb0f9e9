//! What a rollout of many hosts costs, in entries and copies. How long that takes is never asserted.

use std::sync::Arc;

use super::{play::Play, script::release};
use crate::{
    Fence, HostId, Policy, Revision, ServiceName,
    fleet::{Act, Command, Fleet, PhaseKind, Report, Request, RolloutPhase},
    planner::plan,
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
        Self { play, fleet, web, entries: 0 }
    }

    fn apply(&mut self, proposer: &str, act: Act) {
        self.entries += 1;
        let (proposer, at) = (proposer.to_owned(), WallTime(0));
        let command = Command { proposer, sequence: self.entries, at, act };
        let reader = self.fleet.clone();
        let revision = Revision(self.fleet.revision.0 + 1);
        Arc::make_mut(&mut self.fleet).apply(revision, &command);
        drop(reader);
    }

    fn plan(&mut self) {
        loop {
            self.play.sightings.observe(&self.fleet, self.play.now);
            let plan = plan(&self.fleet, &self.play.sightings, self.play.now);
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
        let request = Request::Push { release: release(name), policy, provenance: Default::default() };
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
    let report = Report::Availability { availability, cause, reason, tail: "".into(), of: None };
    leader.apply(host.as_str(), Act::Report { host: host.clone(), service, report });
    let after = &leader.fleet;
    let apart: Vec<&HostId> =
        before.hosts.keys().filter(|id| !Arc::ptr_eq(&before.hosts[*id], &after.hosts[*id])).collect();
    assert_eq!(apart, [&host]);
    let (old, new) = (&before.services[&leader.web], &after.services[&leader.web]);
    assert!(old.rollouts.keys().all(|id| Arc::ptr_eq(&old.rollouts[id], &new.rollouts[id])));
}
