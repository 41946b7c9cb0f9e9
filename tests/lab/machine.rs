//! One host of a lab: a network namespace, and processes, mounts and a name of its own. Its disk outlives its power.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use demo::cloud;
use rustix::process::{Pid, Signal, kill_process};

use crate::net::{self, Net};

/// What the first process of a host does: takes in whoever loses its parent, and nothing else.
const INIT: &str = "trap : TERM; echo up; while :; do sleep 3600 & wait $!; done";

/// What a host is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Make {
    /// Environment of its agent.
    pub(crate) environment: Vec<(String, String)>,
    /// Bytes of its Nix store; as much as there is where absent.
    pub(crate) store_bytes: Option<u64>,
}

/// A host. Dropping it is pulling its plug.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its number in the network.
    pub(crate) number: u8,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its disk.
    pub(crate) disk: PathBuf,
    make: Make,
    power: Option<Power>,
}

#[derive(Debug)]
struct Power {
    /// `unshare`, outside; its end is the end of all that runs on the host.
    outside: Child,
    /// The host's first process.
    first: i32,
    /// `nsenter`, which waits for the agent.
    agent: Option<Child>,
}

impl Machine {
    /// A host with an empty disk below `dir`. It is off.
    ///
    /// # Errors
    /// It cannot be plugged in, or its disk cannot be made.
    pub(crate) fn new(net: &Net, number: u8, dir: &Path, make: Make) -> Result<Self> {
        let disk = dir.join(net::namespace(number));
        for folder in ["nix/store", "state", "etc", "root"] {
            fs::create_dir_all(disk.join(folder)).context("make a disk")?;
        }
        let address = net.plug(number)?;
        Ok(Self { number, address, disk, make, power: None })
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn configure(&self, text: &str) -> Result<()> {
        fs::write(self.disk.join("etc/deployinator.toml"), text).context("write a configuration")
    }

    /// Switches it on. Its agent does not run yet.
    ///
    /// # Errors
    /// It is on, or a program fails.
    pub(crate) fn switch_on(&mut self) -> Result<()> {
        ensure!(self.power.is_none(), "h{} is on already", self.number);
        let (name, disk) = (net::namespace(self.number), self.disk.display().to_string());
        let store = match self.make.store_bytes {
            Some(bytes) => format!("mount -t tmpfs -o size={bytes} tmpfs /nix; mkdir -p /nix/store"),
            None => format!("mount --bind {disk}/nix /nix"),
        };
        let boot = another_boot(&disk);
        let script = format!(
            "set -e; hostname {name}; mkdir -p /nix /var/lib/deployinator /etc/deployinator; {store}; \
             mount --bind {disk}/state /var/lib/deployinator; mount --bind {disk}/etc /etc/deployinator; \
             {boot}; set +e; {INIT}"
        );
        let mut outside = Command::new("ip");
        cloud::without_own_account(&mut outside);
        let mut outside = outside
            .args(["netns", "exec", &name, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "--propagation", "private", "bash", "-c", &script])
            .env("HOME", self.disk.join("root"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("switch a host on")?;
        let said = outside.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).context("wait for a host")?;
        if line.trim() != "up" {
            let _ = outside.kill();
            bail!("h{} does not come up: {line}", self.number);
        }
        let first = only_child(outside.id())?;
        self.power = Some(Power { outside, first, agent: None });
        Ok(())
    }

    /// Whether it has power.
    pub(crate) fn is_on(&self) -> bool {
        self.power.is_some()
    }

    /// Ends all that runs on it, at once.
    pub(crate) fn switch_off(&mut self) {
        let Some(mut power) = self.power.take() else { return };
        let _ = power.outside.kill();
        let _ = power.outside.wait();
        if let Some(mut agent) = power.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// A command that runs on it.
    ///
    /// # Errors
    /// It is off.
    pub(crate) fn command(&self, program: &Path) -> Result<Command> {
        let power = self.power.as_ref().with_context(|| format!("h{} is off", self.number))?;
        let mut command = Command::new("nsenter");
        cloud::without_own_account(&mut command);
        command.args(["-t", &power.first.to_string(), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]);
        command.arg(program).env("HOME", self.disk.join("root")).stdin(Stdio::null());
        command.envs(self.make.environment.iter().cloned());
        Ok(command)
    }

    /// Starts its agent.
    ///
    /// # Errors
    /// It is off, or its agent runs.
    pub(crate) fn start_agent(&mut self, program: &Path) -> Result<()> {
        let log =
            File::options().create(true).append(true).open(self.log()).context("open the agent's log")?;
        let mut command = self.command(program)?;
        command.args(["run"]).stdout(log.try_clone()?).stderr(log).process_group(0);
        let power = self.power.as_mut().context("it is off")?;
        ensure!(power.agent.is_none(), "the agent of h{} runs already", self.number);
        power.agent = Some(command.spawn().context("start an agent")?);
        Ok(())
    }

    /// Sends a signal to its agent.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn signal_agent(&self, signal: Signal) -> Result<()> {
        let agent = self.power.as_ref().and_then(|power| power.agent.as_ref());
        let agent = agent.with_context(|| format!("the agent of h{} does not run", self.number))?;
        kill(only_child(agent.id())?, signal)
    }

    /// Whether its agent, which was told to end, has ended.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn agent_has_ended(&mut self) -> Result<bool> {
        let power = self.power.as_mut().with_context(|| format!("h{} is off", self.number))?;
        let agent = power.agent.as_mut().context("the agent does not run")?;
        let ended = agent.try_wait().context("look at the agent")?.is_some();
        if ended {
            power.agent = None;
        }
        Ok(ended)
    }

    /// Kills its agent; what it supervises runs on.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn kill_agent(&mut self) -> Result<()> {
        self.signal_agent(Signal::KILL)?;
        let agent = self.power.as_mut().and_then(|power| power.agent.take());
        agent.context("an agent")?.wait().context("wait for the agent")?;
        Ok(())
    }

    /// Stops everything on it (the hypervisor takes its processor away), or lets it go on.
    ///
    /// # Errors
    /// It is off.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let power = self.power.as_ref().with_context(|| format!("h{} is off", self.number))?;
        let mine = namespace_of(power.first)?;
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        for pid in processes()? {
            // One that has ended meanwhile needs no signal.
            if namespace_of(pid).is_ok_and(|its| its == mine) {
                let _ = kill(pid, signal);
            }
        }
        Ok(())
    }

    /// The processes on it whose command line holds `word`.
    ///
    /// # Errors
    /// It is off.
    pub(crate) fn pids_of(&self, word: &str) -> Result<Vec<i32>> {
        let power = self.power.as_ref().with_context(|| format!("h{} is off", self.number))?;
        let mine = namespace_of(power.first)?;
        let says = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(word)
        };
        Ok(processes()?
            .into_iter()
            .filter(|pid| namespace_of(*pid).is_ok_and(|its| its == mine))
            .filter(says)
            .collect())
    }

    /// What its agent logged.
    pub(crate) fn log(&self) -> PathBuf {
        self.disk.join("agent.log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.switch_off();
    }
}

/// Gives this boot an id of its own, as each time that it is switched on is another one.
fn another_boot(disk: &str) -> String {
    format!(
        "cat /proc/sys/kernel/random/uuid > {disk}/boot_id; mount --bind {disk}/boot_id /proc/sys/kernel/random/boot_id"
    )
}

/// Sends a signal to a process of this lab.
pub(crate) fn kill(pid: i32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a process")?;
    kill_process(pid, signal).context("send a signal")
}

fn only_child(of: u32) -> Result<i32> {
    let path = format!("/proc/{of}/task/{of}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let first = children.split_whitespace().next().with_context(|| format!("process {of} has no child"))?;
    first.parse().context("a process id")
}

fn namespace_of(pid: i32) -> Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).context("read a process's namespace")
}

fn processes() -> Result<Vec<i32>> {
    let all = fs::read_dir("/proc").context("list processes")?;
    Ok(all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}
