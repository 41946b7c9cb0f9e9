//! Faults on demand.

use std::time::{Duration, Instant};

use fakeaws::{Credentials, Fault, FaultKind, GroupOptions, NewInstance, Rate};

use crate::stage::{Stage, request};

const HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";

#[tokio::test]
async fn each_service_fails_in_its_own_words() {
    let stage = Stage::new().await;
    let (elb, ec2) = ("Action=DescribeTargetGroups", "Action=DescribeInstances");
    for (kind, of_elb, of_ec2) in [
        (FaultKind::Throttle, (400, "Throttling"), (503, "RequestLimitExceeded")),
        (FaultKind::Error, (500, "InternalFailure"), (500, "InternalError")),
        (FaultKind::Unavailable, (503, "ServiceUnavailable"), (503, "Unavailable")),
        (FaultKind::Html, (502, ""), (502, "")),
        (FaultKind::Expired, (403, "ExpiredToken"), (400, "RequestExpired")),
        (FaultKind::Denied, (403, "AccessDenied"), (403, "UnauthorizedOperation")),
    ] {
        stage.control.add_fault(&Fault::of("*", kind).calls(2)).await.unwrap();
        assert_eq!(stage.elb(elb).await.error(), of_elb);
        let raw = stage.ec2(ec2).await;
        assert_eq!(raw.error(), of_ec2);
        assert_eq!(raw.body.contains("ec2:DescribeInstances"), kind == FaultKind::Denied, "{}", raw.body);
        assert_eq!((stage.elb(elb).await.status, stage.ec2(ec2).await.status), (200, 200));
    }
    assert_eq!(stage.control.faults().await.unwrap(), []);
    let calls = stage.control.calls().await.unwrap();
    let counted = calls.iter().find(|count| count.action == "ec2:DescribeInstances").unwrap();
    assert_eq!((counted.calls, counted.faulted), (12, 6));
}

#[tokio::test]
async fn calls_above_their_rate_are_throttled_and_counted() {
    let stage = Stage::new().await;
    let rate = |action: &str| Rate { action: action.to_owned(), burst: 2, per_second: 0 };
    stage.control.set_rates(&[rate("elasticloadbalancing:Describe*")]).await.unwrap();
    let form = "Action=DescribeTargetGroups";
    assert_eq!((stage.elb(form).await.status, stage.elb(form).await.status), (200, 200));
    assert_eq!(stage.elb(form).await.error(), (400, "Throttling"));
    assert_eq!(stage.ec2("Action=DescribeInstances").await.status, 200);
    let calls = stage.control.calls().await.unwrap();
    let counted =
        calls.iter().find(|count| count.action == "elasticloadbalancing:DescribeTargetGroups").unwrap();
    assert_eq!((counted.calls, counted.faulted, counted.throttled), (3, 0, 1));
    stage.control.set_rates(&[]).await.unwrap();
    assert_eq!(stage.elb(form).await.status, 200);
}

#[tokio::test]
async fn an_answer_can_be_lost_or_cut_after_the_change_and_a_call_before_it() {
    let stage = Stage::new().await;
    let group = stage.control.put_group("web", &GroupOptions::default()).await.unwrap();
    let id = stage.control.launch(&NewInstance::default()).await.unwrap().id;
    for (port, kind, applied) in
        [(1, FaultKind::Drop, false), (2, FaultKind::LoseAnswer, true), (3, FaultKind::CutAnswer, true)]
    {
        stage
            .control
            .add_fault(&Fault::of("elasticloadbalancing:RegisterTargets", kind).calls(1))
            .await
            .unwrap();
        let form = format!(
            "Version=2015-12-01&Action=RegisterTargets&TargetGroupArn={}&Targets.member.1.Id={id}&Targets.member.1.Port={port}",
            group.arn
        );
        let answer = stage.query(&form).await;
        assert!(answer.is_err(), "{kind:?}: {answer:?}");
        let there = stage.control.targets("web").await.unwrap().iter().any(|target| target.port == port);
        assert_eq!(there, applied, "{kind:?}");
    }
}

#[tokio::test]
async fn slow_and_stale_answers_are_late_and_old() {
    let stage = Stage::new().await;
    let group = stage.control.put_group("web", &GroupOptions::default()).await.unwrap();
    let id = stage.control.launch(&NewInstance::default()).await.unwrap().id;
    stage.control.add_fault(&Fault::of(HEALTH, FaultKind::Slow { ms: 100 }).calls(1)).await.unwrap();
    let began = Instant::now();
    assert_eq!(stage.health(&group, &id, 80).await.1, "Target.NotRegistered");
    assert!(began.elapsed() >= Duration::from_millis(100));

    stage.change("RegisterTargets", &group, &id, Some(80)).await;
    let stale = Fault::of(HEALTH, FaultKind::Stale { ms: 60_000 });
    stage.control.add_fault(&stale).await.unwrap();
    let gone = stage.elb(&format!("Action=DescribeTargetHealth&TargetGroupArn={}", group.arn)).await;
    assert_eq!(gone.error(), (400, "TargetGroupNotFound"), "a minute ago there was no group: {}", gone.body);
    stage.control.clear_faults().await.unwrap();
    assert_eq!(stage.health(&group, &id, 80).await.1, "Target.NotInUse");
}

#[tokio::test]
async fn credentials_expire_and_are_missing_on_demand_and_tell_who_calls() {
    let stage = Stage::new().await;
    let new = NewInstance { role: Some("host".to_owned()), ..NewInstance::default() };
    let id = stage.control.launch(&new).await.unwrap().id;
    let metadata = stage.control.open_metadata(&id, ([127, 0, 0, 1], 0).into()).await.unwrap().to_string();
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = request(&metadata, "PUT", "/latest/api/token", &[ttl], String::new()).await.unwrap().body;
    let path = "/latest/meta-data/iam/security-credentials/host";
    let key = async || {
        let raw = request(&metadata, "GET", path, &[("x-aws-ec2-metadata-token", &token)], String::new())
            .await
            .unwrap();
        (raw.status, raw.body.split('"').find(|word| word.starts_with("ASIA")).unwrap_or_default().to_owned())
    };
    let call = async |key: &str| {
        let scope =
            format!("AWS4-HMAC-SHA256 Credential={key}/20260101/eu-central-1/sts/aws4_request, Signature=0");
        let form = "Version=2011-06-15&Action=GetCallerIdentity".to_owned();
        request(&stage.server.api_url(), "POST", "/", &[("authorization", &scope)], form).await.unwrap()
    };
    let (_, good) = key().await;
    let arn = format!("arn:aws:sts::123456789012:assumed-role/host/{id}");
    assert_eq!(call(&good).await.text("Arn"), Some(arn.as_str()));
    stage.control.set_credentials(Credentials::Expired).await.unwrap();
    assert_eq!(call(&good).await.error(), (403, "ExpiredToken"));
    assert_eq!(call(&key().await.1).await.error(), (403, "ExpiredToken"));
    stage.control.set_credentials(Credentials::Missing).await.unwrap();
    assert_eq!(key().await.0, 404);
    stage.control.set_credentials(Credentials::Valid).await.unwrap();
    assert_eq!(call(&key().await.1).await.status, 200);
    stage.control.allow(Some(&["ec2:Describe*"])).await.unwrap();
    let signed = |key: &str| {
        format!("AWS4-HMAC-SHA256 Credential={key}/20260101/eu-central-1/any/aws4_request, Signature=0")
    };
    let may = async |key: &str, form: &str| {
        let url = stage.server.api_url();
        request(&url, "POST", "/", &[("authorization", &signed(key))], form.to_owned()).await.unwrap()
    };
    let (instances, groups) =
        ("Version=2016-11-15&Action=DescribeInstances", "Version=2015-12-01&Action=DescribeTargetGroups");
    let own = key().await.1;
    assert_eq!(may(&own, instances).await.status, 200);
    let denied = may(&own, groups).await;
    assert_eq!(denied.error(), (403, "AccessDenied"));
    assert!(denied.body.contains("perform: elasticloadbalancing:DescribeTargetGroups"), "{}", denied.body);
    assert_eq!(may("AKIDOTHER", groups).await.status, 200);
    assert_eq!(call(&own).await.status, 200, "everybody may ask who he is");
    stage.control.allow(None).await.unwrap();
    assert_eq!(may(&own, groups).await.status, 200);

    let only_it = Fault::of("sts:*", FaultKind::Denied).by(&id).lasting(Duration::from_secs(600));
    stage.control.add_fault(&only_it).await.unwrap();
    assert_eq!(call(&key().await.1).await.error(), (403, "AccessDenied"));
    assert_eq!(call("AKIDOTHER").await.status, 200);
}
