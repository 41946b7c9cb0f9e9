//! The leader's loop, on real nodes.

use std::sync::atomic::Ordering;

use model::fleet::{Availability, Declaration, Enrolment, SUPPORTED_LEVEL};
use tokio::time::timeout;

use super::*;
use crate::pair::{PATIENCE, two};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_was_not_committed_is_made_again_although_nothing_has_changed() {
    let dir = tempfile::TempDir::new().unwrap();
    let (link, away) = two(dir.path()).await;
    let web: ServiceName = "web".parse().unwrap();
    let declared = Declaration { port: 8100, probe: None, balancer: None, channel: None };
    let enrolment = Enrolment {
        host: link.host().clone(),
        state: "1".to_owned(),
        address: link.me(),
        zone: None,
        declares: BTreeMap::from([(web.clone(), declared)]),
        level: SUPPORTED_LEVEL,
        obeyed: None,
        migrated: Default::default(),
        migrated_before: Default::default(),
    };
    link.propose(Act::Enrol(enrolment), PATIENCE).await.unwrap();

    // The host says nothing, so that its silence is to be proposed; by then nobody is there to commit it.
    away.store(true, Ordering::Release);
    // Its lease has to end first: what it took before would be committed later, and that is a change.
    let standing = link.node().standing();
    let lease = Duration::from_secs(1);
    let missed = async {
        while standing.borrow().quorum_contact.is_none_or(|at| at.elapsed() < lease) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, missed).await.expect("the other one is not missed");
    let reign = Reign::default();
    let sightings = Sightings::new(Duration::from_millis(1), clock::now());
    *reign.lock() =
        Some(Now { sightings, holds: Vec::new(), seen: BTreeMap::new(), troubles: BTreeMap::new() });
    let planning = plan(&link, &reign);
    tokio::pin!(planning);
    let in_vain = timeout(LOST_PAUSE, &mut planning).await;
    assert!(in_vain.is_err(), "it leads, as far as it knows");
    away.store(false, Ordering::Release);

    let mut state = link.node().state();
    let told = state.wait_for(|fleet| {
        let here = fleet.hosts.get(link.host()).and_then(|host| host.services.get(&web));
        here.is_some_and(|here| here.availability == Availability::Unknown)
    });
    tokio::select! {
        told = timeout(PATIENCE, told) => drop(told.expect("what was not committed was never proposed again").unwrap()),
        () = &mut planning => panic!("it does not lead any more"),
    }
    link.node().halt().await;
}
