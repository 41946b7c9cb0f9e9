//! Services that say when they are ready, and some that do not behave.

use anyhow::{Context, Result};
use api::v1;
use demo::releases::Recipe;
use tests::{Stage, policy};

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
