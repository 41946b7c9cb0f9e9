//! What operators do: what is asked of an agent, what people are told, and what it ends with.

mod support;

use api::{
    fake::{FakeAgent, Operated, Script},
    refusal, v1,
    view::{Stale, Status},
};
use model::{
    RolloutId,
    fleet::{Refusal, RolloutKind},
};

use support::{
    command, ended, fleet,
    operators::{agent, asked, contains, with},
    run,
};

fn by(reason: &str) -> Option<v1::Operator> {
    Some(v1::Operator { name: "ann".into(), reason: reason.into() })
}

#[tokio::test]
async fn a_pause_says_what_stays_as_it_is_and_how_to_go_on() {
    let agent = agent().await;
    let said = run(&[&agent], &["pause", "--service", "web", "--by", "ann", "--reason", "lunch"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    contains(
        &said,
        &[
            "paused r42 of web while rolling",
            "finish or go back by themselves: h2 (probing)",
            "1 of 3 hosts stay on the new release",
            "`deployinator resume --service web`",
            "`deployinator abort --service web`",
        ],
    );
    let pause = v1::PauseRequest { service: "web".into(), by: by("lunch") };
    assert_eq!(asked(&agent), [Operated::Pause(pause)]);
}

#[tokio::test]
async fn whoever_does_not_say_a_name_is_recorded_as_a_number() {
    let agent = agent().await;
    run(&[&agent], &["resume", "--service", "web"]).await;
    let asked = asked(&agent);
    let [Operated::Resume(resume)] = &asked[..] else { panic!("{asked:?}") };
    assert!(resume.by.as_ref().is_some_and(|by| by.name.starts_with("uid ")), "{resume:?}");
}

#[tokio::test]
async fn an_abort_names_the_roll_back_and_offers_to_watch_it() {
    let mut after = fleet::status();
    let back = after.services[0].active.as_mut().unwrap();
    (back.id, back.kind) = (RolloutId(50), RolloutKind::RollbackOf { rollout: RolloutId(42), aborted: true });
    back.target = Some(fleet::release("dir-1111"));
    let agent = with(vec![fleet::status(), after]).await;
    let said = run(&[&agent], &["abort", "--service", "web"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    contains(
        &said,
        &["gave up r42 of web: r50 takes 2 hosts back to dir-1111", "`deployinator watch r42 --service web`"],
    );
}

#[tokio::test]
async fn an_abort_that_leaves_the_hosts_says_that_the_fleet_is_mixed() {
    let mut after = fleet::status();
    (after.services[0].active, after.services[0].mixed) = (None, true);
    let agent = with(vec![fleet::status(), after]).await;
    let said = run(&[&agent], &["abort", "--leave", "--service", "web"]).await;
    contains(&said, &["the fleet is mixed", "push the release"]);
    let asked = asked(&agent);
    assert!(matches!(&asked[..], [Operated::Abort(abort)] if abort.leave), "{asked:?}");
}

#[tokio::test]
async fn what_replaces_evidence_is_refused_without_a_reason_and_without_a_confirmation() {
    let cases: [&[&str]; 6] = [
        &["locks", "break", "h2", "--service", "web"],
        &["hosts", "exclude", "h2"],
        &["hosts", "remove", "h2"],
        &["migration", "resolve", "dir-2222", "retry", "--service", "web"],
        &["quarantine", "release", "dir-0bad", "--service", "web"],
        &["cluster", "bootstrap", "--without", "h3"],
    ];
    for arguments in cases {
        let agent = agent().await;
        let said = run(&[&agent], &[arguments, &["--yes"]].concat()).await;
        assert_eq!(said.code, Some(64), "{arguments:?} without a reason: {}", said.err);
        assert!(said.err.contains("--reason"), "{}", said.err);
        let said = run(&[&agent], &[arguments, &["--reason", "  ", "--yes"]].concat()).await;
        assert_eq!(said.code, Some(64), "{arguments:?} with an empty reason: {}", said.err);
        let said = run(&[&agent], &[arguments, &["--reason", "it burned"]].concat()).await;
        assert_eq!(said.code, Some(64), "{arguments:?} without a confirmation: {}", said.err);
        for words in ["your word replaces", "--yes", "next: "] {
            assert!(said.err.contains(words), "{arguments:?}: no {words:?} in {}", said.err);
        }
        assert!(asked(&agent).is_empty(), "{arguments:?} was asked all the same");
        let said = run(&[&agent], &[arguments, &["--reason", "it burned", "--yes"]].concat()).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        assert_eq!(asked(&agent).len(), 1, "{arguments:?}");
        assert!(said.err.contains("your word replaces"), "it is said to whoever is sure, too: {}", said.err);
    }
}

#[tokio::test]
async fn breaking_a_slot_tells_what_the_holder_does_and_which_promise_is_at_stake() {
    let agent = agent().await;
    let arguments = ["locks", "break", "h2", "--service", "web", "--by", "ann", "--reason", "gone", "--yes"];
    let said = run(&[&agent], &arguments).await;
    for words in ["fence 1.44", "probing for 43 s", "silent for 43 s", "if h2 is alive, P1 rests on you now"]
    {
        assert!(said.err.contains(words), "{words:?} is not in {}", said.err);
    }
    contains(&said, &["the slot of h2 for web is free"]);
    let lock = Some(v1::break_lock_request::Lock::SlotOf("h2".into()));
    // The grant that was shown, and no other.
    let expected_fence = Some(v1::Fence { incarnation: 1, revision: 44 });
    let request = v1::BreakLockRequest { service: "web".into(), by: by("gone"), lock, expected_fence };
    assert_eq!(asked(&agent), [Operated::BreakLock(request)]);

    let arguments = ["locks", "break", "--migration", "--service", "web", "--reason", "gone", "--yes"];
    let said = run(&[&agent], &arguments).await;
    assert!(said.err.contains("if h2 is alive, bin/migrate may still run there: P2"), "{}", said.err);
    contains(
        &said,
        &["unknown", "`deployinator migration resolve dir-2222 succeeded|failed|retry --service web"],
    );
}

#[tokio::test]
async fn a_lock_that_nobody_holds_or_can_be_shown_is_not_broken() {
    let agent = agent().await;
    let arguments = ["locks", "break", "h1", "--service", "web", "--reason", "gone", "--yes"];
    let said = run(&[&agent], &arguments).await;
    assert_eq!(said.code, Some(5), "{}{}", said.out, said.err);
    assert!(said.err.contains("h1 holds no slot") && said.err.contains("locks list"), "{}", said.err);
    assert!(asked(&agent).is_empty());
    agent.script().status = None;
    let said = run(&[&agent], &arguments).await;
    assert_eq!(said.code, Some(69), "{}{}", said.out, said.err);
    assert!(asked(&agent).is_empty(), "it was broken unseen");
}

#[tokio::test]
async fn the_list_of_locks_has_holder_fence_release_and_what_would_free_them() {
    let said = run(&[&agent().await], &["locks", "list"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    contains(
        &said,
        &[
            "migration  h2",
            "1.41",
            "slot       h2",
            "1.44",
            "dir-2222",
            "silent for 43 s",
            "2026-11-21 03:04:05",
        ],
    );
    contains(&said, &["until h2 is back or terminated", "parked for 43 s", "`deployinator hosts admit h4`"]);

    let mut free = fleet::status();
    free.services[0].migration_lock = None;
    free.services[0].hosts.iter_mut().for_each(|host| host.change = None);
    let said = run(&[&with(vec![free]).await], &["locks", "list"]).await;
    contains(&said, &["no lock is held"]);
}

#[tokio::test]
async fn migrations_and_quarantines_are_listed_with_how_to_go_on() {
    let said = run(&[&agent().await], &["migration", "show"]).await;
    contains(&said, &["migration of dir-1111: succeeded", "unknown on h2: its keeper was killed"]);
    contains(
        &said,
        &[
            "│ adding a column",
            "`deployinator migration resolve dir-2222 succeeded|failed|retry --service web",
        ],
    );
    let said = run(&[&agent().await], &["migration", "show", "dir-1111"]).await;
    assert!(!said.out.contains("dir-2222"), "{}", said.out);
    let said = run(&[&agent().await], &["quarantine", "list"]).await;
    contains(&said, &["dir-0bad", "r30", "failed on h1: exited with code 3"]);
}

#[tokio::test]
async fn a_policy_that_is_shown_can_be_set() {
    let agent = agent().await;
    let said = run(&[&agent], &["policy", "show", "--service", "web"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.toml");
    std::fs::write(&file, &said.out).unwrap();
    let said = run(&[&agent], &["policy", "set", file.to_str().unwrap(), "--service", "web"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    contains(&said, &["r42, which is under way"]);
    let asked = asked(&agent);
    let [Operated::SetPolicy(set)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(set.policy.unwrap(), model::Policy::default().into());

    std::fs::write(&file, "canary = 0\nwav = 3\n").unwrap();
    let said = run(&[&agent], &["policy", "set", file.to_str().unwrap(), "--service", "web"]).await;
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(said.err.contains("canary") && said.err.contains("wav"), "every problem at once: {}", said.err);
}

#[tokio::test]
async fn the_cluster_is_shown_with_who_must_answer() {
    let said = run(&[&agent().await], &["cluster", "show"]).await;
    contains(
        &said,
        &["cluster c1", "leader h1", "3 voters, of which 2 must answer; 4 hosts", "h2.5f1d", "silent"],
    );
}

#[tokio::test]
async fn what_is_old_is_marked_and_ends_with_69() {
    let stale = || {
        Some(Stale {
            reason: "no leader answers; no answer from h2".into(),
            missing: vec![fleet::named("h2")],
        })
    };
    let status = Status { stale: stale(), ..fleet::status() };
    let script = || Script {
        status: Some(Ok(status.clone().into())),
        history: api::view::History { stale: stale(), ..fleet::history() }.into(),
        cluster: Some(Ok(api::view::ClusterView { stale: stale(), ..fleet::cluster() }.into())),
        ..Script::default()
    };
    let verbs: [&[&str]; 8] = [
        &["status"],
        &["history", "--service", "web"],
        &["locks", "list"],
        &["hosts", "list"],
        &["migration", "show"],
        &["quarantine", "list"],
        &["policy", "show"],
        &["cluster", "show"],
    ];
    for arguments in verbs {
        let said = run(&[&FakeAgent::start(script()).await], arguments).await;
        assert_eq!(said.code, Some(69), "{arguments:?}: {}{}", said.out, said.err);
        contains(&said, &["STALE", "no answer from h2"]);
    }
}

#[tokio::test]
async fn a_refusal_ends_with_five_and_a_lost_answer_with_69_and_where_to_look() {
    let service = "web".parse().unwrap();
    let script = Script {
        status: Some(Ok(fleet::status().into())),
        refusal: Some(refusal::refused_of(&service, &Refusal::NoRollout)),
        ..Script::default()
    };
    let said = run(&[&FakeAgent::start(script).await], &["pause", "--service", "web"]).await;
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("`deployinator history --service web`"), "{}", said.err);

    let script =
        Script { refusal: Some(refusal::answer_lost("nobody saw it committed")), ..Script::default() };
    let said = run(&[&FakeAgent::start(script).await], &["pause", "--service", "web"]).await;
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.contains("it may still be done"), "{}", said.err);
    assert!(said.err.contains("`deployinator events --service web`"), "{}", said.err);
}

#[tokio::test]
async fn the_status_says_each_hold_once_and_first_what_needs_a_person() {
    let mut status = fleet::status();
    let service = &mut status.services[0];
    let hold = |host: &str| api::view::HoldStatus {
        name: "staging".into(),
        text: format!("{host} fetches the release"),
        ends_when: format!("{host} has the release"),
        host: Some(fleet::named(host)),
        ..service.holds[0].clone()
    };
    let fetching: Vec<_> = ["h1", "h3", "h4"].map(hold).into();
    service.holds.splice(0..0, fetching);
    let said = run(&[&with(vec![status]).await], &["status"]).await;
    contains(&said, &["h1 fetches the release; the same of h3, h4"]);
    assert_eq!(said.out.matches("fetches the release").count(), 1, "{}", said.out);
    let at = |words: &str| said.out.find(words).unwrap();
    assert!(at("h2 is silent and holds a slot") < at("fetches the release"), "{}", said.out);
    contains(&said, &["by ci: merge 12", "drained by ann: new disk", "excluded by ann: broken fan"]);
}

#[tokio::test]
async fn completions_and_pages_are_made_for_every_verb() {
    let nobody = "127.0.0.1:1".to_owned();
    for shell in ["bash", "zsh", "fish"] {
        let said =
            ended(command(std::slice::from_ref(&nobody), &["completions", shell]).spawn().unwrap()).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        contains(&said, &["quarantine", "canary"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let arguments = ["man", "--dir", pages.to_str().unwrap()];
    let said = ended(command(std::slice::from_ref(&nobody), &arguments).spawn().unwrap()).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for page in ["deployinator.1", "deployinator-push.1", "deployinator-hosts-drain.1"] {
        assert!(pages.join(page).exists(), "{page} is missing");
    }
    let said = ended(command(&[nobody], &["man"]).spawn().unwrap()).await;
    contains(&said, &[".TH deployinator"]);
}
