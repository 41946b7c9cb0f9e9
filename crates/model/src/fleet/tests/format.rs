//! Log entries and snapshots are read by older and newer agents: what was written once is read for ever.

use super::*;

/// A fleet with something of everything in it.
pub(super) fn rich() -> Lab {
    let mut lab = Lab::serving_with(4, Policy { failure_tolerance: 1, ..policy(2) });
    lab.ask(Request::Exclude { host: h(4) });
    lab.completes("m1");
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    lab.end_wave();
    lab.wave(&[2, 3]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    lab.stuck(2, Cause::Release);
    lab.silent(3);
    lab.pushed("c");
    lab.report(1, Report::NotStaged { release: id("c"), reason: "no space".into() });
    lab.terminate(4);
    let rollout = lab.active();
    lab.step(Step::Elapsed { rollout, timer: Timer::WaveSoak(0), elapsed_ms: 12_000 }).unwrap();
    lab
}

#[test]
fn a_snapshot_is_read_back_as_it_was_and_goes_on_the_same() {
    let mut lab = rich();
    let text = serde_json::to_string(&lab.fleet).unwrap();
    let read: Fleet = serde_json::from_str(&text).unwrap();
    assert_eq!(read, lab.fleet);
    let mut other = Lab { fleet: read, sequence: lab.sequence };
    for lab in [&mut lab, &mut other] {
        lab.ask(Request::BreakSlot { host: h(2) });
        lab.push("d");
    }
    assert_eq!(other.fleet, lab.fleet);
}

#[test]
fn commands_are_read_as_they_were_written() {
    for (number, line) in GOLDEN.lines().enumerate() {
        let command: Command =
            serde_json::from_str(line).unwrap_or_else(|err| panic!("line {}: {err}", number + 1));
        assert_eq!(serde_json::to_string(&command).unwrap(), line, "line {}", number + 1);
    }
}

#[test]
fn every_kind_of_command_is_among_them() {
    let written: Vec<String> = every_act().into_iter().map(|act| line(&act)).collect();
    assert_eq!(written.join("\n"), GOLDEN.trim_end());
}

const GOLDEN: &str = include_str!("commands.golden");

fn line(act: &Act) -> String {
    let command =
        Command { proposer: "h1-x".into(), sequence: 7, at: WallTime(1_700_000_000_000), act: act.clone() };
    serde_json::to_string(&command).unwrap()
}

pub(super) fn every_act() -> Vec<Act> {
    let fence = Fence { incarnation: Incarnation(2), revision: Revision(40) };
    let ask = |request| Act::Ask { service: web(), by: by("because"), request };
    let report = |report| Act::Report { host: h(1), service: web(), report };
    let mut acts = vec![
        Act::Enrol(enrolment(1, "0d4c")),
        Act::Depart { host: h(1), evidence: Evidence::Terminated },
        Act::Depart { host: h(1), evidence: Evidence::Removed(by("it burns")) },
        Act::Silent { host: h(1) },
        Act::RaiseLevel { level: 2 },
        Act::GiveWay { to: "c1-x".parse().unwrap(), by: by("all disks burned") },
        Act::Plan { service: web(), planned_at: Revision(39), steps: every_step() },
    ];
    acts.extend(every_request().into_iter().map(ask));
    acts.extend(every_report(fence).into_iter().map(report));
    acts
}

fn every_step() -> Vec<Step> {
    let (rollout, host) = (RolloutId(30), h(1));
    vec![
        Step::EndStaging { rollout, dropped: vec![h(2)] },
        Step::Halt { rollout, why: Halt::NotStaged { hosts: vec![(h(2), "no space".into())] } },
        Step::Halt { rollout, why: Halt::MigrationUnknown { host: h(2) } },
        Step::Halt { rollout, why: Halt::Failed { host: h(2) } },
        Step::GrantMigration { host: host.clone(), release: id("m1") },
        Step::EndMigrating { rollout },
        Step::StartWave { rollout, hosts: vec![h(1), h(2)] },
        Step::EndWave { rollout },
        Step::Grant { rollout, host: host.clone() },
        Step::Converge { host: host.clone() },
        Step::Park { host: host.clone() },
        Step::Adopt { rollout, host },
        Step::Complete { rollout },
        Step::GiveUp { rollout },
        Step::Elapsed { rollout, timer: Timer::Staging, elapsed_ms: 10_000 },
        Step::Elapsed { rollout, timer: Timer::WaveSoak(1), elapsed_ms: 10_000 },
    ]
}

fn every_request() -> Vec<Request> {
    let host = h(1);
    let fence = Fence { incarnation: Incarnation(2), revision: Revision(40) };
    let mut requests = vec![
        Request::Push {
            release: release("m1"),
            policy: Some(Policy::default()),
            provenance: Default::default(),
        },
        Request::Push { release: release("b"), policy: None, provenance: Default::default() },
        Request::Rollback,
        Request::Restart,
        Request::Pause,
        Request::Resume,
        Request::Abort { leave: true },
        Request::SetPolicy { policy: Policy { wave: Some(3.try_into().unwrap()), ..policy(2) } },
        Request::ReleaseQuarantine { release: id("b") },
        Request::BreakSlot { host: host.clone() },
        Request::BreakMigrationLock,
        Request::BreakGrant { lock: Lock::SlotOf(host.clone()), fence },
        Request::BreakGrant { lock: Lock::Migration, fence },
        Request::Exclude { host: host.clone() },
        Request::Include { host: host.clone() },
        Request::Drain { host: host.clone() },
        Request::Admit { host },
    ];
    for verdict in [Verdict::Succeeded, Verdict::Failed, Verdict::Retry] {
        requests.push(Request::ResolveMigration { release: id("m1"), verdict });
    }
    let found = Found::Release {
        release: release("b"),
        provenance: Provenance { git_rev: "1a2b".into(), ..Provenance::default() },
    };
    let channel = || "s3://releases/web".to_owned();
    requests.push(Request::Follow(Word { channel: channel(), before: None, mark: "m1".into(), found }));
    let found = Found::Unfit { reason: "no path".into() };
    let before = Some("m1".to_owned());
    requests.push(Request::Follow(Word { channel: channel(), before, mark: "m2".into(), found }));
    requests
}

fn every_report(fence: Fence) -> Vec<Report> {
    let reason = "it was seen".to_owned();
    let mut reports = vec![
        Report::Staged { release: id("b") },
        Report::NotStaged { release: id("b"), reason: reason.clone() },
        Report::Runs { release: Some(release("b")) },
        Report::Runs { release: None },
        Report::Failed { fence, failure: failure(Cause::Release) },
        Report::Changed { fence },
        Report::Reverted { fence },
        Report::Stuck { fence, failure: failure(Cause::Surroundings) },
        Report::Abandoned { fence, reason: reason.clone() },
        Report::Parked { fence },
        Report::MigrationStarted { fence },
    ];
    for to in PhaseKind::ALL {
        reports.push(Report::Moved { fence, from: PhaseKind::Granted, to, reason: None });
    }
    for availability in [Availability::In, Availability::Out, Availability::Unknown] {
        let (cause, reason, tail) = (Cause::Release, reason.clone(), "log".into());
        reports.push(Report::Availability { availability, cause, reason, tail, of: None });
    }
    let ends = [
        MigrationEnd::Succeeded,
        MigrationEnd::Failed { reason: reason.clone() },
        MigrationEnd::Unknown { reason: reason.clone() },
        MigrationEnd::NotStarted { reason },
    ];
    reports.extend(ends.map(|end| Report::MigrationEnded { fence, end, tail: "log".into() }));
    reports
}
