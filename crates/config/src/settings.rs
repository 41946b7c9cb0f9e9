//! What a host is told about itself, in types that cannot be wrong, and what holds where it is told nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use model::{ClusterId, HostId, ServiceName};
use ports::{
    Listed, ProbeSpec,
    channel::Address,
    supervisor::{EnvironmentFile, Limits, Readiness, StopSignal},
};

/// All that a host's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This host's agent.
    pub agent: Agent,
    /// The cluster it belongs to.
    pub cluster: Cluster,
    /// How agents, and the CLI, talk to each other.
    pub transport: Transport,
    /// Who should be in the fleet.
    pub inventory: Inventory,
    /// Where releases come from and are kept.
    pub store: Store,
    /// How fast things are noticed.
    pub timers: Timers,
    /// The services of this host.
    pub services: BTreeMap<ServiceName, Service>,
}

/// This host's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The host.
    pub host: HostId,
    /// Where the agent keeps everything that outlives it. Absolute.
    pub state_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the others reach it: never an unspecified address.
    pub advertise: SocketAddr,
    /// Failure domain; the inventory's word for this host where the agent's own section has none.
    pub zone: Option<String>,
    /// What is logged: a filter such as `info` or `info,raft=debug`. Not yet parsed.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// How lines are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The cluster that this host belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, the same on every host.
    pub name: ClusterId,
    /// How many hosts must be listed before a cluster is formed. At least 1.
    pub bootstrap_expect: usize,
}

/// How agents, and the CLI, talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Plaintext on addresses other than loopback is accepted.
    pub insecure: bool,
}

/// Who should be in the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inventory {
    /// A list in the configuration, in its own order. Every id and address in it is there once; this host is.
    Static {
        /// The hosts.
        hosts: Vec<Listed>,
    },
    /// The instances of EC2 that have these tags.
    Ec2(Ec2),
}

/// Which instances of EC2 are hosts of the fleet, and where their agents are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2 {
    /// An instance has all of these tags, each with one of its values. Neither is empty.
    pub tags: BTreeMap<String, Vec<String>>,
    /// Which of an instance's addresses its agent is reached at.
    pub address: AddressKind,
    /// Where every agent listens.
    pub port: u16,
    /// The region that is asked; none: the one that the clients of AWS find, on an instance its own.
    pub region: Option<String>,
    /// Time between two questions while nothing changes.
    pub poll: Duration,
}

/// One of an instance's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// The primary one inside its network.
    PrivateIpv4,
    /// The one that the world sees.
    PublicIpv4,
    /// Its first of version 6.
    Ipv6,
}

/// Where releases come from and are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Directories, copied into the state directory.
    Directory {
        /// How many staged releases are kept. At least 2.
        keep_releases: usize,
    },
    /// Nix store paths, fetched from caches.
    Nix(NixStore),
}

/// Releases that are Nix store paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixStore {
    /// How many staged releases are kept. At least 2.
    pub keep_releases: usize,
    /// The caches that are asked, in this order; none: what Nix itself is configured for.
    pub substituters: Option<Vec<String>>,
    /// The keys that are trusted; none: what Nix itself is configured for.
    pub trusted_public_keys: Option<Vec<String>>,
    /// The directory with Nix's programs. Absolute; none: `PATH`, then the usual places.
    pub nix_bin: Option<PathBuf>,
    /// The store's directory. Absolute.
    pub store_dir: PathBuf,
}

/// How fast things are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Time between two signs of life of the leader to the voters.
    pub heartbeat: Duration,
    /// Shortest silence of the leader after which an election starts. At least twice the heartbeat.
    pub election_min: Duration,
    /// Longest one; each voter draws its own between the two. Above `election_min`.
    pub election_max: Duration,
    /// Time between two sightings that a host sends to the leader.
    pub sighting: Duration,
    /// Silence after which a host counts as silent. More than twice `sighting`.
    pub silent_after: Duration,
}

/// One service of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where it listens: the balancer sends requests there, and it is probed there. Its port is given to it.
    pub address: SocketAddr,
    /// How many of it run on this host, on consecutive ports from that one on. At least 1.
    pub instances: u16,
    /// Services of this host that are to be healthy before it is started after a boot. Never itself, nor in a circle.
    pub after: BTreeSet<ServiceName>,
    /// How long it waits for them; then it is started all the same.
    pub after_limit: Duration,
    /// What tells whether it is healthy; without one it is healthy while it is ready.
    pub probe: Option<ProbeSpec>,
    /// When it counts as ready; before that it is not healthy.
    pub readiness: Readiness,
    /// What sends requests to it; without one the service is headless.
    pub balancer: Option<Balancer>,
    /// Where CI leaves word of what it has released; without one the service is pushed to only.
    pub channel: Option<Channel>,
    /// How its programs are run.
    pub programs: Programs,
    /// What is added to its environment. Neither `PORT` nor anything that starts with `DEPLOYINATOR_`.
    pub environment: BTreeMap<String, String>,
    /// How much of its output is kept for each attempt, in bytes.
    pub log_limit_bytes: u64,
}

/// Where CI leaves word of what it has released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Where it is read.
    pub url: Address,
    /// Time between two looks of the leader.
    pub poll: Duration,
}

/// How the programs of a service are run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Programs {
    /// The user, by name or number; none: the agent's own.
    pub user: Option<String>,
    /// The group, by name or number; none: the user's own.
    pub group: Option<String>,
    /// Where they run; none: in the release.
    pub working_directory: Option<PathBuf>,
    /// Files that add to their environment, a later one over an earlier one.
    pub environment_files: Vec<EnvironmentFile>,
    /// What tells `bin/serve` to stop.
    pub stop_signal: StopSignal,
    /// What each of them may use at most.
    pub limits: Limits,
}

/// What sends requests to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balancer {
    /// The load balancer that comes with Deployinator.
    Local {
        /// Where its API is: `http://HOST:PORT`, without a slash at the end.
        url: String,
        /// The group of targets that the service is one of.
        group: String,
    },
    /// Target groups of AWS: of an Application or a Network Load Balancer.
    Aws {
        /// The host is a target of each of them. At least one, all of one region, each once.
        groups: Vec<TargetGroup>,
    },
}

/// A target group of AWS, and where the first instance of a service listens for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its whole name: `arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.
    pub arn: String,
    /// The region in it.
    pub region: String,
    /// The name in it.
    pub name: String,
    /// The port of the service's first instance as a target; the others' follow.
    pub port: u16,
}

/// What holds where the files are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// `agent.state_dir`.
    pub state_dir: &'static str,
    /// `agent.log`.
    pub log: &'static str,
    /// `agent.log_format`.
    pub log_format: LogFormat,
    /// `cluster.bootstrap_expect`.
    pub bootstrap_expect: usize,
    /// `transport.insecure`.
    pub insecure: bool,
    /// `store.keep_releases`.
    pub keep_releases: usize,
    /// `store.store_dir`.
    pub store_dir: &'static str,
    /// `timers`.
    pub timers: Timers,
    /// `service.NAME.stop_signal`.
    pub stop_signal: StopSignal,
    /// `service.NAME.ready`.
    pub readiness: Readiness,
    /// `service.NAME.instances`.
    pub instances: u16,
    /// `service.NAME.after_limit`.
    pub after_limit: Duration,
    /// `service.NAME.probe.path`.
    pub probe_path: &'static str,
    /// `service.NAME.probe.status`.
    pub probe_status: u16,
    /// `service.NAME.probe.timeout`.
    pub probe_timeout: Duration,
    /// `service.NAME.log_limit_bytes`.
    pub log_limit_bytes: u64,
    /// `inventory.address`.
    pub address: AddressKind,
    /// `inventory.poll`.
    pub poll: Duration,
    /// `service.NAME.channel.poll`.
    pub channel_poll: Duration,
}

/// The only place where a default stands.
pub const DEFAULTS: Defaults = Defaults {
    state_dir: "/var/lib/deployinator",
    log: "info",
    log_format: LogFormat::Text,
    bootstrap_expect: 1,
    insecure: false,
    keep_releases: 5,
    store_dir: "/nix/store",
    timers: Timers {
        heartbeat: Duration::from_millis(250),
        election_min: Duration::from_millis(1000),
        election_max: Duration::from_millis(2000),
        sighting: Duration::from_secs(1),
        silent_after: Duration::from_secs(5),
    },
    stop_signal: StopSignal::Term,
    readiness: Readiness::Up,
    instances: 1,
    after_limit: Duration::from_secs(60),
    probe_path: "/healthz",
    probe_status: 200,
    probe_timeout: Duration::from_secs(2),
    log_limit_bytes: 16 * 1024 * 1024,
    address: AddressKind::PrivateIpv4,
    poll: Duration::from_secs(30),
    channel_poll: Duration::from_secs(10),
};
