//! Rollouts from push to end: good ones, bad ones, and what each leaves behind.

use anyhow::{Context, Result};
use api::v1;
use demo::releases::{Bad, Recipe};
use tests::{PATIENCE, Stage, by, client, exit_of, hold, host, next_of, policy, service_pid, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_rolls_under_load_without_a_failed_request() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let balancer = stage.balancer.as_ref().context("a balancer")?;
    balancer.reset_counters("web");
    let load = stage.load()?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let release = push.release.clone().context("a release")?.id;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    stage.all_on(&release).await?;
    let totals = load.stop().await;

    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(totals.releases.contains_key(&release), "{totals:#?}");
    assert_eq!(stage.migrations_of("release-2"), 1);
    assert_eq!(stage.answers().await?, vec![release; 3]);
    let after = stage.pids().await?;
    assert!(before.iter().all(|(host, pid)| after[host] != *pid), "{before:?} {after:?}");
    let starts = watch.events.iter().filter(|event| matches!(&event.detail, Some(v1::event::Detail::HostMoved(moved)) if moved.to() == v1::HostPhase::Starting));
    assert_eq!(starts.count(), 3, "each host starts once:{}", watch.seen());
    let counters = stage.balancer.as_ref().context("a balancer")?.counters("web");
    assert!(2 <= counters.in_service_min, "{counters:?}");
    Ok(())
}

/// What is the same for all releases that fail after release 1: the fleet is as it was, and the release is kept from use.
async fn is_as_before(stage: &mut Stage, first: &v1::PushResponse, source: &str, failed: &str) -> Result<()> {
    let release = first.release.clone().context("a release")?.id;
    let status = stage.all_on(&release).await?;
    assert_eq!(stage.answers().await?, vec![release; 3]);
    let web = web(&status).context("the service")?;
    let quarantine: Vec<&str> = web.quarantine.iter().map(|kept| kept.release.as_str()).collect();
    assert_eq!(quarantine, [failed], "{status:#?}");
    let again = stage.push_at(1, source, None).await?.expect_err("a quarantined release is refused");
    assert_eq!(exit_of(&again), Some(5), "{again:?}");
    assert!(again.message().contains(failed) && again.message().contains("quarantined"), "{again:?}");
    assert!(next_of(&again).is_some_and(|next| next.contains("quarantine release")), "{again:?}");
    Ok(())
}

/// Pushes a bad release to a fleet that serves release 1 under load; its canary fails with `reason`.
async fn fails_on_the_canary(bad: Bad, reason: &str, tail: &str) -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let load = stage.load()?;
    let source = stage.release(&Recipe { bad: Some(bad), ..Recipe::good("release-2") })?;
    let push = stage.push(&source, v1::Policy { healthy_deadline_ms: Some(1500), ..policy() }).await?;
    let failed = push.release.clone().context("a release")?.id;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    is_as_before(&mut stage, &first, &source, &failed).await?;
    let totals = load.stop().await;

    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::RolledBack, 1), "{ended:#?}");
    assert!(ended.rollback.is_some(), "{ended:#?}");
    assert_eq!(ended.rollback_outcome(), v1::Outcome::Completed, "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(!totals.releases.contains_key(&failed), "nobody got an answer of it: {totals:#?}");
    let event = watch.events.iter().find(|event| event.kind == "host_failed");
    let event = event.with_context(|| format!("a host failed:{}", watch.seen()))?;
    assert!(event.text.contains(reason) && event.tail.contains(tail), "{event:#?}");
    let canary = event.host.clone().context("the canary")?;
    let status = stage.fleet.status().await?;
    let failure = host(&status, &canary).and_then(|host| host.last_failure.clone());
    let failure = failure.with_context(|| format!("{canary} remembers how: {status:#?}"))?;
    assert!(failure.reason.contains(reason) && failure.tail.contains(tail), "{failure:#?}");
    assert_eq!(failure.cause(), v1::Cause::Release);
    let after = stage.pids().await?;
    let changed: Vec<&String> = before.keys().filter(|host| before[*host] != after[*host]).collect();
    assert_eq!(changed, [&canary], "no other host was disturbed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_exits_is_reverted_and_kept_from_use() -> Result<()> {
    fails_on_the_canary(Bad::Exit, "exited with code 1", "was built to exit").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_never_gets_healthy_is_reverted_and_kept_from_use() -> Result<()> {
    fails_on_the_canary(Bad::Health, "503", "listens on").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_disturbs_no_host() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let source = stage.release(&Recipe { bad: Some(Bad::Migrate), ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let failed = push.release.clone().context("a release")?.id;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::FailedInMigration, 1), "{ended:#?}");
    assert!(!ended.reason.is_empty(), "{ended:#?}");
    is_as_before(&mut stage, &first, &source, &failed).await?;
    assert_eq!(stage.pids().await?, before);
    assert_eq!(stage.migrations_of("release-2"), 1);
    let tail = "column \"fleet\" does not exist";
    assert!(
        watch.events.iter().any(|event| event.kind == "migration" && event.tail.contains(tail)),
        "{}",
        watch.seen()
    );
    let status = stage.fleet.status().await?;
    let known = web(&status).and_then(|web| web.migrations.iter().find(|known| known.release == failed));
    let state = known.and_then(|known| known.state.clone()).context("the migration's state")?;
    assert_eq!(state.word(), v1::MigrationWord::Failed);
    assert!(state.tail.contains(tail), "{state:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_rollout_that_fails_leaves_nothing_running() -> Result<()> {
    let mut stage = Stage::formed(3).await?;
    let source = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-1") })?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Failed, 1), "{ended:#?}");
    let idle = |status: &v1::StatusResponse| {
        web(status).is_some_and(|web| {
            web.active.is_none()
                && web.hosts.iter().all(|host| host.change.is_none() && host.current.is_none())
        })
    };
    stage.fleet.wait_for("every host is steady without a release", PATIENCE, idle).await?;
    for agent in &stage.fleet.agents {
        assert!(service_pid(agent).is_err(), "something runs on {}", agent.host);
    }
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "a good one starts after it: {ended:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_under_on_failure_pause_halts_and_an_abort_rolls_back() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let before = first.release.clone().context("a release")?.id;
    let first_words = "if [ \"$DEPLOYINATOR_HOST\" = h3 ]; then echo not on h3; exit 7; fi".to_owned();
    let source = stage.release(&Recipe { first: first_words, ..Recipe::good("release-2") })?;
    let push =
        stage.push(&source, v1::Policy { on_failure: v1::OnFailure::Pause.into(), ..policy() }).await?;
    let release = push.release.clone().context("a release")?.id;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Halted, 3), "{ended:#?}");
    assert!(ended.reason.contains("h3") && ended.next.contains("abort"), "{ended:#?}");

    let mixed = |status: &v1::StatusResponse| {
        let on = |name: &str, wanted: &str| {
            host(status, name).is_some_and(|host| {
                host.change.is_none() && host.current.as_ref().is_some_and(|current| current.id == wanted)
            })
        };
        on("h1", &release) && on("h2", &release) && on("h3", &before) && hold(status, "halted").is_some()
    };
    stage
        .fleet
        .wait_for(
            "h3 is back on release 1, h1 and h2 stay on release 2, and the hold says halted",
            PATIENCE,
            mixed,
        )
        .await?;
    let abort = v1::AbortRequest { service: "web".into(), by: by("it fails"), leave: false };
    client(stage.fleet.agents[2].address).await?.abort(abort).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Aborted, 1), "{ended:#?}");
    stage.all_on(&before).await?;
    assert_eq!(stage.answers().await?, vec![before; 3]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_that_leaves_service_before_the_end_takes_the_fleet_back() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let first_words = "( sleep 1.2; kill -9 $$ ) &".to_owned();
    let source = stage.release(&Recipe { first: first_words, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let failed = push.release.clone().context("a release")?.id;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::RolledBack, 1), "{ended:#?}");
    is_as_before(&mut stage, &first, &source, &failed).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_change_at_once_and_never_more_are_out() -> Result<()> {
    let (mut stage, _) = Stage::serving(5).await?;
    let load = stage.load()?;
    stage.balancer.as_ref().context("a balancer")?.reset_counters("web");
    let source = stage.release(&Recipe { start_ms: 500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, v1::Policy { max_unavailable: Some(2), ..policy() }).await?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    let totals = load.stop().await;
    let counters = stage.balancer.as_ref().context("a balancer")?.counters("web");
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert_eq!(counters.in_service_min, 3, "two at a time, and never three: {counters:?}");
    let (mut held, mut most) = (0, 0);
    for event in &watch.events {
        match event.kind.as_str() {
            "granted" => held += 1,
            "host_settled" => held -= 1,
            _ => (),
        }
        most = most.max(held);
    }
    assert_eq!((held, most), (0, 2), "{}", watch.seen());
    let release = push.release.context("a release")?.id;
    stage.all_on(&release).await?;
    Ok(())
}
