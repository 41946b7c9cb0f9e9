//! Hosts come and go.

use super::*;

#[test]
fn another_state_directory_under_the_same_name_is_refused() {
    let mut lab = Lab::serving(2);
    assert_refused(&lab.apply(Act::Enrol(enrolment(1, "a clone"))), "another host");
    assert_eq!(lab.here(1).current_id(), Some(&id("a")));
}

#[test]
fn a_restarted_agent_keeps_what_is_known_and_renews_what_it_says() {
    let mut lab = Lab::serving(1);
    let mut again = enrolment(1, "state-1");
    again.address = "10.9.9.9:1".parse().unwrap();
    again.declares.get_mut(&web()).unwrap().port = 81;
    assert_eq!(lab.apply(Act::Enrol(again.clone())), Reply::Done);
    assert_eq!(lab.fleet.hosts[&h(1)].address, again.address);
    assert_eq!(lab.here(1).declaration.port, 81);
    assert_eq!(lab.here(1).current_id(), Some(&id("a")));
    assert!(lab.here(1).counted);
}

#[test]
fn a_word_of_an_earlier_run_that_comes_late_is_noticed() {
    let mut lab = Lab::serving(1);
    let mut says = |run: &str, port| {
        let mut enrolment = enrolment(1, "state-1");
        enrolment.declares.values_mut().for_each(|declaration| declaration.port = port);
        let revision = Revision(lab.fleet.revision.0 + 1);
        let command =
            Command { proposer: run.into(), sequence: 1, at: WallTime(0), act: Act::Enrol(enrolment) };
        assert_eq!(lab.fleet.apply(revision, &command), Reply::Done);
        lab.fleet.assignment(&h(1))
    };
    let mine = says("h1/second", 80);
    let since = mine.revision;
    assert!(!mine.asks_who("h1/second", since));
    assert!(!Assignment::default().asks_who("h1/second", since), "what is older says nothing");
    assert!(says("h1/first", 81).asks_who("h1/second", since), "the fleet goes by the port of old");
    assert!(!says("h1/third", 80).asks_who("h1/third", since));
}

#[test]
fn a_host_that_is_back_after_its_departure_is_a_new_one() {
    let mut lab = Lab::serving(2);
    lab.terminate(2);
    assert_eq!(lab.apply(Act::Enrol(enrolment(2, "another state"))), Reply::Done);
    let here = lab.here(2);
    assert_eq!((here.current_id(), here.counted, here.staged.len()), (None, false, 0));
}

#[test]
fn a_terminated_machine_is_not_brought_back_by_what_it_said_before() {
    let mut lab = Lab::serving(2);
    lab.terminate(2);
    assert_refused(&lab.apply(Act::Enrol(enrolment(2, "state-2"))), "terminated");
    assert_eq!(lab.fleet.hosts[&h(2)].departed, Some(Evidence::Terminated), "it stays a fact");
    let rollout = lab.pushed("b");
    assert!(!lab.rollout(rollout).parts.contains_key(&h(2)), "no rollout waits for it");
    // An operator's word may have been wrong: the machine is there, as a new host.
    lab.apply(Act::Depart { host: h(1), evidence: Evidence::Removed(by("it burns")) });
    assert_eq!(lab.apply(Act::Enrol(enrolment(1, "state-1"))), Reply::Done);
    assert_eq!((lab.here(1).current_id(), lab.here(1).counted), (None, false));
}

#[test]
fn a_departure_is_kept_as_a_fact_and_removal_owes_a_reason() {
    let mut lab = Lab::serving(3);
    let removed = |reason| Act::Depart { host: h(1), evidence: Evidence::Removed(by(reason)) };
    assert_refused(&lab.apply(removed(" ")), "reason missing");
    assert_eq!(lab.apply(removed("it burns")), Reply::Done);
    assert_eq!(lab.terminate(1), Reply::Done, "the first evidence stays");
    assert_eq!(lab.fleet.hosts[&h(1)].departed, Some(Evidence::Removed(by("it burns"))));
    assert_eq!(lab.fleet.declaring(&web()).count(), 2);
    assert_refused(&lab.silent(1), "unknown host");
    assert_refused(&lab.report(1, Report::Runs { release: None }), "unknown host");
    assert_refused(&lab.terminate(9), "unknown host");
}

#[test]
fn silence_is_no_evidence() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    let fence = lab.fence(1);
    lab.silent(1);
    assert_eq!(lab.here(1).availability, Availability::Unknown);
    assert_eq!(lab.fence(1), fence, "the slot stays with its holder");
    assert_eq!(lab.report(1, Report::Changed { fence }), Reply::Done);
    assert_eq!(lab.here(1).availability, Availability::In);
}

#[test]
fn a_service_that_is_no_longer_declared_leaves_the_rollout() {
    let mut lab = Lab::serving(2);
    let rollout = lab.pushed("b");
    let without = Enrolment { declares: BTreeMap::new(), ..enrolment(2, "state-2") };
    lab.apply(Act::Enrol(without));
    assert_eq!(lab.part(rollout, 2), PartState::Dropped);
    lab.stages("b");
    assert_eq!(lab.step(Step::EndStaging { rollout, dropped: Vec::new() }), Ok(()));
}

#[test]
fn a_service_that_is_no_longer_declared_stays_while_it_changes_or_migrates() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.grant_migration(2, "m1").unwrap();
    let without = Enrolment { declares: BTreeMap::new(), ..enrolment(2, "state-2") };
    lab.apply(Act::Enrol(without.clone()));
    assert_eq!(lab.migration_ended(2, MigrationEnd::Succeeded), Reply::Done);
    let rollout = lab.active();
    lab.step(Step::EndMigrating { rollout }).unwrap();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.apply(Act::Enrol(without));
    lab.changes(2);
}

#[test]
fn departed_hosts_are_remembered_up_to_a_limit() {
    let mut lab = Lab::bare(0);
    for host in 1..=255 {
        lab.enrol(host);
        lab.terminate(host);
    }
    for host in 1..=255 {
        let mut renamed = enrolment(host, "again");
        renamed.host = format!("x{host}").parse().unwrap();
        lab.apply(Act::Enrol(renamed.clone()));
        lab.apply(Act::Depart { host: renamed.host, evidence: Evidence::Terminated });
    }
    assert_eq!(lab.fleet.hosts.len(), 256);
    assert!(!lab.fleet.hosts.contains_key(&h(1)), "the oldest is forgotten first");
}

#[test]
fn the_level_is_raised_only_when_every_host_supports_it() {
    let mut lab = Lab::bare(1);
    assert_eq!(lab.fleet.level, 1);
    lab.apply(Act::Enrol(Enrolment { level: 3, ..enrolment(2, "state-2") }));
    assert_refused(&lab.apply(Act::RaiseLevel { level: 2 }), "not now");
    lab.apply(Act::Enrol(Enrolment { level: 2, ..enrolment(1, "state-1") }));
    assert_eq!(lab.apply(Act::RaiseLevel { level: 2 }), Reply::Done);
    assert_eq!(lab.apply(Act::RaiseLevel { level: 1 }), Reply::Done);
    assert_eq!(lab.fleet.level, 2, "it never falls");
}

#[test]
fn an_agent_that_does_not_know_what_is_switched_on_is_refused_and_changes_nothing() {
    let mut lab = Lab::bare(2);
    for (host, level) in [(1, 2), (2, 3)] {
        lab.apply(Act::Enrol(Enrolment { level, ..enrolment(host, &format!("state-{host}")) }));
    }
    assert_eq!(lab.fleet.is_known(), Ok(()));
    assert_eq!(lab.apply(Act::RaiseLevel { level: 2 }), Reply::Done);
    let before = lab.fleet.clone();
    for old in [enrolment(1, "state-1"), enrolment(3, "state-3")] {
        let refusal = Refusal::AgentTooOld { host: old.host.clone(), knows: 1, at: 2 };
        assert_eq!(lab.apply(Act::Enrol(Enrolment { level: 1, ..old })), Reply::Refused(refusal));
    }
    assert_eq!(lab.fleet.hosts, before.hosts);
    assert_eq!(lab.fleet.events, before.events);
    // This build knows level 1: it must not go on from here.
    assert_eq!(lab.fleet.is_known(), Err(Outgrown { knows: SUPPORTED_LEVEL, at: 2 }));
    lab.apply(Act::Enrol(Enrolment { level: 2, ..enrolment(3, "state-3") }));
    assert!(lab.fleet.hosts.contains_key(&h(3)));
}

#[test]
fn an_assignment_is_the_hosts_own_view() {
    let mut lab = Lab::serving(2);
    let nobodys = Assignment { revision: lab.fleet.revision, ..Assignment::default() };
    assert_eq!(lab.fleet.assignment(&h(9)), nobodys, "not enrolled, and as new as the fleet");
    let rollout = lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    let view = lab.fleet.assignment(&h(1)).services.remove(&web()).unwrap();
    assert_eq!(view.stage, [release("m1"), release("a")]);
    let lock = lab.service().migration_lock.clone().unwrap();
    assert_eq!(
        view.migrate,
        Some(MigrationGrant { fence: lock.fence, release: release("m1"), started: false })
    );
    assert_eq!(lab.fleet.assignment(&h(2)).services[&web()].migrate, None);
    lab.migration_ended(1, MigrationEnd::Succeeded);
    lab.step(Step::EndMigrating { rollout }).unwrap();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    let view = lab.fleet.assignment(&h(2)).services.remove(&web()).unwrap();
    let change = ChangeGrant {
        fence: lab.fence(2),
        rollout: Some(rollout),
        to: Some(release("m1")),
        from: Some(release("a")),
        fallback: true,
        park: false,
        revert: false,
        phase: PhaseKind::Granted,
    };
    assert_eq!(view.change, Some(change));
    assert_eq!(view.keep, [id("a"), id("m1")].into());
    assert_eq!((view.current, view.availability), (Some(release("a")), Availability::In));
    lab.terminate(2);
    assert!(!lab.fleet.assignment(&h(2)).enrolled);
}

#[test]
fn what_a_host_may_collect_no_longer_counts_as_staged() {
    let mut lab = Lab::serving(1);
    lab.completes("b");
    lab.completes("c");
    assert_eq!(lab.here(1).staged, [id("c")].into());
    let Reply::Accepted(rollout) = lab.ask(Request::Rollback) else { panic!("refused") };
    assert_no(&lab.step(Step::EndStaging { rollout, dropped: Vec::new() }), "not staged");
    lab.stages("b");
    assert_eq!(lab.step(Step::EndStaging { rollout, dropped: Vec::new() }), Ok(()));
}
