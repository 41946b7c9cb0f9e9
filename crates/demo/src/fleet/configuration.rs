//! The configuration of one agent of a fleet on loopback.

use std::{net::SocketAddr, path::Path};

use super::{AGENT_PORT, SERVICE, SERVICE_PORT, Shape};

/// What the file of `host` says.
pub(super) fn text(
    state: &Path,
    host: &str,
    advertised: SocketAddr,
    hosts: &[(String, SocketAddr)],
    expected: usize,
    shape: &Shape,
) -> String {
    let ip = advertised.ip();
    let list: String = hosts
        .iter()
        .map(|(name, address)| format!("  {{ host = \"{name}\", address = \"{address}\" }},\n"))
        .collect();
    let balancer = shape
        .balancer
        .as_ref()
        .map(|url| format!("balancer = {{ kind = \"local\", url = \"{url}\" }}\n"))
        .unwrap_or_default();
    format!(
        "[agent]\nhost = \"{host}\"\nlisten = \"{ip}:{AGENT_PORT}\"\nadvertise = \"{advertised}\"\nstate_dir = \"{}\"\n{}\n\
         [cluster]\nname = \"demo\"\nbootstrap_expect = {expected}\n\n\
         [inventory]\nkind = \"static\"\nhosts = [\n{list}]\n\n[store]\nkind = \"directory\"\n\n\
         [service.{SERVICE}]\nport = {SERVICE_PORT}\naddress = \"{ip}\"\nprobe = {{ kind = \"http\", path = \"/healthz\" }}\n{balancer}\
         environment = {{ DEMO_BIND = \"{ip}\" }}\n{}{}",
        state.display(),
        shape.agent,
        shape.service,
        shape.extra,
    )
}
