//! Rollouts from push to end: good ones, bad ones, and what each leaves behind.

use anyhow::{Context, Result};
use api::v1;
use demo::releases::Recipe;
use tests::{Stage, policy};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_rolls_under_load_without_a_failed_request() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let before = stage.pids().await?;
    let balancer = stage.balancer.as_ref().context("a balancer")?;
    balancer.reset_counters("web");
    let load = stage.load()?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let release = push.release.clone().context("a release")?.id;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    stage.all_on(&release).await?;
    let totals = load.stop().await;

    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(totals.releases.contains_key(&release), "{totals:#?}");
    assert_eq!(stage.migrations_of("release-2"), 1);
    assert_eq!(stage.answers().await?, vec![release; 3]);
    let after = stage.pids().await?;
    assert!(before.iter().all(|(host, pid)| after[host] != *pid), "{before:?} {after:?}");
    let starts = watch.events.iter().filter(|event| matches!(&event.detail, Some(v1::event::Detail::HostMoved(moved)) if moved.to() == v1::HostPhase::Starting));
    assert_eq!(starts.count(), 3, "each host starts once:{}", watch.seen());
    let counters = stage.balancer.as_ref().context("a balancer")?.counters("web");
    assert!(2 <= counters.in_service_min, "{counters:?}");
    Ok(())
}
