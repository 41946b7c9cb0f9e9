//! The operator's way out.

use std::collections::BTreeSet;

use super::*;

fn without(names: &str, reason: &str) -> Event {
    Event::Bootstrap { without: names.split_whitespace().map(id).collect(), reason: reason.into() }
}

#[test]
fn a_host_set_aside_is_not_waited_for() {
    let mut h1 = former("h1", 3);
    let _ = h1.handle(list("h1 h2 h3"), at(0));
    let _ = h1.handle(says("h2", no_group()), at(1));
    expect(&mut h1, 2, without("h3", "its disk is broken"), "persist(agreed 1) ask(h2 agree?)");
    let roster = h1.record().bound().unwrap();
    assert_eq!(roster.without, BTreeMap::from([(id("h3"), "its disk is broken".to_owned())]));
    assert_eq!(roster.seats.len(), 2);

    // The other host learns of it with the question, and needs no word of the operator.
    let mut h2 = former("h2", 3);
    let _ = h2.handle(list("h1 h2 h3"), at(0));
    let gone = h1.record().gone.clone();
    let ask = Ask { from: identity("h1"), gone, question: Question::Agree(roster.clone()) };
    expect(&mut h2, 1, Event::Asked(ask), "persist(agreed 1) reply(agreed) ask(h1 agree?)");
    assert_eq!(h2.record().gone.keys().collect::<BTreeSet<_>>(), BTreeSet::from([&id("h3")]));
}

#[test]
fn a_host_set_aside_ends_the_roster_that_waits_for_it() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Agreed(all)));
    expect(&mut h1, 0, without("h3", "gone"), "persist(withdrawn 1) ask(h2 withdraw?)");
}

#[test]
fn a_host_that_was_set_aside_proposes_nothing_and_joins() {
    let mut h3 = former("h3", 1);
    let excluded = BTreeMap::from([(id("h3"), Gone::Excluded { reason: "slow".into() })]);
    let ask = Ask { from: identity("h1"), gone: excluded, question: Question::Group };
    let _ = h3.handle(Event::Asked(ask), at(0));
    expect(&mut h3, 1, list("h1 h3"), "ask(h1 group?)");
    expect(&mut h3, 2, says("h1", no_group()), "");
    assert_eq!(h3.holds()[0].to_string(), "this host takes no part: an operator set it aside: slow");
    let group = Said::Group { cluster: cluster("c9") };
    expect(&mut h3, 3, says("h1", group), "ask(h1 group?) join(c9)");
}

#[test]
fn what_an_operator_may_not_do_is_refused_by_table() {
    let mut member = former_with("h1", 3, standing(1, Standing::Member { cluster: cluster("c9") }));
    expect(&mut member, 0, without("h2", "x"), "refuse(this host is in the group c9 already)");
    let mut h1 = former("h1", 3);
    let _ = h1.handle(list("h1 h2"), at(0));
    let table = [
        ("h1", "x", "h1 cannot form a group without itself: ask another host"),
        ("h7", "x", "h7 is not known here: it was never listed"),
        ("h2", " ", "a reason is needed to form a group without a host"),
    ];
    for (names, reason, refusal) in table {
        expect(&mut h1, 1, without(names, reason), &format!("refuse({refusal})"));
    }
    assert_eq!(*h1.record(), Record::default());
}
