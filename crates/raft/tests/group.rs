//! A group of three: elections, proposals, crashes and partitions.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Group, Order, PATIENCE, WITHIN, id, until};
use raft::{BootstrapError, ProposeError, Role, Timers};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_elected_and_the_others_name_it() {
    let group = Group::formed(["a", "b", "c"]).await;
    let leader = group.leader().await;
    let revision = group.commit(Order::Add(2)).await;
    let later = group.commit(Order::Add(3)).await;
    assert!(revision < later);
    assert_eq!(group.agree(later).await.sum, 5);

    for name in group.hosts.keys().filter(|name| **name != leader) {
        let standing =
            group.standing(name, "knows its leader", |now| now.leader.as_ref() == Some(&leader)).await;
        assert_eq!(standing.role, Role::Follower);
        assert_eq!(standing.voters.len(), 3);
        assert!(standing.peers.is_empty());
        let follower = &group.hosts[name].node;
        assert!(!follower.confirm_leader(WITHIN).await);
        let refused = follower.propose(Order::Add(1), WITHIN).await.unwrap_err();
        let expected = Some((leader.clone(), group.hosts[&leader].address));
        assert_eq!(refused, ProposeError::NotLeader { leader: expected });
    }
    let caught_up =
        |now: &raft::Standing| now.peers.len() == 2 && now.peers.values().all(|peer| peer.lag == 0);
    let standing = group.standing(&leader, "sees both others caught up", caught_up).await;
    assert!(standing.peers.values().all(|peer| peer.last_contact.is_some()));
    assert!(standing.quorum_contact.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_formed_once_and_of_those_listed() {
    let mut group = Group::new();
    group.start("a").await;
    let host = group.host("a");
    assert!(!host.node.is_initialised().await.unwrap());
    assert_eq!(host.node.standing().borrow().role, Role::Learner);
    let refused = host.node.propose(Order::Add(1), WITHIN).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: None });

    let strangers = BTreeMap::from([(id("b"), host.address)]);
    assert_eq!(host.node.bootstrap(strangers).await, Err(BootstrapError::NotAMember { node: id("a") }));
    let alone = BTreeMap::from([(id("a"), host.address)]);
    host.node.bootstrap(alone.clone()).await.unwrap();
    assert_eq!(host.node.bootstrap(alone).await, Err(BootstrapError::Initialised));
    assert!(host.node.is_initialised().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_alone_keeps_its_state_over_restarts() {
    let mut group = Group::formed(["a"]).await;
    for round in 1..=3 {
        let revision = group.commit(Order::Add(1)).await;
        assert_eq!(group.agree(revision).await.sum, round);
        group.kill(&id("a")).await;
        group.start("a").await;
        assert!(group.host("a").node.is_initialised().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_outlives_its_leader_and_the_leader_comes_back() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let old = group.leader().await;
    let term = group.hosts[&old].node.standing().borrow().term;
    group.kill(&old).await;

    let new = group.leader().await;
    assert_ne!(new, old);
    assert!(group.hosts[&new].node.standing().borrow().term > term);
    let revision = group.commit(Order::Add(10)).await;
    group.start(old.as_str()).await;
    assert_eq!(group.agree(revision).await.sum, 11);
    let revision = group.commit(Order::Add(100)).await;
    assert_eq!(group.agree(revision).await.sum, 111);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_crash_and_come_back_with_all_that_was_acknowledged() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    for _ in 0..20 {
        group.commit(Order::Add(1)).await;
    }
    for name in ["a", "b", "c"] {
        group.kill(&id(name)).await;
    }
    for name in ["a", "b", "c"] {
        group.start(name).await;
    }
    let revision = group.commit(Order::Add(1)).await;
    assert_eq!(group.agree(revision).await.sum, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_says_so_in_time() {
    let group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let old = group.leader().await;
    group.wires.cut(&old);

    let (within, slack) = (Duration::from_millis(300), Duration::from_secs(2));
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{old} did not notice that it was cut off");
        let asked = Instant::now();
        let refused = group.hosts[&old].node.propose(Order::Add(1000), within).await.unwrap_err();
        assert!(asked.elapsed() < within + slack, "an answer took {:?}", asked.elapsed());
        match refused {
            ProposeError::NoQuorum => break,
            ProposeError::Unknown { .. } => {}
            other => panic!("{other}"),
        }
    }
    let asked = Instant::now();
    assert!(!group.hosts[&old].node.confirm_leader(within).await);
    assert!(asked.elapsed() < within + slack);

    let new = group.leader().await;
    assert_ne!(new, old);
    let revision = group.commit(Order::Add(10)).await;
    group.wires.heal(&old);
    group.standing(&old, "follows the new leader", |now| now.leader.as_ref() == Some(&new)).await;
    assert_eq!(group.agree(revision).await.sum, 11, "what the old leader could not commit is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_heard_and_does_not_hear_is_replaced_whatever_it_still_has_to_send() {
    let group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let old = group.leader().await;
    group.wires.deafen(&old);
    // It takes these, and sends them again and again, as it hears of nobody who has them.
    let node = &group.hosts[&old].node;
    for _ in 0..20 {
        let unseen = node.propose(Order::Add(10), Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(unseen, ProposeError::Unknown { within: Duration::from_millis(1) });
    }
    let new = group.leader().await;
    assert_ne!(new, old);
    let revision = group.commit(Order::Add(1000)).await;
    group.wires.unstop(&old);
    group.standing(&old, "follows the new leader", |now| now.leader.as_ref() == Some(&new)).await;
    let sum = group.agree(revision).await.sum;
    assert!((1001..=1201).contains(&sum), "{sum}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_while_it_is_asked_leaves_open_what_becomes_of_it() {
    let group = Group::formed(["a", "b", "c"]).await;
    let newest = group.commit(Order::Add(1)).await;
    let old = group.leader().await;
    group.wires.deafen(&old);
    let node = group.hosts[&old].node.clone();
    let asked = tokio::spawn(async move { node.propose(Order::Add(10), PATIENCE).await });
    group.standing(&old, "has written it down", |now| now.last_log > Some(newest)).await;
    group.hosts[&old].node.halt().await;
    let open = asked.await.unwrap().unwrap_err();
    assert!(matches!(open, ProposeError::StoppedMeanwhile { .. }) && open.leaves_open(), "{open}");
    // The others heard it, and have it committed or not: it is theirs to say.
    let late = group.hosts[&old].node.propose(Order::Add(100), PATIENCE).await.unwrap_err();
    assert!(matches!(late, ProposeError::Stopped { .. }) && !late.leaves_open(), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_cut_off_does_not_unseat_the_leader() {
    let mut group = Group::new();
    group.timers = Timers::default();
    group.form(["a", "b", "c"]).await;
    let leader = group.leader().await;
    let away = group.hosts.keys().find(|name| **name != leader).unwrap().clone();
    let term = group.hosts[&leader].node.standing().borrow().term;
    // A new leader may not have heard from it yet, and then there is no silence to measure.
    let heard = |now: &raft::Standing| now.peers[&away].last_contact.is_some();
    group.standing(&leader, "has heard from the one to be cut off", heard).await;

    group.wires.cut(&away);
    // Long enough for several elections of its own, each of which pre-vote must stop.
    let long = group.timers.election_max * 3;
    let silent = |now: &raft::Standing| now.peers[&away].last_contact.is_some_and(|at| at.elapsed() > long);
    group.standing(&leader, "misses the one cut off", silent).await;
    let revision = group.commit(Order::Add(1)).await;
    group.wires.heal(&away);
    group.agree(revision).await;

    assert_eq!(group.leader().await, leader);
    assert_eq!(group.hosts[&away].node.standing().borrow().term, term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_proposals_at_once_are_all_applied_in_one_order() {
    let group = Group::formed(["a", "b", "c"]).await;
    let leader = group.leader().await;
    let proposals: Vec<_> = (0..200)
        .map(|_| {
            let node = group.hosts[&leader].node.clone();
            tokio::spawn(async move { node.propose(Order::Add(1), PATIENCE).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for proposal in proposals {
        answers.push(proposal.await.unwrap());
    }
    answers.sort();
    assert_eq!(answers.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    let last = answers.last().unwrap().0;
    assert_eq!(group.agree(last).await.orders, 200);
    until(group.hosts[&leader].node.standing(), "the standing follows", |now| now.last_applied >= Some(last))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_crashes_before_its_own_flush_does_not_lead_on_without_what_the_others_committed() {
    let mut group = Group::new();
    // It is back before anybody else is elected.
    (group.timers.election_min, group.timers.election_max) = (Duration::from_secs(3), Duration::from_secs(6));
    group.form(["a", "b", "c"]).await;
    let revision = group.commit(Order::Add(1)).await;
    group.agree(revision).await;
    let leader = group.leader().await;
    let file = group.dir(leader.as_str()).join("raft.redb");
    let flushed = std::fs::read(&file).unwrap();
    for amount in [10, 100, 1000] {
        let revision = group.commit(Order::Add(amount)).await;
        group.agree(revision).await;
    }
    // Its disk has none of these three, as if it had not come round to them; those of the others have.
    group.kill(&leader).await;
    std::fs::write(&file, flushed).unwrap();
    group.start(leader.as_str()).await;
    for _ in 0..4 {
        group.commit(Order::Add(10000)).await;
    }
    let revision = group.commit(Order::Add(10000)).await;
    assert_eq!(group.agree(revision).await.sum, 51111, "what was acknowledged is there, on every node");
}
