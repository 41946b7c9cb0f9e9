//! Hosts that lose their power in each step of a change, one after the other, and are switched on again.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use api::v1::{HostPhase, StatusRequest, StatusResponse, deployinator_client::DeployinatorClient};
use demo::{programs::Programs, releases::Recipe};
use tokio::time::{Instant, sleep, timeout};

use super::{POLICY, begin_on, completed, play};
use crate::{
    fleet::{AGENT, Lab, PATIENCE, WEB, instance},
    traffic::Traffic,
};

/// In these steps no request is sent to the host, and none is in flight: nobody misses it.
const OUT: [HostPhase; 3] = [HostPhase::Stopping, HostPhase::Starting, HostPhase::Probing];
/// In these it may have requests.
const IN: [HostPhase; 3] = [HostPhase::Draining, HostPhase::Joining, HostPhase::Soaking];
/// Most rollouts until each step was seen: some are short.
const ROLLOUTS: usize = 3;
/// Most requests that one loss may cost: what each of the 24 callers had on the host, and what they send there until two health checks,
/// 100 ms apart, have failed. A balancer that goes on sending, or a failure on another host, comes to more.
const MOST_LOST: u64 = 60;
/// Longest wait for one agent's answer.
const ANSWER: Duration = Duration::from_millis(500);

/// A host, and the step that it is in.
type Hit = (usize, HostPhase);

/// What the agents say, without a process in between: steps are short.
async fn status(lab: &Lab) -> Result<StatusResponse> {
    for host in lab.hosts.iter().filter(|host| host.is_on()) {
        let asked = async {
            let mut client = DeployinatorClient::connect(format!("http://{}:{AGENT}", host.address)).await?;
            anyhow::Ok(client.status(StatusRequest { service: None }).await?.into_inner())
        };
        if let Ok(Ok(status)) = timeout(ANSWER, asked).await
            && !status.stale
        {
            return Ok(status);
        }
    }
    anyhow::bail!("no agent gives a fresh answer")
}

/// Waits for a host in one of these steps; nothing when the rollout is over before. Each host is hit once, and again only in the last step,
/// as there are more steps than hosts.
async fn next(lab: &Lab, steps: &BTreeSet<HostPhase>, hit: &[usize]) -> Result<Option<Hit>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status(lab).await;
        ensure!(Instant::now() < deadline, "waited for one of {steps:?}: {status:?}");
        if let Ok(status) = &status {
            let web = status.services.iter().find(|service| service.service == WEB).context("the service")?;
            let step = |name: &str| {
                let change = web.hosts.iter().find(|host| host.host == name)?.change.as_ref()?;
                steps.contains(&change.phase()).then_some(change.phase())
            };
            let hosts = lab.hosts.iter().enumerate();
            let mut found =
                hosts.filter_map(|(host, machine)| Some((host, step(&instance(machine.number))?)));
            let found = found.find(|(host, step)| *step == HostPhase::Soaking || !hit.contains(host));
            if found.is_some() || web.active.is_none() {
                return Ok(found);
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Switches a host off, and says how many requests that cost until the balancer knew. Where it gets no requests it goes without a word to
/// anybody; where it does, whoever waits for an answer hears of it, so that it is known what was lost.
async fn lose_power(lab: &mut Lab, host: usize, step: HostPhase, traffic: &Traffic) -> Result<u64> {
    let before = traffic.failed();
    if OUT.contains(&step) {
        lab.net.pull(lab.hosts[host].number, true)?;
    }
    lab.hosts[host].switch_off();
    let name = instance(lab.hosts[host].number);
    lab.wait(&format!("the balancer sends nothing to {name}"), async |lab: &Lab| {
        let targets = lab.cloud.targets(WEB).await?;
        let serves = |state: &str| state == "healthy" || state == "initial";
        Ok(!targets.iter().any(|target| target.id == name && serves(&target.state)))
    })
    .await?;
    // Callers are told of what was on it when it went; from then on nothing more fails.
    let failed = RefCell::new(vec![traffic.failed()]);
    lab.wait("no more failures", async |_: &Lab| {
        sleep(Duration::from_millis(300)).await;
        failed.borrow_mut().push(traffic.failed());
        Ok(failed.borrow().iter().rev().take(3).collect::<BTreeSet<_>>().len() == 1)
    })
    .await?;
    Ok(traffic.failed() - before)
}

/// A release that takes its time to start and to stop, so that its steps can be hit.
fn slow(name: &str) -> Result<Recipe> {
    let service = Programs::find()?.service;
    let first = format!(
        "'{}' --start-ms 1500 & child=$!\ntrap 'sleep 1; kill $child; wait $child; exit 0' TERM\nwait $child\nexit 1",
        service.display()
    );
    Ok(Recipe { first, ..Recipe::good(name) })
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_hosts_that_lose_their_power_in_any_step_come_back_and_finish_it() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        let mut steps: BTreeSet<HostPhase> = IN.into_iter().chain(OUT).collect();
        let mut allowed = 0;
        for round in 1..=ROLLOUTS {
            let name = format!("power-{round}");
            begin_on(lab, WEB, &slow(&name)?, POLICY).await?;
            let mut hit = Vec::new();
            while let Some((host, step)) = next(lab, &steps, &hit).await? {
                let lost = lose_power(lab, host, step, &traffic).await?;
                eprintln!("h{} lost its power while {step:?}: {lost} requests", lab.hosts[host].number);
                ensure!(lost == 0 || IN.contains(&step), "{lost} requests failed while {step:?}");
                ensure!(lost <= MOST_LOST, "{lost} requests failed while {step:?}: more than one host had");
                allowed += lost;
                lab.net.pull(lab.hosts[host].number, false)?;
                lab.boot(host)?;
                hit.push(host);
                steps.remove(&step);
            }
            completed(lab, &name).await?;
            if steps.is_empty() {
                break;
            }
        }
        ensure!(steps.is_empty(), "nobody was seen in {steps:?}");
        let seen = traffic.seen(lab, "power lost in each step", began.elapsed()).await?;
        let failed = seen.by_plane.failed + seen.by_haproxy.failed;
        let reasons = (&seen.by_plane.reasons, &seen.by_haproxy.reasons);
        ensure!(
            failed == allowed,
            "{failed} requests failed, {allowed} of them on hosts that lost their power: {reasons:?}"
        );
        ensure!(lab.hosts.len() - 1 <= seen.least, "{} hosts were in service", seen.least);
        Ok(())
    })
    .await
}
