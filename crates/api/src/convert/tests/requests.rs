//! What is asked: what it becomes, and what is refused.

use model::fleet::{Lock, Request, Verdict};

use super::{by, fence};
use crate::{v1, view};

#[test]
fn requests_become_what_is_asked() {
    let service = "web".to_owned();
    let lock = v1::break_lock_request::Lock::SlotOf("h1".into());
    let wire = v1::BreakLockRequest {
        service: service.clone(),
        by: Some(by().into()),
        lock: Some(lock),
        expected_fence: None,
    };
    let ask = view::Ask::try_from(wire).unwrap();
    assert_eq!(ask.request, Request::BreakSlot { host: "h1".parse().unwrap() });
    assert_eq!(ask.by, by());

    let shown = |lock| v1::BreakLockRequest {
        service: service.clone(),
        by: None,
        lock: Some(lock),
        expected_fence: Some(fence().into()),
    };
    for (wire, lock) in [
        (v1::break_lock_request::Lock::SlotOf("h1".into()), Lock::SlotOf("h1".parse().unwrap())),
        (v1::break_lock_request::Lock::Migration(true), Lock::Migration),
    ] {
        let ask = view::Ask::try_from(shown(wire)).unwrap();
        assert_eq!(ask.request, Request::BreakGrant { lock, fence: fence() });
    }

    let no = v1::break_lock_request::Lock::Migration(false);
    let wire =
        v1::BreakLockRequest { service: service.clone(), by: None, lock: Some(no), expected_fence: None };
    assert_eq!(view::Ask::try_from(wire).unwrap_err().field, "migration");

    let verdict = v1::Verdict::Retry.into();
    let wire = v1::ResolveMigrationRequest { service, by: None, release: "abc-web-2".into(), verdict };
    let release = "abc-web-2".parse().unwrap();
    let expected = Request::ResolveMigration { release, verdict: Verdict::Retry };
    assert_eq!(view::Ask::try_from(wire).unwrap().request, expected);

    let wire = v1::PauseRequest { service: "a b".into(), by: None };
    assert_eq!(view::Ask::try_from(wire).unwrap_err().field, "service");
    let wire = v1::PushRequest { service: "web".into(), ..v1::PushRequest::default() };
    assert_eq!(view::Push::try_from(wire).unwrap_err().field, "source");
}

#[test]
fn what_is_too_long_or_too_large_is_refused_with_its_field() {
    let long = "x".repeat(5 << 20);
    let push = || v1::PushRequest { service: "web".into(), source: "/r".into(), ..Default::default() };
    let by = |name: &str, reason: &str| Some(v1::Operator { name: name.into(), reason: reason.into() });
    let from = |run: &str| Some(v1::Provenance { ci_run: run.into(), ..Default::default() });
    let policy = |policy| v1::PushRequest { policy: Some(policy), ..push() };
    let year_ms = Some(365 * 24 * 3_600_000);
    for (wire, expected) in [
        (v1::PushRequest { service: long.clone(), ..push() }, "service: "),
        (
            v1::PushRequest { source: long.clone(), ..push() },
            "source: must be at most 4096 bytes long, and has 5242880",
        ),
        (v1::PushRequest { by: by(&long, ""), ..push() }, "by.name: must be at most 256 bytes long"),
        (v1::PushRequest { by: by("", &long), ..push() }, "by.reason: must be at most 2048 bytes long"),
        (
            v1::PushRequest { provenance: from(&long), ..push() },
            "provenance.ci_run: must be at most 512 bytes long",
        ),
        (v1::PushRequest { provenance: from("a\nb"), ..push() }, "provenance.ci_run: must be one line"),
        (
            policy(v1::Policy { max_unavailable: Some(u32::MAX), ..Default::default() }),
            "policy.max_unavailable: ",
        ),
        (
            policy(v1::Policy { wave: Some(10_001), ..Default::default() }),
            "policy.wave: must be at most 10000",
        ),
        (
            policy(v1::Policy { failure_tolerance: Some(10_001), ..Default::default() }),
            "policy.failure_tolerance: ",
        ),
        (
            policy(v1::Policy { soak_ms: Some(u64::MAX), ..Default::default() }),
            "policy.soak_ms: must be at most 86400000",
        ),
        (policy(v1::Policy { stop_grace_ms: year_ms, ..Default::default() }), "policy.stop_grace_ms: "),
        (policy(v1::Policy { join_deadline_ms: year_ms, ..Default::default() }), "policy.join_deadline_ms: "),
    ] {
        let told = view::Push::try_from(wire).unwrap_err().to_string();
        assert!(told.starts_with(expected) && told.len() < 400, "{expected:?}: {told}");
    }
    let most = v1::PushRequest {
        source: format!("/{}", "x".repeat(4095)),
        by: by(&"n".repeat(256), &"r".repeat(2048)),
        provenance: from(&"c".repeat(512)),
        ..push()
    };
    assert!(view::Push::try_from(most).is_ok());
}

#[test]
fn a_request_for_logs_names_no_more_hosts_and_places_than_there_may_be() {
    let query = |hosts: usize, places: usize| {
        let place =
            v1::LogPlace { host: "h1".into(), stream: v1::LogStream::Serve.into(), ..Default::default() };
        let hosts = (0..hosts).map(|n| format!("h{n}")).collect();
        v1::LogsRequest { service: "web".into(), hosts, after: vec![place; places], ..Default::default() }
    };
    assert!(view::LogsQuery::try_from(query(1024, 32_768)).is_ok());
    for (wire, said) in [
        (query(1025, 0), "hosts: must be at most 1024, and are 1025"),
        (query(0, 32_769), "after: must be at most 32768, and are 32769"),
    ] {
        assert_eq!(view::LogsQuery::try_from(wire).unwrap_err().to_string(), said);
    }
}
