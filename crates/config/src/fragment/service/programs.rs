//! What the files say of how a service's programs are run.

use std::path::PathBuf;

use ports::supervisor::{EnvironmentFile, StopSignal};
use toml::Value;

use crate::{
    fragment::absolute_path,
    section::{Field, Section},
    values::{number, one_of, text, texts},
};

pub(crate) struct ProgramsFragment {
    pub(crate) user: Field<String>,
    pub(crate) group: Field<String>,
    pub(crate) working_directory: Field<PathBuf>,
    pub(crate) environment_files: Field<Vec<EnvironmentFile>>,
    pub(crate) stop_signal: Field<StopSignal>,
    pub(crate) limits: LimitsFragment,
}

pub(crate) struct LimitsFragment {
    pub(crate) open_files: Field<u64>,
    pub(crate) core_bytes: Field<u64>,
    pub(crate) processes: Field<u64>,
    pub(crate) memory_bytes: Field<u64>,
    pub(crate) cpu_weight: Field<u64>,
}

/// Fewest open files: the keeper itself starts a program under this limit.
const OPEN_FILES_LEAST: u64 = 256;
/// Least memory, in bytes: nothing runs in less.
const MEMORY_LEAST: u64 = 1 << 20;
/// Above any limit of the kernel's own.
const MOST: u64 = 1 << 40;

pub(super) fn read(section: &mut Section<'_>) -> ProgramsFragment {
    ProgramsFragment {
        user: section.read("user", account),
        group: section.read("group", account),
        working_directory: section.read("working_directory", absolute_path),
        environment_files: section.read("environment_files", environment_files),
        stop_signal: section.read("stop_signal", one_of(StopSignal::ALL)),
        limits: limits(section.section("limits")),
    }
}

fn limits(mut section: Section<'_>) -> LimitsFragment {
    let fragment = LimitsFragment {
        open_files: section.read("open_files", number(OPEN_FILES_LEAST..=1 << 30)),
        core_bytes: section.read("core_bytes", number(0..=MOST)),
        processes: section.read("processes", number(1..=1 << 22)),
        memory_bytes: section.read("memory_bytes", number(MEMORY_LEAST..=MOST)),
        cpu_weight: section.read("cpu_weight", number(1..=10_000)),
    };
    section.finish(|_| None);
    fragment
}

/// A user or a group, by name or number. Whether it is there is known on the host only.
fn account(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/');
    if name.chars().all(fits) {
        return Ok(name);
    }
    Err("must be a name or a number in quotes, without spaces, `:` and `/`".into())
}

fn environment_files(value: &Value) -> Result<Vec<EnvironmentFile>, String> {
    texts(value)?.iter().map(|text| environment_file(text)).collect()
}

fn environment_file(text: &str) -> Result<EnvironmentFile, String> {
    let (path, optional) = match text.strip_prefix('-') {
        Some(path) => (path, true),
        None => (text, false),
    };
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(EnvironmentFile { path: path.into(), optional });
    }
    Err(format!("{text:?} must be an absolute path, with `-` before it if the file may be missing"))
}
