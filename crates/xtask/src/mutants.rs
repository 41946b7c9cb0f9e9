//! `cargo xtask mutants`: plants bugs in a copy of what the simulator runs, one at a time, and says how many seeds it took to find each.
//!
//! Promise: what is shipped has no trace of them. All are built at once, into one copy below the target directory; a variable of the
//! environment says which one is on, so that a run of all takes seconds and not builds.

mod forming;
mod plant;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;

use crate::{build, metadata::Metadata, shell::Shell, sim, verify::Verdict};

/// Which bugs there are.
const CATALOGUE: &str = "crates/sim/mutants.toml";
/// Where the machines are.
const MACHINES: &str = "crates/model/src";
/// Where the table is shown.
const PAGE: &str = "docs/proof.md";
/// Between these the page has the table.
const MARKS: [&str; 2] = ["<!-- mutants -->", "<!-- /mutants -->"];
/// The lock file as it was copied last.
const LOCK: &str = "Cargo.lock.copied";
/// What the copy reads to know which bug is on.
const SWITCH: &str = "DEPLOYINATOR_PLANTED";

/// What is planted, and how long it is looked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Plant only the bugs with this in their name; can be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How many seeds each may take.
    #[arg(long, value_name = "N", default_value_t = SEEDS)]
    seeds: u64,
    /// Write the table into docs/proof.md.
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

/// Longest time that one may take.
const LONGEST: Duration = Duration::from_secs(600);

/// Within so many seeds each bug is to be found.
const SEEDS: u64 = 20_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    mutant: Vec<Mutant>,
}

/// A bug.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// The promise that it breaks, before others.
    promise: String,
    what: String,
    edit: Vec<plant::Edit>,
}

/// What a seed breaks.
struct Broken {
    seed: u64,
    promise: String,
}

/// How one was found.
struct Caught {
    /// After how much: `seed 7`, or `9 events`.
    after: String,
    promise: String,
    /// What happened, a line for each event, where that is told without asking.
    story: String,
}

impl Mutant {
    /// It is not looked for in seeds, but in every order of what can happen while a cluster forms.
    fn is_of_forming(&self) -> bool {
        self.promise == forming::PROMISE
    }
}

/// Plants each bug, and prints the table.
pub(crate) fn mutants(shell: &Shell, options: &Options) -> Result<ExitCode> {
    let catalogue = read(shell.root())?;
    let asked = |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    let wanted: Vec<&Mutant> = catalogue.mutant.iter().filter(|mutant| asked(&mutant.name)).collect();
    ensure!(!wanted.is_empty(), "no bug has {} in its name", options.only.join(" or "));
    let Some(binary) = built(shell, &catalogue)? else { return Ok(ExitCode::FAILURE) };
    let found = search(&binary, &wanted, options.seeds)?;
    let table = table(&wanted, &found, options.seeds);
    println!("{table}");
    if !options.only.is_empty() {
        found.iter().for_each(|(name, caught)| println!("{name}: {}{}", caught.after, caught.story));
    }
    if options.write {
        let path = shell.root().join(PAGE);
        let page = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        fs::write(&path, with_table(&page, &table)?).with_context(|| format!("write {}", path.display()))?;
    }
    let missed = missed(&wanted, &found);
    if missed.is_empty() {
        println!("mutants: {} planted, all caught", wanted.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("mutants: NOT caught within {} seeds: {}", options.seeds, missed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Every bug of the catalogue is found.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let catalogue = read(shell.root())?;
    let wanted: Vec<&Mutant> = catalogue.mutant.iter().collect();
    let Some(binary) = built(shell, &catalogue)? else {
        return Ok(Verdict::Failed { report: "the copy with the planted bugs was not built".to_owned() });
    };
    let missed = missed(&wanted, &search(&binary, &wanted, SEEDS)?);
    if missed.is_empty() {
        return Ok(Verdict::Passed { notes: vec![format!("{} planted bugs, all caught", wanted.len())] });
    }
    Ok(Verdict::Failed { report: format!("not caught within {SEEDS} seeds: {}", missed.join(", ")) })
}

fn read(root: &Path) -> Result<Catalogue> {
    let path = root.join(CATALOGUE);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("understand {}", path.display()))
}

/// The machines' files with all bugs planted, by their path below the repository's root.
fn planted(root: &Path, catalogue: &Catalogue) -> Result<BTreeMap<PathBuf, String>> {
    let mut edits: BTreeMap<&str, Vec<(&str, &plant::Edit)>> = BTreeMap::new();
    for mutant in &catalogue.mutant {
        for edit in &mutant.edit {
            edits.entry(&edit.file).or_default().push((&mutant.name, edit));
        }
    }
    let mut files = BTreeMap::new();
    for (file, edits) in edits {
        let path = Path::new(MACHINES).join(file);
        let full = root.join(&path);
        let text = fs::read_to_string(&full).with_context(|| format!("read {}", full.display()))?;
        files.insert(path, plant::plant(&text, &edits).with_context(|| format!("plant in {file}"))?);
    }
    let lib = Path::new(MACHINES).join("lib.rs");
    let text = fs::read_to_string(root.join(&lib)).with_context(|| format!("read {}", lib.display()))?;
    files.insert(lib, format!("{text}\npub mod planted;\n"));
    files.insert(Path::new(MACHINES).join("planted.rs"), plant::switch(SWITCH));
    Ok(files)
}

/// Builds the copy, and says where its simulator is.
fn built(shell: &Shell, catalogue: &Catalogue) -> Result<Option<PathBuf>> {
    let target = Metadata::of_workspace(shell)?.target_directory.join("mutants");
    let source = target.join("source");
    copy(shell.root(), &source, &planted(shell.root(), catalogue)?)?;
    let mut command = shell.cargo(["build", "--quiet", "--profile", "sim", "-p", "sim"]);
    // What a bug leaves unused is nobody's concern.
    command.current_dir(&source).env("CARGO_TARGET_DIR", target.join("build")).env("RUSTFLAGS", "-Awarnings");
    build::built(command, sim::SIM)
}

/// A workspace of the machines and the simulator alone. What has not changed is not written, so that it is not built again.
fn copy(root: &Path, to: &Path, planted: &BTreeMap<PathBuf, String>) -> Result<()> {
    let mut files = BTreeMap::from([("Cargo.toml".into(), manifest(root)?)]);
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    // Cargo takes out of it what the copy does not need: it is written again when ours has changed, and not before.
    if fs::read_to_string(to.join(LOCK)).ok().as_ref() != Some(&lock) {
        files.insert("Cargo.lock".into(), lock.clone());
        files.insert(LOCK.into(), lock);
    }
    for folder in ["crates/model", "crates/sim"] {
        gather(root, Path::new(folder), &mut files)?;
    }
    files.extend(planted.clone());
    let mut there = BTreeMap::new();
    if to.join("crates").exists() {
        gather(to, Path::new("crates"), &mut there)?;
    }
    for gone in there.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(to.join(gone)).with_context(|| format!("remove {}", gone.display()))?;
    }
    for (path, text) in files {
        let path = to.join(path);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        let folder = path.parent().unwrap_or(to);
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The workspace's own manifest, with less in it.
fn manifest(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?;
    let mut manifest: toml::Table = toml::from_str(&text).context("understand Cargo.toml")?;
    manifest.remove("patch");
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let members = ["crates/model", "crates/sim"].map(toml::Value::from).to_vec();
    workspace.context("Cargo.toml is of no workspace")?.insert("members".to_owned(), members.into());
    toml::to_string(&manifest).context("write a Cargo.toml")
}

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let full = root.join(folder);
    for entry in fs::read_dir(&full).with_context(|| format!("read {}", full.display()))? {
        let entry = entry.with_context(|| format!("read {}", full.display()))?;
        let path = folder.join(entry.file_name());
        if entry.file_type().with_context(|| format!("look at {}", path.display()))?.is_dir() {
            gather(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
            let text = fs::read_to_string(entry.path());
            files.insert(path, text.with_context(|| format!("read {}", entry.path().display()))?);
        }
    }
    Ok(())
}

/// Looks for each. What finds something by the same seed with none on has found another bug, or none.
fn search(binary: &Path, wanted: &[&Mutant], seeds: u64) -> Result<BTreeMap<String, Caught>> {
    let mut found = BTreeMap::new();
    for (number, mutant) in wanted.iter().enumerate() {
        let began = Instant::now();
        let caught = match mutant.is_of_forming() {
            true => forming::run(binary, &mutant.name)?,
            false => in_seeds(binary, &mutant.name, seeds)?,
        };
        let how = caught.as_ref().map_or("NOT caught", |caught| &caught.after);
        let (of, took) = (wanted.len(), began.elapsed().as_secs_f32());
        eprintln!("mutants: {} of {of}, {}: {how}, {took:.1} s", number + 1, mutant.name);
        if let Some(caught) = caught {
            found.insert(mutant.name.clone(), caught);
        }
    }
    Ok(found)
}

fn in_seeds(binary: &Path, name: &str, seeds: u64) -> Result<Option<Caught>> {
    let Some(Broken { seed, promise }) = run(binary, name, 1, seeds)? else { return Ok(None) };
    ensure!(promise != "panic", "{name} panics by seed {seed}: a bug that is not silent proves nothing");
    if let Some(Broken { promise, .. }) = run(binary, "", seed, 1)? {
        bail!("with no bug on, seed {seed} breaks {promise}; `cargo xtask sim --replay {seed}` shows it");
    }
    Ok(Some(Caught { after: format!("seed {seed}"), promise, story: String::new() }))
}

fn run(binary: &Path, name: &str, from: u64, seeds: u64) -> Result<Option<Broken>> {
    let mut command = Command::new(binary);
    command.args(["--brief", "--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    command.env(SWITCH, name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
    let began = Instant::now();
    while child.try_wait().with_context(|| format!("wait for {}", binary.display()))?.is_none() {
        if LONGEST < began.elapsed() {
            child.kill().with_context(|| format!("end {}", binary.display()))?;
            bail!("{name} goes in circles: no answer within {} s", LONGEST.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().with_context(|| format!("run {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let caught = said.lines().find_map(caught);
    ensure!(
        output.status.success() != caught.is_some(),
        "{} with {name} says neither that all is well nor what broke: {said}{}",
        binary.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(caught)
}

/// Reads `sim: seed 7 breaks P5 after …`.
fn caught(line: &str) -> Option<Broken> {
    let rest = line.strip_prefix("sim: seed ")?;
    let (seed, rest) = rest.split_once(" breaks ")?;
    let promise = rest.split_whitespace().next()?;
    Some(Broken { seed: seed.parse().ok()?, promise: promise.to_owned() })
}

fn missed(wanted: &[&Mutant], found: &BTreeMap<String, Caught>) -> Vec<String> {
    let missed = wanted.iter().filter(|mutant| !found.contains_key(&mutant.name));
    missed.map(|mutant| mutant.name.clone()).collect()
}

fn table(wanted: &[&Mutant], found: &BTreeMap<String, Caught>, seeds: u64) -> String {
    let mut lines =
        vec!["| planted bug | promise | found by | after | |".to_owned(), "|---|---|---|---|---|".to_owned()];
    for mutant in wanted {
        let Mutant { name, promise, what, .. } = mutant;
        lines.push(match found.get(name) {
            Some(Caught { after, promise: by, .. }) => {
                format!("| `{name}`: {what} | {promise} | {by} | {after} | caught |")
            }
            None if mutant.is_of_forming() => {
                format!("| `{name}`: {what} | {promise} | | | **not caught** |")
            }
            None => format!("| `{name}`: {what} | {promise} | | {seeds} seeds | **not caught** |"),
        });
    }
    lines.join("\n")
}

fn with_table(page: &str, table: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin).with_context(|| format!("{PAGE} has no {begin}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("{PAGE} has no {end}"))?;
    Ok(format!("{before}{begin}\n\n{table}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_bug_of_the_catalogue_has_its_place() {
        let catalogue = read(&root()).unwrap();
        planted(&root(), &catalogue).unwrap();
        let mut names: Vec<_> = catalogue.mutant.iter().map(|mutant| &mutant.name).collect();
        assert!(30 <= names.len(), "{}", names.len());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), catalogue.mutant.len(), "two have one name");
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        for name in names {
            assert!(page.contains(&format!("| `{name}`: ")), "{name}: `cargo xtask mutants --write`");
        }
    }

    #[test]
    fn what_the_simulator_says_is_read() {
        let found = caught("sim: seed 472 breaks P6 after 12 s: h1 starts it").unwrap();
        assert_eq!((found.seed, found.promise.as_str()), (472, "P6"));
        assert!(caught("sim: 2000 seeds, no promise broken, 7 s").is_none());
    }

    #[test]
    fn the_table_takes_the_place_of_the_last_one() {
        let page = "a\n<!-- mutants -->\n\nold\n\n<!-- /mutants -->\nb\n";
        let new = with_table(page, "new").unwrap();
        assert_eq!(new, "a\n<!-- mutants -->\n\nnew\n\n<!-- /mutants -->\nb\n");
        assert!(with_table("a", "new").is_err());
    }
}
