//! What is found out before anything is touched.

use fakeaws::{Fault, FaultKind as Cause, GroupView, TargetType};
use ports::{Balancer as _, FaultKind};

use crate::stage::{REGION, Service, Stage, quick, target_of};

#[tokio::test]
async fn a_preflight_names_what_is_wrong() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let check = async |group: &GroupView, host: &str| {
        let (balancer, target) = target_of(&stage.session(), &[group], host, service.address);
        let fault = balancer.check(&target).await.expect_err("it cannot be used");
        assert_eq!(fault.kind, FaultKind::Permanent, "{fault:?}");
        ports::fault::Chain(&fault).to_string()
    };
    let (balancer, target) = target_of(&stage.session(), &[&group], &id, service.address);
    balancer.check(&target).await.expect("all is well");

    let gone = GroupView { arn: group.arn.replace("/web/", "/wab/"), name: "wab".into() };
    let words = check(&gone, &id).await;
    assert!(words.starts_with("look at target group wab: TargetGroupNotFound"), "{words}");

    let words = check(&group, "h1").await;
    assert!(
        words.contains("its targets are instances, and this host is not named by an instance id"),
        "{words}"
    );

    let permissions = [
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetHealth",
    ];
    for permission in permissions {
        stage.control.add_fault(&Fault::of(permission, Cause::Denied)).await.unwrap();
        let words = check(&group, &id).await;
        assert!(words.contains(&format!("this host's role may not {permission}: allow it")), "{words}");
        stage.control.clear_faults().await.unwrap();
    }

    stage.control.detach("web").await.unwrap();
    let words = check(&group, &id).await;
    assert!(words.contains("no load balancer sends requests to it"), "{words}");
    assert_eq!(stage.control.targets("web").await.unwrap(), [], "a preflight registers nothing");
}

#[tokio::test]
async fn a_host_in_a_zone_that_no_load_balancer_reaches_is_told_before_it_is_touched() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    for (zone, reached) in [("b", true), ("d", false)] {
        let zone = format!("{REGION}{zone}");
        let id = stage.instance_in(Some(&zone), service.ip()).await;
        let metadata = stage.control.open_metadata(&id, ([127, 0, 0, 1], 0).into()).await.expect("metadata");
        let session = stage.session().on_instance_of(&format!("http://{metadata}")).expect("an address");
        let (balancer, target) = target_of(&session, &[&group], &id, service.address);
        let checked = balancer.check(&target).await;
        assert_eq!(checked.is_ok(), reached, "{zone}");
        if let Err(fault) = checked {
            assert_eq!(fault.kind, FaultKind::Permanent);
            let words = ports::fault::Chain(&fault).to_string();
            let begins = format!(
                "look at the load balancers of target group web: this host is in zone {zone}, and none of them is \
                 enabled there ("
            );
            assert!(
                words.starts_with(&begins) && words.contains(&format!("{REGION}a, {REGION}b")),
                "{words}"
            );
        }
        stage.control.act(&id, fakeaws::Act::Terminate).await.expect("terminate it");
    }
}
