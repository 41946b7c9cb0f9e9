//! The metadata service of instances, IMDSv2: a token first, then everything with it.
//!
//! Which instance asks is told in three ways, the first that fits: by the listener, if it is one of the instance's own; by
//! a path that begins with its id (`/i-0123456789abcdef0/latest/...`); by the address that the call comes from, if it is
//! an address of the instance.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use localbalancer::proxy::AnswerBody;
use serde_json::json;

use crate::{
    api::{Reply, Silent},
    cloud::{Instance, Now, hex},
    keys::Key,
    query::decode,
    shared::{Shared, World},
    time,
    wire::FaultKind,
};

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The tokens that were given out: of which instance, and until when they are good.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    given: BTreeMap<String, (String, Now)>,
    numbers: u64,
}

impl Tokens {
    fn give(&mut self, instance: &str, lifetime: Duration, now: Now) -> String {
        self.numbers += 1;
        let token = hex(format!("token {instance} {}", self.numbers).as_bytes(), 20);
        self.given.retain(|_, (_, until)| now < *until);
        self.given.insert(token.clone(), (instance.to_owned(), now + lifetime));
        token
    }

    fn is_good(&self, token: &str, instance: &str, now: Now) -> bool {
        self.given.get(token).is_some_and(|(of, until)| of == instance && now < *until)
    }
}

/// Answers one request; `own` is the instance that the listener belongs to.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    own: Option<Arc<str>>,
    request: Request<Incoming>,
    from: SocketAddr,
) -> Result<Response<AnswerBody>, Silent> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let (prefix, path) = match path.split_once('/') {
        Some((prefix, rest)) if prefix.starts_with("i-") => (Some(prefix.to_owned()), rest.to_owned()),
        _ => (None, path),
    };
    let now = shared.now();
    let named = own.map(|own| own.to_string()).or(prefix);
    let by_address = || shared.lock().cloud().instance_at(from.ip(), now).map(|known| known.id.clone());
    let Some(id) = named.or_else(by_address) else {
        return Ok(text(StatusCode::NOT_FOUND, format!("{} is no address of an instance", from.ip())).whole());
    };
    let rest = path.strip_prefix("latest/").unwrap_or(&path);
    let fault = shared.called(&format!("imds:{rest}"), &id, false);
    if let Some(FaultKind::Slow { ms }) = fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let broken = |status: StatusCode| Ok(text(status, status.to_string()).whole());
    match fault {
        Some(FaultKind::Drop | FaultKind::LoseAnswer) => return Err(Silent),
        Some(FaultKind::Throttle | FaultKind::Unavailable) => return broken(StatusCode::SERVICE_UNAVAILABLE),
        Some(FaultKind::Error) => return broken(StatusCode::INTERNAL_SERVER_ERROR),
        Some(FaultKind::Html) => return broken(StatusCode::BAD_GATEWAY),
        Some(FaultKind::Denied) => return broken(StatusCode::FORBIDDEN),
        Some(FaultKind::Expired) => return broken(StatusCode::UNAUTHORIZED),
        Some(FaultKind::Slow { .. } | FaultKind::Stale { .. } | FaultKind::CutAnswer) | None => (),
    }
    let now = shared.now();
    let reply = respond(&mut shared.lock(), &id, rest, &request, now);
    Ok(if fault == Some(FaultKind::CutAnswer) { reply.cut() } else { reply.whole() })
}

fn respond(world: &mut World, id: &str, path: &str, request: &Request<Incoming>, now: Now) -> Reply {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if path == "api/token" {
        if request.method() != Method::PUT {
            return text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        // Whoever came through a proxy is not the instance itself.
        if header("x-forwarded-for").is_some() {
            return text(StatusCode::FORBIDDEN, "");
        }
        let lifetime = header(TOKEN_TTL).and_then(|seconds| seconds.parse().ok());
        let Some(seconds @ 1..=21_600) = lifetime else {
            return text(StatusCode::BAD_REQUEST, "");
        };
        let token = world.tokens.give(id, Duration::from_secs(seconds), now);
        let mut reply = text(StatusCode::OK, token);
        reply.headers.push((TOKEN_TTL, seconds.to_string()));
        return reply;
    }
    if !header(TOKEN).is_some_and(|token| world.tokens.is_good(token, id, now)) {
        return text(StatusCode::UNAUTHORIZED, "");
    }
    let Ok(instance) = world.cloud().instance(id, now).cloned() else {
        return text(StatusCode::NOT_FOUND, "");
    };
    let found = match path.strip_prefix("meta-data/iam/security-credentials/") {
        Some(role) => credentials(world, &instance, role, now),
        None => look_up(world, &instance, path),
    };
    found.map_or_else(|| text(StatusCode::NOT_FOUND, ""), |found| text(StatusCode::OK, found))
}

/// What is at a path; a path that ends with `/` is a list of names.
fn look_up(world: &World, instance: &Instance, path: &str) -> Option<String> {
    let made = &instance.made;
    let settings = &world.cloud().settings;
    let mac = "0a:00:00:00:00:01";
    if path == "dynamic/instance-identity/document" {
        let at = time::iso_seconds(world.cloud().began + instance.launched);
        let document = json!({
            "accountId": settings.account,
            "architecture": "x86_64",
            "availabilityZone": instance.zone,
            "billingProducts": null,
            "imageId": "ami-0123456789abcdef0",
            "instanceId": instance.id,
            "instanceType": "t3.micro",
            "pendingTime": at,
            "privateIp": made.private_ipv4,
            "region": settings.region,
            "version": "2017-09-30",
        });
        return serde_json::to_string_pretty(&document).ok();
    }
    let name = path.strip_prefix("meta-data/")?;
    if let Some(key) = name.strip_prefix("tags/instance").filter(|_| made.tags_in_metadata) {
        let key = key.trim_start_matches('/');
        if key.is_empty() {
            return Some(made.tags.keys().cloned().collect::<Vec<_>>().join("\n"));
        }
        return made.tags.get(&decode(key)).cloned();
    }
    if let Some(of_interface) = name.strip_prefix("network/interfaces/macs/") {
        return match of_interface.strip_prefix(mac).map(|rest| rest.trim_matches('/')) {
            None if of_interface.is_empty() => Some(format!("{mac}/")),
            Some("ipv6s") => made.ipv6.map(|ip| ip.to_string()),
            Some("local-ipv4s") => made.private_ipv4.map(|ip| ip.to_string()),
            Some("public-ipv4s") => made.public_ipv4.map(|ip| ip.to_string()),
            _ => None,
        };
    }
    match name {
        "instance-id" => Some(instance.id.clone()),
        "autoscaling/target-lifecycle-state" => made.lifecycle.clone(),
        "ami-id" => Some("ami-0123456789abcdef0".to_owned()),
        "instance-type" => Some("t3.micro".to_owned()),
        "instance-life-cycle" => Some("on-demand".to_owned()),
        "local-ipv4" => made.private_ipv4.map(|ip| ip.to_string()),
        "public-ipv4" => made.public_ipv4.map(|ip| ip.to_string()),
        "ipv6" => made.ipv6.map(|ip| ip.to_string()),
        "mac" => Some(mac.to_owned()),
        "placement/availability-zone" => Some(instance.zone.clone()),
        "placement/region" => Some(settings.region.clone()),
        _ => None,
    }
}

/// The name of the role, or with that name its credentials.
fn credentials(world: &mut World, instance: &Instance, role: &str, now: Now) -> Option<String> {
    let own = instance.made.role.as_deref()?;
    let lifetime = world.cloud().settings.credentials;
    let Key { id, issued, expires, .. } = world.keys.issue(&instance.id, own, lifetime, now)?;
    if role.is_empty() {
        return Some(own.to_owned());
    }
    if role != own {
        return None;
    }
    let at = |moment| time::iso_seconds(world.cloud().began + moment);
    let document = json!({
        "Code": "Success",
        "LastUpdated": at(issued),
        "Type": "AWS-HMAC",
        "AccessKeyId": id,
        "SecretAccessKey": secret(&id),
        "Token": format!("session-of-{}", instance.id),
        "Expiration": at(expires),
    });
    serde_json::to_string_pretty(&document).ok()
}

/// It opens nothing: signatures are not verified.
fn secret(id: &str) -> String {
    format!("not-a-secret-{}", hex(id.as_bytes(), 10))
}

fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    Reply { status, content_type: "text/plain", headers: Vec::new(), body: Bytes::from(text.into()) }
}
