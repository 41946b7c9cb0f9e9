//! A fleet in a stand-in for AWS on loopback: each host is an instance that is found by its tag, behind an ALB that carries requests.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result};
use fakeaws::{
    Control, Counters, GroupOptions, GroupView, NewBalancer, NewInstance, NewListener, Options, Server,
    Settings, TargetType,
};

use crate::fleet::{Agent, SERVICE, SERVICE_PORT};

/// Port of the metadata service on each host's own address: agents on one machine have to be told apart.
pub const METADATA_PORT: u16 = 7102;

/// The tag that makes an instance a host of the fleet.
pub const TAG: (&str, &str) = ("deployinator:cluster", "demo");

/// The account, and the load balancer in it.
pub struct Cloud {
    /// Makes instances, and makes things go wrong.
    pub control: Control,
    /// Where the load balancer takes requests.
    pub front: SocketAddr,
    /// The target group of the service.
    pub group: GroupView,
    server: Server,
}

/// What an agent is told of it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where all APIs are.
    pub api: String,
    /// The ARN of the target group.
    pub group: String,
}

/// Hides the account of whoever runs this from a program that is about to be started: it is to know none but the stand-in.
pub fn without_own_account(command: &mut Command) {
    let known = std::env::vars_os().map(|(name, _)| name);
    for name in known.filter(|name| name.as_encoded_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
}

/// A group that drains and checks as fast as a test can wait for.
#[must_use]
pub fn quick() -> GroupOptions {
    GroupOptions {
        target_type: TargetType::Instance,
        port: SERVICE_PORT,
        deregistration_delay: Duration::from_secs(1),
        ..GroupOptions::default()
    }
}

impl Cloud {
    /// An account with one target group behind an ALB.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(options: &GroupOptions) -> Result<Self> {
        let settings = Settings { pending: Duration::ZERO, ..Settings::default() };
        let server =
            Server::start(Options { settings, ..Options::default() }).await.context("start fakeaws")?;
        let control = server.control();
        let group = control.put_group(SERVICE, options).await.context("make a target group")?;
        let balancer = NewBalancer { name: "front".to_owned(), ..NewBalancer::default() };
        control.make_balancer(&balancer).await.context("make a load balancer")?;
        let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: SERVICE.to_owned() };
        let front = control.listen(&balancer.name, &listener).await.context("make a listener")?.address;
        Ok(Self { control, front, group, server })
    }

    /// What the agents of a fleet are told of it.
    #[must_use]
    pub fn account(&self) -> Account {
        Account { api: self.server.api_url(), group: self.group.arn.clone() }
    }

    /// Launches the instance that an agent runs on.
    ///
    /// # Errors
    /// It cannot be launched.
    pub async fn launch(&self, agent: &Agent) -> Result<()> {
        let std::net::IpAddr::V4(ip) = agent.address.ip() else {
            anyhow::bail!("{} is not IPv4", agent.address)
        };
        let new = NewInstance {
            id: Some(agent.host.clone()),
            tags: [(TAG.0.to_owned(), TAG.1.to_owned())].into(),
            private_ipv4: Some(ip),
            role: Some("host".to_owned()),
            ..NewInstance::default()
        };
        self.control.launch(&new).await.with_context(|| format!("launch {}", agent.host))?;
        let metadata = SocketAddr::new(agent.address.ip(), METADATA_PORT);
        let opened = self.control.open_metadata(&agent.host, metadata).await;
        opened.map(drop).with_context(|| format!("open the metadata service of {}", agent.host))
    }

    /// What became of the requests that the load balancer got.
    ///
    /// # Errors
    /// It does not say.
    pub async fn counters(&self) -> Result<Counters> {
        self.control.counters(SERVICE).await.context("count the requests")
    }

    /// Counts requests and states of targets from now.
    ///
    /// # Errors
    /// It does not.
    pub async fn reset_counters(&self) -> Result<()> {
        self.control.reset(SERVICE).await.context("count from now")
    }

    /// The fewest targets that were healthy at a time since the counters were reset.
    ///
    /// # Errors
    /// It does not say.
    pub async fn healthy_min(&self) -> Result<u32> {
        let samples = self.control.samples(SERVICE).await.context("what states targets were in")?;
        samples.iter().map(|sample| sample.healthy).min().context("at least one sample")
    }
}

impl Account {
    /// What the agent on `host`'s own address finds in its environment: it calls nothing but this account.
    pub(crate) fn environment(&self, host: SocketAddr) -> Vec<(String, String)> {
        let metadata = format!("http://{}", SocketAddr::new(host.ip(), METADATA_PORT));
        let own = [
            ("AWS_ENDPOINT_URL", self.api.as_str()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
            // Whoever runs this may have real ones.
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ];
        own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}
