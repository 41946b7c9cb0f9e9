//! Clients that do not read, that send too much, and too many of them: an agent's memory stays within bounds, and nobody else is disturbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use api::v1::{self, HostPhase, watch_response::Item};
use demo::{fleet::SERVICE, releases::Recipe};
use tests::{Disturbed, PATIENCE, Stage, by, client, exit_of, memory_mib, policy, typed, within};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Code, Status, Streaming};

/// So much more memory than before is no cause for concern, in MiB.
const GROWTH_MIB: u64 = 160;

fn slow() -> Recipe {
    Recipe { start_ms: 1000, ..Recipe::good("release-2") }
}

fn of(rollout: u64) -> v1::WatchRequest {
    v1::WatchRequest { service: SERVICE.into(), rollout: Some(rollout), after: None }
}

/// Reads a watch to its end. Events are in order, each once; what is missing is told as a gap.
async fn read_out(mut stream: Streaming<v1::WatchResponse>) -> Result<v1::Ended> {
    let mut last = None;
    loop {
        let message =
            timeout(PATIENCE, stream.message()).await.context("waited for a message of a watch")??;
        match message.context("the watch ended without the end of its rollout")?.item.context("an item")? {
            Item::Event(event) => {
                let at = event.cursor.map(|cursor| (cursor.revision, cursor.index));
                ensure!(last < at, "{at:?} came after {last:?}");
                last = at;
            }
            Item::Gap(gap) => eprintln!("a gap: {gap:?}"),
            Item::Picture(_) => (),
            Item::Ended(ended) => return Ok(ended),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_hold_up_nobody_and_are_told_all_when_they_read_again() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    let agent = stage.fleet.agents[0].address;
    let (mut watches, mut events) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        let mut client = client(agent).await?;
        watches.push(client.watch(of(rollout.push.rollout)).await?.into_inner());
        let request = v1::EventsRequest { service: None, after: None, follow: true };
        events.push(client.events(request).await?.into_inner());
    }
    let before = memory_mib(stage.fleet.pid(0)?)?;
    rollout.ends_as_promised(&mut stage).await?;
    // And one more, of which their streams are full.
    let push = stage.serve(&Recipe::good("release-3")).await?;
    let after = memory_mib(stage.fleet.pid(0)?)?;
    ensure!(after < before + GROWTH_MIB, "an agent grew from {before} to {after} MiB");
    for watch in watches {
        assert_eq!(read_out(watch).await?.exit_code, 0);
    }
    for mut stream in events {
        let mut last = None;
        while last < push.after.map(|after| after.revision) {
            let message = timeout(PATIENCE, stream.message()).await.context("waited for an event")??;
            if let Some(v1::events_response::Item::Event(event)) = message.context("an event")?.item {
                let at = event.cursor.map(|cursor| cursor.revision);
                ensure!(last <= at, "{at:?} came after {last:?}");
                last = at;
            }
        }
    }
    Ok(())
}

/// Each is too large in one field.
fn too_large() -> Vec<v1::PushRequest> {
    let (service, source) = (SERVICE.to_owned(), "/somewhere".to_owned());
    let long = "x".repeat(5 << 20);
    let fine = v1::PushRequest { service, source, policy: None, by: by("a test"), provenance: None };
    let named = |name: &str, reason: &str| Some(v1::Operator { name: name.into(), reason: reason.into() });
    let policy = |policy| v1::PushRequest { policy: Some(policy), ..fine.clone() };
    vec![
        v1::PushRequest { service: long.clone(), ..fine.clone() },
        v1::PushRequest { source: long.clone(), ..fine.clone() },
        v1::PushRequest { by: named(&long, "why"), ..fine.clone() },
        v1::PushRequest { by: named("test", &long), ..fine.clone() },
        policy(v1::Policy { soak_ms: Some(u64::MAX), ..Default::default() }),
        policy(v1::Policy { stage_deadline_ms: Some(u64::MAX), ..Default::default() }),
        policy(v1::Policy { max_unavailable: Some(u32::MAX), ..Default::default() }),
    ]
}

fn check_refused(what: &str, refusal: &Status) {
    let plain = refusal.code() == Code::InvalidArgument && exit_of(refusal) == Some(5);
    assert!(
        plain && refusal.message().len() < 1000,
        "{what}: {:?} {:.300}",
        refusal.code(),
        refusal.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_plainly_and_harms_nobody() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    rollout.watch.until_phase(HostPhase::Probing).await?;
    let before = memory_mib(stage.fleet.pid(0)?)?;
    let long = "x".repeat(5 << 20);
    let mut client = client(stage.fleet.agents[0].address).await?.max_encoding_message_size(64 << 20);
    for (number, request) in too_large().into_iter().enumerate() {
        check_refused(&format!("push {number}"), &client.push(request).await.expect_err("it is too large"));
    }
    let reason = by(&long);
    let request = v1::PauseRequest { service: SERVICE.into(), by: reason.clone() };
    check_refused("pause", &client.pause(request).await.expect_err("it is too large"));
    let request = v1::RemoveHostRequest { host: "h1".into(), by: reason.clone() };
    check_refused("remove", &client.remove_host(request).await.expect_err("it is too large"));
    let request = v1::ClusterBootstrapRequest { without: Vec::new(), by: reason };
    check_refused("bootstrap", &client.cluster_bootstrap(request).await.expect_err("it is too large"));
    let request = v1::StatusRequest { service: Some(long.clone()) };
    check_refused("status", &client.status(request).await.expect_err("it is too large"));
    let request = v1::WatchRequest { service: long.clone(), rollout: None, after: None };
    check_refused("watch", &client.watch(request).await.expect_err("it is too large"));
    // What is no message that anybody sends is not even read.
    let request = v1::PauseRequest { service: SERVICE.into(), by: by(&"x".repeat(20 << 20)) };
    let refusal = client.pause(request).await.expect_err("it is too large");
    assert!(refusal.message().len() < 1000, "{:?} {:.300}", refusal.code(), refusal.message());
    rollout.ends_as_promised(&mut stage).await?;
    let after = memory_mib(stage.fleet.pid(0)?)?;
    ensure!(after < before + GROWTH_MIB, "an agent grew from {before} to {after} MiB");
    Ok(())
}

/// Opens so many watches of a rollout at one agent, and reads each to its end.
async fn watch_in_crowds(agent: SocketAddr, rollout: u64, count: usize) -> Result<JoinSet<Result<u32>>> {
    let mut opening = JoinSet::new();
    // An agent takes 200 streams of a connection, and many connections.
    for _ in 0..count / 50 {
        let client = client(agent).await?;
        opening.spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..50 {
                let stream = timeout(PATIENCE, client.clone().watch(of(rollout))).await;
                streams.push(stream.context("waited for a watch")??.into_inner());
            }
            anyhow::Ok(streams)
        });
    }
    let mut watching = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        for stream in opened?? {
            watching.spawn(async move { Ok(read_out(stream).await?.exit_code) });
        }
    }
    Ok(watching)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_of_one_agent_all_see_the_end_and_hold_up_nobody() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let leader = stage.leader().await?;
    let crowded = stage.other_than(&[leader])?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    rollout.watch.until_phase(HostPhase::Probing).await?;
    let agent = stage.fleet.agents[crowded].address;
    let pause = v1::PauseRequest { service: SERVICE.into(), by: by("to let them gather") };
    client(agent).await?.pause(pause).await?;
    let before = memory_mib(stage.fleet.pid(crowded)?)?;
    let mut watching = watch_in_crowds(agent, rollout.push.rollout, 1000).await?;
    assert_eq!(watching.len(), 1000);
    // Others are served as ever.
    let asked = Instant::now();
    stage.fleet.status_of(crowded).await.context("the crowded agent answers")?;
    eprintln!("with a thousand watchers a status took {:?}", asked.elapsed());
    let after = memory_mib(stage.fleet.pid(crowded)?)?;
    eprintln!("it grew from {before} to {after} MiB");
    ensure!(after < before + 2 * GROWTH_MIB, "an agent grew from {before} to {after} MiB");
    let resume = v1::ResumeRequest { service: SERVICE.into(), by: by("all are there") };
    client(agent).await?.resume(resume).await?;
    rollout.ends_as_promised(&mut stage).await?;
    while let Some(ended) = watching.join_next().await {
        assert_eq!(ended??, 0);
    }
    Ok(())
}

/// Opens so many streams of events on a connection of their own.
async fn follow(agent: SocketAddr, after: Option<v1::Cursor>, count: usize) -> Result<Vec<Events>> {
    let (client, mut streams) = (client(agent).await?, Vec::new());
    for _ in 0..count {
        let request = v1::EventsRequest { service: None, after, follow: true };
        let stream = timeout(PATIENCE, client.clone().events(request)).await;
        streams.push(stream.context("waited for a stream of events")??.into_inner());
    }
    Ok(streams)
}

type Events = Streaming<v1::EventsResponse>;

#[tokio::test(flavor = "multi_thread")]
async fn the_watcher_beyond_the_limit_is_told_so_and_has_room_when_another_leaves() -> Result<()> {
    let (stage, first) = Stage::serving(1).await?;
    let agent = stage.fleet.agents[0].address;
    let before = memory_mib(stage.fleet.pid(0)?)?;
    let mut opening = JoinSet::new();
    for _ in 0..16 {
        opening.spawn(follow(agent, first.after, 128));
    }
    let mut streams = Vec::new();
    while let Some(opened) = opening.join_next().await {
        streams.extend(opened??);
    }
    assert_eq!(streams.len(), 2048);
    let refused = |refusal: Status| {
        let told = refusal.message().starts_with("2048 watches and streams of events are open");
        assert!(told && refusal.message().contains("ask another agent"), "{refusal:?}");
        assert_eq!(refusal.code(), Code::ResourceExhausted);
    };
    let events = v1::EventsRequest { service: None, after: None, follow: true };
    refused(client(agent).await?.events(events).await.expect_err("there is no room"));
    refused(client(agent).await?.watch(of(first.rollout)).await.expect_err("there is no room"));
    let (code, text) = typed(&stage, &[0], "events").await?;
    ensure!(code == 69 && text.contains("2048 watches"), "{code}: {text}");
    stage.fleet.status_of(0).await.context("others are answered as ever")?;

    streams.pop();
    let room = async || follow(agent, first.after, 1).await.ok();
    streams.extend(within("there is room for one", room).await?);
    let push = stage.push(&stage.release(&Recipe::good("release-2"))?, policy()).await?;
    // All that are open are told of it, those that were there before as well.
    for mut stream in streams {
        loop {
            let message = timeout(PATIENCE, stream.message()).await.context("waited for an event")??;
            let Some(v1::events_response::Item::Event(event)) = message.context("an event")?.item else {
                continue;
            };
            if event.kind == "rollout_began" && event.rollout == Some(push.rollout) {
                break;
            }
        }
    }
    let after = memory_mib(stage.fleet.pid(0)?)?;
    ensure!(after < before + 2 * GROWTH_MIB, "an agent grew from {before} to {after} MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_number_leave_an_agent_the_files_that_it_needs() -> Result<()> {
    let mut stage = Stage::set(3).await?;
    // Of these it takes 64 connections, and keeps the others for itself.
    stage.fleet.agents[0].under = ["prlimit", "--nofile=320:320"].map(str::to_owned).to_vec();
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    stage.serve(&Recipe::good("release-1")).await?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    // Most of them wait, and all of them would rather stay.
    let mut connections = JoinSet::new();
    let crowded = stage.fleet.agents[0].address;
    for _ in 0..500 {
        connections.spawn(async move {
            let _connection = TcpStream::connect(crowded).await;
            std::future::pending::<()>().await;
        });
    }
    let full = || {
        let pid = stage.fleet.pid(0).ok()?.as_raw_nonzero();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        (64 < open).then_some(open)
    };
    let open = within("the agent has as many connections as it takes", async || full()).await?;
    ensure!(open < 300, "{open} of 320 files are open");
    rollout.watch = stage.watch_without(&rollout.push, &[0]);
    let ended = rollout.watch.ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}{}", rollout.watch.seen());
    drop(connections);
    within("the crowded agent answers again", async || stage.fleet.status_of(0).await.ok()).await?;
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

/// What became of one push: its release, and the answer.
type Answered = (usize, Result<v1::PushResponse, Status>);

/// Pushes one of these at some agent, so often and so many times.
async fn push_on(
    agent: SocketAddr,
    sources: Vec<String>,
    every: Duration,
    times: usize,
) -> Result<Vec<Answered>> {
    let client = client(agent).await?;
    let (mut answers, began) = (JoinSet::new(), Instant::now());
    for turn in 0..times {
        sleep_until(began + every * u32::try_from(turn)?).await;
        let which = (turn / 40) % sources.len();
        let mut client = client.clone();
        let source = sources[which].clone();
        let request = v1::PushRequest {
            service: SERVICE.into(),
            source,
            policy: None,
            by: by("a test"),
            provenance: None,
        };
        answers.spawn(async move { (which, client.push(request).await.map(tonic::Response::into_inner)) });
    }
    Ok(answers.join_all().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pushes_a_second_are_all_answered_truly() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let before = memory_mib(stage.fleet.pid(0)?)?;
    let names = ["release-2", "release-3", "release-4"];
    let sources = names.iter().map(|name| stage.release(&Recipe { migrates: false, ..Recipe::good(name) }));
    let sources: Vec<String> = sources.collect::<Result<_>>()?;
    let mut pushing = JoinSet::new();
    for agent in &stage.fleet.agents {
        pushing.spawn(push_on(agent.address, sources.clone(), Duration::from_millis(15), 240));
    }
    let mut answers = Vec::new();
    while let Some(some) = pushing.join_next().await {
        answers.extend(some??);
    }
    assert_eq!(answers.len(), 720, "each push has an answer");
    let mut made: BTreeMap<u64, usize> = BTreeMap::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (which, answer) in &answers {
        match answer {
            Ok(push) if !push.joined => {
                ensure!(made.insert(push.rollout, *which).is_none(), "{push:?} was made twice");
            }
            Ok(_) => (),
            Err(refusal) => {
                ensure!(exit_of(refusal).is_some(), "no word on what to exit with: {refusal:?}");
                *refused.entry(format!("{:?}: {}", refusal.code(), refusal.message())).or_default() += 1;
            }
        }
    }
    eprintln!("{} rollouts were made; refused: {refused:#?}", made.len());
    for (which, push) in answers.iter().filter_map(|(which, answer)| Some((which, answer.as_ref().ok()?))) {
        ensure!(made.get(&push.rollout) == Some(which), "{push:?} joined what nobody had made of {which}");
    }
    // One after the other has taken the place of what was there; the last one ends well.
    let last = *made.keys().next_back().context("a rollout")?;
    let push =
        answers.iter().find_map(|(_, answer)| answer.as_ref().ok().filter(|push| push.rollout == last));
    let push = push.context("the last push")?.clone();
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    stage.all_on(&push.release.context("a release")?.id).await?;
    let history = stage.history_at(0).await?;
    let open: BTreeSet<u64> =
        history.iter().filter(|past| past.ended_ms.is_none()).map(|past| past.id).collect();
    assert!(open.is_empty(), "all rollouts have ended: {open:?}");
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    let after = memory_mib(stage.fleet.pid(0)?)?;
    ensure!(after < before + GROWTH_MIB, "an agent grew from {before} to {after} MiB");
    within("an agent answers", async || stage.fleet.status_of(1).await.ok()).await?;
    Ok(())
}
