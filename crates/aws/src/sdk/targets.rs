//! Targets of target groups.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{LoadBalancer, TargetDescription, TargetGroup, TargetHealthDescription, TargetTypeEnum},
};
use futures_util::future::join_all;
use ports::{Balancer, Fault, FaultKind, Standing, Target, balancer::as_one};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout,
};

use super::{Api, identity::Service};
use crate::{Group, health::Health, is_instance_id, lifecycle, permissions::Action};

/// How long a target group lets its targets drain, in seconds; an attribute of a target group in the reference of the API of Elastic Load
/// Balancing, version 2015-12-01.
const DELAY: &str = "deregistration_delay.timeout_seconds";
/// The longest that it may be set to, in seconds, by the same page.
const DELAY_LIMIT_SECS: u64 = 3_600;
/// It is asked for again after so long: all instances of a host leave at once, and it is a matter of their group.
const DELAY_FRESH: Duration = Duration::from_secs(10);
/// Who leaves waits for it no longer than this: the drain goes on without.
const DELAY_WAIT: Duration = Duration::from_secs(2);

/// A service's target groups. The host is a target of each. Clones share what was learned of them.
#[derive(Debug, Clone)]
pub struct TargetGroups {
    pub(super) client: Client,
    api: Arc<Api>,
    /// The metadata of the instance that this is.
    instance: Option<Service>,
    groups: Arc<[Member]>,
    /// Where the service's first instance listens.
    first_port: u16,
}

#[derive(Debug)]
struct Member {
    group: Group,
    /// How targets are named in it. It never changes.
    kind: OnceCell<Kind>,
    /// How long its targets drain, and when that was asked. One asks at a time.
    drain: Mutex<Option<(Instant, Duration)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Instance,
    Ip,
}

impl TargetGroups {
    pub(super) fn new(
        client: Client,
        api: Arc<Api>,
        instance: Option<Service>,
        groups: Vec<Group>,
        first_port: u16,
    ) -> Self {
        let member = |group| Member { group, kind: OnceCell::new(), drain: Mutex::default() };
        let groups = groups.into_iter().map(member).collect();
        Self { client, api, instance, groups, first_port }
    }

    /// What the group is, as it says itself.
    pub(super) async fn describe(&self, group: &Group) -> Result<TargetGroup, Fault> {
        let attempted = || format!("look at target group {}", group.name);
        let question = self.client.describe_target_groups().target_group_arns(&group.arn);
        let answer = self.api.call(Action::DescribeTargetGroups, question.send()).await;
        let answer =
            answer.map_err(|trouble| trouble.into_fault(Action::DescribeTargetGroups, attempted()))?;
        let mut found = answer.target_groups.unwrap_or_default().into_iter();
        let found = found.find(|found| found.target_group_arn() == Some(&group.arn));
        found.ok_or_else(|| Fault::new(FaultKind::Transient, attempted(), "the answer is about another one"))
    }

    async fn kind(&self, member: &Member) -> Result<Kind, Fault> {
        let kind = member.kind.get_or_try_init(|| async {
            let found = self.describe(&member.group).await?;
            kind_of(&member.group, &found)
        });
        kind.await.copied()
    }

    /// How the target is named in the group.
    async fn named(&self, member: &Member, target: &Target) -> Result<TargetDescription, Fault> {
        let id = match self.kind(member).await? {
            Kind::Ip => target.address.ip().to_string(),
            Kind::Instance if is_instance_id(target.host.as_str()) => target.host.to_string(),
            Kind::Instance => {
                let attempted = format!("name {} in target group {}", target.host, member.group.name);
                let words = "its targets are instances, and this host is not named by an instance id: set \
                             inventory.kind = \"ec2\", or agent.host to the instance id, or use a group whose targets \
                             are addresses";
                return Err(Fault::new(FaultKind::Permanent, attempted, words));
            }
        };
        let past = target.address.port().saturating_sub(self.first_port);
        let port = i32::from(member.group.port.saturating_add(past));
        Ok(TargetDescription::builder().id(id).port(port).build())
    }

    async fn health(&self, member: &Member, target: &Target) -> Result<TargetHealthDescription, Fault> {
        let named = self.named(member, target).await?;
        let attempted = || format!("ask target group {} about {}", member.group.name, of(target, &named));
        let question = self.client.describe_target_health().target_group_arn(&member.group.arn);
        let question = question.targets(named.clone()).send();
        let answer = self.api.call(Action::DescribeTargetHealth, question).await;
        let answer =
            answer.map_err(|trouble| trouble.into_fault(Action::DescribeTargetHealth, attempted()))?;
        let found = answer.target_health_descriptions.unwrap_or_default().into_iter().find(|found| {
            found.target().is_some_and(|found| found.id() == named.id() && found.port() == named.port())
        });
        let unnamed = "the answer does not name it";
        found.ok_or_else(|| Fault::new(FaultKind::Transient, attempted(), unnamed))
    }

    /// Whether the instance's Auto Scaling group lets it serve: it has deregistered one that it is about to terminate, and requests that this
    /// one is given once more would be cut off.
    async fn is_let(&self, target: &Target) -> Result<(), Fault> {
        let Some(instance) = &self.instance else { return Ok(()) };
        let Some(state) = instance.target_lifecycle_state().await else { return Ok(()) };
        let Some(why) = lifecycle::objection(&state) else { return Ok(()) };
        let words = format!("its Auto Scaling group {why} (target lifecycle state {state})");
        Err(Fault::new(FaultKind::Permanent, format!("register {}", target.host), words))
    }

    /// As [`Self::is_let`]. One that is not let is taken out: it may be registered nevertheless, by us just now or by an earlier call whose
    /// answer was lost. Where that fails, its fault is the answer, so that it is tried again.
    async fn is_let_or_leaves(&self, target: &Target) -> Result<(), Fault> {
        let is_let = self.is_let(target).await;
        if is_let.is_err() {
            self.deregister_all(target).await?;
        }
        is_let
    }

    /// How long its targets drain: lately, as it may be changed at any time.
    async fn drain(&self, member: &Member) -> Result<Duration, Fault> {
        let mut known = member.drain.lock().await;
        if let Some((_, drain)) = known.filter(|(at, _)| at.elapsed() < DELAY_FRESH) {
            return Ok(drain);
        }
        let attempted = || format!("ask target group {} how long its targets drain", member.group.name);
        let question = self.client.describe_target_group_attributes().target_group_arn(&member.group.arn);
        let answer = self.api.call(Action::DescribeTargetGroupAttributes, question.send()).await;
        let answer = answer
            .map_err(|trouble| trouble.into_fault(Action::DescribeTargetGroupAttributes, attempted()))?;
        let seconds = answer.attributes().iter().find(|attribute| attribute.key() == Some(DELAY));
        let said = seconds.and_then(|attribute| attribute.value()).unwrap_or_default();
        let Some(seconds) = said.parse().ok().filter(|seconds| *seconds <= DELAY_LIMIT_SECS) else {
            let words = format!("the answer has no {DELAY} of 0 to {DELAY_LIMIT_SECS}: {said:?}");
            return Err(Fault::new(FaultKind::Transient, attempted(), words));
        };
        let drain = Duration::from_secs(seconds);
        *known = Some((Instant::now(), drain));
        Ok(drain)
    }

    async fn register(&self, member: &Member, target: &Target) -> Result<(), Fault> {
        let named = self.named(member, target).await?;
        let attempted = || format!("register {} with target group {}", of(target, &named), member.group.name);
        let call = self.client.register_targets().target_group_arn(&member.group.arn);
        let answer = self.api.call(Action::RegisterTargets, call.targets(named.clone()).send()).await;
        answer.map(drop).map_err(|trouble| trouble.into_fault(Action::RegisterTargets, attempted()))
    }

    async fn deregister(&self, member: &Member, target: &Target) -> Result<(), Fault> {
        let named = self.named(member, target).await?;
        let attempted =
            || format!("deregister {} from target group {}", of(target, &named), member.group.name);
        let call = self.client.deregister_targets().target_group_arn(&member.group.arn);
        match self.api.call(Action::DeregisterTargets, call.targets(named.clone()).send()).await {
            Ok(_) => Ok(()),
            // It is none of the group's, which is what was wanted.
            Err(trouble) if trouble.is_invalid_target() => Ok(()),
            Err(trouble) => Err(trouble.into_fault(Action::DeregisterTargets, attempted())),
        }
    }

    async fn deregister_all(&self, target: &Target) -> Result<(), Fault> {
        all(join_all(self.groups.iter().map(|member| self.deregister(member, target))).await)
    }

    async fn standing_in<'m>(
        &self,
        member: &'m Member,
        target: &Target,
    ) -> Result<(&'m str, Standing), Fault> {
        let found = self.health(member, target).await?;
        let name = member.group.name.as_str();
        let unsaid = |unsaid| {
            let attempted = format!("ask target group {name} about {}", target.host);
            Fault::new(FaultKind::Transient, attempted, unsaid)
        };
        Ok((name, health_of(&found).standing().map_err(unsaid)?))
    }

    /// Whether one of these load balancers sends requests into the zone: targets in another one stay unused.
    async fn reaches(&self, group: &Group, balancers: &[String], zone: &str) -> Result<(), Fault> {
        let attempted = || format!("look at the load balancers of target group {}", group.name);
        let question = self.client.describe_load_balancers().set_load_balancer_arns(Some(balancers.to_vec()));
        let answer = self.api.call(Action::DescribeLoadBalancers, question.send()).await;
        let answer =
            answer.map_err(|trouble| trouble.into_fault(Action::DescribeLoadBalancers, attempted()))?;
        let zones_of = |balancer: &LoadBalancer| -> Vec<String> {
            let zones = balancer.availability_zones().iter().filter_map(|zone| zone.zone_name());
            zones.map(str::to_owned).collect()
        };
        let found = answer.load_balancers();
        if found.len() < balancers.len() {
            return Err(Fault::new(
                FaultKind::Transient,
                attempted(),
                "the answer does not name all of them",
            ));
        }
        if found.iter().any(|balancer| zones_of(balancer).iter().any(|name| name == zone)) {
            return Ok(());
        }
        let named = found.iter().map(|balancer| {
            let zones = zones_of(balancer).join(", ");
            format!("{}: {zones}", balancer.load_balancer_name().unwrap_or_default())
        });
        let words = format!(
            "this host is in zone {zone}, and none of them is enabled there ({}): enable the zone, or launch the host in one of theirs",
            named.collect::<Vec<_>>().join("; ")
        );
        Err(Fault::new(FaultKind::Permanent, attempted(), words))
    }

    async fn check_in(&self, member: &Member, target: &Target, zone: Option<&str>) -> Result<(), Fault> {
        let group = &member.group;
        let found = self.describe(group).await?;
        let kind = kind_of(group, &found)?;
        // It is not asked for again.
        let _ = member.kind.set(kind);
        let wrong = |words: &str| {
            Err(Fault::new(FaultKind::Permanent, format!("look at target group {}", group.name), words))
        };
        if found.load_balancer_arns().is_empty() {
            return wrong(
                "no load balancer sends requests to it: attach it to a listener, or to a rule of one",
            );
        }
        let reaches = async {
            match zone {
                Some(zone) => self.reaches(group, found.load_balancer_arns(), zone).await,
                None => Ok(()),
            }
        };
        // At the same time, as they may be slow. The length of a drain is of use when one begins; whether it may be asked for is known now.
        let (reaches, drain, health) = tokio::join!(reaches, self.drain(member), self.health(member, target));
        reaches?;
        drain?;
        // Whether the target may be registered is known when it is: that call knows no rehearsal.
        match health_of(&health?) {
            health if health.reason == Some("Target.NotRegistered") => Ok(()),
            health if health.state == "unused" => {
                wrong(&format!("{} gets no requests: {}", target.host, health.words()))
            }
            _ => Ok(()),
        }
    }
}

impl Balancer for TargetGroups {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        self.is_let_or_leaves(target).await?;
        all(join_all(self.groups.iter().map(|member| self.register(member, target))).await)?;
        // Its group may have decided meanwhile, and have deregistered it before it was registered.
        self.is_let_or_leaves(target).await
    }

    /// A drain whose length nobody tells is a drain all the same.
    async fn leave(&self, target: &Target) -> Result<Option<Duration>, Fault> {
        let lengths = timeout(DELAY_WAIT, join_all(self.groups.iter().map(|member| self.drain(member))));
        let (left, lengths) = tokio::join!(self.deregister_all(target), lengths);
        left?;
        let lengths = lengths.map_or_else(
            |_| Err(Fault::new(FaultKind::Transient, "ask how long targets drain", "no answer in time")),
            |lengths| lengths.into_iter().collect::<Result<Vec<_>, _>>(),
        );
        let unknown = |fault: &Fault| {
            tracing::warn!(error = %ports::fault::Chain(fault), "the length of the drain is unknown");
        };
        Ok(lengths.inspect_err(unknown).ok().and_then(|lengths| lengths.into_iter().max()))
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        let said = join_all(self.groups.iter().map(|member| self.standing_in(member, target))).await;
        let said: Vec<(&str, Standing)> = said.into_iter().collect::<Result<_, Fault>>()?;
        Ok(as_one(&said))
    }

    async fn check(&self, target: &Target) -> Result<(), Fault> {
        self.is_let(target).await?;
        let zone = match &self.instance {
            Some(instance) => instance.zone().await,
            None => None,
        };
        all(join_all(self.groups.iter().map(|member| self.check_in(member, target, zone.as_deref()))).await)
    }
}

/// All worked, or the first that did not has the word.
fn all(done: Vec<Result<(), Fault>>) -> Result<(), Fault> {
    done.into_iter().collect()
}

fn kind_of(group: &Group, found: &TargetGroup) -> Result<Kind, Fault> {
    match found.target_type() {
        Some(TargetTypeEnum::Instance) => Ok(Kind::Instance),
        Some(TargetTypeEnum::Ip) => Ok(Kind::Ip),
        other => {
            let of = other.map_or("nothing", |other| other.as_str());
            let words = format!("its targets are of type {of}; those of a host are of type instance or ip");
            Err(Fault::new(FaultKind::Permanent, format!("look at target group {}", group.name), words))
        }
    }
}

pub(super) fn health_of(found: &TargetHealthDescription) -> Health<'_> {
    let health = found.target_health();
    Health {
        state: health.and_then(|health| health.state()).map_or("nothing", |state| state.as_str()),
        reason: health.and_then(|health| health.reason()).map(|reason| reason.as_str()),
        description: health.and_then(|health| health.description()),
    }
}

/// The target for people: the host, and how the group names it where that is different.
fn of(target: &Target, named: &TargetDescription) -> String {
    let (id, port) = (named.id().unwrap_or_default(), named.port().unwrap_or_default());
    if id == target.host.as_str() { format!("{id}:{port}") } else { format!("{} ({id}:{port})", target.host) }
}
