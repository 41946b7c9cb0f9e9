//! ELBv2: target groups and their targets.

use std::sync::Arc;

use super::{Call, Reply, elb_views as views, no_such_action};
use crate::{
    cloud::{Balancer, Cloud, Group, Listener, Now, Target, TargetState, no_balancer, no_group},
    query::Params,
    refusal::Refusal,
    shared::Shared,
};

pub(super) const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

pub(super) fn execute(shared: &Arc<Shared>, cloud: &Cloud, call: &Call, now: Now) -> Result<Reply, Refusal> {
    let params = &call.params;
    match call.action.as_str() {
        "DescribeLoadBalancers" => load_balancers(cloud, params),
        "DescribeListeners" => listeners(cloud, params),
        "DescribeRules" => rules(cloud, params),
        "DescribeTargetGroups" => target_groups(cloud, params),
        "DescribeTargetGroupAttributes" => {
            let group = cloud.group(params.need("TargetGroupArn")?)?;
            Ok(Reply::query(NAMESPACE, &call.action, |xml| views::attributes(xml, group)))
        }
        "DescribeTargetHealth" => target_health(cloud, params, now),
        "RegisterTargets" => {
            shared.register(params.need("TargetGroupArn")?, &targets(params)?)?;
            Ok(Reply::query(NAMESPACE, &call.action, |_| ()))
        }
        "DeregisterTargets" => {
            let (arn, targets) = (params.need("TargetGroupArn")?, targets(params)?);
            shared.change(|cloud, now| cloud.deregister(arn, &targets, now))?;
            Ok(Reply::query(NAMESPACE, &call.action, |_| ()))
        }
        _ => Err(no_such_action(call)),
    }
}

/// The targets that a call names; at least one.
fn targets(params: &Params) -> Result<Vec<(String, Option<u16>)>, Refusal> {
    let named = params.structures("Targets.member");
    if named.is_empty() {
        return Err(Refusal::validation("1 validation error detected: Value at 'targets' must not be null"));
    }
    named.iter().map(target).collect()
}

fn target(params: &Params) -> Result<(String, Option<u16>), Refusal> {
    let port = params.number::<u32>("Port")?.map(|port| {
        u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Refusal::validation(format!("Port '{port}' must be between 1 and 65535")))
    });
    Ok((params.need("Id")?.to_owned(), port.transpose()?))
}

fn target_health(cloud: &Cloud, params: &Params, now: Now) -> Result<Reply, Refusal> {
    let group = cloud.group(params.need("TargetGroupArn")?)?;
    let asked = params.structures("Targets.member").iter().map(target).collect::<Result<Vec<_>, _>>()?;
    let told: Vec<(String, u16, TargetState)> = if asked.is_empty() {
        let known = group.targets.iter().filter(|target| !target.is_gone(now));
        known.map(|target| (target.id.clone(), target.port, cloud.state(group, target, now))).collect()
    } else {
        asked.into_iter().map(|(id, port)| one(cloud, group, id, port, now)).collect()
    };
    Ok(Reply::query(NAMESPACE, "DescribeTargetHealth", |xml| {
        xml.list("TargetHealthDescriptions", "member", &told, |xml, (id, port, state)| {
            views::health(xml, group, (id, *port), state);
        });
    }))
}

fn one(cloud: &Cloud, group: &Group, id: String, port: Option<u16>, now: Now) -> (String, u16, TargetState) {
    let port = port.unwrap_or(group.options.port);
    let known: Option<&Target> = group.target(&id, port, now);
    let state = known.map_or(TargetState::NotRegistered, |target| cloud.state(group, target, now));
    (id, port, state)
}

fn target_groups(cloud: &Cloud, params: &Params) -> Result<Reply, Refusal> {
    let (arns, names) = (params.list("TargetGroupArns.member"), params.list("Names.member"));
    let balancer = params.get("LoadBalancerArn").map(|arn| cloud.balancer(arn)).transpose()?;
    arns.iter().try_for_each(|arn| cloud.group(arn).map(drop))?;
    let found = cloud.groups.iter().filter(|group| {
        (arns.is_empty() || arns.contains(&group.arn.as_str()))
            && (names.is_empty() || names.contains(&group.name.as_str()))
            && balancer.is_none_or(|wanted| cloud.balancers_of(group).any(|own| own.arn == wanted.arn))
    });
    let found: Vec<&Group> = found.collect();
    if found.len() < names.len() {
        return Err(no_group());
    }
    let (page, next) = page(&found, params)?;
    Ok(Reply::query(NAMESPACE, "DescribeTargetGroups", |xml| {
        xml.list("TargetGroups", "member", page, |xml, group| views::group(xml, cloud, group));
        xml.maybe("NextMarker", next);
    }))
}

fn load_balancers(cloud: &Cloud, params: &Params) -> Result<Reply, Refusal> {
    let (arns, names) = (params.list("LoadBalancerArns.member"), params.list("Names.member"));
    arns.iter().try_for_each(|arn| cloud.balancer(arn).map(drop))?;
    let found = cloud.balancers.iter().filter(|balancer| {
        (arns.is_empty() || arns.contains(&balancer.arn.as_str()))
            && (names.is_empty() || names.contains(&balancer.name.as_str()))
    });
    let found: Vec<&Balancer> = found.collect();
    if found.len() < names.len() {
        return Err(no_balancer());
    }
    let (page, next) = page(&found, params)?;
    Ok(Reply::query(NAMESPACE, "DescribeLoadBalancers", |xml| {
        xml.list("LoadBalancers", "member", page, |xml, balancer| views::balancer(xml, cloud, balancer));
        xml.maybe("NextMarker", next);
    }))
}

fn listeners(cloud: &Cloud, params: &Params) -> Result<Reply, Refusal> {
    let arns = params.list("ListenerArns.member");
    let balancer = params.get("LoadBalancerArn").map(|arn| cloud.balancer(arn)).transpose()?;
    if balancer.is_none() && arns.is_empty() {
        return Err(Refusal::validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    let found = cloud.listeners.iter().filter(|listener| {
        balancer.is_none_or(|balancer| listener.balancer == balancer.arn)
            && (arns.is_empty() || arns.contains(&listener.arn.as_str()))
    });
    let found: Vec<&Listener> = found.collect();
    if found.len() < arns.len() {
        return Err(Refusal::new("ListenerNotFound", "One or more listeners not found"));
    }
    Ok(Reply::query(NAMESPACE, "DescribeListeners", |xml| {
        xml.list("Listeners", "member", found, views::listener);
    }))
}

fn rules(cloud: &Cloud, params: &Params) -> Result<Reply, Refusal> {
    let arn = params.need("ListenerArn")?;
    let listener = cloud.listeners.iter().find(|listener| listener.arn == arn);
    let listener =
        listener.ok_or_else(|| Refusal::new("ListenerNotFound", "One or more listeners not found"))?;
    Ok(Reply::query(NAMESPACE, "DescribeRules", |xml| {
        xml.list("Rules", "member", [listener], views::default_rule);
    }))
}

/// The items from a marker on, at most as many as a page has, and the marker of the next page.
fn page<'a, T>(items: &'a [T], params: &Params) -> Result<(&'a [T], Option<String>), Refusal> {
    let size = params.number::<usize>("PageSize")?.unwrap_or(400);
    if !(1..=400).contains(&size) {
        return Err(Refusal::validation(format!("PageSize '{size}' must be between 1 and 400")));
    }
    let from = params.number::<usize>("Marker")?.unwrap_or(0).min(items.len());
    let to = items.len().min(from + size);
    Ok((&items[from..to], (to < items.len()).then(|| to.to_string())))
}
