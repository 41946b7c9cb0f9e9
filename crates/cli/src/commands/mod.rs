//! One file for each command, or for commands that do the same.

mod asking;
mod events;
mod rollouts;

use crate::{
    args::{Arguments, Command},
    connect::Agents,
    failure::Failure,
    render::Printer,
};

/// What every command has.
pub(crate) struct Context {
    pub(crate) agents: Agents,
    pub(crate) printer: Printer,
}

/// Does what the arguments say, and returns the exit code.
pub(crate) async fn run(arguments: Arguments) -> Result<u8, Failure> {
    let Arguments { common, command } = arguments;
    let mut context = Context {
        agents: Agents::parse(&common.agents)?,
        printer: Printer::new(common.output, common.color),
    };
    match command {
        Command::Push(push) => rollouts::push(&mut context, push).await,
        Command::Rollback(rollback) => rollouts::rollback(&mut context, rollback).await,
        Command::Watch(watch) => rollouts::watch(&mut context, watch).await,
        Command::Status(status) => asking::status(&mut context, status).await,
        Command::History(history) => asking::history(&mut context, history).await,
        Command::Events(events) => events::events(&mut context, events).await,
    }
}

/// An answer that makes no sense: another version of the API.
pub(crate) fn unreadable(error: &api::Invalid) -> Failure {
    let text = format!("the agent's answer cannot be read: {error}");
    Failure::new(api::Exit::Unavailable, text, Some("use the deployinator of the agents' release"))
}
