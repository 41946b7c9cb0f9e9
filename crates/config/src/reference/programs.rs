//! The keys that say how a service's programs are run.

use ports::supervisor::StopSignal;

use super::{Key, key, quoted};
use crate::settings::DEFAULTS;

pub(super) fn keys() -> Vec<Key> {
    let stop_signal = StopSignal::ALL.iter().find(|(_, signal)| *signal == DEFAULTS.stop_signal);
    let stop_signal = stop_signal.map_or("", |(name, _)| *name);
    let mut keys = vec![
        key(
            "service.NAME.user",
            "user, by name or number",
            "the agent's",
            "As whom it runs. It is in no other groups.",
        ),
        key("service.NAME.group", "group, by name or number", "the user's", "The group that it runs in."),
        key("service.NAME.working_directory", "absolute path", "the release", "Where it runs."),
        key(
            "service.NAME.stop_signal",
            "`\"SIGTERM\"`, `\"SIGINT\"`, `\"SIGQUIT\"`, `\"SIGHUP\"`, `\"SIGUSR1\"`, `\"SIGUSR2\"` or `\"SIGWINCH\"`",
            quoted(stop_signal),
            "What tells `bin/serve` to stop: all its processes get it. After the policy's `stop_grace` comes SIGKILL.",
        ),
        key(
            "service.NAME.environment_files",
            "list of absolute paths",
            "none",
            "Files of `NAME=VALUE` lines, as systemd reads them, over `environment`; a later one over an earlier \
             one. Read at each start. With `-` before it, a file may be missing.",
        ),
    ];
    keys.extend(limits());
    keys
}

fn limits() -> Vec<Key> {
    const AS_AGENT: &str = "the agent's";
    vec![
        key(
            "service.NAME.limits.open_files",
            "256 to 1073741824",
            AS_AGENT,
            "Files that each of its processes may have open.",
        ),
        key(
            "service.NAME.limits.core_bytes",
            "0 to 1099511627776",
            AS_AGENT,
            "Longest core file; 0 for none.",
        ),
        key(
            "service.NAME.limits.processes",
            "1 to 4194304",
            AS_AGENT,
            "Its processes and threads. Without a cgroup, all those of its user count, and root is not held to it.",
        ),
        key(
            "service.NAME.limits.memory_bytes",
            "1048576 to 1099511627776",
            "none",
            "Its memory; past that the kernel kills one of its processes. Kept only with a cgroup of version 2: \
             `deployinatord check` says whether there is one.",
        ),
        key(
            "service.NAME.limits.cpu_weight",
            "1 to 10000",
            "`100`",
            "Its share of the processors while they are short. Kept only with a cgroup.",
        ),
    ]
}
