//! What calls come to when several agents were asked.

use model::{RolloutId, fleet::Refusal};

use super::*;
use crate::{
    client::Step,
    exit::Exit,
    fake::{FakeAgent, Play, Script},
    refusal,
    view::{Cursor, Gap, WatchItem},
};

fn push() -> Push {
    Push {
        service: "web".parse().unwrap(),
        source: "/srv/web".into(),
        policy: None,
        by: Operator::default(),
        provenance: Default::default(),
    }
}

async fn answers(push: Result<Pushed, Status>) -> FakeAgent {
    FakeAgent::start(Script { push: Some(push), ..Script::default() }).await
}

async fn outcome(agents: [&FakeAgent; 2]) -> Result<Pushed, ClientError> {
    Client::new(agents.map(|agent| agent.address().clone()).into()).push(push()).await
}

#[tokio::test]
async fn what_may_still_be_done_stays_so_when_the_next_agent_refuses() {
    let lost = answers(Err(refusal::answer_lost("a leader was given it"))).await;
    let no = answers(Err(refusal::refused(&Refusal::NotNow("not now".into())))).await;
    let error = outcome([&lost, &no]).await.unwrap_err();
    assert!(matches!(error, ClientError::AnswerLost { again: true, .. }), "{error:?}");
    assert_eq!(error.exit(), Exit::Unavailable, "5 would say that nothing was changed");
    assert_eq!((lost.script().pushed.len(), no.script().pushed.len()), (1, 1));
    // Refused before anything was lost, it is a refusal.
    let error = outcome([&no, &lost]).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn what_may_still_be_done_is_done_when_the_next_agent_says_so() {
    let lost = answers(Err(refusal::answer_lost("a leader was given it"))).await;
    let pushed = Pushed { rollout: RolloutId(7), joined: true, release: None, after: None };
    let there = answers(Ok(pushed.clone())).await;
    assert_eq!(outcome([&lost, &there]).await, Ok(pushed));
}

#[tokio::test]
async fn an_agent_whose_store_is_in_trouble_is_passed_over() {
    let next = Some("push again");
    let fault = refusal::status(tonic::Code::Unavailable, Exit::Unavailable, "read /srv/web: i/o", next);
    let sick = answers(Err(fault)).await;
    let pushed = Pushed { rollout: RolloutId(7), joined: false, release: None, after: None };
    let well = answers(Ok(pushed.clone())).await;
    assert_eq!(outcome([&sick, &well]).await, Ok(pushed));
    let error = outcome([&sick, &sick]).await.unwrap_err();
    assert_eq!((error.exit(), error.next().as_deref()), (Exit::Unavailable, next));
    assert!(error.to_string().contains("read /srv/web: i/o"), "{error}");
}

#[tokio::test]
async fn an_agent_with_no_room_for_another_stream_is_passed_over() {
    let full = Status::resource_exhausted("2048 watches are open at this agent");
    let play = vec![Play::Cut(Some(full))];
    let full = FakeAgent::start(Script { watches: [play].into(), ..Script::default() }).await;
    let gap = Gap { resumes_at: Cursor::default() };
    let play = vec![Play::Say(WatchItem::Gap(gap)), Play::Stay];
    let well = FakeAgent::start(Script { watches: [play].into(), ..Script::default() }).await;
    let client = Client::new(vec![full.address().clone(), well.address().clone()]);
    let mut watch = client.watch(&"web".parse().unwrap(), Some(RolloutId(7)), None);
    loop {
        match watch.next().await.unwrap().expect("it goes on") {
            Step::Lost(lost) => assert!(lost.reason.starts_with("2048 watches"), "{lost:?}"),
            Step::Item(item) => {
                assert_eq!(item, WatchItem::Gap(gap));
                return;
            }
            Step::Waits(waits) => panic!("{waits:?}"),
        }
    }
}
