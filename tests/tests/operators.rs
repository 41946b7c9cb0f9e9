//! What operators do to hosts and locks, and what the balancer's API does to everybody.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase, Outcome};
use demo::{fleet::SERVICE, releases::Recipe};
use localbalancer::Faults;
use tests::{PATIENCE, Stage, by, client, exit_of, hold, host, phase_of, policy, service_pid, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_throttles_fails_and_loses_answers_delays_a_rollout_and_fails_no_request()
-> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    for faults in [
        Faults { throttle_calls: 4, ..Default::default() },
        Faults { error_calls: 4, ..Default::default() },
        Faults { lose_answers: 4, slow_ms: 50, ..Default::default() },
    ] {
        stage.balancer.as_ref().context("a balancer")?.set_faults(faults);
        let settled = watch.until("a host settled", |event| event.kind == "host_settled").await?;
        let left = stage.balancer.as_ref().context("a balancer")?.faults();
        let left = left.throttle_calls + left.error_calls + left.lose_answers;
        assert!(left < 4, "{settled:?} met none of {faults:?}");
    }
    stage.balancer.as_ref().context("a balancer")?.set_faults(Faults::default());
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_gone_keeps_its_slot_until_an_operator_removes_the_host() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { start_ms: 1000, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let holder = stage.watch(&push).until_phase(HostPhase::Probing).await?;
    let number = stage.number(&holder)?;
    let witness = stage.other_than(&[number])?;
    stage.fleet.kill(number)?;
    demo::reaper::kill_of(&stage.fleet.agents[number].state);
    let silent = |status: &v1::StatusResponse| {
        !status.stale
            && hold(status, "host_silent").is_some_and(|hold| hold.host.as_deref() == Some(&*holder))
    };
    let status = stage.wait_at(witness, "a hold names the silent host", silent).await?;
    assert_eq!(
        web(&status).and_then(|web| web.slots.clone()).context("slots")?.holders,
        std::slice::from_ref(&holder)
    );

    let mut client = client(stage.fleet.agents[witness].address).await?;
    let refusal = client.remove_host(v1::RemoveHostRequest { host: holder.clone(), by: by("") }).await;
    let refusal = refusal.expect_err("it owes a reason");
    assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
    client.remove_host(v1::RemoveHostRequest { host: holder.clone(), by: by("it burned down") }).await?;
    let ended = stage.watch_without(&push, &[number]).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    let status = stage.fleet.status_of(witness).await?;
    assert_eq!(web(&status).context("the service")?.hosts.len(), 2, "{status:#?}");
    let events = stage.events_at(witness).await?;
    let recorded = events.iter().any(|event| event.kind == "dropped" && event.host.as_ref() == Some(&holder));
    assert!(recorded, "the rollout says that it goes on without {holder}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_host_is_out_until_it_is_admitted() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let ask = |reason: &str| v1::HostRequest { service: SERVICE.into(), host: "h2".into(), by: by(reason) };
    client(stage.fleet.agents[0].address).await?.drain_host(ask("new disk")).await?;
    let parked = |status: &v1::StatusResponse| {
        phase_of(status, "h2") == HostPhase::Parked
            && host(status, "h2")
                .is_some_and(|host| host.parked.as_ref().is_some_and(|by| by.reason == "new disk"))
    };
    stage.fleet.wait_for("h2 is parked", PATIENCE, parked).await?;
    assert!(service_pid(&stage.fleet.agents[1]).is_err(), "its service has stopped");
    let targets = stage.balancer.as_ref().context("a balancer")?.targets(SERVICE);
    assert!(targets.iter().all(|target| target.host.as_str() != "h2"), "{targets:#?}");
    client(stage.fleet.agents[2].address).await?.admit_host(ask("")).await?;
    let status = stage.fleet.status().await?;
    let release = web(&status).and_then(|web| web.completed.clone()).context("the completed release")?.id;
    stage.all_on(&release).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_renews_every_process_under_the_same_slots() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let load = stage.load()?;
    stage.balancer.as_ref().context("a balancer")?.reset_counters(SERVICE);
    let request = v1::RestartRequest { service: SERVICE.into(), by: by("new certificates") };
    let restart = client(stage.fleet.agents[1].address).await?.restart(request).await?.into_inner();
    let ended = stage.watch(&restart).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    stage.all_on(&first.release.context("a release")?.id).await?;
    let after = stage.pids().await?;
    assert!(before.iter().all(|(host, pid)| after[host] != *pid), "{before:?} {after:?}");
    assert_eq!(stage.migrations_of("release-1"), 1);
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    let counters = stage.balancer.as_ref().context("a balancer")?.counters(SERVICE);
    assert_eq!(counters.in_service_min, 2, "{counters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_host_takes_no_part_and_joins_when_it_is_included() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let mut client = client(stage.fleet.agents[0].address).await?;
    let ask = |reason: &str| v1::HostRequest { service: SERVICE.into(), host: "h3".into(), by: by(reason) };
    let refusal = client.exclude_host(ask("")).await.expect_err("it owes a reason");
    assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
    client.exclude_host(ask("under a debugger")).await?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    let (old, new) = (first.release.context("a release")?.id, push.release.context("a release")?.id);
    assert_eq!(stage.answers().await?, [new.clone(), new.clone(), old]);
    assert_eq!(stage.pids().await?["h3"], before["h3"]);
    client.include_host(ask("")).await?;
    stage.all_on(&new).await?;
    Ok(())
}
