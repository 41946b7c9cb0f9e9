//! State directories on small disks of their own, which get full and read-only. For tests that may mount, see [`crate::with_own_mounts`].

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use demo::fleet::Agent;

/// Large enough for the state of a small fleet, and for the reserve that staging leaves.
const BYTES: u64 = 128 << 20;
/// As many files.
const FILES: u64 = 2000;
/// Fills what is left of a disk.
const BALLAST: &str = "ballast";

/// A disk that holds the state directory of one host, and nothing else.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    read_only: Option<PathBuf>,
}

impl Disk {
    /// Mounts an empty disk for an agent that was never started.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn of(agent: &Agent) -> Result<Self> {
        fs::create_dir_all(&agent.state)?;
        let options = format!("size={BYTES},nr_inodes={FILES},mode=700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &agent.state)?;
        Ok(Self { at: agent.state.clone(), read_only: None })
    }

    /// Writes until there is no space left.
    ///
    /// # Errors
    /// Something else is in the way.
    pub fn fill(&self) -> Result<()> {
        self.fill_but(0)
    }

    /// Writes until only so many bytes are free.
    ///
    /// # Errors
    /// Something else is in the way.
    pub fn fill_but(&self, left: u64) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.at.join(BALLAST))?;
        let block = vec![0; 4096];
        let free = || rustix::fs::statvfs(&self.at).map(|disk| disk.f_bavail * disk.f_frsize);
        while left < free()? {
            match file.write_all(&block) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                written => written.context("fill a disk")?,
            }
        }
        Ok(())
    }

    /// Makes files until only `left` more can be made.
    ///
    /// # Errors
    /// Something else is in the way.
    pub fn leave_room_for(&self, left: u64) -> Result<()> {
        let dir = self.at.join("files");
        fs::create_dir_all(&dir)?;
        let mut number = 0;
        while left < rustix::fs::statvfs(&self.at)?.f_ffree {
            File::create(dir.join(format!("{number}")))?;
            number += 1;
        }
        Ok(())
    }

    /// Lets nobody write any more who does not have the file open already. What is in `below` is meant, or everything.
    ///
    /// # Errors
    /// It cannot be mounted so.
    pub fn make_read_only(&mut self, below: &str) -> Result<()> {
        let at = self.at.join(below);
        let source = at.display().to_string();
        mount(&["--bind", &source], &at)?;
        self.read_only = Some(at.clone());
        mount(&["-o", "remount,bind,ro"], &at)
    }

    /// Takes back what was done to it.
    ///
    /// # Errors
    /// It cannot be.
    pub fn mend(&mut self) -> Result<()> {
        if let Some(at) = self.read_only.take() {
            mount(&["-o", "remount,bind,rw"], &at)?;
        }
        for gone in [self.at.join(BALLAST), self.at.join("files")] {
            let removed = if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context("mend a disk");
                }
                _ => (),
            }
        }
        Ok(())
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<()> {
    let output = Command::new("mount").args(arguments).arg(at).stdin(Stdio::null()).output();
    let output = output.context("start mount")?;
    if !output.status.success() {
        bail!("mount {arguments:?} {}: {}", at.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
