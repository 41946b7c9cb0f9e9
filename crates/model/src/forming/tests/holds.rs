//! What a host that waits says.

use super::*;

#[track_caller]
fn held(former: &Former, expected: &[&str]) {
    let holds: Vec<String> = former.holds().iter().map(ToString::to_string).collect();
    assert_eq!(holds, expected);
    assert!(former.holds().iter().all(|hold| !hold.ends_when().is_empty()));
}

#[test]
fn a_host_alone_says_how_many_it_waits_for() {
    let mut h1 = former("h1", 3);
    held(&h1, &["the inventory has not listed this host", "0 of 3 hosts are listed"]);
    let _ = h1.handle(list("h1 h2"), at(0));
    held(&h1, &["2 of 3 hosts are listed", "h2 has not answered"]);
}

#[test]
fn a_silent_host_is_named_since_it_was_first_asked() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2 h3"), at(7));
    let _ = h1.handle(Event::DeadlinePassed, at(900));
    let _ = h1.handle(says("h2", no_group()), at(901));
    assert_eq!(h1.holds(), [FormingHold::NoAnswer { host: id("h3"), since: at(7) }]);
    assert!(h1.holds()[0].ends_when().contains("--without h3"));
    // A list without it changes nothing: it is waited for until it is known to be gone.
    let _ = h1.handle(list("h1 h2"), at(902));
    assert_eq!(h1.holds().len(), 1);
    let _ = h1.handle(list("-h3"), at(903));
    assert_eq!(h1.record().bound().map(|roster| roster.seats.len()), Some(2));
}

#[test]
fn two_hosts_of_one_name_are_both_named() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2 h3"), at(0));
    let other = Identity { host: id("h2"), state: StateUuid(99) };
    let _ = h1.handle(says("h2", no_group()), at(1));
    let answer = Answer { from: other.clone(), gone: BTreeMap::new(), said: no_group() };
    let _ = h1.handle(Event::Answered { to: id("h2"), answer }, at(2));
    let _ = h1.handle(says("h3", no_group()), at(3));
    assert_eq!(
        h1.holds(),
        [FormingHold::DuplicateHost { host: id("h2"), was: StateUuid(2), now: StateUuid(99) }]
    );
    // A host that asks under another state directory is found out too.
    let _ = h1.handle(asks("h2", Question::Group), at(4));
    assert_eq!(
        h1.holds(),
        [FormingHold::DuplicateHost { host: id("h2"), was: StateUuid(99), now: StateUuid(2) }]
    );
    // One of them alone is no longer held.
    let _ = h1.handle(says("h2", no_group()), at(5));
    assert!(h1.record().bound().is_some());
}

#[test]
fn an_agreement_of_another_state_directory_does_not_count() {
    let both = roster(1, "h1 h2");
    let mut h1 = former_with("h1", 2, standing(1, Standing::Agreed(both.clone())));
    let wiped = Identity { host: id("h2"), state: StateUuid(99) };
    let said = Said::Agreed { cluster: both.cluster.clone() };
    let answer = Answer { from: wiped, gone: BTreeMap::new(), said };
    let _ = h1.handle(Event::Answered { to: id("h2"), answer }, at(0));
    assert_eq!(h1.cluster(), None);
}

#[test]
fn a_wrong_host_behind_an_address_is_named() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2"), at(0));
    let answer = Answer { from: identity("h3"), gone: BTreeMap::new(), said: no_group() };
    let _ = h1.handle(Event::Answered { to: id("h2"), answer }, at(1));
    held(&h1, &["h3 answers where h2 is listed"]);
}

#[test]
fn a_host_listed_twice_holds_until_it_is_listed_once() {
    let mut h1 = former("h1", 2);
    let twice = Listing { address: ([10, 0, 0, 9], 7000).into(), ..listing("h2") };
    let _ = h1.handle(Event::Listed(vec![listing("h1"), listing("h2"), twice]), at(0));
    let _ = h1.handle(says("h2", no_group()), at(1));
    held(&h1, &["h2 is listed twice, at 10.0.0.2:7000 and at 10.0.0.9:7000"]);
    let _ = h1.handle(list("h1 h2"), at(2));
    assert!(h1.record().bound().is_some());
}

#[test]
fn copies_of_a_state_directory_are_named() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2"), at(0));
    let copy = Identity { host: id("h2"), state: StateUuid(1) };
    let answer = Answer { from: copy, gone: BTreeMap::new(), said: no_group() };
    let _ = h1.handle(Event::Answered { to: id("h2"), answer }, at(1));
    let text = "h1 and h2 have the same state directory, 00000000-0000-0000-0000-000000000001";
    held(&h1, &[text]);
}

#[test]
fn two_groups_are_named_and_none_is_joined() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2 h3"), at(0));
    let _ = h1.handle(says("h2", Said::Group { cluster: cluster("c8") }), at(1));
    let effects = short(&h1.handle(says("h3", Said::Group { cluster: cluster("c9") }), at(2)));
    assert!(!effects.contains("join"), "{effects}");
    assert_eq!(h1.holds()[0].to_string(), "h2 has the group c8, but h3 has c9");
}

#[test]
fn a_host_bound_elsewhere_and_a_refusal_are_named() {
    let mut h1 = former("h1", 2);
    let _ = h1.handle(list("h1 h2"), at(0));
    let _ = h1.handle(says("h2", Said::NoGroup { round: 1, agreed: Some(cluster("c7")) }), at(1));
    held(&h1, &["h2 is bound to the roster of c7"]);

    let two = roster(1, "h1 h2");
    let mut h1 = former_with("h1", 2, standing(1, Standing::Agreed(two.clone())));
    let refused = Said::Refused { cluster: two.cluster.clone(), why: Refusal::TooFew { expected: 4 } };
    let _ = h1.handle(says("h2", refused), at(0));
    held(
        &h1,
        &[
            &format!("withdrawing from the roster of {}", two.cluster),
            "h2 has not answered",
            "h2 did not agree to the last roster: it expects at least 4 hosts",
        ],
    );
}

#[test]
fn an_uuid_is_read_as_it_is_written() {
    let text = "0123abcd-4567-89ef-0123-456789abcdef";
    assert_eq!(text.parse::<StateUuid>().unwrap().to_string(), text);
    for bad in ["", "0123abcd", "0123abcd-4567-89ef-0123-456789abcdeg", "+123abcd456789ef0123456789abcdef"] {
        assert!(bad.parse::<StateUuid>().is_err(), "{bad:?} was read");
    }
}
