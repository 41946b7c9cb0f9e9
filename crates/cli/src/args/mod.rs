//! The command line's arguments: one file for what moves and shows rollouts, one for what operators do beside them.

mod logs;
#[cfg(test)]
mod named;
mod operators;
mod rollouts;
#[cfg(test)]
mod runbooks;

use api::Address;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{logs::*, operators::*, rollouts::*};

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
3 halted until an operator decides, 4 superseded, 5 rejected, 64 wrong usage, 69 no agent or no quorum, 75 gave up waiting, \
130 interrupted.";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Common {
    /// An agent, as ADDRESS or ADDRESS:PORT. Any agent will do; several are tried in turn.
    #[arg(
        long = "agent",
        global = true,
        display_order = 900,
        value_name = "ADDRESS",
        env = "DEPLOYINATOR_AGENTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7100"
    )]
    pub(crate) agents: Vec<Address>,
    /// How to print: `text` for people; `json` for programs, one object, or one object a line for what goes on.
    #[arg(long, global = true, display_order = 901, hide_possible_values = true, value_name = "text|json", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// When to use colour: `auto` on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, display_order = 902, hide_possible_values = true, value_name = "auto|always|never", value_enum, default_value_t = Color::Auto)]
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
    Rollback(Begin),
    /// Restart the present release of a service on all its hosts, under the same slots.
    Restart(Begin),
    /// Freeze a rollout and its deadlines; hosts in mid-step finish.
    Pause(Of),
    /// End a pause or a halt.
    Resume(Of),
    /// Give a rollout up: what was changed is taken back.
    Abort(Abort),
    /// What happened, in order.
    Events(Events),
    /// What bin/serve and bin/migrate of a service wrote, on all its hosts.
    Logs(Logs),
    /// Who holds which lock, and how to free one whose holder does not.
    #[command(subcommand)]
    Locks(Locks),
    /// The hosts of the fleet, and what operators do to them.
    #[command(subcommand)]
    Hosts(Hosts),
    /// What is known of migrations, and how to say what nobody saw.
    #[command(subcommand)]
    Migration(Migration),
    /// Releases that failed and are kept from use.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// How a service is rolled.
    #[command(subcommand)]
    Policy(Policy),
    /// Who carries the log, how to form a cluster without a lost host, and how to rebuild one that lost its majority.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Print a script that completes this command line, for a shell to read.
    Completions(Completions),
    /// Print this command line's manual page, or write all of its pages to a directory.
    Man(Man),
}

impl Arguments {
    pub(crate) fn is_json(&self) -> bool {
        self.common.output == Output::Json
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
