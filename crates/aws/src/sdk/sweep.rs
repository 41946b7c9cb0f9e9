//! Takes out what hosts have left behind that are gone for good.
//!
//! A target that is an instance goes with it. One that is an address stays, unhealthy for ever. Only an unhealthy one is taken out: an address that
//! answers may be another machine's by now.

use std::{collections::BTreeSet, net::IpAddr};

use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetTypeEnum};
use ports::{Fault, Standing};

use super::{Session, targets::health_of};
use crate::{Group, permissions::Action};

/// Further instances of a service have the ports after the first one's: this many at most.
const INSTANCES_LIMIT: i32 = 64;

/// What became of targets at addresses that nobody has any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// They are deregistered.
    pub deregistered: Vec<String>,
    /// They are not found unhealthy, or not yet.
    pub left: Vec<String>,
}

impl Session {
    /// Deregisters from a target group whose targets are addresses those of them that are unhealthy at one of `gone`, at a port that a service has which
    /// listens on `group.port`.
    ///
    /// # Errors
    /// A call does not work.
    pub async fn sweep(&self, region: &str, group: &Group, gone: &BTreeSet<IpAddr>) -> Result<Swept, Fault> {
        let targets = self.target_groups(region, vec![group.clone()], group.port);
        let mut swept = Swept::default();
        if targets.describe(group).await?.target_type() != Some(&TargetTypeEnum::Ip) {
            return Ok(swept);
        }
        let of = |doing: &str| format!("{doing} target group {}", group.name);
        let question = targets.client.describe_target_health().target_group_arn(&group.arn);
        let answer = self.api.call(Action::DescribeTargetHealth, question.send()).await;
        let answer = answer
            .map_err(|trouble| trouble.into_fault(Action::DescribeTargetHealth, of("list the targets of")))?;
        let mut dead: Vec<TargetDescription> = Vec::new();
        for found in answer.target_health_descriptions() {
            let Some(target) = found.target().filter(|target| is_one_of(target, group, gone)) else {
                continue;
            };
            let named = format!("{}:{}", target.id().unwrap_or_default(), target.port().unwrap_or_default());
            match health_of(found).standing() {
                Ok(Standing::Unhealthy { .. }) => {
                    swept.deregistered.push(named);
                    dead.push(target.clone());
                }
                Ok(Standing::Absent | Standing::Draining) => {}
                Ok(Standing::Initial | Standing::InService) | Err(_) => swept.left.push(named),
            }
        }
        if !dead.is_empty() {
            let call =
                targets.client.deregister_targets().target_group_arn(&group.arn).set_targets(Some(dead));
            let answer = self.api.call(Action::DeregisterTargets, call.send()).await;
            let attempted = || format!("{} {}", of("deregister from"), swept.deregistered.join(", "));
            answer.map_err(|trouble| trouble.into_fault(Action::DeregisterTargets, attempted()))?;
        }
        Ok(swept)
    }
}

fn is_one_of(target: &TargetDescription, group: &Group, gone: &BTreeSet<IpAddr>) -> bool {
    let is_gone = target.id().and_then(|id| id.parse().ok()).is_some_and(|ip| gone.contains(&ip));
    let first = i32::from(group.port);
    is_gone && target.port().is_some_and(|port| (first..first + INSTANCES_LIMIT).contains(&port))
}
