//! What operators do to hosts, and how they wait for them.

mod support;

use api::{
    fake::{FakeAgent, Operated, Script},
    view::{Stale, Status},
};
use model::fleet::PhaseKind;

use support::{
    fleet,
    operators::{agent, asked, contains, with},
    run,
};

#[tokio::test]
async fn the_list_of_hosts_has_where_they_are_what_they_are_and_what_they_run() {
    let said = run(&[&agent().await], &["hosts", "list"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line =
        |host: &str| said.out.lines().find(|line| line.starts_with(host)).unwrap_or_default().to_owned();
    for (host, words) in [
        ("h1", &["10.0.0.1:7100", "eu-1a", "leader", "yes", "web in dir-2222"][..]),
        ("h2", &["voter", "silent for 43 s", "web unknown dir-1111, probing"]),
        ("h3", &["voter", "excluded by ann: broken fan"]),
        ("h4", &["follower", "web out dir-1111, drained by ann: new disk"]),
    ] {
        for word in words {
            assert!(line(host).contains(word), "{word:?} is not in {:?}", line(host));
        }
    }
}

#[tokio::test]
async fn a_drain_is_about_every_service_that_the_host_declares_and_waits_until_it_is_parked() {
    let mut waits = fleet::status();
    let mut api = waits.services[0].clone();
    api.service = "api".parse().unwrap();
    waits.services.push(api);
    let mut drains = waits.clone();
    waits.services[0].hosts[3].change = None;
    drains.services[0].hosts[3].change.as_mut().unwrap().phase = PhaseKind::Draining;
    let mut parked = drains.clone();
    parked.services[0].hosts[3].change.as_mut().unwrap().phase = PhaseKind::Parked;
    let agent = with(vec![waits.clone(), waits, drains, parked]).await;
    let said = run(&[&agent], &["hosts", "drain", "h4", "--wait", "--reason", "new disk"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    contains(
        &said,
        &["h4 leaves web, api", "h4 web: waits for its turn", "h4 web: draining", "h4 is parked"],
    );
    let services: Vec<String> = asked(&agent)
        .into_iter()
        .map(|asked| if let Operated::Drain(drain) = asked { drain.service } else { panic!("{asked:?}") })
        .collect();
    assert_eq!(services, ["web", "api"]);
}

#[tokio::test]
async fn a_wait_for_a_host_ends_at_its_time_out_and_when_somebody_wants_the_opposite() {
    let mut waits = fleet::status();
    waits.services[0].hosts[3].change = None;
    let arguments = ["hosts", "drain", "h4", "--wait", "--timeout", "300ms"];
    let said = run(&[&with(vec![waits.clone()]).await], &arguments).await;
    assert_eq!(said.code, Some(75), "{}", said.err);
    assert!(said.err.contains("still holds"), "{}", said.err);

    let mut admitted = waits.clone();
    admitted.services[0].hosts[3].parked = None;
    let said = run(&[&with(vec![waits, admitted]).await], &["hosts", "drain", "h4", "--wait"]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("the opposite"), "{}", said.err);
}

#[tokio::test]
async fn a_time_out_of_a_wait_for_a_host_without_a_majority_ends_with_69_and_names_who_is_missing() {
    let mut waits = fleet::status();
    waits.services[0].hosts[3].change = None;
    let stale = Stale { reason: "no answer from h2".into(), missing: vec![fleet::named("h2")] };
    let away = Status { stale: Some(stale), ..waits.clone() };
    for verb in ["drain", "admit"] {
        let arguments = ["hosts", verb, "h4", "--wait", "--timeout", "1s"];
        let said = run(&[&with(vec![waits.clone(), away.clone()]).await], &arguments).await;
        assert_eq!(said.code, Some(69), "{verb}: {}{}", said.out, said.err);
        assert!(said.err.contains("no answer from h2") && said.err.contains("still holds"), "{}", said.err);
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_refused_before_anything_is_asked() {
    let agent = agent().await;
    let said = run(&[&agent], &["hosts", "drain", "h9"]).await;
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("h9") && said.err.contains("`deployinator hosts list`"), "{}", said.err);
    assert!(asked(&agent).is_empty());
}

#[tokio::test]
async fn a_time_out_while_a_question_has_no_answer_ends_with_69_and_says_so() {
    let mut waits = fleet::status();
    waits.services[0].hosts[3].change = None;
    // It answers what is asked before the wait, and nothing of the wait itself.
    let statuses = [waits.into()].into();
    let silent = FakeAgent::start(Script { statuses, silent: true, ..Script::default() }).await;
    let said = run(&[&silent], &["hosts", "drain", "h4", "--wait", "--timeout", "2s"]).await;
    assert_eq!(said.code, Some(69), "{}{}", said.out, said.err);
    assert!(said.err.contains("no answer for") && said.err.contains("still holds"), "{}", said.err);
}
