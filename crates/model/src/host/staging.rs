//! Has wanted releases fetched, verified and pinned, one at a time, and old ones collected.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Host,
    call::Backoff,
    effect::Effect,
    event::{FaultSeen, Ticket},
};
use crate::{Release, ReleaseId, Timestamp};

/// What is being staged, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Under way.
    pub(super) now: Option<ReleaseId>,
    /// What the store has has changed while it was asked: its answer may be of before.
    outdated: bool,
    /// Tried in vain.
    pub(super) troubles: BTreeMap<ReleaseId, Trouble>,
}

/// A release that could not be staged.
#[derive(Debug)]
pub(super) struct Trouble {
    failures: u32,
    /// Why.
    pub(super) reason: String,
    /// When it is tried again.
    pub(super) again: Timestamp,
    /// The fleet was told of this reason.
    pub(super) told: bool,
}

impl Host {
    pub(super) fn is_staged(&self, release: &ReleaseId) -> bool {
        self.seen.staged.as_ref().is_some_and(|staged| staged.contains(release))
    }

    pub(super) fn staged_read(
        &mut self,
        ticket: Ticket,
        result: Result<BTreeSet<ReleaseId>, FaultSeen>,
        now: Timestamp,
    ) {
        if !self.calls.query_staged.answered(ticket) {
            return;
        }
        if std::mem::take(&mut self.staging.outdated) {
            return self.calls.query_staged.plan(now);
        }
        match result {
            Ok(staged) => {
                self.calls.query_staged.worked();
                self.seen.staged = Some(staged);
            }
            Err(fault) => self.calls.query_staged.failed(fault.text, now, Backoff::STAGE, self.setup.seed),
        }
    }

    pub(super) fn stage_ended(&mut self, ticket: Ticket, result: Result<(), FaultSeen>, now: Timestamp) {
        if !self.calls.stage.answered(ticket) {
            return;
        }
        let Some(release) = self.staging.now.take() else { return };
        self.staging.outdated |= self.calls.query_staged.is_out();
        match result {
            Ok(()) => {
                self.staging.troubles.remove(&release);
                // Nothing else keeps it from starting what it is out without.
                if self.is_back(&release) {
                    self.calls.act.advance(now);
                }
                self.seen.staged.get_or_insert_default().insert(release);
            }
            Err(fault) => {
                let before = self.staging.troubles.remove(&release);
                let failures = before.as_ref().map_or(0, |before| before.failures);
                let again = now + Backoff::STAGE.pause(failures, self.setup.seed);
                let told = before.is_some_and(|before| before.told && before.reason == fault.text);
                let trouble = Trouble { failures: failures + 1, reason: fault.text, again, told };
                self.staging.troubles.insert(release, trouble);
            }
        }
    }

    /// The releases that are to be here: the one that this host is to come back with, which the store may have lost and it is out without, and
    /// those that the fleet wants.
    pub(super) fn wanted_here(&self) -> impl Iterator<Item = &Release> {
        let assigned = self.assigned.iter().flat_map(|(_, assigned)| &assigned.stage);
        self.comes_back_with().into_iter().chain(assigned)
    }

    /// What it goes back to, or starts again after a reboot.
    fn comes_back_with(&self) -> Option<&Release> {
        match &self.ledger.change {
            Some(change) if change.phase.is_going() => None,
            Some(change) => change.wanted(),
            None => self.ledger.serving.as_ref().filter(|_| self.ledger.returning),
        }
    }

    fn is_back(&self, release: &ReleaseId) -> bool {
        self.comes_back_with().is_some_and(|back| back.id == *release)
    }

    /// The next release that is wanted, not here, and not waiting to be tried again.
    fn to_stage(&self, now: Timestamp) -> Option<&Release> {
        let staged = self.seen.staged.as_ref()?;
        let ready = |id| self.staging.troubles.get(id).is_none_or(|trouble| trouble.again <= now);
        self.wanted_here().find(|release| !staged.contains(&release.id) && ready(&release.id))
    }

    pub(super) fn stage(&mut self, now: Timestamp) {
        if self.assigned.is_some() {
            let wanted: BTreeSet<_> = self.wanted_here().map(|release| release.id.clone()).collect();
            self.staging.troubles.retain(|id, _| wanted.contains(id));
        }
        if self.calls.stage.is_out() || self.calls.collect.is_out() {
            return;
        }
        if let Some(release) = self.to_stage(now).cloned() {
            let ticket = self.ticket();
            self.calls.stage.sent(ticket);
            self.staging.now = Some(release.id.clone());
            // What it is out without serves nobody until it is here, whatever the balancer says now (P8).
            let preflight = !self.is_back(&release.id);
            return self.emit(Effect::Stage { ticket, release, preflight });
        }
        if self.calls.collect.is_due(now) {
            self.collect();
        }
    }

    /// After a change, old releases go. None that the fleet or this host may still need is touched.
    fn collect(&mut self) {
        // Without the fleet's word nobody knows what is needed.
        let Some((_, assigned)) = &self.assigned else { return };
        let mut keep = assigned.keep.clone();
        keep.extend(assigned.stage.iter().map(|release| release.id.clone()));
        let change = self.ledger.change.iter().flat_map(|change| [&change.goal, &change.from]).flatten();
        let migration = self.ledger.migration.iter().map(|note| &note.release);
        keep.extend(
            self.ledger.serving.iter().chain(change).chain(migration).map(|release| release.id.clone()),
        );
        let ticket = self.ticket();
        self.calls.collect.sent(ticket);
        self.emit(Effect::Collect { ticket, keep });
    }

    pub(super) fn collected(
        &mut self,
        ticket: Ticket,
        result: Result<Vec<ReleaseId>, FaultSeen>,
        now: Timestamp,
    ) {
        if !self.calls.collect.answered(ticket) {
            return;
        }
        match result {
            Ok(removed) => {
                self.calls.collect.worked();
                self.staging.outdated |= self.calls.query_staged.is_out();
                if let Some(staged) = &mut self.seen.staged {
                    staged.retain(|release| !removed.contains(release));
                }
            }
            Err(fault) => self.calls.collect.failed(fault.text, now, Backoff::STAGE, self.setup.seed),
        }
    }

    /// When what could not be staged is tried again.
    pub(super) fn staging_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        self.staging.troubles.values().map(|trouble| trouble.again)
    }
}
