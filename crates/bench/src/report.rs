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
        self.head() + &self.sections.iter().map(|section| self.section(section)).collect::<String>()
    }

    fn head(&self) -> String {
        let Machine { cpu, cores, memory_gib, kernel, disk, .. } = &self.machine;
        format!(
            "Machine: {cores} cores of {cpu}, {memory_gib:.0} GiB, Linux {kernel}, state directories on {disk}.\n"
        )
    }

    fn section(&self, section: &Section) -> String {
        let mut text = String::new();
        section.write(&mut text);
        let [before, after] = section.load;
        let _ = writeln!(
            text,
            "\n`{}` on version {}, {} build; it took {:.0} s. Load average of the machine: {before:.1} before, {after:.1} after.",
            self.command, self.version, self.machine.build, section.took_s
        );
        text
    }

    /// Replaces what was measured before in the page at `path`. What this run did not measure stays.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        use anyhow::Context as _;
        let before = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let after = self.written(&before);
        let after = after
            .with_context(|| format!("{}: the lines {BEGIN} and {END} are not both there", path.display()))?;
        fs::write(path, after).with_context(|| format!("write {}", path.display()))
    }

    fn written(&self, page: &str) -> Option<String> {
        let sections = Part::ALL.into_iter().filter_map(|part| {
            let fresh = self.sections.iter().find(|section| section.part == part);
            fresh.map(|section| self.section(section)).or_else(|| kept(page, part))
        });
        replaced(page, &(self.head() + &sections.collect::<String>()))
    }
}

/// The section of this part in the page.
fn kept(page: &str, part: Part) -> Option<String> {
    let measured = page.split_once(BEGIN)?.1.split_once(END)?.0;
    let of_part =
        |section: &&str| section.strip_prefix(part.title()).is_some_and(|rest| rest.starts_with('\n'));
    let section = measured.split("\n### ").skip(1).find(of_part)?;
    Some(format!("\n### {}\n", section.trim_end()))
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(part: Part, what: &str) -> Report {
        let machine = Machine::here(Path::new("/"));
        let figures = vec![Figure::new(what, "1", 1)];
        let (tables, notes) = (Vec::new(), Vec::new());
        let section = Section { part, figures, tables, notes, load: [0.0; 2], took_s: 1.0 };
        Report { command: "bench".into(), version: "0".into(), machine, sections: vec![section] }
    }

    #[test]
    fn a_part_that_was_not_measured_stays() {
        let page = format!("before\n{BEGIN}\nnothing yet\n{END}\nafter\n");
        let page = report(Part::Push, "push one").written(&page).unwrap();
        let page = report(Part::Overhead, "overhead one").written(&page).unwrap();
        let page = report(Part::Push, "push two").written(&page).unwrap();
        let at = |text: &str| page.find(text);
        assert!(at("overhead one").is_some() && at("overhead one") < at("push two"), "{page}");
        assert_eq!((at("push one"), at("nothing yet")), (None, None), "{page}");
        assert!(page.starts_with("before\n") && page.ends_with("after\n"), "{page}");
    }

    #[test]
    fn only_what_was_measured_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let expected = format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new\n"), Some(expected.clone()));
        assert_eq!(replaced(&expected, "new\n"), Some(expected));
        assert_eq!(replaced("no place for it", "new"), None);
    }
}
