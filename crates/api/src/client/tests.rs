//! The client against scripted agents.

use std::time::{Duration, Instant};

use model::{
    Revision, RolloutId,
    fleet::{Event, EventKind, Outcome, Refusal, Request},
    time::WallTime,
};
use tokio::net::TcpListener;

use super::{Address, Client, ClientError, Patience, Step};
use crate::{
    exit::Exit,
    fake::{FakeAgent, Play, Script},
    refusal, v1,
    view::{Ask, Cursor, Ended, EventItem, Gap, Push, Pushed, SeenEvent, Stale, Status, Verdict, WatchItem},
};

/// So short that a test of a client that gives up is quick, so long that a busy machine is no failure.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    call: Duration::from_secs(5),
    push: Duration::from_secs(20),
    stream: Duration::from_millis(500),
    quorum: Duration::from_millis(1500),
};

fn client(addresses: &[&Address]) -> Client {
    Client::with_patience(addresses.iter().map(|address| (*address).clone()).collect(), PATIENCE)
}

fn event(revision: u64) -> SeenEvent {
    SeenEvent::from(&Event {
        revision: Revision(revision),
        index: 0,
        at: WallTime(0),
        service: Some("web".parse().unwrap()),
        rollout: Some(RolloutId(7)),
        host: None,
        kind: EventKind::WaveSoaked { wave: u32::try_from(revision).unwrap() },
    })
}

fn say(revision: u64) -> Play<WatchItem> {
    Play::Say(WatchItem::Event(event(revision)))
}

fn ended() -> Play<WatchItem> {
    Play::Say(WatchItem::Ended(Ended {
        rollout: RolloutId(7),
        verdict: Verdict::Over(Outcome::Completed),
        rollback: None,
        reason: String::new(),
        next: String::new(),
        failures: Vec::new(),
    }))
}

fn status(revision: u64, stale: Option<Stale>) -> Status {
    Status {
        cluster: "main".into(),
        leader: None,
        revision: Revision(revision),
        answered_by: "h1".parse().unwrap(),
        stale,
        services: Vec::new(),
        cursor: Cursor::end_of(Revision(revision)),
    }
}

fn push() -> Push {
    Push {
        service: "web".parse().unwrap(),
        source: "/srv/web".into(),
        policy: None,
        by: Default::default(),
        provenance: Default::default(),
    }
}

fn pushed() -> Pushed {
    Pushed { rollout: RolloutId(7), joined: false, release: None, after: None }
}

/// An address where nobody listens.
async fn nobody() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

#[tokio::test]
async fn a_call_goes_to_the_next_agent_when_one_is_away() {
    let there = FakeAgent::start(Script { push: Some(Ok(pushed())), ..Script::default() }).await;
    let client = client(&[&nobody().await, there.address()]);
    assert_eq!(client.push(push()).await.unwrap(), pushed());
    assert_eq!(there.script().pushed[0].source, "/srv/web");
}

#[tokio::test]
async fn when_nobody_answers_every_try_is_named() {
    let (one, two) = (nobody().await, nobody().await);
    let began = Instant::now();
    let error = client(&[&one, &two]).push(push()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    assert_eq!(error.exit(), Exit::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("push /srv/web to web: no agent answers: "), "{text}");
    assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn an_agent_that_takes_connections_and_says_nothing_costs_less_than_five_seconds() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = mute.local_addr().unwrap().to_string().parse().unwrap();
    let there =
        FakeAgent::start(Script { status: Some(Ok(status(3, None).into())), ..Script::default() }).await;
    let began = Instant::now();
    let answer = client(&[&address, there.address()]).status(None).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    assert_eq!(answer.revision, Revision(3));
}

#[tokio::test]
async fn a_refusal_is_final_and_keeps_its_next_step() {
    let refusal = Refusal::Quarantined { release: "abc".parse().unwrap(), reason: "exited".into() };
    let no =
        FakeAgent::start(Script { push: Some(Err(refusal::refused(&refusal))), ..Script::default() }).await;
    let other = FakeAgent::start(Script { push: Some(Ok(pushed())), ..Script::default() }).await;
    let error = client(&[no.address(), other.address()]).push(push()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Rejected);
    assert_eq!(error.to_string(), "push /srv/web to web: release abc is quarantined: exited");
    assert!(error.next().unwrap().contains("quarantine release abc"));
    assert!(other.script().pushed.is_empty(), "another agent was asked after a refusal");
}

#[tokio::test]
async fn no_quorum_names_who_is_missing_unless_another_agent_has_one() {
    let stale = Stale { reason: "h2 and h3 do not answer".into(), missing: Vec::new() };
    let script = || Script { push: Some(Err(refusal::no_quorum(&stale))), ..Script::default() };
    let (one, two) = (FakeAgent::start(script()).await, FakeAgent::start(script()).await);
    let error = client(&[one.address(), two.address()]).push(push()).await.unwrap_err();
    assert!(matches!(error, ClientError::NoQuorum { .. }), "{error:?}");
    assert!(error.to_string().contains("h2 and h3 do not answer"), "{error}");
    assert_eq!(error.exit(), Exit::Unavailable);

    two.script().push = Some(Ok(pushed()));
    let client = client(&[one.address(), two.address()]);
    assert_eq!(client.push(push()).await.unwrap(), pushed());
}

/// A status as the transport makes one when a connection breaks in the middle of a call.
fn broken() -> tonic::Status {
    tonic::Status::unknown("the connection broke")
}

#[tokio::test]
async fn a_roll_back_whose_answer_is_lost_is_not_sent_again() {
    let lost = FakeAgent::start(Script { push: Some(Err(broken())), ..Script::default() }).await;
    let other = FakeAgent::start(Script { push: Some(Ok(pushed())), ..Script::default() }).await;
    let client = client(&[lost.address(), other.address()]);
    let error = client.rollback(&"web".parse().unwrap(), Default::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::AnswerLost { again: false, .. }), "{error:?}");
    assert!(error.to_string().contains("it may still be done"), "{error}");
    assert!(error.next().unwrap().contains("`deployinator history --service web`"), "{error:?}");
    assert_eq!(error.exit(), Exit::Unavailable);
    assert!(other.script().rolled_back.is_empty(), "it was sent to another agent");
}

#[tokio::test]
async fn what_an_agent_says_it_has_not_done_is_asked_of_the_next_one() {
    let stale = Stale { reason: "h2 and h3 do not answer".into(), missing: Vec::new() };
    let minority =
        FakeAgent::start(Script { push: Some(Err(refusal::no_quorum(&stale))), ..Script::default() }).await;
    let majority = FakeAgent::start(Script { push: Some(Ok(pushed())), ..Script::default() }).await;
    let client = client(&[minority.address(), majority.address()]);
    let answer = client.rollback(&"web".parse().unwrap(), Default::default()).await.unwrap();
    assert_eq!(answer, pushed());
}

#[tokio::test]
async fn what_a_leader_may_have_taken_is_told_as_such_and_not_as_a_lost_majority() {
    let unsure = || refusal::answer_lost("the leader's answer was lost");
    let script = || Script { push: Some(Err(unsure())), refusal: Some(unsure()), ..Script::default() };
    let (one, two) = (FakeAgent::start(script()).await, FakeAgent::start(script()).await);
    let client = client(&[one.address(), two.address()]);
    let error = client.push(push()).await.unwrap_err();
    assert!(matches!(error, ClientError::AnswerLost { again: true, .. }), "{error:?}");
    assert_eq!(two.script().pushed.len(), 1, "a push may be sent again");

    let ask = Ask { service: "web".parse().unwrap(), by: Default::default(), request: Request::Pause };
    let error = client.operate(ask).await.unwrap_err();
    assert!(matches!(error, ClientError::AnswerLost { again: false, .. }), "{error:?}");
    let asked = one.script().operated.len() + two.script().operated.len();
    assert_eq!(asked, 1, "a pause may meet the next rollout");
}

#[tokio::test]
async fn a_stale_status_is_given_only_when_there_is_no_better_one() {
    let stale = || Some(Stale { reason: "h2 is away".into(), missing: vec!["h2".parse().unwrap()] });
    let old =
        FakeAgent::start(Script { status: Some(Ok(status(3, stale()).into())), ..Script::default() }).await;
    let older =
        FakeAgent::start(Script { status: Some(Ok(status(2, stale()).into())), ..Script::default() }).await;
    let client = client(&[older.address(), old.address()]);
    let answer = client.status(None).await.unwrap();
    assert_eq!((answer.revision, answer.stale), (Revision(3), stale()));

    old.script().status = Some(Ok(status(4, None).into()));
    let answer = client.status(None).await.unwrap();
    assert_eq!((answer.revision, answer.stale), (Revision(4), None));
}

#[tokio::test]
async fn a_watch_goes_on_with_another_agent_and_misses_and_repeats_nothing() {
    let first = FakeAgent::start(Script {
        watches: [vec![say(8), say(9), Play::Cut(None)]].into(),
        ..Script::default()
    })
    .await;
    let second =
        FakeAgent::start(Script { watches: [vec![say(9), say(10), ended()]].into(), ..Script::default() })
            .await;
    let mut watch = client(&[first.address(), second.address()]).watch(
        &"web".parse().unwrap(),
        Some(RolloutId(7)),
        Some(Cursor::end_of(Revision(7))),
    );
    let (mut seen, mut lost) = (Vec::new(), Vec::new());
    while let Some(step) = watch.next().await.unwrap() {
        match step {
            Step::Item(WatchItem::Event(event)) => seen.push(event.cursor.revision.0),
            Step::Item(_) => (),
            Step::Lost(attempt) => lost.push(attempt),
            Step::Waits(waits) => panic!("it was taken up at once, and yet {waits:?}"),
        }
    }
    assert_eq!(seen, [8, 9, 10]);
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].address, *first.address());
    let asked = second.script().watched[0].clone();
    assert_eq!(
        (asked.rollout, asked.after),
        (Some(7), Some(Cursor { revision: Revision(9), index: 0 }.into()))
    );
}

#[tokio::test]
async fn a_gap_is_handed_on() {
    let gap = Gap { resumes_at: Cursor { revision: Revision(20), index: 0 } };
    let plays = vec![Play::Say(WatchItem::Gap(gap)), say(20), ended()];
    let agent = FakeAgent::start(Script { watches: [plays].into(), ..Script::default() }).await;
    let mut watch = client(&[agent.address()]).watch(&"web".parse().unwrap(), None, None);
    assert_eq!(watch.next().await.unwrap(), Some(Step::Item(WatchItem::Gap(gap))));
}

#[tokio::test]
async fn a_watch_that_nobody_takes_up_ends_with_every_try() {
    let agent =
        FakeAgent::start(Script { watches: [vec![say(8), Play::Cut(None)]].into(), ..Script::default() })
            .await;
    let mut watch = client(&[agent.address()]).watch(&"web".parse().unwrap(), Some(RolloutId(7)), None);
    assert!(matches!(watch.next().await.unwrap(), Some(Step::Item(WatchItem::Event(_)))));
    assert!(matches!(watch.next().await.unwrap(), Some(Step::Lost(_))));
    let error = watch.next().await.unwrap_err();
    assert_eq!(error.exit(), Exit::Unavailable);
    assert!(error.to_string().starts_with("watch r7 of web: no agent answers: "), "{error}");
    assert_eq!(watch.next().await.unwrap(), None, "something followed an error");
}

#[tokio::test]
async fn events_end_without_follow_and_are_refused_with_a_reason() {
    let plays = vec![Play::Say(EventItem::Event(event(3)))];
    let no = Play::Cut(Some(refusal::refused(&Refusal::NoRollout)));
    let agent = FakeAgent::start(Script { events: [plays, vec![no]].into(), ..Script::default() }).await;
    let client = client(&[agent.address()]);
    let mut events = client.events(None, None, false);
    assert!(matches!(events.next().await.unwrap(), Some(Step::Item(EventItem::Event(_)))));
    assert_eq!(events.next().await.unwrap(), None);
    let mut events = client.events(None, None, true);
    assert_eq!(events.next().await.unwrap_err().exit(), Exit::Rejected);
}

fn picture(stale: bool) -> Play<WatchItem> {
    let stale = stale.then(|| Stale { reason: "h2 is away".into(), missing: Vec::new() });
    Play::Say(WatchItem::Picture(Box::new(status(9, stale))))
}

#[tokio::test]
async fn a_watch_leaves_an_agent_without_a_quorum_for_one_that_has_it() {
    let without = vec![say(8), picture(true), Play::Stay];
    let one = FakeAgent::start(Script { watches: [without].into(), ..Script::default() }).await;
    let with = vec![picture(false), say(9), ended()];
    let two = FakeAgent::start(Script { watches: [with].into(), ..Script::default() }).await;
    let mut watch =
        client(&[one.address(), two.address()]).watch(&"web".parse().unwrap(), Some(RolloutId(7)), None);
    let (mut seen, mut waited) = (Vec::new(), Vec::new());
    while let Some(step) = watch.next().await.unwrap() {
        match step {
            Step::Item(WatchItem::Event(event)) => seen.push(event.cursor.revision.0),
            Step::Item(_) | Step::Lost(_) => (),
            Step::Waits(waits) => waited.push(waits.reason),
        }
    }
    assert_eq!(seen, [8, 9]);
    assert_eq!(waited, ["no quorum: h2 is away"]);
}

#[tokio::test]
async fn a_watch_ends_when_no_agent_finds_a_quorum() {
    let without = || vec![picture(true), Play::Stay];
    let script = Script { watches: [without(), without(), without()].into(), ..Script::default() };
    let agent = FakeAgent::start(script).await;
    let mut watch = client(&[agent.address()]).watch(&"web".parse().unwrap(), Some(RolloutId(7)), None);
    let began = Instant::now();
    let mut waited = Vec::new();
    let error = loop {
        match watch.next().await {
            Ok(Some(Step::Waits(waits))) => waited.push(waits),
            Ok(step) => assert!(step.is_some(), "the watch ended without a word"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.exit(), Exit::Unavailable);
    assert!(error.to_string().contains("no quorum: h2 is away"), "{error}");
    assert!(PATIENCE.quorum <= began.elapsed(), "gave up after {:?}", began.elapsed());
    assert!(waited.iter().all(|waits| waits.left.is_some()) && !waited.is_empty(), "{waited:?}");
}

#[tokio::test]
async fn a_patient_watch_outlasts_a_lost_quorum_and_misses_nothing() {
    let (first, last) = (vec![say(8), picture(true), Play::Stay], vec![picture(false), say(9), ended()]);
    let agent = FakeAgent::start(Script { watches: [first].into(), ..Script::default() }).await;
    let back = FakeAgent::start(Script::default()).await;
    let addresses = [agent.address(), back.address()];
    let mut watch = client(&addresses).watch(&"web".parse().unwrap(), Some(RolloutId(7)), None).patient();
    let mut seen = Vec::new();
    let follow = async {
        while let Some(step) = watch.next().await.unwrap() {
            match step {
                Step::Item(WatchItem::Event(event)) => seen.push(event.cursor.revision.0),
                Step::Waits(waits) => assert_eq!(waits.left, None),
                Step::Item(_) | Step::Lost(_) => (),
            }
        }
    };
    // The fleet comes back when an impatient watch has long gone.
    let come_back = async {
        tokio::time::sleep(PATIENCE.quorum * 2).await;
        back.script().watches.push_back(last);
    };
    tokio::join!(follow, come_back);
    assert_eq!(seen, [8, 9]);
}

#[tokio::test]
async fn a_stream_that_was_silent_for_long_is_taken_up_again_with_patience() {
    let event = |revision| Play::Say(EventItem::Event(event(revision)));
    let first = vec![event(8), Play::Cut(None)];
    let silent = vec![Play::Silence(2 * PATIENCE.stream), Play::Cut(None)];
    let first = FakeAgent::start(Script { events: [first].into(), ..Script::default() }).await;
    // Nothing happens for longer than patience lasts; then this agent is lost too.
    let second = FakeAgent::start(Script { events: [silent].into(), ..Script::default() }).await;
    let third =
        FakeAgent::start(Script { events: [vec![event(9), Play::Stay]].into(), ..Script::default() }).await;
    let client = client(&[first.address(), second.address(), third.address()]);
    let mut events = client.events(None, None, true);
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        if let Step::Item(EventItem::Event(event)) = events.next().await.unwrap().unwrap() {
            seen.push(event.cursor.revision.0);
        }
    }
    assert_eq!(seen, [8, 9]);
}

#[tokio::test]
async fn a_status_of_several_megabytes_arrives() {
    let tail = "x".repeat(16 << 10);
    let failed = v1::MigrationState { tail, word: v1::MigrationWord::Failed.into(), ..Default::default() };
    let migration =
        |n| v1::Migration { release: format!("r{n}"), state: Some(failed.clone()), ..Default::default() };
    let web = v1::ServiceStatus {
        service: "web".into(),
        policy: Some(model::Policy::default().into()),
        slots: Some(v1::Slots::default()),
        migrations: (0..400).map(migration).collect(),
        ..Default::default()
    };
    let large = v1::StatusResponse { services: vec![web], ..status(9, None).into() };
    let agent = FakeAgent::start(Script { status: Some(Ok(large)), ..Script::default() }).await;
    let seen = client(&[agent.address()]).status(None).await.unwrap();
    assert_eq!(seen.services[0].migrations.len(), 400);
}
