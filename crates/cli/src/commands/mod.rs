//! One file for each command, or for commands that do the same.

mod asking;
mod events;
mod rollouts;

use api::Client;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
    render::Printer,
};

/// What every command has.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) printer: Printer,
}

/// Does what the arguments say, and returns the exit code.
pub(crate) async fn run(arguments: Arguments) -> Result<u8, Failure> {
    let Arguments { common, command } = arguments;
    let mut context =
        Context { client: Client::new(common.agents), printer: Printer::new(common.output, common.color) };
    match command {
        Command::Push(push) => rollouts::push(&mut context, push).await,
        Command::Rollback(rollback) => rollouts::rollback(&mut context, rollback).await,
        Command::Watch(watch) => rollouts::watch(&mut context, watch).await,
        Command::Status(status) => asking::status(&mut context, status).await,
        Command::History(history) => asking::history(&mut context, history).await,
        Command::Events(events) => events::events(&mut context, events).await,
    }
}
