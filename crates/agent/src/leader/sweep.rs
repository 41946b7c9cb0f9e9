//! Takes out of the balancer what hosts have left there that are gone for good.
//!
//! Only hosts that are proven terminated, only at addresses that no host of the fleet has now, only in groups that the fleet declares, and only what the
//! balancer finds unhealthy. Nothing depends on it: a target that stays gets no requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use model::fleet::{Evidence, Fleet};
use ports::fault::Chain;
use tracing::{info, warn};

use crate::{
    link::Link,
    outside::{Aws, target_groups_in},
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// So often a target is looked at that is not found unhealthy; then it is somebody else's.
const LOOKS: u32 = 60;

/// Looks after what was left behind, for as long as this node leads.
pub(super) async fn keep(link: &Link, aws: Option<&Aws>) {
    let Some(aws) = aws else { return std::future::pending().await };
    let mut looks: BTreeMap<IpAddr, u32> = BTreeMap::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let fleet = link.node().state().borrow().clone();
        let gone: BTreeSet<IpAddr> =
            gone(&fleet).into_iter().filter(|ip| looks.get(ip).is_none_or(|count| *count < LOOKS)).collect();
        let groups = groups(&fleet);
        if gone.is_empty() || groups.is_empty() {
            continue;
        }
        match sweep(aws, &groups, &gone).await {
            // What is not there any more is looked at no more.
            Ok(left) => {
                for ip in gone {
                    let is_left = left.iter().any(|target| target.starts_with(&format!("{ip}:")));
                    *looks.entry(ip).or_default() += if is_left { 1 } else { LOOKS };
                }
                let given_up = left.iter().filter(|target| {
                    looks.iter().any(|(ip, count)| *count == LOOKS && target.starts_with(&format!("{ip}:")))
                });
                for target in given_up {
                    warn!(%target, "a target at the address of a terminated host is not unhealthy: it is left alone");
                }
            }
            Err(error) => warn!(error = %Chain(&error), "take out targets of terminated hosts"),
        }
    }
}

/// Deregisters in each group; returns the targets that are not unhealthy.
async fn sweep(
    aws: &Aws,
    groups: &BTreeSet<(String, u16)>,
    gone: &BTreeSet<IpAddr>,
) -> Result<Vec<String>, ports::Fault> {
    let mut all_left = Vec::new();
    for group in groups {
        let (deregistered, left) = aws.sweep(group, gone).await?;
        if !deregistered.is_empty() {
            info!(
                group = group.0,
                targets = deregistered.join(", "),
                "deregistered targets of terminated hosts"
            );
        }
        all_left.extend(left);
    }
    Ok(all_left)
}

/// Addresses of hosts that are proven terminated, and of no other host.
fn gone(fleet: &Fleet) -> BTreeSet<IpAddr> {
    let present: BTreeSet<IpAddr> = fleet.present().map(|(_, host)| host.address.ip()).collect();
    let terminated = fleet.hosts.values().filter(|host| host.departed == Some(Evidence::Terminated));
    terminated.map(|host| host.address.ip()).filter(|ip| !present.contains(ip)).collect()
}

/// All target groups that the fleet's hosts declare.
fn groups(fleet: &Fleet) -> BTreeSet<(String, u16)> {
    let services = fleet.present().flat_map(|(_, host)| host.services.values());
    let words = services.filter_map(|service| service.declaration.balancer.as_deref());
    words.flat_map(target_groups_in).collect()
}
