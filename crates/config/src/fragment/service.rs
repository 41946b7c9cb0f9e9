//! What the files say of one service.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ports::supervisor::Readiness;
use toml::Value;

use super::{is_policy, travels};
use crate::{
    section::{Field, Section},
    values::{duration, label, number, one_of, text},
};

pub(crate) struct ServiceFragment {
    pub(crate) port: Field<u16>,
    pub(crate) address: Field<IpAddr>,
    pub(crate) readiness: Field<Readiness>,
    pub(crate) probe: Field<ProbeFragment>,
    pub(crate) balancer: Field<BalancerFragment>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) log_limit_bytes: Field<u64>,
}

pub(crate) struct ProbeFragment {
    pub(crate) kind: Field<ProbeKind>,
    pub(crate) path: Field<String>,
    pub(crate) status: Field<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) timeout: Field<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Http,
    Tcp,
}

pub(crate) struct BalancerFragment {
    pub(crate) kind: Field<()>,
    pub(crate) url: Field<String>,
    pub(crate) group: Field<String>,
}

/// Smallest and largest limit of a service's output, in bytes: room for what `status` shows, and for a disk.
const LOG_LIMIT_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=16 * 1024 * 1024 * 1024;

pub(super) fn read(mut section: Section<'_>) -> ServiceFragment {
    let fragment = ServiceFragment {
        port: section.read("port", number(1..=u16::MAX)),
        address: section.read("address", ip),
        readiness: section.read("ready", one_of([("up", Readiness::Up), ("notify", Readiness::Notify)])),
        probe: map(section.optional_section("probe"), probe),
        balancer: map(section.optional_section("balancer"), balancer),
        environment: environment(&mut section),
        log_limit_bytes: section.read("log_limit_bytes", number(LOG_LIMIT_BYTES)),
    };
    section.finish(|key| is_policy(key).then(travels));
    fragment
}

fn map<T, U>(field: Field<T>, with: impl FnOnce(T) -> U) -> Field<U> {
    match field {
        Field::Given(value, place) => Field::Given(with(value), place),
        Field::Absent(place) => Field::Absent(place),
        Field::Bad => Field::Bad,
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
    let kind = section.read("kind", one_of([("http", ProbeKind::Http), ("tcp", ProbeKind::Tcp)]));
    let timeout = section.read("timeout", duration(Duration::from_millis(10)..=Duration::from_secs(60)));
    let is_tcp = kind.given().is_some_and(|(kind, _)| *kind == ProbeKind::Tcp);
    let mut fragment = ProbeFragment {
        kind,
        path: section.read("path", path),
        status: section.read("status", number(200..=599)),
        headers: headers(&mut section),
        timeout,
    };
    if is_tcp {
        let only_http = "is for kind = \"http\" only";
        let places = [fragment.path.given().map(|(_, place)| place), fragment.status.given().map(|(_, p)| p)];
        for place in places.into_iter().flatten() {
            section.sink().at(place, only_http);
        }
        if let Some(header) = std::mem::take(&mut fragment.headers).into_keys().next() {
            section.sink().at(section.place(), format!("headers, such as {header:?}: {only_http}"));
        }
    }
    section.finish(|_| None);
    fragment
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

fn balancer(mut section: Section<'_>) -> BalancerFragment {
    let fragment = BalancerFragment {
        kind: section.read("kind", one_of([("local", ())])),
        url: section.read("url", url),
        group: section.read("group", label),
    };
    section.finish(|_| None);
    fragment
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
