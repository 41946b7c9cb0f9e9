//! Clients: each asks for one thing after the other, of whom it thinks to lead.

use tokio::time::{Instant, sleep};

use super::{
    history::{Call, Seen},
    journal::{Append, break_promise},
    world::{Up, World},
};
use crate::ProposeError;

/// Asks until it is time to end.
pub(super) async fn client(world: World, until: Instant) {
    while Instant::now() < until {
        sleep(world.chance.millis(5..=150)).await;
        let Some(up) = (if world.chance.percent(80) { world.some_leader() } else { anybody(&world) }) else {
            continue;
        };
        if world.chance.percent(60) {
            append(&world, &up).await;
        } else {
            read(&world, &up).await;
        }
    }
}

fn anybody(world: &World) -> Option<Up> {
    let up = world.up();
    (!up.is_empty()).then(|| world.chance.pick(&up))
}

/// Appends a number of its own. It never asks again: whoever does must be known by the machine, and here none is.
pub(super) async fn append(world: &World, up: &Up) -> bool {
    let (asked, within) = (world.step(), world.chance.millis(100..=3000));
    let number = asked;
    let seen = match up.answers(up.node.propose(Append(number), within)).await {
        Some(Ok((revision, place))) => {
            let state = up.node.state().borrow().clone();
            if state.newest < revision || state.entries.get(place - 1) != Some(&number) {
                break_promise(format!("{} acknowledged {number}, and does not show it", up.name));
            }
            world.meet("appended");
            Seen::Appended { number, place }
        }
        None => Seen::Open { number },
        Some(Err(error)) if error.leaves_open() => {
            world.meet("left open");
            Seen::Open { number }
        }
        Some(Err(ProposeError::Stopped { .. })) => {
            world.check_runs(up);
            Seen::Refused { number }
        }
        Some(Err(_)) => {
            world.meet("refused");
            Seen::Refused { number }
        }
    };
    let acknowledged = matches!(seen, Seen::Appended { .. });
    world.called(Call { asked, answered: world.step(), seen });
    acknowledged
}

/// Reads all, of a leader that has confirmed that it is one.
async fn read(world: &World, up: &Up) {
    let (asked, within) = (world.step(), world.chance.millis(100..=2000));
    if up.answers(up.node.confirm_leader(within)).await == Some(true) {
        let state = up.node.state().borrow().clone();
        let seen = Seen::Read { length: state.entries.len(), last: state.entries.last().copied() };
        world.called(Call { asked, answered: world.step(), seen });
        world.meet("read");
    }
}
