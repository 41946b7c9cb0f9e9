//! Cgroups of version 2: where they may be made, and one for each program that is started.
//!
//! A cgroup holds all processes of a program, wherever they flee, and limits them together. One can be made only below a cgroup that
//! was handed over to the agent (*delegated*) and holds no process itself, so the agent has to run in a cgroup below that.
//! Absent on purpose: cgroups of version 1, and moving anybody but oneself.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use ports::supervisor::Limits;

use crate::logs::Writer;

mod group;

pub(crate) use group::{Group, Visit};

/// What is advised where cgroups cannot be had.
const ADVICE: &str = "run it by systemd, with Delegate=yes and DelegateSubgroup=agent in its unit";
/// By this name below it a cgroup is known to be the agent's to divide, where systemd does not say so.
const SUBGROUP: &str = "agent";

/// What a cgroup can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        })
    }
}

/// A cgroup below which the agent may make others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    base: PathBuf,
    controllers: BTreeSet<Controller>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCgroups {
    /// The system has none of version 2.
    #[error("this system has no cgroups of version 2")]
    Missing,
    /// The controllers belong to version 1.
    #[error("the cgroups of version 2 of this system, at {mount}, have no controllers: version 1 has them", mount = mount.display())]
    Bare {
        /// Where they are.
        mount: PathBuf,
    },
    /// The agent's own cgroup was not handed over to it.
    #[error("the agent's cgroup {path} is not its own to divide; {ADVICE}", path = path.display())]
    NotDelegated {
        /// The agent's own, below the root of the tree.
        path: PathBuf,
    },
    /// Something could not be read or written.
    #[error("{attempted} {path}: {problem}", path = path.display())]
    Io {
        /// What.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
}

fn trouble(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoCgroups {
    let path = path.to_owned();
    move |error| NoCgroups::Io { attempted, path, problem: error.to_string() }
}

impl Delegation {
    /// Finds what this process may divide. Looks, and changes nothing.
    ///
    /// # Errors
    /// There is nothing, or it cannot be used.
    pub fn find() -> Result<Self, NoCgroups> {
        let read = |path: &'static str| fs::read_to_string(path).map_err(trouble("read", Path::new(path)));
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let mount = mount(&mounts).ok_or(NoCgroups::Missing)?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::")).ok_or(NoCgroups::Missing)?;
        Self::at(&mount, Path::new(path))
    }

    fn at(mount: &Path, own: &Path) -> Result<Self, NoCgroups> {
        if controllers(mount)?.is_empty() {
            return Err(NoCgroups::Bare { mount: mount.to_owned() });
        }
        let inside = own.strip_prefix("/").unwrap_or(own);
        let not_ours = || NoCgroups::NotDelegated { path: own.to_owned() };
        let base = mount.join(inside.parent().ok_or_else(not_ours)?);
        let may_write = |file: &str| {
            let access = rustix::fs::Access::WRITE_OK;
            rustix::fs::access(base.join(file), access).is_ok()
        };
        let told = inside.ends_with(SUBGROUP) || is_delegated(&base);
        if !told || !may_write("cgroup.procs") || !may_write("cgroup.subtree_control") {
            return Err(not_ours());
        }
        let controllers = controllers(&base)?;
        Ok(Self { base, controllers })
    }

    /// Where cgroups are made.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Whether the processes in a cgroup are counted.
    #[must_use]
    pub fn counts_processes(&self) -> bool {
        self.controllers.contains(&Controller::Pids)
    }

    /// Hands the controllers on to the cgroups that will be made.
    ///
    /// # Errors
    /// One could not be handed on.
    pub fn enable(&self) -> Result<(), NoCgroups> {
        let file = self.base.join("cgroup.subtree_control");
        let words: Vec<String> = self.controllers.iter().map(|controller| format!("+{controller}")).collect();
        fs::write(&file, words.join(" ")).map_err(trouble("write", &file))
    }
}

/// The limits that can be kept, and in words why the others cannot.
#[must_use]
pub fn enforceable(limits: &Limits, found: Result<&Delegation, &NoCgroups>) -> (Limits, Option<String>) {
    let (mut kept, mut lost, mut why) = (*limits, Vec::new(), BTreeSet::new());
    let mut drop_without = |name: &'static str, controller, value: &mut Option<u64>| {
        let missing = match found {
            Ok(delegation) if delegation.controllers.contains(&controller) => return,
            Ok(_) => format!("there is no {controller} controller"),
            Err(error) => error.to_string(),
        };
        if value.take().is_some() {
            lost.push(format!("limits.{name}"));
            why.insert(missing);
        }
    };
    drop_without("memory_bytes", Controller::Memory, &mut kept.memory_bytes);
    drop_without("cpu_weight", Controller::Cpu, &mut kept.cpu_weight);
    if lost.is_empty() {
        return (kept, None);
    }
    let verb = if lost.len() == 1 { "is" } else { "are" };
    let why: Vec<String> = why.into_iter().collect();
    (kept, Some(format!("{} {verb} not kept: {}", lost.join(" and "), why.join("; "))))
}

/// Where cgroups of version 2 are.
fn mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let at = place.split(' ').nth(4)?;
        (kind.split(' ').next()? == "cgroup2").then(|| PathBuf::from(at))
    })
}

/// Whether systemd handed this cgroup over.
fn is_delegated(cgroup: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        rustix::fs::getxattr(cgroup, *name, &mut value[..]).is_ok_and(|length| &value[..length] == b"1")
    })
}

fn controllers(cgroup: &Path) -> Result<BTreeSet<Controller>, NoCgroups> {
    let file = cgroup.join("cgroup.controllers");
    let text = fs::read_to_string(&file).map_err(trouble("read", &file))?;
    let named = |controller: &Controller| text.split_whitespace().any(|word| word == controller.to_string());
    Ok(Controller::ALL.into_iter().filter(named).collect())
}

#[cfg(test)]
mod tests;
