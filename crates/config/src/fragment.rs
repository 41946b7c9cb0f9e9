//! What the files say, key by key. Each is checked by itself here, and against others when it is settled.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use model::{ClusterId, HostId, ServiceName};
use toml::Value;

use crate::{
    policy::POLICY_KEYS,
    problem::Place,
    section::{Field, Section},
    settings::LogFormat,
    values::{self, address, duration, label, name, number, one_of, switch, text},
};

pub(crate) mod inventory;
pub(crate) mod service;

use inventory::InventoryFragment;
use service::ServiceFragment;

pub(crate) struct Fragment {
    pub(crate) agent: AgentFragment,
    pub(crate) cluster: ClusterFragment,
    pub(crate) insecure: Field<bool>,
    pub(crate) inventory: InventoryFragment,
    pub(crate) store: StoreFragment,
    pub(crate) timers: TimersFragment,
    pub(crate) services: Vec<(ServiceName, ServiceFragment)>,
}

pub(crate) struct AgentFragment {
    pub(crate) host: Field<HostId>,
    pub(crate) state_dir: Field<PathBuf>,
    pub(crate) listen: Field<SocketAddr>,
    pub(crate) advertise: Field<SocketAddr>,
    pub(crate) zone: Field<String>,
    pub(crate) log: Field<String>,
    pub(crate) log_format: Field<LogFormat>,
}

impl AgentFragment {
    /// The keys that are not there, and that the instance knows.
    pub(crate) fn left_to_the_instance(&self) -> Vec<&'static str> {
        let keys = [
            ("agent.host", matches!(self.host, Field::Absent(_))),
            ("agent.advertise", matches!(self.advertise, Field::Absent(_))),
            ("agent.zone", matches!(self.zone, Field::Absent(_))),
        ];
        keys.into_iter().filter_map(|(key, absent)| absent.then_some(key)).collect()
    }
}

pub(crate) struct ClusterFragment {
    pub(crate) name: Field<ClusterId>,
    pub(crate) bootstrap_expect: Field<usize>,
}

/// Where releases come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Directory,
    Nix,
}

pub(crate) struct StoreFragment {
    pub(crate) kind: Field<StoreKind>,
    pub(crate) keep_releases: Field<usize>,
    pub(crate) substituters: Field<Vec<String>>,
    pub(crate) trusted_public_keys: Field<Vec<String>>,
    pub(crate) nix_bin: Field<PathBuf>,
    pub(crate) store_dir: Field<PathBuf>,
}

pub(crate) struct TimersFragment {
    pub(crate) heartbeat: Field<Duration>,
    pub(crate) election_min: Field<Duration>,
    pub(crate) election_max: Field<Duration>,
    pub(crate) sighting: Field<Duration>,
    pub(crate) silent_after: Field<Duration>,
}

/// Most hosts that a cluster is made for.
const HOSTS_LIMIT: usize = 10_000;

/// Reads every key there is, and refuses all others.
pub(crate) fn read(mut root: Section<'_>) -> Fragment {
    let fragment = Fragment {
        agent: agent(root.section("agent")),
        cluster: cluster(root.section("cluster")),
        insecure: transport(root.section("transport")),
        inventory: inventory::read(root.section("inventory")),
        store: store(root.section("store")),
        timers: timers(root.section("timers")),
        services: root.named_sections("service").into_iter().filter_map(service).collect(),
    };
    root.finish(|key| (key == "policy" || is_policy(key)).then(travels));
    fragment
}

fn agent(mut section: Section<'_>) -> AgentFragment {
    let fragment = AgentFragment {
        host: section.read("host", name),
        state_dir: section.read("state_dir", absolute_path),
        listen: section.read("listen", address),
        advertise: section.read("advertise", address),
        zone: section.read("zone", label),
        log: section.read("log", text),
        log_format: section
            .read("log_format", one_of([("text", LogFormat::Text), ("json", LogFormat::Json)])),
    };
    section.finish(|_| None);
    fragment
}

pub(crate) fn absolute_path(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path".into()) }
}

fn cluster(mut section: Section<'_>) -> ClusterFragment {
    let fragment = ClusterFragment {
        name: section.read("name", name),
        bootstrap_expect: section.read("bootstrap_expect", number(1..=HOSTS_LIMIT)),
    };
    section.finish(|_| None);
    fragment
}

fn transport(mut section: Section<'_>) -> Field<bool> {
    let insecure = section.read("insecure", switch);
    section.finish(|_| None);
    insecure
}

fn store(mut section: Section<'_>) -> StoreFragment {
    let fragment = StoreFragment {
        kind: section.read("kind", one_of([("directory", StoreKind::Directory), ("nix", StoreKind::Nix)])),
        keep_releases: section.read("keep_releases", number(2..=1000)),
        substituters: section.read("substituters", caches),
        trusted_public_keys: section.read("trusted_public_keys", public_keys),
        nix_bin: section.read("nix_bin", absolute_path),
        store_dir: section.read("store_dir", absolute_path),
    };
    section.finish(|_| None);
    fragment
}

/// Addresses of caches, as Nix knows them.
fn caches(value: &Value) -> Result<Vec<String>, String> {
    let caches = values::texts(value)?;
    if caches.is_empty() {
        return Err(
            "must list one cache or more; leave it out to ask those that Nix itself is configured for".into(),
        );
    }
    match caches.iter().find(|cache| cache.contains(char::is_whitespace)) {
        Some(cache) => Err(format!("{cache:?} is no address: each cache is a text of its own")),
        None => Ok(caches),
    }
}

/// Keys as `nix-store --generate-binary-cache-key` writes them.
fn public_keys(value: &Value) -> Result<Vec<String>, String> {
    let keys = values::texts(value)?;
    if keys.is_empty() {
        return Err(
            "must list one key or more; leave it out to trust those that Nix itself is configured for".into(),
        );
    }
    match keys.iter().find(|key| !is_public_key(key)) {
        Some(key) => Err(format!("{key:?} is no public key, such as \"cache-1:\" and 44 letters of base64")),
        None => Ok(keys),
    }
}

/// A name, and 32 bytes of base64.
fn is_public_key(key: &str) -> bool {
    let Some((name, bytes)) = key.split_once(':') else { return false };
    let named = !name.is_empty() && !name.contains(char::is_whitespace);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    named && bytes.len() == 44 && bytes.strip_suffix('=').is_some_and(|bytes| bytes.bytes().all(is_letter))
}

fn timers(mut section: Section<'_>) -> TimersFragment {
    const MIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(600);
    let fragment = TimersFragment {
        heartbeat: section.read("heartbeat", duration(MIN..=MAX)),
        election_min: section.read("election_min", duration(MIN..=MAX)),
        election_max: section.read("election_max", duration(MIN..=MAX)),
        sighting: section.read("sighting", duration(MIN..=MAX)),
        silent_after: section.read("silent_after", duration(MIN..=MAX)),
    };
    section.finish(|_| None);
    fragment
}

fn service((key, section): (String, Section<'_>)) -> Option<(ServiceName, ServiceFragment)> {
    let place: Place = section.place().clone();
    let sink = section.sink();
    let fragment = service::read(section);
    match values::name(&Value::String(key)) {
        Ok(name) => Some((name, fragment)),
        Err(text) => {
            sink.at(&place, format!("the service's name {text}"));
            None
        }
    }
}

/// Whether the key belongs to a policy file.
fn is_policy(key: &str) -> bool {
    POLICY_KEYS.contains(&key)
}

fn travels() -> String {
    "is policy: it belongs to the service, not to a host, and travels with `push --policy FILE`".into()
}
