//! The real binary, against agents with scripted answers.

// Each test file is a program of its own, and uses what it needs.
#![allow(dead_code)]

pub(crate) mod fleet;
pub(crate) mod operators;

use std::{process::Stdio, time::Duration};

use api::{
    fake::{FakeAgent, Play, Script},
    view::{Cursor, Ended, HostFailure, Pushed, SeenEvent, Verdict, WatchItem},
};
use model::{
    Revision, RolloutId,
    fleet::{Cause, Event, EventKind, Failure, Outcome, PhaseKind},
    time::WallTime,
};
use tokio::process::{Child, Command};

/// Longest wait for a command that is expected to end.
const LIMIT: Duration = Duration::from_secs(30);

/// What a command has said, and what it has ended with.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command line, knowing these agents.
pub(crate) fn command(agents: &[String], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deployinator"));
    command.args(arguments).env_clear().env("DEPLOYINATOR_AGENTS", agents.join(","));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) fn start(agents: &[&FakeAgent], arguments: &[&str]) -> Child {
    let agents: Vec<String> = agents.iter().map(|agent| agent.address().to_string()).collect();
    command(&agents, arguments).spawn().expect("start the command line")
}

pub(crate) async fn ended(child: Child) -> Said {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("the command line to end").expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) async fn run(agents: &[&FakeAgent], arguments: &[&str]) -> Said {
    ended(start(agents, arguments)).await
}

pub(crate) fn event(revision: u64, kind: EventKind) -> Play<WatchItem> {
    let host = matches!(kind, EventKind::HostFailed { .. }).then(|| "h1".parse().unwrap());
    Play::Say(WatchItem::Event(SeenEvent::from(&Event {
        revision: Revision(revision),
        index: 0,
        at: WallTime(3_723_004),
        service: Some("web".parse().unwrap()),
        rollout: Some(RolloutId(7)),
        host,
        kind,
    })))
}

/// An event that is easy to find in what is printed.
pub(crate) fn wave(revision: u64) -> Play<WatchItem> {
    event(revision, EventKind::WaveSoaked { wave: u32::try_from(revision).unwrap() })
}

/// The waves that a text names, in its order.
pub(crate) fn waves(text: &str) -> Vec<u64> {
    let numbers = text.lines().filter_map(|line| line.split("wave ").nth(1)?.strip_suffix(" has soaked"));
    numbers.map(|number| number.parse().unwrap()).collect()
}

pub(crate) fn failure() -> Failure {
    let lines: String = (1..=40).map(|n| format!("line {n}\n")).collect();
    Failure {
        phase: PhaseKind::Probing,
        cause: Cause::Release,
        reason: "exited with code 3".into(),
        tail: lines.into(),
    }
}

pub(crate) fn end(verdict: Verdict) -> Ended {
    let failed = !matches!(verdict, Verdict::Over(Outcome::Completed));
    let failures =
        failed.then(|| HostFailure { host: "h1".parse().unwrap(), release: None, failure: failure() });
    Ended {
        rollout: RolloutId(7),
        verdict,
        rollback: None,
        reason: String::new(),
        next: String::new(),
        failures: failures.into_iter().collect(),
    }
}

pub(crate) fn the_end(verdict: Verdict) -> Play<WatchItem> {
    Play::Say(WatchItem::Ended(end(verdict)))
}

/// An agent that takes a push as r7 and plays this to whoever watches.
pub(crate) async fn agent(watch: Vec<Play<WatchItem>>) -> FakeAgent {
    let after = Some(Cursor::end_of(Revision(6)));
    let pushed = Pushed { rollout: RolloutId(7), joined: false, release: None, after };
    FakeAgent::start(Script { push: Some(Ok(pushed)), watches: [watch].into(), ..Script::default() }).await
}
