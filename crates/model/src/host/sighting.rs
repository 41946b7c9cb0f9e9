//! What a host looks like from outside: sent to the leader every so often, never replicated.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Host, Phase, Step, event::ProcessSeen, health::Health, words};
use crate::{
    Fence, ReleaseId, Revision, StageProgress, Timestamp,
    fleet::host::{Availability, PhaseKind},
};

/// One service on one host as its host machine sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The newest assignment that it has seen.
    pub revision: Option<Revision>,
    /// How far its change is.
    pub phase: PhaseKind,
    /// The change's grant.
    pub fence: Option<Fence>,
    /// The release it runs or is about to run.
    pub release: Option<ReleaseId>,
    /// How long it has been in this phase.
    pub since: Duration,
    /// Whether it is in service, as far as it can tell; unknown until it has looked.
    pub availability: Availability,
    /// What went wrong last and when it is tried again. Nothing, while all goes well.
    pub trouble: Option<String>,
    /// What it waits for, and what would end that.
    pub waits_for: Option<String>,
    /// The process; the first instance's.
    pub pid: Option<u32>,
    /// How often the keeper restarted it.
    pub restarts: u32,
    /// How well the service is.
    #[serde(default)]
    pub health: Health,
    /// Releases that are staged here.
    pub staged: BTreeSet<ReleaseId>,
    /// The release that is being staged now.
    pub staging: Option<ReleaseId>,
    /// How far that is, where the store says so. The machine does not know: whoever stages adds it.
    #[serde(default)]
    pub staging_progress: Option<StageProgress>,
    /// Reports that the fleet has not answered yet.
    pub unanswered: usize,
}

impl Host {
    /// What the machine sees, for the leader and for people.
    #[must_use]
    pub fn sighting(&self, now: Timestamp) -> Sighting {
        let (pid, restarts) = match self.process() {
            Some(ProcessSeen::Running { pid, restarts, .. }) => (Some(*pid), *restarts),
            Some(ProcessSeen::Exited { restarts, .. }) => (None, *restarts),
            Some(ProcessSeen::Stopped) | None => (None, 0),
        };
        let change = self.ledger.change.as_ref();
        let asks = self.grant_to_begin();
        let phase = match (change, &asks) {
            (Some(change), _) => change.phase.kind(),
            (None, Some(_)) => PhaseKind::Granted,
            (None, None) => PhaseKind::Steady,
        };
        let release = match (self.process(), change) {
            (Some(ProcessSeen::Running { release, .. }), _) => Some(release),
            (_, Some(change)) => change.wanted().map(|release| &release.id),
            (_, None) => self.ledger.serving.as_ref().map(|release| &release.id),
        };
        Sighting {
            revision: self.assigned.as_ref().map(|(revision, _)| *revision),
            phase,
            fence: change.map(|change| change.fence).or(asks.map(|grant| grant.fence)),
            release: release.cloned(),
            since: self.wait.elapsed(now),
            availability: match (change, self.watch.mine) {
                (Some(_), _) => Availability::Out,
                (None, mine) => mine.unwrap_or(Availability::Unknown),
            },
            trouble: self.trouble(now),
            waits_for: self.waits_for(now),
            pid,
            restarts,
            health: self.health(now),
            staged: self.seen.staged.clone().unwrap_or_default(),
            staging: self.staging.now.clone(),
            staging_progress: None,
            unanswered: self.ledger.reports.len(),
        }
    }

    /// What went wrong last, of what the machine is about now.
    fn trouble(&self, now: Timestamp) -> Option<String> {
        let calls = self.calls.all().into_iter().find_map(|call| call.trouble(now));
        let miss = || self.wait.miss.as_ref().map(|miss| format!("the probe does not pass: {miss}"));
        let stuck = || match self.ledger.change.as_ref().map(|change| &change.phase) {
            Some(Phase::Stuck { failure, .. }) => Some(format!("could not go back: {}", failure.reason)),
            _ => None,
        };
        let out = || match (&self.ledger.change, self.watch.mine, &self.watch.why) {
            (None, Some(Availability::Out), Some((_, why))) if self.ledger.serving.is_some() => {
                Some(why.clone())
            }
            _ => None,
        };
        let staging = || {
            let (release, trouble) = self.staging.troubles.iter().next()?;
            let again = words(trouble.again.since(now));
            Some(format!("{release} is not staged: {}; next try in {again}", trouble.reason))
        };
        calls
            .or_else(|| self.reports.refused().map(str::to_owned))
            .or_else(miss)
            .or_else(stuck)
            .or_else(out)
            .or_else(|| self.migration.trouble().map(str::to_owned))
            .or_else(staging)
    }

    /// What would end the present wait, in words.
    fn waits_for(&self, now: Timestamp) -> Option<String> {
        if self.seen.observed.is_none() {
            return Some("the supervisor's word on what runs".to_owned());
        }
        let Some(change) = &self.ledger.change else {
            if self.grant_to_begin().is_some() {
                return Some("the fleet's leave to begin".to_owned());
            }
            return self.ledger.returning.then(|| "its return to service".to_owned());
        };
        let what = match (&change.phase, change.phase.step()) {
            (Phase::Parked, _) => "an operator's word that the maintenance is over",
            (Phase::Aborting { .. }, _) | (_, Some(Step::Joining)) => "the balancer to say in service",
            (_, Some(Step::Checking)) => "the balancer's word whether it is registered",
            (_, Some(Step::Leaving)) => "the end of the drain",
            (_, Some(Step::Settling)) => "in-flight work to settle",
            (_, Some(Step::Stopping)) => "the process to be gone",
            (_, Some(Step::Starting)) => "the process to be started",
            (_, Some(Step::Probing | Step::Soaking)) if self.unasked_until().is_some() => {
                "a probe that can be made"
            }
            (_, Some(Step::Probing)) => "the probe to pass",
            (_, Some(Step::Soaking))
                if !self.is_in_service() && (self.has_soaked(now) || 0 < self.wait.not_in_service) =>
            {
                "the balancer to say in service"
            }
            (_, Some(Step::Soaking)) if self.has_soaked(now) => "the probe to pass",
            (_, Some(Step::Soaking)) => "the soak to be over",
            (_, Some(Step::Idle) | None) => "a new grant",
        };
        let stands = change.phase.step() == Some(Step::Soaking) && 0 < self.wait.not_in_service;
        let left = match self.unasked_until() {
            _ if stands => None,
            Some(until) => Some(until.since(now)),
            None => self.limit().map(|limit| limit.saturating_sub(self.wait.elapsed(now))),
        };
        let frozen = self.wait.frozen.words();
        Some(match left.filter(|left| !left.is_zero()) {
            Some(left) => {
                // A whole number: it is what may be waited for at most.
                let left = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() != 0));
                format!("{what}, for {} more at most{frozen}", words(left))
            }
            None => format!("{what}{frozen}"),
        })
    }
}
