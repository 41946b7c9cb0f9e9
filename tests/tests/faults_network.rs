//! Networks that fail between the agents: the rollout goes on when they are whole again, and keeps its word. Nobody's request fails.

use std::time::Duration;

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::{Bad, Recipe};
use tests::{Disturbed, Stage, Wires, host, policy, web, within};

/// A release whose probing lasts long enough to be met.
fn slow() -> Recipe {
    Recipe { start_ms: 1200, ..Recipe::good("release-2") }
}

/// Pushes to a fleet of three, does something to its leader in the middle, and has it healed when another one leads.
async fn the_leader_is_lost_by(what: fn(&Wires, usize)) -> Result<()> {
    let (mut stage, wires) = Stage::wired(3).await?;
    let leader = stage.leader().await?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    rollout.watch.until_phase(HostPhase::Probing).await?;
    what(&wires, leader);
    stage.another_leads(leader).await?;
    wires.heal();
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_replaced_and_the_rollout_goes_on() -> Result<()> {
    the_leader_is_lost_by(Wires::cut).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hears_and_is_not_heard_is_replaced_and_the_rollout_goes_on() -> Result<()> {
    the_leader_is_lost_by(Wires::mute).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_heard_and_does_not_hear_is_replaced_and_the_rollout_goes_on() -> Result<()> {
    the_leader_is_lost_by(Wires::deafen).await
}

/// Pushes to a fleet of three and cuts the holder off while it probes; waits until its service is on `ends_on`, all alone, and a hold
/// names it.
async fn the_holder_is_cut_off(recipe: Recipe) -> Result<()> {
    let bad = recipe.bad.is_some();
    let (mut stage, wires) = Stage::wired(3).await?;
    let before = stage.answers().await?.pop().context("a host")?;
    let policy = v1::Policy { healthy_deadline_ms: Some(2500), ..policy() };
    let mut rollout = Disturbed::push(&mut stage, recipe, policy).await?;
    let holder = rollout.watch.until_phase(HostPhase::Probing).await?;
    let number = stage.number(&holder)?;
    wires.cut(number);
    let witness = stage.other_than(&[number])?;
    let named = |status: &v1::StatusResponse| {
        let silent = |hold: &v1::Hold| hold.name == "host_silent" && hold.host.as_deref() == Some(&*holder);
        !status.stale && web(status).is_some_and(|web| web.holds.iter().any(silent))
    };
    let status = stage.wait_at(witness, "a hold names the holder that was cut off", named).await?;
    let slots = web(&status).and_then(|web| web.slots.clone()).context("slots")?;
    assert_eq!(slots.holders, std::slice::from_ref(&holder), "nobody else has a slot");
    let last = if bad { before } else { rollout.release()? };
    let ip = stage.fleet.agents[number].address.ip();
    within("the holder has finished alone", async || tests::answer(ip).await.ok().filter(|now| *now == last))
        .await?;
    wires.heal();
    rollout.ends_as_promised(&mut stage).await?;
    let status = stage.fleet.status().await?;
    assert!(host(&status, &holder).is_some_and(|host| host.change.is_none()), "{status:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_finishes_under_its_own_grant() -> Result<()> {
    the_holder_is_cut_off(slow()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_with_a_bad_release_reverts_under_its_own_grant() -> Result<()> {
    the_holder_is_cut_off(Recipe { bad: Some(Bad::Health), ..Recipe::good("release-2") }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_milliseconds_on_every_way_slow_a_rollout_and_break_nothing() -> Result<()> {
    let (mut stage, wires) = Stage::wired(3).await?;
    wires.delay(Duration::from_millis(200));
    let policy = v1::Policy { max_unavailable: Some(2), ..policy() };
    let rollout = Disturbed::push(&mut stage, Recipe::good("release-2"), policy).await?;
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}
