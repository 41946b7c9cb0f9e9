//! What a roster must keep, and what its voters and its other hosts do by it.

use super::*;

#[test]
fn a_roster_that_breaks_a_rule_is_none_by_table() {
    type Break = fn(&mut Roster);
    let table: [(&str, Break, Malformed); 7] = [
        ("nobody is in it", |roster| roster.seats.clear(), Malformed::Empty),
        ("not in launch order", |roster| roster.seats.swap(1, 2), Malformed::Order),
        ("one is in it twice", |roster| roster.seats[2] = roster.seats[1].clone(), Malformed::Order),
        (
            "one is in it twice, and not in launch order",
            |roster| roster.seats[2] = roster.seats[0].clone(),
            Malformed::Order,
        ),
        (
            "one state directory",
            |roster| roster.seats[2].identity.state = StateUuid(1),
            Malformed::SharedState,
        ),
        ("a voter too few", |roster| roster.seats[1].voter = false, Malformed::Voters),
        ("another round", |roster| roster.round = 2, Malformed::Cluster),
    ];
    let whole = roster(1, "h1 h2 h3");
    assert_eq!(whole.check(), Ok(()));
    for (what, breaks, malformed) in table {
        let mut broken = whole.clone();
        breaks(&mut broken);
        assert_eq!(broken.check(), Err(malformed), "{what}");
    }
}

#[test]
fn a_host_that_a_roster_does_not_name_says_who_it_is() {
    let why = Refusal::NotNamed { identity: identity("h2") };
    let text = "it is h2 (state 00000000-0000-0000-0000-000000000002), whom the roster does not name";
    assert_eq!(why.to_string(), text);
}

#[test]
fn all_voters_but_the_oldest_give_it_one_head_start_whatever_their_age() {
    let all = roster(1, "h1 h2 h3");
    let mut h3 = former_with("h3", 3, standing(1, Standing::Agreed(all.clone())));
    for (other, now) in [("h1", 1), ("h2", 2)] {
        let _ = h3.handle(says(other, Said::Agreed { cluster: all.cluster.clone() }), at(now));
    }
    expect(&mut h3, 1001, Event::DeadlinePassed, "");
    assert_eq!(h3.deadline(), Some(at(1002)));
    expect(&mut h3, 1002, Event::DeadlinePassed, "persist(initialising 1) initialise(1)");
}

#[test]
fn who_has_withdrawn_is_not_asked_to_do_so_again() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Withdrawn(all.clone())));
    let withdrawn = Said::Withdrawn { cluster: all.cluster };
    expect(&mut h1, 0, says("h2", withdrawn), "ask(h3 withdraw?)");
    expect(&mut h1, 100, Event::DeadlinePassed, "ask(h3 withdraw?)");
}

#[test]
fn a_member_stays_what_it_is() {
    let mut h1 = former_with("h1", 3, standing(1, Standing::Member { cluster: cluster("c1") }));
    let before = h1.clone();
    for now in [0, 100, 10_000] {
        expect(&mut h1, now, Event::DeadlinePassed, "");
        expect(&mut h1, now, list("h1 h2 h3"), "");
        expect(&mut h1, now, says("h2", Said::Group { cluster: cluster("c9") }), "");
    }
    assert_eq!(h1, before);
}

#[test]
fn a_host_without_its_clock_asks_after_one_retry_and_keeps_what_it_heard() {
    let mut h2 = former("h2", 2);
    let _ = h2.handle(list("h1 h2 h3"), at(700));
    let _ = h2.handle(says("h1", no_group()), at(800));
    let _ = h2.handle(list("-h3"), at(900));
    assert!(h2.ready.is_some(), "it waits for the head start of h1");
    let timeless = h2.clone().timeless();
    assert_eq!((timeless.due, timeless.ready), (at(100), Some(at(0))));
    assert!(timeless.asked.is_empty() && timeless.silent.is_empty() && timeless.disagreed.is_none());
    assert_eq!((timeless.heard, timeless.known, timeless.record), (h2.heard, h2.known, h2.record));
}
