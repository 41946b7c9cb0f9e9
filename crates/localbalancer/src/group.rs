//! One target group: who is registered, who gets the next request, and what became of the requests.
//!
//! Promise: only a target in service is ever picked, and each pick is matched by one end.
//! Absent on purpose: I/O and clocks. Health checks and the deregistration delay report here from outside.

use std::{collections::VecDeque, time::SystemTime};

use model::HostId;
use ports::Target;
use tokio_util::sync::CancellationToken;

use crate::{
    proxy::{End, Way},
    wire::{Change, Counters, GroupOptions, TargetState, TargetView},
};

/// Changes of targets that are kept, the oldest forgotten first.
const CHANGES_LIMIT: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) options: GroupOptions,
    members: Vec<Member>,
    numbers: u64,
    turn: usize,
    counters: Counters,
    changes: VecDeque<Change>,
    /// Changes that nobody has given the time of yet.
    fresh: Vec<(HostId, TargetState)>,
}

#[derive(Debug)]
struct Member {
    /// Names it as long as it is registered or drains.
    id: MemberId,
    /// Changes when it joins or leaves, so that checks and delays of an earlier stay are told apart.
    stay: Stay,
    target: Target,
    phase: Phase,
    /// Checks in a row with the outcome of the last one.
    passed: u32,
    failed: u32,
    in_flight: u32,
    cut: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay(u64);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Initial,
    InService,
    Unhealthy { reason: String },
    Draining,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Pick {
    pub(crate) member: MemberId,
    pub(crate) way: Way,
}

impl Group {
    pub(crate) fn new(options: GroupOptions) -> Self {
        Self {
            options,
            members: Vec::new(),
            numbers: 0,
            turn: 0,
            counters: Counters::default(),
            changes: VecDeque::new(),
            fresh: Vec::new(),
        }
    }

    /// What changed since the last call happened at `now`.
    pub(crate) fn stamp(&mut self, now: SystemTime) {
        self.changes.extend(self.fresh.drain(..).map(|(host, state)| Change { at: now, host, state }));
        let excess = self.changes.len().saturating_sub(CHANGES_LIMIT);
        self.changes.drain(..excess);
    }

    /// The changes of targets that were stamped, oldest first.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.iter().cloned().collect()
    }

    /// Registers a target. Returns the stay whose health checks must begin, if it is a new one.
    pub(crate) fn register(&mut self, target: Target) -> Option<Stay> {
        let id = self.number();
        let stay = Stay(id);
        let host = target.host.clone();
        if let Some(member) = self.members.iter_mut().find(|member| member.target == target) {
            if member.phase != Phase::Draining {
                return None;
            }
            (member.stay, member.phase, member.passed, member.failed) = (stay, Phase::Initial, 0, 0);
        } else {
            let (id, phase, cut) = (MemberId(id), Phase::Initial, CancellationToken::new());
            self.members.push(Member { id, stay, target, phase, passed: 0, failed: 0, in_flight: 0, cut });
        }
        self.fresh.push((host, TargetState::Initial));
        Some(stay)
    }

    /// Deregisters a target. Returns the stay whose delay must begin, if it drains from now on.
    pub(crate) fn deregister(&mut self, target: &Target) -> Option<Stay> {
        let stay = Stay(self.number());
        let index = self.members.iter().position(|member| member.target == *target)?;
        let member = &mut self.members[index];
        let draining = if member.phase == Phase::Draining {
            None
        } else if member.in_flight == 0 {
            self.members.remove(index);
            self.fresh.push((target.host.clone(), TargetState::Absent));
            None
        } else {
            (member.stay, member.phase) = (stay, Phase::Draining);
            self.fresh.push((target.host.clone(), TargetState::Draining));
            Some(stay)
        };
        self.count_in_service();
        draining
    }

    /// Removes a target without a drain.
    pub(crate) fn remove(&mut self, target: &Target) {
        self.remove_where(|member| member.target == *target);
    }

    /// The deregistration delay of `stay` is over.
    pub(crate) fn expire(&mut self, stay: Stay) {
        self.remove_where(|member| member.stay == stay && member.phase == Phase::Draining);
    }

    /// Whether health checks of `stay` still mean something.
    pub(crate) fn checks(&self, stay: Stay) -> bool {
        self.members.iter().any(|member| member.stay == stay && member.phase != Phase::Draining)
    }

    /// A health check of `stay` ended. One of an earlier stay, or of a draining target, changes nothing.
    pub(crate) fn checked(&mut self, stay: Stay, outcome: Result<(), String>) {
        let (healthy, unhealthy) = (self.options.healthy_threshold, self.options.unhealthy_threshold);
        let Some(member) = self.members.iter_mut().find(|member| member.stay == stay) else { return };
        (member.passed, member.failed) =
            if outcome.is_ok() { (member.passed + 1, 0) } else { (0, member.failed + 1) };
        match (&member.phase, outcome) {
            (Phase::Initial | Phase::Unhealthy { .. }, Ok(())) if member.passed >= healthy => {
                member.phase = Phase::InService;
                self.fresh.push((member.target.host.clone(), TargetState::InService));
            }
            (Phase::Initial | Phase::InService, Err(reason)) if member.failed >= unhealthy => {
                member.phase = Phase::Unhealthy { reason };
                self.fresh.push((member.target.host.clone(), TargetState::Unhealthy));
            }
            (Phase::Unhealthy { .. }, Err(reason)) => member.phase = Phase::Unhealthy { reason },
            (Phase::Initial | Phase::InService | Phase::Unhealthy { .. } | Phase::Draining, _) => (),
        }
        self.count_in_service();
    }

    /// Picks the target for a request that arrived, in turn. It is in flight until [`Group::ended`].
    pub(crate) fn pick(&mut self) -> Option<Pick> {
        self.counters.requests += 1;
        let in_service = self.counters.in_service as usize;
        if in_service == 0 {
            self.counters.no_target += 1;
            return None;
        }
        self.turn = (self.turn + 1) % in_service;
        let member = self.members.iter_mut().filter(|m| m.phase == Phase::InService).nth(self.turn)?;
        member.in_flight += 1;
        Some(Pick { member: member.id, way: Way { address: member.target.address, cut: member.cut.clone() } })
    }

    /// A request that was picked a target for came to its end.
    pub(crate) fn ended(&mut self, id: MemberId, end: End) {
        let counter = match end {
            End::Completed => &mut self.counters.completed,
            End::Unreachable => &mut self.counters.unreachable,
            End::NoAnswer => &mut self.counters.no_answer,
            End::BrokenAnswer => &mut self.counters.broken_answer,
            End::Cut => &mut self.counters.cut,
            End::CallerGone => &mut self.counters.caller_gone,
        };
        *counter += 1;
        let Some(index) = self.members.iter().position(|member| member.id == id) else { return };
        let member = &mut self.members[index];
        member.in_flight -= 1;
        if member.in_flight == 0 && member.phase == Phase::Draining {
            let gone = self.members.remove(index);
            self.fresh.push((gone.target.host, TargetState::Absent));
        }
    }

    /// What is known of one target.
    pub(crate) fn describe(&self, target: &Target) -> TargetView {
        let known = self.members.iter().find(|member| member.target == *target);
        known.map_or_else(|| absent(target), Member::view)
    }

    /// What is known of all targets that are registered or drain.
    pub(crate) fn list(&self) -> Vec<TargetView> {
        self.members.iter().map(Member::view).collect()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn reset_counters(&mut self) {
        let in_service = self.counters.in_service;
        self.counters = Counters { in_service, in_service_min: in_service, ..Counters::default() };
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn remove_where(&mut self, gone: impl Fn(&Member) -> bool) {
        for member in self.members.extract_if(.., |member| gone(member)) {
            member.cut.cancel();
            self.fresh.push((member.target.host, TargetState::Absent));
        }
        self.count_in_service();
    }

    fn count_in_service(&mut self) {
        let now = self.members.iter().filter(|member| member.phase == Phase::InService).count();
        self.counters.in_service = u32::try_from(now).unwrap_or(u32::MAX);
        self.counters.in_service_min = self.counters.in_service_min.min(self.counters.in_service);
    }
}

impl Member {
    fn view(&self) -> TargetView {
        let (state, reason) = match &self.phase {
            Phase::Initial => (TargetState::Initial, Some("health checks in progress".to_owned())),
            Phase::InService => (TargetState::InService, None),
            Phase::Unhealthy { reason } => (TargetState::Unhealthy, Some(reason.clone())),
            Phase::Draining => (TargetState::Draining, Some(format!("{} in flight", self.in_flight))),
        };
        let Target { host, address } = self.target.clone();
        TargetView { host, address, state, reason, in_flight: self.in_flight }
    }
}

pub(crate) fn absent(target: &Target) -> TargetView {
    let Target { host, address } = target.clone();
    TargetView { host, address, state: TargetState::Absent, reason: None, in_flight: 0 }
}

#[cfg(test)]
mod tests;
