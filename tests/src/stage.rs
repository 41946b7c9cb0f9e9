//! A fleet, a balancer in front of it and a place for releases, all of one test.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use api::v1;
use demo::{
    cloud::Cloud,
    fleet::{Fleet, Programs, SERVICE, Shape},
    load::{Load, LoadOptions},
    reaper,
    releases::{self, Recipe},
};
use localbalancer::{Options, Server};
use tokio::time::{Instant, sleep};
use tonic::Status;

mod leaders;
mod orphans;
mod scenes;

use crate::{
    asks::{by, client},
    follower::Follower,
    views,
};

/// Longest wait for anything that a test waits for, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(45);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Fast enough for tests, slow enough for a busy machine.
const TIMERS: &str = "\n[timers]\nheartbeat = \"200ms\"\nelection_min = \"800ms\"\nelection_max = \"1500ms\"\n\
                      sighting = \"250ms\"\nsilent_after = \"2s\"\n";

/// The policy of the tests: short waits. Change what a test is about.
#[must_use]
pub fn policy() -> v1::Policy {
    v1::Policy {
        max_unavailable: Some(1),
        canary: Some(1),
        soak_ms: Some(200),
        healthy_deadline_ms: Some(10_000),
        ..Default::default()
    }
}

/// A fleet, a balancer in front of it and a place for releases. Dropping it ends every process of it, and removes every file.
pub struct Stage {
    /// The agents.
    pub fleet: Fleet,
    /// In front of the fleet, unless the service is headless.
    pub balancer: Option<Server>,
    programs: Programs,
    dir: tempfile::TempDir,
}

impl Stage {
    /// A fleet behind a balancer, configured and not started.
    ///
    /// # Errors
    /// A program is missing, or the balancer cannot be started.
    pub async fn set(hosts: usize) -> Result<Self> {
        let balancer = Server::start(Options::default()).await.context("start the balancer")?;
        Self::build(hosts, Some(balancer), "", "", Fleet::new)
    }

    /// The same, with more lines in the service's configuration.
    ///
    /// # Errors
    /// A program is missing, or the balancer cannot be started.
    pub async fn set_with(hosts: usize, service: &str) -> Result<Self> {
        let balancer = Server::start(Options::default()).await.context("start the balancer")?;
        Self::build(hosts, Some(balancer), "", service, Fleet::new)
    }

    /// A fleet without a balancer, with more configuration; not started.
    ///
    /// # Errors
    /// A program is missing.
    pub fn headless(hosts: usize, extra: &str) -> Result<Self> {
        Self::build(hosts, None, extra, "", Fleet::new)
    }

    /// A fleet of instances, which are launched, and behind the load balancer of this account; no agent is started.
    ///
    /// # Errors
    /// A program is missing, or an instance cannot be launched.
    pub async fn in_cloud(hosts: usize, cloud: &Cloud, service: &str) -> Result<Self> {
        let account = Some(cloud.account());
        let shape = Shape { hosts, account, service: service.to_owned(), ..Shape::default() };
        let stage = Self::of(shape, None, "", Fleet::new)?;
        for agent in &stage.fleet.agents {
            cloud.launch(agent).await?;
        }
        Ok(stage)
    }

    fn build(
        hosts: usize,
        balancer: Option<Server>,
        extra: &str,
        service: &str,
        fleet: fn(&Path, &Shape, Programs) -> Result<Fleet>,
    ) -> Result<Self> {
        let url = balancer.as_ref().map(Server::admin_url);
        let shape = Shape { hosts, balancer: url, service: service.to_owned(), ..Shape::default() };
        Self::of(shape, balancer, extra, fleet)
    }

    fn of(
        shape: Shape,
        balancer: Option<Server>,
        extra: &str,
        fleet: fn(&Path, &Shape, Programs) -> Result<Fleet>,
    ) -> Result<Self> {
        orphans::adopt_and_clean_up_when_interrupted();
        let dir =
            tempfile::Builder::new().prefix("deployinator-test-").tempdir().context("make a directory")?;
        let programs = Programs::find()?;
        let shape = Shape { extra: format!("{TIMERS}{extra}"), ..shape };
        let fleet = fleet(dir.path(), &shape, programs.clone())?;
        Ok(Self { fleet, balancer, programs, dir })
    }

    /// A fleet behind a balancer that has formed; it runs nothing yet.
    ///
    /// # Errors
    /// It does not form.
    pub async fn formed(hosts: usize) -> Result<Self> {
        let mut stage = Self::set(hosts).await?;
        stage.fleet.start_all()?;
        stage.fleet.formed().await?;
        Ok(stage)
    }

    /// A fleet behind a balancer that runs release 1 everywhere, and what was pushed.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn serving(hosts: usize) -> Result<(Self, v1::PushResponse)> {
        Self::serving_this(hosts, &Recipe::good("release-1")).await
    }

    /// The same, with a release 1 of one's own.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn serving_this(hosts: usize, recipe: &Recipe) -> Result<(Self, v1::PushResponse)> {
        let stage = Self::formed(hosts).await?;
        let first = stage.serve(recipe).await?;
        Ok((stage, first))
    }

    /// Rolls a release out everywhere.
    ///
    /// # Errors
    /// It does not complete.
    pub async fn serve(&self, recipe: &Recipe) -> Result<v1::PushResponse> {
        let source = self.release(recipe)?;
        let push = self.push(&source, policy()).await?;
        let ended = self.watch(&push).ended().await?;
        ensure!(ended.exit_code == 0, "{} ended with {ended:#?}", recipe.name);
        Ok(push)
    }

    /// Where the test may keep files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The agent's program.
    #[must_use]
    pub fn agent_program(&self) -> &Path {
        &self.programs.agent
    }

    /// Writes a release; its path is what is pushed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn release(&self, recipe: &Recipe) -> Result<String> {
        let dir = self.dir.path().join("pushed");
        let path = releases::write(&dir, recipe, &self.programs.service, &self.runs_file(&recipe.name))
            .context("write a release")?;
        Ok(path.display().to_string())
    }

    fn runs_file(&self, release: &str) -> PathBuf {
        self.dir.path().join(format!("{release}.migrations"))
    }

    /// How often the migration of this release was run, as it counted itself.
    #[must_use]
    pub fn migrations_of(&self, release: &str) -> usize {
        releases::runs(&self.runs_file(release))
    }

    /// Pushes through the first agent that runs.
    ///
    /// # Errors
    /// It was refused, or nobody could be asked.
    pub async fn push(&self, source: &str, policy: v1::Policy) -> Result<v1::PushResponse> {
        let number =
            self.fleet.agents.iter().position(demo::fleet::Agent::runs).context("an agent that runs")?;
        Ok(self.push_at(number, source, Some(policy)).await??)
    }

    /// Pushes through one agent; the inner error is its refusal.
    ///
    /// # Errors
    /// It takes no connection.
    pub async fn push_at(
        &self,
        number: usize,
        source: &str,
        policy: Option<v1::Policy>,
    ) -> Result<Result<v1::PushResponse, Status>> {
        let request = v1::PushRequest {
            service: SERVICE.into(),
            source: source.into(),
            policy,
            by: by("a test"),
            provenance: None,
        };
        let mut client = client(self.fleet.agents[number].address).await?;
        Ok(client.push(request).await.map(tonic::Response::into_inner))
    }

    /// Follows a rollout from its start, at whichever agent answers.
    #[must_use]
    pub fn watch(&self, push: &v1::PushResponse) -> Follower {
        self.watch_without(push, &[])
    }

    /// Follows a rollout from its start, at any agent but these.
    #[must_use]
    pub fn watch_without(&self, push: &v1::PushResponse, but: &[usize]) -> Follower {
        let numbers = (0..self.fleet.agents.len()).filter(|number| !but.contains(number));
        let addresses = numbers.map(|number| self.fleet.agents[number].address).collect();
        Follower::new(addresses, push.rollout, push.after)
    }

    /// Everything that happened to the service, as one agent knows it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn events_at(&self, number: usize) -> Result<Vec<v1::Event>> {
        let request = v1::EventsRequest { service: Some(SERVICE.into()), after: None, follow: false };
        let mut stream = client(self.fleet.agents[number].address).await?.events(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(answer) = stream.message().await? {
            match answer.item {
                Some(v1::events_response::Item::Event(event)) => events.push(event),
                other => bail!("{other:?} in a list of events"),
            }
        }
        Ok(events)
    }

    /// The rollouts, newest first, as one agent knows them.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn history_at(&self, number: usize) -> Result<Vec<v1::Rollout>> {
        let request = v1::HistoryRequest { service: SERVICE.into(), limit: 0 };
        let mut client = client(self.fleet.agents[number].address).await?;
        Ok(client.history(request).await?.into_inner().rollouts)
    }

    /// The service's pid on each host, once all of them have told the leader.
    ///
    /// # Errors
    /// They do not in time.
    pub async fn pids(&mut self) -> Result<BTreeMap<String, u32>> {
        let all = |status: &v1::StatusResponse| {
            views::web(status).is_some_and(|web| web.hosts.iter().all(|host| host.pid.is_some()))
        };
        let status = self.fleet.wait_for("every host has told its pid", PATIENCE, all).await?;
        let web = views::web(&status).context("the service")?;
        Ok(web.hosts.iter().filter_map(|host| Some((host.host.clone(), host.pid?))).collect())
    }

    /// Waits until every host serves `release`, in service and with nothing under way.
    ///
    /// # Errors
    /// They do not in time.
    pub async fn all_on(&mut self, release: &str) -> Result<v1::StatusResponse> {
        let settled = |status: &v1::StatusResponse| {
            views::web(status).is_some_and(|web| {
                web.active.is_none()
                    && web.hosts.iter().all(|host| {
                        host.change.is_none()
                            && host.availability == i32::from(v1::Availability::In)
                            && host.current.as_ref().is_some_and(|current| current.id == release)
                    })
            })
        };
        self.fleet.wait_for(&format!("every host serves {release}"), PATIENCE, settled).await
    }

    /// What the service answers on each host, asked directly: its release.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn answers(&self) -> Result<Vec<String>> {
        let mut releases = Vec::new();
        for agent in &self.fleet.agents {
            releases.push(views::answer(agent.address.ip()).await?);
        }
        Ok(releases)
    }

    /// Requests on the balancer, until they are stopped.
    ///
    /// # Errors
    /// There is no balancer.
    pub fn load(&self) -> Result<Load> {
        let balancer = self.balancer.as_ref().context("a balancer")?;
        let options = LoadOptions { long_ms: 100..=600, ..LoadOptions::new(balancer.data_address()) };
        Ok(Load::start(options))
    }

    /// Waits until something holds of the status as one agent answers it, stale or not.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn wait_at(
        &self,
        number: usize,
        what: &str,
        holds: impl Fn(&v1::StatusResponse) -> bool,
    ) -> Result<v1::StatusResponse> {
        let looked = within(what, async || self.fleet.status_of(number).await.ok().filter(&holds));
        match looked.await {
            Ok(status) => Ok(status),
            Err(error) => {
                Err(error.context(format!("the status is {:#?}", self.fleet.status_of(number).await)))
            }
        }
    }

    /// The number of the host of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&self, host: &str) -> Result<usize> {
        self.fleet.number(host).with_context(|| format!("no host {host}"))
    }

    /// The number of a host that is none of these.
    ///
    /// # Errors
    /// There is none.
    pub fn other_than(&self, numbers: &[usize]) -> Result<usize> {
        (0..self.fleet.agents.len()).find(|number| !numbers.contains(number)).context("another host")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for agent in &self.fleet.agents {
            eprintln!("--- {} ---\n{}", agent.host, self.fleet.log_tail(&agent.host));
            let keeper = agent.state.join("services").join(SERVICE).join("keeper.log");
            eprintln!("--- its keeper ---\n{}", std::fs::read_to_string(keeper).unwrap_or_default());
        }
        // Agents first: they would start their keepers again. A stopped one ends by SIGKILL too.
        for number in 0..self.fleet.agents.len() {
            if self.fleet.agents[number].runs() {
                let _ = self.fleet.kill(number);
            }
        }
        reaper::kill_of(self.dir.path());
    }
}

/// Polls until there is something, and fails with what it waited for.
///
/// # Errors
/// The deadline passed.
pub async fn within<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        sleep(LOOK).await;
    }
}
