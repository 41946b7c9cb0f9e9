//! EC2: which instances there are.

use super::{Call, Reply, no_such_action};
use crate::{
    cloud::{Cloud, Instance, Now, is_instance_id, malformed, unknown_instances},
    query::Params,
    refusal::Refusal,
    time,
    wire::NewInstance,
    xml::Xml,
};

pub(super) fn execute(cloud: &Cloud, call: &Call, now: Now) -> Result<Reply, Refusal> {
    match call.action.as_str() {
        "DescribeInstances" => describe_instances(cloud, &call.params, now),
        _ => Err(no_such_action(call)),
    }
}

fn describe_instances(cloud: &Cloud, params: &Params, now: Now) -> Result<Reply, Refusal> {
    let filters = params.structures("Filter").iter().map(Filter::read).collect::<Result<Vec<_>, _>>()?;
    let (page, next) = page(cloud, params, now)?;
    if params.get("DryRun") == Some("true") {
        let text = "Request would have succeeded, but DryRun flag is set.";
        return Err(Refusal::with_status(hyper::StatusCode::PRECONDITION_FAILED, "DryRunOperation", text));
    }
    // Filters come after pages, so that a page can be short or empty and yet not be the last one.
    let found = page.into_iter().filter(|instance| filters.iter().all(|filter| filter.takes(instance, now)));
    Ok(Reply::ec2("DescribeInstances", |xml| {
        xml.list("reservationSet", "item", found, |xml, instance| reservation(xml, cloud, instance, now));
        xml.maybe("nextToken", next);
    }))
}

/// The instances that are asked for, and the token for those after them.
fn page<'a>(
    cloud: &'a Cloud,
    params: &Params,
    now: Now,
) -> Result<(Vec<&'a Instance>, Option<String>), Refusal> {
    let (ids, limit) = (params.list("InstanceId"), params.number::<usize>("MaxResults")?);
    if !ids.is_empty() {
        if limit.is_some() {
            let text = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(Refusal::new("InvalidParameterCombination", text));
        }
        if let Some(id) = ids.iter().find(|id| !is_instance_id(id)) {
            return Err(malformed(id));
        }
        let is_known = |id: &&str| cloud.instance(id, now).is_ok();
        let missing: Vec<&str> = ids.iter().copied().filter(|id| !is_known(id)).collect();
        if !missing.is_empty() {
            return Err(unknown_instances(&missing));
        }
        return Ok((
            cloud.listed(now).filter(|instance| ids.contains(&instance.id.as_str())).collect(),
            None,
        ));
    }
    if let Some(limit) = limit.filter(|limit| !(5..=1000).contains(limit)) {
        let bound = if limit < 5 { "greater than 5" } else { "less than or equal to 1000" };
        let text =
            format!("Value ( {limit} ) for parameter maxResults is invalid. Expecting a value {bound}.");
        return Err(Refusal::new("InvalidParameterValue", text));
    }
    let all: Vec<&Instance> = cloud.listed(now).collect();
    let from = match params.get("NextToken") {
        None | Some("") => 0,
        Some(token) => {
            let last = token.strip_prefix("after-").unwrap_or_default();
            1 + all.iter().position(|instance| instance.id == last).ok_or_else(|| {
                let text = "The specified pagination token is not valid or is expired.";
                Refusal::new("InvalidPaginationToken", text)
            })?
        }
    };
    let page: Vec<&Instance> =
        all[from..].iter().copied().take(limit.unwrap_or(1000).min(cloud.settings.page_limit)).collect();
    let next = page.last().filter(|_| from + page.len() < all.len());
    let next = next.map(|instance| format!("after-{}", instance.id));
    Ok((page, next))
}

/// One filter. An instance passes that has one of the values.
struct Filter {
    of: Of,
    values: Vec<String>,
}

enum Of {
    Tag(String),
    TagKey,
    Id,
    StateName,
    StateCode,
    Zone,
    PrivateAddress,
    PublicAddress,
}

impl Filter {
    fn read(params: &Params) -> Result<Self, Refusal> {
        let name = params.get("Name").unwrap_or_default();
        let of = match (name, name.strip_prefix("tag:")) {
            (_, Some(key)) => Of::Tag(key.to_owned()),
            ("tag-key", _) => Of::TagKey,
            ("instance-id", _) => Of::Id,
            ("instance-state-name", _) => Of::StateName,
            ("instance-state-code", _) => Of::StateCode,
            ("availability-zone", _) => Of::Zone,
            ("private-ip-address", _) => Of::PrivateAddress,
            ("ip-address", _) => Of::PublicAddress,
            _ => {
                let text = format!("The filter '{name}' is invalid");
                return Err(Refusal::new("InvalidParameterValue", text));
            }
        };
        let values: Vec<String> = params.list("Value").into_iter().map(str::to_owned).collect();
        if values.is_empty() {
            let text = "The filter value cannot be empty: a filter has to have at least one value";
            return Err(Refusal::new("InvalidParameterValue", format!("'{name}': {text}")));
        }
        Ok(Self { of, values })
    }

    fn takes(&self, instance: &Instance, now: Now) -> bool {
        let (code, state) = instance.state(now).named();
        let made = &instance.made;
        let addresses = instance.addresses(now);
        let own: Vec<String> = match &self.of {
            Of::Tag(key) => made.tags.get(key).cloned().into_iter().collect(),
            Of::TagKey => made.tags.keys().cloned().collect(),
            Of::Id => vec![instance.id.clone()],
            Of::StateName => vec![state.to_owned()],
            Of::StateCode => vec![code.to_string()],
            Of::Zone => vec![instance.zone.clone()],
            Of::PrivateAddress => {
                addresses.and_then(|own| own.private_ipv4).map(|ip| ip.to_string()).into_iter().collect()
            }
            Of::PublicAddress => {
                addresses.and_then(|own| own.public_ipv4).map(|ip| ip.to_string()).into_iter().collect()
            }
        };
        own.iter().any(|own| self.values.iter().any(|wanted| is_like(wanted.as_bytes(), own.as_bytes())))
    }
}

/// Whether a text is like a pattern, in which `*` is anything and `?` is one character.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|from| is_like(rest, &text[from..])),
        ([b'\\', wanted, rest @ ..], [first, others @ ..]) => wanted == first && is_like(rest, others),
        ([b'?', rest @ ..], [_, others @ ..]) => is_like(rest, others),
        ([wanted, rest @ ..], [first, others @ ..]) => wanted == first && is_like(rest, others),
        _ => false,
    }
}

fn reservation(xml: &mut Xml, cloud: &Cloud, instance: &Instance, now: Now) {
    let number = instance.id.trim_start_matches("i-");
    xml.leaf("reservationId", format!("r-{number}"));
    xml.leaf("ownerId", &cloud.settings.account);
    xml.node("groupSet", |_| ());
    xml.list("instancesSet", "item", [instance], |xml, instance| describe(xml, cloud, instance, now));
}

fn describe(xml: &mut Xml, cloud: &Cloud, instance: &Instance, now: Now) {
    let (code, name) = instance.state(now).named();
    xml.leaf("instanceId", &instance.id);
    xml.leaf("imageId", "ami-0123456789abcdef0");
    xml.node("instanceState", |xml| {
        xml.leaf("code", code);
        xml.leaf("name", name);
    });
    let nothing = NewInstance::default();
    let addresses = instance.addresses(now).unwrap_or(&nothing);
    let host = addresses.private_ipv4.map(|ip| format!("ip-{}", ip.to_string().replace('.', "-")));
    xml.leaf(
        "privateDnsName",
        host.map(|host| format!("{host}.{}.compute.internal", cloud.settings.region)).unwrap_or_default(),
    );
    xml.leaf("dnsName", "");
    xml.leaf("reason", "");
    xml.leaf("amiLaunchIndex", 0);
    xml.node("productCodes", |_| ());
    xml.leaf("instanceType", "t3.micro");
    xml.leaf("launchTime", time::iso(cloud.began + instance.launched));
    xml.node("placement", |xml| {
        xml.leaf("availabilityZone", &instance.zone);
        xml.leaf("groupName", "");
        xml.leaf("tenancy", "default");
    });
    xml.node("monitoring", |xml| xml.leaf("state", "disabled"));
    if instance.addresses(now).is_some() {
        xml.leaf("subnetId", subnet(&instance.zone));
        xml.leaf("vpcId", VPC);
    }
    xml.maybe("privateIpAddress", addresses.private_ipv4);
    xml.maybe("ipAddress", addresses.public_ipv4);
    xml.maybe("ipv6Address", addresses.ipv6);
    if let Some((code, message)) = instance.reason(now) {
        xml.node("stateReason", |xml| {
            xml.leaf("code", code);
            xml.leaf("message", message);
        });
    }
    xml.leaf("architecture", "x86_64");
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("virtualizationType", "hvm");
    xml.leaf("hypervisor", "xen");
    if !instance.made.tags.is_empty() {
        xml.list("tagSet", "item", &instance.made.tags, |xml, (key, value)| {
            xml.leaf("key", key);
            xml.leaf("value", value);
        });
    }
    if instance.addresses(now).is_some() {
        xml.list("networkInterfaceSet", "item", [addresses], interface);
    }
}

fn interface(xml: &mut Xml, addresses: &NewInstance) {
    xml.leaf("networkInterfaceId", "eni-0123456789abcdef0");
    xml.leaf("status", "in-use");
    xml.maybe("privateIpAddress", addresses.private_ipv4);
    xml.leaf("sourceDestCheck", true);
    xml.list("ipv6AddressesSet", "item", addresses.ipv6, |xml, ip| {
        xml.leaf("ipv6Address", ip);
        xml.leaf("isPrimaryIpv6", false);
    });
}

/// The one VPC that there is.
pub(super) const VPC: &str = "vpc-0123456789abcdef0";

/// Each zone has one subnet.
pub(super) fn subnet(zone: &str) -> String {
    format!("subnet-0{}", crate::cloud::hex(zone.as_bytes(), 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_filters() {
        for (pattern, text, like) in [
            ("prod", "prod", true),
            ("prod", "production", false),
            ("prod*", "production", true),
            ("*d?t*", "production", false),
            ("*d?ct*", "production", true),
            ("pro?", "prod", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), like, "{pattern} {text}");
        }
    }
}
