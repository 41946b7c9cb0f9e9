//! Services that say when they are ready, and some that do not behave.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::Recipe;
use tests::{PATIENCE, Stage, answer, host, policy};

/// Pushes a release that fails on its canary; why it did.
async fn reason(stage: &Stage, recipe: &Recipe) -> Result<String> {
    let source = stage.release(recipe)?;
    let push = stage.push(&source, v1::Policy { healthy_deadline_ms: Some(1500), ..policy() }).await?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!(ended.exit_code, 1, "{ended:#?}");
    let failed = watch.events.iter().find(|event| event.kind == "host_failed");
    Ok(failed.with_context(|| format!("a host failed:{}", watch.seen()))?.text.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_waits_until_the_service_says_that_it_is_ready() -> Result<()> {
    let mut stage = Stage::set_with(1, "ready = \"notify\"\n").await?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    stage.serve(&Recipe { first: "export DEMO_READY_MS=300".into(), ..Recipe::good("release-1") }).await?;
    let never = Recipe { first: "export DEMO_READY_MS=600000".into(), ..Recipe::good("release-2") };
    let reason = reason(&stage, &never).await?;
    let said = "the service has not said READY=1 yet (STATUS: warming up)";
    assert!(reason.contains(said), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_goes_to_the_background_is_told_to_stay_in_the_foreground() -> Result<()> {
    let (stage, _) = Stage::serving(1).await?;
    let forks = Recipe { first: "export DEMO_FORK=1".into(), ..Recipe::good("release-2") };
    let reason = reason(&stage, &forks).await?;
    let said = "exited with code 0; it left 1 process behind: bin/serve must stay in the foreground";
    assert!(reason.contains(said), "{reason}");
    Ok(())
}

/// Whether the last probe of the first host passed, and why it did not.
fn probed(status: &v1::StatusResponse) -> Option<(bool, String)> {
    let probe = host(status, "h1")?.health.as_ref()?.probe.clone()?;
    Some((probe.passed, probe.reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_opens_late_is_waited_for_and_status_says_so() -> Result<()> {
    let (mut stage, _) = Stage::serving(1).await?;
    let source = stage.release(&Recipe { start_ms: 4_000, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    watch.until_phase(HostPhase::Probing).await?;
    let refused = |status: &v1::StatusResponse| {
        probed(status).is_some_and(|(passed, why)| !passed && why.contains("connection refused"))
    };
    let status = stage.fleet.wait_for("status says why it is not healthy yet", PATIENCE, refused).await?;
    let waits_for = host(&status, "h1").map(|host| host.waits_for.clone()).unwrap_or_default();
    assert!(waits_for.starts_with("the probe to pass, for "), "{waits_for}");
    let ended = watch.ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}{}", watch.seen());
    stage.all_on(&push.release.context("a release")?.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_closes_its_port_while_it_soaks_is_taken_back() -> Result<()> {
    let (mut stage, first) = Stage::serving(2).await?;
    let closes = Recipe { first: "export DEMO_CLOSE_MS=4000".into(), ..Recipe::good("release-2") };
    let push = stage.push(&stage.release(&closes)?, v1::Policy { soak_ms: Some(20_000), ..policy() }).await?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!(
        (ended.outcome(), ended.exit_code),
        (v1::Outcome::RolledBack, 1),
        "{ended:#?}{}",
        watch.seen()
    );
    let failed = watch.events.iter().find(|event| event.kind == "host_failed").context("a host failed")?;
    let reasons = ["the probe failed again after it had passed", "left service while soaking"];
    assert!(reasons.iter().any(|reason| failed.text.contains(reason)), "{failed:#?}");
    let release = first.release.context("a release")?.id;
    stage.all_on(&release).await?;
    assert_eq!(stage.answers().await?, [release.clone(), release]);
    // It is condemned: pushed again it is refused.
    let again = stage.push_at(0, &stage.release(&closes)?, Some(policy())).await?;
    assert_eq!(again.err().as_ref().and_then(tests::exit_of), Some(5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_closes_its_port_long_after_its_rollout_is_told_as_not_healthy() -> Result<()> {
    let closes = Recipe { first: "export DEMO_CLOSE_MS=12000".into(), ..Recipe::good("release-1") };
    let (mut stage, first) = Stage::serving_this(1, &closes).await?;
    let release = first.release.context("a release")?.id;
    stage.all_on(&release).await?;
    let ip = stage.fleet.agents[0].address.ip();
    let before = stage.pids().await?;
    let sick = |status: &v1::StatusResponse| {
        let out =
            host(status, "h1").is_some_and(|host| host.availability == i32::from(v1::Availability::Out));
        out && probed(status).is_some_and(|(passed, why)| !passed && why.contains("connection refused"))
    };
    let status = stage.fleet.wait_for("status says that it is not healthy, and why", PATIENCE, sick).await?;
    let trouble = host(&status, "h1").map(|host| host.trouble.clone()).unwrap_or_default();
    assert!(trouble.contains("connection refused"), "{trouble}");
    assert!(answer(ip).await.is_err(), "its port is closed");
    assert_eq!(stage.pids().await?, before, "it is left alone: what becomes of it is an operator's choice");
    Ok(())
}
