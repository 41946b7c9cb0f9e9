//! The keeper on real processes, and the contract that it shares with its fake.
//!
//! The keeper and the agent that these tests kill are this very program, run again as one of the two ignored tests below.

mod accounts;
mod adoption;
mod cgroups;
mod contract;
mod limits;
mod logs;
mod migrations;
mod misbehaving;
mod protocol;
mod readiness;
mod replaced;
mod service;
mod stops;
mod world;

/// A keeper, when [`world::World`] runs this program again.
#[test]
#[ignore = "is run by other tests, as their keeper"]
fn keeper_process() {
    if let Some(dir) = std::env::var_os(world::KEEPER_DIR)
        && let Err(error) = supervisor::keeper::run(dir.as_ref())
    {
        panic!("{}", ports::fault::Chain(&error));
    }
}

/// A service that says what it is told to, when [`world::World`] runs this program again.
#[test]
#[ignore = "is run by other tests, as the service that they listen to"]
fn speaking_process() {
    if let Some(dir) = std::env::var_os(readiness::SPEAKER_DIR) {
        readiness::speak(dir.as_ref());
    }
}

/// An agent that starts a service and hangs, when [`world::World`] runs this program again.
#[test]
#[ignore = "is run by other tests, as the agent that they kill"]
fn agent_process() {
    if let Some(dir) = std::env::var_os(world::AGENT_DIR) {
        adoption::be_an_agent(dir.as_ref());
    }
}
