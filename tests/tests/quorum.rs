//! Fleets that lose their majority, and hosts that join later.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::v1;
use demo::releases::{Bad, Recipe};
use tests::{PATIENCE, Stage, client, exit_of, host, next_of, policy, service_pid, web};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_push_fails_soon_names_who_is_missing_and_services_run_on() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let pids = stage.pids().await?;
    stage.fleet.kill(0)?;
    stage.fleet.kill(2)?;
    let source = stage.release(&Recipe::good("release-2"))?;
    for _ in 0..2 {
        let began = Instant::now();
        let refusal = stage.push_at(1, &source, Some(policy())).await?.expect_err("there is no majority");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "told after {took:?}: {refusal:?}");
        assert_eq!(exit_of(&refusal), Some(69), "{refusal:?}");
        for missing in ["h1", "h3"] {
            assert!(refusal.message().contains(missing), "{missing} is missing: {refusal:?}");
        }
        assert!(next_of(&refusal).is_some(), "{refusal:?}");
    }
    let stale = |status: &v1::StatusResponse| status.stale && status.missing.len() == 2;
    let status = stage.wait_at(1, "the status is marked stale and names two", stale).await?;
    for missing in ["h1", "h3"] {
        assert!(
            status.missing.iter().any(|name| name.contains(missing)) && status.stale_reason.contains(missing),
            "{status:#?}"
        );
    }
    assert!(
        web(&status).is_some_and(|web| web.hosts.len() == 3 && web.completed.is_some()),
        "what is known is told"
    );
    let show = client(stage.fleet.agents[1].address)
        .await?
        .cluster_show(v1::ClusterShowRequest {})
        .await?
        .into_inner();
    assert!(show.stale && show.stale_reason.contains("h1"), "{show:#?}");
    for agent in &stage.fleet.agents {
        assert_eq!(service_pid(agent)?, pids[&agent.host], "the service runs on");
    }
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));

    stage.fleet.start(0)?;
    stage.fleet.start(2)?;
    stage.leader().await?;
    assert_eq!(stage.pids().await?, pids);
    let push = stage.push(&source, policy()).await?;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    stage.all_on(&push.release.context("a release")?.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_gets_the_completed_release_and_never_a_failed_one() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let pids = stage.pids().await?;
    let bad = Recipe { bad: Some(Bad::Migrate), ..Recipe::good("release-2") };
    let source = stage.release(&bad)?;
    let failed = stage.push(&source, policy()).await?;
    assert_eq!(stage.watch(&failed).ended().await?.exit_code, 1);
    let failed = failed.release.context("a release")?.id;

    let joiner = stage.fleet.add()?;
    stage.fleet.start(joiner)?;
    let release = first.release.context("a release")?.id;
    let there = |status: &v1::StatusResponse| {
        host(status, "h4").is_some_and(|host| {
            host.current.as_ref().is_some_and(|current| current.id == release)
                && host.change.is_none()
                && host.availability() == v1::Availability::In
                && host.counted
        })
    };
    stage.fleet.wait_for("h4 serves release 1", PATIENCE, there).await?;
    assert_eq!(stage.answers().await?, vec![release.clone(); 4]);
    assert_eq!(stage.history_at(joiner).await?.len(), 2, "no rollout was needed");
    assert_eq!(stage.migrations_of("release-1"), 1, "and no migration");
    let after = stage.pids().await?;
    assert!(pids.iter().all(|(host, pid)| after[host] == *pid), "{pids:?} {after:?}");
    let events = stage.events_at(0).await?;
    let granted: Vec<_> = events
        .iter()
        .filter(|event| event.host.as_deref() == Some("h4") && event.kind == "granted")
        .collect();
    assert_eq!(granted.len(), 1, "{granted:#?}");
    let to = |event: &v1::Event| match &event.detail {
        Some(v1::event::Detail::Granted(granted)) => granted.to.clone(),
        _ => None,
    };
    assert_eq!(to(granted[0]), Some(release), "and not {failed}");
    let show = client(stage.fleet.agents[joiner].address)
        .await?
        .cluster_show(v1::ClusterShowRequest {})
        .await?
        .into_inner();
    assert!(
        show.voters.len() == 3 && show.voters.iter().all(|voter| voter.host != "h4"),
        "four hosts have three voters: {show:#?}"
    );

    // It takes part in the next rollout like the others.
    let source = stage.release(&Recipe::good("release-3"))?;
    let push = stage.push_at(joiner, &source, Some(policy())).await??;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    stage.all_on(&push.release.context("a release")?.id).await?;
    assert_eq!(stage.answers().await?.len(), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_does_not_form_without_all_of_its_listed_hosts_and_names_who_is_missing() -> Result<()> {
    let mut stage = Stage::set(3).await?;
    stage.fleet.start(0)?;
    stage.fleet.start(1)?;
    let refused = tests::within("an agent tells that h3 is missing", async || {
        let mut client = client(stage.fleet.agents[0].address).await.ok()?;
        let refusal = client.status(v1::StatusRequest { service: None }).await.err()?;
        refusal.message().contains("h3").then_some(refusal)
    });
    let refusal = refused.await?;
    assert_eq!(exit_of(&refusal), Some(69), "{refusal:?}");
    stage.fleet.start(2)?;
    stage.fleet.formed().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_took_and_could_not_commit_is_told_as_open_and_is_done_once_the_others_are_back()
-> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let leader = stage.leader().await?;
    let others: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    let before = stage.history_at(leader).await?.len();
    let source = stage.release(&Recipe::good("release-2"))?;
    // For as long as its lease lasts the leader takes what it can no longer commit.
    for number in &others {
        stage.fleet.signal(*number, rustix::process::Signal::STOP)?;
    }
    let answer = stage.push_at(leader, &source, Some(policy())).await;
    let history = stage.history_at(leader).await;
    for number in &others {
        stage.fleet.signal(*number, rustix::process::Signal::CONT)?;
    }
    let refusal = answer?.expect_err("nobody else was there");
    assert_eq!(exit_of(&refusal), Some(69), "{refusal:?}");
    assert!(refusal.message().contains("may still be done"), "{refusal:?}");
    assert!(refusal.metadata().contains_key("deployinator-unsure"), "{refusal:?}");
    assert_eq!(history?.len(), before, "nothing that was not committed is told as done");
    let push = stage.push(&source, policy()).await?;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    assert_eq!(stage.history_at(leader).await?.len(), before + 1, "it was done once");
    Ok(())
}
