//! What the fleet is told: in order, one at a time, and again after a restart until it is answered.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    GRANT_FRESH, Host, Phase, TAIL_LIMIT_BYTES,
    effect::Effect,
    event::{Answer, FaultSeen, ReportId, Ticket},
    ledger::Unanswered,
};
use crate::{
    Fence, ReleaseId, Timestamp,
    fleet::{
        assignment::{ChangeGrant, ServiceAssignment},
        command::Report,
        host::{Availability, PhaseKind},
    },
};

/// Longest wait for the end of a program's output before its report goes without.
const TAIL_PATIENCE: Duration = Duration::from_secs(2);
/// After a refusal, or when the fleet still believes otherwise, it is told again after this pause.
const AGAIN: Duration = Duration::from_secs(5);
/// Availability reports that wait at most; the newest count.
const AVAILABILITIES: usize = 2;

/// Reports under way. Those that matter are in the ledger; the others follow from what the fleet believes.
#[derive(Debug, Default)]
pub(super) struct Reports {
    in_flight: Option<(ReportId, Kind)>,
    tails: Vec<Tail>,
    /// What was told last, and when, of what follows from a difference.
    told: BTreeMap<Topic, Timestamp>,
    ask_at: Timestamp,
    /// The fleet has said yes before, too late.
    asked: Option<Fence>,
    refused: Option<String>,
}

/// What a report under way is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The first of the ledger's.
    Queued,
    /// The question whether a change may begin.
    Ask(Fence),
    /// A difference between what the fleet believes and what is.
    Difference(Topic),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Ended,
    MigrationEnded,
    Runs,
    Availability,
    Staged(ReleaseId),
    NotStaged(ReleaseId),
}

impl Topic {
    /// The fleet shows that it was heard, or no longer asks: when it is untrue again, as when a release is wanted once more, it is told
    /// again at once.
    fn is_heard(&self, assigned: Option<&ServiceAssignment>) -> bool {
        let Self::Staged(id) = self else { return false };
        assigned.is_some_and(|assigned| {
            assigned.staged.contains(id) || !assigned.stage.iter().any(|release| release.id == *id)
        })
    }
}

/// The end of a program's output that a report waits for.
#[derive(Debug)]
struct Tail {
    report: ReportId,
    fence: Fence,
    migration: bool,
    ticket: Option<Ticket>,
    until: Timestamp,
}

impl Reports {
    /// When something is to be told, or told without what it waited for.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let tails = self.tails.iter().map(|tail| tail.until);
        let again = self.told.values().map(|told| *told + AGAIN);
        tails.chain(again).chain([self.ask_at])
    }

    /// A change or a migration has ended, and its report is on its way: what the fleet still believes meanwhile is no difference.
    pub(super) fn ended(&mut self, now: Timestamp) {
        self.told.insert(Topic::Ended, now);
        self.told.insert(Topic::MigrationEnded, now);
    }

    /// Why the fleet did not let a change begin.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl Host {
    /// Queues a report. `tail` names the output whose end belongs to it.
    pub(super) fn push_report(&mut self, report: Report, tail: Option<(Fence, bool)>, now: Timestamp) {
        let first_unsent = usize::from(matches!(&self.reports.in_flight, Some((_, Kind::Queued))));
        let ledger = self.remember();
        if matches!(report, Report::Availability { .. }) {
            let is_one = |waiting: &Unanswered| matches!(waiting.report, Report::Availability { .. });
            let waiting: Vec<_> =
                (first_unsent..ledger.reports.len()).filter(|at| is_one(&ledger.reports[*at])).collect();
            for at in waiting.iter().take((waiting.len() + 1).saturating_sub(AVAILABILITIES)).rev() {
                ledger.reports.remove(*at);
            }
        }
        ledger.last_report.0 += 1;
        let id = ledger.last_report;
        ledger.reports.push_back(Unanswered { id, report });
        if let Some((fence, migration)) = tail {
            let until = now + TAIL_PATIENCE;
            self.reports.tails.push(Tail { report: id, fence, migration, ticket: None, until });
        }
    }

    /// Reads the output that reports wait for, before anything else is written under the same grant.
    pub(super) fn read_tails(&mut self) {
        for at in 0..self.reports.tails.len() {
            if self.reports.tails[at].ticket.is_none() {
                let ticket = self.ticket();
                let tail = &mut self.reports.tails[at];
                tail.ticket = Some(ticket);
                let (fence, migration) = (tail.fence, tail.migration);
                self.emit(Effect::ReadTail { ticket, fence, migration });
            }
        }
    }

    pub(super) fn tail_read(&mut self, ticket: Ticket, result: Result<String, FaultSeen>) {
        let Some(at) = self.reports.tails.iter().position(|tail| tail.ticket == Some(ticket)) else { return };
        let id = self.reports.tails.swap_remove(at).report;
        let text = match result {
            Ok(text) => Arc::from(end_of(&text)),
            Err(fault) => return self.log(fault.text),
        };
        let queued = self.remember().reports.iter_mut().find(|queued| queued.id == id);
        match queued.map(|queued| &mut queued.report) {
            Some(Report::Failed { failure, .. } | Report::Stuck { failure, .. }) => failure.tail = text,
            Some(Report::Availability { tail, .. } | Report::MigrationEnded { tail, .. }) => *tail = text,
            _ => {}
        }
    }

    /// Proposes the next report, if none is under way: first the ledger's, then the question to begin, then differences.
    pub(super) fn report(&mut self, now: Timestamp) {
        self.reports.tails.retain(|tail| now < tail.until);
        let assigned = self.assigned.as_ref().map(|(_, assigned)| assigned);
        self.reports.told.retain(|topic, told| now < *told + AGAIN && !topic.is_heard(assigned));
        self.read_tails();
        if self.reports.in_flight.is_some() {
            return;
        }
        if let Some(first) = self.ledger.reports.front() {
            let (id, report) = (first.id, first.report.clone());
            if !self.reports.tails.iter().any(|tail| tail.report == id) {
                self.propose(id, report, Kind::Queued);
            }
            return;
        }
        if self.seen.observed.is_none() {
            return;
        }
        let next = match self.grant_to_begin() {
            Some(grant) if grant.revert => {
                return self.decline(grant.fence, "asked to go back before it had begun", now);
            }
            // The store is being asked whether it has the release still.
            Some(_) if self.calls.query_staged.is_out() => None,
            Some(grant) if !self.may_ask(&grant) => {
                let text = "the release is not staged here";
                return self.decline(grant.fence, text, now);
            }
            Some(grant) if self.reports.ask_at <= now && self.seen.staged.is_some() => Some(self.ask(&grant)),
            Some(_) => None,
            None => self.difference(),
        };
        if let Some((report, kind)) = next {
            // Not in the ledger, so its name need not be written down either.
            self.ledger.last_report.0 += 1;
            self.propose(self.ledger.last_report, report, kind);
        }
    }

    fn propose(&mut self, id: ReportId, report: Report, kind: Kind) {
        self.reports.in_flight = Some((id, kind));
        self.emit(Effect::Propose { id, report });
    }

    /// A grant that is newer than any begun, when nothing else is under way.
    pub(super) fn grant_to_begin(&self) -> Option<ChangeGrant> {
        let grant = self.assigned.as_ref()?.1.change.as_ref()?;
        let is_new = self.ledger.fence.is_none_or(|begun| begun < grant.fence);
        let free = self
            .ledger
            .change
            .as_ref()
            .is_none_or(|change| matches!(change.phase, Phase::Stuck { .. } | Phase::Parked));
        (is_new && free).then(|| grant.clone())
    }

    /// Nothing is disturbed for a release that is not here. Until the store has answered, nobody knows, and it waits.
    fn may_ask(&self, grant: &ChangeGrant) -> bool {
        let needed = grant.to.as_ref().filter(|_| !grant.park);
        self.seen.staged.is_none() || needed.is_none_or(|release| self.is_staged(&release.id))
    }

    fn decline(&mut self, fence: Fence, reason: &str, now: Timestamp) {
        self.remember().fence = Some(fence);
        self.reports.ended(now);
        self.push_report(Report::Abandoned { fence, reason: reason.to_owned() }, None, now);
        self.report(now);
    }

    fn ask(&self, grant: &ChangeGrant) -> (Report, Kind) {
        let fence = grant.fence;
        let told = if self.reports.asked == Some(fence) { PhaseKind::Draining } else { grant.phase };
        let report = Report::Moved { fence, from: told, to: PhaseKind::Draining, reason: None };
        (report, Kind::Ask(fence))
    }

    /// What the fleet believes and is not so. Told when all else is told, and again after a pause as long as it lasts.
    fn difference(&mut self) -> Option<(Report, Kind)> {
        let (_, assigned) = self.assigned.as_ref()?;
        let untold = |topic: &Topic| !self.reports.told.contains_key(topic);
        if let Some(report) = self.ended_unheard(assigned).filter(|_| untold(&Topic::Ended)) {
            return Some((report, Kind::Difference(Topic::Ended)));
        }
        if let Some(report) = self.migration_ended_unheard().filter(|_| untold(&Topic::MigrationEnded)) {
            return Some((report, Kind::Difference(Topic::MigrationEnded)));
        }
        let steady = self.ledger.change.is_none() && assigned.change.is_none();
        if steady && assigned.current != self.ledger.serving && untold(&Topic::Runs) {
            let report = Report::Runs { release: self.ledger.serving.clone() };
            return Some((report, Kind::Difference(Topic::Runs)));
        }
        if let Some(mine) = self.watch.mine.filter(|mine| steady && *mine != assigned.availability)
            && untold(&Topic::Availability)
        {
            return Some((self.availability_report(mine), Kind::Difference(Topic::Availability)));
        }
        let staged = self.seen.staged.iter().flatten();
        let wanted = |id: &&ReleaseId| assigned.stage.iter().any(|release| release.id == **id);
        let news = staged
            .filter(wanted)
            .find(|id| !assigned.staged.contains(*id) && untold(&Topic::Staged((*id).clone())));
        if let Some(release) = news.cloned() {
            let kind = Kind::Difference(Topic::Staged(release.clone()));
            return Some((Report::Staged { release }, kind));
        }
        if let Some(release) = self.lost(assigned).filter(|id| untold(&Topic::NotStaged((*id).clone()))) {
            let (release, reason) =
                (release.clone(), "it is gone from the host, and fetched again".to_owned());
            let kind = Kind::Difference(Topic::NotStaged(release.clone()));
            return Some((Report::NotStaged { release, reason }, kind));
        }
        let wanted = |id: &ReleaseId| assigned.stage.iter().any(|release| release.id == *id);
        let mut troubles = self.staging.troubles.iter_mut();
        let (release, trouble) = troubles.find(|(release, trouble)| !trouble.told && wanted(release))?;
        trouble.told = true;
        let report = Report::NotStaged { release: release.clone(), reason: trouble.reason.clone() };
        Some((report, Kind::Difference(Topic::NotStaged(release.clone()))))
    }

    /// The fleet believes in a change that this host has ended: what it was told of the end was lost, as after a cluster was rebuilt.
    fn ended_unheard(&self, assigned: &ServiceAssignment) -> Option<Report> {
        let grant = assigned.change.as_ref()?;
        let fence = grant.fence;
        if self.ledger.change.is_some() || self.ledger.fence.is_none_or(|begun| begun < fence) {
            return None;
        }
        // Done means in service, and that was then: what it is now has to be looked at first.
        let serves = match self.watch.mine {
            Some(mine) => mine == Availability::In,
            None if self.ledger.serving.is_some() => return None,
            None => true,
        };
        if grant.to == self.ledger.serving && (serves || grant.to.is_none()) {
            return Some(Report::Changed { fence });
        }
        let reason = "it ended before the cluster was rebuilt".to_owned();
        Some(Report::Abandoned { fence, reason })
    }

    /// A wanted release that the fleet believes staged here, and that the store does not have.
    fn lost<'a>(&self, assigned: &'a ServiceAssignment) -> Option<&'a ReleaseId> {
        let here = self.seen.staged.as_ref()?;
        let wanted = assigned.stage.iter().map(|release| &release.id);
        wanted.into_iter().find(|id| assigned.staged.contains(*id) && !here.contains(*id))
    }

    pub(super) fn report_answered(&mut self, id: ReportId, answer: Answer, took: Duration, now: Timestamp) {
        let Some((_, kind)) = self.reports.in_flight.take_if(|(under_way, _)| *under_way == id) else {
            return self.log(format!("answer to report {} that is not waited for: dropped", id.0));
        };
        match (kind, answer) {
            (Kind::Ask(fence), answer) => self.ask_answered(fence, answer, took, now),
            (Kind::Queued, answer) => {
                // In the middle of a change the ledger is written soon, with the next step: a report that is told again after a crash in
                // between is answered again, and no step waits for the disk on its account.
                let changes = self.ledger.change.is_some();
                let ledger = if changes { &mut self.ledger } else { self.remember() };
                if let Some(told) = ledger.reports.pop_front()
                    && let Answer::Refused(why) = answer
                {
                    self.log(format!("the fleet refused the report {}: {why}", subject(&told.report)));
                }
            }
            (Kind::Difference(topic), answer) => {
                if let Answer::Refused(why) = answer {
                    self.log(format!("the fleet refused what it was told of {topic:?}: {why}"));
                }
                self.reports.told.insert(topic, now);
            }
        }
    }

    fn ask_answered(&mut self, fence: Fence, answer: Answer, took: Duration, now: Timestamp) {
        if let Answer::Refused(why) = answer {
            self.reports.ask_at = now + AGAIN;
            self.reports.refused = Some(format!("the fleet does not let change {fence} begin: {why}"));
            self.reports.asked = None;
            return;
        }
        self.reports.refused = None;
        self.reports.asked = Some(fence);
        let grant = self.grant_to_begin().filter(|grant| grant.fence == fence && !grant.revert);
        match grant {
            Some(grant) if took <= GRANT_FRESH => self.begin(grant, now),
            Some(_) => self.log(format!("leave to begin change {fence} took {took:?}: asked again")),
            None => {}
        }
    }
}

/// At most the last [`TAIL_LIMIT_BYTES`], from the start of a character.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL_LIMIT_BYTES);
    (from..=text.len()).find_map(|at| text.get(at..)).unwrap_or_default()
}

/// What a report is about, for the log.
fn subject(report: &Report) -> String {
    match report {
        Report::Staged { release } | Report::NotStaged { release, .. } => format!("on staging {release}"),
        Report::Runs { .. } => "on what it runs".to_owned(),
        Report::Moved { fence, from, to, .. } => format!("that change {fence} went from {from} to {to}"),
        Report::Failed { fence, .. } => format!("that change {fence} failed"),
        Report::Changed { fence } => format!("that change {fence} is done"),
        Report::Reverted { fence } => format!("that change {fence} was taken back"),
        Report::Stuck { fence, .. } => format!("that change {fence} is stuck"),
        Report::Abandoned { fence, .. } => format!("that change {fence} was given up"),
        Report::Parked { fence } => format!("that change {fence} is parked"),
        Report::Availability { availability, .. } => format!("that it is {availability}"),
        Report::MigrationStarted { fence } => format!("that migration {fence} was started"),
        Report::MigrationEnded { fence, .. } => format!("that migration {fence} has ended"),
    }
}
