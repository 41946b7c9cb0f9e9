//! What the files say of what sends requests to a service.

use toml::Value;

use crate::{
    section::{Field, Section},
    values::{label, number, one_of, text},
};

pub(crate) struct BalancerFragment {
    pub(crate) kind: Field<BalancerKind>,
    pub(crate) url: Field<String>,
    pub(crate) group: Field<String>,
    pub(crate) target_groups: Field<Vec<GroupFragment>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BalancerKind {
    Local,
    Aws,
}

pub(crate) struct GroupFragment {
    pub(crate) arn: Field<Arn>,
    pub(crate) port: Field<u16>,
}

/// The whole name of a target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arn {
    pub(crate) text: String,
    pub(crate) region: String,
    pub(crate) name: String,
}

/// Most target groups that one service may have.
const GROUPS_LIMIT: usize = 16;

pub(super) fn read(mut section: Section<'_>) -> BalancerFragment {
    let fragment = BalancerFragment {
        kind: section.read("kind", one_of([("local", BalancerKind::Local), ("aws", BalancerKind::Aws)])),
        url: section.read("url", url),
        group: section.read("group", label),
        target_groups: section
            .list("target_groups")
            .map(|sections| sections.into_iter().map(group).collect::<Vec<_>>()),
    };
    if let Some((groups, place)) = fragment.target_groups.given()
        && !(1..=GROUPS_LIMIT).contains(&groups.len())
    {
        section.sink().at(place, format!("must name 1 to {GROUPS_LIMIT} target groups"));
    }
    only_for(&fragment, &section);
    section.finish(|_| None);
    fragment
}

/// Records the keys that mean nothing for a balancer of this kind.
fn only_for(fragment: &BalancerFragment, section: &Section<'_>) {
    let Some((kind, _)) = fragment.kind.given() else { return };
    let of = [
        (BalancerKind::Local, "local", fragment.url.given().map(|(_, place)| place)),
        (BalancerKind::Local, "local", fragment.group.given().map(|(_, place)| place)),
        (BalancerKind::Aws, "aws", fragment.target_groups.given().map(|(_, place)| place)),
    ];
    for (only, word, place) in of {
        if let Some(place) = place.filter(|_| only != *kind) {
            section.sink().at(place, format!("is for kind = {word:?} only"));
        }
    }
}

fn group(mut section: Section<'_>) -> GroupFragment {
    let fragment =
        GroupFragment { arn: section.read("arn", arn), port: section.read("port", number(1..=u16::MAX)) };
    section.finish(|_| None);
    fragment
}

fn arn(value: &Value) -> Result<Arn, String> {
    let text = text(value)?;
    let right =
        "must be the ARN of a target group: arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID";
    let mut parts = text.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, what) = (next(), next(), next(), next(), next(), next());
    let rest = parts.next();
    let named: Vec<&str> = what.split('/').collect();
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let ["targetgroup", name, id] = named[..] else { return Err(right.into()) };
    let all = [partition, region, account, name, id];
    if arn == "arn" && service == "elasticloadbalancing" && rest.is_none() && all.into_iter().all(fits) {
        return Ok(Arn { region: region.to_owned(), name: name.to_owned(), text: text.clone() });
    }
    Err(right.into())
}

/// `http://HOST:PORT`, with at most one slash after it, which is left out.
fn url(value: &Value) -> Result<String, String> {
    let url = text(value)?;
    let right = "must be http://HOST:PORT, with nothing after it";
    let Some(authority) = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest))
    else {
        return Err(right.into());
    };
    let Some((host, port)) = authority.rsplit_once(':') else { return Err(right.into()) };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match inner {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        }
    };
    let port_fits =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    if host_fits && port_fits { Ok(format!("http://{authority}")) } else { Err(right.into()) }
}
