//! What agents and keepers take while nothing happens, and how large the programs are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use api::v1;
use demo::{
    fleet::{SERVICE, Shape},
    reaper,
};
use tokio::time::{Instant, sleep};

use crate::{
    Run,
    report::{Figure, Section, Table},
    stage::{Service, Stage, policy},
    stats::median,
};

/// Rest before the fleet is looked at, so that what follows a rollout is over.
const REST: Duration = Duration::from_secs(5);
/// Most memory of an agent, in MB.
const AGENT_MB: f64 = 25.0;
/// Most memory of a keeper, in MB.
const KEEPER_MB: f64 = 5.0;
/// Most of one core that an agent takes, in hundredths.
const AGENT_CPU: f64 = 0.5;
/// Largest size of both programs, in MB.
const PROGRAM_MB: f64 = 15.0;

/// What an agent is to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Leader,
    Voter,
    Follower,
}

/// What one process takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    rss_mb: f64,
    anonymous_mb: f64,
    /// Of one core, in hundredths.
    cpu: f64,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let hosts = run.size(3, 10);
    let stage = Stage::formed(&run.dir, Shape { hosts, ..Shape::default() }).await?;
    for name in ["a", "b"] {
        stage.roll(0, &stage.release(name, Service::default())?, &policy(1, Duration::ZERO)).await?;
    }
    sleep(if run.quick { Duration::ZERO } else { REST }).await;
    let roles = roles(&stage).await?;
    let interval = Duration::from_secs(if run.quick { 1 } else { 20 });
    let mut agents = BTreeMap::new();
    let mut keepers = BTreeMap::new();
    for agent in &stage.fleet.agents {
        let pid = agent.pid().with_context(|| format!("the agent of {} does not run", agent.host))?;
        agents.insert(pid, roles[&agent.host]);
    }
    for pid in reaper::descendants().into_iter().filter(|pid| reaper::is_of(*pid, stage.dir())) {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        if is_keeper(pid) {
            keepers.insert(pid, ());
        }
    }
    anyhow::ensure!(keepers.len() == hosts, "there are {} keepers on {hosts} hosts", keepers.len());
    let pids: Vec<u32> = agents.keys().chain(keepers.keys()).copied().collect();
    let taken = watch(&pids, interval).await?;
    Ok(conclude(run, &stage, &agents, &keepers.into_keys().collect(), &taken, interval))
}

fn conclude(
    run: &Run,
    stage: &Stage,
    agents: &BTreeMap<u32, Role>,
    keepers: &BTreeSet<u32>,
    taken: &BTreeMap<u32, Taken>,
    interval: Duration,
) -> Section {
    let mut section = run.section();
    let of = |pids: &[u32]| -> Vec<Taken> { pids.iter().filter_map(|pid| taken.get(pid).copied()).collect() };
    let agents_taken = of(&agents.keys().copied().collect::<Vec<_>>());
    let keepers_taken = of(&keepers.iter().copied().collect::<Vec<_>>());
    let most = |taken: &[Taken], which: fn(&Taken) -> f64| taken.iter().map(which).fold(0.0, f64::max);
    let mut figure = |what: &str, value: f64, unit: &'static str, limit: f64, samples: usize| {
        let figure = Figure::new(what, format!("{value:.2} {unit}"), samples).number(value, unit);
        section.figures.push(figure.target(format!("≤ {limit} {unit}"), value <= limit));
    };
    figure("agent at rest, resident, most", most(&agents_taken, |t| t.rss_mb), "MB", AGENT_MB, agents.len());
    figure("agent at rest, of a core, most", most(&agents_taken, |t| t.cpu), "%", AGENT_CPU, agents.len());
    figure(
        "keeper at rest, resident, most",
        most(&keepers_taken, |t| t.rss_mb),
        "MB",
        KEEPER_MB,
        keepers.len(),
    );
    let programs = [("deployinatord", &stage.programs().agent), ("deployinator", &stage.programs().cli)];
    for (name, path) in programs {
        figure(&format!("program {name}"), size_mb(path), "MB", PROGRAM_MB, 1);
    }
    let mut table = Table::new(
        "Each kind of process, median",
        ["process", "resident", "of that its own memory", "of a core", "number"],
    );
    let mut row = |name: &str, taken: &[Taken]| {
        let of = |which: fn(&Taken) -> f64| median(taken.iter().map(which));
        let (rss, anonymous, cpu) = (of(|t| t.rss_mb), of(|t| t.anonymous_mb), of(|t| t.cpu));
        let number = taken.len().to_string();
        table.row([
            name.into(),
            format!("{rss:.1} MB"),
            format!("{anonymous:.1} MB"),
            format!("{cpu:.2} %"),
            number,
        ]);
    };
    for (role, name) in [
        (Role::Leader, "agent that leads"),
        (Role::Voter, "agent with a vote"),
        (Role::Follower, "agent that follows"),
    ] {
        let pids: Vec<u32> = agents.iter().filter(|(_, of)| **of == role).map(|(pid, _)| *pid).collect();
        if !pids.is_empty() {
            row(name, &of(&pids));
        }
    }
    row("keeper", &keepers_taken);
    section.tables.push(table);
    let (hosts, seconds) = (stage.fleet.agents.len(), interval.as_secs());
    section.notes.push(format!(
        "{hosts} hosts with the default timers, at rest for {seconds} s; 1 MB is 1,000,000 bytes."
    ));
    section
}

/// What each agent is to the group.
async fn roles(stage: &Stage) -> Result<BTreeMap<String, Role>> {
    let shown = stage.client(0).await?.cluster_show(v1::ClusterShowRequest::default()).await?.into_inner();
    let voters: BTreeSet<String> = shown.voters.into_iter().map(|member| member.host).collect();
    let role = |host: &String| match () {
        () if shown.leader.as_ref() == Some(host) => Role::Leader,
        () if voters.contains(host) => Role::Voter,
        () => Role::Follower,
    };
    Ok(stage.fleet.agents.iter().map(|agent| (agent.host.clone(), role(&agent.host))).collect())
}

fn is_keeper(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let of_service = format!("services/{SERVICE}");
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    words.nth(1).is_some_and(|word| word == "keeper") && words.any(|word| word.ends_with(&of_service))
}

/// Looks at processes for a while.
async fn watch(pids: &[u32], interval: Duration) -> Result<BTreeMap<u32, Taken>> {
    let times = |pids: &[u32]| pids.iter().map(|pid| ran(*pid)).collect::<Result<Vec<Duration>>>();
    let (before, began) = (times(pids)?, Instant::now());
    sleep(interval).await;
    let (after, took) = (times(pids)?, began.elapsed());
    let mut taken = BTreeMap::new();
    for ((pid, before), after) in pids.iter().zip(before).zip(after) {
        let (rss_mb, anonymous_mb) = memory(*pid)?;
        let cpu = 100.0 * after.saturating_sub(before).as_secs_f64() / took.as_secs_f64();
        taken.insert(*pid, Taken { rss_mb, anonymous_mb, cpu });
    }
    Ok(taken)
}

/// How long all threads of a process have run. Threads that have ended meanwhile are not counted: at rest there are none.
fn ran(pid: u32) -> Result<Duration> {
    let tasks =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("look at process {pid}"))?;
    let nanos = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Ok(Duration::from_nanos(nanos.sum()))
}

/// Resident memory of a process, and what of it belongs to no file, in MB.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
    };
    let both = field("VmRSS:").zip(field("RssAnon:"));
    both.with_context(|| format!("{path} says nothing of memory"))
}

fn size_mb(path: &Path) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "programs are smaller than that")]
    fs::metadata(path).map_or(0.0, |about| about.len() as f64 / 1e6)
}
