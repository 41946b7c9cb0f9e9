//! Every verb of an operator, typed at the real command line of a real fleet.

use std::{fs, process::Stdio};

use anyhow::{Context, Result};
use api::v1::{self, HostPhase, Outcome};
use demo::releases::Recipe;
use rustix::process::Signal;
use tests::{PATIENCE, Stage, hold, host, keeper_of, phase_of, policy, signal, web, within};
use tokio::time::timeout;

/// What the command line did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

async fn run(stage: &Stage, arguments: &str) -> Result<Ran> {
    let mut command = tokio::process::Command::from(stage.fleet.cli());
    command.args(arguments.split(' ')).env("USER", "ann").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE * 2, command.output()).await;
    let output = output.with_context(|| format!("waited until `{arguments}` ended"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().with_context(|| format!("`{arguments}` ended by {}", output.status))?;
    Ok(Ran { code, out: text(output.stdout), err: text(output.stderr) })
}

/// The same, expected to be done.
async fn done(stage: &Stage, arguments: &str) -> Result<String> {
    let ran = run(stage, arguments).await?;
    anyhow::ensure!(ran.code == 0, "`{arguments}` ended with {ran:#?}");
    Ok(ran.out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_paused_resumed_and_aborted() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let slow = stage.release(&Recipe { start_ms: 1500, ..Recipe::good("release-2") })?;
    let push = stage.push(&slow, policy()).await?;
    let mut watch = stage.watch(&push);
    let changing = watch.until_phase(HostPhase::Probing).await?;
    let said = done(&stage, "pause --service web --reason dinner").await?;
    assert!(said.contains(&format!("paused r{}", push.rollout)) && said.contains(&changing), "{said}");
    watch.until("the host in mid-step settled", |event| event.kind == "host_settled").await?;
    let held = |status: &v1::StatusResponse| hold(status, "paused").is_some();
    let status = stage.fleet.wait_for("the pause holds", PATIENCE, held).await?;
    let ends = hold(&status, "paused").context("the hold")?.ends_when.clone();
    // What the hold says is what an engineer types.
    let resume =
        ends.split('`').nth(1).and_then(|it| it.strip_prefix("deployinator ")).context("a command")?;
    assert!(done(&stage, resume).await?.contains("goes on"));
    watch.until_phase(HostPhase::Probing).await?;
    let said = done(&stage, "abort --service web").await?;
    let back = said.split('`').nth(1).and_then(|it| it.strip_prefix("deployinator ")).context("a command")?;
    let ran = run(&stage, back).await?;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.out.contains("aborted"), "{ran:#?}");
    stage.all_on(&first.release.context("a release")?.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_drained_admitted_excluded_and_included_and_services_restarted() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let release = first.release.context("a release")?.id;
    let said = done(&stage, "hosts drain h2 --wait --timeout 60s --reason disk").await?;
    assert!(said.contains("h2 is parked"), "{said}");
    let status = stage.fleet.status().await?;
    assert_eq!(phase_of(&status, "h2"), HostPhase::Parked);
    let silent = web(&status).context("the service")?.hosts.iter().find(|host| host.silent_ms.is_some());
    assert!(silent.is_none(), "nobody is silent: {silent:#?}");
    let said = done(&stage, "hosts list").await?;
    assert!(
        said.contains("drained by ann: disk") && said.contains("leader") && said.contains("voter"),
        "{said}"
    );
    let said = done(&stage, "locks list").await?;
    assert!(said.contains("`deployinator hosts admit h2`"), "{said}");
    done(&stage, "hosts admit h2 --wait --timeout 60s").await?;
    stage.all_on(&release).await?;

    let ran = run(&stage, "hosts exclude h3 --reason fan").await?;
    assert_eq!(ran.code, 64, "nobody confirms it: {ran:#?}");
    done(&stage, "hosts exclude h3 --reason fan --yes").await?;
    let second = stage.release(&Recipe::good("release-2"))?;
    let pushed = done(&stage, &format!("push {second} --service web --until canary --timeout 60s")).await?;
    assert!(pushed.contains("the canary wave has soaked"), "{pushed}");
    done(&stage, "watch --service web --timeout 60s").await?;
    let status = stage.fleet.status().await?;
    let on = |name: &str| Some(host(&status, name)?.current.as_ref()?.id.clone());
    assert_eq!(on("h3"), Some(release), "it took no part");
    done(&stage, "hosts include h3").await?;
    let new = on("h1").context("a release")?;
    stage.all_on(&new).await?;

    let before = stage.pids().await?;
    done(&stage, "restart --service web --wait --timeout 60s").await?;
    stage.all_on(&new).await?;
    let after = stage.pids().await?;
    assert!(before.iter().all(|(host, pid)| after[host] != *pid), "{before:?} {after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_loses_its_slot_to_whoever_breaks_it_and_a_gone_host_is_removed() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let slow = stage.release(&Recipe { start_ms: 1000, ..Recipe::good("release-2") })?;
    let push = stage.push(&slow, policy()).await?;
    let holder = stage.watch(&push).until_phase(HostPhase::Probing).await?;
    let number = stage.number(&holder)?;
    let witness = stage.other_than(&[number])?;
    stage.fleet.kill(number)?;
    demo::reaper::kill_of(&stage.fleet.agents[number].state);
    let silent = |status: &v1::StatusResponse| !status.stale && hold(status, "host_silent").is_some();
    stage.wait_at(witness, "a hold names the silent host", silent).await?;
    let said = done(&stage, "locks list").await?;
    assert!(said.contains(&holder) && said.contains("silent for"), "{said}");
    let broken = run(&stage, &format!("locks break {holder} --service web --reason hangs --yes")).await?;
    assert_eq!(broken.code, 0, "{broken:#?}");
    assert!(broken.err.contains("P1 rests on you now"), "{broken:#?}");
    let removed = done(&stage, &format!("hosts remove {holder} --reason burned --yes")).await?;
    assert!(removed.contains("is no more"), "{removed}");
    let ended = stage.watch_without(&push, &[number]).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (Outcome::Completed, 0), "{ended:#?}");
    let events = done(&stage, "events --service web").await?;
    assert!(events.contains("broken, by ann: hangs"), "{events}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_is_listed_and_released_and_a_policy_shown_and_set() -> Result<()> {
    let (stage, _) = Stage::serving(3).await?;
    let bad = Recipe { bad: Some(demo::releases::Bad::Exit), ..Recipe::good("release-2") };
    let source = stage.release(&bad)?;
    let ran = run(&stage, &format!("push {source} --service web --wait")).await?;
    assert_eq!(ran.code, 1, "{ran:#?}");
    let said = done(&stage, "quarantine list").await?;
    let release = said.split_whitespace().find(|word| word.starts_with("dir-")).context("a release")?;
    done(&stage, &format!("quarantine release {release} --service web --reason disk --yes")).await?;
    assert!(done(&stage, "quarantine list").await?.contains("no release is quarantined"));

    let file = stage.dir().join("shown.toml");
    let shown = done(&stage, "policy show --service web").await?;
    fs::write(&file, shown.replace("max_unavailable = 1", "max_unavailable = 2"))?;
    done(&stage, &format!("policy set {} --service web", file.display())).await?;
    assert!(done(&stage, "policy show --service web").await?.contains("max_unavailable = 2"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_marks_its_history_as_stale_and_hosts_list_too() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    stage.fleet.kill(0)?;
    stage.fleet.kill(1)?;
    for verb in ["history --service web", "hosts list", "locks list", "cluster show"] {
        let ran = run(&stage, verb).await?;
        assert_eq!(ran.code, 69, "{verb}: {ran:#?}");
        assert!(ran.out.contains("STALE") && ran.out.contains("missing: h1, h2"), "{verb}: {ran:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_voters_that_are_asked_first_keep_nobody_from_an_answer() -> Result<()> {
    let (stage, _) = Stage::serving(3).await?;
    for number in [0, 1] {
        signal(stage.fleet.pid(number)?, Signal::STOP)?;
    }
    let old = |ran: &Ran| ran.code == 69 && ran.out.contains("STALE") && ran.out.contains("missing: h1, h2");
    for verb in ["status", "history --service web", "hosts list", "cluster show"] {
        // Until the last voter has noticed, it may still wait for the others.
        within(verb, async || run(&stage, verb).await.ok().filter(|ran| old(ran))).await?;
    }
    for number in [0, 1] {
        signal(stage.fleet.pid(number)?, Signal::CONT)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_end_nobody_saw_is_resolved_as_the_command_line_tells() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { migrate_ms: 1500, ..Recipe::good("release-2") })?;
    let pushed = stage.push(&source, policy()).await?;
    let locked = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.migration_lock.is_some());
    let status = stage.fleet.wait_for("a host has the migration lock", PATIENCE, locked).await?;
    let lock = web(&status).and_then(|web| web.migration_lock.clone()).context("the migration lock")?;
    within("the migration runs", async || (stage.migrations_of("release-2") == 1).then_some(())).await?;
    signal(keeper_of(&stage.fleet.agents[stage.number(&lock.host)?])?, Signal::KILL)?;
    stage
        .fleet
        .wait_for("it is unknown", PATIENCE, |status| hold(status, "migration_unknown").is_some())
        .await?;

    let watch = format!("watch r{} --service web", pushed.rollout);
    let halted = run(&stage, &watch).await?;
    assert!(halted.code == 3 && halted.out.contains("migration resolve"), "{halted:#?}");
    let shown = done(&stage, "migration show").await?;
    let told = shown
        .split('`')
        .find(|word| word.starts_with("deployinator migration resolve"))
        .context("a command")?;
    let typed = told.trim_start_matches("deployinator ").replace("succeeded|failed|retry", "failed");
    let unsure = run(&stage, &typed.replace("WHY", "half")).await?;
    assert!(unsure.code == 64 && unsure.err.contains("--yes"), "{unsure:#?}");
    let resolved = done(&stage, &format!("{} --yes", typed.replace("WHY", "half"))).await?;
    assert!(resolved.contains("is failed, on your word"), "{resolved}");
    let over = run(&stage, &watch).await?;
    assert!(over.code == 1 && over.out.contains("failed in migration"), "{over:#?}");
    assert!(done(&stage, "quarantine list").await?.contains("ann said so"));
    assert_eq!(stage.migrations_of("release-2"), 1, "it was not tried again");
    Ok(())
}
