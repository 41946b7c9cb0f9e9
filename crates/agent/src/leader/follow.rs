//! Reads the channels, where CI leaves word of what it has released, and pushes what is new there.
//!
//! Promise: what a channel says is pushed once, whoever leads; whether it is new is decided by the fleet machine. A channel that cannot be read
//! disturbs nothing.

mod follower;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use config::{DEFAULTS, Settings};
use model::{ServiceName, fleet::Fleet};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::warn;

use self::follower::Follower;
use super::Reign;
use crate::{link::Link, outside::Aws, stores::Stores};

/// Longest wait for the hosts that a new cluster is made of, before the first release is pushed to those that are there.
const ALL_THERE: Duration = Duration::from_secs(10);
/// Least time between two looks at who declares which channel.
const SETTLING: Duration = Duration::from_millis(500);

/// What channels are read with, and what they name is looked up with.
#[derive(Clone)]
pub struct Means {
    /// This host's configuration.
    pub settings: Arc<Settings>,
    /// Where releases are kept.
    pub store: Arc<Stores>,
    /// The way to AWS, where this host's own configuration wants one.
    pub aws: Option<Aws>,
}

/// Follows what the hosts declare, for as long as this node leads.
pub(super) async fn keep(link: &Link, reign: &Reign, means: &Means) {
    let mut state = link.node().state();
    all_there(&mut state, means.settings.cluster.bootstrap_expect).await;
    let mut tasks = JoinSet::new();
    let mut following: BTreeMap<ServiceName, (String, AbortHandle)> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    loop {
        let fleet = state.borrow_and_update().clone();
        let mut declared = BTreeMap::new();
        for service in fleet.services.keys() {
            let url = followed(&fleet, service);
            let differs = 1 < channels(&fleet, service).len();
            if differs && differing.insert(service.clone()) {
                let channel = url.as_deref().unwrap_or("none");
                warn!(%service, channel, "hosts declare different channels, or some declare none: what most of them say is followed");
            } else if !differs {
                differing.remove(service);
            }
            declared.extend(url.map(|url| (service.clone(), url)));
        }
        drop(fleet);
        following.retain(|service, (url, task)| {
            let goes_on = declared.get(service) == Some(url);
            if !goes_on {
                task.abort();
                reign.read(service, None);
            }
            goes_on
        });
        for (service, url) in declared {
            following.entry(service).or_insert_with_key(|service| {
                let poll = poll(&means.settings, service, &url);
                let follower =
                    Follower::new(link.clone(), reign.clone(), means.clone(), service.clone(), &url, poll);
                (url, tasks.spawn(follower.run()))
            });
        }
        sleep(SETTLING).await;
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => if let Err(error) = ended && error.is_panic() {
                std::panic::resume_unwind(error.into_panic());
            },
        }
    }
}

/// Waits until the hosts that a cluster is made of are there, so that the first release goes to all of them; where something was rolled out
/// before, it is not the first.
async fn all_there(state: &mut watch::Receiver<Arc<Fleet>>, expected: usize) {
    let there = |fleet: &Arc<Fleet>| {
        let rolled_out = fleet.services.values().any(|service| !service.rollouts.is_empty());
        rolled_out || expected <= fleet.present().count()
    };
    let _ = timeout(ALL_THERE, state.wait_for(there)).await;
}

/// The channel of a service: where its hosts differ, as while they are told of another one or of none any more, that of most of them.
pub(crate) fn followed(fleet: &Fleet, service: &ServiceName) -> Option<String> {
    let (url, _) = channels(fleet, service).into_iter().max_by_key(|(url, hosts)| (*hosts, Reverse(*url)))?;
    url.map(str::to_owned)
}

/// What the hosts of a service declare, with how many of them do; none is a word of its own.
fn channels<'a>(fleet: &'a Fleet, service: &'a ServiceName) -> BTreeMap<Option<&'a str>, usize> {
    let mut hosts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for url in fleet.declaring(service).map(|(_, here)| here.declaration.channel.as_deref()) {
        *hosts.entry(url).or_default() += 1;
    }
    hosts
}

/// As this host's own configuration says, if it follows the same.
fn poll(settings: &Settings, service: &ServiceName, url: &str) -> Duration {
    let own = settings.services.get(service).and_then(|service| service.channel.as_ref());
    own.filter(|own| own.url.to_string() == url).map_or(DEFAULTS.channel_poll, |own| own.poll)
}

#[cfg(test)]
mod tests {
    use model::{
        Revision,
        fleet::{Act, Command, Declaration, Enrolment, SUPPORTED_LEVEL},
        time::WallTime,
    };

    use super::*;

    #[test]
    fn where_hosts_differ_the_channel_of_most_of_them_is_followed() {
        let mut fleet = Fleet::default();
        let web: ServiceName = "web".parse().unwrap();
        let mut enrol = |number: u64, channel: Option<&str>| {
            let channel = channel.map(str::to_owned);
            let declaration = Declaration { port: 80, probe: None, balancer: None, channel };
            let act = Act::Enrol(Enrolment {
                host: format!("h{number}").parse().unwrap(),
                state: number.to_string(),
                address: format!("10.0.0.{number}:7400").parse().unwrap(),
                zone: None,
                declares: BTreeMap::from([(web.clone(), declaration)]),
                level: SUPPORTED_LEVEL,
                obeyed: None,
                migrated: BTreeMap::new(),
                migrated_before: BTreeMap::new(),
            });
            let command = Command { proposer: "p".into(), sequence: number, at: WallTime(0), act };
            fleet.apply(Revision(number), &command);
            followed(&fleet, &web)
        };
        assert_eq!(enrol(1, None), None);
        assert_eq!(enrol(2, Some("file:/b")), None, "one of two decides nothing");
        assert_eq!(enrol(3, Some("file:/b")).as_deref(), Some("file:/b"));
        assert_eq!(enrol(4, Some("file:/a")).as_deref(), Some("file:/b"));
        assert_eq!(enrol(5, Some("file:/a")).as_deref(), Some("file:/a"), "of as many the first by name");
        assert_eq!(enrol(6, None), None, "and none before any");
    }
}
