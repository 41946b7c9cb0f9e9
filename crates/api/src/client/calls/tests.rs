//! What calls come to when several agents were asked.

use model::{RolloutId, fleet::Refusal};

use super::*;
use crate::{
    exit::Exit,
    fake::{FakeAgent, Script},
    refusal,
};

fn push() -> Push {
    Push { service: "web".parse().unwrap(), source: "/srv/web".into(), policy: None, by: Operator::default() }
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
