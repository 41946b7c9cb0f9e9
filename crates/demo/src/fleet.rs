//! A fleet on loopback: real agents as processes, each with an address of its own, and the local balancer in front.

mod agent;
mod configuration;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use api::v1::{StatusRequest, StatusResponse, deployinator_client::DeployinatorClient};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

pub use self::agent::Agent;
use crate::cloud::{self, Account};
pub use crate::programs::Programs;

/// Port of every agent; each has an address of its own.
pub const AGENT_PORT: u16 = 7100;
/// Port at which the others reach an agent that stands behind a proxy.
pub const PROXY_PORT: u16 = 7101;
/// Port of the service on every host.
pub const SERVICE_PORT: u16 = 8100;
/// The service.
pub const SERVICE: &str = "web";

/// What a fleet is like.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// How many hosts.
    pub hosts: usize,
    /// The admin API of the balancer; a headless service without.
    pub balancer: Option<String>,
    /// The account that the hosts are instances of; without one they are listed in their configuration.
    pub account: Option<Account>,
    /// Lines to add to the configuration of every host.
    pub extra: String,
    /// Lines to add to the section `agent` of every host.
    pub agent: String,
    /// Lines to add to the service of every host.
    pub service: String,
}

/// A fleet on loopback. Dropping it kills the agents; [`crate::reaper`] ends what they left.
#[derive(Debug)]
pub struct Fleet {
    /// The agents, by the number of their host.
    pub agents: Vec<Agent>,
    programs: Programs,
    dir: PathBuf,
    shape: Shape,
    net: [u8; 2],
    /// Where every agent is reached by the others.
    port: u16,
}

impl Fleet {
    /// Writes the configurations below `dir`; nothing is started yet. Addresses are drawn, so that fleets do not meet.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(dir: &Path, shape: &Shape, programs: Programs) -> Result<Self> {
        Self::reached_at(AGENT_PORT, dir, shape, programs)
    }

    /// A fleet whose agents reach each other at [`PROXY_PORT`] of each address, where somebody has to pass on what they say.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn proxied(dir: &Path, shape: &Shape, programs: Programs) -> Result<Self> {
        Self::reached_at(PROXY_PORT, dir, shape, programs)
    }

    fn reached_at(port: u16, dir: &Path, shape: &Shape, programs: Programs) -> Result<Self> {
        ensure!((1..=200).contains(&shape.hosts), "a fleet has 1 to 200 hosts, not {}", shape.hosts);
        let net = [rand::random_range(1..=250), rand::random_range(0..=250)];
        let mut fleet =
            Self { agents: Vec::new(), programs, dir: dir.to_owned(), shape: shape.clone(), net, port };
        let all: Vec<usize> = (1..=shape.hosts).collect();
        fleet.agents = all.iter().map(|number| fleet.configure(*number, &all)).collect::<Result<_>>()?;
        Ok(fleet)
    }

    /// Adds a host that knows all the others, which do not know it. It is not started yet.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub fn add(&mut self) -> Result<usize> {
        self.add_knowing(&(0..self.agents.len()).collect::<Vec<_>>())
    }

    /// Adds a host whose inventory lists only these others, and itself. It is not started yet.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub fn add_knowing(&mut self, others: &[usize]) -> Result<usize> {
        let number = self.agents.len() + 1;
        let listed: Vec<usize> = others.iter().map(|other| other + 1).chain([number]).collect();
        let agent = self.configure(number, &listed)?;
        self.agents.push(agent);
        Ok(self.agents.len() - 1)
    }

    /// Writes the configuration of host `number`, which lists these hosts.
    fn configure(&self, number: usize, listed: &[usize]) -> Result<Agent> {
        let expected = self.shape.hosts.min(listed.len());
        let [second, third] = self.net;
        let address = |number: usize| {
            IpAddr::V4(Ipv4Addr::new(127, second, third, u8::try_from(10 + number).unwrap_or(250)))
        };
        let hosts: Vec<(String, SocketAddr)> = listed
            .iter()
            .map(|number| (self.name(*number), SocketAddr::new(address(*number), self.port)))
            .collect();
        let (host, ip) = (self.name(number), address(number));
        let advertised = SocketAddr::new(ip, self.port);
        let config = self.dir.join(format!("{host}.toml"));
        let state = self.dir.join(format!("{host}.state"));
        fs::write(&config, configuration::text(&state, &host, advertised, &hosts, expected, &self.shape))
            .with_context(|| format!("write {}", config.display()))?;
        let log = self.dir.join(format!("{host}.log"));
        let address = SocketAddr::new(ip, AGENT_PORT);
        let environment = self.shape.account.as_ref().map(|account| account.environment(address));
        let (environment, (under, program)) = (environment.unwrap_or_default(), Default::default());
        Ok(Agent { host, address, advertised, under, program, environment, config, log, state, child: None })
    }

    /// The host of this number: an instance id where the fleet is in an account.
    fn name(&self, number: usize) -> String {
        let [second, third] = self.net;
        match self.shape.account {
            Some(_) => format!("i-0{second:02x}{third:02x}{number:012x}"),
            None => format!("h{number}"),
        }
    }

    /// Starts every agent.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.agents.len()).try_for_each(|number| self.start(number))
    }

    /// Starts one agent, which must not run.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, number: usize) -> Result<()> {
        let agent = &mut self.agents[number];
        ensure!(agent.child.is_none(), "the agent of {} runs already", agent.host);
        let log =
            File::options().create(true).append(true).open(&agent.log).context("open the agent's log")?;
        let program = agent.program.as_ref().unwrap_or(&self.programs.agent);
        let mut words = agent.under.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().context("a program to run")?);
        cloud::without_own_account(&mut command);
        command.args(words).envs(agent.environment.iter().cloned());
        command.arg("run").arg("--config").arg(&agent.config).stdin(Stdio::null());
        command.stdout(log.try_clone().context("share the agent's log")?).stderr(log);
        // A group of its own: Ctrl-C is for whoever started the fleet, who stops it in order.
        command.process_group(0);
        agent.child = Some(command.spawn().with_context(|| format!("start {}", program.display()))?);
        Ok(())
    }

    /// Kills one agent with SIGKILL; what it supervises runs on.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, number: usize) -> Result<ExitStatus> {
        let agent = &mut self.agents[number];
        let mut child =
            agent.child.take().with_context(|| format!("the agent of {} does not run", agent.host))?;
        child.kill().context("kill the agent")?;
        child.wait().context("wait for the agent")
    }

    /// Ends a host for good: its agent, its keeper, its service and its disk.
    ///
    /// # Errors
    /// Its agent does not run, or its files stay.
    pub fn lose(&mut self, number: usize) -> Result<()> {
        self.kill(number)?;
        let state = &self.agents[number].state;
        crate::reaper::kill_of(state);
        fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))
    }

    /// The process of one agent.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, number: usize) -> Result<Pid> {
        let agent = &self.agents[number];
        let child =
            agent.child.as_ref().with_context(|| format!("the agent of {} does not run", agent.host))?;
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")
    }

    /// Sends a signal to one agent.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, number: usize, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid(number)?, signal)?)
    }

    /// Stops one agent with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn stop(&mut self, number: usize) -> Result<ExitStatus> {
        self.signal(number, Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let agent = &mut self.agents[number];
            let ended = agent
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()
                .context("wait for the agent")?
                .flatten();
            if let Some(status) = ended {
                agent.child = None;
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "the agent of {} did not stop within 15 s", agent.host);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether an agent ended by itself, and how.
    pub fn ended(&mut self) -> Option<(String, ExitStatus)> {
        self.agents
            .iter_mut()
            .find_map(|agent| Some((agent.host.clone(), agent.child.as_mut()?.try_wait().ok()??)))
    }

    /// How an agent ended by itself, if it did; it can be started again then.
    pub fn take_ended(&mut self, number: usize) -> Option<ExitStatus> {
        let child = &mut self.agents[number].child;
        let status = child.as_mut()?.try_wait().ok()??;
        *child = None;
        Some(status)
    }

    /// The agents' addresses, for the command line.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.address.to_string()).collect()
    }

    /// The number of the host of this name.
    #[must_use]
    pub fn number(&self, host: &str) -> Option<usize> {
        self.agents.iter().position(|agent| agent.host == host)
    }

    /// The command line, pointed at this fleet.
    #[must_use]
    pub fn cli(&self) -> Command {
        let mut command = Command::new(&self.programs.cli);
        command.env("DEPLOYINATOR_AGENTS", self.addresses().join(","));
        command
    }

    /// The status as one agent answers it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status_of(&self, number: usize) -> Result<StatusResponse> {
        let address = self.agents[number].address;
        let asked = async {
            let mut client = DeployinatorClient::connect(format!("http://{address}")).await?;
            anyhow::Ok(client.status(StatusRequest { service: None }).await?.into_inner())
        };
        timeout(Duration::from_secs(5), asked).await.with_context(|| format!("{address} did not answer"))?
    }

    /// The status, from whichever agent answers with a fresh one.
    ///
    /// # Errors
    /// None does.
    pub async fn status(&self) -> Result<StatusResponse> {
        for number in 0..self.agents.len() {
            if self.agents[number].child.is_some()
                && let Ok(status) = self.status_of(number).await
                && !status.stale
            {
                return Ok(status);
            }
        }
        bail!("no agent gave a fresh status")
    }

    /// Waits until `what` holds of the status; says what it waited for when it does not come.
    ///
    /// # Errors
    /// The deadline passed, or an agent ended.
    pub async fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        mut holds: impl FnMut(&StatusResponse) -> bool,
    ) -> Result<StatusResponse> {
        let deadline = Instant::now() + within;
        loop {
            if let Some((host, status)) = self.ended() {
                bail!(
                    "waited until {what}, but the agent of {host} ended: {status} {}\n{}",
                    status.signal().unwrap_or(0),
                    self.log_tail(&host)
                );
            }
            let status = self.status().await;
            match status {
                Ok(status) if holds(&status) => return Ok(status),
                Ok(status) if deadline < Instant::now() => {
                    bail!("waited {within:?} until {what}; the status is {status:#?}")
                }
                Err(error) if deadline < Instant::now() => {
                    return Err(error.context(format!("waited {within:?} until {what}")));
                }
                Ok(_) | Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Waits until every host has enrolled.
    ///
    /// # Errors
    /// They do not in time.
    pub async fn formed(&mut self) -> Result<()> {
        let hosts = self.agents.len();
        let all = |status: &StatusResponse| {
            status.services.iter().any(|service| service.service == SERVICE && service.hosts.len() == hosts)
        };
        self.wait_for("every host has enrolled", Duration::from_secs(60), all).await.map(drop)
    }

    /// The end of an agent's log.
    #[must_use]
    pub fn log_tail(&self, host: &str) -> String {
        let agent = self.agents.iter().find(|agent| agent.host == host);
        let text = agent.and_then(|agent| fs::read_to_string(&agent.log).ok()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            if let Some(child) = &mut agent.child {
                // One that ended by itself is as wanted.
                let _: io::Result<()> = child.kill();
                let _ = child.wait();
            }
        }
    }
}
