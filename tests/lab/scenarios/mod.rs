//! What happens to the fleets.

mod bad_releases;
mod control;
mod good_releases;
mod lost_hosts;

use anyhow::{Result, ensure};
use demo::releases::Recipe;
use fakeaws::GroupOptions;

use crate::fleet::{Lab, instances};

/// Short waits, one slot.
const POLICY: &str = "max_unavailable = 1\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"10s\"\n";
/// Short waits, two slots.
const TWO_SLOTS: &str = "max_unavailable = 2\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"10s\"\n";

/// Sets up a fleet of five that serves release 1, and plays a scenario with it. What the agents logged is shown where it fails.
async fn play(scenario: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    play_before(&instances(), scenario).await
}

/// The same where requests come by a group of this kind.
async fn play_before(group: &GroupOptions, scenario: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let mut lab = Lab::set(5, group).await?;
    let outcome = async {
        lab.form().await?;
        let first = lab.release(&Recipe::good("release-1"))?;
        expect(&lab, &first, POLICY, 0).await?;
        scenario(&mut lab).await
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        eprintln!("{}", lab.logs());
    }
    outcome
}

/// Pushes, and expects this exit code. What was said comes back.
async fn expect(lab: &Lab, path: &str, policy: &str, code: i32) -> Result<String> {
    let (found, said) = lab.push(path, policy).await?;
    ensure!(found == code, "the push of {path} ended with {found} instead of {code}: {said}");
    Ok(said)
}
