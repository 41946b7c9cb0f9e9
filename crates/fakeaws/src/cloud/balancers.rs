//! Load balancers and their listeners: which group gets requests.

use std::{net::SocketAddr, time::Duration};

use super::{
    Cloud, Group,
    groups::{check_arn, check_name},
};
use crate::{
    refusal::Refusal,
    wire::{BalancerKind, NewBalancer},
};

#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) kind: BalancerKind,
    pub(crate) zones: Vec<String>,
    pub(crate) idle_timeout: Duration,
}

/// How long a request may pass without a byte, unless it was said.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    pub(crate) balancer: String,
    /// Where it listens, once it does.
    pub(crate) address: SocketAddr,
    /// The ARN of the group that gets its requests.
    pub(crate) group: String,
}

impl Cloud {
    /// Makes a load balancer.
    pub(crate) fn make_balancer(&mut self, new: NewBalancer) -> Result<&Balancer, Refusal> {
        check_name("Load balancer", &new.name)?;
        if self.balancers.iter().any(|balancer| balancer.name == new.name) {
            let text = format!("A load balancer with the same name '{}' exists", new.name);
            return Err(Refusal::new("DuplicateLoadBalancerName", text));
        }
        let digits = self.digits();
        let kind = match new.kind {
            BalancerKind::Application => "app",
            BalancerKind::Network => "net",
        };
        let arn = self.arn(&format!("loadbalancer/{kind}/{}/{digits}", new.name));
        let mut zones = new.zones;
        if zones.is_empty() {
            zones = ["a", "b", "c"].map(|zone| format!("{}{zone}", self.settings.region)).to_vec();
        }
        let idle_timeout = new.idle_timeout_ms.map_or(IDLE_TIMEOUT, Duration::from_millis);
        self.balancers.push(Balancer { name: new.name, arn, kind: new.kind, zones, idle_timeout });
        Ok(&self.balancers[self.balancers.len() - 1])
    }

    /// Makes a listener of the balancer with this name, for the group with this name.
    pub(crate) fn make_listener(
        &mut self,
        balancer: &str,
        address: SocketAddr,
        group: &str,
    ) -> Result<Listener, Refusal> {
        let group = self.group_named(group)?.arn.clone();
        let found = self.balancers.iter().find(|known| known.name == balancer).ok_or_else(no_balancer)?;
        let (balancer, path) = (found.arn.clone(), found.arn.replace(":loadbalancer/", ":listener/"));
        let arn = format!("{path}/{}", self.digits());
        let listener = Listener { arn, balancer, address, group };
        self.listeners.push(listener.clone());
        Ok(listener)
    }

    pub(crate) fn balancer(&self, arn: &str) -> Result<&Balancer, Refusal> {
        check_arn(arn, ":loadbalancer/")?;
        self.balancers.iter().find(|balancer| balancer.arn == arn).ok_or_else(no_balancer)
    }

    /// The load balancers that send to this group.
    pub(crate) fn balancers_of<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Balancer> {
        let sends = |balancer: &Balancer| {
            let mut own = self.listeners.iter().filter(|listener| listener.balancer == balancer.arn);
            own.any(|listener| listener.group == group.arn)
        };
        self.balancers.iter().filter(move |balancer| sends(balancer))
    }
}

pub(crate) fn no_balancer() -> Refusal {
    Refusal::new("LoadBalancerNotFound", "One or more load balancers not found")
}
