//! A new group from what one node of a lost one holds.

mod common;

use common::{Group, Order, PATIENCE, Tally, WITHIN, id};
use model::{ClusterId, Revision};
use raft::{Compaction, NodeId, OpenError, Role};

/// A group of three that lost two; the node that is left has stopped.
async fn lost(compaction: Compaction) -> (Group, NodeId, Revision) {
    let mut group = Group::new();
    group.compaction = compaction;
    group.form(["a", "b", "c"]).await;
    let mut revision = Revision(0);
    for amount in 1..=60 {
        revision = group.commit(Order::Add(amount)).await;
    }
    group.agree(revision).await;
    let left = group.leader().await;
    let names: Vec<NodeId> = group.hosts.keys().cloned().collect();
    for name in names {
        group.kill(&name).await;
    }
    (group, left, revision)
}

/// Opens the group that was made from what `left` held, and lets it work.
async fn goes_on(mut group: Group, left: NodeId, revision: Revision) {
    let (old, dir) = (group.cluster.clone(), group.dir(left.as_str()));
    let salvaged = raft::salvage::<Tally>(&dir, &left, &old).unwrap().unwrap();
    assert_eq!((salvaged.machine.sum, salvaged.machine.orders), (1830, 60));
    assert!(revision <= salvaged.held.revision, "{:?}", salvaged.held);

    group.cluster = "green".parse().unwrap();
    let name = format!("{left}-green");
    let fresh = group.dir(&name);
    let later = Revision(1_000_000);
    let address = "127.0.0.1:9".parse().unwrap();
    for _ in 0..2 {
        // An attempt that ended half way is made again.
        raft::found(&fresh, &left, address, &group.cluster, later, &salvaged.machine).unwrap();
    }
    let options = raft::Options { dir: fresh, ..group.options(left.as_str()) };
    group.start_with(options).await;
    assert_eq!(group.leader().await, left, "alone it is a majority");
    let revision = group.commit(Order::Add(1)).await;
    assert!(later < revision, "{revision} is not after what was used before");
    assert_eq!(group.agree(revision).await.sum, 1831);
    assert_eq!(group.hosts[&left].node.held().unwrap().revision, revision);

    // Another one joins, and gets all of it.
    group.start("d").await;
    let node = group.hosts[&left].node.clone();
    node.add_learner(left.clone(), group.hosts[&left].address, WITHIN).await.unwrap();
    node.add_learner(id("d"), group.host("d").address, WITHIN).await.unwrap();
    node.set_voters([left.clone(), id("d")].into(), WITHIN).await.unwrap();
    let revision = group.commit(Order::Add(9)).await;
    assert_eq!(group.agree(revision).await.sum, 1840);

    // And all of it is there after a crash of all.
    for name in [left.clone(), id("d")] {
        group.kill(&name).await;
    }
    let options = raft::Options { dir: group.dir(&name), ..group.options(left.as_str()) };
    group.start_with(options).await;
    group.start("d").await;
    let revision = group.commit(Order::Add(60)).await;
    assert_eq!(group.agree(revision).await.sum, 1900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_of_one_node_holds_begins_a_new_group() {
    let (group, left, revision) = lost(Compaction::default()).await;
    goes_on(group, left, revision).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_compacted_begins_a_new_group_as_well() {
    let (group, left, revision) = lost(Compaction { every: 20, keep: 5 }).await;
    goes_on(group, left, revision).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_not_known_to_be_committed_is_salvaged_too() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let leader = group.leader().await;
    let others: Vec<NodeId> = group.hosts.keys().filter(|name| **name != leader).cloned().collect();
    let (low, high) = (others[0].clone(), others[1].clone());
    group.kill(&low).await;
    group.wires.cut(&high);
    // It is on the leader's disk, and nobody will ever say whether others had it.
    let node = group.hosts[&leader].node.clone();
    let before = node.held();
    let asked = tokio::spawn(async move { node.propose(Order::Add(10), PATIENCE).await });
    let node = group.hosts[&leader].node.clone();
    common::until(node.standing(), "the entry is written", |now| {
        now.last_log > before.map(|held| held.revision)
    })
    .await;
    asked.abort();
    group.kill(&leader).await;
    let salvaged =
        raft::salvage::<Tally>(&group.dir(leader.as_str()), &leader, &group.cluster).unwrap().unwrap();
    assert_eq!(salvaged.machine.sum, 11);
    group.kill(&high).await;
    let behind = raft::salvage::<Tally>(&group.dir(high.as_str()), &high, &group.cluster).unwrap().unwrap();
    assert!(behind.held < salvaged.held, "{:?} {:?}", behind.held, salvaged.held);
}

#[tokio::test]
async fn nothing_is_salvaged_from_an_empty_node_or_for_another_cluster() {
    let mut group = Group::new();
    group.start("a").await;
    assert_eq!(group.host("a").node.standing().borrow().role, Role::Learner);
    group.kill(&id("a")).await;
    let dir = group.dir("a");
    assert!(raft::salvage::<Tally>(&dir, &id("a"), &group.cluster).unwrap().is_none());
    let other: ClusterId = "red".parse().unwrap();
    let refused = raft::salvage::<Tally>(&dir, &id("a"), &other);
    assert!(matches!(refused, Err(OpenError::OtherCluster { .. })), "{refused:?}");
}
