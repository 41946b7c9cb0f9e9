//! Blows at seeded random moments of good and bad rollouts under load. A few seeds here; `cargo xtask soak` plays more of them.
//!
//! Promise: each test takes the seed of `DEPLOYINATOR_SEED` in place of its own ones, and says which seed failed.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::v1;
use demo::releases::{Bad, Recipe};
use tests::{Blow, Dice, Disturbed, PATIENCE, Stage, Victim, Wires, policy, seeded, with_own_mounts};
use tokio::time::{Instant, sleep};

/// A release whose steps take long enough to be met by some blow.
fn release(dice: &mut Dice, bad: Option<Bad>) -> Recipe {
    Recipe {
        bad,
        start_ms: dice.pick(&[0, 200, 800]),
        migrate_ms: dice.pick(&[0, 300, 1000]),
        ballast_bytes: dice.pick(&[0, 0, 1 << 20]),
        ..Recipe::good("release-2")
    }
}

/// The policy of the tests, with time for a release that does not get healthy to be met by blows.
fn patient(dice: &mut Dice) -> v1::Policy {
    v1::Policy { healthy_deadline_ms: Some(4000), soak_ms: Some(dice.pick(&[200, 600])), ..policy() }
}

async fn blows(mut dice: Dice, bad: Option<Bad>, draw: fn(&mut Dice, usize) -> Vec<Blow>) -> Result<()> {
    let recipe = release(&mut dice, bad);
    let policy = patient(&mut dice);
    let blows = draw(&mut dice, 3);
    let (mut stage, _) = Stage::serving(3).await?;
    let mut rollout = Disturbed::push(&mut stage, recipe, policy).await?;
    // Without its keeper nobody sees a migration end, so that an operator may have to say how it did.
    rollout.migration_unseen =
        blows.iter().any(|blow| matches!(blow.victim, Victim::Keeper(_) | Victim::Both(_)));
    for blow in &blows {
        blow.deal(&mut stage).await?;
    }
    rollout.watch = stage.watch(&rollout.push);
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_a_good_rollout_change_nothing_about_its_end() -> Result<()> {
    let name = "kills_in_a_good_rollout_change_nothing_about_its_end";
    seeded(name, 1..=3, |dice| blows(dice, None, Blow::kills)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_a_bad_rollout_change_nothing_about_its_end() -> Result<()> {
    let name = "kills_in_a_bad_rollout_change_nothing_about_its_end";
    seeded(name, 1..=3, |mut dice| {
        let bad = dice.pick(&[Bad::Health, Bad::Exit, Bad::Migrate]);
        blows(dice, Some(bad), Blow::kills)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_change_nothing_about_the_end_of_a_rollout() -> Result<()> {
    let name = "freezes_change_nothing_about_the_end_of_a_rollout";
    seeded(name, 1..=1, |mut dice| {
        let bad = dice.pick(&[None, None, Some(Bad::Health), Some(Bad::Exit)]);
        blows(dice, bad, Blow::freezes)
    })
    .await
}

/// Starts agents that ended again, as the system would, for so long.
async fn revive(stage: &mut Stage, length: Duration) -> Result<()> {
    let until = Instant::now() + length;
    while Instant::now() < until {
        for number in 0..stage.fleet.agents.len() {
            if let Some(status) = stage.fleet.take_ended(number) {
                eprintln!("the agent of {} ended: {status}", stage.fleet.agents[number].host);
                stage.fleet.start(number)?;
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The same, until all of them know a leader.
async fn revive_all(stage: &mut Stage) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        revive(stage, Duration::from_millis(500)).await?;
        let mut well = 0;
        for number in 0..stage.fleet.agents.len() {
            well += usize::from(stage.fleet.status_of(number).await.is_ok_and(|status| !status.stale));
        }
        if well == stage.fleet.agents.len() {
            return Ok(());
        }
        ensure!(Instant::now() < until, "waited {PATIENCE:?} until all agents answer again");
    }
}

/// Fills one host's disk, or makes some of it read-only, for a while.
async fn spoil_a_disk(mut dice: Dice) -> Result<()> {
    let bad = dice.pick(&[None, None, Some(Bad::Health), Some(Bad::Exit), Some(Bad::Migrate)]);
    let (recipe, policy) = (release(&mut dice, bad), patient(&mut dice));
    let (mut stage, mut disks) = Stage::with_disks(3).await?;
    let mut rollout = Disturbed::push(&mut stage, recipe, policy).await?;
    rollout.migration_unseen = true;
    let hit = dice.index(3);
    sleep(dice.millis(0..=3000)).await;
    let read_only = dice.pick(&[None, None, Some(""), Some("services"), Some("releases")]);
    eprintln!("spoil the disk of h{}: {read_only:?}", hit + 1);
    match read_only {
        Some(below) => disks[hit].make_read_only(below)?,
        None => disks[hit].fill()?,
    }
    revive(&mut stage, dice.millis(200..=5000)).await?;
    disks[hit].mend()?;
    revive_all(&mut stage).await?;
    rollout.watch = stage.watch(&rollout.push);
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn spoilt_disks_change_nothing_about_the_end_of_a_rollout() -> Result<()> {
    let name = "spoilt_disks_change_nothing_about_the_end_of_a_rollout";
    with_own_mounts(name, || seeded(name, 1..=1, spoil_a_disk)).await
}

/// Cuts, mutes, parts and tears at random for some seconds, and then lets everything through.
async fn flap(mut dice: Dice, wires: &Wires) {
    for _ in 0..dice.number(4..=12) {
        let host = dice.index(3);
        match dice.number(1..=6) {
            1 => wires.cut(host),
            2 => wires.mute(host),
            3 => wires.deafen(host),
            4 => wires.part(host, (host + 1) % 3),
            5 => wires.tear(),
            _ => wires.delay(dice.millis(0..=150)),
        }
        sleep(dice.millis(100..=1200)).await;
        if dice.once_in(2) {
            wires.heal();
        }
    }
    wires.heal();
    wires.delay(Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_come_and_go_change_nothing_about_the_end_of_a_rollout() -> Result<()> {
    let name = "links_that_come_and_go_change_nothing_about_the_end_of_a_rollout";
    seeded(name, 1..=1, |mut dice| async move {
        let bad = dice.pick(&[None, None, Some(Bad::Health), Some(Bad::Exit), Some(Bad::Migrate)]);
        let (recipe, policy) = (release(&mut dice, bad), patient(&mut dice));
        let (mut stage, wires) = Stage::wired(3).await?;
        let rollout = Disturbed::push(&mut stage, recipe, policy).await?;
        flap(dice, &wires).await;
        let events = rollout.ends_as_promised(&mut stage).await?;
        ensure!(!events.is_empty(), "nothing happened");
        Ok(())
    })
    .await
}
