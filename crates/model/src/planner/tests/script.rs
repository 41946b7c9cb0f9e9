//! Scenarios as text: commands, `----`, and what came of them.

use std::{fmt::Write as _, time::Duration};

use super::{
    play::{Play, SILENT_AFTER},
    preview,
};
use crate::{
    HostId, Policy, Release, ServiceName, Timestamp,
    fleet::{Act, Availability, Cause, Event, EventKind, Evidence, MigrationEnd, Reply, Request, Verdict},
    planner::{Hold, Why},
    policy::{MigratePer, OnFailure},
};

/// Plays the scenario and compares.
#[track_caller]
pub(super) fn check(name: &str, text: &str) {
    let actual = run(text);
    if actual == text {
        return;
    }
    if let Ok(dir) = std::env::var("SCENARIOS") {
        std::fs::write(format!("{dir}/{name}.txt"), &actual).expect("write the scenario anew");
        return;
    }
    let differs = text.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    let line = differs.unwrap_or_else(|| text.lines().count().min(actual.lines().count()));
    panic!("scenario {name} differs from line {} on; it came out as\n\n{actual}", line + 1);
}

/// The scenario with what came of it.
fn run(text: &str) -> String {
    let (mut out, mut script) = (String::new(), Script::new());
    let (mut expected, mut result) = (false, String::new());
    for line in text.lines() {
        match line {
            "----" => {
                let _ = writeln!(out, "----\n{result}");
                (expected, result) = (true, String::new());
            }
            "" => expected = false,
            _ if expected => (),
            comment if comment.starts_with('#') => {
                let _ = writeln!(out, "{line}");
            }
            command => {
                let _ = writeln!(out, "{command}");
                script.command(command, &mut result);
            }
        }
    }
    assert!(result.is_empty(), "the last command has no `----`");
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// What has come of these commands.
pub(super) fn played(commands: &str) -> Play {
    let (mut script, mut result) = (Script::new(), String::new());
    commands.lines().for_each(|line| script.command(line, &mut result));
    script.play
}

struct Script {
    play: Play,
    service: ServiceName,
    services: Vec<ServiceName>,
    began: Timestamp,
    holds: Vec<Hold>,
    verbose: bool,
}

/// `5s`, `2m`.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text:?} is no duration"));
    match unit {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(60 * number),
        _ => panic!("{text:?} is no duration"),
    }
}

/// A release; one whose name starts with `m` brings a migration.
pub(super) fn release(name: &str) -> Release {
    Release { id: name.parse().unwrap(), source: format!("/store/{name}"), migrates: name.starts_with('m') }
}

fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

impl Script {
    fn new() -> Self {
        let service: ServiceName = "web".parse().unwrap();
        Self {
            play: Play::new(),
            services: vec![service.clone()],
            service,
            began: Timestamp(0),
            holds: Vec::new(),
            verbose: false,
        }
    }

    fn command(&mut self, line: &str, out: &mut String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["fleet", ref options @ ..] => self.fleet(options),
            ["verbose"] => self.verbose = true,
            ["service", name] => self.service = name.parse().unwrap(),
            ["policy", ref options @ ..] => {
                let mut policy = self.play.fleet.services[&self.service].policy.clone();
                for option in options {
                    set(&mut policy, option);
                }
                self.ask(Request::SetPolicy { policy }, out);
            }
            ["host", name, ref traits @ ..] => self.host(&host(name), traits),
            ["join", name] => self.play.joins(&host(name), &self.services.clone(), 80),
            ["join", name, port] => {
                self.play.joins(&host(name), &self.services.clone(), port.parse().unwrap());
            }
            ["enrol", name, port] => {
                self.play.enrols(&host(name), &self.services.clone(), port.parse().unwrap());
            }
            ["terminate", name] => {
                self.play.apply(Act::Depart { host: host(name), evidence: Evidence::Terminated });
                self.play.actors.retain(|actor| actor.host != host(name));
            }
            ["leader"] => self.play.another_leader(),
            ["advance", time] => self.advance(duration(time), false),
            ["run"] => self.advance(Duration::from_secs(3600), true),
            ["status"] => self.status(out),
            ["holds"] => self.all_holds(out),
            ["preview", name, ref options @ ..] => {
                let mut policy = self.play.fleet.services[&self.service].policy.clone();
                options.iter().for_each(|option| set(&mut policy, option));
                self.play.react();
                let told = self.play.told.len();
                out.push_str(&preview::of(&self.play, &self.service, &release(name), Some(&policy)));
                assert_eq!(self.play.told.len(), told, "a preview tells nobody anything");
            }
            _ => self.ask(request(&words), out),
        }
        self.render(out);
    }

    fn fleet(&mut self, options: &[&str]) {
        let (mut policy, mut hosts, mut running) = (Policy::default(), 3, None);
        for option in options {
            match option.split_once('=').unwrap() {
                ("hosts", number) => hosts = number.parse().unwrap(),
                ("running", name) => running = Some(name),
                ("services", names) => {
                    self.services = names.split(',').map(|name| name.parse().unwrap()).collect();
                    self.service = self.services[0].clone();
                }
                _ => set(&mut policy, option),
            }
        }
        for number in 1..=hosts {
            self.play.joins(&host(&format!("h{number}")), &self.services.clone(), 80);
        }
        for service in self.services.clone() {
            self.play.ask(&service, Request::SetPolicy { policy: policy.clone() });
            if let Some(name) = running {
                self.play.ask(
                    &service,
                    Request::Push { release: release(name), policy: None, provenance: Default::default() },
                );
                self.advance(Duration::from_secs(3600), true);
            }
        }
        self.play.told.clear();
        self.holds.clear();
        self.began = self.play.now;
    }

    fn host(&mut self, host: &HostId, traits: &[&str]) {
        for word in traits {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "silent" => drop(self.play.silent.insert(host.clone())),
                "back" => drop(self.play.silent.remove(host)),
                _ => {
                    for actor in self.play.actors_of(host) {
                        let traits = &mut actor.traits;
                        match key {
                            "stage" if value == "never" => traits.stage = None,
                            "stage" => traits.stage = Some(duration(value)),
                            "migrate" if value == "never" => traits.migrate = None,
                            "migrate" => traits.migration_end = migration_end(value),
                            "drain" => traits.drain = duration(value),
                            "fails" => drop(traits.fails.insert(value.parse().unwrap())),
                            "stuck" => traits.stuck = true,
                            "unstuck" => traits.stuck = false,
                            "balks" => traits.balks = value.parse().unwrap(),
                            "dies" => actor.falls(Cause::Release),
                            "sick" => actor.falls(Cause::Surroundings),
                            "well" => actor.recovers(),
                            _ => panic!("a host cannot be {word:?}"),
                        }
                    }
                }
            }
        }
    }

    fn ask(&mut self, request: Request, out: &mut String) {
        match self.play.ask(&self.service.clone(), request) {
            Reply::Refused(refusal) => {
                let _ = writeln!(out, "refused: {refusal}");
            }
            Reply::Joined(rollout) => {
                let _ = writeln!(out, "joined {rollout}");
            }
            _ => (),
        }
    }

    /// Lets the time pass; with `to_end`, only until nothing is under way any more.
    fn advance(&mut self, time: Duration, to_end: bool) {
        let until = self.play.now + time;
        loop {
            self.play.react();
            self.note_holds();
            let idle = self.play.fleet.services.values().all(|service| service.active.is_none());
            if (to_end && idle) || until <= self.play.now {
                return;
            }
            self.play.step(until);
            self.note_holds();
        }
    }

    /// Holds are told when they begin.
    fn note_holds(&mut self) {
        let present: Vec<Hold> = self.play.holds.iter().map(|(hold, _)| hold.clone()).collect();
        for hold in &present {
            let same = |other: &&Hold| {
                let key = |hold: &Hold| (hold.service.clone(), hold.why.name(), hold.why.host().cloned());
                key(other) == key(hold)
            };
            if !self.holds.iter().any(|other| same(&other)) && (self.verbose || is_news(&hold.why)) {
                let event = Event {
                    revision: self.play.fleet.revision,
                    index: 0,
                    at: Default::default(),
                    service: Some(hold.service.clone()),
                    rollout: None,
                    host: None,
                    kind: EventKind::Asked { what: format!("hold: {}", hold.why), by: Default::default() },
                };
                self.play.told.push((self.play.now, event));
            }
        }
        self.holds = present;
    }

    fn render(&mut self, out: &mut String) {
        for (at, event) in std::mem::take(&mut self.play.told) {
            let quiet = match event.kind {
                EventKind::HostMoved { .. } | EventKind::Staged { .. } => !self.verbose,
                EventKind::Rebuilt { .. } | EventKind::LevelRaised { .. } => true,
                _ => false,
            };
            if quiet {
                continue;
            }
            let time = at.since(self.began).as_secs_f64();
            let service = event.service.filter(|_| 1 < self.services.len());
            let service = service.map_or(String::new(), |service| format!("{service} "));
            let subject = match (event.host, event.rollout) {
                (Some(host), _) => format!("{host} "),
                (None, Some(rollout)) => format!("{rollout} "),
                (None, None) => String::new(),
            };
            let _ = writeln!(out, "{time:>5}s  {service}{subject}{}", event.kind);
        }
    }

    fn all_holds(&mut self, out: &mut String) {
        self.play.react();
        for (hold, ends_in) in &self.play.holds {
            let time = ends_in.map_or(String::new(), |left| format!(", in {left:?}"));
            let _ = writeln!(out, "{}; ends when {}{time}", hold.why, hold.ends_when());
        }
    }

    fn status(&mut self, out: &mut String) {
        for name in &self.services {
            let service = &self.play.fleet.services[name];
            let last = service.rollouts.values().rev().take(2).collect::<Vec<_>>();
            for rollout in last.into_iter().rev() {
                let code = match (rollout.outcome(), &rollout.phase) {
                    (Some(outcome), _) => format!(", exit code {}", outcome.exit_code()),
                    (None, crate::fleet::RolloutPhase::Halted { .. }) => {
                        format!(", exit code {}", crate::fleet::EXIT_HALTED)
                    }
                    _ => String::new(),
                };
                let target = rollout.target.as_ref().map_or("nothing", |release| release.id.as_str());
                let _ = writeln!(out, "rollout to {target}: {}{code}", rollout.phase);
            }
            for (host, here) in self.play.fleet.declaring(name) {
                let release = here.current_id().map_or("nothing", crate::ReleaseId::as_str);
                let change =
                    here.change.as_ref().map_or(String::new(), |change| format!(", {}", change.phase));
                let out_of = if here.availability == Availability::In { "in" } else { "not in" };
                let _ = writeln!(out, "{host}: {release}, {out_of} service{change}");
            }
        }
    }
}

/// Holds that come and go with every step are left out.
fn is_news(why: &Why) -> bool {
    !matches!(
        why,
        Why::Changing { .. }
            | Why::Staging { trouble: None, .. }
            | Why::NoFreeSlot { .. }
            | Why::Migrating { .. }
    )
}

fn migration_end(word: &str) -> MigrationEnd {
    match word {
        "succeeds" => MigrationEnd::Succeeded,
        "fails" => MigrationEnd::Failed { reason: "exit code 3".into() },
        "unknown" => MigrationEnd::Unknown { reason: "the host was rebooted".into() },
        "not_started" => MigrationEnd::NotStarted { reason: "the release is gone".into() },
        _ => panic!("a migration cannot end {word:?}"),
    }
}

fn set(policy: &mut Policy, option: &str) {
    let (key, value) = option.split_once('=').unwrap();
    let number = || value.parse().unwrap();
    match key {
        "max_unavailable" => policy.max_unavailable = number(),
        "canary" => policy.canary = number(),
        "wave" => policy.wave = Some(number()),
        "rollback_parallel" => policy.rollback_parallel = number(),
        "tolerance" => policy.failure_tolerance = value.parse().unwrap(),
        "soak" => policy.soak = duration(value),
        "wave_soak" => policy.wave_soak = duration(value),
        "stage" => policy.deadlines.stage = duration(value),
        "on_failure" if value == "pause" => policy.on_failure = OnFailure::Pause,
        "migrate" if value == "host" => policy.migrate = MigratePer::Host,
        _ => panic!("no such option: {option:?}"),
    }
}

fn request(words: &[&str]) -> Request {
    match *words {
        ["push", name] => {
            Request::Push { release: release(name), policy: None, provenance: Default::default() }
        }
        ["rollback"] => Request::Rollback,
        ["restart"] => Request::Restart,
        ["pause"] => Request::Pause,
        ["resume"] => Request::Resume,
        ["abort"] => Request::Abort { leave: false },
        ["abort", "leave"] => Request::Abort { leave: true },
        ["resolve", name, verdict] => {
            let verdict = match verdict {
                "succeeded" => Verdict::Succeeded,
                "failed" => Verdict::Failed,
                _ => Verdict::Retry,
            };
            Request::ResolveMigration { release: name.parse().unwrap(), verdict }
        }
        ["release", name] => Request::ReleaseQuarantine { release: name.parse().unwrap() },
        ["break", name] => Request::BreakSlot { host: host(name) },
        ["exclude", name] => Request::Exclude { host: host(name) },
        ["include", name] => Request::Include { host: host(name) },
        ["drain", name] => Request::Drain { host: host(name) },
        ["admit", name] => Request::Admit { host: host(name) },
        _ => panic!("no such command: {words:?}"),
    }
}

#[test]
fn the_silence_of_the_scenarios_is_the_leaders() {
    assert_eq!(SILENT_AFTER, Duration::from_secs(10), "the scenarios name it");
}
