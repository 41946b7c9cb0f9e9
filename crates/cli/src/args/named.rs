//! Every command that the programs and the pages name, parsed by the parser itself: what an engineer copies at night has to work.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Arguments, runbooks::holds};
use clap::{CommandFactory as _, Parser as _};

pub(super) const PROGRAM: &str = "deployinator ";

pub(super) fn root() -> PathBuf {
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
    found.retain(|path| !["args/named.rs", "args/runbooks.rs"].iter().any(|tests| path.ends_with(tests)));
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
pub(super) fn quoted(text: &str) -> Vec<String> {
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

#[test]
fn what_would_end_a_hold_can_be_typed_as_it_is_said() {
    for hold in holds() {
        let said = hold.ends_when();
        assert_eq!(refusals(quoted(&said)), Vec::<String>::new(), "{}: {said}", hold.why.name());
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
