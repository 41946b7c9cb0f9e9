//! How a program is started, and as whom.

use std::{collections::BTreeMap, path::PathBuf};

use model::{Fence, ReleaseId};
use serde::{Deserialize, Serialize};

/// How a program is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The grant under which it is done. Older ones than the newest seen are refused.
    pub fence: Fence,
    /// The release it belongs to.
    pub release: ReleaseId,
    /// The program: `ROOT/bin/serve` or `ROOT/bin/migrate`.
    pub program: PathBuf,
    /// Its whole environment; nothing is inherited but what stands here and in the manner's files.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub working_directory: PathBuf,
    /// How it is run, beyond that.
    #[serde(default)]
    pub manner: Manner,
}

/// How a program is run. A keeper that does not know one of these refuses the launch, rather than run it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// When it counts as ready. Services only.
    #[serde(default)]
    pub readiness: Readiness,
    /// As whom it runs; none: as the supervisor itself.
    #[serde(default)]
    pub account: Option<Account>,
    /// Files that add to its environment, a later one over an earlier one. Read at each start.
    #[serde(default)]
    pub environment_files: Vec<EnvironmentFile>,
    /// What tells it to stop.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// What it may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// The cgroup below which it gets one of its own; none where there are none to be had.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
}

impl Manner {
    /// Whether a keeper that has never heard of manners does all the same with it. A cgroup without limits only helps to find processes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self { cgroup: self.cgroup.clone(), ..Self::default() }
    }
}

/// What a program, with all that it starts, may use at most. What is not given is as it is for the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Files that one process may have open (`RLIMIT_NOFILE`).
    #[serde(default)]
    pub open_files: Option<u64>,
    /// Longest core file, in bytes (`RLIMIT_CORE`); 0: none is written.
    #[serde(default)]
    pub core_bytes: Option<u64>,
    /// Processes and threads: of the program, where it has a cgroup, and otherwise of its user (`RLIMIT_NPROC`).
    #[serde(default)]
    pub processes: Option<u64>,
    /// Memory, in bytes. Only with a cgroup.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Its share of the processors when they are short; 100 is everybody's. Only with a cgroup.
    #[serde(default)]
    pub cpu_weight: Option<u64>,
}

/// When a service counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// As soon as it runs.
    #[default]
    Up,
    /// When it has said `READY=1` to the socket that `NOTIFY_SOCKET` names, as `sd_notify` does.
    Notify,
}

/// As whom a program runs. It is in no other groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name, for people.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A file of `NAME=VALUE` lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// Where it is. Absolute.
    pub path: PathBuf,
    /// It need not be there.
    pub optional: bool,
}

/// A signal that tells a service to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the signal of its name")]
pub enum StopSignal {
    Hup,
    Int,
    Quit,
    #[default]
    Term,
    Usr1,
    Usr2,
    Winch,
}

impl StopSignal {
    /// All there are, by name.
    pub const ALL: [(&str, Self); 7] = [
        ("SIGTERM", Self::Term),
        ("SIGINT", Self::Int),
        ("SIGQUIT", Self::Quit),
        ("SIGHUP", Self::Hup),
        ("SIGUSR1", Self::Usr1),
        ("SIGUSR2", Self::Usr2),
        ("SIGWINCH", Self::Winch),
    ];
}
