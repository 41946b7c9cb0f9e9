//! Agents, leaders, holders and keepers that die, stop or fall silent: no step is repeated or skipped, and nobody's request fails.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::Recipe;
use rustix::process::Signal;
use tests::{PATIENCE, Stage, keeper_of, phase_of, policy, service_pid, signal, web, within};

/// How often a host's change got to this phase.
fn times(events: &[v1::Event], name: &str, phase: HostPhase) -> usize {
    let moved = |event: &&v1::Event| matches!(&event.detail, Some(v1::event::Detail::HostMoved(moved)) if moved.to() == phase);
    events.iter().filter(|event| event.host.as_deref() == Some(name)).filter(moved).count()
}

/// Kills the agent of the host that has the slot, once it is in `phase`, and starts it again.
async fn the_holder_dies_while(phase: HostPhase) -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    // The phase that is looked for is long enough to be met; a drain is, by the load's long requests. What is verified from the begin of the
    // drain on is so large that it takes longer than that.
    let recipe = Recipe {
        start_ms: if phase == HostPhase::Probing { 1000 } else { 100 },
        ballast_bytes: if phase == HostPhase::Starting { 16 << 20 } else { 0 },
        ..Recipe::good("release-2")
    };
    let source = stage.release(&recipe)?;
    let soak_ms = if phase == HostPhase::Soaking { 1000 } else { 200 };
    let push = stage.push(&source, v1::Policy { soak_ms: Some(soak_ms), ..policy() }).await?;
    let mut watch = stage.watch(&push);
    let holder = watch.until_phase(phase).await?;
    let number = stage.number(&holder)?;
    stage.fleet.kill(number)?;
    let witness = stage.other_than(&[number])?;
    let status = stage.wait_at(witness, "a leader answers", |status| !status.stale).await?;
    assert_eq!(phase_of(&status, &holder), phase, "the holder was killed too late");
    let started = matches!(phase, HostPhase::Probing | HostPhase::Soaking);
    let pid = if started { Some(service_pid(&stage.fleet.agents[number])?) } else { None };
    stage.fleet.start(number)?;

    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    let release = push.release.context("a release")?.id;
    stage.all_on(&release).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()), "{}", watch.seen());
    assert_eq!(stage.migrations_of("release-2"), 1);
    assert_eq!(stage.answers().await?, vec![release; 3]);
    if let Some(pid) = pid {
        assert_eq!(service_pid(&stage.fleet.agents[number])?, pid, "what was started is not started again");
    }
    for step in [HostPhase::Draining, HostPhase::Stopping, HostPhase::Starting, HostPhase::Soaking] {
        assert_eq!(times(&watch.events, &holder, step), 1, "{}:{}", step.as_str_name(), watch.seen());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_while_it_drains_goes_on_where_it_was() -> Result<()> {
    the_holder_dies_while(HostPhase::Draining).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_while_it_starts_goes_on_where_it_was() -> Result<()> {
    the_holder_dies_while(HostPhase::Starting).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_while_it_probes_goes_on_where_it_was() -> Result<()> {
    the_holder_dies_while(HostPhase::Probing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_while_it_soaks_goes_on_where_it_was() -> Result<()> {
    the_holder_dies_while(HostPhase::Soaking).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_under_another_leader_when_its_leader_dies() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let leader = stage.leader().await?;
    let source = stage.release(&Recipe { start_ms: 600, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch_without(&push, &[leader]);
    watch.until_phase(HostPhase::Probing).await?;
    stage.fleet.kill(leader)?;
    stage.another_leads(leader).await?;
    stage.fleet.start(leader)?;
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert_eq!(stage.migrations_of("release-2"), 1);
    for agent in &stage.fleet.agents {
        assert_eq!(times(&watch.events, &agent.host, HostPhase::Starting), 1, "{}", watch.seen());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_when_all_agents_died_at_once() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let source = stage.release(&Recipe { start_ms: 600, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    watch.until_phase(HostPhase::Probing).await?;
    for number in 0..3 {
        stage.fleet.kill(number)?;
    }
    stage.fleet.start_all()?;
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert_eq!(stage.migrations_of("release-2"), 1);
    assert_eq!(watch.gaps, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_outlives_its_agent_and_its_keeper_with_the_same_pid() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let before = stage.pids().await?;
    let leader = stage.leader().await?;
    let mut expected = before.clone();

    for number in 0..3 {
        stage.fleet.kill(number)?;
        assert_eq!(service_pid(&stage.fleet.agents[number])?, before[&stage.fleet.agents[number].host]);
        stage.fleet.start(number)?;
    }
    assert_eq!(stage.pids().await?, expected, "agents were killed, one after the other");

    let status = stage.fleet.stop(leader).await?;
    assert!(status.success(), "{status}");
    let host = stage.fleet.agents[leader].host.clone();
    assert_eq!(service_pid(&stage.fleet.agents[leader])?, before[&host]);
    stage.fleet.start(leader)?;
    assert_eq!(stage.pids().await?, expected, "an agent was stopped in order");

    let agent = &stage.fleet.agents[0];
    let keeper = keeper_of(agent)?;
    signal(keeper, Signal::KILL)?;
    let renewed =
        within("another keeper has the service", async || keeper_of(agent).ok().filter(|now| *now != keeper));
    renewed.await?;
    assert_eq!(stage.pids().await?, expected, "a keeper was killed");

    // The one whose keeper is another's child now is changed like the others.
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    expected = stage.pids().await?;
    assert!(before.iter().all(|(host, pid)| expected[host] != *pid), "{before:?} {expected:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_in_order_hands_over_without_an_election() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let leader = stage.leader().await?;
    let witness = stage.other_than(&[leader])?;
    let began = std::time::Instant::now();
    let status = stage.fleet.stop(leader).await?;
    assert!(status.success(), "{status}");
    stage.another_leads(leader).await?;
    let took = began.elapsed();
    eprintln!("handed over within {took:?}");
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push_at(witness, &source, Some(policy())).await??;
    // A host that is away when a release is pushed is out, and that is all the budget; it is back, and the rollout goes on.
    stage.fleet.start(leader)?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_falls_silent_keeps_its_slot_and_a_hold_names_it() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let source = stage.release(&Recipe { start_ms: 800, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    let holder = watch.until_phase(HostPhase::Probing).await?;
    let number = stage.number(&holder)?;
    stage.fleet.signal(number, Signal::STOP)?;
    let witness = stage.other_than(&[number])?;
    let named = |status: &v1::StatusResponse| {
        web(status).is_some_and(|web| {
            let silent =
                |hold: &v1::Hold| hold.name == "host_silent" && hold.host.as_deref() == Some(&*holder);
            web.holds.iter().any(|hold| {
                silent(hold) && hold.text.contains("holds a slot") && hold.ends_when.contains("locks break")
            })
        })
    };
    let status = stage.wait_at(witness, "a hold names the silent holder", named).await?;
    let web = web(&status).context("the service")?;
    assert_eq!(
        web.slots.as_ref().context("slots")?.holders,
        std::slice::from_ref(&holder),
        "nobody else has a slot"
    );
    let hold = web.holds.iter().find(|hold| hold.name == "host_silent").context("the hold")?;
    assert!(hold.lasted_ms < u64::try_from(PATIENCE.as_millis())?, "since when: {hold:#?}");

    stage.fleet.signal(number, Signal::CONT)?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    assert_eq!(times(&watch.events, &holder, HostPhase::Starting), 1, "{}", watch.seen());
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}
