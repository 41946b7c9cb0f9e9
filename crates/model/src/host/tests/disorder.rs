//! Everything at once, under one seed: bad releases, crashes, reboots, a balancer that comes and goes, a fleet that is cut off.
//! The world itself asserts P4 at every stop, start and join.

use super::{
    process::{Behaviour, GOOD},
    *,
};

/// A small generator, so that a failure is replayed by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn behaviour(&mut self) -> Behaviour {
        match self.below(5) {
            0 => Behaviour { healthy: None, ..GOOD },
            1 => Behaviour { in_service: None, ..GOOD },
            2 => Behaviour { exits: Some((Duration::from_millis(self.below(9_000)), 1)), ..GOOD },
            _ => GOOD,
        }
    }
}

fn disturb(world: &mut World, dice: &mut Dice) {
    match dice.below(8) {
        0 => world.crash(),
        1 => world.reboot(),
        2 => world.api_down_until = world.now + secs(dice.below(400)),
        3 => world.cut_off = !world.cut_off,
        4 => world.exit_now(),
        5 => world.drain = secs(dice.below(30)),
        6 => {
            let given = world.assignment.change.clone();
            if let Some(mut given) = given.filter(|given| given.phase < PhaseKind::Reverting) {
                given.revert = true;
                world.grant(given);
            }
        }
        _ => world.crash_at = Some(world.effects + usize::try_from(dice.below(30)).unwrap()),
    }
    world.run(Duration::from_millis(dice.below(20_000)));
}

fn disorder(seed: u64) {
    let mut dice = Dice(seed);
    let setup = [HEADFUL, HEADFUL, HEADLESS][usize::try_from(dice.below(3)).unwrap()];
    let mut world = serving(setup, Some("a"));
    for round in 0..4 {
        let to = ["a", "b", "c"][usize::try_from(dice.below(3)).unwrap()];
        let bad = dice.behaviour();
        world.behaves(to, bad);
        let from = world.assignment.current.clone();
        world.grant(grant(10 + round, from.as_ref().map(|release| release.id.as_str()), Some(to)));
        for _ in 0..dice.below(12) {
            disturb(&mut world, &mut dice);
        }
        // The faults stop, and all that ran into trouble may recover.
        (world.cut_off, world.crash_at, world.drain) = (false, None, secs(3));
        world.api_down_until = world.now;
        world.run(secs(600));
        for id in ["a", "b", "c"] {
            world.behaves(id, GOOD);
        }
        world.exit_now();
        world.crash();
        let settled = world.run_until(secs(900), |world| {
            world.assignment.change.is_none() && world.host.ledger().change.is_none()
        });
        let what = format!("seed {seed}, round {round}: {:?}", world.host.sighting(world.now));
        assert!(settled, "never settled; {what}");
        world.run(secs(120));
        let serving = world.host.ledger().serving.clone();
        assert_eq!(world.running(), serving.as_ref().map(|release| release.id.as_str()), "{what}");
        assert_eq!(world.assignment.current, serving, "the fleet believes otherwise; {what}");
        assert_eq!(world.assignment.availability, Availability::In, "{what}");
    }
}

#[test]
fn whatever_happens_the_host_ends_in_service_and_the_fleet_knows_with_what() {
    for seed in 0..80 {
        disorder(seed);
    }
}
