//! Who may vote in the cluster that this agent is in, and does not answer.
//!
//! Promise: a cluster that a majority may be going on with is not taken as lost because none of it can be heard from here (P11). The operator
//! names each of those that are silent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use api::{
    refusal,
    v1::{HoldsResponse, RecoveredVoter},
};
use model::{ClusterId, HostId};
use ports::Inventory as _;
use tonic::Status;

use crate::{
    core::{Core, Parts},
    recovery::{backup::Backup, survey},
};

/// One row for each host that may vote there and has not said that it holds nothing. `heard` is what those have said that have.
pub(super) async fn unheard(
    parts: &Parts,
    core: &Core,
    backup: &Backup,
    heard: &BTreeMap<SocketAddr, HoldsResponse>,
) -> Result<Vec<RecoveredVoter>, Status> {
    let (ours, lost) = (core.link.cluster(), &backup.about.cluster);
    let (members, all) = (core.link.members().members(), core.link.members().all());
    let spoke: BTreeSet<&str> = heard.values().map(|said| said.host.as_str()).collect();
    match silent(&members, &all, &heard.keys().copied().collect()) {
        Some(silent) => {
            let now = parts.inventory.list().await.unwrap_or_default();
            let now = now.into_iter().map(|listed| (listed.address, listed.host)).collect();
            rows(lost, &silent, &listed(before(backup), now, &spoke), &spoke)
        }
        // The backup says who voted.
        None if ours == lost => Ok(Vec::new()),
        None => {
            let text = format!(
                "rebuild {lost}: this agent is in another cluster, {ours}, and does not know who votes in that"
            );
            Err(refusal::rejected(text, Some("ask another agent that is in that cluster")))
        }
    }
}

/// Those that may vote and were not heard of: of the members that the group named last, or, where none is known, of all that are listed. Nothing
/// when nobody is known who may.
fn silent(
    members: &BTreeSet<SocketAddr>,
    all: &[SocketAddr],
    heard: &BTreeSet<SocketAddr>,
) -> Option<BTreeSet<SocketAddr>> {
    if !members.is_empty() {
        return Some(members.difference(heard).copied().collect());
    }
    let silent: BTreeSet<SocketAddr> =
        all.iter().filter(|address| !heard.contains(address)).copied().collect();
    (!silent.is_empty()).then_some(silent)
}

/// The hosts at the addresses, when the backup was taken.
fn before(backup: &Backup) -> BTreeMap<SocketAddr, HostId> {
    let hosts = backup.fleet.hosts.iter().map(|(host, known)| (known.address, host.clone()));
    let voters = backup.about.voters.iter();
    let voters = voters.filter_map(|voter| Some((voter.address, survey::host_of(voter.node.as_str())?)));
    hosts.chain(voters).collect()
}

/// The hosts at the addresses, as far as anybody says. The inventory, `now`, knows best. A host that spoke is not where it was `before` any more,
/// if it is silent there: somebody else may be, who is not to pass for one that is there.
fn listed(
    mut before: BTreeMap<SocketAddr, HostId>,
    now: BTreeMap<SocketAddr, HostId>,
    spoke: &BTreeSet<&str>,
) -> BTreeMap<SocketAddr, HostId> {
    before.retain(|_, host| !spoke.contains(host.as_str()));
    before.extend(now);
    before
}

fn rows(
    lost: &ClusterId,
    silent: &BTreeSet<SocketAddr>,
    listed: &BTreeMap<SocketAddr, HostId>,
    spoke: &BTreeSet<&str>,
) -> Result<Vec<RecoveredVoter>, Status> {
    let unnamed: Vec<String> =
        silent.iter().filter(|address| !listed.contains_key(address)).map(ToString::to_string).collect();
    if !unnamed.is_empty() {
        let text = format!(
            "rebuild {lost}: no answer from {}, where a voter was, and nothing says which host that is",
            unnamed.join(", ")
        );
        let next = "bring it back; if it is gone for good, add it to the inventory by its name, and name it with --lost";
        return Err(refusal::rejected(text, Some(next)));
    }
    let row = |(address, host): (&SocketAddr, &HostId)| RecoveredVoter {
        host: host.to_string(),
        address: address.to_string(),
        answers: false,
        revision: 0,
    };
    // Whoever is listed at a silent address, and spoke from another one, is there.
    let is_silent =
        |(address, host): &(&SocketAddr, &HostId)| silent.contains(address) && !spoke.contains(host.as_str());
    Ok(listed.iter().filter(is_silent).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ports: &[u16]) -> BTreeSet<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn whoever_may_vote_and_was_not_heard_of_is_to_be_named() {
        let is = |members: &[u16], all: &[u16], heard: &[u16], expected: Option<&[u16]>| {
            let all: Vec<SocketAddr> = at(all).into_iter().collect();
            assert_eq!(silent(&at(members), &all, &at(heard)), expected.map(at), "{members:?} {heard:?}");
        };
        is(&[1, 2], &[1, 2, 3, 4], &[3, 4], Some(&[1, 2]));
        is(&[1, 2], &[1, 2, 3, 4], &[1, 3], Some(&[2]));
        is(&[1, 2], &[1, 2, 3], &[1, 2, 3], Some(&[]));
        // Nobody has said who votes: it may be each of those that do not answer,
        is(&[], &[1, 2, 3], &[3], Some(&[1, 2]));
        // and somebody does who is not even known.
        is(&[], &[2, 3], &[2, 3], None);
    }

    fn names(hosts: &[(u16, &str)]) -> BTreeMap<SocketAddr, HostId> {
        let named = |(port, host): &(u16, &str)| (([127, 0, 0, 1], *port).into(), host.parse().unwrap());
        hosts.iter().map(named).collect()
    }

    fn named(
        silent: &[u16],
        listed: &BTreeMap<SocketAddr, HostId>,
        spoke: &[&str],
    ) -> Result<String, String> {
        let found = rows(&"c1-x".parse().unwrap(), &at(silent), listed, &spoke.iter().copied().collect());
        let found = found.map_err(|status| status.message().to_owned())?;
        Ok(found.iter().map(|row| row.host.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn whoever_has_no_name_cannot_be_named_and_that_is_said() {
        let listed = names(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(named(&[1, 3], &listed, &[]).as_deref(), Ok("a c"));
        let no = named(&[1, 9], &listed, &[]).unwrap_err();
        assert!(no.contains("127.0.0.1:9, where a voter was"), "{no}");
    }

    #[test]
    fn a_host_that_spoke_is_not_silent_and_does_not_stand_for_who_is_where_it_was() {
        let listed = |now: &[(u16, &str)]| {
            listed(names(&[(1, "a"), (2, "b")]), names(now), &["a"].into_iter().collect())
        };
        // It is listed there, and spoke from elsewhere.
        assert_eq!(named(&[1, 2], &listed(&[(1, "a")]), &["a"]).as_deref(), Ok("b"));
        // Somebody else is there now,
        assert_eq!(named(&[1, 2], &listed(&[(1, "c")]), &["a"]).as_deref(), Ok("c b"));
        // or may be, as far as is known.
        let no = named(&[1, 2], &listed(&[]), &["a"]).unwrap_err();
        assert!(no.contains("127.0.0.1:1, where a voter was"), "{no}");
    }
}
