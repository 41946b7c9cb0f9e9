//! Ends what was started, and nothing else: keepers and services leave their parents on purpose, so that this process adopts them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(8);

/// Makes this process the parent of whatever its descendants leave behind.
///
/// # Errors
/// The kernel refused.
pub fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Every process below this one, whatever it is called and whoever started it.
#[must_use]
pub fn descendants() -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(pid) = open.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(below.iter().copied().filter_map(Pid::from_raw));
        open.extend(below);
    }
    found
}

/// The parent in `/proc/PID/stat`: the second field after the command's closing parenthesis. A zombie has ended already.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.next()?.parse().ok()).flatten()
}

/// Whether a process works in `dir`, or was told of it: its working directory or an argument is there.
#[must_use]
pub fn is_of(pid: Pid, dir: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let works_there = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let arguments = || fs::read(proc.join("cmdline")).unwrap_or_default();
    works_there
        || arguments()
            .split(|byte| *byte == 0)
            .any(|part| Path::new(OsStr::from_bytes(part)).starts_with(dir))
}

/// Kills every process below this one that is of `dir`, and waits until they are gone. Others are left alone.
pub fn kill_of(dir: &Path) {
    loop {
        let left: Vec<Pid> = descendants().into_iter().filter(|pid| is_of(*pid, dir)).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            // One that is gone by now is as wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends every process below this one, and waits until they are gone.
pub fn end_all() {
    let began = Instant::now();
    let mut signal = Signal::TERM;
    loop {
        let left = descendants();
        if left.is_empty() {
            return;
        }
        for pid in left {
            // One that is gone by now is as wanted.
            let _ = kill_process(pid, signal);
        }
        if GRACE < began.elapsed() {
            signal = Signal::KILL;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
