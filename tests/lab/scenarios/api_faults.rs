//! AWS's API for load balancers goes wrong in each step of a host's change: the rollout takes longer, and nobody who sends requests notices.

use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use fakeaws::{Credentials, Fault, FaultKind, GroupOptions, Settings};
use tokio::time::sleep;

use super::{begin_on, completed, play_in, service};
use crate::{
    fleet::{Lab, WEB},
    layout::{Declared, Layout, SERVICE, instances},
    traffic::Traffic,
};

/// Three slots, so that five hosts take two waves; a soak that is long enough to be seen, and time for several faults of a minute in one step.
const POLICY: &str = "max_unavailable = 3\ncanary = 2\nsoak = \"2s\"\n[deadlines]\nhealthy = \"10s\"\njoin = \"10m\"\ndrain = \"10m\"\n";
const SLOTS: usize = 3;
/// The steps of a change; a fault begins in each, each time at another host.
const STEPS: [&[&str]; 4] = [&["draining"], &["stopping", "starting", "probing"], &["joining"], &["soaking"]];

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// All calls of the API for load balancers.
    Calls(FaultKind),
    /// All credentials that instances have, and all that they are given.
    Credentials,
}

impl Trouble {
    async fn begin(self, lab: &Lab, time: Duration) -> Result<()> {
        match self {
            Self::Calls(kind) => {
                let fault = Fault::of("elasticloadbalancing:*", kind).lasting(time);
                lab.cloud.add_fault(&fault).await.context("make a fault")
            }
            Self::Credentials => lab.cloud.set_credentials(Credentials::Expired).await.context("expire"),
        }
    }

    async fn end(self, lab: &Lab) -> Result<()> {
        match self {
            // It ends by itself.
            Self::Calls(_) => Ok(()),
            Self::Credentials => lab.cloud.set_credentials(Credentials::Valid).await.context("renew"),
        }
    }
}

/// A fleet whose drains are short, and whose targets take a while to be in service, so that no step is missed.
fn layout() -> Layout {
    let group = GroupOptions { deregistration_delay: Duration::from_secs(2), ..instances() };
    Layout {
        services: vec![Declared::behind(WEB, SERVICE, group)],
        cloud: Settings { registration: Duration::from_secs(1), ..Settings::default() },
        long_ms: 300..=1_500,
        ..Layout::default()
    }
}

/// Rolls the fleet once for each trouble.
async fn rolls_through(troubles: &[(&str, Trouble)]) -> Result<()> {
    let full = env::var_os("LAB_FULL").is_some();
    let time = Duration::from_secs(if full { 60 } else { 5 });
    play_in(layout(), async |lab: &mut Lab| {
        for (name, trouble) in troubles {
            let traffic = Traffic::start(lab).await?;
            let faulted = faulted(lab).await?;
            let began = Instant::now();
            begin_on(lab, WEB, &Recipe { start_ms: 1_500, ..Recipe::good(name) }, POLICY).await?;
            meets(lab, name, *trouble, time).await?;
            completed(lab, name).await?;
            let met = self::faulted(lab).await? - faulted;
            println!("figures: {name}: {met} calls went wrong");
            ensure!(0 < met, "{name}: no call met it");
            traffic.end(lab, name, lab.hosts.len() - SLOTS, began.elapsed()).await?;
        }
        Ok(())
    })
    .await
}

/// Makes the trouble in each step, once a host is in it that was in none of the others when they were met; each time for so long.
async fn meets(lab: &Lab, name: &str, trouble: Trouble, time: Duration) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60) + 8 * time;
    let (mut left, mut hosts, mut until) = (STEPS.to_vec(), BTreeSet::new(), None);
    while !left.is_empty() || until.is_some() {
        ensure!(Instant::now() < deadline, "no host was seen in: {left:?}; seen: {hosts:?}");
        if until.is_some_and(|until| until < Instant::now()) {
            trouble.end(lab).await?;
            until = None;
        }
        let status = lab.status().await?;
        let completed = service(&status, WEB)?["completed"].as_str().unwrap_or_default();
        let over = completed.contains(name) && !left.is_empty();
        ensure!(!over, "{name} is over, and no host was seen in: {left:?}");
        for host in service(&status, WEB)?["hosts"].as_array().context("hosts")? {
            let (id, phase) = (host["host"].as_str(), host["change"]["phase"].as_str());
            let (Some(id), Some(phase)) = (id, phase) else { continue };
            let Some(at) = left.iter().position(|step| step.contains(&phase)) else { continue };
            if hosts.insert(id.to_owned()) {
                left.remove(at);
                trouble.begin(lab, time).await?;
                until = Some(Instant::now() + time);
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How many calls went wrong so far.
async fn faulted(lab: &Lab) -> Result<u64> {
    let calls = lab.cloud.calls().await.context("read the calls")?;
    Ok(calls.iter().map(|call| call.faulted + call.expired).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_an_api_that_throttles_or_fails_costs_no_request() -> Result<()> {
    rolls_through(&[
        ("throttled", Trouble::Calls(FaultKind::Throttle)),
        ("answers-500", Trouble::Calls(FaultKind::Error)),
        ("answers-in-html", Trouble::Calls(FaultKind::Html)),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_an_api_that_is_slow_or_answers_from_the_past_costs_no_request() -> Result<()> {
    rolls_through(&[
        ("slow", Trouble::Calls(FaultKind::Slow { ms: 4_000 })),
        ("stale", Trouble::Calls(FaultKind::Stale { ms: 3_000 })),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_answers_that_are_lost_and_credentials_that_expire_cost_no_request() -> Result<()> {
    rolls_through(&[
        ("answers-lost", Trouble::Calls(FaultKind::LoseAnswer)),
        ("credentials-expired", Trouble::Credentials),
    ])
    .await
}
