//! What was measured, as data; and the page that is made of it.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde::Serialize;

use crate::Part;

/// One number with what was hoped for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// The result, for people.
    pub(crate) value: String,
    /// What was hoped for, for people; none where nothing is compared.
    pub(crate) target: Option<String>,
    /// Whether it was met.
    pub(crate) met: Option<bool>,
    /// The result, for programs.
    pub(crate) number: f64,
    /// The unit of the number.
    pub(crate) unit: &'static str,
    /// How many samples it comes from.
    pub(crate) samples: usize,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>, samples: usize) -> Self {
        let (what, value) = (what.into(), value.into());
        Self { what, value, target: None, met: None, number: 0.0, unit: "", samples }
    }

    /// The same result as a number.
    pub(crate) fn number(mut self, number: f64, unit: &'static str) -> Self {
        (self.number, self.unit) = (number, unit);
        self
    }

    /// What was hoped for, and whether it came true.
    pub(crate) fn target(mut self, target: impl Into<String>, met: bool) -> Self {
        (self.target, self.met) = (Some(target.into()), Some(met));
        self
    }
}

/// Numbers that explain a figure.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<'a>(title: &str, head: impl IntoIterator<Item = &'a str>) -> Self {
        let head = head.into_iter().map(str::to_owned).collect();
        Self { title: title.to_owned(), head, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// All that one part measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Section {
    pub(crate) part: Part,
    pub(crate) figures: Vec<Figure>,
    pub(crate) tables: Vec<Table>,
    /// What the reader must know besides.
    pub(crate) notes: Vec<String>,
    /// Processes that wanted to run, averaged over the minute before it began and before it ended.
    pub(crate) load: [f64; 2],
    /// How long it took, in seconds.
    pub(crate) took_s: f64,
}

/// What it was measured on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) disk: String,
    pub(crate) build: &'static str,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) version: String,
    pub(crate) machine: Machine,
    pub(crate) sections: Vec<Section>,
}

impl Machine {
    /// This machine; `dir` is on the disk that is measured.
    pub(crate) fn here(dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory_kib: f64 = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: memory_kib / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: file_system(dir).unwrap_or_else(|| "unknown".into()),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

/// The type of the file system that `dir` is on: that of the longest mount point above it.
fn file_system(dir: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let above = mounts.filter(|(_, point, _)| dir.starts_with(point));
    let (device, _, kind) = above.max_by_key(|(_, point, _)| point.len())?;
    Some(format!("{kind} on {device}"))
}

/// Processes that wanted to run, averaged over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// The commit that is checked out, where git knows one.
pub(crate) fn version() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let described = described.ok().filter(|output| output.status.success());
    let commit = described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match commit {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl Report {
    /// As a page for people.
    pub(crate) fn page(&self) -> String {
        let Machine { cpu, cores, memory_gib, kernel, disk, build } = &self.machine;
        let mut page = format!(
            "`{}` on version {}, {build} build.\n\nMachine: {cores} cores of {cpu}, {memory_gib:.0} GiB, Linux {kernel}, \
             state directories on {disk}.\n",
            self.command, self.version
        );
        for section in &self.sections {
            section.write(&mut page);
        }
        page
    }

    /// Replaces what was measured before in the page at `path`.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        use anyhow::Context as _;
        let before = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let after = replaced(&before, &self.page())
            .with_context(|| format!("{}: the lines {BEGIN} and {END} are not both there", path.display()))?;
        fs::write(path, after).with_context(|| format!("write {}", path.display()))
    }
}

/// Before what was measured, in the page.
const BEGIN: &str = "<!-- measured: begin -->";
/// After it.
const END: &str = "<!-- measured: end -->";

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{}\n\n{END}{tail}", measured.trim_end()))
}

impl Section {
    fn write(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "\n### {}\n\n| figure | result | target | verdict | samples |\n|---|---|---|---|---|",
            self.part.title()
        );
        for Figure { what, value, target, met, samples, .. } in &self.figures {
            let target = target.as_deref().unwrap_or("");
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "",
            };
            let _ = writeln!(page, "| {what} | {value} | {target} | {verdict} | {samples} |");
        }
        for table in &self.tables {
            let _ = writeln!(page, "\n{}:\n\n| {} |", table.title, table.head.join(" | "));
            let _ = writeln!(page, "|{}", "---|".repeat(table.head.len()));
            for row in &table.rows {
                let _ = writeln!(page, "| {} |", row.join(" | "));
            }
        }
        for note in &self.notes {
            let _ = writeln!(page, "\n{note}");
        }
        let [before, after] = self.load;
        let _ = writeln!(
            page,
            "\nLoad average of the machine {before:.1} before, {after:.1} after; took {:.0} s.",
            self.took_s
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let expected = format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new\n"), Some(expected.clone()));
        assert_eq!(replaced(&expected, "new\n"), Some(expected));
        assert_eq!(replaced("no place for it", "new"), None);
    }
}
