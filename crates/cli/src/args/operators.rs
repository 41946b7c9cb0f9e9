//! What operators do beside rollouts. Where somebody's word replaces evidence, a reason is owed and a confirmation asked for.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use model::{HostId, ReleaseId, ServiceName};

use super::By;

/// Who asks and why, where the word replaces evidence.
#[derive(Debug, Args)]
pub(crate) struct Word {
    /// Who asks, for the record.
    #[arg(long, env = "USER", default_value = "")]
    pub(crate) by: String,
    /// Why, for the record; owed, as your word replaces evidence.
    #[arg(long, value_name = "WHY", value_parser = reason)]
    pub(crate) reason: String,
    /// Do not ask for a confirmation.
    #[arg(long)]
    pub(crate) yes: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty".into()) } else { Ok(text.to_owned()) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Locks {
    /// Who holds which lock, since when, what the holder does, and what would free it.
    List(OneOrAll),
    /// Free a lock whose holder does not. If the holder is alive, you answer for what follows.
    Break(Break),
}

/// One service, or all of them.
#[derive(Debug, Args)]
pub(crate) struct OneOrAll {
    /// One service only.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
}

#[derive(Debug, Args)]
pub(crate) struct Break {
    /// The host whose slot is broken.
    #[arg(required_unless_present = "migration")]
    pub(crate) host: Option<HostId>,
    /// Break the migration lock instead. What became of the migration is then unknown.
    #[arg(long, conflicts_with = "host")]
    pub(crate) migration: bool,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hosts {
    /// Every host: where it is, whether it is heard of, and what it runs.
    List,
    /// Take a host out of service under a slot, and keep it out.
    Drain(HostAct),
    /// End a drain: the host starts its release again and joins.
    Admit(HostAct),
    /// Take a host out of the sum that max_unavailable limits, and out of rollouts.
    Exclude(HostWord),
    /// End an exclusion.
    Include(HostBy),
    /// Say that a host is no more, in place of the cloud. Its locks are freed, and its name may be given to another machine.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct HostAct {
    /// The host.
    pub(crate) host: HostId,
    /// One service only; all that the host declares when absent.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
    /// Wait until it is so.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this time, with exit code 75, or 69 where no majority of the voters answers; what was asked for still holds.
    /// Without it, a majority that is missing is waited for for a minute.
    #[arg(long, value_parser = humantime::parse_duration, requires = "wait")]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Args)]
pub(crate) struct HostBy {
    /// The host.
    pub(crate) host: HostId,
    /// One service only; all that the host declares when absent.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Args)]
pub(crate) struct HostWord {
    /// The host.
    pub(crate) host: HostId,
    /// One service only; all that the host declares when absent.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The host.
    pub(crate) host: HostId,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Migration {
    /// What is known of each migration, with the end of its output.
    Show(MigrationShow),
    /// Say how a migration has ended whose end nobody saw, or have a failed one tried again.
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub(crate) struct MigrationShow {
    /// One release only.
    pub(crate) release: Option<ReleaseId>,
    /// One service only.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The release.
    pub(crate) release: ReleaseId,
    /// What happened in truth.
    #[arg(value_enum)]
    pub(crate) verdict: Verdict,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) word: Word,
}

/// What happened to a migration in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verdict {
    /// It did all it should; the rollout goes on.
    Succeeded,
    /// It did not; the release is quarantined.
    Failed,
    /// It may be started again.
    Retry,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Releases that failed and are kept from use, and how they failed.
    List(OneOrAll),
    /// Let a quarantined release be used again.
    Release(QuarantineRelease),
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineRelease {
    /// The release.
    pub(crate) release: ReleaseId,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// The policy of a service, as a file that `policy set` takes.
    Show(OneOrAll),
    /// Replace the policy of a service.
    Set(PolicySet),
}

#[derive(Debug, Args)]
pub(crate) struct PolicySet {
    /// The whole policy, as a TOML file; a key that it does not have gets its default.
    pub(crate) file: PathBuf,
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Who carries the log, who leads, who is silent.
    Show,
    /// Have an agent that is in no cluster yet form one without hosts that are lost.
    Bootstrap(Bootstrap),
    /// Write down what a recovery needs: the replicated state and who votes.
    Backup(Backup),
    /// Rebuild a cluster whose majority is lost, from what a voter that is left holds, or from a backup.
    Recover(Recover),
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write, whole or not at all; the standard output when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// A voter that is lost: all that do not answer, and no other; may be given several times. With --from, all voters of the backup, and those that do not answer of the cluster that the agent is in.
    #[arg(long, required = true, value_name = "HOST", num_args = 1..)]
    pub(crate) lost: Vec<HostId>,
    /// Rebuild from this backup, where no voter's disk is left.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Only tell what would be kept and what would be lost.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// A host to go on without; may be given several times.
    #[arg(long, required = true, value_name = "HOST")]
    pub(crate) without: Vec<HostId>,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write one page for each command into this directory, which is made.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}
