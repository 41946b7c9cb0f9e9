//! Stages whose surroundings are to be disturbed.

use anyhow::{Context, Result};
use demo::{fleet::Fleet, reaper, releases::Recipe};
use localbalancer::{Options, Server};

use super::Stage;
use crate::{disk::Disk, proxy::Wires};

impl Stage {
    /// A fleet that runs release 1 everywhere, each of whose hosts has clocks of its own: its agent runs under `under`, and takes the time of
    /// day to be `wrong_ms` later than it is.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn with_clocks(clocks: Vec<(Vec<String>, i64)>) -> Result<Self> {
        let mut stage = Self::set(clocks.len()).await?;
        for (agent, (under, wrong_ms)) in stage.fleet.agents.iter_mut().zip(clocks) {
            agent.under = under;
            agent.environment = vec![("DEPLOYINATOR_WRONG_CLOCK_MS".into(), wrong_ms.to_string())];
        }
        stage.fleet.start_all()?;
        stage.fleet.formed().await?;
        stage.serve(&Recipe::good("release-1")).await?;
        Ok(stage)
    }

    /// A fleet that runs release 1 everywhere, and whose hosts have their state on small disks of their own.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn with_disks(hosts: usize) -> Result<(Self, Vec<Disk>)> {
        let mut stage = Self::set(hosts).await?;
        let disks = stage.fleet.agents.iter().map(Disk::of).collect::<Result<_>>()?;
        stage.fleet.start_all()?;
        stage.fleet.formed().await?;
        stage.serve(&Recipe::good("release-1")).await?;
        Ok((stage, disks))
    }

    /// A host goes down with all that runs on it, and comes up: its agent is started, and finds that nothing of before means anything.
    ///
    /// # Errors
    /// The agent cannot be ended or started.
    pub fn reboot(&mut self, number: usize) -> Result<()> {
        // First the agent, and then again what it may have started while it was being ended.
        self.fleet.kill(number)?;
        reaper::kill_of(&self.fleet.agents[number].state);
        let boots = self.fleet.agents[number].environment.len();
        let boot = ("DEPLOYINATOR_BOOT_ID".to_owned(), format!("boot {boots} of a test"));
        self.fleet.agents[number].environment.push(boot);
        self.fleet.start(number)?;
        Ok(())
    }

    /// A fleet that runs release 1 everywhere, whose agents reach each other through proxies.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn wired(hosts: usize) -> Result<(Self, Wires)> {
        let balancer = Server::start(Options::default()).await.context("start the balancer")?;
        let mut stage = Self::build(hosts, Some(balancer), "", "", Fleet::proxied)?;
        let wires = Wires::between(&stage.fleet).await?;
        stage.fleet.start_all()?;
        stage.fleet.formed().await?;
        stage.serve(&Recipe::good("release-1")).await?;
        Ok((stage, wires))
    }
}
