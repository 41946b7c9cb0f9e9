//! Several services on the same hosts: each has its own rollout and its own locks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::sleep;

use super::{POLICY, begin_on, completed_on, play, play_in, service, some_host_that};
use crate::{
    fleet::{Lab, WEB},
    layout::{Declared, Layout, SERVICE, instances},
    traffic::Traffic,
};

/// A second service with a balancer, and one that nobody sends requests to.
const API: &str = "api";
const JOBS: &str = "jobs";

fn layout() -> Layout {
    let services = vec![
        Declared::behind(WEB, SERVICE, instances()),
        Declared::behind(API, SERVICE + 1, instances()),
        Declared::headless(JOBS, SERVICE + 2),
    ];
    Layout { services, ..Layout::default() }
}

fn release(service: &str, number: u32) -> Recipe {
    Recipe { start_ms: 1_000, ..Recipe::good(&format!("{service}-{number}")) }
}

/// The hosts that hold a slot of a service.
fn holders(status: &Value, name: &str) -> Result<usize> {
    Ok(service(status, name)?["slots"]["holders"].as_array().context("holders")?.len())
}

/// What was seen while the services rolled.
#[derive(Debug, Default)]
struct Seen {
    /// How often both services had a host out at the same time.
    both_out: usize,
}

/// Looks until both services have completed.
async fn watches(lab: &Lab, number: u32) -> Result<Seen> {
    let mut seen = Seen::default();
    let deadline = Instant::now() + Duration::from_secs(150);
    loop {
        let status = lab.status().await?;
        let mut out = 0;
        let mut done = 0;
        for name in [WEB, API] {
            let held = holders(&status, name)?;
            ensure!(held <= 1, "{held} hosts hold the one slot of {name}");
            out += held;
            let completed = service(&status, name)?["completed"].as_str().unwrap_or_default();
            done += usize::from(completed.contains(&format!("{name}-{number}")));
        }
        seen.both_out += usize::from(out == 2);
        if done == 2 {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "{done} of two services have completed");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Ends the agents one by one, each while its host is in the middle of its change, and starts each again.
async fn restart_agents(lab: &mut Lab) -> Result<()> {
    let mut left: Vec<usize> = (0..lab.hosts.len()).collect();
    while !left.is_empty() {
        let host = some_host_that(lab, &["draining", "stopping", "starting", "probing", "joining"]).await?;
        let Some(at) = left.iter().position(|it| *it == host) else { continue };
        left.remove(at);
        lab.hosts[host].signal_agent(Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !lab.hosts[host].agent_has_ended()? {
            ensure!(Instant::now() < deadline, "an agent that was told to end does not");
            sleep(Duration::from_millis(20)).await;
        }
        lab.start_agent(host)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_two_services_roll_at_once_under_locks_of_their_own() -> Result<()> {
    play_in(layout(), async |lab: &mut Lab| {
        for name in [API, JOBS] {
            begin_on(lab, name, &release(name, 1), POLICY).await?;
        }
        for name in [API, JOBS] {
            completed_on(lab, name, &format!("{name}-1")).await?;
        }
        let (web, api) = (Traffic::start(lab).await?, Traffic::start_on(lab, API).await?);
        let began = Instant::now();
        for name in [WEB, API, JOBS] {
            begin_on(lab, name, &release(name, 2), POLICY).await?;
        }
        let seen = watches(lab, 2).await?;
        ensure!(0 < seen.both_out, "never was a host out for each of both at the same time");
        completed_on(lab, JOBS, &format!("{JOBS}-2")).await?;
        let (took, floor) = (began.elapsed(), lab.hosts.len() - 1);
        println!(
            "figures: two services: both had a host out {} times of those that were looked",
            seen.both_out
        );
        web.end(lab, "two services: web", floor, took).await?;
        api.end(lab, "two services: api", floor, took).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_agents_that_are_restarted_one_by_one_during_a_rollout_cost_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        begin_on(lab, WEB, &release(WEB, 2), POLICY).await?;
        restart_agents(lab).await?;
        completed_on(lab, WEB, &format!("{WEB}-2")).await?;
        traffic.end(lab, "agents restarted", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}
