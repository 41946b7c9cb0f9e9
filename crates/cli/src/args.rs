//! The command line's arguments.

use std::{path::PathBuf, time::Duration};

use api::{Address, view::Cursor};
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{RolloutId, ServiceName};

/// Moves services of a fleet to releases, and shows how that goes.
#[derive(Debug, Parser)]
#[command(name = "deployinator", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed or rolled back or aborted, 2 the roll back failed as well, \
3 halted until an operator decides, 4 superseded, 5 rejected, 64 wrong usage, 69 no agent or no quorum, 75 gave up waiting.";

#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// An agent, as ADDRESS or ADDRESS:PORT. Any agent will do; several are tried in turn.
    #[arg(
        long = "agent",
        global = true,
        env = "DEPLOYINATOR_AGENTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7100"
    )]
    pub(crate) agents: Vec<Address>,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one object, or one object a line for what goes on.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move a service to a release.
    Push(Push),
    /// Follow a rollout to its end, and end with its exit code.
    Watch(Watch),
    /// How the cluster is now, and why whatever waits does.
    Status(Status),
    /// The last rollouts of a service.
    History(History),
    /// Move a service back to the completed release before the present one.
    Rollback(Rollback),
    /// What happened, in order.
    Events(Events),
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The release: a directory with bin/serve and, optionally, bin/migrate.
    pub(crate) source: PathBuf,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// The policy of the service from now on, as a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Follow the rollout to its end, and end with its exit code.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this time, with exit code 75; the rollout goes on.
    #[arg(long, value_parser = humantime::parse_duration, requires = "wait")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct By {
    /// Who asks, for the record.
    #[arg(long, env = "USER", default_value = "")]
    pub(crate) by: String,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The rollout, such as r12; the one under way, or else the last.
    pub(crate) rollout: Option<RolloutId>,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// Give up after this time, with exit code 75; the rollout goes on.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One service only.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// At most this many rollouts.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// One service only.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
    /// Stay, and print what happens next.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only what came after this place, such as 42.0.
    #[arg(long)]
    pub(crate) after: Option<Cursor>,
}

impl Arguments {
    pub(crate) fn is_json(&self) -> bool {
        self.common.output == Output::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_contradict_nothing() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_timeout_without_a_wait_is_wrong_usage() {
        let parsed =
            Arguments::try_parse_from(["deployinator", "push", "x", "--service", "web", "--timeout", "5s"]);
        assert!(parsed.is_err());
        let parsed = Arguments::try_parse_from([
            "deployinator",
            "push",
            "x",
            "--service",
            "web",
            "--wait",
            "--timeout",
            "5s",
        ]);
        let Command::Push(push) = parsed.unwrap().command else { panic!("another command") };
        assert_eq!(push.wait.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn names_are_checked_before_anybody_is_asked() {
        assert!(Arguments::try_parse_from(["deployinator", "history", "--service", "a b"]).is_err());
        assert!(Arguments::try_parse_from(["deployinator", "watch", "r1x", "--service", "web"]).is_err());
    }
}
