//! Instances that their Auto Scaling group is about to take away.

use fakeaws::{Fault, FaultKind as Cause, TargetType};
use ports::{Balancer as _, FaultKind, Standing};

use crate::stage::{Service, Stage, quick, target_of, wait_for};

#[tokio::test]
async fn an_instance_that_its_auto_scaling_group_is_about_to_take_away_is_not_registered() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let metadata = stage.control.open_metadata(&id, ([127, 0, 0, 1], 0).into()).await.expect("metadata");
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let session = stage.session().on_instance_of(&format!("http://{metadata}")).expect("an address");
    let (balancer, target) = target_of(&session, &[&group], &id, service.address);
    for state in ["Terminated", "Standby", "Warmed:Stopped"] {
        stage.control.set_lifecycle(&id, Some(state)).await.expect("set it");
        let fault = balancer.join(&target).await.expect_err("it is not let");
        assert_eq!(fault.kind, FaultKind::Permanent);
        let words = ports::fault::Chain(&fault).to_string();
        assert!(words.starts_with(&format!("register {id}: its Auto Scaling group ")), "{words}");
        assert!(words.contains(state), "{words}");
        let fault = balancer.check(&target).await.expect_err("nor would it be");
        assert_eq!(ports::fault::Chain(&fault).to_string(), words);
    }
    assert_eq!(stage.calls("elasticloadbalancing:RegisterTargets").await, 0);
    balancer.leave(&target).await.expect("whatever its group wants, it may leave");
    for state in [None, Some("Detached"), Some("InService")] {
        stage.control.set_lifecycle(&id, state).await.expect("set it");
        balancer.join(&target).await.expect("it is let");
    }
    // What is not said forbids nothing.
    stage.control.set_lifecycle(&id, Some("Terminated")).await.expect("set it");
    stage.control.add_fault(&Fault::of("imds:*", Cause::Unavailable)).await.unwrap();
    balancer.join(&target).await.expect("it is let");
    stage.control.clear_faults().await.unwrap();
    stage.control.add_fault(&Fault::of("imds:*", Cause::Slow { ms: 20_000 })).await.unwrap();
    balancer.join(&target).await.expect("it is let");
    assert_eq!(stage.calls("elasticloadbalancing:RegisterTargets").await, 5);
}

#[tokio::test]
async fn a_registration_that_comes_after_its_group_has_decided_is_taken_back() {
    const REGISTER: &str = "elasticloadbalancing:RegisterTargets";
    const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let metadata = stage.control.open_metadata(&id, ([127, 0, 0, 1], 0).into()).await.expect("metadata");
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let session = stage.session().on_instance_of(&format!("http://{metadata}")).expect("an address");
    let (balancer, target) = target_of(&session, &[&group], &id, service.address);
    let leaves = || async {
        let is_absent =
            async || matches!(balancer.standing(&target).await, Ok(Standing::Absent | Standing::Draining));
        wait_for("it to be deregistered", is_absent).await;
    };

    // The decision comes while the registration is under way: it is there when it is looked at again.
    stage.control.add_fault(&Fault::of(REGISTER, Cause::Slow { ms: 3_000 })).await.unwrap();
    let deciding = async {
        wait_for("the registration", async || stage.calls(REGISTER).await == 1).await;
        stage.control.set_lifecycle(&id, Some("Terminated")).await.expect("set it");
    };
    let (joined, ()) = tokio::join!(balancer.join(&target), deciding);
    assert_eq!(joined.expect_err("it is not let").kind, FaultKind::Permanent);
    assert_eq!((stage.calls(REGISTER).await, stage.calls(DEREGISTER).await), (1, 1));
    leaves().await;

    // A registration whose answer was lost has taken effect, and who tries again is refused.
    stage.control.clear_faults().await.unwrap();
    stage.control.set_lifecycle(&id, None).await.expect("set it");
    stage.control.add_fault(&Fault::of(REGISTER, Cause::LoseAnswer)).await.unwrap();
    assert_eq!(balancer.join(&target).await.expect_err("no answer").kind, FaultKind::Transient);
    stage.control.clear_faults().await.unwrap();
    stage.control.set_lifecycle(&id, Some("Terminated")).await.expect("set it");
    // Where it cannot be taken out, that is what is told, so that it is tried again.
    stage.control.add_fault(&Fault::of(DEREGISTER, Cause::Throttle)).await.unwrap();
    assert_eq!(balancer.join(&target).await.expect_err("not taken out").kind, FaultKind::Throttled);
    stage.control.clear_faults().await.unwrap();
    let standing = balancer.standing(&target).await.expect("standing");
    assert!(!matches!(standing, Standing::Absent | Standing::Draining), "{standing:?}");
    assert_eq!(balancer.join(&target).await.expect_err("it is not let").kind, FaultKind::Permanent);
    leaves().await;
}
