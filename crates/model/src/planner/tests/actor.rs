//! A host as the planner's tests imagine it: it does what its assignment says, in fixed times, and fails where it is told to.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    Fence, HostId, Release, ReleaseId, ServiceName, Timestamp,
    fleet::{
        Availability, Cause, ChangeGrant, Failure, MigrationEnd, PhaseKind, Reply, Report, ServiceAssignment,
    },
};

const NEVER: Timestamp = Timestamp(u64::MAX);
/// A host that heard nothing but refusals, or whose word was not believed, says it again after this pause.
const AGAIN: Duration = Duration::from_secs(2);
/// An answer that took longer than this is no leave to begin.
const FRESH: Duration = Duration::from_secs(3);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the host is like.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    /// Time to fetch a release; none: it cannot.
    pub(super) stage: Option<Duration>,
    /// Time that `bin/migrate` takes; none: it does not end.
    pub(super) migrate: Option<Duration>,
    pub(super) migration_end: MigrationEnd,
    /// Releases that do not get healthy here.
    pub(super) fails: BTreeSet<ReleaseId>,
    /// The old release does not come back.
    pub(super) stuck: bool,
    /// How many more drains go wrong for a fault of the balancer.
    pub(super) balks: u32,
    /// How long a drain lasts.
    pub(super) drain: Duration,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            stage: Some(secs(2)),
            migrate: Some(secs(4)),
            migration_end: MigrationEnd::Succeeded,
            fails: BTreeSet::new(),
            stuck: false,
            balks: 0,
            drain: secs(5),
        }
    }
}

#[derive(Debug, Clone)]
struct Doing {
    grant: ChangeGrant,
    phase: PhaseKind,
    until: Timestamp,
}

#[derive(Debug, Clone)]
struct Run {
    fence: Fence,
    until: Timestamp,
}

/// One service on one host.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) host: HostId,
    pub(super) service: ServiceName,
    pub(super) traits: Traits,
    view: Option<ServiceAssignment>,
    pub(super) serving: Option<Release>,
    in_service: bool,
    cause: Cause,
    begun: Option<Fence>,
    doing: Option<Doing>,
    staged: BTreeSet<ReleaseId>,
    fetch: Option<(ReleaseId, Timestamp)>,
    complained: Option<ReleaseId>,
    run: Option<Run>,
    migrated: Option<Fence>,
    outbox: VecDeque<Report>,
    asked: Option<(Timestamp, bool)>,
    waits: bool,
    quiet_until: Timestamp,
}

impl Actor {
    pub(super) fn new(host: HostId, service: ServiceName) -> Self {
        Self {
            host,
            service,
            traits: Traits::default(),
            view: None,
            serving: None,
            in_service: false,
            cause: Cause::Surroundings,
            begun: None,
            doing: None,
            staged: BTreeSet::new(),
            fetch: None,
            complained: None,
            run: None,
            migrated: None,
            outbox: VecDeque::new(),
            asked: None,
            waits: false,
            quiet_until: Timestamp(0),
        }
    }

    /// When something happens here by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let doing = self.doing.as_ref().map(|doing| doing.until);
        let run = self.run.as_ref().map(|run| run.until);
        let fetch = self.fetch.as_ref().map(|(_, until)| *until);
        let times = [doing, run, fetch, Some(self.quiet_until)];
        times.into_iter().flatten().filter(|at| *at != NEVER).min()
    }

    /// The process dies, or comes back.
    pub(super) fn falls(&mut self, cause: Cause) {
        (self.in_service, self.cause) = (false, cause);
    }

    pub(super) fn recovers(&mut self) {
        self.in_service = self.serving.is_some();
    }

    /// Comes back, unless a change has it anyway.
    pub(super) fn recovers_if_steady(&mut self) {
        if self.doing.is_none() {
            self.recovers();
        }
    }

    /// Takes the newest assignment.
    pub(super) fn see(&mut self, view: ServiceAssignment, now: Timestamp) {
        self.obey(&view, now);
        if let Some(grant) = &view.migrate
            && self.migrated.is_none_or(|known| known < grant.fence)
        {
            self.migrated = Some(grant.fence);
            let refuses = matches!(self.traits.migration_end, MigrationEnd::NotStarted { .. });
            if self.staged.contains(&grant.release.id) && !refuses {
                let until = self.traits.migrate.map_or(NEVER, |time| now + time);
                self.run = Some(Run { fence: grant.fence, until });
                self.outbox.push_back(Report::MigrationStarted { fence: grant.fence });
            } else {
                let end = MigrationEnd::NotStarted { reason: "it is not staged here".into() };
                self.outbox.push_back(Report::MigrationEnded { fence: grant.fence, end, tail: "".into() });
            }
        }
        let wanted = view.stage.iter().map(|release| &release.id).find(|id| !self.staged.contains(*id));
        match (wanted, &self.fetch, self.traits.stage) {
            (None, ..) => self.fetch = None,
            (Some(_), Some((id, _)), _) if view.stage.iter().any(|release| release.id == *id) => (),
            (Some(id), _, Some(time)) => self.fetch = Some((id.clone(), now + time)),
            (Some(id), _, None) if self.complained.as_ref() != Some(id) => {
                self.complained = Some(id.clone());
                let reason = "no space left on device".to_owned();
                self.outbox.push_back(Report::NotStaged { release: id.clone(), reason });
            }
            _ => (),
        }
        self.view = Some(view);
    }

    fn obey(&mut self, view: &ServiceAssignment, now: Timestamp) {
        let Some(doing) = &self.doing else { return };
        let same = view.change.as_ref().filter(|grant| grant.fence == doing.grant.fence);
        let Some(grant) = same else {
            // Its slot was broken, and the maintenance is over: nobody else would tell it to come back.
            if doing.phase == PhaseKind::Parked && !view.parked && view.change.is_none() {
                self.goes(PhaseKind::Starting, now);
            }
            return;
        };
        let may_revert = grant.from.is_none() || grant.fallback;
        match doing.phase {
            PhaseKind::Parked if !grant.park => self.goes(PhaseKind::Starting, now),
            PhaseKind::Draining if grant.revert => self.goes(PhaseKind::Aborting, now),
            PhaseKind::Stopping
            | PhaseKind::Starting
            | PhaseKind::Probing
            | PhaseKind::Joining
            | PhaseKind::Soaking
                if grant.revert && may_revert =>
            {
                self.goes(PhaseKind::Reverting, now);
            }
            _ => (),
        }
        if let Some(doing) = &mut self.doing {
            doing.grant.park = grant.park;
        }
    }

    /// Enters a phase and reports it.
    fn goes(&mut self, to: PhaseKind, now: Timestamp) {
        let soak = self.view.as_ref().map_or(secs(5), |view| view.policy.soak);
        let Some(doing) = &mut self.doing else { return };
        let (from, fence) = (doing.phase, doing.grant.fence);
        doing.phase = to;
        doing.until = match to {
            PhaseKind::Draining => now + self.traits.drain,
            PhaseKind::Probing => now + secs(2),
            PhaseKind::Joining | PhaseKind::Aborting => now + secs(3),
            PhaseKind::Soaking => now + soak,
            PhaseKind::Reverting => now + secs(8),
            PhaseKind::Parked | PhaseKind::Stuck => NEVER,
            _ => now + secs(1),
        };
        let report = match to {
            PhaseKind::Parked => Report::Parked { fence },
            PhaseKind::Stuck => {
                Report::Stuck { fence, failure: failure(from, "the old release is not healthy") }
            }
            _ => Report::Moved { fence, from, to, reason: None },
        };
        self.outbox.push_back(report);
    }

    fn ends(&mut self, report: Report, serving: Option<Release>) {
        self.in_service = serving.is_some();
        self.serving = serving;
        self.doing = None;
        self.outbox.push_back(report);
        if let Some(view) = &self.view {
            self.staged.retain(|release| view.keep.contains(release));
        }
    }

    /// Lets pass what is over by now.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if let Some(doing) = self.doing.as_mut().filter(|doing| doing.phase == PhaseKind::Stuck)
            && !self.traits.stuck
            && doing.until == NEVER
        {
            doing.until = now + secs(5);
        }
        while let Some(doing) = self.doing.clone().filter(|doing| doing.until <= now) {
            self.steps(&doing, now);
        }
        if let Some(run) = self.run.take_if(|run| run.until <= now) {
            let end = self.traits.migration_end.clone();
            self.outbox.push_back(Report::MigrationEnded { fence: run.fence, end, tail: "log".into() });
        }
        if let Some((release, _)) = self.fetch.take_if(|(_, until)| *until <= now) {
            self.staged.insert(release);
        }
        if self.quiet_until <= now {
            self.quiet_until = NEVER;
        }
    }

    fn steps(&mut self, doing: &Doing, now: Timestamp) {
        let ChangeGrant { fence, to, from, fallback, park, .. } = doing.grant.clone();
        match doing.phase {
            PhaseKind::Draining if 0 < self.traits.balks => {
                self.traits.balks -= 1;
                self.goes(PhaseKind::Aborting, now);
            }
            PhaseKind::Draining => self.goes(PhaseKind::Stopping, now),
            PhaseKind::Aborting => {
                self.ends(Report::Abandoned { fence, reason: "the drain did not end".into() }, from);
            }
            PhaseKind::Stopping if park => self.goes(PhaseKind::Parked, now),
            PhaseKind::Stopping if to.is_none() => self.ends(Report::Changed { fence }, None),
            PhaseKind::Stopping => self.goes(PhaseKind::Starting, now),
            PhaseKind::Starting => self.goes(PhaseKind::Probing, now),
            PhaseKind::Probing if to.as_ref().is_some_and(|to| self.traits.fails.contains(&to.id)) => {
                let failure = failure(PhaseKind::Probing, "the probe answered 503");
                self.outbox.push_back(Report::Failed { fence, failure });
                let back = from.is_none() || fallback;
                let to = if back { PhaseKind::Reverting } else { PhaseKind::Stuck };
                let reports = self.outbox.len();
                self.goes(to, now);
                if back {
                    self.outbox.truncate(reports);
                }
            }
            PhaseKind::Probing => self.goes(PhaseKind::Joining, now),
            PhaseKind::Joining => self.goes(PhaseKind::Soaking, now),
            PhaseKind::Soaking => self.ends(Report::Changed { fence }, to),
            PhaseKind::Reverting if self.traits.stuck && from.is_some() => self.goes(PhaseKind::Stuck, now),
            PhaseKind::Reverting | PhaseKind::Stuck => {
                self.ends(Report::Reverted { fence }, from.filter(|_| fallback));
            }
            phase => panic!("{} has no end of {phase}", self.host),
        }
    }

    /// What it says next, if it is not waiting for an answer.
    pub(super) fn speak(&mut self, now: Timestamp) -> Option<Report> {
        if self.waits {
            return None;
        }
        let report = self.outbox.front().cloned().or_else(|| self.asks(now)).or_else(|| self.differs(now))?;
        self.waits = true;
        Some(report)
    }

    fn asks(&mut self, now: Timestamp) -> Option<Report> {
        let grant = self.view.as_ref()?.change.clone()?;
        let may = |phase| matches!(phase, PhaseKind::Stuck | PhaseKind::Parked);
        let free = self.doing.as_ref().is_none_or(|doing| may(doing.phase));
        if !free || self.begun.is_some_and(|begun| grant.fence <= begun) || self.quiet_until != NEVER {
            return None;
        }
        let fence = grant.fence;
        let absent = grant.to.as_ref().is_some_and(|to| !grant.park && !self.staged.contains(&to.id));
        if grant.revert || absent {
            self.begun = Some(fence);
            let reason = "not staged here, or not wanted any more".to_owned();
            self.outbox.push_back(Report::Abandoned { fence, reason });
            return self.outbox.front().cloned();
        }
        let (_, late) = self.asked.unwrap_or_default();
        let from = if late { PhaseKind::Draining } else { grant.phase };
        self.asked = Some((now, late));
        Some(Report::Moved { fence, from, to: PhaseKind::Draining, reason: None })
    }

    /// What the fleet believes and is not so.
    fn differs(&mut self, now: Timestamp) -> Option<Report> {
        let view = self.view.as_ref()?;
        if let Some(release) = self
            .staged
            .iter()
            .find(|id| !view.staged.contains(*id) && view.stage.iter().any(|release| release.id == **id))
        {
            return Some(Report::Staged { release: release.clone() });
        }
        let steady = self.doing.is_none() && view.change.is_none();
        if !steady || self.quiet_until != NEVER {
            return None;
        }
        self.quiet_until = now + AGAIN;
        if view.current != self.serving {
            return Some(Report::Runs { release: self.serving.clone() });
        }
        let mine = if self.in_service { Availability::In } else { Availability::Out };
        if view.availability != mine {
            let (cause, reason) = (self.cause, "it was seen".to_owned());
            return Some(Report::Availability {
                availability: mine,
                cause,
                reason,
                tail: "".into(),
                of: None,
            });
        }
        self.quiet_until = NEVER;
        None
    }

    /// The fleet has answered what it said last.
    pub(super) fn hear(&mut self, report: &Report, reply: &Reply, now: Timestamp) {
        self.waits = false;
        if self.outbox.front() == Some(report) {
            self.outbox.pop_front();
            return;
        }
        let Report::Moved { fence, .. } = report else { return };
        let Some((asked, _)) = self.asked.take() else { return };
        let grant = self.view.as_ref().and_then(|view| view.change.clone());
        match (reply, grant) {
            (Reply::Done, _) if FRESH < now.since(asked) => self.asked = Some((now, true)),
            (Reply::Done, Some(grant)) if grant.fence == *fence => {
                self.begun = Some(*fence);
                self.in_service = false;
                self.doing =
                    Some(Doing { grant, phase: PhaseKind::Draining, until: now + self.traits.drain });
            }
            // Taken back meanwhile: the fleet believes that it has begun, and its word is another grant's.
            (Reply::Done, _) => (),
            _ => self.quiet_until = now + AGAIN,
        }
    }
}

fn failure(phase: PhaseKind, reason: &str) -> Failure {
    Failure { phase, cause: Cause::Release, reason: reason.to_owned(), tail: "".into() }
}
