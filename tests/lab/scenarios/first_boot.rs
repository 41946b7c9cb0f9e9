//! A fleet that comes from nothing, and that nobody pushes to: by what CI leaves in S3 alone.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use serde_json::Value;

use super::{completed, play_from_nothing};
use crate::{
    fleet::{Lab, WEB},
    layout::{Declared, Layout},
    traffic::Traffic,
};

const BUCKET: &str = "releases";
const KEY: &str = "web/stable";

/// What a CI job does: builds, signs, publishes, and leaves word of it.
async fn leave(lab: &Lab, name: &str) -> Result<()> {
    let path = lab.release(&Recipe::good(name))?;
    let said =
        format!(r#"{{"path": "{path}", "git_rev": "{name}", "run": "https://ci.example.com/{name}"}}"#);
    lab.cloud.put_object(BUCKET, KEY, said.into_bytes()).await.context("leave word of it")?;
    Ok(())
}

/// The rollouts, newest first.
async fn history(lab: &Lab) -> Result<Vec<Value>> {
    let said = lab.ask(&["history", "--service", WEB, "--output", "json"]).await?;
    let page: Value = serde_json::from_slice(&said.stdout).context("read the history")?;
    page["rollouts"].as_array().cloned().context("rollouts")
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_a_fleet_comes_from_nothing_to_in_service_by_its_channel_alone() -> Result<()> {
    let mut layout = Layout::default();
    let channel = format!("channel = {{ url = \"s3://{BUCKET}/{KEY}\", poll = \"2s\" }}\n");
    layout.services =
        layout.services.into_iter().map(|web| Declared { more: channel.clone(), ..web }).collect();
    play_from_nothing(layout, boot_and_roll).await
}

async fn boot_and_roll(lab: &mut Lab) -> Result<()> {
    leave(lab, "release-1").await?;
    let (began, hosts) = (Instant::now(), lab.hosts.len());
    for host in 0..hosts {
        lab.boot(host)?;
    }
    completed(lab, "release-1").await?;
    println!(
        "figures: first boot: {hosts} hosts, {:.1} s from switched on to in service",
        began.elapsed().as_secs_f64()
    );
    let healthy = lab.cloud.targets(WEB).await?.iter().filter(|target| target.state == "healthy").count();
    ensure!(healthy == hosts, "{healthy} of {hosts} are healthy");
    ensure!(lab.builder.migrations() == 1, "bin/migrate was run {} times", lab.builder.migrations());
    let rollouts = history(lab).await?;
    ensure!(rollouts.len() == 1, "one rollout for all of them: {rollouts:#?}");
    let (by, from) = (&rollouts[0]["by"]["name"], &rollouts[0]["provenance"]["ci_run"]);
    ensure!(
        *by == format!("channel s3://{BUCKET}/{KEY}") && from == "https://ci.example.com/release-1",
        "{rollouts:#?}"
    );

    // The next one, under load, by the same way.
    let traffic = Traffic::start(lab).await?;
    let began = Instant::now();
    leave(lab, "release-2").await?;
    completed(lab, "release-2").await?;
    traffic.end(lab, "by the channel", hosts - 1, began.elapsed()).await?;
    ensure!(history(lab).await?.len() == 2, "what is in the channel is pushed once");
    Ok(())
}
