//! Changes of a group: learners, voters, leaders, addresses.

mod common;

use std::time::Duration;

use common::{Group, Order, PATIENCE, WITHIN, id, ids};
use raft::{ChangeError, Compaction, OpenError, Options, ProposeError, Role, TransferError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_learner_gets_a_snapshot_larger_than_a_default_message() {
    let mut group = Group::new();
    group.compaction = Compaction { every: 20, keep: 5 };
    group.form(["a"]).await;
    let leader = group.leader().await;
    for _ in 0..6 {
        group.commit(Order::Note("x".repeat(1 << 20))).await;
    }
    for _ in 0..60 {
        group.commit(Order::Add(1)).await;
    }
    let standing =
        group.standing(&leader, "has purged its log", |now| now.purged > Some(model::Revision(20))).await;
    assert!(standing.snapshot >= standing.purged);

    group.start("b").await;
    let address = group.host("b").address;
    group.host("a").node.add_learner(id("b"), address, WITHIN).await.unwrap();
    let revision = group.commit(Order::Add(40)).await;
    let state = group.agree(revision).await;
    assert_eq!((state.sum, state.notes.len()), (100, 6));
    let standing = group.standing(&id("b"), "is a learner", |now| now.learners.contains_key(&id("b"))).await;
    assert_eq!(standing.role, Role::Learner);
    assert!(standing.purged.is_some(), "it got the log, not a snapshot");

    group.kill(&id("b")).await;
    group.start("b").await;
    let revision = group.commit(Order::Add(900)).await;
    assert_eq!(group.agree(revision).await.sum, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_larger_than_any_message_reaches_a_fresh_learner() {
    let mut group = Group::new();
    group.compaction = Compaction { every: 75, keep: 2 };
    // A debug build takes its time to read so much.
    group.timers.snapshot = PATIENCE * 4;
    group.form(["a"]).await;
    let leader = group.leader().await;
    for _ in 0..66 {
        group.commit(Order::Note("x".repeat(1 << 20))).await;
    }
    for _ in 0..24 {
        group.commit(Order::Add(1)).await;
    }
    let purged = |now: &raft::Standing| now.purged > Some(model::Revision(60));
    group.standing(&leader, "has purged its log", purged).await;
    group.start("b").await;
    let address = group.host("b").address;
    group.host("a").node.add_learner(id("b"), address, WITHIN).await.unwrap();
    let revision = group.commit(Order::Add(80)).await;
    let state = group.agree(revision).await;
    assert_eq!((state.sum, state.notes.len()), (104, 66));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_is_replaced_and_the_group_goes_on_without_it() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let leader = group.leader().await;
    let gone = group.hosts.keys().find(|name| **name != leader).unwrap().clone();
    let mut voters = ids(["a", "b", "c", "d"]);
    voters.remove(&gone);

    let node = group.hosts[&leader].node.clone();
    let refused = node.set_voters(voters.clone(), WITHIN).await.unwrap_err();
    assert_eq!(refused, ChangeError::NotMembers { nodes: ids(["d"]) });
    assert_eq!(node.set_voters(ids([]), WITHIN).await, Err(ChangeError::NoVoters));
    assert_eq!(
        node.remove_learner(gone.clone(), WITHIN).await,
        Err(ChangeError::IsVoter { node: gone.clone() })
    );

    group.start("d").await;
    node.add_learner(id("d"), group.host("d").address, WITHIN).await.unwrap();
    node.set_voters(voters.clone(), WITHIN).await.unwrap();
    let settled = |now: &raft::Standing| !now.changing && now.voters.keys().eq(voters.iter());
    group.standing(&leader, "has the new voters", settled).await;

    group.kill(&gone).await;
    let revision = group.commit(Order::Add(10)).await;
    assert_eq!(group.agree(revision).await.sum, 11);
    let standing = group.standing(&id("d"), "votes", |now| now.voters.contains_key(&id("d"))).await;
    assert_eq!(standing.address(&gone), None);

    // The new one counts: with it, two of three are a majority.
    let leader = group.leader().await;
    let other = voters.iter().find(|name| **name != leader && **name != id("d")).unwrap();
    group.wires.cut(other);
    group.commit(Order::Add(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_cannot_catch_up_is_not_made_a_voter_and_can_be_removed() {
    let group = Group::formed(["a"]).await;
    let leader = group.leader().await;
    let node = &group.hosts[&leader].node;
    node.add_learner(id("ghost"), "127.0.0.1:9".parse().unwrap(), WITHIN).await.unwrap();
    let within = Duration::from_millis(300);
    let refused = node.set_voters(ids(["a", "ghost"]), within).await.unwrap_err();
    assert!(matches!(refused, ChangeError::NotCaughtUp { node, lag: 1.., .. } if node == id("ghost")));
    assert_eq!(node.standing().borrow().voters.len(), 1);
    node.remove_learner(id("ghost"), WITHIN).await.unwrap();
    group
        .standing(&leader, "has forgotten the learner", |now| now.learners.is_empty() && !now.changing)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_on_request() {
    let group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let old = group.leader().await;
    let others_answer = |now: &raft::Standing| now.peers.values().all(|peer| peer.last_contact.is_some());
    group.standing(&old, "hears from the others", others_answer).await;
    let new = group.hosts[&old].node.transfer_leadership(WITHIN).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(group.leader().await, new);

    let refused = group.hosts[&old].node.propose(Order::Add(1), WITHIN).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NotLeader { leader: Some((leader, _)) } if leader == new));
    let refused = group.hosts[&old].node.add_learner(id("d"), "127.0.0.1:9".parse().unwrap(), WITHIN).await;
    assert!(matches!(refused, Err(ChangeError::Propose(ProposeError::NotLeader { .. }))));
    assert_eq!(group.hosts[&old].node.transfer_leadership(WITHIN).await, Err(TransferError::NotLeader));
    let revision = group.commit(Order::Add(10)).await;
    assert_eq!(group.agree(revision).await.sum, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_alone_has_no_successor() {
    let group = Group::formed(["a"]).await;
    let leader = group.leader().await;
    assert_eq!(group.hosts[&leader].node.transfer_leadership(WITHIN).await, Err(TransferError::NoSuccessor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_shuts_down_leaves_a_leader_behind_and_its_file_free() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    let revision = group.commit(Order::Add(1)).await;
    group.agree(revision).await;
    let old = group.leader().await;
    let others_answer = |now: &raft::Standing| now.peers.values().all(|peer| peer.last_contact.is_some());
    group.standing(&old, "hears from the others", others_answer).await;

    let node = group.hosts[&old].node.clone();
    node.shutdown().await;
    let successor = node.standing().borrow().leader.clone();
    assert!(successor.is_some_and(|successor| successor != old), "it stopped while it led");
    group.standing(&old, "has stopped", |now| now.role == Role::Stopped && now.failure.is_none()).await;
    let refused = node.propose(Order::Add(1), WITHIN).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { .. }));
    node.shutdown().await;

    // The stopped node is still there; its file is free all the same.
    group.kill(&old).await;
    group.start(old.as_str()).await;
    let revision = group.commit(Order::Add(10)).await;
    assert_eq!(group.agree(revision).await.sum, 11);
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_moved_is_found_at_its_new_address() {
    let mut group = Group::new();
    let plain = |group: &Group, name: &str| {
        let options = group.options(name);
        Options { dial: raft::plaintext(), ..options }
    };
    for name in ["a", "b", "c"] {
        let options = plain(&group, name);
        group.start_with(options).await;
    }
    let members = group.hosts.iter().map(|(node, host)| (node.clone(), host.address)).collect();
    group.host("a").node.bootstrap(members).await.unwrap();
    group.commit(Order::Add(1)).await;
    let leader = group.leader().await;
    let moved = group.hosts.keys().find(|name| **name != leader).unwrap().clone();

    let before = group.hosts[&moved].address;
    group.kill(&moved).await;
    let options = plain(&group, moved.as_str());
    group.start_with(options).await;
    let after = group.hosts[&moved].address;
    assert_ne!(before, after);
    group.hosts[&leader].node.add_learner(moved.clone(), after, WITHIN).await.unwrap();
    let revision = group.commit(Order::Add(10)).await;
    assert_eq!(group.agree(revision).await.sum, 11);
    let standing =
        group.standing(&moved, "knows its address", |now| now.address(&moved) == Some(after)).await;
    assert!(standing.voters.contains_key(&moved), "it lost its vote on the way");
}

#[tokio::test]
async fn contradicting_timers_are_refused() {
    let group = Group::new();
    let mut options = group.options("a");
    options.timers.heartbeat = options.timers.election_min * 2;
    let refused = raft::Node::<common::Tally>::open(options).await;
    assert!(matches!(refused, Err(OpenError::Timers { node, .. }) if node == id("a")));
}
