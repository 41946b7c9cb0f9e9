//! `push --dry-run` on a real fleet: any agent answers, what it says then happens, and asking changes nothing.

use std::{fs, process::Output};

use anyhow::{Context, Result};
use api::v1;
use demo::releases::{Bad, Recipe};
use serde_json::Value;
use tests::{PATIENCE, Stage, hold, policy, web, within};
use tokio::time::timeout;

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

async fn dry_run(stage: &Stage, agent: &str, source: &str, more: &[&str]) -> Result<Ran> {
    let mut command = tokio::process::Command::from(stage.fleet.cli());
    command.args(["push", source, "--service", "web", "--dry-run", "--agent", agent]).args(more);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let Output { status, stdout, stderr } = output.context("waited until deployinator ended")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = status.code().with_context(|| format!("deployinator ended by {status}"))?;
    Ok(Ran { code, out: text(stdout), err: text(stderr) })
}

/// Who has a turn in which wave, as a dry run tells.
fn waves(json: &Value) -> Vec<Vec<String>> {
    let text = |value: &Value| value["host"].as_str().unwrap_or_default().to_owned();
    let of = |wave: &Value| {
        let turns = wave["turns"].as_array().into_iter().flatten();
        turns.flat_map(|turn| turn["hosts"].as_array().into_iter().flatten().map(text)).collect()
    };
    json["waves"].as_array().into_iter().flatten().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_agent_says_what_a_push_would_do_and_it_does_that() -> Result<()> {
    let (stage, _) = Stage::serving(4).await?;
    let file = stage.dir().join("policy.toml");
    fs::write(&file, "soak = \"200ms\"\nwave = 2\n\n[deadlines]\nhealthy = \"10s\"\n")?;
    let wanted = file.display().to_string();
    let source = stage.release(&Recipe::good("release-2"))?;
    let before = stage.fleet.status_of(0).await?;
    let mut shown = Vec::new();
    for agent in &stage.fleet.agents {
        let more = ["--output", "json", "--policy", &wanted];
        let ran = dry_run(&stage, &agent.address.to_string(), &source, &more).await?;
        assert_eq!(ran.code, 0, "{ran:#?}");
        let json: Value = serde_json::from_str(&ran.out).with_context(|| format!("{ran:#?}"))?;
        assert_eq!(
            (&json["start"], &json["end"], &json["outcome"]),
            (&"now".into(), &"over".into(), &"completed".into())
        );
        assert_eq!(json["migration"]["is"], "runs", "{json:#}");
        shown.push(waves(&json));
    }
    assert!(shown.iter().all(|waves| *waves == shown[0]), "agents differ: {shown:?}");
    assert_eq!(shown[0].iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1], "{shown:?}");
    let address = stage.fleet.agents[3].address.to_string();
    let ran = dry_run(&stage, &address, &source, &[]).await?;
    for words in ["would begin at once", "h1", "h4", "nothing was changed"] {
        assert!(ran.code == 0 && ran.out.contains(words), "{words:?} in {ran:#?}");
    }
    let after = stage.fleet.status_of(0).await?;
    let service = |status: &v1::StatusResponse| web(status).map(|web| (web.active.clone(), web.policy));
    assert_eq!(service(&before), service(&after), "asking changes nothing");
    assert_eq!(stage.history_at(0).await?.len(), 1);
    assert_eq!(stage.migrations_of("release-2"), 0);

    let push = stage.push(&source, v1::Policy { wave: Some(2), ..policy() }).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    let events = stage.events_at(0).await?;
    let begun = events.into_iter().filter(|event| event.rollout == Some(push.rollout));
    let came: Vec<Vec<String>> = begun
        .filter_map(|event| match event.detail {
            Some(v1::event::Detail::WaveStarted(wave)) => Some(wave.hosts),
            _ => None,
        })
        .collect();
    assert_eq!(came, shown[0]);
    let ran = dry_run(&stage, &address, &source, &[]).await?;
    assert!(ran.code == 0 && ran.out.contains("is there already"), "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_stands_against_a_push_and_ends_with_it() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let good = stage.release(&Recipe::good("release-2"))?;
    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-3") })?;
    let address = stage.fleet.agents[0].address.to_string();
    let ran = dry_run(&stage, &address, "/nowhere", &[]).await?;
    assert!(ran.code == 5 && ran.err.contains("/nowhere"), "{ran:#?}");
    let ran = dry_run(&stage, &address, &good, &["--wait"]).await?;
    assert_eq!(ran.code, 64, "nobody waits for what is not done: {ran:#?}");
    let failed = stage.push(&bad, policy()).await?;
    assert_eq!(stage.watch(&failed).ended().await?.exit_code, 1);
    let ran = dry_run(&stage, &address, &bad, &[]).await?;
    assert!(ran.code == 5 && ran.err.contains("quarantined"), "{ran:#?}");

    let leader = stage.leader().await?;
    let gone = stage.other_than(&[0, leader])?;
    let host = stage.fleet.agents[gone].host.clone();
    stage.fleet.kill(gone)?;
    let silent = |status: &v1::StatusResponse| {
        let here = web(status).and_then(|web| web.hosts.iter().find(|here| here.host == host));
        here.is_some_and(|here| here.availability() == v1::Availability::Unknown)
    };
    stage.wait_at(0, "a host is silent", silent).await?;
    let ran = dry_run(&stage, &address, &good, &[]).await?;
    assert_eq!(ran.code, 3, "{ran:#?}");
    for words in [&*host, "is silent", "as many hosts are out as may be", "hosts exclude", "would wait there"]
    {
        assert!(ran.out.contains(words), "{words:?} in {ran:#?}");
    }
    let status = stage.fleet.status_of(0).await?;
    assert!(hold(&status, "budget_spent").is_none(), "nothing waits in truth: {status:#?}");

    let other = stage.other_than(&[0, gone])?;
    stage.fleet.kill(other)?;
    // The last one may lead for a moment yet.
    let ran = within("a dry run finds no quorum", async || {
        dry_run(&stage, &address, &good, &[]).await.ok().filter(|ran| ran.code == 69)
    })
    .await?;
    assert!(ran.code == 69 && ran.err.contains(&host), "it names who is missing: {ran:#?}");
    Ok(())
}
