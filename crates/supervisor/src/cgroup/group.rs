//! The cgroup of one program.

use super::*;

/// The cgroup of one program. It may be there or not.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
}

/// This process is in a program's cgroup, to start it there.
#[derive(Debug)]
pub(crate) struct Visit {
    home: PathBuf,
}

impl Group {
    /// The cgroup of what `writer` is, below `base`, of the keeper in `keeper`.
    pub(crate) fn new(base: &Path, keeper: &Path, writer: Writer) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let name = keeper.file_name().unwrap_or_default().to_string_lossy();
        let sum = crate::record::checksum(keeper.as_os_str().as_bytes());
        let program = match writer {
            Writer::Service => "serve",
            Writer::Migration => "migrate",
        };
        Self { dir: base.join(format!("{name}-{sum:016x}-{program}")) }
    }

    /// Makes it anew, with these limits, and room for this process beside its program. What an earlier one had used is forgotten with it.
    pub(crate) fn make(&self, limits: &Limits) -> Result<(), NoCgroups> {
        self.remove();
        match fs::create_dir(&self.dir) {
            // Somebody is in it still, who should not be; the limits hold for all.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(trouble("make", &self.dir))?,
        }
        let visitors = fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count() as u64);
        self.limit(&Limits { processes: limits.processes.map(|most| most + visitors), ..*limits })
    }

    /// Sets what is asked for, and lifts what is not.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), NoCgroups> {
        let set = [
            ("memory.max", limits.memory_bytes, "max"),
            ("pids.max", limits.processes, "max"),
            ("cpu.weight", limits.cpu_weight, "100"),
        ];
        for (name, value, otherwise) in set {
            let file = self.dir.join(name);
            let Some(value) = value else {
                // Not there without its controller, and then there is nothing to lift.
                let _ = write(&file, otherwise);
                continue;
            };
            match write(&file, &value.to_string()) {
                // Its user's processes are counted then.
                Err(e) if e.kind() == io::ErrorKind::NotFound && name == "pids.max" => {}
                written => written.map_err(trouble("write", &file))?,
            }
        }
        Ok(())
    }

    /// Whether it counts its processes.
    pub(crate) fn counts(&self) -> bool {
        self.dir.join("pids.max").exists()
    }

    /// Enters it, until the visit is dropped. What is started meanwhile is in it from its first instruction.
    pub(crate) fn enter(&self) -> Result<Visit, NoCgroups> {
        let own = fs::read_to_string("/proc/self/cgroup")
            .map_err(trouble("read", Path::new("/proc/self/cgroup")))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo");
        let mounts = mounts.map_err(trouble("read", Path::new("/proc/self/mountinfo")))?;
        let mount = mount(&mounts).ok_or(NoCgroups::Missing)?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(NoCgroups::Missing)?;
        let home = mount.join(path);
        join(&self.dir).map_err(trouble("enter", &self.dir))?;
        Ok(Visit { home })
    }

    /// Who is in it, or below it.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        fn gather(dir: &Path, found: &mut BTreeSet<u32>) {
            let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) else { return };
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            let below = fs::read_dir(dir).into_iter().flatten().flatten();
            let dirs = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            dirs.for_each(|entry| gather(&entry.path(), found));
        }
        let mut found = BTreeSet::new();
        gather(&self.dir, &mut found);
        found
    }

    /// How many of its processes were killed because it was out of memory.
    pub(crate) fn killed_for_memory(&self) -> u64 {
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Removes it with all that its program made below it, where nobody is in it.
    pub(crate) fn remove(&self) {
        fn remove(dir: &Path) {
            let below = fs::read_dir(dir).into_iter().flatten().flatten();
            below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .for_each(|entry| remove(&entry.path()));
            let _ = fs::remove_dir(dir);
        }
        remove(&self.dir);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Err(error) = join(&self.home) {
            tracing::error!(%error, home = %self.home.display(), "return to the keeper's own cgroup");
        }
    }
}

/// Moves this process.
fn join(cgroup: &Path) -> io::Result<()> {
    write(&cgroup.join("cgroup.procs"), "0")
}

/// Writes to a file that is there.
fn write(file: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}
