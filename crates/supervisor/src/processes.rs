//! Processes as `/proc` tells them: who they are, who belongs to whom, and signals that cannot hit a stranger.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// Most generations between a process and the service that it belongs to.
const ANCESTORS_LIMIT: usize = 64;

/// A process beyond doubt within one boot: a pid is used again, a pid with its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// The session it was started in: its keeper's.
    pub(crate) session: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) started: u64,
}

/// One line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) fn identity(&self) -> Identity {
        Identity { pid: self.pid, session: self.session, started: self.started }
    }
}

/// What a test wants the boot's id to be: no test can boot its machine. Not in a release build.
pub(crate) const PRETENDED_BOOT: &str = "DEPLOYINATOR_BOOT_ID";

/// This boot's id.
pub(crate) fn boot_id() -> io::Result<String> {
    if let Some(pretended) = std::env::var(PRETENDED_BOOT).ok().filter(|_| cfg!(debug_assertions)) {
        return Ok(pretended);
    }
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The process with this pid; none when there is none, or when it is dead and only waits to be reaped.
pub(crate) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) => match parse(pid, &String::from_utf8_lossy(&line)) {
            Some((_, true)) => Ok(None),
            Some((stat, false)) => Ok(Some(stat)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/{pid}/stat cannot be understood"),
            )),
        },
        // ESRCH: it died between open and read.
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(3) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The process, dead or alive, with whether it is dead. Its name may hold anything, so what counts is after the last `)`.
fn parse(pid: u32, line: &str) -> Option<(Stat, bool)> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let small = |at: usize| number(at).and_then(|n| u32::try_from(n).ok());
    let stat = Stat { pid, parent: small(1)?, group: small(2)?, session: small(3)?, started: number(19)? };
    Some((stat, matches!(*fields.first()?, "Z" | "X" | "x")))
}

/// Reads the identity of a process that was just started and not yet reaped, so that it is known even if it died at once.
pub(crate) fn identify(pid: u32) -> io::Result<Identity> {
    let line = fs::read(format!("/proc/{pid}/stat"))?;
    match parse(pid, &String::from_utf8_lossy(&line)) {
        Some((stat, _)) => Ok(stat.identity()),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat cannot be understood")))
        }
    }
}

/// All living processes.
pub(crate) fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(stat(pid)?);
    }
    Ok(found)
}

/// Whether exactly this process lives.
pub(crate) fn is_alive(identity: Identity) -> io::Result<bool> {
    Ok(stat(identity.pid)?.is_some_and(|stat| stat.started == identity.started))
}

/// Clock ticks since boot: no process that starts from now on has an earlier [`Identity::started`].
pub(crate) fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let per_second = rustix::param::clock_ticks_per_second();
    let whole = now.tv_sec.cast_unsigned() * per_second;
    whole + now.tv_nsec.cast_unsigned() * per_second / 1_000_000_000
}

/// A process that was started as the head of its own group, and what tells its offspring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) identity: Identity,
    pub(crate) environment: &'a BTreeMap<String, String>,
}

/// All living processes that belong to `head`: its group, the descendants of that, and orphans that fell to the
/// keeper. When `other` runs beside it, an orphan belongs to the one whose environment it carries, or to neither.
pub(crate) fn members(everyone: &[Stat], head: Head<'_>, other: Option<Head<'_>>, keeper: u32) -> Vec<Stat> {
    let mut own = group(everyone, head.identity);
    let theirs = other.map(|other| {
        let mut theirs = group(everyone, other.identity);
        descend(everyone, &mut theirs);
        theirs
    });
    for orphan in everyone.iter().filter(|stat| stat.parent == keeper) {
        if theirs.as_ref().is_some_and(|theirs| theirs.contains(&orphan.pid)) {
            continue;
        }
        if other.is_none_or(|other| comes_from(orphan.pid, head, other)) {
            own.insert(orphan.pid);
        }
    }
    descend(everyone, &mut own);
    everyone.iter().filter(|stat| own.contains(&stat.pid)).copied().collect()
}

/// The group that `head` leads.
fn group(everyone: &[Stat], head: Identity) -> BTreeSet<u32> {
    everyone.iter().filter(|stat| is_in_group(stat, head)).map(|stat| stat.pid).collect()
}

/// A group id is a pid and may be used again, so session and start time must fit.
fn is_in_group(stat: &Stat, head: Identity) -> bool {
    stat.group == head.pid && stat.session == head.session && stat.started >= head.started
}

/// Adds all descendants.
fn descend(everyone: &[Stat], found: &mut BTreeSet<u32>) {
    loop {
        let before = found.len();
        for stat in everyone {
            if found.contains(&stat.parent) {
                found.insert(stat.pid);
            }
        }
        if found.len() == before {
            return;
        }
    }
}

/// Whether the process belongs to `head` as in [`members`]. It may be dead by now, if it was not yet reaped.
pub(crate) fn belongs(pid: u32, head: Head<'_>, other: Option<Head<'_>>, keeper: u32) -> bool {
    let mut pid = pid;
    for _ in 0..ANCESTORS_LIMIT {
        let Ok(line) = fs::read(format!("/proc/{pid}/stat")) else { return false };
        let Some((stat, _)) = parse(pid, &String::from_utf8_lossy(&line)) else { return false };
        if is_in_group(&stat, head.identity) {
            return true;
        }
        if other.is_some_and(|other| is_in_group(&stat, other.identity)) {
            return false;
        }
        if stat.parent == keeper {
            return other.is_none_or(|other| comes_from(pid, head, other));
        }
        pid = stat.parent;
    }
    false
}

/// Whether an orphan carries `head`'s environment, and not a larger one of `other`'s.
fn comes_from(pid: u32, head: Head<'_>, other: Head<'_>) -> bool {
    let Ok(bytes) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let carried: BTreeSet<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    let carries = |head: Head<'_>| {
        head.environment.iter().all(|(key, value)| carried.contains(format!("{key}={value}").as_bytes()))
    };
    carries(head) && (!carries(other) || head.environment.len() > other.environment.len())
}

/// A process that `session` started as head of a group since `since`, other than `known`. This is how a keeper finds what
/// its predecessor started when that one died before it could write the pid down.
pub(crate) fn find_started(
    everyone: &[Stat],
    session: u32,
    since: u64,
    known: Option<Identity>,
) -> Option<Identity> {
    let fits = |stat: &&Stat| {
        stat.session == session
            && stat.group == stat.pid
            && stat.pid != session
            && stat.started >= since
            && Some(stat.identity()) != known
    };
    everyone.iter().find(fits).map(Stat::identity)
}

/// Signals exactly this process; that it is gone is no error.
fn signal(identity: Identity, what: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(identity.pid.cast_signed()) else { return Ok(()) };
    let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    // Looked at after the pidfd was opened: what it holds now cannot become another process.
    if !is_alive(identity)? {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&fd, what) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Signals all of `members` once: those in `head`'s group together, so that none can fork away from it, others singly.
pub(crate) fn signal_all(members: &[Stat], head: Identity, what: Signal) -> io::Result<()> {
    let in_group = |stat: &Stat| stat.group == head.pid && stat.session == head.session;
    if let Some(group) = Pid::from_raw(head.pid.cast_signed()).filter(|_| members.iter().any(in_group)) {
        match rustix::process::kill_process_group(group, what) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => (),
            Err(e) => return Err(e.into()),
        }
    }
    members.iter().filter(|stat| !in_group(stat)).try_for_each(|stat| signal(stat.identity(), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_confuse() {
        let line = "7 (a) S (1 2) R 5 6 4 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        let (stat, dead) = parse(7, line).unwrap();
        assert_eq!(stat, Stat { pid: 7, parent: 5, group: 6, session: 4, started: 4711 });
        assert!(!dead);
        assert!(parse(7, "7 (a Z 5").is_none());
    }

    #[test]
    fn this_process_lives_and_a_later_one_with_its_pid_is_another() {
        let me = identify(std::process::id()).unwrap();
        assert!(is_alive(me).unwrap());
        assert!(!is_alive(Identity { started: me.started + 1, ..me }).unwrap());
        assert!(ticks() >= me.started);
    }

    #[test]
    fn what_a_lost_keeper_started_is_found_by_session_and_time() {
        let stat = |pid, group, session, started| Stat { pid, parent: 1, group, session, started };
        let service = stat(200, 200, 100, 15);
        let everyone = [
            stat(100, 100, 100, 12), // the keeper's own session, by another head
            stat(150, 150, 100, 9),  // started before
            stat(151, 151, 101, 15), // of another session
            service,
            stat(201, 200, 100, 16), // its child
        ];
        assert_eq!(find_started(&everyone, 100, 10, None), Some(service.identity()));
        assert_eq!(find_started(&everyone, 100, 10, Some(service.identity())), None);
        assert_eq!(find_started(&everyone, 100, 16, None), None);
    }

    #[test]
    fn orphans_and_those_who_left_the_group_belong_to_their_head() {
        let environment = BTreeMap::new();
        let stat = |pid, parent, group, session| Stat { pid, parent, group, session, started: 10 };
        let everyone = [
            stat(100, 1, 100, 100),   // the keeper
            stat(200, 100, 200, 100), // the service
            stat(201, 200, 200, 100), // its child
            stat(202, 201, 202, 202), // its grandchild, in a session of its own
            stat(203, 100, 203, 203), // an orphan
            stat(300, 1, 200, 300),   // a stranger whose group has the same number
        ];
        let head = Head { identity: everyone[1].identity(), environment: &environment };
        let pids: Vec<u32> = members(&everyone, head, None, 100).iter().map(|m| m.pid).collect();
        assert_eq!(pids, [200, 201, 202, 203]);
    }
}
