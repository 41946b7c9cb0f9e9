use std::sync::Arc;

use model::{
    Fence, Incarnation, Release, Revision,
    host::{
        Health,
        health::{Instance, Probe},
    },
};
use ports::supervisor::{FakeSupervisor, fake::launch};
use tokio::sync::Notify;

use super::*;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// As good as for ever, in a test.
const LONG: Duration = Duration::from_secs(3600);

fn sighting(availability: Availability, release: Option<&str>, probe: Option<bool>) -> Sighting {
    let probe = probe.map(|passed| Probe { passed, ago: Duration::ZERO, reason: String::new() });
    Sighting {
        revision: None,
        phase: PhaseKind::Steady,
        fence: None,
        release: release.map(|id| id.parse().unwrap()),
        since: Duration::ZERO,
        availability,
        trouble: None,
        waits_for: None,
        pid: None,
        restarts: 0,
        health: Health { instances: Vec::<Instance>::new(), probe, ..Health::default() },
        staged: Default::default(),
        staging: None,
        staging_progress: None,
        unanswered: 0,
    }
}

fn name(name: &str) -> ServiceName {
    name.parse().unwrap()
}

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

/// What a host remembers that had a release in service.
fn serving() -> Ledger {
    let release = Release { id: "a".parse().unwrap(), source: "/a".into(), migrates: false };
    Ledger { serving: Some(release), ..Ledger::default() }
}

type Eyes = watch::Sender<Option<Sighting>>;

fn after(others: &[&str], limit: Duration) -> (Order, Vec<Eyes>) {
    let (eyes, seen): (Vec<_>, Vec<_>) = others.iter().map(|_| watch::channel(None)).unzip();
    let others = others.iter().map(|other| name(other)).zip(seen).collect();
    (Order { service: name("web"), others, limit }, eyes)
}

#[test]
fn others_can_build_upon_what_is_healthy_or_need_not_wait() {
    use Availability::{In, Out, Unknown};
    for (seen, is, why) in [
        (sighting(In, Some("a"), None), true, "it is in service"),
        (sighting(Out, Some("a"), Some(true)), true, "it is healthy, and on its way into service"),
        (sighting(Out, None, None), true, "nothing is to run there"),
        (sighting(Unknown, None, None), false, "nobody has looked yet"),
        (sighting(Unknown, Some("a"), None), false, "it was just found"),
        (sighting(Out, Some("a"), None), false, "it starts"),
        (sighting(Out, Some("a"), Some(false)), false, "it is sick"),
        (Sighting { phase: PhaseKind::Parked, ..sighting(Out, Some("a"), None) }, true, "maintenance"),
    ] {
        assert_eq!(is_there(&seen), is, "{why}");
    }
}

#[tokio::test]
async fn it_waits_until_all_are_there_and_says_for_whom() {
    let (order, eyes) = after(&["cache", "db"], LONG);
    let said = Arc::new(Notify::new());
    let (words, mut heard) = watch::channel(String::new());
    let waiting = tokio::spawn({
        let said = said.clone();
        async move {
            let say = |text| {
                words.send_replace(text);
                said.notify_one();
            };
            order.wait(&serving(), &FakeSupervisor::new(), say).await;
        }
    });
    let both = heard.wait_for(|text| text.starts_with("cache and db to be healthy, for 3"));
    timeout(PATIENCE, both).await.expect("it says for whom it waits").expect("it waits");
    eyes[0].send_replace(Some(sighting(Availability::In, Some("a"), None)));
    let one = heard.wait_for(|text| text.starts_with("db to be healthy, for "));
    timeout(PATIENCE, one).await.expect("it says who is missing still").expect("it waits");
    assert!(!waiting.is_finished());
    eyes[1].send_replace(Some(sighting(Availability::Out, Some("a"), Some(true))));
    timeout(PATIENCE, waiting).await.expect("it goes on").unwrap();
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let (order, _eyes) = after(&["db"], Duration::from_millis(30));
    let (remembered, supervisor) = (serving(), FakeSupervisor::new());
    timeout(PATIENCE, order.wait(&remembered, &supervisor, |_| ())).await.expect("its limit is over");
}

#[tokio::test]
async fn what_runs_and_what_has_nothing_to_run_waits_for_nobody() {
    let runs = FakeSupervisor::new();
    runs.start(&launch(fence(1), "a".parse().unwrap(), "/a/bin/serve".as_ref())).await.unwrap();
    let silent = FakeSupervisor::new();
    silent.fail(1);
    for (remembered, supervisor, why) in [
        (serving(), runs, "it runs"),
        (Ledger::default(), FakeSupervisor::new(), "nothing is to run"),
        (serving(), silent, "its keeper does not answer: the host machine deals with that"),
    ] {
        let (order, _eyes) = after(&["db"], LONG);
        let waited = order.wait(&remembered, &supervisor, |_| ());
        timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("it waits although {why}"));
    }
    let (alone, _) = after(&[], LONG);
    timeout(PATIENCE, alone.wait(&serving(), &FakeSupervisor::new(), |_| ()))
        .await
        .expect("it is after nobody");
}
