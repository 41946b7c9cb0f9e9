//! How ELBv2 writes what it knows.

use super::ec2::{VPC, subnet};
use crate::{
    cloud::{Balancer, Cloud, Group, Listener, TargetState},
    time,
    wire::{BalancerKind, CheckBy, GroupOptions, TargetType},
    xml::Xml,
};

pub(super) fn health(xml: &mut Xml, group: &Group, (id, port): (&str, u16), state: &TargetState) {
    xml.node("Target", |xml| {
        xml.leaf("Id", id);
        xml.leaf("Port", port);
    });
    xml.leaf("HealthCheckPort", group.options.health_port.unwrap_or(port));
    let (state, reason, description) = state.told();
    xml.node("TargetHealth", |xml| {
        xml.leaf("State", state);
        xml.maybe("Reason", reason);
        xml.maybe("Description", description);
    });
}

pub(super) fn group(xml: &mut Xml, cloud: &Cloud, group: &Group) {
    let options = &group.options;
    xml.leaf("TargetGroupArn", &group.arn);
    xml.leaf("TargetGroupName", &group.name);
    let kind = cloud.balancers_of(group).next().map(|balancer| balancer.kind);
    xml.leaf("Protocol", protocol(kind.unwrap_or_default()));
    xml.leaf("Port", options.port);
    xml.leaf("VpcId", VPC);
    xml.leaf("HealthCheckProtocol", if options.check_by == CheckBy::Tcp { "TCP" } else { "HTTP" });
    let port = options.health_port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string());
    xml.leaf("HealthCheckPort", port);
    xml.leaf("HealthCheckEnabled", true);
    xml.leaf("HealthCheckIntervalSeconds", seconds_at_least_one(options.health_interval));
    xml.leaf("HealthCheckTimeoutSeconds", seconds_at_least_one(options.health_timeout));
    xml.leaf("HealthyThresholdCount", options.healthy_threshold);
    xml.leaf("UnhealthyThresholdCount", options.unhealthy_threshold);
    if options.check_by == CheckBy::Http {
        xml.leaf("HealthCheckPath", &options.health_path);
        xml.node("Matcher", |xml| xml.leaf("HttpCode", codes(options)));
    }
    xml.node("LoadBalancerArns", |xml| {
        for balancer in cloud.balancers_of(group) {
            xml.leaf("member", &balancer.arn);
        }
    });
    xml.leaf("TargetType", if options.target_type == TargetType::Ip { "ip" } else { "instance" });
    if kind != Some(BalancerKind::Network) {
        xml.leaf("ProtocolVersion", "HTTP1");
    }
    xml.leaf("IpAddressType", "ipv4");
}

fn protocol(kind: BalancerKind) -> &'static str {
    match kind {
        BalancerKind::Application => "HTTP",
        BalancerKind::Network => "TCP",
    }
}

fn codes(options: &GroupOptions) -> String {
    match options.healthy_codes {
        (only, highest) if only == highest => only.to_string(),
        (lowest, highest) => format!("{lowest}-{highest}"),
    }
}

/// In whole seconds, as the API knows no parts of them: rounded up.
fn seconds_at_least_one(time: std::time::Duration) -> u64 {
    time.as_millis().div_ceil(1000).max(1) as u64
}

pub(super) fn attributes(xml: &mut Xml, group: &Group) {
    let delay = group.options.deregistration_delay.as_millis().div_ceil(1000);
    let attributes = [
        ("deregistration_delay.timeout_seconds", delay.to_string()),
        ("load_balancing.algorithm.type", "round_robin".to_owned()),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration".to_owned()),
        ("slow_start.duration_seconds", "0".to_owned()),
        ("stickiness.enabled", "false".to_owned()),
        ("stickiness.type", "lb_cookie".to_owned()),
    ];
    xml.list("Attributes", "member", attributes, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
}

pub(super) fn balancer(xml: &mut Xml, cloud: &Cloud, balancer: &Balancer) {
    let Balancer { name, arn, kind, zones, .. } = balancer;
    let digits = arn.rsplit('/').next().unwrap_or_default();
    xml.leaf("LoadBalancerArn", arn);
    xml.leaf("DNSName", format!("{name}-{digits}.{}.elb.amazonaws.com", cloud.settings.region));
    xml.leaf("CanonicalHostedZoneId", "Z215JYRZR1TBD5");
    xml.leaf("CreatedTime", time::iso(cloud.began));
    xml.leaf("LoadBalancerName", name);
    xml.leaf("Scheme", "internal");
    xml.leaf("VpcId", VPC);
    xml.node("State", |xml| xml.leaf("Code", "active"));
    xml.leaf("Type", if *kind == BalancerKind::Network { "network" } else { "application" });
    xml.list("AvailabilityZones", "member", zones, |xml, zone| {
        xml.leaf("ZoneName", zone);
        xml.leaf("SubnetId", subnet(zone));
        xml.node("LoadBalancerAddresses", |_| ());
    });
    xml.node("SecurityGroups", |_| ());
    xml.leaf("IpAddressType", "ipv4");
}

pub(super) fn listener(xml: &mut Xml, listener: &Listener) {
    xml.leaf("ListenerArn", &listener.arn);
    xml.leaf("LoadBalancerArn", &listener.balancer);
    xml.leaf("Port", listener.address.port());
    xml.leaf("Protocol", if listener.arn.contains("/net/") { "TCP" } else { "HTTP" });
    xml.list("DefaultActions", "member", [listener], forward);
}

pub(super) fn default_rule(xml: &mut Xml, listener: &Listener) {
    xml.leaf("RuleArn", format!("{}/default", listener.arn.replace(":listener/", ":listener-rule/")));
    xml.leaf("Priority", "default");
    xml.node("Conditions", |_| ());
    xml.list("Actions", "member", [listener], forward);
    xml.leaf("IsDefault", true);
}

fn forward(xml: &mut Xml, listener: &Listener) {
    xml.leaf("Type", "forward");
    xml.leaf("TargetGroupArn", &listener.group);
    xml.leaf("Order", 1);
    xml.node("ForwardConfig", |xml| {
        xml.list("TargetGroups", "member", [listener], |xml, listener| {
            xml.leaf("TargetGroupArn", &listener.group);
            xml.leaf("Weight", 1);
        });
    });
}
