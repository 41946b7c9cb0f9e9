//! Hosts whose clocks are hours apart, of day and since boot: nothing is decided by the one, and no moment of the other leaves its host.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::{Bad, Recipe};
use rustix::process::Signal;
use tests::{Disturbed, PATIENCE, Stage, ahead_by_secs, keeper_of, policy, service_pid, signal, web, within};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_are_hours_apart_roll_like_any_others() -> Result<()> {
    let (Some(one), Some(two)) = (ahead_by_secs(3_600)?, ahead_by_secs(7_200)?) else { return Ok(()) };
    let clocks = vec![(one, -HOUR_MS), (Vec::new(), 0), (two, HOUR_MS)];
    let mut stage = Stage::with_clocks(clocks).await?;

    // Whoever leads goes, so that another one counts on, by its own clock.
    let policy = v1::Policy { wave_soak_ms: Some(500), ..policy() };
    let recipe = Recipe { start_ms: 600, ..Recipe::good("release-2") };
    let mut rollout = Disturbed::push(&mut stage, recipe, policy).await?;
    rollout.watch.until_phase(HostPhase::Probing).await?;
    let leader = stage.leader().await?;
    stage.fleet.kill(leader)?;
    stage.another_leads(leader).await?;
    stage.fleet.start(leader)?;
    rollout.ends_as_promised(&mut stage).await?;

    // What started is found again, by when it started.
    let agent = &stage.fleet.agents[0];
    let (keeper, pid) = (keeper_of(agent)?, service_pid(agent)?);
    signal(keeper, Signal::KILL)?;
    within("another keeper has the service", async || keeper_of(agent).ok().filter(|now| *now != keeper))
        .await?;
    assert_eq!(stage.pids().await?["h1"], pid);

    let bad = Recipe { bad: Some(Bad::Health), ..Recipe::good("release-3") };
    let policy = v1::Policy { healthy_deadline_ms: Some(3000), ..policy };
    let mut rollout = Disturbed::push(&mut stage, bad, policy).await?;
    rollout.watch.until_phase(HostPhase::Probing).await?;
    let status = stage.fleet.status().await?;
    let web = web(&status).context("the service")?;
    let most = u64::try_from(PATIENCE.as_millis())?;
    assert!(web.holds.iter().all(|hold| hold.lasted_ms < most), "no hold lasts for hours: {:#?}", web.holds);
    assert!(
        web.hosts.iter().all(|host| host.silent_ms.is_none_or(|silent| silent < most)),
        "{:#?}",
        web.hosts
    );
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}
