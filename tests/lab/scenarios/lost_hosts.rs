//! Agents, keepers and whole hosts that are lost in the middle of a rollout.

use std::{cell::Cell, time::Instant};

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use fakeaws::Act;
use rustix::process::Signal;
use serde_json::Value;

use super::{POLICY, play};
use crate::{
    fleet::{Lab, WEB, instance},
    machine::kill,
    traffic::Traffic,
};

/// Pushes without waiting for its end.
async fn begin(lab: &Lab, name: &str) -> Result<()> {
    let path = lab.release(&Recipe { start_ms: 1_500, ..Recipe::good(name) })?;
    let policy = lab.policy(POLICY)?.display().to_string();
    let said = lab.ask(&["push", &path, "--service", WEB, "--policy", &policy]).await?;
    ensure!(said.status.success(), "push: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// Waits for a host whose change is in one of these phases, and says which.
async fn some_host_that(lab: &Lab, phases: &[&str]) -> Result<usize> {
    let found = Cell::new(None);
    lab.wait(&format!("a host that is {}", phases.join(" or ")), async |lab: &Lab| {
        let status = lab.status().await?;
        let hosts = status["services"][0]["hosts"].as_array().context("hosts")?;
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

async fn completed(lab: &Lab, release: &str) -> Result<()> {
    lab.wait(&format!("{release} everywhere"), async |lab: &Lab| {
        let status = lab.status().await?;
        let web = &status["services"][0];
        let done =
            web["active"].is_null() && web["completed"].as_str().is_some_and(|id| id.contains(release));
        let hosts = web["hosts"].as_array().context("hosts")?;
        Ok(done
            && hosts.iter().all(|host| host["availability"] == "in" && host["current"] == web["completed"]))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_agents_and_keepers_that_are_killed_cost_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        begin(lab, "kills").await?;
        // The holder's agent, the leader's, and then a keeper: the service of its host goes on.
        let first = some_holder(lab).await?;
        lab.hosts[first].kill_agent()?;
        lab.start_agent(first)?;
        let status = lab.status().await?;
        let leader = status["leader"].as_str().context("a leader")?;
        let leader = (1..=5).find(|number| instance(*number) == leader).context("the leader's number")?;
        let leader = usize::from(leader) - 1;
        lab.hosts[leader].kill_agent()?;
        lab.start_agent(leader)?;
        for pid in lab.hosts[0].pids_of("keeper")? {
            kill(pid, Signal::KILL)?;
        }
        completed(lab, "kills").await?;
        traffic.end(lab, "kills", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_a_host_that_is_frozen_in_mid_step_for_longer_than_every_timeout_goes_on() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        begin(lab, "frozen").await?;
        // While it starts it gets no requests: what it does not answer is missed by nobody.
        let frozen = some_host_that(lab, &["starting", "probing"]).await?;
        lab.hosts[frozen].freeze(true)?;
        let silent = instance(lab.hosts[frozen].number);
        let held = lab.wait("a hold that names the silent holder", async |lab: &Lab| {
            let status = lab.status().await?;
            let holds = status["services"][0]["holds"].as_array().context("holds")?;
            Ok(holds.iter().any(|hold| hold["name"] == "host_silent" && hold["host"] == silent.as_str()))
        });
        let held = held.await;
        // Thawed whatever came of it, so that its logs can be read.
        lab.hosts[frozen].freeze(false)?;
        held?;
        completed(lab, "frozen").await?;
        traffic.end(lab, "frozen", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_holder_that_is_terminated_frees_its_slot_and_a_new_host_takes_its_place() -> Result<()> {
    play(async |lab: &mut Lab| {
        begin(lab, "terminated").await?;
        let holder = some_holder(lab).await?;
        lab.hosts[holder].switch_off();
        lab.cloud.act(&instance(lab.hosts[holder].number), Act::Terminate).await?;
        let new = lab.launch(crate::machine::Make::default()).await?;
        lab.boot(new)?;
        let gone = instance(lab.hosts[holder].number);
        lab.wait("the fleet without the terminated host, and with the new one", async |lab: &Lab| {
            let status = lab.status().await?;
            let web = &status["services"][0];
            let hosts = web["hosts"].as_array().context("hosts")?;
            let named = |name: &str| hosts.iter().any(|host| host["host"] == name);
            let all_in = hosts.iter().all(|host| host["availability"] == "in");
            Ok(!named(&gone) && named(&instance(6)) && all_in && web["active"].is_null())
        })
        .await?;
        completed(lab, "terminated").await?;
        Ok(())
    })
    .await
}
