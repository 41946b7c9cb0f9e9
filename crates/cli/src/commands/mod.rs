//! One file for each command, or for commands that do the same.

mod asking;
mod confirm;
mod events;
mod follow;
mod hosts;
mod locks;
mod logs;
mod overrides;
mod policy;
mod provenance;
mod recovery;
mod rollouts;
mod shell;
mod source;
mod stopping;

use api::{Client, view::ServiceStatus};
use model::{ServiceName, fleet::Operator};

use crate::{
    args::{self, Arguments, By, Command, Word},
    failure::Failure,
    render::Printer,
};

/// What every command has.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) printer: Printer,
    pub(crate) json: bool,
}

/// Does what the arguments say, and returns the exit code.
pub(crate) async fn run(arguments: Arguments) -> Result<u8, Failure> {
    let json = arguments.is_json();
    let Arguments { common, command } = arguments;
    let mut context = Context {
        client: Client::new(common.agents),
        printer: Printer::new(common.output, common.color),
        json,
    };
    let context = &mut context;
    match command {
        Command::Push(args) => rollouts::push(context, args).await,
        Command::Rollback(args) => rollouts::rollback(context, args).await,
        Command::Restart(args) => rollouts::restart(context, args).await,
        Command::Watch(args) => follow::watch(context, args).await,
        Command::Status(args) => asking::status(context, args).await,
        Command::History(args) => asking::history(context, args).await,
        Command::Events(args) => events::events(context, args).await,
        Command::Logs(args) => logs::logs(context, args).await,
        Command::Pause(args) => stopping::pause(context, args).await,
        Command::Resume(args) => stopping::resume(context, args).await,
        Command::Abort(args) => stopping::abort(context, args).await,
        Command::Locks(args::Locks::List(args)) => locks::list(context, args).await,
        Command::Locks(args::Locks::Break(args)) => locks::break_it(context, args).await,
        Command::Hosts(args) => hosts::run(context, args).await,
        Command::Migration(args::Migration::Show(args)) => asking::migrations(context, args).await,
        Command::Migration(args::Migration::Resolve(args)) => overrides::resolve(context, args).await,
        Command::Quarantine(args::Quarantine::List(args)) => asking::quarantine(context, args).await,
        Command::Quarantine(args::Quarantine::Release(args)) => overrides::release(context, args).await,
        Command::Policy(args::Policy::Show(args)) => policy::show(context, args).await,
        Command::Policy(args::Policy::Set(args)) => policy::set(context, args).await,
        Command::Cluster(args::Cluster::Show) => asking::cluster(context).await,
        Command::Cluster(args::Cluster::Bootstrap(args)) => overrides::bootstrap(context, args).await,
        Command::Cluster(args::Cluster::Backup(args)) => recovery::backup(context, args).await,
        Command::Cluster(args::Cluster::Recover(args)) => recovery::recover(context, args).await,
        Command::Completions(args) => Ok(shell::completions(&args)),
        Command::Man(args) => shell::man(&args),
    }
}

impl Context {
    /// How a service is, where that can be told; for what is said around an answer, never for the answer.
    async fn look(&self, service: &ServiceName) -> Option<ServiceStatus> {
        let status = self.client.status(Some(service)).await.ok()?;
        status.services.into_iter().find(|found| found.service == *service)
    }
}

fn operator(by: By) -> Operator {
    Operator { name: named(by.by), reason: by.reason }
}

impl Word {
    fn operator(&self) -> Operator {
        Operator { name: named(self.by.clone()), reason: self.reason.clone() }
    }
}

/// Nobody's word is recorded as nobody's.
fn named(by: String) -> String {
    if by.is_empty() { format!("uid {}", rustix::process::getuid().as_raw()) } else { by }
}
