//! A proposal that arrives twice does no harm.

use super::*;

fn command(proposer: &str, sequence: u64, act: Act) -> Command {
    Command { proposer: proposer.into(), sequence, at: WallTime(1), act }
}

fn push(name: &str) -> Act {
    let request = Request::Push { release: release(name), policy: None, provenance: Default::default() };
    Act::Ask { service: web(), by: by(""), request }
}

#[test]
fn the_same_number_gets_the_first_reply_and_changes_nothing() {
    let mut lab = Lab::serving(2);
    let pushes = command("ci", 7, push("b"));
    let first = lab.send(&pushes);
    assert!(matches!(first, Reply::Accepted(_)), "{first:?}");
    lab.ask(Request::Abort { leave: false });
    let before = lab.fleet.clone();
    assert_eq!(lab.send(&pushes), first);
    assert_eq!(lab.fleet, Fleet { revision: lab.fleet.revision, ..before });
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut lab = Lab::bare(1);
    let asks = command("ci", 1, Act::Silent { host: h(2) });
    let first = lab.send(&asks);
    assert_refused(&first, "unknown host");
    lab.enrol(2);
    assert_eq!(lab.send(&asks), first);
}

#[test]
fn another_proposer_or_number_is_another_proposal() {
    let mut lab = Lab::serving(1);
    let first = lab.send(&command("ci", 1, push("b")));
    let Reply::Accepted(rollout) = first else { panic!("{first:?}") };
    assert_eq!(lab.send(&command("ci", 2, push("b"))), Reply::Joined(rollout));
    assert_eq!(lab.send(&command("ann", 1, push("b"))), Reply::Joined(rollout));
}

#[test]
fn proposals_may_arrive_out_of_order() {
    let mut lab = Lab::bare(1);
    for sequence in [3, 1, 2] {
        assert_eq!(lab.send(&command("ci", sequence, Act::Silent { host: h(1) })), Reply::Done, "{sequence}");
    }
}

#[test]
fn one_whose_reply_is_forgotten_is_refused_not_applied_again() {
    let mut lab = Lab::bare(1);
    for sequence in 1..=200 {
        lab.send(&command("ci", sequence, Act::Silent { host: h(1) }));
    }
    assert_refused(&lab.send(&command("ci", 3, Act::Silent { host: h(1) })), "outdated");
    assert_eq!(lab.send(&command("ci", 200, Act::Silent { host: h(1) })), Reply::Done);
}

#[test]
fn proposers_are_forgotten_oldest_first() {
    let mut lab = Lab::bare(1);
    let asks = |n: u32| command(&format!("p{n}"), 1, push("b"));
    let Reply::Accepted(rollout) = lab.send(&asks(0)) else { panic!("refused") };
    // The lab, which enrolled the host, is one of the 512, and the first to be forgotten.
    for n in 1..=512 {
        assert_eq!(lab.send(&asks(0)), Reply::Accepted(rollout), "there was room until {n}");
        assert_eq!(lab.send(&asks(n)), Reply::Joined(rollout));
    }
    assert_eq!(lab.send(&asks(512)), Reply::Joined(rollout));
    assert_eq!(lab.send(&asks(0)), Reply::Joined(rollout), "a forgotten proposer is a new one");
}
