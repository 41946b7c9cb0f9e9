//! Consensus as it ships, under a simulated network, disk and clock: openraft, our log store, voter changes and peer traffic, in one thread
//! and in time that passes only when everybody waits.
//!
//! Promise: a run is a function of its seed. One that fails says its seed, what happened, and how to play it again.
//! Absent on purpose: gRPC, TLS and files. What is in their place: `net` behind `carry`, and `store::disk`.

mod chance;
mod clients;
mod faults;
mod history;
mod journal;
mod net;
mod seeded;
mod watch;
mod world;

use std::{collections::BTreeMap, env, time::Duration};

use openraft::AsyncRuntime as _;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::seeded::Seeded;
use self::{
    history::Call,
    world::{FAST, Up, World, address, names},
};
use crate::{Role, runtime::Runtime};

/// How many seeds are played unless asked for otherwise.
const SEEDS: u64 = 30;
/// For so long things go wrong in a run.
const TROUBLE: Duration = Duration::from_secs(25);
/// So long a group that is well again may take to work again.
const RECOVERY: Duration = Duration::from_secs(60);
/// Callers in a run.
const CLIENTS: usize = 3;

/// What a run was.
#[derive(Debug, PartialEq, Eq)]
struct Played {
    calls: Vec<Call>,
    trace: Vec<String>,
    met: BTreeMap<String, u64>,
    end: Result<(), String>,
}

/// Plays one seed.
fn play(seed: u64) -> Played {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    journal::begin();
    runtime.block_on(Runtime::scope(seed, async {
        let world = World::new(seed);
        let end = timeout(10 * (TROUBLE + RECOVERY), run(&world)).await;
        let end = end.unwrap_or_else(|_| Err("it does not end".to_owned()));
        let mut met = world.met();
        met.extend(world.net.answered());
        Played { calls: world.calls(), trace: world.trace(), met, end }
    }))
}

async fn run(world: &World) -> Result<(), String> {
    for name in names() {
        world.start(&name).await;
    }
    let first = names().into_iter().take(3).map(|name| (name.clone(), address(&name))).collect();
    world.up()[0].node.bootstrap(first).await.map_err(|error| error.to_string())?;
    let until = Instant::now() + TROUBLE;
    let mut tasks: Vec<_> =
        (0..CLIENTS).map(|_| Runtime::spawn(clients::client(world.clone(), until))).collect();
    tasks.push(Runtime::spawn(faults::trouble(world.clone(), until)));
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    let list = settle(world).await?;
    match journal::broken() {
        Some(broken) => Err(broken),
        None => history::check(&world.calls(), &list),
    }
}

/// Ends all trouble, waits until the group works and its voters agree, and returns their list.
async fn settle(world: &World) -> Result<Vec<u64>, String> {
    // What was begun (a start, a slow disk) ends first.
    sleep(Duration::from_secs(6)).await;
    world.tell("from now on all is well");
    world.net.heal();
    for name in names() {
        world.flushes_take(&name, FAST);
        world.start(&name).await;
    }
    let deadline = Instant::now() + RECOVERY;
    let leader = loop {
        if let Some(broken) = journal::broken() {
            return Err(broken);
        }
        if deadline < Instant::now() {
            return Err(format!("nobody leads {RECOVERY:?} after all was well: {}", standings(world)));
        }
        sleep(Duration::from_millis(50)).await;
        let leaders: Vec<Up> = world.up().into_iter().filter(Up::leads).collect();
        let Some(leader) = leaders.into_iter().max_by_key(|up| up.node.standing().borrow().term) else {
            continue;
        };
        // A change of voters that a leader's loss cut in half is completed by asking again.
        let now = leader.node.standing().borrow().clone();
        let voters: Vec<_> = now.quorums.last().into_iter().flatten().cloned().collect();
        if now.changing && !faults::vote(&leader, &voters, false).await {
            continue;
        }
        if clients::append(world, &leader).await {
            break leader;
        }
    };
    agree(world, &leader, deadline).await
}

/// Waits until all voters have applied what the leader has.
async fn agree(world: &World, leader: &Up, deadline: Instant) -> Result<Vec<u64>, String> {
    let state = leader.node.state().borrow().clone();
    let voters = leader.node.standing().borrow().voters.clone();
    world.up().iter().for_each(|up| world.check_runs(up));
    for voter in world.up().into_iter().filter(|up| voters.contains_key(&up.name)) {
        let mut theirs = voter.node.state();
        let remaining = deadline.saturating_duration_since(Instant::now());
        let reached = timeout(remaining, theirs.wait_for(|theirs| theirs.newest >= state.newest)).await;
        let Ok(Ok(theirs)) = reached else {
            return Err(format!(
                "{} does not get what {} has: {}",
                voter.name,
                leader.name,
                standings(world)
            ));
        };
        if !theirs.entries.starts_with(&state.entries) {
            return Err(format!(
                "{} has {:?}, {} has {:?}",
                voter.name, theirs.entries, leader.name, state.entries
            ));
        }
    }
    Ok(state.entries.clone())
}

fn standings(world: &World) -> String {
    let one = |up: &Up| {
        let now = up.node.standing().borrow().clone();
        let is = if now.role == Role::Leader { "leads" } else { "does not lead" };
        let (quorums, log, applied) = (now.quorums, now.last_log, now.last_applied);
        format!(
            "\n  {} {is} in term {}, of {quorums:?}, log to {log:?}, applied to {applied:?}",
            up.name, now.term
        )
    };
    world.up().iter().map(one).collect()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// `DEPLOYINATOR_SEED` plays one seed alone, and `DEPLOYINATOR_SEEDS` more than the usual ones.
#[test]
fn what_is_acknowledged_stays_in_order_whatever_happens_to_network_disks_and_nodes() {
    if env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let (only, count) = (number("DEPLOYINATOR_SEED"), number("DEPLOYINATOR_SEEDS").unwrap_or(SEEDS));
    let seeds = only.map_or(1..=count, |seed| seed..=seed);
    let (mut met, mut played) = (BTreeMap::<String, u64>::new(), 0);
    for seed in seeds {
        let run = play(seed);
        if let Err(broken) = run.end {
            panic!(
                "{}\n\nseed {seed}: {broken}\nThis plays it again:\n  DEPLOYINATOR_SEED={seed} cargo test -p raft --lib simulated",
                run.trace.join("\n")
            );
        }
        played += 1;
        for (what, count) in run.met {
            *met.entry(what).or_default() += count;
        }
    }
    println!("{played} runs met {met:?}");
    if only.is_none() && SEEDS <= count {
        let all = ["appended", "left open", "refused", "read", "power losses", "kills", "partitions"];
        let all = all.into_iter().chain(["changes of voters", "handed over", "snapshot", "pre_vote", "vote"]);
        let missing: Vec<_> = all.filter(|what| !met.contains_key(*what)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let (one, again, other) = (play(1), play(1), play(2));
    let differs = one.calls.iter().zip(&again.calls).find(|(one, again)| one != again);
    assert_eq!(differs, None, "of {} and {}", one.calls.len(), again.calls.len());
    assert_eq!((one.trace, one.met, one.end), (again.trace, again.met, again.end));
    assert_ne!(one.calls, other.calls);
}
