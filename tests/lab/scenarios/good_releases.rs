//! Releases that are good: capacity is kept, and no request fails.

use std::time::Instant;

use anyhow::{Result, ensure};
use demo::releases::Recipe;

use super::{POLICY, TWO_SLOTS, expect, play};
use crate::{fleet::Lab, traffic::Traffic};

#[tokio::test(flavor = "multi_thread")]
async fn s01_good_releases_roll_and_no_request_fails() -> Result<()> {
    play(async |lab: &mut Lab| {
        for (name, policy, slots) in [("one slot", POLICY, 1), ("two slots", TWO_SLOTS, 2)] {
            let traffic = Traffic::start(lab).await?;
            let path = lab.release(&Recipe::good(&format!("good-{slots}")))?;
            let (began, migrations) = (Instant::now(), lab.builder.migrations());
            expect(lab, &path, policy, 0).await?;
            let took = began.elapsed();
            let runs = lab.builder.migrations() - migrations;
            ensure!(runs == 1, "{name}: bin/migrate was run {runs} times");
            traffic.end(lab, name, lab.hosts.len() - slots, took).await?;
        }
        Ok(())
    })
    .await
}
