//! The runbooks against the holds: each hold has a page that says what the hold says, since when, what ends it, and which verb helps.

use std::{collections::BTreeMap, fs};

use model::{
    HostId, RolloutId,
    fleet::PhaseKind,
    planner::{Hold, Why},
};

use super::named::{PROGRAM, quoted, root};

/// Every reason to wait, in a rollout and outside of one. Names are those of the pages.
pub(super) fn holds() -> Vec<Hold> {
    let host: HostId = "h2".parse().expect("a name");
    let release = || "RELEASE".parse().expect("a name");
    let reason = || "REASON".to_owned();
    let whys = vec![
        Why::LeaderLearning,
        Why::Staging { host: host.clone(), trouble: None },
        Why::Staging { host: host.clone(), trouble: Some(reason()) },
        Why::Migrating { host: host.clone() },
        Why::MigrationUnknown { host: host.clone(), release: release() },
        Why::MigrationFailed { host: host.clone(), release: release() },
        Why::Changing { host: host.clone(), phase: PhaseKind::Granted },
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
        Why::ConfigurationDiffers {
            key: "port".into(),
            values: vec![("h1".parse().expect("a name"), "8080".into()), (host, "8081".into())],
        },
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

/// A new reason to wait does not compile before it is here. Give it an example above, and a page.
fn has_an_example(why: &Why) -> bool {
    match why {
        Why::LeaderLearning
        | Why::Staging { .. }
        | Why::Migrating { .. }
        | Why::MigrationUnknown { .. }
        | Why::MigrationFailed { .. }
        | Why::Changing { .. }
        | Why::NoFreeSlot { .. }
        | Why::BudgetSpent { .. }
        | Why::HostSilent { .. }
        | Why::HostStuck { .. }
        | Why::HostFailed { .. }
        | Why::RetryLater { .. }
        | Why::WaveSoak { .. }
        | Why::Paused { .. }
        | Why::Halted { .. }
        | Why::Queued { .. }
        | Why::ConfigurationDiffers { .. }
        | Why::NoHosts => true,
    }
}

fn page(name: &str) -> String {
    let path = root().join(format!("docs/runbooks/{name}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("hold {name}: {}: {error}", path.display()))
}

#[test]
fn every_page_says_what_its_hold_says() {
    let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for hold in holds().iter().filter(|hold| has_an_example(&hold.why)) {
        let texts = said.entry(hold.why.name()).or_default();
        let text = format!("`{}`", hold.why);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let line = |texts: &[String]| format!("**Says:** {}", texts.join(", or "));
    let differs = said.iter().filter(|(name, texts)| !page(name).lines().any(|said| said == line(texts)));
    let differs: Vec<String> = differs
        .map(|(name, texts)| format!("docs/runbooks/{name}.md should have: {}", line(texts)))
        .collect();
    assert!(differs.is_empty(), "{}", differs.join("\n"));
}

#[test]
fn every_page_says_since_when_what_ends_it_and_which_verb_helps() {
    for hold in holds() {
        let name = hold.why.name();
        let page = page(name);
        let head = page.split("\n## ").next().unwrap_or_default();
        for part in ["**Since:** ", "**Ends when:** ", "**Helps:** "] {
            assert!(
                head.lines().any(|line| line.starts_with(part)),
                "{name}.md has no line that starts with {part}"
            );
        }
        // What the hold tells to type is explained by its page.
        for command in quoted(&hold.ends_when()).iter().filter(|said| said.starts_with(PROGRAM)) {
            let verb: Vec<&str> = command.split(' ').take_while(|word| is_of_a_verb(word)).collect();
            let verb = verb.join(" ");
            assert!(
                page.contains(&format!("`{verb}")),
                "{name}.md does not name `{verb}`, which its hold does"
            );
        }
    }
}

/// Whether a word belongs to the name of a command, and is none of its arguments.
fn is_of_a_verb(word: &str) -> bool {
    let arguments = ["h2", "retry", "succeeded|failed|retry"];
    word.chars().all(|c| c.is_ascii_lowercase()) && !arguments.contains(&word)
}

#[test]
fn every_page_is_of_a_hold_and_in_the_index() {
    let names: Vec<String> = holds().iter().map(|hold| hold.why.name().to_owned()).collect();
    let index = page("README");
    for entry in fs::read_dir(root().join("docs/runbooks")).expect("the runbooks") {
        let path = entry.expect("a page").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name != "README" {
            assert!(names.contains(&name), "no hold is called {name}; {} helps nobody", path.display());
            assert!(index.contains(&format!("({name}.md)")), "the index does not lead to {name}");
        }
    }
}
