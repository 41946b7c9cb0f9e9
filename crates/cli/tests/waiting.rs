//! `push --wait` and `watch` end with the truth, whatever happens to the agents meanwhile.

mod support;

use std::time::{Duration, Instant};

use api::{
    fake::{FakeAgent, Play, Script},
    refusal,
    view::{Cursor, EventItem, Gap, Stale, Verdict, WatchItem},
};
use model::{
    Revision, RolloutId,
    fleet::{EventKind, Halt, Halting, Outcome, Refusal, Rollout, RolloutKind, RolloutPhase},
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use support::{agent, command, end, ended, event, failure, run, start, the_end, wave, waves};

const WATCH: [&str; 4] = ["watch", "r7", "--service", "web"];

#[tokio::test]
async fn a_waited_push_that_completes_ends_with_zero() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().to_str().unwrap();
    let agent = agent(vec![wave(8), the_end(Verdict::Over(Outcome::Completed))]).await;
    let push = ["push", source, "--service", "web", "--wait", "--by", "ada", "--reason", "as told"];
    let said = run(&[&agent], &push).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("completed"), "{}", said.out);
    assert_eq!(waves(&said.out), [8]);

    let asked = agent.script().pushed[0].clone();
    assert_eq!(asked.source, dir.path().canonicalize().unwrap().to_str().unwrap());
    let by = asked.by.unwrap();
    assert_eq!((by.name.as_str(), by.reason.as_str()), ("ada", "as told"));
    let watched = agent.script().watched[0].clone();
    assert_eq!(watched.rollout, Some(7));
    assert_eq!(watched.after, Some(Cursor::end_of(Revision(6)).into()));
}

#[tokio::test]
async fn a_pipe_gets_plain_lines_with_times_and_no_escapes() {
    let agent = agent(vec![wave(8), the_end(Verdict::Over(Outcome::Completed))]).await;
    let said = run(&[&agent], &WATCH).await;
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
    assert!(said.out.starts_with("01:02:03.004"), "{}", said.out);
}

#[tokio::test]
async fn colours_are_those_that_were_asked_for() {
    let play = || vec![wave(8), the_end(Verdict::Over(Outcome::Completed))];
    let (always, never) = (agent(play()).await, agent(play()).await);
    let said = run(&[&always], &[&WATCH[..], &["--color", "always"]].concat()).await;
    assert!(said.out.contains("\x1b["), "{:?}", said.out);
    let said = run(&[&never], &[&WATCH[..], &["--color", "never"]].concat()).await;
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
}

#[tokio::test]
async fn a_roll_back_is_followed_and_the_last_lines_of_the_failure_are_shown() {
    let mut last = end(Verdict::Over(Outcome::RolledBack));
    last.rollback = Some((RolloutId(9), Some(Verdict::Over(Outcome::Completed))));
    let failed = EventKind::HostFailed { release: None, failure: failure() };
    let agent = agent(vec![event(8, failed), wave(9), Play::Say(WatchItem::Ended(last))]).await;
    let said = run(&[&agent], &WATCH).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("roll back r9: completed"), "{}", said.out);
    assert!(said.out.contains("exited with code 3"), "{}", said.out);
    assert!(said.out.contains("│ line 40") && said.out.contains("│ line 26"), "{}", said.out);
    assert!(!said.out.contains("│ line 25"), "{}", said.out);
}

#[tokio::test]
async fn every_end_has_its_own_exit_code() {
    let over = Verdict::Over;
    let cases = [
        (over(Outcome::FailedInMigration), 1),
        (over(Outcome::Failed), 1),
        (over(Outcome::Aborted), 1),
        (over(Outcome::RollbackFailed), 2),
        (Verdict::Halted, 3),
        (over(Outcome::Superseded { by: RolloutId(11) }), 4),
    ];
    for (verdict, code) in cases {
        let agent = agent(vec![the_end(verdict.clone())]).await;
        let said = run(&[&agent], &WATCH).await;
        assert_eq!(said.code, Some(code), "{verdict:?}: {}{}", said.out, said.err);
        assert!(said.out.contains(verdict.word()), "{verdict:?}: {}", said.out);
    }
}

#[tokio::test]
async fn a_halt_says_what_an_operator_can_do_and_a_superseded_rollout_by_whom() {
    let mut halted = end(Verdict::Halted);
    (halted.reason, halted.next) = ("failed on h1".into(), "`resume` or `abort`".into());
    let halted = agent(vec![Play::Say(WatchItem::Ended(halted))]).await;
    let said = run(&[&halted], &WATCH).await;
    assert!(said.out.contains("halted: failed on h1"), "{}", said.out);
    assert!(said.out.contains("`resume` or `abort`"), "{}", said.out);

    let superseded = Verdict::Over(Outcome::Superseded { by: RolloutId(11) });
    let superseded = agent(vec![the_end(superseded)]).await;
    assert!(run(&[&superseded], &WATCH).await.out.contains("superseded by r11"));
}

#[tokio::test]
async fn the_timeout_gives_up_and_says_that_the_rollout_goes_on() {
    let agent = agent(vec![wave(8), Play::Stay]).await;
    let said = run(&[&agent], &[&WATCH[..], &["--timeout", "300ms"]].concat()).await;
    assert_eq!(said.code, Some(75), "{}{}", said.out, said.err);
    assert!(said.err.contains("the rollout goes on"), "{}", said.err);
}

#[tokio::test]
async fn ctrl_c_leaves_the_rollout_going_and_says_so() {
    let agent = agent(vec![wave(8), Play::Stay]).await;
    let mut child = start(&[&agent], &WATCH);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let first = tokio::time::timeout(Duration::from_secs(30), out.read_line(&mut line)).await;
    first.expect("a first line").unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let said = ended(child).await;
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.contains("the rollout goes on"), "{}", said.err);
}

#[tokio::test]
async fn a_lost_agent_is_replaced_and_no_event_is_missed_or_repeated() {
    let first = agent(vec![wave(8), wave(9), Play::Cut(None)]).await;
    let second = agent(vec![wave(9), wave(10), the_end(Verdict::Over(Outcome::Completed))]).await;
    let said = run(&[&first, &second], &WATCH).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert_eq!(waves(&said.out), [8, 9, 10]);
    assert!(said.out.contains(&first.address().to_string()), "the loss is not said: {}", said.out);
}

#[tokio::test]
async fn a_gap_is_said() {
    let gap = Gap { resumes_at: Cursor { revision: Revision(20), index: 0 } };
    let play = vec![Play::Say(WatchItem::Gap(gap)), wave(20), the_end(Verdict::Over(Outcome::Completed))];
    let said = run(&[&agent(play).await], &WATCH).await;
    assert!(said.out.contains("20.0"), "{}", said.out);
    assert_eq!(waves(&said.out), [20]);
}

#[tokio::test]
async fn json_is_one_object_a_line_and_the_last_one_sums_up() {
    let dir = tempfile::tempdir().unwrap();
    let push = ["push", dir.path().to_str().unwrap(), "--service", "web", "--wait", "--output", "json"];
    let said = run(&[&agent(vec![wave(8), the_end(Verdict::Halted)]).await], &push).await;
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let items: Vec<&str> = lines.iter().map(|line| line["item"].as_str().unwrap()).collect();
    assert_eq!(items, ["begun", "event", "ended"]);
    assert_eq!((&lines[2]["outcome"], &lines[2]["exit_code"]), (&"halted".into(), &3.into()));
    assert_eq!(lines[1]["cursor"], "8.0");
    assert_eq!(said.code, Some(3));
}

#[tokio::test]
async fn no_agent_at_all_is_said_within_five_seconds() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let push = ["push", dir.path().to_str().unwrap(), "--service", "web", "--wait"];
    let said = ended(command(std::slice::from_ref(&nobody), &push).spawn().unwrap()).await;
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    assert!(said.err.contains(&nobody) && said.err.contains("next: "), "{}", said.err);
}

#[tokio::test]
async fn no_quorum_names_who_is_missing() {
    let stale = Stale { reason: "h2 and h3 do not answer".into(), missing: Vec::new() };
    let script = Script { push: Some(Err(refusal::no_quorum(&stale))), ..Script::default() };
    let dir = tempfile::tempdir().unwrap();
    let push = ["push", dir.path().to_str().unwrap(), "--service", "web"];
    let said = run(&[&FakeAgent::start(script).await], &push).await;
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.contains("h2 and h3 do not answer"), "{}", said.err);
}

#[tokio::test]
async fn what_is_refused_ends_with_five_and_the_next_step() {
    let no = Refusal::Quarantined { release: "abc".parse().unwrap(), reason: "exited".into() };
    let script = Script { push: Some(Err(refusal::refused(&no))), ..Script::default() };
    let agent = FakeAgent::start(script).await;
    let dir = tempfile::tempdir().unwrap();
    let said = run(&[&agent], &["push", dir.path().to_str().unwrap(), "--service", "web", "--wait"]).await;
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("release abc is quarantined: exited"), "{}", said.err);
    assert!(said.err.contains("quarantine release abc"), "{}", said.err);

    let missing = dir.path().join("missing");
    let said = run(&[&agent], &["push", missing.to_str().unwrap(), "--service", "web"]).await;
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("missing"), "{}", said.err);
    assert_eq!(agent.script().pushed.len(), 1, "a directory that is not there was pushed");
}

#[tokio::test]
async fn wrong_usage_ends_with_64_and_asks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, "max_unavailable = 0\n").unwrap();
    let agent = agent(Vec::new()).await;
    let source = dir.path().to_str().unwrap();
    for arguments in [
        &["push", source][..],
        &["no-such-verb"],
        &["watch", "r7x", "--service", "web"],
        &["push", source, "--service", "web", "--policy", policy.to_str().unwrap()],
    ] {
        let said = run(&[&agent], arguments).await;
        assert_eq!(said.code, Some(64), "{arguments:?}: {}", said.err);
    }
    assert!(agent.script().pushed.is_empty() && agent.script().watched.is_empty());
}

#[tokio::test]
async fn events_are_followed_through_the_loss_of_an_agent() {
    let item = |play| match play {
        Play::Say(WatchItem::Event(event)) => Play::Say(EventItem::Event(event)),
        _ => panic!("no event"),
    };
    let first = vec![item(wave(8)), Play::Cut(None)];
    let first = FakeAgent::start(Script { events: [first].into(), ..Script::default() }).await;
    let second = vec![item(wave(9))];
    let second = FakeAgent::start(Script { events: [second].into(), ..Script::default() }).await;
    let said = run(&[&first, &second], &["events", "--after", "7.0"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(waves(&said.out), [8, 9]);
    assert_eq!(first.script().followed[0].after, Some(Cursor { revision: Revision(7), index: 0 }.into()));
}

/// How the service is while `phase` is that of r7, whose canary wave has soaked.
fn past_canary(phase: RolloutPhase) -> Play<WatchItem> {
    let active = Rollout { id: RolloutId(7), phase, ..support::fleet::rollout() };
    let mut picture = support::fleet::status();
    picture.services[0].active = Some(active);
    Play::Say(WatchItem::Picture(Box::new(picture)))
}

fn canary_soaked() -> Play<WatchItem> {
    event(8, EventKind::WaveSoaked { wave: 0 })
}

#[tokio::test]
async fn until_canary_ends_with_zero_while_the_rollout_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let push = ["push", dir.path().to_str().unwrap(), "--service", "web", "--until", "canary"];
    let agent = agent(vec![canary_soaked(), past_canary(RolloutPhase::Rolling), Play::Stay]).await;
    let said = run(&[&agent], &push).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("r7 goes on: `deployinator watch r7 --service web`"), "{}", said.out);

    let failed = self::agent(vec![the_end(Verdict::Over(Outcome::RolledBack))]).await;
    assert_eq!(run(&[&failed], &push).await.code, Some(1), "it failed before the canary wave had soaked");
}

#[tokio::test]
async fn until_canary_of_what_is_over_or_halted_ends_with_its_own_code() {
    let over = |outcome| (None, Verdict::Over(outcome));
    let halted = RolloutPhase::Halted {
        during: Halting::Rolling,
        why: Halt::Failed { host: support::fleet::named("h2") },
    };
    let back = RolloutPhase::RollingBack { by: RolloutId(9) };
    let cases = [
        (over(Outcome::Completed), 0),
        (over(Outcome::RolledBack), 1),
        (over(Outcome::Aborted), 1),
        (over(Outcome::RollbackFailed), 2),
        (over(Outcome::Superseded { by: RolloutId(11) }), 4),
        ((Some(halted), Verdict::Halted), 3),
        ((Some(back), Verdict::Over(Outcome::RolledBack)), 1),
    ];
    for ((phase, verdict), code) in cases {
        // Its canary wave had soaked, as the events before the end say.
        let mut play = vec![canary_soaked()];
        play.extend(phase.map(past_canary));
        play.push(the_end(verdict.clone()));
        let said = run(&[&agent(play).await], &[&WATCH[..], &["--until", "canary"]].concat()).await;
        assert_eq!(said.code, Some(code), "{verdict:?}: {}{}", said.out, said.err);
    }
}

#[tokio::test]
async fn a_watch_without_a_number_goes_on_with_what_a_roll_back_takes_back() {
    let kind = RolloutKind::RollbackOf { rollout: RolloutId(7), aborted: false };
    let back = Rollout { id: RolloutId(9), kind, ..support::fleet::rollout() };
    let mut picture = support::fleet::status();
    picture.services[0].active = Some(back);
    let picture = Play::Say(WatchItem::Picture(Box::new(picture)));
    let first = agent(vec![picture, Play::Cut(None)]).await;
    let second = agent(vec![the_end(Verdict::Over(Outcome::RolledBack))]).await;
    let said = run(&[&first, &second], &["watch", "--service", "web"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let asked: Vec<_> = [&first, &second].iter().map(|agent| agent.script().watched[0].rollout).collect();
    assert_eq!(asked, [None, Some(7)], "the roll back itself would end with 0");
}

#[tokio::test]
async fn a_time_out_without_a_quorum_names_who_is_missing_and_is_no_time_out() {
    let stale = Stale { reason: "no answer from h2".into(), missing: vec![support::fleet::named("h2")] };
    let picture = api::view::Status { stale: Some(stale), ..support::fleet::status() };
    let agent = agent(vec![Play::Say(WatchItem::Picture(Box::new(picture))), Play::Stay]).await;
    let said = run(&[&agent], &["watch", "r42", "--service", "web", "--timeout", "1s"]).await;
    assert_eq!(said.code, Some(69), "{}{}", said.out, said.err);
    assert!(said.out.contains("no answer from h2"), "{}", said.out);
    assert!(said.err.contains("no answer from h2") && said.err.contains("watch r42"), "{}", said.err);
}

#[tokio::test]
async fn a_time_out_before_any_agent_has_answered_is_no_word_that_the_rollout_goes_on() {
    // It takes connections, as the system of a frozen agent does, and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let watch = [&WATCH[..], &["--timeout", "500ms"]].concat();
    let said = ended(command(std::slice::from_ref(&address), &watch).spawn().unwrap()).await;
    assert_eq!(said.code, Some(69), "{}{}", said.out, said.err);
    assert!(said.err.contains("no agent has answered"), "{}", said.err);
    drop(mute);
}
