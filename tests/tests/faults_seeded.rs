//! Blows at seeded random moments of good and bad rollouts under load. A few seeds here; `cargo xtask soak` plays more of them.
//!
//! Promise: each test takes the seed of `DEPLOYINATOR_SEED` in place of its own ones, and says which seed failed.

use anyhow::{Result, ensure};
use api::v1;
use demo::releases::{Bad, Recipe};
use tests::{Blow, Dice, Disturbed, Stage, Victim, Wires, policy, seeded};
use tokio::time::sleep;

/// A release whose steps take long enough to be met by some blow.
fn release(dice: &mut Dice, bad: Option<Bad>) -> Recipe {
    Recipe {
        bad,
        start_ms: dice.pick(&[0, 200, 800]),
        migrate_ms: dice.pick(&[0, 300, 1000]),
        ballast_bytes: dice.pick(&[0, 0, 8 << 20]),
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
    rollout.keepers_die = blows.iter().any(|blow| matches!(blow.victim, Victim::Keeper(_) | Victim::Both(_)));
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
    wires.delay(std::time::Duration::ZERO);
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
