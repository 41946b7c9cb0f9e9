//! Every command that the programs and the pages name, parsed by the parser itself: what an engineer copies at night has to work.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser as _};
use model::{
    HostId, RolloutId,
    fleet::PhaseKind,
    planner::{Hold, Why},
};

use super::Arguments;

const PROGRAM: &str = "deployinator ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in ["agent", "api", "cli", "model"] {
        files(&root().join("crates").join(name).join("src"), "rs", &mut found);
    }
    found.retain(|path| !path.ends_with("args/named.rs"));
    found
}

fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    files(&root().join("docs"), "md", &mut found);
    // Decisions and changes name a verb for what it is; nobody types from them.
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "adr"));
    found
}

/// What is between backquotes, on one line.
fn quoted(text: &str) -> Vec<String> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// A Rust source as its strings come out: lines that a string continues are one, and what is put in has a name that fits everywhere.
fn told(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(at) = rest.find("\\\n") {
        out.push_str(&rest[..at]);
        rest = rest[at + 2..].trim_start();
    }
    out.push_str(rest);
    let mut told = String::new();
    let mut depth = 0;
    for c in out.chars() {
        match c {
            '{' => depth += 1,
            '}' if 0 < depth => {
                depth -= 1;
                if depth == 0 {
                    told.push_str("r1");
                }
            }
            '\n' => {
                depth = 0;
                told.push(c);
            }
            _ if depth == 0 => told.push(c),
            _ => (),
        }
    }
    told
}

/// The commands of a page's blocks of shell.
fn shown(page: &str) -> Vec<String> {
    let page = page.replace("\\\n", " ");
    let (mut inside, mut found) = (false, Vec::new());
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        if inside && line.starts_with(PROGRAM) {
            found.push(line.to_owned());
        }
    }
    found
}

/// The words of a command, quotes taken off. Of words that may stand for each other, the first.
fn words(command: &str) -> Vec<String> {
    let ends = [" #", "; ", " | ", " > ", " && "].iter().filter_map(|end| command.find(end)).min();
    let command = &command[..ends.unwrap_or(command.len())];
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars().chain([' ']) {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) if !word.is_empty() => words.push(std::mem::take(&mut word)),
            (' ', None) => (),
            (c, _) => word.push(c),
        }
    }
    let one = |word: String| match word.as_str() {
        "SHELL" => "bash".to_owned(),
        word => word.split('|').next().unwrap_or_default().to_owned(),
    };
    words.into_iter().map(one).map(|word| word.trim_matches(['[', ']']).to_owned()).collect()
}

/// Why the parser does not take it.
fn refusal(command: &str) -> Option<String> {
    let error = Arguments::try_parse_from(words(command)).err()?;
    // Help is shown as an error.
    error.use_stderr().then(|| format!("`{command}`: {error}"))
}

fn refusals(commands: impl IntoIterator<Item = String>) -> Vec<String> {
    commands
        .into_iter()
        .filter(|command| command.starts_with(PROGRAM))
        .filter_map(|it| refusal(&it))
        .collect()
}

fn holds() -> Vec<Hold> {
    let host: HostId = "h2".parse().expect("a name");
    let release = || "dir-00".parse().expect("a name");
    let reason = || "why".to_owned();
    let whys = vec![
        Why::LeaderLearning,
        Why::Staging { host: host.clone(), trouble: Some(reason()) },
        Why::Migrating { host: host.clone() },
        Why::MigrationUnknown { host: host.clone(), release: release() },
        Why::MigrationFailed { host: host.clone(), release: release() },
        Why::Changing { host: host.clone(), phase: PhaseKind::Draining },
        Why::NoFreeSlot { limit: 1, holders: vec![(host.clone(), PhaseKind::Joining)], drained: vec![] },
        Why::NoFreeSlot {
            limit: 1,
            holders: vec![(host.clone(), PhaseKind::Parked)],
            drained: vec![host.clone()],
        },
        Why::BudgetSpent { out: vec![(host.clone(), reason())], limit: 1 },
        Why::BudgetSpent {
            out: vec![(host.clone(), reason()), ("h3".parse().expect("a name"), reason())],
            limit: 1,
        },
        Why::HostSilent { host: host.clone(), holds_slot: true },
        Why::HostSilent { host: host.clone(), holds_slot: false },
        Why::HostStuck { host: host.clone(), reason: reason() },
        Why::HostFailed { host: host.clone(), reason: reason() },
        Why::RetryLater { host: host.clone(), reason: reason() },
        Why::WaveSoak { wave: 1 },
        Why::Paused { by: "ann".into() },
        Why::Halted { reason: reason(), quarantined: None },
        Why::Halted { reason: reason(), quarantined: Some(release()) },
        Why::Queued { behind: RolloutId(3) },
        Why::ConfigurationDiffers { key: "port".into(), values: vec![(host, "80".into())] },
        Why::NoHosts,
    ];
    let of = |why: Why| {
        let hold = |rollout: Option<RolloutId>| {
            let (service, abortable) = ("web".parse().expect("a name"), rollout.is_some());
            Hold { service, rollout, abortable, why: why.clone() }
        };
        [hold(Some(RolloutId(7))), hold(None)]
    };
    whys.into_iter().flat_map(of).collect()
}

#[test]
fn what_would_end_a_hold_can_be_typed_as_it_is_said() {
    for hold in holds() {
        let said = hold.ends_when();
        assert_eq!(refusals(quoted(&said)), Vec::<String>::new(), "{}: {said}", hold.why.name());
    }
}

#[test]
fn every_hold_has_its_page() {
    for hold in holds() {
        let page = root().join(format!("docs/runbooks/{}.md", hold.why.name()));
        assert!(page.exists(), "{} has no page {}", hold.why, page.display());
    }
}

#[test]
fn every_page_is_of_a_hold_and_in_the_index() {
    let names: Vec<String> = holds().iter().map(|hold| hold.why.name().to_owned()).collect();
    let index = fs::read_to_string(root().join("docs/runbooks/README.md")).expect("the index");
    for entry in fs::read_dir(root().join("docs/runbooks")).expect("the runbooks") {
        let path = entry.expect("a page").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name != "README" {
            assert!(names.contains(&name), "no hold is called {name}; {} helps nobody", path.display());
            assert!(index.contains(&format!("({name}.md)")), "the index does not lead to {name}");
        }
    }
}

#[test]
fn every_command_that_the_programs_name_is_one() {
    for path in sources() {
        let source = fs::read_to_string(&path).expect("a source");
        let named = quoted(&told(&source));
        assert_eq!(refusals(named), Vec::<String>::new(), "{}", path.display());
    }
}

/// A verb without its program and arguments is no help to whoever reads it.
#[test]
fn what_the_programs_tell_to_do_is_told_whole() {
    let parser = Arguments::command();
    let verbs: Vec<&str> = parser.get_subcommands().map(clap::Command::get_name).collect();
    for path in sources() {
        let source = told(&fs::read_to_string(&path).expect("a source"));
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        for snippet in code.flat_map(quoted) {
            let first = snippet.split(' ').next().unwrap_or_default();
            assert!(!verbs.contains(&first), "{}: `{snippet}`", path.display());
        }
    }
}

#[test]
fn every_command_that_the_pages_name_is_one() {
    let mut named = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        let commands: Vec<String> = quoted(&page).into_iter().chain(shown(&page)).collect();
        named += commands.iter().filter(|command| command.starts_with(PROGRAM)).count();
        assert_eq!(refusals(commands), Vec::<String>::new(), "{}", path.display());
    }
    assert!(20 < named, "only {named} commands were found in the pages");
}
