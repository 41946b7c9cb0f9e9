//! What a host answers, by what it has promised.

use super::*;

fn agreed(round: u64, names: &str) -> Record {
    standing(round, Standing::Agreed(roster(round, names)))
}

fn withdrawn(round: u64, names: &str) -> Record {
    standing(round, Standing::Withdrawn(roster(round, names)))
}

/// The answer of a host that expects two hosts and was never told of any.
#[track_caller]
fn answer(record: Record, question: Question) -> (Said, Record) {
    let mut former = former_with("h2", 2, record);
    former.due = at(1_000_000);
    let effects = former.handle(asks("h1", question), at(0));
    let replies: Vec<_> = effects.iter().filter(|e| matches!(e, Effect::Reply(_))).collect();
    let [Effect::Reply(answer)] = replies[..] else { panic!("not one reply in {effects:?}") };
    (answer.said.clone(), former.record().clone())
}

#[test]
fn an_agreement_is_stored_and_then_answered() {
    let mut h2 = former("h2", 2);
    let question = Question::Agree(roster(1, "h1 h2"));
    expect(&mut h2, 0, asks("h1", question.clone()), "persist(agreed 1) reply(agreed) ask(h1 agree?)");
    expect(&mut h2, 1, asks("h1", question), "reply(agreed)");
}

#[test]
fn a_roster_is_refused_by_table() {
    let mut malformed = roster(3, "h1 h2 h3");
    malformed.seats[1].voter = false;
    let mut stranger = roster(3, "h1 h3");
    stranger.seats[1].identity.host = id("h2");
    let gone = Record { gone: terminated("h3"), ..Record::default() };
    let bound = |round, names| Refusal::Bound { cluster: roster(round, names).cluster };
    let me = || Refusal::NotNamed { identity: identity("h2") };
    let table = [
        ("agreed to another", agreed(1, "h1 h2"), roster(3, "h1 h2"), bound(1, "h1 h2")),
        ("withdrawing from another", withdrawn(1, "h1 h2"), roster(3, "h1 h2"), bound(1, "h1 h2")),
        ("withdrawing from it", withdrawn(3, "h1 h2"), roster(3, "h1 h2"), bound(3, "h1 h2")),
        (
            "withdrawn from it",
            standing(3, Standing::Free),
            roster(3, "h1 h2"),
            Refusal::Outdated { round: 3 },
        ),
        ("malformed", Record::default(), malformed, Refusal::Malformed(Malformed::Voters)),
        ("without this host", Record::default(), roster(3, "h1 h3"), me()),
        ("with another state directory", Record::default(), stranger, me()),
        ("with a gone host", gone, roster(3, "h1 h2 h3"), Refusal::HasGone { host: id("h3") }),
        ("too few", Record::default(), roster(3, "h2"), Refusal::TooFew { expected: 2 }),
    ];
    for (what, record, offered, why) in table {
        let cluster = offered.cluster.clone();
        let (said, after) = answer(record.clone(), Question::Agree(offered));
        assert_eq!(said, Said::Refused { cluster, why }, "{what}");
        assert_eq!(after, record, "{what} changed what was promised");
    }
}

#[test]
fn a_roster_without_a_host_that_is_known_is_refused_with_that_host() {
    let mut h2 = former("h2", 2);
    let _ = h2.handle(list("h1 h2 h3"), at(0));
    let _ = h2.handle(list("h2"), at(1));
    let offered = roster(1, "h1 h2");
    let effects = h2.handle(asks("h1", Question::Agree(offered.clone())), at(2));
    let why = Refusal::LeavesOut(vec![listing("h3")]);
    let said = Said::Refused { cluster: offered.cluster, why };
    assert!(matches!(&effects[..], [Effect::Reply(answer)] if answer.said == said), "{effects:?}");
}

#[test]
fn a_roster_is_refused_by_a_host_that_knows_a_group() {
    let mut h2 = former("h2", 2);
    let _ = h2.handle(list("h1 h2 h3"), at(0));
    let _ = h2.handle(says("h3", Said::Group { cluster: cluster("c9") }), at(1));
    let offered = roster(1, "h1 h2 h3");
    let effects = h2.handle(asks("h1", Question::Agree(offered.clone())), at(2));
    let why = Refusal::KnowsGroup { host: id("h3"), cluster: cluster("c9") };
    let said = Said::Refused { cluster: offered.cluster, why };
    assert!(matches!(&effects[..], [Effect::Reply(answer)] if answer.said == said), "{effects:?}");
}

#[test]
fn whoever_has_a_group_answers_every_question_with_it() {
    let roster = roster(1, "h1 h2");
    let group = Said::Group { cluster: roster.cluster.clone() };
    let member = Standing::Member { cluster: roster.cluster.clone() };
    for has in [member, Standing::Initialising(roster.clone())] {
        let other = super::roster(7, "h1 h2");
        for question in [Question::Group, Question::Agree(other), withdraw(&roster)] {
            let record = standing(1, has.clone());
            assert_eq!(answer(record.clone(), question), (group.clone(), record));
        }
    }
}

#[test]
fn whoever_has_no_group_withdraws_and_remembers() {
    let asked = roster(3, "h1 h2");
    let said = Said::Withdrawn { cluster: asked.cluster.clone() };
    let table = [
        ("free", Record::default(), standing(3, Standing::Free)),
        ("free, and later", standing(5, Standing::Free), standing(5, Standing::Free)),
        ("agreed", agreed(3, "h1 h2"), withdrawn(3, "h1 h2")),
        ("agreed to another", agreed(2, "h1 h2"), Record { round: 3, ..agreed(2, "h1 h2") }),
        ("withdrawing", withdrawn(3, "h1 h2"), withdrawn(3, "h1 h2")),
    ];
    for (what, record, after) in table {
        assert_eq!(answer(record, withdraw(&asked)), (said.clone(), after), "{what}");
    }
}

#[test]
fn a_late_request_to_agree_finds_the_withdrawal_kept() {
    let mut h2 = former("h2", 2);
    let late = roster(1, "h1 h2");
    let _ = h2.handle(asks("h1", withdraw(&late)), at(0));
    let mut h2 = former_with("h2", 2, h2.record().clone());
    let effects = short(&h2.handle(asks("h1", Question::Agree(late)), at(1)));
    assert!(effects.contains("reply(refused)"), "{effects}");
}

#[test]
fn a_host_speaks_for_its_own_state_directory_only() {
    let mut wiped = roster(3, "h1 h3");
    wiped.seats[1].identity.host = id("h2");
    let mut h2 = former("h2", 2);
    let effects = short(&h2.handle(asks("h1", Question::Agree(wiped)), at(0)));
    assert!(effects.contains("reply(refused)"), "{effects}");
}

#[test]
fn a_group_binds_who_agreed_to_it_even_while_it_withdraws() {
    let offered = roster(3, "h1 h2 h3");
    let contact = Event::Contacted { cluster: offered.cluster.clone(), from: id("h1") };
    for record in [agreed(3, "h1 h2 h3"), withdrawn(3, "h1 h2 h3")] {
        let mut h2 = former_with("h2", 3, record);
        expect(&mut h2, 0, contact.clone(), "persist(initialising 3) initialise(3)");
        assert_eq!(h2.cluster(), Some(&offered.cluster));
    }
    let mut free = former("h2", 3);
    expect(
        &mut free,
        0,
        contact,
        &format!("refuse(nothing of the group {} was begun here)", offered.cluster),
    );
    assert_eq!(free.cluster(), None);
}

#[test]
fn a_group_whose_word_comes_from_a_gone_host_binds_nobody() {
    let offered = roster(3, "h1 h2 h3");
    let mut h2 = former_with("h2", 3, agreed(3, "h1 h2 h3"));
    let ask = Ask { from: identity("h3"), gone: terminated("h1"), question: withdraw(&offered) };
    let withdrawn = short(&h2.handle(Event::Asked(ask), at(0)));
    assert!(withdrawn.starts_with("persist(withdrawn 3) reply(withdrawn)"), "{withdrawn}");
    let mut h2 = former_with("h2", 3, h2.record().clone());
    let late = Event::Contacted { cluster: offered.cluster.clone(), from: id("h1") };
    let _ = h2.handle(late, at(1));
    assert_eq!(h2.cluster(), None);
}
