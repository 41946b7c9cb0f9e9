//! Which nodes have a part in the group, as they know themselves.

mod common;

use common::{Group, Order, PATIENCE, WITHIN, id, ids};
use raft::NodeId;
use tokio::time::{Instant, sleep};

/// Waits until exactly `wanted` of the group's nodes say that they have a part in it.
async fn until_part(group: &Group, what: &str, wanted: &[&NodeId]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let part: Vec<&NodeId> =
            group.hosts.iter().filter(|(_, host)| host.node.takes_part()).map(|(name, _)| name).collect();
        if part == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; these take part: {part:?}");
        sleep(group.timers.heartbeat).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_is_replaced_while_it_lives_notices_that_it_has_no_part_any_more() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let leader = group.leader().await;
    let gone = group.hosts.keys().find(|name| **name != leader).unwrap().clone();
    group.start("d").await;
    until_part(&group, "an empty node has no part", &[&id("a"), &id("b"), &id("c")]).await;

    let node = group.hosts[&leader].node.clone();
    node.add_learner(id("d"), group.host("d").address, WITHIN).await.unwrap();
    let mut voters = ids(["a", "b", "c", "d"]);
    voters.remove(&gone);
    node.set_voters(voters.clone(), WITHIN).await.unwrap();
    let wanted: Vec<&NodeId> = voters.iter().collect();
    until_part(&group, "the replaced voter has noticed", &wanted).await;
    // It was told nothing: by what it knows it is still a member, and has a leader.
    let told = group.hosts[&gone].node.standing().borrow().clone();
    assert!(told.address(&gone).is_some(), "{told:?}");

    // The others hear of each other for as long as nothing happens, and it may come back.
    sleep(group.timers.election_max * 4).await;
    until_part(&group, "the others still take part", &wanted).await;
    node.add_learner(gone.clone(), group.hosts[&gone].address, WITHIN).await.unwrap();
    let all: Vec<NodeId> = ids(["a", "b", "c", "d"]).into_iter().collect();
    until_part(&group, "it is a member again", &all.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_part_in_a_group_without_a_majority_until_it_is_back() {
    let mut group = Group::formed(["a", "b", "c"]).await;
    group.commit(Order::Add(1)).await;
    let leader = group.leader().await;
    let others: Vec<NodeId> = group.hosts.keys().filter(|name| **name != leader).cloned().collect();
    group.kill(&others[0]).await;
    group.wires.cut(&others[1]);
    until_part(&group, "a leader without a quorum and a voter without a leader notice", &[]).await;
    group.wires.heal(&others[1]);
    let mut back = [&leader, &others[1]];
    back.sort();
    until_part(&group, "two of three are a majority", &back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_alone_takes_part() {
    let group = Group::formed(["a"]).await;
    group.commit(Order::Add(1)).await;
    sleep(group.timers.election_max * 4).await;
    until_part(&group, "it is all there is", &[&id("a")]).await;
}
