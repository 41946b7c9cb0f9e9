//! What happens to agents and keepers at random moments.

use std::{fmt, time::Duration};

use anyhow::Result;
use demo::fleet::Agent;
use rustix::process::{Pid, Signal};
use tokio::time::{Instant, sleep_until};

use crate::{dice::Dice, processes, stage::Stage};

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The agent of a host. It is started again, as the system would.
    Agent(usize),
    /// The keeper of the service on a host. Its agent starts another one.
    Keeper(usize),
    /// Both.
    Both(usize),
    /// The agents of all hosts at once.
    AllAgents,
}

/// One blow: when, after the one before; to whom; and how long an agent stays down or frozen.
#[derive(Debug, Clone, Copy)]
pub struct Blow {
    /// Time since the blow before.
    pub after: Duration,
    /// Who is hit.
    pub victim: Victim,
    /// SIGKILL or SIGSTOP.
    pub deadly: bool,
    /// Time until the agent is started again, or thaws.
    pub pause: Duration,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, victim, deadly, pause } = self;
        let verb = if *deadly { "kill" } else { "freeze" };
        write!(f, "after {after:?} {verb} {victim:?} for {pause:?}")
    }
}

impl Blow {
    /// One to four kills of agents and keepers in a fleet of `hosts`.
    #[must_use]
    pub fn kills(dice: &mut Dice, hosts: usize) -> Vec<Self> {
        let count = dice.number(1..=4);
        let mut kill = || {
            let host = dice.index(hosts);
            let victim = match dice.number(1..=10) {
                1..=5 => Victim::Agent(host),
                6..=7 => Victim::Keeper(host),
                8..=9 => Victim::Both(host),
                _ => Victim::AllAgents,
            };
            Self { after: dice.millis(0..=2500), victim, deadly: true, pause: dice.millis(0..=1500) }
        };
        (0..count).map(|_| kill()).collect()
    }

    /// One to three freezes of agents in a fleet of `hosts`, some longer than every timeout.
    #[must_use]
    pub fn freezes(dice: &mut Dice, hosts: usize) -> Vec<Self> {
        let count = dice.number(1..=3);
        let mut freeze = || {
            let victim = Victim::Agent(dice.index(hosts));
            Self { after: dice.millis(0..=2000), victim, deadly: false, pause: dice.millis(50..=7000) }
        };
        (0..count).map(|_| freeze()).collect()
    }

    /// Deals it, and waits until whoever was hit is there again.
    ///
    /// # Errors
    /// An agent cannot be started, or had ended by itself.
    pub async fn deal(&self, stage: &mut Stage) -> Result<()> {
        sleep_until(Instant::now() + self.after).await;
        eprintln!("{self}");
        let hosts = match self.victim {
            Victim::Agent(host) | Victim::Both(host) => vec![host],
            Victim::Keeper(_) => Vec::new(),
            Victim::AllAgents => (0..stage.fleet.agents.len()).collect(),
        };
        if let Victim::Keeper(host) | Victim::Both(host) = self.victim {
            kill_keeper(&stage.fleet.agents[host]);
        }
        for &host in &hosts {
            if self.deadly {
                stage.fleet.kill(host)?;
            } else {
                stage.fleet.signal(host, Signal::STOP)?;
            }
        }
        sleep_until(Instant::now() + self.pause).await;
        for host in hosts {
            if self.deadly {
                stage.fleet.start(host)?;
            } else {
                stage.fleet.signal(host, Signal::CONT)?;
            }
        }
        Ok(())
    }
}

/// A host whose keeper was killed a moment ago has none, and its agent is about to start one.
fn kill_keeper(agent: &Agent) {
    let keeper: Option<Pid> = processes::keeper_of(agent).ok();
    if let Some(keeper) = keeper {
        // It may be gone by now, which is as wanted.
        let _ = processes::signal(keeper, Signal::KILL);
    }
}
