//! Agents that operators ask something of, and what came of it.

use api::{
    fake::{FakeAgent, Operated, Script},
    view::Status,
};

use super::{Said, fleet};

/// An agent whose fleet is in the middle of a rollout.
pub(crate) async fn agent() -> FakeAgent {
    let script = Script {
        status: Some(Ok(fleet::status().into())),
        cluster: Some(Ok(fleet::cluster().into())),
        history: fleet::history().into(),
        ..Script::default()
    };
    FakeAgent::start(script).await
}

/// An agent that answers these, one after the other, and then the last one again.
pub(crate) async fn with(statuses: Vec<Status>) -> FakeAgent {
    let last = statuses.last().cloned().expect("a status");
    let statuses = statuses.into_iter().map(Into::into).collect();
    FakeAgent::start(Script { statuses, status: Some(Ok(last.into())), ..Script::default() }).await
}

/// What operators asked of it.
pub(crate) fn asked(agent: &FakeAgent) -> Vec<Operated> {
    agent.script().operated.clone()
}

pub(crate) fn contains(said: &Said, words: &[&str]) {
    for word in words {
        assert!(said.out.contains(word), "{word:?} is not in:\n{}{}", said.out, said.err);
    }
}
