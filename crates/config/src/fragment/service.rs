//! What the files say of one service.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::ServiceName;
use ports::supervisor::Readiness;
use toml::Value;

use super::{is_policy, travels};

use crate::{
    section::{Field, Section},
    values::{duration, kind, name, number, one_of, text},
};

mod balancer;
mod channel;
mod programs;

pub(crate) use balancer::{BalancerFragment, BalancerKind, GroupFragment};
pub(crate) use channel::ChannelFragment;
pub(crate) use programs::{LimitsFragment, ProgramsFragment};

pub(crate) struct ServiceFragment {
    pub(crate) port: Field<u16>,
    pub(crate) instances: Field<u16>,
    pub(crate) address: Field<IpAddr>,
    pub(crate) readiness: Field<Readiness>,
    pub(crate) after: Field<Vec<ServiceName>>,
    pub(crate) after_limit: Field<Duration>,
    pub(crate) probe: Field<ProbeFragment>,
    pub(crate) balancer: Field<BalancerFragment>,
    pub(crate) channel: Field<ChannelFragment>,
    pub(crate) programs: ProgramsFragment,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) log_limit_bytes: Field<u64>,
}

pub(crate) struct ProbeFragment {
    pub(crate) kind: Field<ProbeKind>,
    pub(crate) path: Field<String>,
    pub(crate) status: Field<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) service: Field<String>,
    pub(crate) command: Field<Vec<String>>,
    pub(crate) timeout: Field<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Http,
    Tcp,
    Grpc,
    Command,
}

/// How many instances a service may have on one host. Each of them is a keeper and a process.
pub(crate) const INSTANCES: std::ops::RangeInclusive<u16> = 1..=64;

/// Smallest and largest limit of a service's output, in bytes: room for what `status` shows, and for a disk.
const LOG_LIMIT_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=16 * 1024 * 1024 * 1024;

pub(super) fn read(mut section: Section<'_>) -> ServiceFragment {
    let fragment = ServiceFragment {
        port: section.read("port", number(1..=u16::MAX)),
        instances: section.read("instances", number(INSTANCES)),
        address: section.read("address", ip),
        readiness: section.read("ready", one_of([("up", Readiness::Up), ("notify", Readiness::Notify)])),
        after: section.read("after", names),
        after_limit: section.read("after_limit", duration(Duration::ZERO..=Duration::from_secs(3600))),
        probe: section.optional_section("probe").map(probe),
        balancer: section.optional_section("balancer").map(balancer::read),
        channel: section.optional_section("channel").map(channel::read),
        programs: programs::read(&mut section),
        environment: environment(&mut section),
        log_limit_bytes: section.read("log_limit_bytes", number(LOG_LIMIT_BYTES)),
    };
    section.finish(|key| is_policy(key).then(travels));
    fragment
}

/// Names of services.
fn names(value: &Value) -> Result<Vec<ServiceName>, String> {
    let right = "must be a list of services, such as [\"db-proxy\"]";
    let Value::Array(names) = value else { return Err(format!("{right}, not {}", kind(value))) };
    let named = |value: &Value| name::<ServiceName>(value).map_err(|problem| format!("{value}: {problem}"));
    let names: Vec<ServiceName> = names.iter().map(named).collect::<Result<_, _>>()?;
    let mut once = std::collections::BTreeSet::new();
    match names.iter().find(|name| !once.insert(*name)) {
        Some(twice) => Err(format!("names {twice} twice")),
        None => Ok(names),
    }
}

fn ip(value: &Value) -> Result<IpAddr, String> {
    let ip: IpAddr =
        text(value)?.parse().map_err(|_| "must be an IP address, such as \"127.0.0.1\"".to_owned())?;
    if ip.is_unspecified() {
        return Err("must be an address that requests can be sent to".into());
    }
    Ok(ip)
}

fn environment(section: &mut Section<'_>) -> BTreeMap<String, String> {
    let sink = section.sink();
    let mut environment = BTreeMap::new();
    for (name, value, place) in section.texts("environment") {
        let fits = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            sink.at(
                &place,
                "a variable's name may hold only letters, digits and `_`, and starts with no digit",
            );
        } else if ["PORT", "NOTIFY_SOCKET"].contains(&name.as_str()) || name.starts_with("DEPLOYINATOR_") {
            sink.at(&place, "is set by Deployinator itself");
        } else if value.contains('\0') {
            sink.at(&place, "must not hold a zero byte");
        } else {
            environment.insert(name, value);
        }
    }
    environment
}

fn probe(mut section: Section<'_>) -> ProbeFragment {
    let kinds = [
        ("http", ProbeKind::Http),
        ("tcp", ProbeKind::Tcp),
        ("grpc", ProbeKind::Grpc),
        ("command", ProbeKind::Command),
    ];
    let kind = section.read("kind", one_of(kinds));
    let timeout = section.read("timeout", duration(Duration::from_millis(10)..=Duration::from_secs(60)));
    let mut fragment = ProbeFragment {
        kind,
        path: section.read("path", path),
        status: section.read("status", number(200..=599)),
        headers: headers(&mut section),
        service: section.read("service", health_service),
        command: section.read("command", command),
        timeout,
    };
    if let Some((kind, _)) = fragment.kind.given() {
        let kind = *kind;
        only_for(kind, &mut fragment, &section);
    }
    section.finish(|_| None);
    fragment
}

/// Records the keys that mean nothing for a probe of this kind.
fn only_for(kind: ProbeKind, fragment: &mut ProbeFragment, section: &Section<'_>) {
    let sink = section.sink();
    let of = [
        (ProbeKind::Http, "http", fragment.path.given().map(|(_, place)| place)),
        (ProbeKind::Http, "http", fragment.status.given().map(|(_, place)| place)),
        (ProbeKind::Grpc, "grpc", fragment.service.given().map(|(_, place)| place)),
        (ProbeKind::Command, "command", fragment.command.given().map(|(_, place)| place)),
    ];
    for (only, word, place) in of {
        if let Some(place) = place.filter(|_| only != kind) {
            sink.at(place, format!("is for kind = {word:?} only"));
        }
    }
    if kind != ProbeKind::Http
        && let Some(header) = std::mem::take(&mut fragment.headers).into_keys().next()
    {
        sink.at(section.place(), format!("headers, such as {header:?}: is for kind = \"http\" only"));
    }
}

/// A name such as `shop.v1.Cart`, as it stands in the health service's request.
fn health_service(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(name);
    }
    Err("must hold no spaces and nothing outside ASCII".into())
}

/// A program and its arguments.
fn command(value: &Value) -> Result<Vec<String>, String> {
    let right = "must be a list of texts, the program first, such as [\"/usr/bin/check\", \"--deep\"]";
    let Value::Array(words) = value else { return Err(format!("{right}, not {}", kind(value))) };
    let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let words = words.ok_or(right)?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err("must not hold a zero byte".into());
    }
    match words.first() {
        Some(program) if !program.trim().is_empty() => Ok(words),
        Some(_) | None => Err(right.into()),
    }
}

fn path(value: &Value) -> Result<String, String> {
    let path = text(value)?;
    if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Ok(path);
    }
    Err("must start with `/` and hold no spaces, no `#` and nothing outside ASCII".into())
}

fn headers(section: &mut Section<'_>) -> BTreeMap<String, String> {
    let sink = section.sink();
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value, place) in section.texts("headers") {
        let is_token =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        let framing = ["connection", "content-length", "transfer-encoding"];
        if name.is_empty() || !is_token {
            sink.at(&place, "is no name of a header");
        } else if framing.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            sink.at(&place, "is set by the probe itself");
        } else if headers.keys().any(|known| known.eq_ignore_ascii_case(&name)) {
            sink.at(&place, "is given twice, in capitals and in small letters");
        } else if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            sink.at(&place, "must hold only printable ASCII");
        } else {
            headers.insert(name, value);
        }
    }
    headers
}
