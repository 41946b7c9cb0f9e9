//! Target groups: who is registered, and who gets requests.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Cloud, Health, Member, Now, Stay, Target, TargetState, instances::is_instance_id, targets::Failure,
};
use crate::{
    refusal::Refusal,
    wire::{CheckBy, GroupOptions, TargetType},
};

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) options: GroupOptions,
    pub(crate) targets: Vec<Target>,
}

/// What a health checker is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The stay is over.
    End,
    /// The first check is due after so long.
    Wait(Duration),
    /// There is nothing to check; ask again after so long.
    Idle(Duration),
    Check(Check),
}

/// One health check, and the pause after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) address: SocketAddr,
    pub(crate) by: CheckBy,
    pub(crate) path: String,
    pub(crate) healthy: (u16, u16),
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
}

impl Group {
    /// Deregisters those that are to leave. Returns whether there were any.
    pub(super) fn leave_where(&mut self, now: Now, leaves: impl Fn(&Target) -> bool) -> bool {
        let delay = self.options.deregistration_delay;
        let mut any = false;
        for target in self.targets.iter_mut().filter(|target| target.leaving.is_none() && leaves(target)) {
            target.leave(delay, now);
            any = true;
        }
        any
    }

    /// Removes those whose delay is over.
    pub(super) fn expire(&mut self, now: Now) -> Vec<Member> {
        self.targets.extract_if(.., |target| target.is_gone(now)).map(|target| target.member).collect()
    }

    pub(crate) fn target(&self, id: &str, port: u16, now: Now) -> Option<&Target> {
        self.targets.iter().find(|target| target.id == id && target.port == port && !target.is_gone(now))
    }
}

impl Cloud {
    /// Makes a target group.
    pub(crate) fn make_group(&mut self, name: &str, options: GroupOptions) -> Result<&mut Group, Refusal> {
        check_name("Target group", name)?;
        if self.groups.iter().any(|group| group.name == name) {
            let text =
                format!("A target group with the same name '{name}' exists, but with different settings");
            return Err(Refusal::new("DuplicateTargetGroupName", text));
        }
        let digits = self.digits();
        let arn = self.arn(&format!("targetgroup/{name}/{digits}"));
        self.groups.push(Group { name: name.to_owned(), arn, options, targets: Vec::new() });
        let last = self.groups.len() - 1;
        Ok(&mut self.groups[last])
    }

    pub(super) fn arn(&self, resource: &str) -> String {
        let (region, account) = (&self.settings.region, &self.settings.account);
        format!("arn:aws:elasticloadbalancing:{region}:{account}:{resource}")
    }

    /// The group with this ARN.
    pub(crate) fn group(&self, arn: &str) -> Result<&Group, Refusal> {
        check_arn(arn, ":targetgroup/")?;
        self.groups.iter().find(|group| group.arn == arn).ok_or_else(no_group)
    }

    pub(crate) fn group_mut(&mut self, arn: &str) -> Result<&mut Group, Refusal> {
        check_arn(arn, ":targetgroup/")?;
        self.groups.iter_mut().find(|group| group.arn == arn).ok_or_else(no_group)
    }

    pub(crate) fn group_named(&self, name: &str) -> Result<&Group, Refusal> {
        self.groups.iter().find(|group| group.name == name).ok_or_else(no_group)
    }

    /// Registers targets, all or none. Returns the stays whose health checks begin.
    pub(crate) fn register(
        &mut self,
        arn: &str,
        targets: &[(String, Option<u16>)],
        now: Now,
    ) -> Result<Vec<Stay>, Refusal> {
        let group = self.group(arn)?;
        let (kind, port) = (group.options.target_type, group.options.port);
        match kind {
            TargetType::Instance => self.check_instances(targets, now)?,
            TargetType::Ip => check_ips(targets)?,
        }
        let numbers: Vec<u64> = targets.iter().map(|_| self.number()).collect();
        let group = self.group_mut(arn)?;
        let mut stays = Vec::new();
        for ((id, own), number) in targets.iter().zip(numbers) {
            let port = own.unwrap_or(port);
            let known = group.targets.iter_mut().find(|target| target.id == *id && target.port == port);
            match known {
                Some(target) if target.leaving.is_none() => continue,
                Some(target) => target.begin(Stay(number), now),
                None => group.targets.push(Target::new(id, port, number, now)),
            }
            stays.push(Stay(number));
        }
        Ok(stays)
    }

    fn check_instances(&self, targets: &[(String, Option<u16>)], now: Now) -> Result<(), Refusal> {
        if let Some((id, _)) = targets.iter().find(|(id, _)| !is_instance_id(id)) {
            return Err(Refusal::validation(format!("Instance ID '{id}' is not valid")));
        }
        let named = |ids: Vec<&str>| format!("'{}'", ids.join("', '"));
        let ids = || targets.iter().map(|(id, _)| id.as_str());
        let unknown: Vec<&str> = ids().filter(|id| self.instance(id, now).is_err()).collect();
        if !unknown.is_empty() {
            let text = format!("The following targets are not valid instances: {}", named(unknown));
            return Err(Refusal::new("InvalidTarget", text));
        }
        let is_down = |id: &&str| self.instance(id, now).is_ok_and(|instance| !instance.is_running(now));
        let down: Vec<&str> = ids().filter(is_down).collect();
        if !down.is_empty() {
            let text = format!(
                "The following targets are not in a running state and cannot be registered: {}",
                named(down)
            );
            return Err(Refusal::new("InvalidTarget", text));
        }
        Ok(())
    }

    /// Deregisters targets. What is not registered needs nothing, and is no error.
    pub(crate) fn deregister(
        &mut self,
        arn: &str,
        targets: &[(String, Option<u16>)],
        now: Now,
    ) -> Result<(), Refusal> {
        let group = self.group_mut(arn)?;
        let port = group.options.port;
        group.leave_where(now, |target| {
            targets.iter().any(|(id, own)| target.id == *id && target.port == own.unwrap_or(port))
        });
        Ok(())
    }

    /// Takes a target out at once, as nobody can who uses the API. Returns it.
    pub(crate) fn drop_target(&mut self, arn: &str, id: &str, port: u16) -> Result<Vec<Member>, Refusal> {
        let targets = &mut self.group_mut(arn)?.targets;
        let gone = targets.extract_if(.., |target| target.id == id && target.port == port);
        Ok(gone.map(|target| target.member).collect())
    }

    /// A target's state as the API tells it.
    pub(crate) fn state(&self, group: &Group, target: &Target, now: Now) -> TargetState {
        if target.is_gone(now) {
            return TargetState::NotRegistered;
        }
        if target.leaving.is_some() {
            return TargetState::Draining;
        }
        if !self.is_in_use(group, target) {
            return TargetState::NotInUse;
        }
        if !self.can_run(group, target, now) {
            return TargetState::InvalidState;
        }
        match &target.health {
            Health::Healthy => TargetState::Healthy,
            Health::Unhealthy(failure) => TargetState::Unhealthy(failure.clone()),
            Health::Unchecked if now < target.registered + self.settings.registration => {
                TargetState::Registering
            }
            Health::Unchecked => TargetState::Checking,
        }
    }

    fn can_run(&self, group: &Group, target: &Target, now: Now) -> bool {
        let named = self.instances.iter().find(|instance| instance.id == target.id);
        group.options.target_type == TargetType::Ip || named.is_some_and(|instance| instance.is_running(now))
    }

    /// Whether a load balancer sends to this group, in the target's zone.
    fn is_in_use(&self, group: &Group, target: &Target) -> bool {
        let zone = self.instances.iter().find(|instance| instance.id == target.id).map(|i| &i.zone);
        self.balancers_of(group).any(|balancer| zone.is_none_or(|zone| balancer.zones.contains(zone)))
    }

    /// Where a target's requests go.
    pub(crate) fn address(&self, target: &Target) -> Option<SocketAddr> {
        let ip = match target.id.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => {
                let instance = self.instances.iter().find(|instance| instance.id == target.id)?;
                instance.made.private_ipv4?.into()
            }
        };
        Some(SocketAddr::new(ip, target.port))
    }

    /// What the health checker of a stay is to do next.
    pub(crate) fn plan(&self, arn: &str, stay: Stay, now: Now) -> Plan {
        let found = self.group(arn).ok();
        let found = found.and_then(|g| g.targets.iter().find(|t| t.stay == stay).map(|target| (g, target)));
        let Some((group, target)) = found else { return Plan::End };
        let options = &group.options;
        match (self.state(group, target, now), self.address(target)) {
            (TargetState::Draining | TargetState::NotRegistered, _) => Plan::End,
            (TargetState::Registering, _) => {
                Plan::Wait((target.registered + self.settings.registration).saturating_sub(now))
            }
            (TargetState::NotInUse | TargetState::InvalidState, _) | (_, None) => {
                Plan::Idle(options.health_interval)
            }
            (TargetState::Checking | TargetState::Healthy | TargetState::Unhealthy(_), Some(address)) => {
                Plan::Check(Check {
                    address: SocketAddr::new(address.ip(), options.health_port.unwrap_or(target.port)),
                    by: options.check_by,
                    path: options.health_path.clone(),
                    healthy: options.healthy_codes,
                    timeout: options.health_timeout,
                    interval: options.health_interval,
                })
            }
        }
    }

    /// A health check of `stay` ended; or, with nothing, there is nothing to check, and it starts anew when there is.
    /// Returns whether that changed anything.
    pub(crate) fn checked(
        &mut self,
        arn: &str,
        stay: Stay,
        outcome: Option<Result<(), Failure>>,
        now: Now,
    ) -> bool {
        let Ok(group) = self.group_mut(arn) else { return false };
        let thresholds = (group.options.healthy_threshold, group.options.unhealthy_threshold);
        let Some(target) = group.targets.iter_mut().find(|target| target.stay == stay) else { return false };
        match outcome {
            Some(outcome) => target.checked(outcome, thresholds, now),
            None if target.health == Health::Unchecked => {
                target.registered = now;
                false
            }
            None => {
                target.begin(stay, now);
                true
            }
        }
    }

    /// The targets that a request for this group may go to, and whether they are healthy: where none is, all
    /// unhealthy ones get requests.
    pub(crate) fn routable(&self, arn: &str, now: Now) -> (Vec<(Member, SocketAddr)>, bool) {
        let Ok(group) = self.group(arn) else { return (Vec::new(), true) };
        let propagation = group.options.propagation;
        let with_address = |target: &Target| Some((target.member, self.address(target)?));
        let choose = |wanted: &dyn Fn(&Target) -> bool| {
            group.targets.iter().filter(|target| wanted(target)).filter_map(with_address).collect::<Vec<_>>()
        };
        let healthy = choose(&|target| match self.state(group, target, now) {
            TargetState::Healthy => target.since + propagation <= now,
            TargetState::Draining => {
                target.leaving.is_some_and(|leaving| leaving.was_healthy && now < leaving.since + propagation)
            }
            _ => false,
        });
        if !healthy.is_empty() {
            return (healthy, true);
        }
        let unhealthy = choose(&|target| matches!(self.state(group, target, now), TargetState::Unhealthy(_)));
        let open = unhealthy.is_empty();
        (unhealthy, open)
    }
}

fn check_ips(targets: &[(String, Option<u16>)]) -> Result<(), Refusal> {
    match targets.iter().find(|(id, _)| id.parse::<IpAddr>().is_err()) {
        Some((id, _)) => {
            Err(Refusal::validation(format!("The IP address '{id}' is not a valid IPv4 address")))
        }
        None => Ok(()),
    }
}

pub(crate) fn check_arn(arn: &str, part: &str) -> Result<(), Refusal> {
    let ok = arn.starts_with("arn:aws") && arn.contains(":elasticloadbalancing:") && arn.contains(part);
    if ok {
        return Ok(());
    }
    let what = match part {
        ":targetgroup/" => "target group",
        ":listener/" => "listener",
        _ => "load balancer",
    };
    Err(Refusal::validation(format!("'{arn}' is not a valid {what} ARN")))
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let ok = matches!(name.len(), 1..=32) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let text = format!("{what} name '{name}' must be 1 to 32 letters, digits and hyphens");
    if ok { Ok(()) } else { Err(Refusal::validation(text)) }
}

pub(crate) fn no_group() -> Refusal {
    Refusal::new("TargetGroupNotFound", "One or more target groups not found")
}
