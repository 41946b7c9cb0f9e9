//! What a host does by itself, from the first list to the group.

use std::collections::BTreeSet;

use super::*;

const AGREED: fn(&Roster) -> Said = |roster| Said::Agreed { cluster: roster.cluster.clone() };
const WITHDRAWN: fn(&Roster) -> Said = |roster| Said::Withdrawn { cluster: roster.cluster.clone() };

#[test]
fn one_host_alone_forms_at_its_first_list() {
    let mut h1 = former("h1", 1);
    expect(&mut h1, 0, Event::DeadlinePassed, "");
    expect(&mut h1, 1, list(""), "");
    expect(&mut h1, 2, list("h1"), "persist(initialising 1) initialise(1)");
    assert_eq!(h1.deadline(), None);
    let cluster = h1.cluster().unwrap().clone();
    assert_eq!(cluster.as_str(), "c1-00000000-0000-0000-0000-000000000001");
    let member = format!("persist(member {cluster})");
    expect(&mut h1, 3, Event::Initialised { cluster }, &member);
    assert_eq!((h1.deadline(), h1.holds()), (None, Vec::new()));
}

#[test]
fn the_oldest_proposes_once_all_have_answered_and_initialises_once_all_have_agreed() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former("h1", 3);
    expect(&mut h1, 0, list("h1 h2"), "ask(h2 group?)");
    expect(&mut h1, 1, list("h3"), "ask(h2 group?) ask(h3 group?)");
    expect(&mut h1, 2, says("h2", no_group()), "");
    expect(&mut h1, 3, says("h3", no_group()), "persist(agreed 1) ask(h2 agree?) ask(h3 agree?)");
    expect(&mut h1, 4, says("h2", AGREED(&all)), "");
    expect(&mut h1, 103, Event::DeadlinePassed, "ask(h3 agree?)");
    expect(&mut h1, 104, says("h3", AGREED(&all)), "persist(initialising 1) initialise(1)");
}

#[test]
fn a_younger_host_proposes_when_the_head_starts_of_all_older_ones_are_over() {
    let mut h3 = former("h3", 3);
    let _ = h3.handle(list("h1 h2 h3"), at(0));
    let _ = h3.handle(says("h1", no_group()), at(1));
    expect(&mut h3, 2, says("h2", Said::NoGroup { round: 4, agreed: None }), "");
    expect(&mut h3, 2001, Event::DeadlinePassed, "ask(h1 group?) ask(h2 group?)");
    expect(&mut h3, 2002, Event::DeadlinePassed, "persist(agreed 5) ask(h1 agree?) ask(h2 agree?)");
}

/// How many hosts are asked by these effects.
fn asked(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Ask { .. })).count()
}

#[test]
fn of_many_hosts_the_oldest_asks_all_and_a_younger_one_some_in_turn_and_seldom_those_that_answered() {
    let names: Vec<String> = (1..=30).map(|number| format!("h{number}")).collect();
    let all = names.join(" ");
    let mut h1 = former("h1", 30);
    assert_eq!(asked(&h1.handle(list(&all), at(0))), 29);
    let mut h30 = former("h30", 30);
    let first = h30.handle(list(&all), at(0));
    assert_eq!(asked(&first), 8);
    let mut heard = BTreeSet::new();
    let mut asks = first;
    for round in 0..4 {
        for effect in asks {
            let Effect::Ask { to, .. } = effect else { continue };
            let _ = h30.handle(says(to.as_str(), no_group()), at(round * 100 + 1));
            heard.insert(to);
        }
        asks = h30.handle(Event::DeadlinePassed, at((round + 1) * 100));
    }
    assert_eq!(heard.len(), 29, "in four turns it has asked everybody");
    assert_eq!(asked(&asks), 0, "all have answered");
    assert_eq!(asked(&h30.handle(Event::DeadlinePassed, at(1000))), 8, "after ten retries it asks again");
}

#[test]
fn a_younger_voter_initialises_when_the_head_start_is_over() {
    let all = roster(1, "h1 h2 h3");
    let mut h2 = former_with("h2", 3, standing(1, Standing::Agreed(all.clone())));
    expect(&mut h2, 0, Event::DeadlinePassed, "ask(h1 agree?) ask(h3 agree?)");
    let _ = h2.handle(says("h1", AGREED(&all)), at(1));
    expect(&mut h2, 2, says("h3", AGREED(&all)), "");
    assert_eq!(h2.deadline(), Some(at(100)));
    expect(&mut h2, 1001, Event::DeadlinePassed, "");
    assert_eq!(h2.deadline(), Some(at(1002)));
    expect(&mut h2, 1002, Event::DeadlinePassed, "persist(initialising 1) initialise(1)");
}

#[test]
fn who_does_not_vote_waits_for_the_voters_and_joins() {
    let both = roster(1, "h1 h2");
    let group = Said::Group { cluster: both.cluster.clone() };
    let mut h2 = former_with("h2", 2, standing(1, Standing::Agreed(both.clone())));
    expect(&mut h2, 0, says("h1", AGREED(&both)), "ask(h1 agree?)");
    expect(&mut h2, 5000, Event::DeadlinePassed, "ask(h1 agree?)");
    let join = format!("ask(h1 agree?) join({})", both.cluster);
    expect(&mut h2, 5001, says("h1", group), &join);
    expect(&mut h2, 5101, Event::DeadlinePassed, &join);
    let member = format!("persist(member {})", both.cluster);
    expect(&mut h2, 5102, Event::Joined { cluster: both.cluster }, &member);
}

#[test]
fn a_free_host_joins_the_first_group_it_hears_of_however_few_are_listed() {
    let mut h2 = former("h2", 5);
    let _ = h2.handle(list("h1 h2"), at(0));
    let group = Said::Group { cluster: cluster("c9") };
    expect(&mut h2, 1, says("h1", group), "ask(h1 group?) join(c9)");
    expect(
        &mut h2,
        2,
        Event::Joined { cluster: cluster("c8") },
        "refuse(nothing of the group c8 was begun here)",
    );
    expect(&mut h2, 3, Event::Joined { cluster: cluster("c9") }, "persist(member c9)");
    expect(&mut h2, 4, list("h1 -h2"), "");
}

#[test]
fn a_crash_loses_nothing_that_was_stored() {
    let all = roster(1, "h1 h2 h3");
    let table = [
        (Standing::Agreed(all.clone()), "ask(h2 agree?) ask(h3 agree?)"),
        (Standing::Withdrawn(all.clone()), "ask(h2 withdraw?) ask(h3 withdraw?)"),
        (Standing::Initialising(all.clone()), "initialise(1)"),
        (Standing::Member { cluster: all.cluster.clone() }, ""),
    ];
    for (stored, effects) in table {
        let mut h1 = former_with("h1", 3, standing(1, stored));
        expect(&mut h1, 0, Event::DeadlinePassed, effects);
    }
}

#[test]
fn an_initialising_that_fails_is_tried_again() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Initialising(all.clone())));
    let failed = || Event::InitialiseFailed { problem: "disk is full".into() };
    expect(&mut h1, 0, Event::DeadlinePassed, "initialise(1)");
    expect(&mut h1, 50, failed(), "");
    assert_eq!(h1.holds()[0].to_string(), format!("starting the group of {}: disk is full", all.cluster));
    assert_eq!(h1.deadline(), Some(at(150)));
    expect(&mut h1, 150, Event::DeadlinePassed, "initialise(1)");
    expect(&mut former("h1", 3), 0, failed(), "refuse(no group was being initialised here)");
}

#[test]
fn a_refusal_withdraws_and_the_next_roster_has_the_host_left_out() {
    let two = roster(1, "h1 h2");
    let mut h1 = former_with("h1", 2, standing(1, Standing::Agreed(two.clone())));
    let why = Refusal::LeavesOut(vec![listing("h3")]);
    let refused = Said::Refused { cluster: two.cluster.clone(), why };
    let ask = "persist(withdrawn 1) ask(h2 withdraw?) ask(h3 group?)";
    expect(&mut h1, 0, says("h2", refused), ask);
    expect(&mut h1, 1, says("h2", WITHDRAWN(&two)), "persist(free)");
    expect(&mut h1, 101, Event::DeadlinePassed, "ask(h2 group?) ask(h3 group?)");
    let _ = h1.handle(says("h2", Said::NoGroup { round: 1, agreed: None }), at(102));
    let proposed = "persist(agreed 2) ask(h2 agree?) ask(h3 agree?)";
    expect(&mut h1, 103, says("h3", no_group()), proposed);
}

#[test]
fn an_agreement_ends_only_when_all_that_are_not_gone_have_withdrawn() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Withdrawn(all.clone())));
    let _ = h1.handle(says("h2", WITHDRAWN(&all)), at(0));
    assert_eq!(h1.record().standing, Standing::Withdrawn(all.clone()));
    expect(&mut h1, 1, says("h3", WITHDRAWN(&all)), "persist(free) ask(h2 group?) ask(h3 group?)");
}

#[test]
fn a_withdrawal_counts_only_from_who_knows_all_that_are_gone() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Withdrawn(all.clone())));
    // Said before, and said again after, h3 was known to be gone: only h2's knowing of it makes it count.
    let _ = h1.handle(says("h2", WITHDRAWN(&all)), at(0));
    let _ = h1.handle(list("h1 h2 -h3"), at(1));
    let _ = h1.handle(says("h2", WITHDRAWN(&all)), at(2));
    assert_eq!(h1.record().standing, Standing::Withdrawn(all.clone()));
    let answer = Answer { from: identity("h2"), gone: terminated("h3"), said: WITHDRAWN(&all) };
    let _ = h1.handle(Event::Answered { to: id("h2"), answer }, at(3));
    assert_eq!(h1.record().standing, Standing::Free);
}

#[test]
fn a_terminated_host_of_the_roster_ends_it() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 2, standing(1, Standing::Agreed(all)));
    expect(&mut h1, 0, list("-h3"), "persist(withdrawn 1) ask(h2 withdraw?)");
    let gone = h1.handle(says("h3", no_group()), at(1));
    assert_eq!(short(&gone), "refuse(h3 counts no more: the inventory says that it is terminated)");
}

#[test]
fn a_host_with_another_group_ends_a_roster_and_is_joined() {
    let all = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(1, Standing::Agreed(all.clone())));
    let other = Said::Group { cluster: cluster("c9") };
    let ask = "persist(withdrawn 1) ask(h2 withdraw?) ask(h3 withdraw?)";
    expect(&mut h1, 0, says("h2", other), ask);
    let joins = "persist(free) ask(h2 group?) ask(h3 group?) join(c9)";
    expect(&mut h1, 1, says("h3", WITHDRAWN(&all)), joins);
}

#[test]
fn late_and_foreign_answers_change_nothing() {
    let all = roster(2, "h1 h2 h3");
    let other = roster(1, "h1 h2 h3");
    let mut h1 = former_with("h1", 3, standing(2, Standing::Agreed(all.clone())));
    let _ = h1.handle(Event::DeadlinePassed, at(0));
    let refused = Said::Refused { cluster: other.cluster.clone(), why: Refusal::Outdated { round: 1 } };
    for said in [no_group(), AGREED(&other), refused, WITHDRAWN(&other), WITHDRAWN(&all)] {
        for host in ["h2", "h3"] {
            expect(&mut h1, 1, says(host, said.clone()), "");
        }
    }
    assert!(h1.heard.is_empty(), "{:?}", h1.heard);
}

#[test]
fn no_host_becomes_a_member_of_another_group_than_the_one_it_began() {
    let all = roster(1, "h1 h2 h3");
    let (mine, other) = (all.cluster.clone(), cluster("c9"));
    let refused = format!("refuse(nothing of the group {other} was begun here)");
    for record in [
        standing(1, Standing::Initialising(all.clone())),
        standing(1, Standing::Member { cluster: mine.clone() }),
        standing(1, Standing::Agreed(all)),
    ] {
        let began = !matches!(record.standing, Standing::Agreed(_));
        let mut h1 = former_with("h1", 3, record);
        let effects = short(&h1.handle(Event::Initialised { cluster: other.clone() }, at(1)));
        assert!(effects.starts_with(&refused), "{effects}");
        let again = short(&h1.handle(Event::Initialised { cluster: mine.clone() }, at(2)));
        assert_eq!(again.contains("refuse("), !began, "{again}");
    }
}

#[test]
fn a_state_directory_is_named_by_the_same_text_that_it_is_read_from() {
    let text = serde_json::to_string(&identity("h7").state).unwrap();
    assert_eq!(text, r#""00000000-0000-0000-0000-000000000007""#);
    assert_eq!(serde_json::from_str::<StateUuid>(&text).unwrap(), identity("h7").state);
}

#[test]
fn a_host_that_joins_is_bound_by_the_group_it_was_told_of_and_by_no_other() {
    let mut h3 = former("h3", 3);
    let _ = h3.handle(list("h1 h2 h3"), at(0));
    let told = says("h2", Said::Group { cluster: cluster("c1") });
    let effects = short(&h3.handle(told, at(1)));
    assert!(effects.contains("join(c1)"), "{effects}");
    let contact = |name: &str| Event::Contacted { cluster: cluster(name), from: id("h1") };
    let effects = short(&h3.handle(contact("c9"), at(2)));
    assert!(effects.starts_with("refuse(nothing of the group c9 was begun here)"), "{effects}");
    assert_eq!(h3.cluster(), None);
    let _ = h3.handle(contact("c1"), at(3));
    assert_eq!(h3.cluster(), Some(&cluster("c1")));
}
