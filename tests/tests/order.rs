//! Services of one host that start after each other, once the host has booted.

use std::{fs, net::IpAddr};

use anyhow::{Context, Result};
use api::v1;
use demo::{
    fleet::{SERVICE, SERVICE_PORT},
    releases::Recipe,
};
use tests::{PATIENCE, Stage, answer, answer_at, by, client, host, policy, service_pids, within};

/// Where the second service listens.
const DB_PORT: u16 = SERVICE_PORT + 10;

/// One host with two services, `web` after `db`, and both serve.
async fn web_after_db() -> Result<(Stage, IpAddr)> {
    let mut stage = Stage::set_with(1, "after = [\"db\"]\nafter_limit = \"60s\"\n").await?;
    let agent = &stage.fleet.agents[0];
    let ip = agent.address.ip();
    let db = format!(
        "\n[service.db]\nport = {DB_PORT}\naddress = \"{ip}\"\nprobe = {{ kind = \"http\", path = \"/healthz\" }}\n\
         environment = {{ DEMO_BIND = \"{ip}\" }}\n"
    );
    let text = fs::read_to_string(&agent.config)?;
    fs::write(&agent.config, text + &db)?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    stage.serve(&Recipe::good("release-1")).await?;
    let source = stage.release(&Recipe { start_ms: 3_000, ..Recipe::good("db-1") })?;
    let request = v1::PushRequest {
        service: "db".into(),
        source,
        policy: Some(policy()),
        by: by("a test"),
        provenance: None,
    };
    client(stage.fleet.agents[0].address).await?.push(request).await?;
    within("db serves", async || answer_at(ip, DB_PORT).await.ok()).await?;
    let steady = |status: &v1::StatusResponse| {
        let db = status.services.iter().find(|service| service.service == "db");
        db.is_some_and(|db| db.active.is_none() && db.hosts.iter().all(|host| host.current.is_some()))
    };
    stage.fleet.wait_for("db's rollout is over", PATIENCE, steady).await?;
    Ok((stage, ip))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_boot_a_service_starts_once_the_one_before_it_is_healthy() -> Result<()> {
    let (mut stage, ip) = web_after_db().await?;
    let before = service_pids(&stage.fleet.agents[0]);
    assert_eq!(before.len(), 2, "{SERVICE} and db");
    stage.reboot(0)?;
    let waits = |status: &v1::StatusResponse| {
        host(status, "h1").is_some_and(|host| host.waits_for.starts_with("db to be healthy, for "))
    };
    stage.wait_at(0, "status says what it waits for", waits).await?;
    // Left to itself it would answer long before db, which takes seconds.
    within("web serves again", async || answer(ip).await.ok()).await?;
    answer_at(ip, DB_PORT).await.context("web was started before db was healthy")?;
    let after = service_pids(&stage.fleet.agents[0]);
    assert!(after.len() == 2 && !after.iter().any(|pid| before.contains(pid)), "{before:?}, {after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_started_again_without_a_boot_delays_nothing() -> Result<()> {
    let (mut stage, _) = web_after_db().await?;
    let before = service_pids(&stage.fleet.agents[0]);
    stage.fleet.kill(0)?;
    stage.fleet.start(0)?;
    let well = |status: &v1::StatusResponse| {
        let here = host(status, "h1");
        here.is_some_and(|here| {
            here.waits_for.is_empty() && here.availability == i32::from(v1::Availability::In)
        })
    };
    stage.wait_at(0, "web is in service", well).await?;
    assert_eq!(service_pids(&stage.fleet.agents[0]), before);
    Ok(())
}
