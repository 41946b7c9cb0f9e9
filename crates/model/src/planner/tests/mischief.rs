//! What goes wrong on a walk, and what operators ask for meanwhile.

use std::time::Duration;

use super::{play::SILENT_AFTER, script::release, walk::Walk};
use crate::{
    HostId, Policy, ReleaseId, RolloutId,
    fleet::{Act, Cause, Evidence, MigrationEnd, Request, Step, Verdict},
    planner::Sightings,
    policy::{MigratePer, OnFailure},
};

const RELEASES: [&str; 8] = ["r1", "r2", "r3", "r4", "m1", "m2", "m3", "m4"];

impl Walk {
    fn a_host(&mut self) -> Option<HostId> {
        let hosts: Vec<HostId> = self.play.actors.iter().map(|actor| actor.host.clone()).collect();
        (!hosts.is_empty()).then(|| self.chance.pick(&hosts).clone())
    }

    pub(super) fn something_happens(&mut self) {
        let Some(host) = self.a_host() else { return self.join() };
        let what = self.chance.below(16);
        let release: ReleaseId = self.chance.pick(&RELEASES).parse().unwrap();
        let ends = [
            MigrationEnd::Succeeded,
            MigrationEnd::Succeeded,
            MigrationEnd::Failed { reason: "exit code 3".into() },
            MigrationEnd::Unknown { reason: "rebooted".into() },
            MigrationEnd::NotStarted { reason: "gone".into() },
        ];
        let end = self.chance.pick(&ends).clone();
        match what {
            0..=2 => drop(self.play.silent.insert(host.clone())),
            3..=5 => self.play.silent.clear(),
            6 if self.chance.one_in(2) => {
                self.play.actors.retain(|actor| actor.host != host);
                self.act(Act::Depart { host: host.clone(), evidence: Evidence::Terminated });
            }
            7 if self.play.actors.len() < 6 => self.join(),
            8 => self.play.sightings = Sightings::new(SILENT_AFTER, self.play.now),
            _ => (),
        }
        for actor in self.play.actors_of(&host) {
            let traits = &mut actor.traits;
            match what {
                9 => drop(traits.fails.insert(release.clone())),
                10 => traits.fails.clear(),
                11 => traits.migration_end = end.clone(),
                12 => traits.stage = traits.stage.xor(Some(Duration::from_secs(2))),
                13 => traits.balks += 1,
                14 => traits.stuck = !traits.stuck,
                15 => actor.falls(if actor.host.as_str().len() % 2 == 0 {
                    Cause::Release
                } else {
                    Cause::Surroundings
                }),
                _ => actor.recovers_if_steady(),
            }
        }
    }

    /// A leader out of its mind proposes anything. Policy may suffer; the laws may not.
    pub(super) fn a_mad_leader_plans(&mut self) {
        let Some(host) = self.a_host() else { return };
        let service = &self.play.fleet.services[&self.web];
        let rollouts: Vec<RolloutId> = service.rollouts.keys().rev().take(3).copied().collect();
        if rollouts.is_empty() {
            return;
        }
        let (planned_at, rollout) = (service.changed, *self.chance.pick(&rollouts));
        let mut steps = Vec::new();
        for _ in 0..=self.chance.below(4) {
            let release = self.chance.pick(&RELEASES).parse().unwrap();
            let host = self.a_host().unwrap_or_else(|| host.clone());
            steps.push(match self.chance.below(12) {
                0..=2 => Step::Grant { rollout, host },
                3 => Step::GrantMigration { host, release },
                4 => Step::EndMigrating { rollout },
                5 => Step::StartWave { rollout, hosts: vec![host] },
                6 => Step::EndWave { rollout },
                7 => Step::Converge { host },
                8 => Step::Park { host },
                9 => Step::Adopt { rollout, host },
                10 => Step::Complete { rollout },
                _ => Step::EndStaging { rollout, dropped: vec![host] },
            });
        }
        let service = self.web.clone();
        self.act(Act::Plan { service, planned_at, steps });
    }

    pub(super) fn somebody_asks(&mut self) {
        let Some(host) = self.a_host() else { return };
        let name = *self.chance.pick(&RELEASES);
        let verdict = *self.chance.pick(&[Verdict::Succeeded, Verdict::Failed, Verdict::Retry]);
        let request = match self.chance.below(22) {
            0..=5 => Request::Push { release: release(name), policy: None, provenance: Default::default() },
            6 => Request::Rollback,
            7 => Request::Restart,
            8 => Request::Pause,
            9 | 10 => Request::Resume,
            11 => Request::Abort { leave: self.chance.one_in(2) },
            12 => Request::SetPolicy { policy: self.a_policy() },
            13 | 14 => Request::ResolveMigration { release: name.parse().unwrap(), verdict },
            15 => Request::ReleaseQuarantine { release: name.parse().unwrap() },
            16 => Request::BreakSlot { host },
            17 => Request::BreakMigrationLock,
            18 => Request::Exclude { host },
            19 => Request::Include { host },
            20 => Request::Drain { host },
            _ => Request::Admit { host },
        };
        self.ask(request);
    }

    fn a_policy(&mut self) -> Policy {
        let mut number = |limit: u64| u32::try_from(1 + self.chance.below(limit)).unwrap();
        let mut policy = Policy {
            max_unavailable: number(3).try_into().unwrap(),
            canary: number(2).try_into().unwrap(),
            wave: Some(number(3).try_into().unwrap()),
            rollback_parallel: number(3).try_into().unwrap(),
            wave_soak: Duration::from_secs(number(20).into()),
            failure_tolerance: number(3) - 1,
            ..Policy::default()
        };
        policy.deadlines.stage = Duration::from_secs(60);
        if self.chance.one_in(3) {
            policy.on_failure = OnFailure::Pause;
        }
        if self.chance.one_in(3) {
            policy.migrate = MigratePer::Host;
        }
        policy
    }
}
