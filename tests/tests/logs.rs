//! What programs wrote, from the hosts' files to the screen: labels, rollouts, lost agents, hosts that say nothing, slow readers.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Output as Ended, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use api::v1;
use demo::releases::{Bad, Recipe};
use rustix::process::Signal;
use serde_json::Value;
use tests::{Output, PATIENCE, Stage, client, policy, within};
use tokio::time::timeout;

/// What the command line did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(stage: &Stage, arguments: &[&str]) -> Result<Ran> {
    let mut command = tokio::process::Command::from(stage.fleet.cli());
    command.args(["logs", "--service", "web"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(PATIENCE, command.output()).await.context("waited until `logs` ended")?;
    let Ended { status, stdout, stderr } = ended?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: status.code(), out: text(stdout), err: text(stderr) })
}

/// A service that writes "tick 1", "tick 2", … beside what it does.
fn ticking(name: &str) -> Recipe {
    let first = "(i=0; while :; do i=$((i + 1)); echo \"tick $i\"; sleep 0.02; done) &".to_owned();
    Recipe { first, ..Recipe::good(name) }
}

fn is_line(item: &Value) -> bool {
    item["item"] == "line"
}

fn of_host(item: &Value, host: &str) -> bool {
    item["host"] == host
}

/// The number of a tick.
fn tick(item: &Value) -> Option<u64> {
    item["text"].as_str()?.strip_prefix("tick ")?.parse().ok()
}

/// The ticks of each host and attempt, which must follow each other without a gap and without one that comes twice.
fn ticks(seen: &[Value]) -> Result<BTreeMap<(String, u64), Vec<u64>>> {
    let mut ticks: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for item in seen.iter().filter(|item| is_line(item)) {
        let Some(tick) = tick(item) else { continue };
        let (host, attempt) = (item["host"].as_str(), item["attempt"].as_u64());
        let of = (host.context("a host")?.to_owned(), attempt.context("an attempt")?);
        let before = ticks.entry(of.clone()).or_default();
        ensure!(before.last().is_none_or(|last| last + 1 == tick), "{of:?}: {tick} after {before:?}");
        before.push(tick);
    }
    Ok(ticks)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_all_hosts_come_together_and_are_labelled() -> Result<()> {
    let (stage, first) = Stage::serving(3).await?;
    let release = first.release.context("a release")?.id;
    let ran = run(&stage, &["--output", "json"]).await?;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:#?}");
    let items: Vec<Value> = ran.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(items.iter().all(is_line), "{items:#?}");
    let mut hosts: Vec<&Value> = items.iter().map(|item| &item["host"]).collect();
    hosts.dedup();
    assert_eq!(hosts.len(), 3, "what there was comes host by host: {hosts:#?}");
    let migrated: Vec<&Value> = items.iter().filter(|item| item["stream"] == "migrate").collect();
    assert_eq!(migrated.len(), 1, "once in the fleet: {items:#?}");
    assert!(migrated[0]["text"].as_str().context("a text")?.starts_with("migrated "), "{migrated:#?}");
    for host in ["h1", "h2", "h3"] {
        let served = items.iter().find(|item| of_host(item, host) && item["stream"] == "serve");
        let served = served.with_context(|| format!("a line of {host} in {items:#?}"))?;
        assert!(served["text"].as_str().context("a text")?.contains("listens on"), "{served:#?}");
        assert_eq!(served["release"], release.as_str());
        assert_eq!((&served["restored"], &served["service"]), (&false.into(), &"web".into()));
    }

    let short = &release[..12];
    let ran = run(&stage, &[]).await?;
    for host in ["h1", "h2", "h3"] {
        let label = format!("web {host} {short} #");
        assert!(ran.out.lines().any(|line| line.starts_with(&label)), "{label:?} in {ran:#?}");
    }
    let only = |out: &str| out.lines().map(|line| line[4..6].to_owned()).collect::<BTreeSet<_>>();
    let ran = run(&stage, &["--host", "h2", "--host", "h3", "--tail", "1"]).await?;
    assert_eq!((only(&ran.out), ran.out.lines().count()), (["h2".into(), "h3".into()].into(), 2), "{ran:#?}");
    let ran = run(&stage, &["--migration"]).await?;
    assert!(ran.out.lines().count() == 1 && ran.out.contains(" migrate "), "{ran:#?}");
    let ran = run(&stage, &["--release", short]).await?;
    assert!(ran.out.contains("h1") && ran.out.contains("h3"), "{ran:#?}");
    let ran = run(&stage, &["--release", "dir-none"]).await?;
    assert!(ran.code == Some(0) && ran.out.is_empty() && ran.err.contains("no line"), "{ran:#?}");
    let ran = run(&stage, &["--host", "h9"]).await?;
    assert!(ran.code == Some(5) && ran.err.contains("h9"), "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_sees_new_releases_and_what_was_brought_back() -> Result<()> {
    let (stage, first) = Stage::serving(3).await?;
    let old = first.release.context("a release")?.id;
    let mut logs = Output::start(&stage, &["logs", "-f", "--service", "web"])?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let new = push.release.clone().context("a release")?.id;
    for host in ["h1", "h2", "h3"] {
        let serves = |item: &Value| {
            of_host(item, host) && item["release"] == new.as_str() && item["stream"] == "serve"
        };
        logs.until(&format!("{host} served the new release"), serves).await?;
    }
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    let stopped = |item: &Value| {
        item["release"] == old.as_str() && item["text"].as_str().is_some_and(|text| text.ends_with(" stops"))
    };
    assert_eq!(logs.seen.iter().filter(|item| stopped(item)).count(), 3, "{:#?}", logs.seen);
    assert!(logs.seen.iter().all(|item| item["restored"] == false), "{:#?}", logs.seen);

    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-3") })?;
    let push = stage.push(&bad, policy()).await?;
    let bad = push.release.clone().context("a release")?.id;
    let failed = logs.until("the bad release said why", |item| {
        item["text"].as_str().is_some_and(|text| text.contains("was built to exit"))
    });
    let failed = failed.await?;
    assert_eq!((&failed["release"], &failed["restored"]), (&bad.as_str().into(), &false.into()));
    let restored = logs.until("a release was brought back", |item| item["restored"] == true).await?;
    assert_eq!((&restored["release"], &restored["host"]), (&new.as_str().into(), &failed["host"]));
    assert_eq!(restored["fence"], failed["fence"], "under the grant that had started the bad one");
    assert!(failed["attempt"].as_u64() < restored["attempt"].as_u64());
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 1);
    let host = restored["host"].as_str().context("a host")?;
    let ran = run(&stage, &["--host", host]).await?;
    assert!(ran.out.lines().any(|line| line.contains(" restored │ ")), "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_at_another_agent_and_sees_no_line_twice() -> Result<()> {
    let (mut stage, _) = Stage::serving_this(3, &ticking("release-1")).await?;
    let mut logs = Output::start(&stage, &["logs", "-f", "--service", "web"])?;
    for host in ["h1", "h2", "h3"] {
        logs.until(&format!("{host} ticked"), |item| of_host(item, host) && tick(item).is_some()).await?;
    }
    // The agent that is asked first is the one that answers.
    stage.fleet.kill(0)?;
    logs.until("it said that it lost its agent", |item| item["item"] == "lost").await?;
    let away = |item: &Value| item["item"] == "host" && of_host(item, "h1") && item["reached"] == false;
    let away = logs.until("it said that h1 is away", away).await?;
    assert!(away["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{away:#?}");
    for host in ["h2", "h3"] {
        logs.until(&format!("{host} ticked on"), |item| of_host(item, host) && tick(item).is_some()).await?;
    }
    stage.fleet.start(0)?;
    let back = |item: &Value| item["item"] == "host" && of_host(item, "h1") && item["reached"] == true;
    logs.until("it said that h1 is back", back).await?;
    logs.until("h1 ticked on", |item| of_host(item, "h1") && tick(item).is_some()).await?;
    assert_eq!(ticks(&logs.seen)?.len(), 3, "each host has one attempt");
    assert!(logs.seen.iter().all(|item| item["item"] != "gap"), "{:#?}", logs.seen);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_is_named_and_the_others_go_on() -> Result<()> {
    let (stage, _) = Stage::serving_this(3, &ticking("release-1")).await?;
    let mut logs = Output::start(&stage, &["logs", "-f", "--service", "web"])?;
    logs.until("h3 ticked", |item| of_host(item, "h3") && tick(item).is_some()).await?;
    stage.fleet.signal(2, Signal::STOP)?;
    let frozen = async {
        let away = |item: &Value| item["item"] == "host" && of_host(item, "h3") && item["reached"] == false;
        logs.until("it said that h3 is away", away).await?;
        for host in ["h1", "h2"] {
            logs.until(&format!("{host} ticked on"), |item| of_host(item, host) && tick(item).is_some())
                .await?;
        }
        run(&stage, &["--tail", "2"]).await
    };
    let ran = frozen.await;
    stage.fleet.signal(2, Signal::CONT)?;
    let ran = ran?;
    assert_eq!(ran.code, Some(69), "a part is not all: {ran:#?}");
    assert!(ran.err.contains("h3: not reached, "), "{ran:#?}");
    assert_eq!(ran.out.lines().count(), 4, "two lines of each of the others: {ran:#?}");
    let back = |item: &Value| item["item"] == "host" && of_host(item, "h3") && item["reached"] == true;
    logs.until("it said that h3 is back", back).await?;
    logs.until("h3 ticked on", |item| of_host(item, "h3") && tick(item).is_some()).await?;
    assert_eq!(ticks(&logs.seen)?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_is_followed_and_a_follower_shows_all_hosts() -> Result<()> {
    let (mut stage, _) = Stage::serving(1).await?;
    let mut logs = Output::start(&stage, &["logs", "-f", "--service", "web"])?;
    logs.until("h1 was seen", |item| of_host(item, "h1")).await?;
    let joiner = stage.fleet.add()?;
    stage.fleet.start(joiner)?;
    let name = stage.fleet.agents[joiner].host.clone();
    logs.until("the joiner's lines came", |item| is_line(item) && of_host(item, &name)).await?;
    // Of two hosts one votes, and the other one knows the fleet by hearsay.
    let address = stage.fleet.agents[joiner].address.to_string();
    let shown = within("the joiner shows all hosts", async || {
        let ran = run(&stage, &["--agent", &address]).await.ok()?;
        (ran.code == Some(0) && ran.out.contains("web h1 ") && ran.out.contains(&format!("web {name} ")))
            .then_some(())
    });
    shown.await
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("its resident memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// How much the service has written on a host, whether it is still there or not.
fn written(stage: &Stage, number: usize) -> Result<u64> {
    let logs = stage.fleet.agents[number].state.join("services/web/logs");
    let mut bytes = 0;
    for entry in std::fs::read_dir(logs)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// A fleet that runs this release, and says more about its service.
async fn configured(hosts: usize, service: &str, recipe: &Recipe) -> Result<Stage> {
    let mut stage = Stage::set(hosts).await?;
    for agent in &stage.fleet.agents {
        let text = std::fs::read_to_string(&agent.config)?;
        let more = text.replace("[service.web]", &format!("[service.web]\n{service}"));
        ensure!(text != more, "no section of the service in {text}");
        std::fs::write(&agent.config, more)?;
    }
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let source = stage.release(recipe)?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    ensure!(ended.exit_code == 0, "release 1 ended with {ended:#?}");
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_a_host_are_told_apart() -> Result<()> {
    let stage = configured(1, "instances = 2", &Recipe::good("release-1")).await?;
    let ran = run(&stage, &["--tail", "1"]).await?;
    let mut labels: Vec<&str> = ran.out.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    labels.sort_unstable();
    assert_eq!((ran.code, labels), (Some(0), vec!["h1/0", "h1/1"]), "{ran:#?}");
    Ok(())
}

/// A fleet whose service writes two megabytes a second, of which one is kept.
async fn chattering() -> Result<Stage> {
    let first = "(i=0; while :; do i=$((i + 1)); echo \"tick $i\"; yes \"$(printf '%01000d' 0)\" | head -n 200; \
                 sleep 0.1; done) &";
    let recipe = Recipe { first: first.to_owned(), ..Recipe::good("release-1") };
    configured(3, "log_limit_bytes = 1048576", &recipe).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_neither_memory_nor_others_their_lines() -> Result<()> {
    let stage = chattering().await?;
    let request =
        v1::LogsRequest { service: "web".into(), tail_lines: 10, follow: true, ..Default::default() };
    let agent = &stage.fleet.agents[0];
    let mut slow = client(agent.address).await?.logs(request).await?.into_inner();
    ensure!(slow.message().await?.is_some(), "a first message");
    let pid = agent.pid().context("the agent's pid")?;
    let wrote = async |bytes: u64| {
        let before = written(&stage, 1)?;
        let what = format!("h2 wrote {bytes} bytes more");
        within(&what, async || written(&stage, 1).ok().filter(|now| before + bytes <= *now)).await
    };
    // What a stream takes at the most, it takes soon.
    wrote(4 << 20).await?;
    let before = resident(pid)?;

    let mut other =
        Output::start(&stage, &["logs", "-f", "--service", "web", "--host", "h2", "--tail", "0"])?;
    let mut last = 0;
    for _ in 0..3 {
        // More than is kept of it.
        wrote(4 << 20).await?;
        let next =
            other.until("another reader sees what is new", |item| tick(item).is_some_and(|tick| last < tick));
        last = tick(&next.await?).context("a tick")?;
    }
    let grown = resident(pid)?.saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more, while three hosts wrote 12 MiB each");

    // It reads on, and is told what it has missed.
    let told = timeout(PATIENCE, async {
        while let Some(answer) = slow.message().await? {
            if let Some(v1::logs_response::Item::Gap(gap)) = answer.item {
                return anyhow::Ok(gap.lost_bytes);
            }
        }
        bail!("the stream ended")
    });
    let lost = told.await.context("waited until the slow reader was told of a gap")??;
    assert!(lost.is_some_and(|lost| 1 << 20 < lost), "{lost:?}");
    Ok(())
}
