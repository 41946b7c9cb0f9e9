//! The command line on a real fleet: every exit code of the design, and words that help.

use std::{
    fs,
    process::{Output, Stdio},
};

use anyhow::{Context, Result};
use api::v1::HostPhase;
use demo::releases::{Bad, Recipe};
use tests::{PATIENCE, Stage, by, client, policy, web};
use tokio::{process::Child, time::timeout};

/// The policy of these tests, as a file.
const POLICY: &str = "soak = \"200ms\"\n\n[deadlines]\nhealthy = \"10s\"\n";

/// What the command line did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn start(stage: &Stage, arguments: &[&str]) -> Result<Child> {
    let mut command = tokio::process::Command::from(stage.fleet.cli());
    command.args(arguments).env("USER", "tester").env_remove("NO_COLOR").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().context("run deployinator")
}

async fn end(child: Child) -> Result<Ran> {
    let output = timeout(PATIENCE * 2, child.wait_with_output()).await;
    let Output { status, stdout, stderr } = output.context("waited until deployinator ended")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = status.code().with_context(|| format!("deployinator ended by {status}"))?;
    Ok(Ran { code, out: text(stdout), err: text(stderr) })
}

async fn run(stage: &Stage, arguments: &[&str]) -> Result<Ran> {
    end(start(stage, arguments)?).await
}

/// A policy file below the stage.
fn file(stage: &Stage, name: &str, text: &str) -> Result<String> {
    let path = stage.dir().join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

async fn push(stage: &Stage, source: &str, more: &[&str]) -> Result<Ran> {
    let arguments: Vec<&str> =
        ["push", source, "--service", "web", "--wait"].iter().chain(more).copied().collect();
    run(stage, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_ends_with_how_the_rollout_ended() -> Result<()> {
    let stage = Stage::formed(3).await?;
    let fast = file(&stage, "policy.toml", POLICY)?;
    let pause = file(&stage, "pause.toml", &format!("on_failure = \"pause\"\n{POLICY}"))?;

    let first = stage.release(&Recipe::good("release-1"))?;
    let ran = push(&stage, &first, &["--policy", &fast]).await?;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.out.contains('\x1b'), "colour in a pipe: {ran:#?}");
    for host in ["h1", "h2", "h3"] {
        assert!(ran.out.contains(host), "{ran:#?}");
    }
    assert_eq!(push(&stage, &first, &[]).await?.code, 0, "it joins what is completed");

    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-2") })?;
    let ran = push(&stage, &bad, &[]).await?;
    assert_eq!(ran.code, 1, "{ran:#?}");
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains("was built to exit") && all.contains("exited with code 1"), "{ran:#?}");
    let ran = push(&stage, &bad, &[]).await?;
    assert_eq!(ran.code, 5, "{ran:#?}");
    assert!(ran.err.contains("quarantine"), "{ran:#?}");

    let unmigrated = stage.release(&Recipe { bad: Some(Bad::Migrate), ..Recipe::good("release-3") })?;
    assert_eq!(push(&stage, &unmigrated, &[]).await?.code, 1);

    let worse = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-4") })?;
    let ran = push(&stage, &worse, &["--policy", &pause]).await?;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(format!("{}{}", ran.out, ran.err).contains("abort"), "it says what to do: {ran:#?}");
    let abort = api::v1::AbortRequest { service: "web".into(), by: by("over"), leave: false };
    client(stage.fleet.agents[0].address).await?.abort(abort).await?;
    let history = stage.history_at(0).await?;
    let aborted =
        history.iter().find(|rollout| rollout.kind() == api::v1::RolloutKind::Push).context("a push")?;
    let ran = run(&stage, &["watch", &format!("r{}", aborted.id), "--service", "web"]).await?;
    assert_eq!(ran.code, 1, "aborted: {ran:#?}");
    let ran = run(&stage, &["watch", "--service", "web"]).await?;
    assert_eq!(ran.code, 1, "who names none means the one that was aborted, not its roll back: {ran:#?}");

    let slow = stage.release(&Recipe { start_ms: 1500, ..Recipe::good("release-5") })?;
    let ran = push(&stage, &slow, &["--policy", &fast, "--timeout", "300ms"]).await?;
    assert_eq!(ran.code, 75, "{ran:#?}");
    assert!(ran.err.contains("goes on") && ran.err.contains("watch"), "{ran:#?}");
    let waiting = start(&stage, &["watch", "--service", "web"])?;
    let push_5 = stage.push(&slow, policy()).await?;
    stage.watch(&push_5).until_phase(HostPhase::Probing).await?;
    let newer = stage.release(&Recipe::good("release-6"))?;
    let ran = push(&stage, &newer, &[]).await?;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let ran = end(waiting).await?;
    assert_eq!(ran.code, 4, "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_that_fails_ends_with_its_own_code_and_the_host_keeps_its_slot() -> Result<()> {
    let flag = std::env::temp_dir().join(format!("deployinator-test-flag-{}", std::process::id()));
    let words = format!("if [ -e '{}' ]; then echo the old one is broken now; exit 9; fi", flag.display());
    let (mut stage, first) =
        Stage::serving_this(3, &Recipe { first: words, ..Recipe::good("release-1") }).await?;
    let fast = file(&stage, "policy.toml", POLICY)?;
    fs::write(&flag, "")?;
    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-2") })?;
    let ran = push(&stage, &bad, &["--policy", &fast]).await;
    let status = stage.fleet.status().await;
    // Also when the test fails: nobody else would take it away.
    fs::remove_file(&flag)?;
    let (ran, status) = (ran?, status?);
    assert_eq!(ran.code, 2, "{ran:#?}");
    let web = web(&status).context("the service")?;
    let holders = &web.slots.as_ref().context("slots")?.holders;
    assert_eq!(holders.len(), 1, "{web:#?}");
    let hold =
        web.holds.iter().find(|hold| hold.name == "host_stuck").with_context(|| format!("{web:#?}"))?;
    assert_eq!(hold.host.as_ref(), holders.first());
    assert!(hold.ends_when.contains("locks break"), "{hold:#?}");
    // What it waits for has come: the old release starts again, and the slot is free.
    stage.all_on(&first.release.context("a release")?.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_told_with_its_own_code() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let good = stage.release(&Recipe::good("release-2"))?;
    for (arguments, code, words) in [
        (vec![], 64, "Usage"),
        (vec!["push", &good, "--service", "web", "--sideways"], 64, "--sideways"),
        (vec!["push", &good], 64, "--service"),
        (vec!["push", &good, "--service", "api"], 5, "web"),
        (vec!["push", "/nowhere", "--service", "web"], 5, "/nowhere"),
        (vec!["status", "--service", "api"], 5, "web"),
        (vec!["history", "--service", "api"], 5, "web"),
        (vec!["events", "--service", "api"], 5, "web"),
        (vec!["watch", "r9999", "--service", "web"], 5, "no rollout r9999"),
        (vec!["--agent", "127.0.0.1:1", "status"], 69, "127.0.0.1:1"),
    ] {
        let ran = run(&stage, &arguments).await?;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains(words), "{arguments:?} is refused without {words:?}: {ran:#?}");
    }
    let ran = run(&stage, &["status", "--output", "json"]).await?;
    assert!(ran.code == 0 && ran.out.trim_start().starts_with('{') && ran.out.contains("\"h3\""), "{ran:#?}");

    stage.fleet.kill(0)?;
    let ran = run(&stage, &["history", "--service", "web"]).await?;
    assert!(ran.code == 0 && ran.out.contains("test"), "another agent is asked: {ran:#?}");

    stage.fleet.kill(1)?;
    let ran = push(&stage, &good, &[]).await?;
    assert_eq!(ran.code, 69, "{ran:#?}");
    assert!(ran.err.contains("h1") && ran.err.contains("h2"), "it names who is missing: {ran:#?}");
    let ran = run(&stage, &["status"]).await?;
    assert_eq!(ran.code, 69, "{ran:#?}");
    for words in ["STALE", "missing: h1, h2", "steady on"] {
        assert!(ran.out.contains(words), "{words:?} in {ran:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_watch_events_and_history_tell_the_same_story() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let second = stage.release(&Recipe::good("release-2"))?;
    assert_eq!(push(&stage, &second, &[]).await?.code, 0);
    let ran = run(&stage, &["rollback", "--service", "web", "--wait", "--reason", "ugly"]).await?;
    assert_eq!(ran.code, 0, "{ran:#?}");
    stage.all_on(&first.release.context("a release")?.id).await?;
    let history = stage.history_at(0).await?;
    assert_eq!(history.len(), 3);
    let ran = run(&stage, &["history", "--service", "web"]).await?;
    let events = run(&stage, &["events", "--service", "web"]).await?;
    assert_eq!((ran.code, events.code), (0, 0), "{ran:#?}{events:#?}");
    for rollout in &history {
        let name = format!("r{}", rollout.id);
        assert!(ran.out.contains(&name), "{name} in {ran:#?}");
        assert!(events.out.contains(&name), "{name} in {events:#?}");
        let watched = run(&stage, &["watch", &name, "--service", "web"]).await?;
        assert_eq!(watched.code, 0, "{watched:#?}");
    }
    Ok(())
}
