//! `bin/migrate` under the migration lock: once, whoever dies, and never again by itself once its end was not seen.

use anyhow::{Context, Result};
use api::v1::{self, MigrationWord, Outcome, RolloutWord};
use demo::{fleet::SERVICE, releases::Recipe};
use rustix::process::Signal;
use tests::{
    PATIENCE, Stage, by, client, exit_of, hold, keeper_of, policy, rollout_word, signal, web, within,
};

/// A fleet whose release 2 migrates; the number of the host that runs it, once it does.
async fn migrating(migrate_ms: u64) -> Result<(Stage, v1::PushResponse, usize)> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { migrate_ms, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let locked = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.migration_lock.is_some());
    let status = stage.fleet.wait_for("a host has the migration lock", PATIENCE, locked).await?;
    let lock = web(&status).and_then(|web| web.migration_lock.clone()).context("the migration lock")?;
    within("the migration runs", async || (stage.migrations_of("release-2") == 1).then_some(())).await?;
    let number = stage.number(&lock.host)?;
    Ok((stage, push, number))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_outlives_the_agent_that_started_it_and_runs_once() -> Result<()> {
    let (mut stage, push, number) = migrating(2000).await?;
    stage.fleet.kill(number)?;
    let witness = stage.other_than(&[number])?;
    let status = stage.wait_at(witness, "a leader answers", |status| !status.stale).await?;
    assert_eq!(
        rollout_word(&status),
        Some(RolloutWord::Migrating),
        "the agent was killed too late: {status:#?}"
    );
    stage.fleet.start(number)?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    assert_eq!(stage.migrations_of("release-2"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_end_nobody_saw_waits_for_an_operator() -> Result<()> {
    let (mut stage, push, number) = migrating(1500).await?;
    let before = stage.pids().await?;
    signal(keeper_of(&stage.fleet.agents[number])?, Signal::KILL)?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Halted, 3), "{ended:#?}");
    let known = |status: &v1::StatusResponse| {
        hold(status, "halted").is_some() || hold(status, "migration_unknown").is_some()
    };
    let status = stage.fleet.wait_for("a hold tells of it", PATIENCE, known).await?;
    let release = push.release.clone().context("a release")?.id;
    let told = web(&status).and_then(|web| web.migrations.iter().find(|told| told.release == release));
    let state = told.and_then(|told| told.state.clone()).context("the migration's state")?;
    assert_eq!(state.word(), MigrationWord::Unknown, "{state:#?}");
    assert_eq!(stage.pids().await?, before, "no host was disturbed");

    let mut resolve = v1::ResolveMigrationRequest {
        service: SERVICE.into(),
        by: by(""),
        release,
        verdict: v1::Verdict::Succeeded.into(),
    };
    let mut client = client(stage.fleet.agents[0].address).await?;
    let refusal = client.resolve_migration(resolve.clone()).await.expect_err("it owes a reason");
    assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
    resolve.by = by("the table is there");
    client.resolve_migration(resolve).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    assert_eq!(stage.migrations_of("release-2"), 1, "it was not tried again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_per_host_runs_once_on_each_one_after_the_other() -> Result<()> {
    let (stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { migrate_ms: 300, ..Recipe::good("release-2") })?;
    let push =
        stage.push(&source, v1::Policy { migrate_per: v1::MigratePer::Host.into(), ..policy() }).await?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    assert_eq!(stage.migrations_of("release-2"), 3);
    let mut running: Option<String> = None;
    for event in &watch.events {
        let Some(v1::event::Detail::Migration(moved)) = &event.detail else { continue };
        match moved.state.as_ref().map(v1::MigrationState::word) {
            Some(MigrationWord::Running) => {
                assert!(running.is_none() || running == event.host, "two at once:{}", watch.seen());
                running.clone_from(&event.host);
            }
            _ => running = None,
        }
    }
    Ok(())
}
