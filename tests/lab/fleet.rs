//! A whole lab: a cloud, a cache, a builder, and hosts whose agents find each other by tags.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use demo::{programs::Programs, releases::Recipe};
use fakeaws::{
    Control, GroupOptions, NewBalancer, NewInstance, NewListener, Options, Server, Settings, TargetType,
};
use serde_json::Value;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    builder::{Builder, NIX_CONFIG},
    cache::Cache,
    machine::{Machine, Make},
    net::{Net, US, address},
};

/// Longest wait for anything, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Where agents listen.
const AGENT: u16 = 7100;
/// Where the service listens.
const SERVICE: u16 = 8100;
/// Its name, and its group's.
pub(crate) const WEB: &str = "web";
const TAG: &str = "deployinator:cluster";

/// A lab. Dropping it ends all that runs in it.
pub(crate) struct Lab {
    /// The cloud's control door.
    pub(crate) cloud: Control,
    /// The binary cache.
    pub(crate) cache: Cache,
    /// The CI job's machine.
    pub(crate) builder: Builder,
    /// The hosts.
    pub(crate) hosts: Vec<Machine>,
    /// Where requests go.
    pub(crate) front: SocketAddr,
    net: Net,
    arn: String,
    expected: usize,
    programs: Programs,
    server: Server,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Sets up a cloud with so many hosts, which are off.
    ///
    /// # Errors
    /// Something that it needs is missing.
    pub(crate) async fn set(hosts: u8, group: &GroupOptions) -> Result<Self> {
        let net = Net::new()?;
        let dir =
            tempfile::Builder::new().prefix("deployinator-lab-").tempdir().context("make a directory")?;
        let at = |port| SocketAddr::from((US, port));
        let options = Options {
            api: at(4566),
            metadata: SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80)),
            control: SocketAddr::from(([127, 0, 0, 1], 0)),
            settings: Settings::default(),
        };
        let server = Server::start(options).await.context("start the cloud")?;
        let cloud = server.control();
        let arn = cloud.put_group(WEB, group).await.context("make a target group")?.arn;
        cloud.make_balancer(&NewBalancer { name: "front".to_owned(), ..NewBalancer::default() }).await?;
        let listener = NewListener { address: at(80), group: WEB.to_owned() };
        let front = cloud.listen("front", &listener).await.context("make a listener")?.address;
        let cache = Cache::start(&dir.path().join("cache"), at(8092)).await?;
        let builder = Builder::new(dir.path())?;
        let programs = Programs::find()?;
        let mut lab = Self {
            cloud,
            cache,
            builder,
            hosts: Vec::new(),
            front,
            net,
            arn,
            expected: usize::from(hosts),
            programs,
            server,
            dir,
        };
        for _ in 0..hosts {
            lab.launch(Make::default()).await?;
        }
        Ok(lab)
    }

    /// Launches one more instance, and leaves it off.
    ///
    /// # Errors
    /// A program fails.
    pub(crate) async fn launch(&mut self, mut make: Make) -> Result<usize> {
        let number = u8::try_from(self.hosts.len() + 1).context("too many hosts")?;
        make.environment.extend([
            ("AWS_ENDPOINT_URL".to_owned(), self.server.api_url()),
            ("NIX_CONFIG".to_owned(), NIX_CONFIG.to_owned()),
            ("RUST_BACKTRACE".to_owned(), "0".to_owned()),
        ]);
        let machine = Machine::new(&self.net, number, self.dir.path(), make)?;
        let zone = ["a", "b", "c"][usize::from(number) % 3];
        let instance = NewInstance {
            id: Some(instance(number)),
            tags: BTreeMap::from([(TAG.to_owned(), "lab".to_owned())]),
            private_ipv4: Some(machine.address),
            zone: Some(format!("{}{zone}", Settings::default().region)),
            role: Some("host".to_owned()),
            ..NewInstance::default()
        };
        self.cloud.launch(&instance).await.context("launch an instance")?;
        machine.configure(&self.configuration())?;
        self.hosts.push(machine);
        Ok(self.hosts.len() - 1)
    }

    fn configuration(&self) -> String {
        let Self { arn, expected, cache, builder, .. } = self;
        format!(
            r#"[agent]
listen = "0.0.0.0:{AGENT}"

[cluster]
name = "lab"
bootstrap_expect = {expected}

[transport]
insecure = true

[inventory]
kind = "ec2"
tags = {{ "{TAG}" = "lab" }}
poll = "5s"

[store]
kind = "nix"
substituters = ["{}"]
trusted_public_keys = ["{}"]

[service.web]
port = {SERVICE}
probe = {{ kind = "http", path = "/healthz" }}
environment = {{ DEMO_BIND = "0.0.0.0" }}
balancer = {{ kind = "aws", target_groups = [{{ arn = "{arn}" }}] }}
"#,
            cache.url, builder.public_key
        )
    }

    /// Switches a host on, and starts its agent.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn boot(&mut self, host: usize) -> Result<()> {
        self.hosts[host].switch_on()?;
        self.start_agent(host)
    }

    /// Starts the agent of a host that is on.
    ///
    /// # Errors
    /// It runs.
    pub(crate) fn start_agent(&mut self, host: usize) -> Result<()> {
        self.hosts[host].start_agent(&self.programs.agent)
    }

    /// Boots all hosts, and waits until their agents have formed a cluster.
    ///
    /// # Errors
    /// They do not.
    pub(crate) async fn form(&mut self) -> Result<()> {
        for host in 0..self.hosts.len() {
            self.boot(host)?;
        }
        let all = self.hosts.len();
        self.wait("all hosts are in the cluster", async |lab: &Self| {
            let status = lab.status().await?;
            let web = &status["services"][0];
            Ok(web["hosts"].as_array().is_some_and(|hosts| hosts.len() == all))
        })
        .await
    }

    /// Builds, signs and publishes a release.
    ///
    /// # Errors
    /// Nix fails.
    pub(crate) fn release(&self, recipe: &Recipe) -> Result<String> {
        let path = self.builder.build(recipe)?;
        self.builder.sign(&path)?;
        self.builder.publish(&path, &self.cache.folder)?;
        Ok(path)
    }

    /// The command line, with every agent to speak to.
    pub(crate) fn cli(&self, words: &[&str]) -> Command {
        let agents: Vec<String> = self.hosts.iter().map(|host| format!("{}:{AGENT}", host.address)).collect();
        let mut command = Command::new(&self.programs.cli);
        command.args(words).env("DEPLOYINATOR_AGENTS", agents.join(",")).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    /// Runs the command line to its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Output> {
        let ended = timeout(Duration::from_secs(300), self.cli(words).output()).await;
        ended
            .with_context(|| format!("deployinator {} does not end", words.join(" ")))?
            .context("run the CLI")
    }

    /// Pushes a release, waits for its end, and says with which exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) async fn push(&self, path: &str, policy: &str) -> Result<(i32, String)> {
        let policy = self.policy(policy)?.display().to_string();
        let said = self.ask(&["push", path, "--service", WEB, "--policy", &policy, "--wait"]).await?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        Ok((said.status.code().unwrap_or(-1), text))
    }

    /// Writes a policy.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn policy(&self, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join("policy.toml");
        fs::write(&path, text).context("write a policy")?;
        Ok(path)
    }

    /// What `status` says.
    ///
    /// # Errors
    /// Nobody answers.
    pub(crate) async fn status(&self) -> Result<Value> {
        let said = self.ask(&["status", "--output", "json"]).await?;
        ensure!(
            said.status.success(),
            "status: {}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        serde_json::from_slice(&said.stdout).context("read the status")
    }

    /// Waits for something.
    ///
    /// # Errors
    /// It does not come in time.
    pub(crate) async fn wait(&self, what: &str, there: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match there(self).await {
                Ok(true) => return Ok(()),
                Ok(false) => "not yet".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "waited {} s for: {what}; last: {last}", PATIENCE.as_secs());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The ends of the agents' logs, for whoever looks at a failure.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            let log = fs::read_to_string(host.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            text.push_str(&format!("--- h{}\n{last}\n", host.number));
        }
        text
    }
}

/// The id of the instance that a host is.
pub(crate) fn instance(number: u8) -> String {
    format!("i-{number:017x}")
}

/// A group whose targets are its instances.
pub(crate) fn instances() -> GroupOptions {
    let _ = (TargetType::Instance, address(1));
    // Longer than the longest request: what takes longer is cut, as an ALB does.
    GroupOptions { port: SERVICE, deregistration_delay: Duration::from_secs(4), ..GroupOptions::default() }
}
