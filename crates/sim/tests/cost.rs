//! What one plan and one log entry cost in a large fleet, in time on a processor. It measures, asserts no time, and is run by hand:
//! `cargo test --profile sim -p sim --test cost -- --ignored --nocapture`.

use std::{fs, sync::Arc, time::Duration};

use model::{
    Fence, HostId, Policy, Release, Revision, ServiceName, Timestamp,
    fleet::{
        Act, Availability, Cause, Command, Declaration, Enrolment, Fleet, PhaseKind, Report, Request,
        RolloutPhase, SUPPORTED_LEVEL,
    },
    planner::{Sightings, plan},
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
/// How much time on a processor each thing is given, and how often it is done at least.
const REPEATED: (Duration, u32) = (Duration::from_millis(300), 8);

/// A fleet in which every host declares every service, and the leader's picture of it.
struct Stand {
    fleet: Arc<Fleet>,
    sightings: Sightings,
    services: Vec<ServiceName>,
    now: Timestamp,
    entries: u64,
}

impl Stand {
    /// All hosts in service with the first release of every service.
    fn steady(hosts: u32, services: u32) -> Self {
        let services: Vec<ServiceName> =
            (0..services).map(|n| format!("svc-{n:02}").parse().unwrap()).collect();
        let now = Timestamp(1_000_000);
        let sightings = Sightings::new(Duration::from_secs(10), now);
        let mut stand = Self { fleet: Arc::default(), sightings, services, now, entries: 0 };
        for number in 0..hosts {
            stand.enrols(&format!("i-0123456789abcd{number:04}").parse().unwrap());
        }
        for service in stand.services.clone() {
            stand.pushes(&service, "r1");
            while stand.grants_reach_soak(&service) {
                stand.changes_end(&service);
            }
            let last = stand.fleet.services[&service].rollouts.values().next_back().unwrap();
            assert!(matches!(last.phase, RolloutPhase::Ended { .. }), "{:?}", last.phase);
        }
        stand
    }

    fn enrols(&mut self, host: &HostId) {
        let declaration = Declaration { port: 80, probe: None, balancer: Some("lb".into()), channel: None };
        let declares = self.services.iter().map(|service| (service.clone(), declaration.clone())).collect();
        self.apply(Act::Enrol(Enrolment {
            host: host.clone(),
            state: format!("state of {host}"),
            address: "127.0.0.1:1".parse().unwrap(),
            zone: None,
            declares,
            level: SUPPORTED_LEVEL,
            obeyed: None,
            migrated: Default::default(),
            migrated_before: Default::default(),
        }));
        self.sightings.hear(host, self.now);
    }

    fn apply(&mut self, act: Act) {
        self.entries += 1;
        let command = Command { proposer: "bench".into(), sequence: self.entries, at: WallTime(0), act };
        let revision = Revision(self.fleet.revision.0 + 1);
        Arc::make_mut(&mut self.fleet).apply(revision, &command);
    }

    fn report(&mut self, host: &HostId, service: &ServiceName, report: Report) {
        self.apply(Act::Report { host: host.clone(), service: service.clone(), report });
    }

    fn plan(&mut self) -> usize {
        self.sightings.observe(&self.fleet, self.now);
        let plan = plan(&self.fleet, &self.sightings, self.now);
        let acts = plan.acts.len();
        plan.acts.into_iter().for_each(|act| self.apply(act));
        acts
    }

    /// Pushes, and stages everywhere; grants are given out.
    fn pushes(&mut self, service: &ServiceName, name: &str) {
        let slots = u32::try_from(self.fleet.hosts.len() / 10).unwrap().max(1);
        let policy = Policy {
            max_unavailable: slots.try_into().unwrap(),
            wave_soak: Duration::ZERO,
            ..Policy::default()
        };
        let release =
            Release { id: name.parse().unwrap(), source: format!("/store/{name}"), migrates: false };
        let request =
            Request::Push { release: release.clone(), policy: Some(policy), provenance: Default::default() };
        self.apply(Act::Ask { service: service.clone(), by: Default::default(), request });
        for host in self.fleet.hosts.keys().cloned().collect::<Vec<_>>() {
            self.report(&host, service, Report::Staged { release: release.id.clone() });
        }
    }

    fn busy(&self, service: &ServiceName) -> Vec<(HostId, Fence)> {
        let busy = self.fleet.declaring(service);
        busy.filter_map(|(host, here)| Some((host.clone(), here.change.as_ref()?.fence))).collect()
    }

    /// Plans until nothing more is granted, and lets whoever has a grant come to its soak. Whether there was anybody.
    fn grants_reach_soak(&mut self, service: &ServiceName) -> bool {
        while 0 < self.plan() {}
        let busy = self.busy(service);
        for (from, to) in STEPS {
            for (host, fence) in &busy {
                self.report(host, service, Report::Moved { fence: *fence, from, to, reason: None });
            }
        }
        !busy.is_empty()
    }

    fn changes_end(&mut self, service: &ServiceName) {
        for (host, fence) in self.busy(service) {
            self.report(&host, service, Report::Changed { fence });
        }
    }

    /// In the middle of a second rollout of these services: the canary is through, and a tenth of the hosts are soaking.
    fn rolls(&mut self, services: &[ServiceName]) {
        for service in services {
            self.pushes(service, "r2");
            self.grants_reach_soak(service);
            self.changes_end(service);
            self.grants_reach_soak(service);
        }
    }

    /// The time of a plan, with what the leader does before and after it.
    fn plan_time(&mut self) -> Duration {
        mean(|| {
            self.sightings.observe(&self.fleet, self.now);
            let planned = plan(&self.fleet, &self.sightings, self.now);
            self.sightings.time(&planned.holds, self.now);
        })
    }

    /// The time of an entry while somebody looks at the state before it, which makes a copy necessary.
    fn apply_time(&mut self) -> Duration {
        let hosts: Vec<HostId> = self.fleet.hosts.keys().cloned().collect();
        let service = self.services[0].clone();
        let mut turn = 0;
        mean(|| {
            let host = &hosts[turn / 2 % hosts.len()];
            let availability = [Availability::Out, Availability::In][turn % 2];
            turn += 1;
            let (cause, reason) = (Cause::Surroundings, "unplugged".into());
            let report = Report::Availability { availability, cause, reason, tail: "".into(), of: None };
            let reader = self.fleet.clone();
            self.report(host, &service, report);
            drop(reader);
        })
    }
}

/// What it takes of a processor on average, whoever else wants it.
fn mean(mut once: impl FnMut()) -> Duration {
    once();
    let (began, mut runs, mut more) = (on_processor(), 0, REPEATED.1);
    loop {
        (0..more).for_each(|_| once());
        runs += more;
        let spent = on_processor().saturating_sub(began);
        if REPEATED.0 <= spent {
            return spent / runs;
        }
        more = runs;
    }
}

/// What this thread has had of a processor, as the kernel counts it.
fn on_processor() -> Duration {
    let counts = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counts.split(' ').next().unwrap().parse().unwrap())
}

fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

#[test]
#[ignore = "measures, and decides nothing; run by hand"]
fn a_plan_and_an_entry() {
    println!("| hosts | services | plan, at rest | plan, one rolls | plan, all roll | one entry | state |");
    println!("|---|---|---|---|---|---|---|");
    for (hosts, services) in [10, 100, 1000].into_iter().flat_map(|hosts| [1, 10, 50].map(|n| (hosts, n))) {
        let mut stand = Stand::steady(hosts, services);
        let (rest, entry) = (stand.plan_time(), stand.apply_time());
        let state = serde_json::to_vec(&*stand.fleet).unwrap().len();
        let all = stand.services.clone();
        stand.rolls(&all[..1]);
        let one = stand.plan_time();
        stand.rolls(&all[1..]);
        let [rest, one, every, entry] = [rest, one, stand.plan_time(), entry].map(ms);
        let state = state as f64 / 1e6;
        println!("| {hosts} | {services} | {rest} ms | {one} ms | {every} ms | {entry} ms | {state:.2} MB |");
    }
}
