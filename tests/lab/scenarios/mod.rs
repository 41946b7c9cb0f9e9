//! What happens to the fleets.

mod api_faults;
mod bad_releases;
mod control;
mod first_boot;
mod good_releases;
mod lost_hosts;
mod partitions;
mod powerless_hosts;
mod replaced_hosts;
mod two_services;

use std::{cell::Cell, time::Duration};

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use serde_json::Value;

use crate::{
    fleet::{Lab, WEB},
    layout::Layout,
};

/// Short waits, one slot.
const POLICY: &str = "max_unavailable = 1\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"10s\"\n";
/// The soak of both.
const SOAK: Duration = Duration::from_secs(1);
/// Short waits, two slots.
const TWO_SLOTS: &str = "max_unavailable = 2\ncanary = 1\nsoak = \"1s\"\n[deadlines]\nhealthy = \"10s\"\n";

/// Sets up a fleet of five that serves release 1, and plays a scenario with it. What the agents logged is shown where it fails.
async fn play(scenario: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    play_in(Layout::default(), scenario).await
}

/// The same in another layout, of which the first service serves release 1.
async fn play_in(layout: Layout, scenario: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    play_from_nothing(layout, async |lab: &mut Lab| {
        lab.form().await?;
        let first = lab.release(&Recipe::good("release-1"))?;
        expect(lab, &first, POLICY, 0).await?;
        scenario(lab).await
    })
    .await
}

/// The same with hosts of which none has been switched on yet.
async fn play_from_nothing(layout: Layout, scenario: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let mut lab = Lab::set(layout).await?;
    let outcome = scenario(&mut lab).await;
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

/// Pushes without waiting for its end.
async fn begin(lab: &Lab, name: &str) -> Result<()> {
    begin_on(lab, WEB, &Recipe { start_ms: 1_500, ..Recipe::good(name) }, POLICY).await
}

/// Pushes to this service without waiting for its end.
async fn begin_on(lab: &Lab, service: &str, recipe: &Recipe, policy: &str) -> Result<()> {
    let path = lab.release(recipe)?;
    let policy = lab.policy(policy)?.display().to_string();
    let said = lab.ask(&["push", &path, "--service", service, "--policy", &policy]).await?;
    ensure!(said.status.success(), "push: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// What `status` says of a service.
fn service<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    let services = status["services"].as_array().context("services")?;
    services.iter().find(|service| service["service"] == name).with_context(|| format!("no service {name}"))
}

/// Waits for a host whose change is in one of these phases, and says which.
async fn some_host_that(lab: &Lab, phases: &[&str]) -> Result<usize> {
    let found = Cell::new(None);
    lab.wait(&format!("a host that is {}", phases.join(" or ")), async |lab: &Lab| {
        let status = lab.status().await?;
        let hosts = service(&status, WEB)?["hosts"].as_array().context("hosts")?;
        let is = |host: &Value| host["change"]["phase"].as_str().is_some_and(|phase| phases.contains(&phase));
        found.set(hosts.iter().position(is));
        Ok(found.get().is_some())
    })
    .await?;
    found.get().context("a host")
}

/// Waits for a host that is out for its change.
async fn some_holder(lab: &Lab) -> Result<usize> {
    some_host_that(lab, &["draining", "stopping", "starting", "probing", "joining", "soaking"]).await
}

/// Waits until all hosts of the first service run a release and are in service.
async fn completed(lab: &Lab, release: &str) -> Result<()> {
    completed_on(lab, WEB, release).await
}

/// Waits until all hosts of a service run a release and are in service.
async fn completed_on(lab: &Lab, name: &str, release: &str) -> Result<()> {
    lab.wait(&format!("{release} everywhere"), async |lab: &Lab| {
        let status = lab.status().await?;
        let web = service(&status, name)?;
        let done =
            web["active"].is_null() && web["completed"].as_str().is_some_and(|id| id.contains(release));
        let hosts = web["hosts"].as_array().context("hosts")?;
        Ok(done
            && hosts.iter().all(|host| host["availability"] == "in" && host["current"] == web["completed"]))
    })
    .await
}
