//! What goes wrong in a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::AsyncRuntime as _;
use tokio::time::{Instant, sleep};

use super::world::{FAST, Up, World, address, names};
use crate::{NodeId, runtime::Runtime};

/// Milliseconds that a flush takes on a disk that is not well.
const SLOW: (u64, u64) = (200, 1500);

/// Makes trouble until it is time to end.
pub(super) async fn trouble(world: World, until: Instant) {
    while Instant::now() < until {
        sleep(world.chance.millis(50..=1200)).await;
        match world.chance.number(0..=99) {
            0..14 => split(&world),
            14..22 => one_way(&world),
            22..38 => {
                world.tell("the network is well");
                world.net.heal();
            }
            38..45 => {
                let percent = world.chance.pick(&[0, 5, 20]);
                world.tell(format!("{percent} of 100 messages are lost"));
                world.net.lose(percent);
            }
            45..63 => crash(&world),
            63..66 => names().iter().for_each(|name| crash_one(&world, name, true)),
            66..74 => slow_disk(&world),
            74..84 => leader_lost_amid_its_flush(&world),
            84..95 => change_voters(&world),
            _ => hand_over(&world),
        }
    }
}

/// No message passes between two parts of the hosts.
fn split(world: &World) {
    let all = names();
    let here: BTreeSet<NodeId> = world.chance.some(&all, world.chance.pick(&[1, 2, 2])).into_iter().collect();
    world.tell(format!("cut off: {here:?}"));
    world.meet("partitions");
    let links = all.iter().flat_map(|one| all.iter().map(move |other| (one.clone(), other.clone())));
    world.net.cut(links.filter(|(one, other)| here.contains(one) != here.contains(other)));
}

/// One host hears nobody, or nobody hears it.
fn one_way(world: &World) {
    let (all, deaf) = (names(), world.chance.percent(50));
    let one = whom(world);
    world.tell(format!("{one} is {}", if deaf { "deaf" } else { "mute" }));
    let others = all.into_iter().filter(|other| *other != one);
    world.net.cut(others.map(|other| if deaf { (other, one.clone()) } else { (one.clone(), other) }));
}

/// Somebody, the leader more often than others.
fn whom(world: &World) -> NodeId {
    let leader = world.some_leader().filter(|_| world.chance.percent(60)).map(|up| up.name);
    leader.unwrap_or_else(|| world.chance.pick(&names()))
}

fn crash(world: &World) {
    crash_one(world, &whom(world), world.chance.percent(70));
}

/// Ends a node, and starts it again: at once, as a supervisor would, or after a while.
fn crash_one(world: &World, name: &NodeId, loses_power: bool) {
    world.crash(name, loses_power);
    let after = if world.chance.percent(60) { 5..=200 } else { 400..=5000 };
    let (world, name, after) = (world.clone(), name.clone(), world.chance.millis(after));
    drop(Runtime::spawn(async move {
        sleep(after).await;
        world.start(&name).await;
    }));
}

fn slow_disk(world: &World) {
    let (name, world, lasts) = (whom(world), world.clone(), world.chance.millis(300..=4000));
    world.tell(format!("the disk of {name} is slow"));
    world.flushes_take(&name, SLOW);
    drop(Runtime::spawn(async move {
        sleep(lasts).await;
        world.flushes_take(&name, FAST);
    }));
}

/// The others may have what it sent them, and it has forgotten.
fn leader_lost_amid_its_flush(world: &World) {
    let Some(leader) = world.some_leader() else { return };
    let (name, world, after) = (leader.name, world.clone(), world.chance.millis(50..=600));
    world.tell(format!("the disk of {name} is slow, and then it loses its power"));
    world.flushes_take(&name, SLOW);
    drop(Runtime::spawn(async move {
        sleep(after).await;
        crash_one(&world, &name, true);
        world.flushes_take(&name, FAST);
    }));
}

/// Three to five others vote from now on.
fn change_voters(world: &World) {
    let Some(leader) = world.some_leader() else { return };
    let voters = world.chance.some(&names(), world.chance.pick(&[3, 3, 4, 5]));
    let (world, remove) = (world.clone(), world.chance.percent(30));
    drop(Runtime::spawn(async move {
        world.tell(format!("{} is asked to have these vote: {voters:?}", leader.name));
        let changed = leader.answers(vote(&leader, &voters, remove)).await;
        world.tell(format!("{} on {voters:?}: {}", leader.name, said(changed)));
        if changed == Some(true) {
            world.meet("changes of voters");
        }
    }));
}

fn said(changed: Option<bool>) -> &'static str {
    match changed {
        Some(true) => "they vote",
        Some(false) => "it did not come to that",
        None => "nothing, as it crashed",
    }
}

/// Has these vote, and nobody else.
pub(super) async fn vote(leader: &Up, voters: &[NodeId], remove: bool) -> bool {
    let (node, within) = (&leader.node, Duration::from_secs(4));
    let known: BTreeMap<_, _> = node.standing().borrow().members();
    for name in voters.iter().filter(|name| !known.contains_key(*name)) {
        if node.add_learner(name.clone(), address(name), within).await.is_err() {
            return false;
        }
    }
    let changed = node.set_voters(voters.iter().cloned().collect(), within).await.is_ok();
    if changed && remove {
        let learners = node.standing().borrow().learners.clone();
        for learner in learners.into_keys() {
            // A learner more or less makes no difference to anybody else.
            let _ = node.remove_learner(learner, within).await;
        }
    }
    changed
}

fn hand_over(world: &World) {
    let Some(leader) = world.some_leader() else { return };
    let world = world.clone();
    drop(Runtime::spawn(async move {
        world.tell(format!("{} is asked to hand over", leader.name));
        let handed = leader.answers(leader.node.transfer_leadership(Duration::from_secs(2))).await;
        if handed.is_some_and(|handed| handed.is_ok()) {
            world.meet("handed over");
        }
    }));
}
