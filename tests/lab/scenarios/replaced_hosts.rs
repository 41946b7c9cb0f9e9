//! Hosts that are terminated, and others that take their places.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use fakeaws::Act;

use super::{POLICY, begin, begin_on, completed, play, service, some_host_that};
use crate::{
    fleet::{Lab, WEB, instance},
    layout::SERVICE,
    machine::Make,
    traffic::Traffic,
};

/// Whether the fleet counts this host as one of the service's.
async fn has(lab: &Lab, id: &str) -> Result<bool> {
    let status = lab.status().await?;
    let hosts = service(&status, WEB)?["hosts"].as_array().context("hosts")?;
    Ok(hosts.iter().any(|host| host["host"] == id))
}

/// Waits until a host's target is in a state, or is none where that is `None`.
async fn target(lab: &Lab, id: &str, state: Option<&str>) -> Result<()> {
    lab.wait(&format!("the target {id} to be {}", state.unwrap_or("gone")), async |lab: &Lab| {
        let targets = lab.cloud.targets(WEB).await?;
        Ok(targets.iter().find(|target| target.id == id).map(|target| target.state.as_str()) == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_holder_that_is_terminated_frees_its_slot_and_a_new_host_takes_its_place() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let (began, all) = (Instant::now(), lab.hosts.len());
        begin(lab, "terminated").await?;
        // While it starts it gets no requests: its end is missed by nobody.
        let holder = some_host_that(lab, &["starting", "probing"]).await?;
        let gone = instance(lab.hosts[holder].number);
        lab.hosts[holder].switch_off();
        lab.wait("a hold that names the silent holder", async |lab: &Lab| {
            let status = lab.status().await?;
            let holds = service(&status, WEB)?["holds"].as_array().context("holds")?;
            Ok(holds.iter().any(|hold| hold["name"] == "host_silent" && hold["host"] == gone.as_str()))
        })
        .await?;
        let status = lab.status().await?;
        let slots = service(&status, WEB)?["slots"]["holders"].to_string();
        ensure!(slots.contains(&gone), "its silence is no evidence, and its slot is free: {slots}");
        lab.cloud.act(&gone, Act::Terminate).await?;
        let new = lab.launch(Make::default()).await?;
        lab.boot(new)?;
        let new = instance(lab.hosts[new].number);
        lab.wait("the fleet without the terminated host, and with the new one", async |lab: &Lab| {
            Ok(!has(lab, &gone).await? && has(lab, &new).await?)
        })
        .await?;
        completed(lab, "terminated").await?;
        target(lab, &new, Some("healthy")).await?;
        // Without the terminated one, four count, and one of them changes at a time. The new one counts once it has served.
        traffic.end(lab, "terminated", all - 2, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_host_that_its_group_takes_away_amid_its_change_is_not_registered_again() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let (began, all) = (Instant::now(), lab.hosts.len());
        // Long enough to be met.
        begin_on(lab, WEB, &Recipe { start_ms: 5_000, ..Recipe::good("taken") }, POLICY).await?;
        let holder = some_host_that(lab, &["starting", "probing"]).await?;
        let old = instance(lab.hosts[holder].number);
        lab.cloud.set_lifecycle(&old, Some("Terminated")).await?;
        let new = another(lab).await?;
        lab.wait("a reason why it does not join", async |lab: &Lab| {
            let status = lab.status().await?;
            let hosts = service(&status, WEB)?["hosts"].as_array().context("hosts")?;
            let host = hosts.iter().find(|host| host["host"] == old.as_str()).context("the host")?;
            Ok(host["trouble"].as_str().is_some_and(|words| words.contains("Auto Scaling group")))
        })
        .await?;
        target(lab, &old, None).await?;
        lab.hosts[holder].switch_off();
        lab.cloud.act(&old, Act::Terminate).await?;
        completed(lab, "taken").await?;
        target(lab, &instance(lab.hosts[new].number), Some("healthy")).await?;
        traffic.end(lab, "taken away", all - 2, began.elapsed()).await
    })
    .await
}

/// A host that takes the place of another, and boots.
async fn another(lab: &mut Lab) -> Result<usize> {
    let new = lab.launch(Make::default()).await?;
    lab.boot(new)?;
    Ok(new)
}

/// Takes a host away as an Auto Scaling group does: it is deregistered, drained, and terminated.
async fn take_away(lab: &mut Lab, host: usize) -> Result<()> {
    let old = instance(lab.hosts[host].number);
    lab.wait(&format!("{old} to be in no step of a change"), async |lab: &Lab| {
        let status = lab.status().await?;
        let hosts = service(&status, WEB)?["hosts"].as_array().context("hosts")?;
        Ok(hosts.iter().any(|host| host["host"] == old.as_str() && host["change"].is_null()))
    })
    .await?;
    lab.cloud.set_lifecycle(&old, Some("Terminated")).await?;
    lab.cloud.deregister(WEB, &old, SERVICE).await?;
    target(lab, &old, None).await?;
    lab.hosts[host].switch_off();
    lab.cloud.act(&old, Act::Terminate).await?;
    lab.wait(&format!("the fleet without {old}"), async |lab: &Lab| Ok(!has(lab, &old).await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_all_hosts_are_replaced_one_by_one_during_two_rollouts() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let (began, all) = (Instant::now(), lab.hosts.len());
        begin(lab, "before").await?;
        let mut new = another(lab).await?;
        for host in 0..all {
            if host == 2 {
                begin(lab, "after").await?;
            }
            target(lab, &instance(lab.hosts[new].number), Some("healthy")).await?;
            if host + 1 < all {
                // It boots while the old one drains.
                new = another(lab).await?;
            }
            take_away(lab, host).await?;
        }
        completed(lab, "after").await?;
        let targets = lab.cloud.targets(WEB).await?;
        ensure!(targets.len() == all, "the targets are not those of the new hosts: {targets:?}");
        // One is changed while another one is taken away, and six are there then.
        traffic.end(lab, "replaced", all - 1, began.elapsed()).await
    })
    .await
}
