//! Releases that are bad, or that hosts cannot get: the fleet is as before, the caller is told, and no request fails.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use demo::releases::{Bad, Recipe};

use super::{POLICY, TWO_SLOTS, completed, expect, play};
use crate::{
    fleet::{Lab, WEB, instance},
    machine::Make,
    traffic::Traffic,
};

/// As long as a rollout whose hosts do not all get the release waits for that.
const SHORT_STAGING: &str =
    "max_unavailable = 1\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"10s\"\nstage = \"10s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn s02_what_is_bad_is_taken_back_and_no_request_fails() -> Result<()> {
    play(async |lab: &mut Lab| {
        let bad = [
            ("bad-health", Bad::Health, "the probe did not pass", 1),
            ("bad-exit", Bad::Exit, "exited", 1),
            ("bad-migration", Bad::Migrate, "migration", 0),
        ];
        for (name, bad, word, out) in bad {
            let traffic = Traffic::start(lab).await?;
            let path = lab.release(&Recipe { bad: Some(bad), ..Recipe::good(name) })?;
            let began = Instant::now();
            let said = expect(lab, &path, POLICY, 1).await?;
            ensure!(said.contains(word), "{name}: nothing about {word:?} in: {said}");
            traffic.end(lab, name, lab.hosts.len() - out, began.elapsed()).await?;
            // It stays failed.
            expect(lab, &path, POLICY, 5).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_what_cannot_be_had_disturbs_nobody() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        // In no cache: nobody built it, as far as hosts can tell.
        let late = lab.builder.build(&Recipe::good("late"))?;
        let said = expect(lab, &late, POLICY, 5).await?;
        ensure!(said.contains(&lab.cache.url), "it does not say which cache was asked: {said}");
        // Published after that: the miss is not remembered.
        lab.builder.sign(&late)?;
        lab.builder.publish(&late, &lab.cache.folder)?;
        expect(lab, &late, POLICY, 0).await?;
        // Signed by nobody.
        let unsigned = lab.builder.build(&Recipe::good("unsigned"))?;
        lab.builder.publish(&unsigned, &lab.cache.folder)?;
        let said = expect(lab, &unsigned, POLICY, 5).await?;
        ensure!(said.contains("sign"), "it does not say that it is not signed: {said}");
        // A cache that does not answer is no word about a release, and no host is touched. When it answers again, the same push goes through.
        let dark = lab.release(&Recipe::good("dark"))?;
        lab.cache.go_dark(true);
        expect(lab, &dark, POLICY, 69).await?;
        lab.cache.go_dark(false);
        expect(lab, &dark, POLICY, 0).await?;
        traffic.end(lab, "not to be had", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_what_one_host_cannot_take_or_the_cache_breaks_off_disturbs_nobody() -> Result<()> {
    play(async |lab: &mut Lab| {
        // A sixth host, whose store has room for a release, and not for a large one.
        let small = lab.launch(Make { store_bytes: Some(128 << 20), ..Make::default() }).await?;
        lab.boot(small)?;
        let name = instance(lab.hosts[small].number);
        lab.wait("the sixth host in service", async |lab: &Lab| {
            let targets = lab.cloud.targets(WEB).await?;
            Ok(targets.iter().any(|target| target.id == name && target.state == "healthy"))
        })
        .await?;
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        let large = lab.release(&Recipe { ballast_bytes: 100 << 20, ..Recipe::good("large") })?;
        let said = expect(lab, &large, SHORT_STAGING, 3).await?;
        for word in [name.as_str(), "of free space"] {
            ensure!(said.contains(word), "nothing about {word:?} in: {said}");
        }
        told(lab, &["abort", "--service", WEB]).await?;
        // Fetched by whoever was asked to push it and by one host, by half by another, and by nobody after that.
        let half = lab.release(&Recipe::good("half"))?;
        lab.cache.go_dark_after(2);
        let said = expect(lab, &half, SHORT_STAGING, 3).await?;
        ensure!(said.contains("not staged in time on"), "it does not say where it is missing: {said}");
        lab.wait("a host that says which cache does not answer", async |lab: &Lab| {
            let status = lab.status().await?;
            let hosts = status["services"][0]["hosts"].as_array().context("hosts")?;
            let mut troubles = hosts.iter().filter_map(|host| host["stage_trouble"].as_str());
            Ok(troubles.any(|trouble| trouble.contains(&lab.cache.url)))
        })
        .await?;
        traffic.end(lab, "cannot be staged", lab.hosts.len(), began.elapsed()).await?;

        // When it answers again, the same rollout goes on, and may take its time.
        lab.cache.go_dark(false);
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        let policy = lab.policy(TWO_SLOTS)?.display().to_string();
        told(lab, &["push", &half, "--service", WEB, "--policy", &policy]).await?;
        told(lab, &["resume", "--service", WEB]).await?;
        completed(lab, "half").await?;
        traffic.end(lab, "staged after all", lab.hosts.len() - 2, began.elapsed()).await
    })
    .await
}

/// Tells the agents something that they do at once.
async fn told(lab: &Lab, words: &[&str]) -> Result<()> {
    let said = lab.ask(words).await?;
    ensure!(said.status.success(), "{}: {said:?}", words.join(" "));
    Ok(())
}
