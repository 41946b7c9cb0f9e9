//! Cables between hosts that are cut, flap, lose or delay what agents say to each other, in the middle of a rollout. Services, the cloud and
//! the load stay within everybody's reach, so no request has a reason to fail.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use demo::releases::Recipe;
use serde_json::Value;
use tokio::{net::TcpStream, time::sleep};

use super::{TWO_SLOTS, begin, completed, expect, play, some_holder};
use crate::{
    fleet::{AGENT, Lab, WEB, instance},
    traffic::Traffic,
};

/// What the agents of these hosts answer, also where it is an old answer.
async fn seen_by(lab: &Lab, hosts: &[usize]) -> Result<Value> {
    let agents: Vec<String> =
        hosts.iter().map(|host| format!("{}:{AGENT}", lab.hosts[*host].address)).collect();
    let mut command = lab.cli(&["status", "--output", "json"]);
    let asked = command.env("DEPLOYINATOR_AGENTS", agents.join(",")).output();
    let said =
        tokio::time::timeout(Duration::from_secs(30), asked).await.context("status does not end")??;
    let words = || String::from_utf8_lossy(&said.stderr).into_owned();
    serde_json::from_slice(&said.stdout).with_context(words)
}

/// All hosts but this one.
fn all_but(lab: &Lab, host: usize) -> Vec<usize> {
    (0..lab.hosts.len()).filter(|other| *other != host).collect()
}

fn number(lab: &Lab, host: usize) -> u8 {
    lab.hosts[host].number
}

fn numbers(lab: &Lab, hosts: &[usize]) -> Vec<u8> {
    hosts.iter().map(|host| number(lab, *host)).collect()
}

/// Waits until these hosts are led by one of them, and says by which.
async fn leader_among(lab: &Lab, hosts: &[usize]) -> Result<usize> {
    let found = Cell::new(None);
    lab.wait("a leader", async |lab: &Lab| {
        let status = seen_by(lab, hosts).await?;
        let leads = |host: &&usize| status["leader"] == instance(number(lab, **host)).as_str();
        found.set(hosts.iter().find(leads).copied().filter(|_| status["stale"].is_null()));
        Ok(found.get().is_some())
    })
    .await?;
    found.get().context("a leader")
}

/// Waits until these hosts hold the rollout for one that is silent: for itself, or, where it has come through, as it counts as out.
async fn missed_by(lab: &Lab, hosts: &[usize], silent: usize) -> Result<()> {
    let name = instance(number(lab, silent));
    lab.wait(&format!("a hold that names {name}"), async |lab: &Lab| {
        let status = seen_by(lab, hosts).await?;
        let holds = status["services"][0]["holds"].as_array().context("holds")?;
        let names = |hold: &Value| match hold["name"].as_str() {
            Some("host_silent") => hold["host"] == name.as_str(),
            Some("budget_spent") => hold["text"].as_str().is_some_and(|text| text.contains(&name)),
            _ => false,
        };
        let fresh = status["stale"].is_null();
        ensure!(fresh && holds.iter().any(names), "fresh: {fresh}, holds: {holds:?}");
        Ok(true)
    })
    .await
}

/// Waits until the balancer sends requests to a host, whatever its agent can say to others.
async fn in_service(lab: &Lab, host: usize) -> Result<()> {
    let name = instance(number(lab, host));
    lab.wait(&format!("{name} in service"), async |lab: &Lab| {
        let targets = lab.cloud.targets(WEB).await?;
        Ok(targets.iter().any(|target| target.id == name && target.state == "healthy"))
    })
    .await
}

/// Waits for a host that is out for its change and does not lead.
async fn some_holder_but(lab: &Lab, leader: usize) -> Result<usize> {
    let found = Cell::new(leader);
    lab.wait("a host that is out and does not lead", async |lab: &Lab| {
        found.set(some_holder(lab).await?);
        Ok(found.get() != leader)
    })
    .await?;
    Ok(found.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_a_leader_and_a_holder_that_are_cut_off_hold_the_rollout_and_cost_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let everybody: Vec<usize> = (0..lab.hosts.len()).collect();
        let unheard = lab.release(&Recipe::good("unheard"))?;
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        begin(lab, "cut-off").await?;
        some_holder(lab).await?;
        // The leader: the others elect one of them, who waits for it. It knows itself that it leads nobody, and takes nothing.
        let leader = leader_among(lab, &everybody).await?;
        let rest = all_but(lab, leader);
        lab.net.cut_off(number(lab, leader), &numbers(lab, &rest))?;
        leader_among(lab, &rest).await?;
        lab.wait("the leader that is cut off says that it is", async |lab: &Lab| {
            Ok(!seen_by(lab, &[leader]).await?["stale"].is_null())
        })
        .await?;
        let mut push = lab.cli(&["push", &unheard, "--service", WEB, "--wait", "--timeout", "3s"]);
        push.env("DEPLOYINATOR_AGENTS", format!("{}:{AGENT}", lab.hosts[leader].address));
        let said = push.output().await.context("push to who is cut off")?;
        ensure!(said.status.code() == Some(69), "it took a push: {said:?}");
        missed_by(lab, &rest, leader).await?;
        lab.net.heal()?;
        // The holder: it finishes alone what it was granted, and nobody goes on without it.
        let leader = leader_among(lab, &everybody).await?;
        let holder = some_holder_but(lab, leader).await?;
        let rest = all_but(lab, holder);
        lab.net.cut_off(number(lab, holder), &numbers(lab, &rest))?;
        missed_by(lab, &rest, holder).await?;
        in_service(lab, holder).await?;
        lab.net.heal()?;
        completed(lab, "cut-off").await?;
        traffic.end(lab, "leader and holder cut off", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_cables_that_carry_one_way_or_flap_hold_the_rollout_and_cost_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let everybody: Vec<usize> = (0..lab.hosts.len()).collect();
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        begin(lab, "one-way").await?;
        some_holder(lab).await?;
        // A leader that hears everybody, and that nobody hears.
        let leader = leader_among(lab, &everybody).await?;
        let rest = all_but(lab, leader);
        for other in numbers(lab, &rest) {
            lab.net.cut_one_way(number(lab, leader), other)?;
        }
        leader_among(lab, &rest).await?;
        missed_by(lab, &rest, leader).await?;
        lab.net.heal()?;
        // A holder that would be heard, and that hears nobody.
        let leader = leader_among(lab, &everybody).await?;
        let holder = some_holder_but(lab, leader).await?;
        let rest = all_but(lab, holder);
        for other in numbers(lab, &rest) {
            lab.net.cut_one_way(other, number(lab, holder))?;
        }
        missed_by(lab, &rest, holder).await?;
        lab.net.heal()?;
        // A leader whose cable comes and goes, about as fast as leaders are elected.
        let leader = leader_among(lab, &everybody).await?;
        let rest = numbers(lab, &all_but(lab, leader));
        let status = lab.status().await?;
        ensure!(
            !status["services"][0]["active"].is_null(),
            "the rollout is over before its leader's cable flaps"
        );
        for _ in 0..6 {
            lab.net.cut_off(number(lab, leader), &rest)?;
            sleep(Duration::from_millis(1_500)).await;
            lab.net.heal()?;
            sleep(Duration::from_millis(700)).await;
        }
        completed(lab, "one-way").await?;
        traffic.end(lab, "one way and flapping", lab.hosts.len() - 1, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_cables_that_lose_a_fifth_cost_time_and_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        lab.net.lose(20)?;
        let lossy = lab.release(&Recipe::good("lossy"))?;
        expect(lab, &lossy, TWO_SLOTS, 0).await?;
        let lost = lab.net.lost()?;
        ensure!(0 < lost, "no frame was lost");
        println!("figures: a fifth is lost: {lost} frames");
        lab.net.heal()?;
        traffic.end(lab, "a fifth is lost", lab.hosts.len() - 2, began.elapsed()).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_slow_cables_cost_time_and_no_request() -> Result<()> {
    play(async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let began = Instant::now();
        // From host to host it is two cables.
        let delay = Duration::from_millis(100);
        let numbers = lab.hosts.iter().map(|host| host.number);
        let slow = numbers.map(|number| lab.net.slow_down(number, delay)).collect::<Result<Vec<_>>>()?;
        lab.wait("a way by slow cables", async |lab: &Lab| {
            let asked = Instant::now();
            TcpStream::connect((lab.hosts[0].address, AGENT)).await.context("connect")?;
            ensure!(2 * delay <= asked.elapsed(), "nothing is slow");
            Ok(true)
        })
        .await?;
        let slowly = lab.release(&Recipe::good("slowly"))?;
        expect(lab, &slowly, TWO_SLOTS, 0).await?;
        drop(slow);
        traffic.end(lab, "200 ms from host to host", lab.hosts.len() - 2, began.elapsed()).await
    })
    .await
}
