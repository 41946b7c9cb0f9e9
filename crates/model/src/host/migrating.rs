//! Runs `bin/migrate` under a grant: at most once, whatever the record of the supervisor leaves open.

use std::time::Duration;

use super::{
    Host,
    call::Backoff,
    effect::Effect,
    event::{Denied, ExitSeen, FaultWord, MigrationSeen, Observed, Ticket},
    ledger::{Freezes, MigrationNote, MigrationProgress},
    words,
};
use crate::{
    Fence, Timestamp,
    fleet::{
        assignment::MigrationGrant,
        command::{MigrationEnd, Report},
    },
};

/// How often the length of a run is written down.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// The wait for a migration.
#[derive(Debug, Default)]
pub(super) struct Run {
    since: Timestamp,
    before: Duration,
    checkpoint: Timestamp,
    /// The ledger's note was read after a restart.
    resumed: bool,
    /// Why it is not started.
    trouble: Option<String>,
}

impl Run {
    fn new(now: Timestamp, before: Duration) -> Self {
        Self { since: now, before, checkpoint: now, resumed: true, trouble: None }
    }

    fn elapsed(&self, now: Timestamp) -> Duration {
        self.before + now.since(self.since)
    }

    /// Why it is not started.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

impl Host {
    fn migration_grant(&self) -> Option<&MigrationGrant> {
        self.assigned.as_ref()?.1.migrate.as_ref()
    }

    /// What the supervisor's record says of the migration noted, under its own grant.
    fn migration_record(&self, note: &MigrationNote) -> MigrationSeen {
        match self.seen.observed.as_ref().and_then(|observed| observed.migration.as_ref()) {
            Some((release, seen)) if *release == note.release.id && under(*seen) == Some(note.fence) => *seen,
            _ => MigrationSeen::NotStarted,
        }
    }

    /// Whether one runs here, under whatever grant.
    fn migrates(&self) -> bool {
        let record = self.seen.observed.as_ref().and_then(|observed| observed.migration.as_ref());
        record.is_some_and(|(_, seen)| matches!(seen, MigrationSeen::Running { .. }))
    }

    /// Does what the grant and the record ask for.
    pub(super) fn migrate(&mut self, now: Timestamp) {
        self.resume_migration(now);
        self.take_migration_grant(now);
        let Some(note) = self.ledger.migration.clone() else { return };
        match (note.state, self.migration_record(&note)) {
            (MigrationProgress::Ended, _) => {}
            (MigrationProgress::Called, MigrationSeen::NotStarted) => self.call_migrate(&note, now),
            (MigrationProgress::Called, MigrationSeen::Running { .. } | MigrationSeen::Ended { .. }) => {
                self.push_report(Report::MigrationStarted { fence: note.fence }, None, now);
                self.note_migration(MigrationProgress::Started, now);
                self.migrate(now);
            }
            (MigrationProgress::Started | MigrationProgress::Overdue, MigrationSeen::NotStarted) => {
                self.miss_record(now);
            }
            (MigrationProgress::Started, MigrationSeen::Running { .. }) => self.watch_migration(now),
            (MigrationProgress::Overdue, MigrationSeen::Running { .. }) => self.stop_migration(&note, now),
            (MigrationProgress::Started, MigrationSeen::Ended { exit, .. }) => {
                self.end_migration(ended(exit), now);
            }
            (MigrationProgress::Overdue, MigrationSeen::Ended { .. }) => {
                self.end_migration(self.overdue(note.frozen), now);
            }
        }
    }

    /// So much time has passed in which the host was frozen, and `bin/migrate` with it. It does not count, unless that is too often.
    pub(super) fn thaw_migration(&mut self, gap: Duration) {
        let under_way = |state| matches!(state, MigrationProgress::Called | MigrationProgress::Started);
        let counts = self.ledger.migration.as_ref();
        if counts.is_none_or(|note| !under_way(note.state) || note.frozen.are_too_many()) {
            return;
        }
        let Some(note) = &mut self.remember().migration else { return };
        if note.frozen.count(gap) {
            self.migration.since = self.migration.since + gap;
        }
    }

    fn resume_migration(&mut self, now: Timestamp) {
        if !self.migration.resumed {
            let before = self.ledger.migration.as_ref().map_or(Duration::ZERO, |note| note.elapsed);
            self.migration = Run::new(now, before);
        }
    }

    fn take_migration_grant(&mut self, now: Timestamp) {
        let Some(grant) = self.migration_grant() else { return };
        if self.ledger.migration.as_ref().is_some_and(|note| grant.fence <= note.fence) {
            return;
        }
        let started = grant.started;
        let note = MigrationNote {
            fence: grant.fence,
            release: grant.release.clone(),
            // The fleet was told that it was started: only the record can say how it went on.
            state: if started { MigrationProgress::Started } else { MigrationProgress::Called },
            elapsed: Duration::ZERO,
            frozen: Freezes::default(),
        };
        self.remember().note(note);
        self.migration = Run::new(now, Duration::ZERO);
        self.calls.migrate.reset();
        self.calls.stop_migration.reset();
        self.calls.migrate.plan(now);
    }

    fn note_migration(&mut self, state: MigrationProgress, now: Timestamp) {
        if let Some(note) = &mut self.remember().migration {
            (note.state, note.elapsed) = (state, Duration::ZERO);
            if state == MigrationProgress::Started {
                note.frozen = Freezes::default();
            }
        }
        self.migration = Run::new(now, Duration::ZERO);
        self.calls.stop_migration.reset();
        self.calls.stop_migration.plan(now);
    }

    /// The fleet believes that a migration runs whose end it was told: that was lost, as after a cluster was rebuilt. The record still has it,
    /// unless this host has obeyed another grant since.
    pub(super) fn migration_ended_unheard(&self) -> Option<Report> {
        let (grant, note) = (self.migration_grant()?, self.ledger.migration.as_ref()?);
        if note.fence < grant.fence {
            return None;
        }
        if (grant.fence, &grant.release.id) != (note.fence, &note.release.id) {
            let (release, fence) = (&note.release.id, note.fence);
            let reason = format!("this host knows of {release} under fence {fence}, and no more of this one");
            let end = MigrationEnd::Unknown { reason };
            return Some(Report::MigrationEnded { fence: grant.fence, end, tail: "".into() });
        }
        if note.state != MigrationProgress::Ended {
            return None;
        }
        let end = match self.migration_record(note) {
            MigrationSeen::Ended { exit, .. } => ended(exit),
            MigrationSeen::Running { .. } => return None,
            MigrationSeen::NotStarted => {
                let reason = "the supervisor has no record of it, and its end was lost with the old cluster"
                    .to_owned();
                MigrationEnd::Unknown { reason }
            }
        };
        Some(Report::MigrationEnded { fence: note.fence, end, tail: "".into() })
    }

    /// Starts it, if the fleet still wants that, and it is here, and nothing else runs.
    fn call_migrate(&mut self, note: &MigrationNote, now: Timestamp) {
        let (fence, limit) = (note.fence, self.policy().deadlines.stage);
        // A replica that was just started knows less than this host obeyed before: it does not say that the lock was taken away.
        let since = self.assigned.as_ref().is_some_and(|(revision, _)| fence.revision <= *revision);
        match self.migration_grant() {
            Some(grant) if grant.fence == fence && !grant.started => {}
            Some(grant) if grant.fence == fence => return self.miss_record(now),
            // Of no lock, or of an older one.
            _ if !since => return,
            _ => return self.note_migration(MigrationProgress::Ended, now),
        }
        // There is no record of this one: what runs is another.
        let waits_for = if self.migrates() {
            Some("another migration still runs here".to_owned())
        } else if !self.is_staged(&note.release.id) {
            Some(format!("{} is not staged here", note.release.id))
        } else {
            None
        };
        if limit <= self.migration.elapsed(now) && !self.calls.migrate.is_out() && self.seen.asked {
            let why = waits_for
                .as_deref()
                .or(self.calls.migrate.fault())
                .unwrap_or("no answer from the supervisor");
            let reason = format!("not started within {}: {why}", words(limit));
            return self.end_migration(MigrationEnd::NotStarted { reason }, now);
        }
        self.migration.trouble = waits_for;
        if self.migration.trouble.is_some() {
            return;
        }
        self.calls.migrate.plan(now);
        if self.calls.migrate.is_due(now) {
            let ticket = self.ticket();
            self.calls.migrate.sent(ticket);
            self.emit(Effect::Migrate { ticket, fence, release: note.release.clone() });
        }
    }

    /// It was started, but there is no record of it. When the supervisor has said so on being asked, nobody knows how it ended.
    fn miss_record(&mut self, now: Timestamp) {
        if self.seen.asked {
            let reason = "it was started, and the supervisor has no record of it".to_owned();
            self.end_migration(MigrationEnd::Unknown { reason }, now);
        } else {
            self.calls.observe.plan(now);
        }
    }

    fn watch_migration(&mut self, now: Timestamp) {
        if self.policy().deadlines.migrate <= self.migration.elapsed(now) {
            self.note_migration(MigrationProgress::Overdue, now);
            self.migrate(now);
        } else if self.migration.checkpoint + CHECKPOINT <= now {
            self.migration.checkpoint = now;
            let elapsed = self.migration.elapsed(now);
            if let Some(note) = &mut self.remember().migration {
                note.elapsed = elapsed;
            }
        }
    }

    fn stop_migration(&mut self, note: &MigrationNote, now: Timestamp) {
        self.calls.stop_migration.plan(now);
        if self.calls.stop_migration.is_due(now) {
            let ticket = self.ticket();
            self.calls.stop_migration.sent(ticket);
            self.emit(Effect::StopMigration { ticket, fence: note.fence, grace: self.policy().stop_grace });
        }
    }

    /// It was stopped at its deadline. On a host that was frozen again and again that says nothing of the release, and nobody knows how
    /// far it came.
    fn overdue(&self, frozen: Freezes) -> MigrationEnd {
        let reason =
            format!("deadline of {} passed{}", words(self.policy().deadlines.migrate), frozen.words());
        if frozen.are_too_many() { MigrationEnd::Unknown { reason } } else { MigrationEnd::Failed { reason } }
    }

    fn end_migration(&mut self, end: MigrationEnd, now: Timestamp) {
        let Some(note) = &self.ledger.migration else { return };
        let fence = note.fence;
        let tail = match end {
            MigrationEnd::NotStarted { .. } => None,
            _ => Some((fence, true)),
        };
        self.push_report(Report::MigrationEnded { fence, end, tail: "".into() }, tail, now);
        self.reports.ended(now);
        self.note_migration(MigrationProgress::Ended, now);
        self.calls.migrate.reset();
        self.calls.stop_migration.reset();
    }

    pub(super) fn migrate_called(
        &mut self,
        ticket: Ticket,
        result: Result<Observed, Denied>,
        now: Timestamp,
    ) {
        if !self.calls.migrate.answered(ticket) {
            return;
        }
        match result {
            Ok(observed) => {
                self.calls.migrate.worked();
                self.learn(observed, now);
                let unrecorded = self.ledger.migration.as_ref().is_some_and(|note| {
                    note.state == MigrationProgress::Called
                        && self.migration_record(note) == MigrationSeen::NotStarted
                });
                if unrecorded {
                    self.migrate_again("the supervisor has no record of the migration yet".to_owned(), now);
                }
            }
            Err(Denied::Stale { newest }) => {
                let reason = format!("the supervisor has seen fence {newest}, which is newer");
                self.end_migration(MigrationEnd::NotStarted { reason }, now);
            }
            Err(Denied::Exec { text }) => self.end_migration(MigrationEnd::Failed { reason: text }, now),
            Err(Denied::Fault(fault)) if fault.kind == FaultWord::Permanent => {
                self.calls.query_staged.plan(now);
                self.end_migration(MigrationEnd::NotStarted { reason: fault.text }, now);
            }
            Err(Denied::Fault(fault)) => self.migrate_again(fault.text, now),
            Err(Denied::Occupied { text }) => self.migrate_again(text, now),
        }
    }

    /// Whether it was started, only the record says: the supervisor is asked before it is told again.
    fn migrate_again(&mut self, trouble: String, now: Timestamp) {
        self.seen.asked = false;
        self.calls.observe.plan(now);
        self.calls.migrate.failed(trouble, now, Backoff::STAGE, self.setup.seed);
    }

    pub(super) fn migration_stopped(
        &mut self,
        ticket: Ticket,
        result: Result<Observed, Denied>,
        now: Timestamp,
    ) {
        if !self.calls.stop_migration.answered(ticket) {
            return;
        }
        let trouble = match result {
            Ok(observed) => return self.learn(observed, now),
            Err(Denied::Stale { newest }) => {
                format!("stop bin/migrate: the supervisor has seen fence {newest}")
            }
            Err(Denied::Exec { text } | Denied::Occupied { text }) => text,
            Err(Denied::Fault(fault)) => fault.text,
        };
        self.calls.observe.plan(now);
        self.calls.stop_migration.failed(trouble, now, Backoff::KEEPER, self.setup.seed);
    }

    /// What is to be looked at when, of a migration.
    pub(super) fn migration_deadlines(&self) -> [Option<Timestamp>; 2] {
        let limit = match self.ledger.migration.as_ref().map(|note| note.state) {
            Some(MigrationProgress::Called) => self.policy().deadlines.stage,
            Some(MigrationProgress::Started) => self.policy().deadlines.migrate,
            Some(MigrationProgress::Overdue | MigrationProgress::Ended) | None => return [None; 2],
        };
        let over = self.migration.since + limit.saturating_sub(self.migration.before);
        [Some(over), Some(self.migration.checkpoint + CHECKPOINT)]
    }
}

fn under(seen: MigrationSeen) -> Option<Fence> {
    match seen {
        MigrationSeen::NotStarted => None,
        MigrationSeen::Running { fence } | MigrationSeen::Ended { fence, .. } => Some(fence),
    }
}

fn ended(exit: ExitSeen) -> MigrationEnd {
    match exit {
        ExitSeen::Code(0) => MigrationEnd::Succeeded,
        ExitSeen::Code(code) => MigrationEnd::Failed { reason: format!("exit code {code}") },
        ExitSeen::Signal(signal) => MigrationEnd::Failed { reason: format!("killed by signal {signal}") },
        ExitSeen::Unknown => {
            MigrationEnd::Unknown { reason: "it was started, and nobody saw its end".to_owned() }
        }
    }
}
