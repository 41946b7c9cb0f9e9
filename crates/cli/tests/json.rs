//! The page docs/json.md shows what every verb prints with `--output json`. Its examples are made here, from an agent with scripted
//! answers: `JSON_PAGE=write cargo test -p cli --test json` writes them anew, and a reviewer sees what changed for programs.

mod support;

use std::{fs, path::PathBuf};

use api::{
    fake::{FakeAgent, Play, Script},
    refusal,
    view::{Ended, EventItem, Pushed, SeenEvent, Verdict, WatchItem},
};
use model::{
    Revision, RolloutId,
    fleet::{Event, EventKind, Operator, Outcome, Refusal},
};
use serde_json::Value;

use support::{ended as finished, fleet, start};

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md")
}

/// What is asked, as the page's heading has it.
struct Example {
    heading: &'static str,
    arguments: Vec<String>,
    code: i32,
    script: Script,
}

fn example(heading: &'static str, arguments: &str, script: Script) -> Example {
    let arguments = arguments.split(' ').map(|word| word.replace('_', " ")).collect();
    Example { heading, arguments, code: 0, script }
}

fn event(revision: u64, kind: EventKind) -> SeenEvent {
    SeenEvent::from(&Event {
        revision: Revision(revision),
        index: 0,
        at: fleet::AT,
        service: Some("web".parse().unwrap()),
        rollout: Some(RolloutId(42)),
        host: None,
        kind,
    })
}

fn end() -> Ended {
    Ended {
        rollout: RolloutId(42),
        verdict: Verdict::Over(Outcome::RolledBack),
        rollback: Some((RolloutId(50), Some(Verdict::Over(Outcome::Completed)))),
        reason: "h1: exited with code 3".into(),
        next: "mend the release and push it again; this one is quarantined".into(),
        failures: vec![api::view::HostFailure {
            host: fleet::named("h1"),
            release: Some("dir-2222".parse().unwrap()),
            failure: fleet::failure(),
        }],
    }
}

/// Answers that have something of everything.
fn script() -> Script {
    let release = fleet::release("dir-2222");
    let pushed = Pushed { rollout: RolloutId(42), joined: false, release: Some(release), after: None };
    let began = |kind| event(42, kind);
    let began = began(EventKind::RolloutBegan {
        release: Some("dir-2222".parse().unwrap()),
        why: model::fleet::RolloutKind::Push,
        by: Operator { name: "ci".into(), reason: "merge 12".into() },
    });
    Script {
        push: Some(Ok(pushed)),
        preview: Some(Ok(fleet::preview())),
        status: Some(Ok(fleet::status().into())),
        history: fleet::history().into(),
        cluster: Some(Ok(fleet::cluster().into())),
        backup: Some(fleet::backup()),
        recovery: Some(Ok(fleet::recovery())),
        watches: [vec![Play::Say(WatchItem::Event(began.clone())), Play::Say(WatchItem::Ended(end()))]]
            .into(),
        events: [vec![Play::Say(EventItem::Event(began))]].into(),
        logs: [vec![Play::Say(fleet::reached()), Play::Say(fleet::lines())]].into(),
        ..Script::default()
    }
}

fn examples() -> Vec<Example> {
    let soaked = vec![
        Play::Say(WatchItem::Event(event(46, EventKind::WaveSoaked { wave: 0 }))),
        Play::Say(WatchItem::Picture(Box::new(fleet::status()))),
    ];
    let drained = |heading, arguments| {
        let mut waits = fleet::status();
        waits.services[0].hosts[3].change = None;
        example(
            heading,
            arguments,
            Script { statuses: [waits.clone(), waits].map(Into::into).into(), ..script() },
        )
    };
    let no =
        Refusal::Quarantined { release: "dir-0bad".parse().unwrap(), reason: "exited with code 3".into() };
    let refusal = refusal::refused_of(&"web".parse().unwrap(), &no);
    let rebuilt = api::view::ClusterView { cluster: fleet::NEW_CLUSTER.into(), ..fleet::cluster() };
    vec![
        example("push", "push . --service web", script()),
        Example { code: 1, ..example("push --wait", "push . --service web --wait", script()) },
        example(
            "push --until canary",
            "push . --service web --until canary",
            Script { watches: [soaked].into(), ..script() },
        ),
        example("push --dry-run", "push . --service web --dry-run", script()),
        Example { code: 1, ..example("watch", "watch r42 --service web", script()) },
        example("status", "status", script()),
        example("history", "history --service web", script()),
        example("rollback", "rollback --service web", script()),
        example("restart", "restart --service web", script()),
        example("pause", "pause --service web", script()),
        example("resume", "resume --service web", script()),
        example("abort", "abort --service web", script()),
        example("events", "events", script()),
        example("logs", "logs --service web", script()),
        example("locks list", "locks list", script()),
        example("locks break", "locks break h2 --service web --reason it_burned --yes", script()),
        example("hosts list", "hosts list", script()),
        drained("hosts drain --wait", "hosts drain h4 --wait"),
        example("hosts admit", "hosts admit h4", script()),
        example("hosts exclude", "hosts exclude h3 --reason broken_fan --yes", script()),
        example("hosts include", "hosts include h3", script()),
        example("hosts remove", "hosts remove h2 --reason it_burned --yes", script()),
        example("migration show", "migration show", script()),
        example(
            "migration resolve",
            "migration resolve dir-2222 succeeded --service web --reason looked_into_it --yes",
            script(),
        ),
        example("quarantine list", "quarantine list", script()),
        example(
            "quarantine release",
            "quarantine release dir-0bad --service web --reason the_disk_was_full --yes",
            script(),
        ),
        example("policy show", "policy show", script()),
        example("policy set", "policy set POLICY --service web", script()),
        example("cluster show", "cluster show", script()),
        example("cluster bootstrap", "cluster bootstrap --without h3 --reason it_burned --yes", script()),
        example("cluster backup", "cluster backup --to BACKUP", script()),
        example(
            "cluster recover",
            "cluster recover --lost h2 --lost h3 --reason it_burned --yes",
            Script { cluster: Some(Ok(rebuilt.into())), ..script() },
        ),
        Example {
            code: 5,
            ..example("errors", "push . --service web", Script { push: Some(Err(refusal)), ..script() })
        },
    ]
}

/// One object over several lines, several objects one a line.
fn shown(out: &str) -> String {
    let values: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    match &values[..] {
        [one] => serde_json::to_string_pretty(one).unwrap(),
        several => several.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Puts the example below its heading, in place of the one that is there.
fn put(page: &str, heading: &str, example: &str) -> String {
    let title = format!("### {heading}\n");
    let at = page.find(&title).unwrap_or_else(|| panic!("docs/json.md has no heading {title:?}"));
    let begins = at + page[at..].find("```json\n").expect("a block below the heading") + "```json\n".len();
    let ends = begins + page[begins..].find("\n```").expect("the end of the block");
    format!("{}{example}{}", &page[..begins], &page[ends..])
}

#[tokio::test]
async fn the_page_shows_what_every_verb_prints() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.toml");
    fs::write(&policy, "max_unavailable = 2\n").unwrap();
    let backup = dir.path().join("fleet.backup").display().to_string();
    let put_in = |word: &str| word.replace("POLICY", policy.to_str().unwrap()).replace("BACKUP", &backup);
    let before = fs::read_to_string(page()).unwrap();
    let mut after = before.clone();
    for Example { heading, arguments, code, script } in examples() {
        let agent = FakeAgent::start(script).await;
        let arguments: Vec<String> = arguments.into_iter().map(|word| put_in(&word)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--output", "json"]).collect();
        let said = finished(start(&[&agent], &arguments)).await;
        assert_eq!(said.code, Some(code), "{heading}: {}{}", said.out, said.err);
        // Where the test runs is nobody's business.
        let here = fs::canonicalize(".").unwrap().display().to_string();
        after = put(
            &after,
            heading,
            &shown(&said.out).replace(&here, "/srv/releases/2222").replace(&backup, "fleet.backup"),
        );
    }
    if std::env::var_os("JSON_PAGE").is_some() {
        fs::write(page(), after).unwrap();
        return;
    }
    let differs = before.lines().zip(after.lines()).find(|(before, after)| before != after);
    assert!(
        before == after,
        "docs/json.md is not what the command line prints: {differs:#?}\nJSON_PAGE=write cargo test -p cli --test json writes it anew"
    );
}
