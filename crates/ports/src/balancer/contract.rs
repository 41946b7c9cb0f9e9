//! What every [`Balancer`] owes its callers, as a test that real ones and the fake run alike.
//!
//! Absent on purpose: how targets get healthy and how time passes. Each implementation's own test brings
//! that as [`Surroundings`].

use std::future::Future;

use super::{Balancer, Standing, Target};
use crate::FaultKind;

/// How often [`Surroundings::pass_time`] is called for one wait, before the wait has failed.
pub const PATIENCE: u32 = 1_000;

/// What stands around a balancer under test. It starts with no target registered and both targets healthy.
pub trait Surroundings: Sync {
    /// The balancer under test.
    type Balancer: Balancer;
    /// The balancer under test.
    fn balancer(&self) -> &Self::Balancer;
    /// Two targets, neither of them registered.
    fn targets(&self) -> [Target; 2];
    /// Makes the target pass or fail its health checks from now on.
    fn set_healthy(&self, target: &Target, healthy: bool) -> impl Future<Output = ()> + Send;
    /// Sends one request that reaches this target, the only one in service, and stays in flight.
    fn begin_request(&self, target: &Target) -> impl Future<Output = ()> + Send;
    /// Lets that request end; it must have been answered in full.
    fn end_request(&self, target: &Target) -> impl Future<Output = ()> + Send;
    /// Makes the next call fail like this, without effect.
    fn fail_next(&self, kind: FaultKind) -> impl Future<Output = ()> + Send;
    /// Makes the next call have its effect and lose its answer.
    fn lose_next_answer(&self) -> impl Future<Output = ()> + Send;
    /// Lets a little time pass, at most a tenth of a drain's.
    fn pass_time(&self) -> impl Future<Output = ()> + Send;
}

/// Checks the whole contract.
///
/// # Panics
/// Where the balancer breaks it, saying how.
pub async fn check<S: Surroundings>(around: &S) {
    let [one, two] = around.targets();
    joins_and_leaves(around, &one).await;
    targets_are_apart(around, &one, &two).await;
    health_decides(around, &one).await;
    drain_waits_for_requests(around, &one).await;
    joining_ends_a_drain(around, &one).await;
    faults_are_classified(around, &one).await;
    lost_answers_do_no_harm(around, &one).await;
    checking_changes_nothing(around, &one).await;
}

async fn checking_changes_nothing<S: Surroundings>(around: &S, target: &Target) {
    let check = || async { around.balancer().check(target).await.expect("check") };
    check().await;
    assert_eq!(standing(around, target).await, Standing::Absent, "after a check");
    join(around, target).await;
    until(around, target, "joining", |s| *s == Standing::InService).await;
    check().await;
    assert_eq!(standing(around, target).await, Standing::InService, "after a check in service");
    around.fail_next(FaultKind::Permanent).await;
    around.balancer().check(target).await.expect_err("a balancer that refuses was found to be usable");
    gone(around, target).await;
}

async fn joins_and_leaves<S: Surroundings>(around: &S, target: &Target) {
    assert_eq!(standing(around, target).await, Standing::Absent, "before it joined");
    leave(around, target).await;
    assert_eq!(standing(around, target).await, Standing::Absent, "after it left without having joined");
    join(around, target).await;
    assert_ne!(standing(around, target).await, Standing::Absent, "after it joined");
    until(around, target, "joining", |s| *s == Standing::InService).await;
    join(around, target).await;
    assert_eq!(standing(around, target).await, Standing::InService, "after it joined twice");
    leave(around, target).await;
    leave(around, target).await;
    for _ in 0..PATIENCE {
        match standing(around, target).await {
            Standing::Draining => around.pass_time().await,
            Standing::Absent => return,
            other => panic!("{} was {other:?} after it left", target.host),
        }
    }
    panic!("{} still drains, with nothing in flight", target.host);
}

async fn targets_are_apart<S: Surroundings>(around: &S, one: &Target, two: &Target) {
    join(around, one).await;
    join(around, two).await;
    until(around, one, "joining", |s| *s == Standing::InService).await;
    until(around, two, "joining", |s| *s == Standing::InService).await;
    leave(around, two).await;
    until(around, two, "leaving", |s| *s == Standing::Absent).await;
    assert_eq!(standing(around, one).await, Standing::InService, "when only the other one left");
    gone(around, one).await;
}

async fn health_decides<S: Surroundings>(around: &S, target: &Target) {
    around.set_healthy(target, false).await;
    join(around, target).await;
    for _ in 0..PATIENCE {
        match standing(around, target).await {
            Standing::Initial => around.pass_time().await,
            Standing::Unhealthy { reason } => {
                assert!(!reason.is_empty(), "unhealthy without a reason");
                break;
            }
            other => panic!("{} was {other:?} while its health checks failed", target.host),
        }
    }
    around.set_healthy(target, true).await;
    until(around, target, "getting healthy", |s| *s == Standing::InService).await;
    around.set_healthy(target, false).await;
    until(around, target, "getting unhealthy", |s| matches!(s, Standing::Unhealthy { .. })).await;
    around.set_healthy(target, true).await;
    gone(around, target).await;
}

async fn drain_waits_for_requests<S: Surroundings>(around: &S, target: &Target) {
    join(around, target).await;
    until(around, target, "joining", |s| *s == Standing::InService).await;
    around.begin_request(target).await;
    leave(around, target).await;
    for _ in 0..3 {
        assert_eq!(standing(around, target).await, Standing::Draining, "while a request is in flight");
        around.pass_time().await;
    }
    around.end_request(target).await;
    until(around, target, "draining", |s| *s == Standing::Absent).await;
}

async fn joining_ends_a_drain<S: Surroundings>(around: &S, target: &Target) {
    join(around, target).await;
    until(around, target, "joining", |s| *s == Standing::InService).await;
    around.begin_request(target).await;
    leave(around, target).await;
    assert_eq!(standing(around, target).await, Standing::Draining, "while a request is in flight");
    join(around, target).await;
    until(around, target, "joining again", |s| *s == Standing::InService).await;
    around.end_request(target).await;
    around.pass_time().await;
    assert_eq!(standing(around, target).await, Standing::InService, "after its drain was ended");
    gone(around, target).await;
}

async fn faults_are_classified<S: Surroundings>(around: &S, target: &Target) {
    for kind in [FaultKind::Throttled, FaultKind::Transient, FaultKind::Permanent] {
        around.fail_next(kind).await;
        let fault = around.balancer().join(target).await.expect_err("the call was made to fail");
        assert_eq!(fault.kind, kind, "{fault}: {}", fault.source);
        assert!(fault.attempted.contains(target.host.as_str()), "{fault:?} does not name the host");
        assert_eq!(standing(around, target).await, Standing::Absent, "after a call that failed");
    }
    around.fail_next(FaultKind::Throttled).await;
    around.balancer().standing(target).await.expect_err("a standing that is not known was made up");
}

async fn lost_answers_do_no_harm<S: Surroundings>(around: &S, target: &Target) {
    around.lose_next_answer().await;
    let fault = around.balancer().join(target).await.expect_err("the answer was lost");
    assert_eq!(fault.kind, FaultKind::Transient, "a lost answer");
    assert_ne!(standing(around, target).await, Standing::Absent, "the call had its effect");
    join(around, target).await;
    until(around, target, "joining", |s| *s == Standing::InService).await;
    around.lose_next_answer().await;
    around.balancer().leave(target).await.expect_err("the answer was lost");
    gone(around, target).await;
}

async fn join<S: Surroundings>(around: &S, target: &Target) {
    around.balancer().join(target).await.expect("join");
}

async fn leave<S: Surroundings>(around: &S, target: &Target) {
    around.balancer().leave(target).await.expect("leave");
}

async fn gone<S: Surroundings>(around: &S, target: &Target) {
    leave(around, target).await;
    until(around, target, "leaving", |s| *s == Standing::Absent).await;
}

async fn standing<S: Surroundings>(around: &S, target: &Target) -> Standing {
    around.balancer().standing(target).await.expect("standing")
}

/// Waits for a standing; `doing` says what the target is at, for the panic.
async fn until<S: Surroundings>(
    around: &S,
    target: &Target,
    doing: &str,
    wanted: impl Fn(&Standing) -> bool,
) {
    let mut last = standing(around, target).await;
    for _ in 0..PATIENCE {
        if wanted(&last) {
            return;
        }
        around.pass_time().await;
        last = standing(around, target).await;
    }
    panic!("{} got stuck {doing}: {last:?}", target.host);
}
