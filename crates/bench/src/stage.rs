//! A fleet that is measured: real agents, a balancer of ours in this process, and releases to push.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use api::v1::{self, deployinator_client::DeployinatorClient, watch_response::Item};
use demo::{
    fleet::{Fleet, SERVICE, Shape},
    programs::Programs,
    reaper,
    releases::{self, Recipe},
    timeline::Mark,
};
use localbalancer::{Change, GroupOptions, Options, Server};
use tokio::time::timeout;
use tonic::transport::Channel;

/// Longest wait for a rollout to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fleet that is measured. Dropping it ends every process of it, and removes every file.
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) balancer: Server,
    programs: Programs,
    dir: tempfile::TempDir,
}

/// Times that the service takes by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Service {
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
}

/// A rollout that has completed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rolled {
    /// When the push was sent.
    pub(crate) pushed: SystemTime,
    /// When its end was heard of.
    pub(crate) ended: SystemTime,
    /// Its number.
    pub(crate) id: u64,
}

impl Rolled {
    /// From the push to the end.
    pub(crate) fn took(&self) -> Duration {
        since(self.pushed, self.ended)
    }
}

/// From one time to a later one; zero where it is not later.
pub(crate) fn since(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

impl Stage {
    /// A fleet that has formed; it runs nothing yet.
    pub(crate) async fn formed(below: &Path, shape: Shape) -> Result<Self> {
        let mut stage = Self::set(below, shape, Fleet::new).await?;
        stage.form().await?;
        Ok(stage)
    }

    /// A fleet that is not started yet, and whose agents reach each other only through somebody in between.
    pub(crate) async fn proxied(below: &Path, shape: Shape) -> Result<Self> {
        Self::set(below, shape, Fleet::proxied).await
    }

    /// Starts a fleet, and waits until it has formed.
    pub(crate) async fn form(&mut self) -> Result<()> {
        self.fleet.start_all()?;
        self.fleet.formed().await
    }

    async fn set(
        below: &Path,
        shape: Shape,
        fleet: fn(&Path, &Shape, Programs) -> Result<Fleet>,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("deployinator-bench-").tempdir_in(below);
        let dir = dir.with_context(|| format!("make a directory below {}", below.display()))?;
        let programs = Programs::find()?;
        let groups = GroupOptions { health_interval: Duration::from_millis(50), ..GroupOptions::default() };
        let balancer = Server::start(Options { groups, ..Options::default() }).await;
        let balancer = balancer.context("start the balancer")?;
        let shape = Shape { balancer: Some(balancer.admin_url()), ..shape };
        let fleet = fleet(dir.path(), &shape, programs.clone())?;
        Ok(Self { fleet, balancer, programs, dir })
    }

    /// Where the programs are.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Where the fleet keeps its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn timeline_file(&self) -> PathBuf {
        self.dir.path().join("timeline")
    }

    /// What the service says of itself.
    pub(crate) fn timeline(&self) -> Result<Vec<Mark>> {
        Mark::read(&self.timeline_file()).context("read the service's own account")
    }

    /// What the balancer says of its targets.
    pub(crate) fn standings(&self) -> Vec<Change> {
        self.balancer.changes(SERVICE)
    }

    /// Writes a release of this name.
    pub(crate) fn release(&self, name: &str, service: Service) -> Result<String> {
        let start_ms = u64::try_from(service.start.as_millis())?;
        let first = format!(
            "export DEMO_TIMELINE='{}' DEMO_STOP_MS={}",
            self.timeline_file().display(),
            service.stop.as_millis()
        );
        let recipe = Recipe { start_ms, first, ..Recipe::good(name) };
        let (dir, runs) = (self.dir.path().join("pushed"), self.dir.path().join("migrations"));
        let path =
            releases::write(&dir, &recipe, &self.programs.service, &runs).context("write a release")?;
        Ok(path.display().to_string())
    }

    /// A connection to one agent, as a caller keeps it.
    pub(crate) async fn client(&self, number: usize) -> Result<DeployinatorClient<Channel>> {
        let address = self.fleet.agents[number].address;
        let client = DeployinatorClient::connect(format!("http://{address}")).await;
        let client = client.with_context(|| format!("connect to {address}"))?;
        Ok(client.max_decoding_message_size(api::MESSAGE_LIMIT_BYTES))
    }

    /// Pushes a release through one agent.
    pub(crate) async fn push(
        &self,
        client: &mut DeployinatorClient<Channel>,
        source: &str,
        policy: &v1::Policy,
    ) -> Result<v1::PushResponse> {
        let by = Some(v1::Operator { name: "bench".into(), reason: String::new() });
        let policy = Some(*policy);
        let request =
            v1::PushRequest { service: SERVICE.into(), source: source.into(), policy, by, provenance: None };
        Ok(client.push(request).await.with_context(|| format!("push {source}"))?.into_inner())
    }

    /// Pushes a release through one agent and waits there until its rollout has completed.
    pub(crate) async fn roll(&self, number: usize, source: &str, policy: &v1::Policy) -> Result<Rolled> {
        let mut client = self.client(number).await?;
        let pushed = SystemTime::now();
        let push = self.push(&mut client, source, policy).await?;
        let code = self.ended(&mut client, &push).await?;
        let ended = SystemTime::now();
        ensure!(code == 0, "rollout {} of {source} ended with exit code {code}", push.rollout);
        Ok(Rolled { pushed, ended, id: push.rollout })
    }

    /// Waits until a rollout has ended; its exit code.
    pub(crate) async fn ended(
        &self,
        client: &mut DeployinatorClient<Channel>,
        push: &v1::PushResponse,
    ) -> Result<u32> {
        let request =
            v1::WatchRequest { service: SERVICE.into(), rollout: Some(push.rollout), after: push.after };
        let watch = async {
            let mut stream = client.watch(request).await?.into_inner();
            while let Some(answer) = stream.message().await? {
                if let Some(Item::Ended(ended)) = answer.item {
                    return Ok(ended.exit_code);
                }
            }
            anyhow::bail!("the watch of rollout {} broke off", push.rollout)
        };
        let ended = timeout(PATIENCE, watch).await;
        ended.with_context(|| format!("waited {PATIENCE:?} until rollout {} ended", push.rollout))?
    }
}

/// Waits as short as possible; `slots` hosts at once, the first wave as large.
pub(crate) fn policy(slots: u32, soak: Duration) -> v1::Policy {
    v1::Policy {
        max_unavailable: Some(slots),
        canary: Some(slots),
        soak_ms: u64::try_from(soak.as_millis()).ok(),
        ..Default::default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Agents first: they would start their keepers again.
        for number in 0..self.fleet.agents.len() {
            if self.fleet.agents[number].runs() {
                // One that has ended by itself is as wanted.
                let _ = self.fleet.kill(number);
            }
        }
        reaper::kill_of(self.dir.path());
    }
}
