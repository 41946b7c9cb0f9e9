//! The agent, `deployinatord`: one on every host.
//!
//! It puts the pieces together and carries out what the machines of `model` decide: the host machines change this host, the planner
//! runs while this agent leads, the fleet machine is replicated by `raft`, and gRPC lets anybody ask any agent.
//! Absent on purpose: decisions. Where this crate has an interesting `if`, it belongs into `model`.

pub mod channels;
pub mod clock;
pub mod core;
pub mod durable;
pub mod feed;
pub mod forming;
pub mod grpc;
pub mod instances;
pub mod leader;
pub mod link;
pub mod logs;
pub mod members;
pub mod preflight;
pub mod program;
pub mod recovery;
pub mod room;
pub mod run;
pub mod shell;
pub mod state;
pub mod static_inventory;
pub mod stores;

mod installed;
mod order;
mod outside;
#[cfg(test)]
mod pair;
mod services;
mod taken;

use std::collections::BTreeMap;

use config::Settings;
use model::{HostId, ServiceName, fleet::Declaration};
use raft::{InvalidNodeId, NodeId};

/// The name of a host's node: of the host *and* of its state directory, so that a host that comes back empty is another node.
///
/// # Errors
/// The state is no UUID in its simple form.
pub fn node_id(host: &HostId, state: &str) -> Result<NodeId, InvalidNodeId> {
    format!("{host}.{state}").parse()
}

/// What the fleet is told of the services that this host declares.
fn declarations(settings: &Settings) -> BTreeMap<ServiceName, Declaration> {
    let declare = |service: &config::Service| Declaration {
        port: service.address.port(),
        probe: service.probe.as_ref().map(ToString::to_string),
        balancer: service.balancer.as_ref().map(outside::named),
        channel: service.channel.as_ref().map(|channel| channel.url.to_string()),
    };
    settings.services.iter().map(|(name, service)| (name.clone(), declare(service))).collect()
}
