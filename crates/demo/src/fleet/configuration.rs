//! The configuration of one agent of a fleet on loopback.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use super::{AGENT_PORT, SERVICE, SERVICE_PORT, Shape};
use crate::cloud::{Account, TAG};

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
    if let Some(account) = &shape.account {
        return in_cloud(state, ip, account, expected, shape);
    }
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

/// What the file of an instance says: not who it is, but what it is one of.
fn in_cloud(state: &Path, ip: IpAddr, account: &Account, expected: usize, shape: &Shape) -> String {
    let (tag, value) = TAG;
    format!(
        "[agent]\nlisten = \"{ip}:{AGENT_PORT}\"\nstate_dir = \"{}\"\n{}\n\
         [cluster]\nname = \"demo\"\nbootstrap_expect = {expected}\n\n\
         [inventory]\nkind = \"ec2\"\ntags = {{ \"{tag}\" = \"{value}\" }}\npoll = \"5s\"\n\n\
         [store]\nkind = \"directory\"\n\n\
         [service.{SERVICE}]\nport = {SERVICE_PORT}\nprobe = {{ kind = \"http\", path = \"/healthz\" }}\n\
         balancer = {{ kind = \"aws\", target_groups = [{{ arn = \"{}\" }}] }}\n\
         environment = {{ DEMO_BIND = \"{ip}\" }}\n{}{}",
        state.display(),
        shape.agent,
        account.group,
        shape.service,
        shape.extra,
    )
}
