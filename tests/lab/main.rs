//! The lab: fleets of hosts with networks, disks and processes of their own, real Nix, a cloud that answers as AWS does, and requests all
//! the time. Each scenario has a network namespace to itself: `cargo lab` runs them.

mod builder;
mod cache;
mod fleet;
mod machine;
mod net;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use demo::releases::Recipe;
use fleet::{Lab, instances};

const POLICY: &str = "max_unavailable = 1\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"30s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn s01_a_good_release_rolls_and_no_request_fails() -> Result<()> {
    let mut lab = Lab::set(5, &instances()).await?;
    let outcome = good_release(&mut lab).await;
    if outcome.is_err() {
        eprintln!("{}", lab.logs());
    }
    outcome
}

async fn good_release(lab: &mut Lab) -> Result<()> {
    lab.form().await?;
    let policy = lab.policy(POLICY)?;
    let first = lab.release(&Recipe::good("release-1"))?;
    let (code, said) = lab.push(&first, &policy).await?;
    ensure!(code == 0, "the first push ended with {code}: {said}");
    let load = lab.load();
    let second = lab.release(&Recipe::good("release-2"))?;
    let began = Instant::now();
    let (code, said) = lab.push(&second, &policy).await?;
    let took = began.elapsed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let totals = load.stop().await;
    ensure!(code == 0, "the push ended with {code}: {said}");
    println!(
        "figures: hosts 5, wall {:.1} s, requests {} ({} long), failed {}",
        took.as_secs_f64(),
        totals.requests,
        totals.long_requests,
        totals.failed
    );
    ensure!(totals.failed == 0, "requests failed: {:?}", totals.reasons);
    Ok(())
}
