//! Agents, keepers and whole hosts that are lost in the middle of a rollout.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{begin, completed, play, some_holder, some_host_that};
use crate::{
    fleet::{Lab, instance},
    machine::kill,
    traffic::Traffic,
};

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
        let keepers = lab.hosts[0].pids_of("keeper")?;
        ensure!(!keepers.is_empty(), "the first host has no keeper");
        for pid in keepers {
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
