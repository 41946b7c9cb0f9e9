//! Releases that are bad, or that hosts cannot get: the fleet is as before, the caller is told, and no request fails.

use std::time::Instant;

use anyhow::{Result, ensure};
use demo::releases::{Bad, Recipe};

use super::{POLICY, expect, play};
use crate::{fleet::Lab, traffic::Traffic};

#[tokio::test(flavor = "multi_thread")]
async fn s02_what_is_bad_is_taken_back_and_no_request_fails() -> Result<()> {
    play(async |lab: &mut Lab| {
        let bad = [
            ("bad-health", Bad::Health, "the probe did not pass"),
            ("bad-exit", Bad::Exit, "exited"),
            ("bad-migration", Bad::Migrate, "migration"),
        ];
        for (name, bad, word) in bad {
            let traffic = Traffic::start(lab).await?;
            let path = lab.release(&Recipe { bad: Some(bad), ..Recipe::good(name) })?;
            let began = Instant::now();
            let said = expect(lab, &path, POLICY, 1).await?;
            ensure!(said.contains(word), "{name}: nothing about {word:?} in: {said}");
            traffic.end(lab, name, lab.hosts.len() - 1, began.elapsed()).await?;
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
