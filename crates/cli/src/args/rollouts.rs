//! What begins rollouts, follows them, shows them and stops them.

use std::{path::PathBuf, time::Duration};

use api::view::Cursor;
use clap::{ArgGroup, Args, ValueEnum};
use model::{RolloutId, ServiceName};

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The release: a directory with bin/serve and, optionally, bin/migrate; or a Nix store path, or a link to one such as ./result; or -
    /// for what `nix build --json` prints, on standard input.
    pub(crate) source: PathBuf,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// The policy of the service from now on, as a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Only say what would happen, and what stands against it now. Nothing is changed.
    #[arg(long, conflicts_with = "waits")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Where the release comes from, for the record. What is not said is taken from the environment of GitHub Actions, GitLab or Buildkite.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// The revision that the release was built from; in CI: the one that it runs for.
    #[arg(long, value_name = "REV")]
    pub(crate) git_rev: Option<String>,
    /// The run of CI that pushes it, as its address; in CI: this run.
    #[arg(long, value_name = "URL")]
    pub(crate) ci_run: Option<String>,
    /// Who made the change; in CI: who caused the run.
    #[arg(long, value_name = "WHO")]
    pub(crate) author: Option<String>,
}

/// What begins a rollout to a release that the fleet knows already.
#[derive(Debug, Args)]
pub(crate) struct Begin {
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) by: By,
}

/// The rollout under way of one service, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Leave changed hosts on the new release, and the fleet mixed.
    #[arg(long)]
    pub(crate) leave: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("waits").multiple(true).args(["wait", "until"])))]
pub(crate) struct Wait {
    /// Follow the rollout to its end, and end with its exit code.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Follow the rollout until then: `canary` ends with 0 as soon as the first wave has soaked, while the rollout goes on.
    #[arg(long, value_enum)]
    pub(crate) until: Option<Until>,
    /// Give up waiting after this time, with exit code 75; the rollout goes on.
    #[arg(long, value_parser = humantime::parse_duration, requires = "waits")]
    pub(crate) timeout: Option<Duration>,
}

impl Wait {
    /// Until when the rollout is followed; not at all when nobody asked for it.
    pub(crate) fn until(&self) -> Option<Until> {
        self.until.or(self.wait.then_some(Until::Done))
    }
}

/// Until when a rollout is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// The first wave has soaked.
    Canary,
    /// The rollout is over.
    Done,
}

/// Who asks, where a reason is welcome.
#[derive(Debug, Args)]
pub(crate) struct By {
    /// Who asks, for the record.
    #[arg(long, env = "USER", default_value = "")]
    pub(crate) by: String,
    /// Why, for the record.
    #[arg(long, default_value = "", value_name = "WHY")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The rollout, such as r12; the one under way, or else the last.
    pub(crate) rollout: Option<RolloutId>,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// Follow it until then.
    #[arg(long, value_enum, default_value_t = Until::Done)]
    pub(crate) until: Until,
    /// Give up after this time, with exit code 75; the rollout goes on.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One service only.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
    /// A line for every host, however many there are.
    #[arg(long)]
    pub(crate) all: bool,
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
