//! Releases that are good: capacity is kept, and no request fails.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use demo::releases::Recipe;

use super::{POLICY, SOAK, TWO_SLOTS, expect, play};
use crate::{account::Account, fleet::Lab, traffic::Traffic};

#[tokio::test(flavor = "multi_thread")]
async fn s01_good_releases_roll_and_no_request_fails() -> Result<()> {
    play(async |lab: &mut Lab| {
        for (name, policy, slots) in [("one slot", POLICY, 1), ("two slots", TWO_SLOTS, 2)] {
            let traffic = Traffic::start(lab).await?;
            let path = lab.release(&Recipe::good(&format!("good-{slots}")))?;
            let pushed = SystemTime::now();
            let (began, migrations) = (Instant::now(), lab.builder.migrations());
            expect(lab, &path, policy, 0).await?;
            let took = began.elapsed();
            if slots == 1 {
                println!("{}", Account::of(lab, pushed, SOAK).await?.figures(name, took));
            }
            let runs = lab.builder.migrations() - migrations;
            ensure!(runs == 1, "{name}: bin/migrate was run {runs} times");
            traffic.end(lab, name, lab.hosts.len() - slots, took).await?;
        }
        Ok(())
    })
    .await
}
