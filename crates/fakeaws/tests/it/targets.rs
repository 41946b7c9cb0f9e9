//! Targets through the states that AWS documents.

use std::{sync::atomic::Ordering, time::Duration};

use fakeaws::{Act, GroupOptions, NewBalancer, NewInstance, NewListener, Settings, TargetType};

use crate::stage::{Service, Stage, wait_for};

const REGISTERED: &str = "Action=DescribeTargetHealth";

fn quick() -> GroupOptions {
    GroupOptions {
        health_interval: Duration::from_millis(20),
        deregistration_delay: Duration::from_secs(1),
        ..GroupOptions::default()
    }
}

/// Registrations are in progress for long enough to be seen.
async fn stage() -> Stage {
    let registration = Duration::from_secs(1);
    Stage::with(Settings { pending: Duration::ZERO, registration, ..Settings::default() }).await
}

#[tokio::test]
async fn a_target_is_initial_until_checked_and_drains_for_the_whole_delay() {
    let stage = stage().await;
    let service = Service::start([127, 0, 0, 1]).await;
    let (id, port) = (stage.instance(service.address).await.id, service.address.port());
    service.health.store(503, Ordering::SeqCst);
    let (group, _) = stage.group("web", quick()).await;
    assert_eq!(stage.change("RegisterTargets", &group, &id, Some(port)).await.status, 200);
    let states = async || stage.health(&group, &id, port).await;
    assert_eq!(states().await, ("initial".to_owned(), "Elb.RegistrationInProgress".to_owned()));
    stage.wait_for_state(&group, &id, port, "unhealthy").await;
    assert_eq!(states().await.1, "Target.ResponseCodeMismatch");
    service.health.store(200, Ordering::SeqCst);
    stage.wait_for_state(&group, &id, port, "healthy").await;
    assert_eq!(states().await.1, "");

    // The delay that holds now is the one that counts, whatever is set later.
    let deregistered = tokio::time::Instant::now();
    assert_eq!(stage.change("DeregisterTargets", &group, &id, Some(port)).await.status, 200);
    let longer = GroupOptions { deregistration_delay: Duration::from_secs(600), ..quick() };
    stage.control.put_group("web", &longer).await.unwrap();
    assert_eq!(states().await, ("draining".to_owned(), "Target.DeregistrationInProgress".to_owned()));
    let listed = async || stage.elb(&format!("{REGISTERED}&TargetGroupArn={}", group.arn)).await;
    assert_eq!(listed().await.texts("State"), ["draining"], "a draining target is listed");
    stage.wait_for_state(&group, &id, port, "unused").await;
    assert!(deregistered.elapsed() >= Duration::from_secs(1), "gone before its delay was over");
    assert_eq!(states().await.1, "Target.NotRegistered");
    assert!(listed().await.texts("State").is_empty());
}

#[tokio::test]
async fn targets_are_keyed_by_id_and_port_and_leave_as_often_as_they_like() {
    let stage = stage().await;
    let (one, two) = (Service::start([127, 0, 0, 1]).await, Service::start([127, 0, 0, 1]).await);
    let id = stage.instance(one.address).await.id;
    let (one, two) = (one.address.port(), two.address.port());
    let (group, _) = stage.group("web", GroupOptions { port: one, ..quick() }).await;
    // Without a port it is the group's own.
    assert_eq!(stage.change("RegisterTargets", &group, &id, None).await.status, 200);
    assert_eq!(stage.change("RegisterTargets", &group, &id, Some(two)).await.status, 200);
    stage.wait_for_state(&group, &id, one, "healthy").await;
    stage.wait_for_state(&group, &id, two, "healthy").await;
    for _ in 0..2 {
        assert_eq!(stage.change("DeregisterTargets", &group, &id, None).await.status, 200);
    }
    assert_eq!(stage.health(&group, &id, one).await.0, "draining");
    assert_eq!(stage.health(&group, &id, two).await.0, "healthy");
    stage.wait_for_state(&group, &id, one, "unused").await;
    assert_eq!(stage.change("DeregisterTargets", &group, "i-0123456789abcdef0", None).await.status, 200);
    assert_eq!(stage.health(&group, "i-0123456789abcdef0", 1).await.1, "Target.NotRegistered");

    // Whoever comes back while it drains starts anew.
    assert_eq!(stage.change("DeregisterTargets", &group, &id, Some(two)).await.status, 200);
    assert_eq!(stage.change("RegisterTargets", &group, &id, Some(two)).await.status, 200);
    assert_eq!(stage.health(&group, &id, two).await.0, "initial");
    stage.wait_for_state(&group, &id, two, "healthy").await;
}

#[tokio::test]
async fn a_group_that_is_not_attached_or_a_zone_that_is_not_enabled_is_unused() {
    let stage = Stage::new().await;
    let service = Service::start([127, 0, 0, 1]).await;
    let (id, port) = (stage.instance(service.address).await.id, service.address.port());
    let group = stage.control.put_group("web", &quick()).await.unwrap();
    assert_eq!(stage.change("RegisterTargets", &group, &id, Some(port)).await.status, 200);
    let not_in_use = ("unused".to_owned(), "Target.NotInUse".to_owned());
    assert_eq!(stage.health(&group, &id, port).await, not_in_use);
    let described = async || {
        stage.elb(&format!("Action=DescribeTargetGroups&TargetGroupArns.member.1={}", group.arn)).await
    };
    assert!(described().await.body.contains("<LoadBalancerArns></LoadBalancerArns>"));

    let elsewhere = NewBalancer {
        name: "b".to_owned(),
        zones: vec!["eu-central-1b".to_owned()],
        ..NewBalancer::default()
    };
    let balancer = stage.control.make_balancer(&elsewhere).await.unwrap();
    let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: "web".to_owned() };
    stage.control.listen("b", &listener).await.unwrap();
    assert_eq!(stage.health(&group, &id, port).await, not_in_use, "its zone is not enabled");
    assert!(described().await.body.contains(&balancer.arn));

    let here = NewBalancer { name: "a".to_owned(), ..NewBalancer::default() };
    stage.control.make_balancer(&here).await.unwrap();
    stage.control.listen("a", &listener).await.unwrap();
    stage.wait_for_state(&group, &id, port, "healthy").await;
    stage.control.detach("web").await.unwrap();
    assert_eq!(stage.health(&group, &id, port).await, not_in_use);
}

#[tokio::test]
async fn stopped_instances_get_nothing_and_terminated_ones_drain_and_are_gone() {
    let stage =
        Stage::with(Settings { pending: Duration::ZERO, stopping: Duration::ZERO, ..Settings::default() })
            .await;
    let service = Service::start([127, 0, 0, 1]).await;
    let (id, port) = (stage.instance(service.address).await.id, service.address.port());
    let (group, _) = stage.group("web", quick()).await;
    stage.change("RegisterTargets", &group, &id, Some(port)).await;
    stage.wait_for_state(&group, &id, port, "healthy").await;
    stage.control.act(&id, Act::Stop).await.unwrap();
    assert_eq!(
        stage.health(&group, &id, port).await,
        ("unused".to_owned(), "Target.InvalidState".to_owned())
    );
    let refused = stage.change("RegisterTargets", &group, &id, Some(1)).await;
    assert_eq!(refused.error(), (400, "InvalidTarget"), "{}", refused.body);
    // Started again, it is checked anew.
    wait_for("the health check to see the stop", async || {
        stage.control.samples("web").await.unwrap().last().is_some_and(|sample| sample.unused == 1)
    })
    .await;
    stage.control.act(&id, Act::Start).await.unwrap();
    stage.wait_for_state(&group, &id, port, "healthy").await;
    stage.control.act(&id, Act::Terminate).await.unwrap();
    stage.wait_for_state(&group, &id, port, "draining").await;
    stage.wait_for_state(&group, &id, port, "unused").await;
    assert_eq!(stage.health(&group, &id, port).await.1, "Target.NotRegistered");
}

#[tokio::test]
async fn what_elbv2_refuses_has_the_code_that_clients_know() {
    let stage = Stage::new().await;
    let group = stage.control.put_group("web", &quick()).await.unwrap();
    let ips = GroupOptions { target_type: TargetType::Ip, ..quick() };
    let ips = stage.control.put_group("ips", &ips).await.unwrap();
    let pending = Stage::with(Settings { pending: Duration::from_secs(600), ..Settings::default() }).await;
    let fresh = pending.control.launch(&NewInstance::default()).await.unwrap().id;
    let starting = pending.control.put_group("web", &quick()).await.unwrap();
    let refused = pending.change("RegisterTargets", &starting, &fresh, None).await;
    assert_eq!(refused.error(), (400, "InvalidTarget"), "a pending instance: {}", refused.body);

    let gone = group.arn.replace("targetgroup/web", "targetgroup/gone");
    for (form, code) in [
        (format!("Action=DescribeTargetHealth&TargetGroupArn={gone}"), "TargetGroupNotFound"),
        ("Action=DescribeTargetHealth&TargetGroupArn=x".to_owned(), "ValidationError"),
        ("Action=DescribeTargetHealth".to_owned(), "ValidationError"),
        (format!("Action=RegisterTargets&TargetGroupArn={}", group.arn), "ValidationError"),
        (
            format!(
                "Action=RegisterTargets&TargetGroupArn={}&Targets.member.1.Id=i-0123456789abcdef0",
                group.arn
            ),
            "InvalidTarget",
        ),
        (
            format!("Action=RegisterTargets&TargetGroupArn={}&Targets.member.1.Id=10.0.0.1", group.arn),
            "ValidationError",
        ),
        (
            format!(
                "Action=RegisterTargets&TargetGroupArn={}&Targets.member.1.Id=i-0123456789abcdef0",
                ips.arn
            ),
            "ValidationError",
        ),
        (
            format!(
                "Action=RegisterTargets&TargetGroupArn={}&Targets.member.1.Id=10.0.0.1&Targets.member.1.Port=70000",
                ips.arn
            ),
            "ValidationError",
        ),
        ("Action=DescribeTargetGroups&Names.member.1=none".to_owned(), "TargetGroupNotFound"),
        ("Action=DescribeLoadBalancers&Names.member.1=none".to_owned(), "LoadBalancerNotFound"),
        ("Action=DescribeListeners".to_owned(), "ValidationError"),
    ] {
        let raw = stage.elb(&form).await;
        assert_eq!(raw.error(), (400, code), "{form}: {}", raw.body);
        assert_eq!(raw.text("Type"), Some("Sender"));
    }
}

#[tokio::test]
async fn load_balancers_listeners_rules_and_attributes_are_told() {
    let stage = Stage::new().await;
    let options = GroupOptions { deregistration_delay: Duration::from_millis(1500), port: 8080, ..quick() };
    let (group, listener) = stage.group("web", options).await;
    let balancer = stage.elb("Action=DescribeLoadBalancers&Names.member.1=lb-web").await;
    let arn = balancer.text("LoadBalancerArn").expect("an ARN").to_owned();
    assert_eq!(balancer.texts("ZoneName"), ["eu-central-1a", "eu-central-1b", "eu-central-1c"]);
    let listeners = stage.elb(&format!("Action=DescribeListeners&LoadBalancerArn={arn}")).await;
    assert_eq!(listeners.text("ListenerArn"), Some(listener.arn.as_str()));
    assert_eq!(listeners.text("TargetGroupArn"), Some(group.arn.as_str()));
    let rules = stage.elb(&format!("Action=DescribeRules&ListenerArn={}", listener.arn)).await;
    assert_eq!(
        (rules.text("IsDefault"), rules.text("TargetGroupArn")),
        (Some("true"), Some(group.arn.as_str()))
    );
    let attributes =
        stage.elb(&format!("Action=DescribeTargetGroupAttributes&TargetGroupArn={}", group.arn)).await;
    assert!(
        attributes.body.contains("<Key>deregistration_delay.timeout_seconds</Key><Value>2</Value>"),
        "rounded up"
    );
    let of_balancer = stage.elb(&format!("Action=DescribeTargetGroups&LoadBalancerArn={arn}")).await;
    assert_eq!((of_balancer.text("TargetGroupName"), of_balancer.text("Port")), (Some("web"), Some("8080")));
    assert_eq!(of_balancer.text("TargetType"), Some("instance"));
}
