//! Cables on which everything takes a while. The kernels that labs run on cannot delay what they pass on, so this process does it: the cable
//! is cut in two, each end is a tap without an interface of its own (`macvtap`), and what comes out of one is put into the other later.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, makedev, mknodat},
};

use super::{Net, SWITCH, cable, run};

/// As long as the longest thing that comes out of a tap, with the kernel's own words before it.
const LONGEST: usize = 70_000;
/// How often a cable without frames looks whether it is still wanted.
const IDLE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A cable that takes its time. Dropping it makes it quick again.
#[derive(Debug)]
pub(crate) struct Slow {
    number: u8,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _nodes: tempfile::TempDir,
}

impl Net {
    /// From now on everything between this host and the switch takes so long, each way. What [`super::Net::cut_off`] cuts is not for slow
    /// cables.
    ///
    /// # Errors
    /// A program fails.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn slow_down(&self, number: u8, delay: Duration) -> Result<Slow> {
        let (near, far) = (cable(number), format!("y{number}"));
        let plug = format!("x{number}");
        run(&["ip", "link", "set", &near, "nomaster"])?;
        run(&["ip", "link", "add", &plug, "type", "veth", "peer", "name", &far])?;
        for end in [&plug, &far] {
            run(&["ip", "link", "set", end, "up"])?;
        }
        run(&["ip", "link", "set", &plug, "master", SWITCH])?;
        let nodes = tempfile::tempdir().context("make a directory for taps")?;
        let host = Arc::new(tap(&near, &format!("s{number}"), nodes.path())?);
        let switch = Arc::new(tap(&far, &format!("t{number}"), nodes.path())?);
        let over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (from, to) in [(&host, &switch), (&switch, &host)] {
            let (frames, later) = channel();
            let (from, to, over) = (from.clone(), to.clone(), over.clone());
            threads.push(thread::spawn(move || take(&from, delay, &frames, &over)));
            threads.push(thread::spawn(move || put(&to, &later)));
        }
        Ok(Slow { number, over, threads, _nodes: nodes })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let (near, gone) = (cable(self.number), [format!("s{}", self.number), format!("x{}", self.number)]);
        for link in &gone {
            let _ = run(&["ip", "link", "del", link]);
        }
        let _ = run(&["ip", "link", "set", &near, "master", SWITCH]);
    }
}

/// Makes a tap at an end of a cable, and opens it.
fn tap(end: &str, name: &str, nodes: &Path) -> Result<File> {
    run(&["ip", "link", "add", "link", end, "name", name, "type", "macvtap", "mode", "passthru"])?;
    run(&["ip", "link", "set", name, "up"])?;
    // What /sys shows is of the network namespace in which it was mounted.
    let script = format!("mount -t sysfs sysfs /sys && cat /sys/class/net/{name}/tap*/dev");
    let said = run(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &script])?;
    let (major, minor) = said.trim().split_once(':').with_context(|| format!("the device of {name}"))?;
    let node: PathBuf = nodes.join(name);
    let device = makedev(major.parse().context("its major number")?, minor.parse().context("its minor")?);
    mknodat(CWD, &node, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, device).context("make a node")?;
    fs::OpenOptions::new().read(true).write(true).open(&node).with_context(|| format!("open the tap {name}"))
}

/// Notes for each frame when it is due.
fn take(tap: &File, delay: Duration, frames: &Sender<(Instant, Vec<u8>)>, over: &AtomicBool) {
    let mut frame = vec![0; LONGEST];
    while !over.load(Ordering::SeqCst) {
        let mut ready = [PollFd::new(tap, PollFlags::IN)];
        if !poll(&mut ready, Some(&IDLE)).is_ok_and(|ready| 0 < ready) {
            continue;
        }
        let mut tap = tap;
        let Ok(length) = tap.read(&mut frame) else { continue };
        if frames.send((Instant::now() + delay, frame[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Sends frames when they are due.
fn put(mut tap: &File, frames: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, frame)) = frames.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // What an interface does not take is lost, as on any cable.
        let _ = tap.write(&frame);
    }
}
