//! What a channel says is answered once.

use super::*;
use crate::fleet::channel::CHANNELS_KEPT;

const CHANNEL: &str = "s3://releases/web";

impl Lab {
    fn mark(&self) -> Option<String> {
        self.service().channels.get(CHANNEL).map(|heard| heard.mark.clone())
    }

    fn says(&mut self, mark: &str, found: Found) -> Reply {
        let word = Word { channel: CHANNEL.into(), before: self.mark(), mark: mark.into(), found };
        self.ask(Request::Follow(word))
    }

    fn points(&mut self, name: &str) -> Reply {
        let provenance = Provenance { git_rev: name.into(), ..Provenance::default() };
        self.says(name, Found::Release { release: release(name), provenance })
    }

    /// What it points to is pushed and staged.
    fn stages_what_it_points_to(&mut self, name: &str) {
        let Reply::Accepted(rollout) = self.points(name) else { panic!("{name} is not pushed") };
        self.stages(name);
        self.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
    }

    fn told(&self) -> usize {
        let told = |event: &&Arc<Event>| matches!(event.kind, EventKind::ChannelRefused { .. });
        self.fleet.events.iter().filter(told).count()
    }
}

fn unfit() -> Found {
    Found::Unfit { reason: "it is in no cache".into() }
}

#[test]
fn what_is_new_is_pushed_with_where_it_comes_from_and_the_same_again_is_nothing() {
    let mut lab = Lab::serving(2);
    let reply = lab.points("b");
    let rollout = lab.active();
    assert_eq!(reply, Reply::Accepted(rollout));
    assert_eq!(lab.service().rollouts[&rollout].provenance.git_rev, "b");
    assert_eq!(lab.points("b"), Reply::Done);
    assert_eq!(lab.service().rollouts.len(), 2);
    assert_eq!(lab.service().channels[CHANNEL].release, Some(id("b")));
}

#[test]
fn what_was_asked_for_since_is_not_fought() {
    let mut lab = Lab::serving(2);
    lab.stages_what_it_points_to("b");
    lab.finishes();
    lab.completes("c");
    assert_eq!(lab.points("b"), Reply::Done, "an operator has pushed something else");
    assert!(matches!(lab.ask(Request::Rollback), Reply::Accepted(_)));
    assert_eq!(lab.points("b"), Reply::Done, "an operator takes it back");
    let count = lab.service().rollouts.len();
    assert!(matches!(lab.points("d"), Reply::Accepted(_)), "another word is a push");
    assert_eq!(lab.service().rollouts.len(), count + 1);
}

#[test]
fn what_is_there_already_is_joined() {
    let mut lab = Lab::serving(2);
    assert!(matches!(lab.points("a"), Reply::Joined(_)));
    let Reply::Accepted(pushed) = lab.push("b") else { panic!("not pushed") };
    assert_eq!(lab.points("b"), Reply::Joined(pushed));
}

#[test]
fn a_leader_that_read_before_another_one_did_is_refused() {
    let mut lab = Lab::serving(2);
    let word = |before: Option<&str>, name: &str| {
        let found = Found::Release { release: release(name), provenance: Provenance::default() };
        Word { channel: CHANNEL.into(), before: before.map(str::to_owned), mark: name.into(), found }
    };
    assert!(matches!(lab.ask(Request::Follow(word(None, "c"))), Reply::Accepted(_)));
    assert_refused(&lab.ask(Request::Follow(word(None, "b"))), "outdated");
    assert_eq!(lab.mark().as_deref(), Some("c"));
}

#[test]
fn a_quarantined_release_is_told_once_and_never_pushed() {
    let mut lab = Lab::serving(2);
    lab.stages_what_it_points_to("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    let rollback = lab.active();
    lab.step(Step::Complete { rollout: rollback }).unwrap();
    assert_eq!((lab.points("b"), lab.told()), (Reply::Done, 0), "it was pushed, and failed: nothing new");
    let again = Found::Release { release: release("b"), provenance: Provenance::default() };
    let rollouts = lab.service().rollouts.len();
    for _ in 0..2 {
        assert_eq!(lab.says("b, of another run", again.clone()), Reply::Done);
        assert_eq!((lab.told(), lab.service().rollouts.len()), (1, rollouts));
    }
    assert!(lab.service().channels[CHANNEL].refused.as_ref().unwrap().contains("quarantined"));
    lab.ask(Request::ReleaseQuarantine { release: id("b") });
    assert_eq!(lab.says("b, of another run", again), Reply::Done, "it is pushed by whoever released it");
}

#[test]
fn what_is_unfit_is_told_once_and_pushed_when_it_becomes_fit() {
    let mut lab = Lab::serving(2);
    for _ in 0..2 {
        assert_eq!((lab.says("b", unfit()), lab.told()), (Reply::Done, 1));
    }
    assert!(matches!(lab.points("b"), Reply::Accepted(_)), "it was published");
    assert_eq!(lab.service().channels[CHANNEL].refused, None);
    assert_eq!((lab.says("c", unfit()), lab.told()), (Reply::Done, 2));
}

#[test]
fn what_becomes_fit_after_something_else_was_asked_for_is_not_pushed() {
    let mut lab = Lab::serving(2);
    lab.says("b", unfit());
    lab.completes("c");
    assert_eq!((lab.points("b"), lab.told()), (Reply::Done, 2), "and that is told");
    assert_eq!(lab.service().last_completed(), Some(&release("c")));
    assert!(!lab.service().channels[CHANNEL].open);
}

#[test]
fn what_becomes_fit_after_a_roll_back_that_nobody_asked_for_is_pushed() {
    let mut lab = Lab::serving(2);
    lab.stages_what_it_points_to("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.says("c", unfit());
    lab.fails(1);
    lab.reverts(1);
    let rollback = lab.active();
    lab.step(Step::Complete { rollout: rollback }).unwrap();
    assert!(matches!(lab.points("c"), Reply::Accepted(_)), "CI has mended what failed");
}

#[test]
fn few_channels_are_remembered() {
    let mut lab = Lab::serving(2);
    for number in 0..10 {
        let channel = format!("file:/{number}");
        lab.ask(Request::Follow(Word { channel, before: None, mark: "m".into(), found: unfit() }));
    }
    assert_eq!(lab.service().channels.len(), CHANNELS_KEPT);
    assert!(lab.service().channels.contains_key("file:/9"));
}
