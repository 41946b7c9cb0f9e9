//! A cluster rebuilt from what one host knew: nothing that may have happened since is taken as not having happened.

use std::collections::BTreeSet;

use super::*;

/// The cluster is rebuilt from what is here; what was committed afterwards is lost.
fn rebuilt(lab: &mut Lab) {
    let last = lab.fleet.revision;
    let from = Predecessor { cluster: "c1-x".parse().unwrap(), last, host: h(4), by: by("a zone burned") };
    lab.fleet.rebuild(Rebuilding {
        from,
        newest: Incarnation(1),
        drawn: 5,
        gone: BTreeSet::new(),
        at: WallTime(2000),
    });
}

/// A fleet of five that rolls `b`; `h1` is granted and `h2` drains.
fn mid_rollout() -> Lab {
    let mut lab = Lab::serving_with(5, policy(2));
    lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.grant(2).unwrap();
    lab.begins(2);
    lab
}

#[test]
fn revisions_and_fences_are_newer_than_any_that_the_lost_majority_can_have_used() {
    let mut lab = mid_rollout();
    let (revision, old) = (lab.fleet.revision, lab.fence(1));
    rebuilt(&mut lab);
    assert!(revision.0 + 100_000 <= lab.fleet.revision.0, "{revision} {}", lab.fleet.revision);
    assert_eq!(lab.fleet.incarnation, Incarnation(1).next(5));
    assert_eq!(lab.fence(1), old, "a change that is under way keeps the fence that its host knows");
    assert_eq!(lab.fleet.predecessors.len(), 1);

    let again = lab.fleet.revision;
    rebuilt(&mut lab);
    assert!(again < lab.fleet.revision);
    assert_eq!(lab.fleet.incarnation.lives(), 3);
    let clusters: Vec<_> = lab.fleet.predecessors.iter().map(|known| known.last).collect();
    assert_eq!(clusters, [revision, again]);

    lab.ask(Request::Resume);
    for host in 1..=5 {
        lab.availability(host, Availability::In, Cause::Surroundings);
    }
    for host in [1, 2] {
        lab.changes(host);
    }
    lab.end_wave();
    lab.wave(&[3]);
    lab.grant(3).unwrap();
    assert!(old < lab.fence(3) && lab.fence(3).incarnation.lives() == 3, "{}", lab.fence(3));
}

#[test]
fn an_incarnation_that_was_seen_elsewhere_is_not_used_again() {
    let mut lab = Lab::serving(3);
    let from =
        Predecessor { cluster: "c1-x".parse().unwrap(), last: Revision(9), host: h(1), by: by("again") };
    lab.fleet.rebuild(Rebuilding {
        from,
        newest: Incarnation(7),
        drawn: 1,
        gone: BTreeSet::new(),
        at: WallTime(2000),
    });
    assert!(Incarnation(7) < lab.fleet.incarnation && lab.fleet.incarnation.lives() == 8);
}

#[test]
fn two_that_are_rebuilt_from_one_never_give_the_same_fence_and_a_host_of_either_obeys_the_other_once_it_enrolled()
 {
    let halves = [9, 7].map(|drawn| {
        let mut lab = Lab::serving(3);
        let last = lab.fleet.revision;
        let from = Predecessor { cluster: "c1-x".parse().unwrap(), last, host: h(1), by: by("a half") };
        let (newest, gone) = (Incarnation(1), BTreeSet::new());
        lab.fleet.rebuild(Rebuilding { from, newest, drawn, gone, at: WallTime(2000) });
        for host in 1..=3 {
            lab.availability(host, Availability::In, Cause::Surroundings);
        }
        lab.staged("b");
        lab.wave(&[1]);
        lab.grant(1).unwrap();
        lab
    });
    let [theirs, mut ours] = halves;
    let (other, old) = (theirs.fence(1), ours.fence(1));
    assert_eq!(other.revision, old.revision, "both count on from the same revision");
    assert!(old < other, "{old} {other}");

    // Host 2 was in the other half, and refuses whatever is older than what it knows from there.
    ours.apply(Act::Enrol(Enrolment { obeyed: Some(other.incarnation), ..enrolment(2, "state-2") }));
    ours.changes(1);
    ours.end_wave();
    ours.wave(&[2]);
    ours.grant(2).unwrap();
    assert!(other < ours.fence(2), "{other} {}", ours.fence(2));
    // Who has obeyed only what is known here changes nothing.
    let now = ours.fleet.incarnation;
    for obeyed in [None, Some(old.incarnation), Some(now)] {
        ours.apply(Act::Enrol(Enrolment { obeyed, ..enrolment(3, "state-3") }));
        assert_eq!(ours.fleet.incarnation, now);
    }
    // What the two give from here on differs as well.
    let mut theirs = theirs;
    theirs.apply(Act::Enrol(Enrolment { obeyed: Some(old.incarnation.next(0)), ..enrolment(2, "state-2") }));
    assert!(theirs.fleet.incarnation.drawn() != now.drawn(), "{:?}", theirs.fleet.incarnation);
}

#[test]
fn every_host_is_out_until_it_tells_otherwise_and_slots_stay_held() {
    let mut lab = mid_rollout();
    rebuilt(&mut lab);
    for host in 1..=5 {
        assert_eq!(lab.here(host).availability, Availability::Unknown, "h{host}");
    }
    // The grant of h1 may have been begun before the majority was lost: it is not free again.
    assert_eq!(lab.here(1).change.as_ref().unwrap().phase, PhaseKind::Draining);
    lab.ask(Request::Resume);
    for host in [3, 4] {
        lab.availability(host, Availability::In, Cause::Surroundings);
    }
    assert_eq!(lab.here(3).availability, Availability::In);
    // h1 and h2 hold the two slots, and h5 has not come along: nobody else may go.
    lab.ask(Request::Drain { host: h(3) });
    assert_no(&lab.step(Step::Park { host: h(3) }), "no free slot");

    // Whoever had begun goes on where it was, by what it knows itself.
    lab.moves(1, &[PhaseKind::Stopping]);
    lab.changes(1);
    assert_eq!(lab.here(1).availability, Availability::In);
    lab.terminate(2);
    assert_eq!(lab.service().rollouts[&lab.active()].parts[&h(2)].state, PartState::Dropped);
}

#[test]
fn the_rollout_under_way_is_paused_until_an_operator_has_looked() {
    let mut lab = mid_rollout();
    let rollout = lab.active();
    rebuilt(&mut lab);
    let paused = lab.rollout(rollout).paused.clone().unwrap();
    assert!(paused.reason.contains("rebuilt") && paused.reason.contains("a zone burned"), "{paused:?}");
    lab.ask(Request::Resume);
    assert_eq!(lab.rollout(rollout).paused, None);

    let mut lab = mid_rollout();
    lab.ask(Request::Pause);
    rebuilt(&mut lab);
    let rollout = lab.active();
    assert_eq!(lab.rollout(rollout).paused, Some(by("because")), "the word of whoever had paused it stays");

    let mut lab = mid_rollout();
    rebuilt(&mut lab);
    assert_eq!(lab.ask(Request::Abort { leave: false }), Reply::Done);
}

#[test]
fn a_migration_that_may_have_been_started_since_waits_for_an_operators_word() {
    let mut lab = Lab::serving(3);
    let rollout = lab.staged("m2");
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Migrating);
    rebuilt(&mut lab);
    let state = lab.service().migration(&release("m2"), &h(1));
    assert!(
        matches!(&state, MigrationState::Unknown { reason, .. } if reason.contains("rebuilt")),
        "{state:?}"
    );
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Migrating, .. }));
    assert!(lab.grant_migration(1, "m2").is_err(), "it is not started again by itself");
    lab.ask(Request::ResolveMigration { release: id("m2"), verdict: Verdict::Retry });
    lab.ask(Request::Resume);
    assert_eq!(lab.grant_migration(1, "m2"), Ok(()));
}

#[test]
fn a_migration_that_was_known_to_be_over_stays_so_and_one_that_runs_is_told_of_by_its_host() {
    let mut lab = Lab::serving(3);
    lab.completes("m1");
    lab.staged("m2");
    lab.grant_migration(2, "m2").unwrap();
    rebuilt(&mut lab);
    assert_eq!(lab.service().migration(&release("m1"), &h(1)), MigrationState::Succeeded);
    assert!(matches!(lab.service().migration(&release("m2"), &h(1)), MigrationState::Running { .. }));
    assert_eq!(lab.migration_ended(2, MigrationEnd::Succeeded), Reply::Done);
    assert_eq!(lab.service().migration(&release("m2"), &h(1)), MigrationState::Succeeded);
}

#[test]
fn a_push_that_still_stages_meets_the_doubt_when_it_would_migrate() {
    let mut lab = Lab::serving(3);
    let rollout = lab.pushed("m2");
    rebuilt(&mut lab);
    lab.ask(Request::Resume);
    lab.stages("m2");
    assert_eq!(lab.step(Step::EndStaging { rollout, dropped: Vec::new() }), Ok(()));
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Migrating, .. }));
}

#[test]
fn what_was_answered_before_is_answered_the_same_again() {
    let mut lab = Lab::serving(3);
    let push = Command {
        proposer: "ci".into(),
        sequence: 1,
        at: WallTime(1),
        act: Act::Ask {
            service: web(),
            by: by("ci"),
            request: Request::Push { release: release("b"), policy: None, provenance: Default::default() },
        },
    };
    let first = lab.send(&push);
    rebuilt(&mut lab);
    assert_eq!(lab.send(&push), first);
}

#[test]
fn a_state_without_predecessors_is_written_as_it_always_was() {
    let mut lab = Lab::serving(1);
    assert!(!serde_json::to_string(&lab.fleet).unwrap().contains("predecessors"));
    rebuilt(&mut lab);
    let text = serde_json::to_string(&lab.fleet).unwrap();
    assert_eq!(serde_json::from_str::<Fleet>(&text).unwrap(), lab.fleet);
    let told: Vec<_> = lab.fleet.events.iter().filter(|event| event.kind.name() == "rebuilt").collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].kind.to_string().contains("c1-x"), "{}", told[0].kind);
}

#[test]
fn a_host_whose_disk_is_gone_holds_nothing_and_its_name_may_be_given_to_another() {
    let mut lab = mid_rollout();
    let last = lab.fleet.revision;
    let from = Predecessor { cluster: "c1-x".parse().unwrap(), last, host: h(4), by: by("all disks burned") };
    let gone = BTreeSet::from([h(1), h(9)]);
    lab.fleet.rebuild(Rebuilding { from, newest: Incarnation(1), drawn: 5, gone, at: WallTime(2000) });
    assert!(lab.fleet.hosts[&h(1)].departed.is_some());
    let holders: Vec<_> = lab.fleet.present().map(|(host, _)| host.clone()).collect();
    assert_eq!(holders, [h(2), h(3), h(4), h(5)]);
    assert!(
        lab.fleet.hosts[&h(2)].services.values().all(|here| here.change.is_some()),
        "its slot stays held"
    );
}

#[test]
fn a_cluster_gives_way_only_while_nothing_was_rolled_out_in_it_and_nothing_is_asked_of_it_afterwards() {
    let give_way = |why: &str| Act::GiveWay { to: "c1-x".parse().unwrap(), by: by(why) };
    let push = |lab: &mut Lab| {
        lab.ask(Request::Push { release: release("b"), policy: None, provenance: Default::default() })
    };
    let mut first = Lab::bare(3);
    assert_refused(&first.apply(give_way(" ")), "reason missing");
    // Whichever comes first in the log: the push is kept, or it was never accepted.
    assert!(matches!(push(&mut first), Reply::Accepted(_)));
    assert_refused(&first.apply(give_way("all disks burned")), "not now");

    let mut lab = Lab::bare(3);
    assert_eq!(lab.apply(give_way("all disks burned")), Reply::Done);
    assert_eq!(
        lab.apply(give_way("the same again")),
        Reply::Done,
        "a recovery that was cut off is done again"
    );
    assert_refused(&push(&mut lab), "gives way");
    assert_refused(&lab.ask(Request::SetPolicy { policy: policy(2) }), "gives way");
    let text = serde_json::to_string(&lab.fleet).unwrap();
    assert_eq!(serde_json::from_str::<Fleet>(&text).unwrap(), lab.fleet);
    assert!(!serde_json::to_string(&first.fleet).unwrap().contains("gives_way"));
}

#[test]
fn a_cluster_that_was_to_give_way_and_is_rebuilt_itself_takes_pushes_again() {
    let mut lab = Lab::bare(3);
    assert_eq!(
        lab.apply(Act::GiveWay { to: "c1-x".parse().unwrap(), by: by("all disks burned") }),
        Reply::Done
    );
    rebuilt(&mut lab);
    let push = lab.ask(Request::Push { release: release("b"), policy: None, provenance: Default::default() });
    assert!(matches!(push, Reply::Accepted(_)), "{push:?}");
}

#[test]
fn a_release_that_was_given_up_may_have_been_pushed_and_migrated_again_since() {
    let mut lab = Lab::serving(3);
    lab.pushed("m2");
    lab.ask(Request::Abort { leave: false });
    assert_eq!(lab.service().migration(&release("m2"), &h(1)), MigrationState::Never);
    rebuilt(&mut lab);
    assert!(matches!(lab.service().migration(&release("m2"), &h(1)), MigrationState::Unknown { .. }));
}

#[test]
fn a_migration_lock_counts_as_used_so_that_its_holder_starts_nothing_without_a_record() {
    let mut lab = Lab::serving(3);
    lab.staged("m2");
    lab.grant_migration(2, "m2").unwrap();
    assert!(!lab.fleet.assignment(&h(2)).services[&web()].migrate.as_ref().unwrap().started);
    // The lost majority may have broken the lock, and had another host run it.
    rebuilt(&mut lab);
    assert!(lab.fleet.assignment(&h(2)).services[&web()].migrate.as_ref().unwrap().started);
}

#[test]
fn a_migration_that_only_its_host_knows_of_is_unknown_once_that_host_enrols_and_stays_as_an_operator_says() {
    let mut lab = Lab::serving(3);
    let old = Fence { incarnation: lab.fleet.incarnation, revision: Revision(900) };
    let noted = |fence| Enrolment {
        migrated: BTreeMap::from([(web(), (fence, release("m7")))]),
        ..enrolment(2, "state-2")
    };
    let state = |lab: &Lab| lab.service().migration(&release("m7"), &h(1));
    // In one life of the cluster every grant is known.
    lab.apply(Act::Enrol(noted(old)));
    assert_eq!(state(&lab), MigrationState::Never);
    rebuilt(&mut lab);
    assert_eq!(lab.apply(Act::Enrol(noted(old))), Reply::Done);
    assert!(matches!(state(&lab), MigrationState::Unknown { host, .. } if host == h(2)));
    lab.ask(Request::ResolveMigration { release: id("m7"), verdict: Verdict::Retry });
    lab.apply(Act::Enrol(noted(old)));
    assert_eq!(state(&lab), MigrationState::Never, "the operator has said how it is");
}

#[test]
fn of_two_migrations_that_a_host_was_granted_after_what_was_rebuilt_from_the_first_is_unknown_as_well() {
    let mut lab = Lab::serving(3);
    let granted = |revision| Fence { incarnation: Incarnation(1), revision: Revision(revision) };
    rebuilt(&mut lab);
    let told = Enrolment {
        migrated: BTreeMap::from([(web(), (granted(901), release("m8")))]),
        migrated_before: BTreeMap::from([(web(), vec![(granted(900), release("m7"))])]),
        ..enrolment(2, "state-2")
    };
    let text = serde_json::to_string(&Act::Enrol(told)).unwrap();
    assert_eq!(lab.apply(serde_json::from_str(&text).unwrap()), Reply::Done);
    for id in ["m7", "m8"] {
        let state = lab.service().migration(&release(id), &h(1));
        assert!(matches!(state, MigrationState::Unknown { .. }), "{id}: {state:?}");
    }
}

#[test]
fn a_host_that_gave_up_before_the_recovery_counts_as_out_until_it_says_how_it_is_now() {
    let mut lab = mid_rollout();
    let fence = lab.fence(1);
    rebuilt(&mut lab);
    let gave_up = Report::Abandoned { fence, reason: "it ended before".into() };
    assert_eq!(lab.report(1, gave_up), Reply::Done);
    assert!(lab.here(1).change.is_none());
    assert_eq!(lab.here(1).availability, Availability::Unknown);
    lab.availability(1, Availability::In, Cause::Surroundings);
    assert_eq!(lab.here(1).availability, Availability::In);
}
