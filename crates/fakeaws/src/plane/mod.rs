//! The data plane: requests in flight, what became of them, and how many targets there were for them.

pub(crate) mod carry;
pub(crate) mod forward;
pub(crate) mod health;
mod idle;

use std::{collections::BTreeMap, time::Duration};

use localbalancer::proxy::{End, Way};
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::{Cloud, Group, Member, Now, TargetState},
    wire::{Counters, Sample},
};

/// How many changes of a group are remembered.
const SAMPLES_LIMIT: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Plane {
    groups: BTreeMap<String, OfGroup>,
    members: BTreeMap<Member, OfMember>,
}

#[derive(Debug, Default)]
struct OfGroup {
    turn: usize,
    counters: Counters,
    samples: Vec<Sample>,
}

#[derive(Debug, Default)]
struct OfMember {
    in_flight: u32,
    cut: CancellationToken,
}

impl Plane {
    /// Chooses, in turn, where a request for the group with this ARN goes.
    pub(crate) fn pick(&mut self, cloud: &Cloud, arn: &str, now: Now) -> Option<(Member, Way)> {
        let (targets, healthy) = cloud.routable(arn, now);
        let group = self.groups.entry(arn.to_owned()).or_default();
        group.counters.requests += 1;
        if targets.is_empty() {
            group.counters.no_target += 1;
            return None;
        }
        group.counters.failed_open += u64::from(!healthy);
        group.turn = (group.turn + 1) % targets.len();
        let (member, address) = targets[group.turn];
        let of_member = self.members.entry(member).or_default();
        of_member.in_flight += 1;
        Some((member, Way { address, cut: of_member.cut.clone() }))
    }

    /// A request came to its end; with `timed_out` it was cut because nothing passed.
    pub(crate) fn ended(&mut self, arn: &str, member: Member, end: End, timed_out: bool) {
        let counters = &mut self.groups.entry(arn.to_owned()).or_default().counters;
        *match end {
            End::Completed => &mut counters.completed,
            End::Unreachable => &mut counters.unreachable,
            End::NoAnswer => &mut counters.no_answer,
            End::BrokenAnswer => &mut counters.broken_answer,
            End::Cut if timed_out => &mut counters.timed_out,
            End::Cut => &mut counters.cut,
            End::CallerGone => &mut counters.caller_gone,
        } += 1;
        if let Some(of_member) = self.members.get_mut(&member) {
            of_member.in_flight -= 1;
            if of_member.cut.is_cancelled() && of_member.in_flight == 0 {
                self.members.remove(&member);
            }
        }
    }

    /// A target answered with a status of 500 or above.
    pub(crate) fn answered_5xx(&mut self, arn: &str) {
        self.groups.entry(arn.to_owned()).or_default().counters.target_5xx += 1;
    }

    /// A target is gone: its requests are cut.
    pub(crate) fn cut(&mut self, member: Member) {
        if let Some(of_member) = self.members.get_mut(&member) {
            of_member.cut.cancel();
            if of_member.in_flight == 0 {
                self.members.remove(&member);
            }
        }
    }

    pub(crate) fn in_flight(&self, member: Member) -> u32 {
        self.members.get(&member).map_or(0, |of_member| of_member.in_flight)
    }

    pub(crate) fn counters(&self, arn: &str) -> Counters {
        self.groups.get(arn).map(|group| group.counters).unwrap_or_default()
    }

    /// Counts from zero, and forgets all samples but the last.
    pub(crate) fn reset(&mut self, arn: &str) {
        if let Some(group) = self.groups.get_mut(arn) {
            group.counters = Counters::default();
            group.samples.drain(..group.samples.len().saturating_sub(1));
        }
    }

    pub(crate) fn samples(&self, arn: &str) -> Vec<Sample> {
        self.groups.get(arn).map(|group| group.samples.clone()).unwrap_or_default()
    }

    /// Writes down how many targets are in which state, where that has changed.
    pub(crate) fn sample(&mut self, cloud: &Cloud, now: Now) {
        for group in &cloud.groups {
            let samples = &mut self.groups.entry(group.arn.clone()).or_default().samples;
            let sample = sample(cloud, group, now);
            if samples.last().is_none_or(|last| Sample { at_ms: last.at_ms, ..sample } != *last) {
                samples.push(sample);
                let excess = samples.len().saturating_sub(SAMPLES_LIMIT);
                samples.drain(..excess);
            }
        }
    }
}

fn sample(cloud: &Cloud, group: &Group, now: Now) -> Sample {
    let mut sample = Sample { at_ms: millis(now), ..Sample::default() };
    for target in &group.targets {
        match cloud.state(group, target, now) {
            TargetState::Registering | TargetState::Checking => sample.initial += 1,
            TargetState::Healthy => sample.healthy += 1,
            TargetState::Unhealthy(_) => sample.unhealthy += 1,
            TargetState::Draining => sample.draining += 1,
            TargetState::NotInUse | TargetState::InvalidState => sample.unused += 1,
            TargetState::NotRegistered => (),
        }
    }
    sample
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
