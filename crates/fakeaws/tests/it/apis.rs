//! EC2 and STS, and what all APIs refuse.

use std::time::Duration;

use fakeaws::{Act, Fault, FaultKind, NewInstance, Settings};

use crate::stage::{IDENTITY, Stage, request, wait_for};

fn tagged(ip: [u8; 4], key: &str, value: &str) -> NewInstance {
    let tags = [(key.to_owned(), value.to_owned())].into();
    NewInstance { private_ipv4: Some(ip.into()), tags, ..NewInstance::default() }
}

#[tokio::test]
async fn instances_are_found_by_tag_and_state_on_all_pages() {
    let stage = Stage::new().await;
    let mut prod = Vec::new();
    for number in 0..12 {
        let cluster = if number % 2 == 0 { "prod" } else { "test" };
        let made = stage.control.launch(&tagged([10, 0, 0, number], "cluster", cluster)).await.unwrap();
        if number % 2 == 0 {
            prod.push(made.id);
        }
    }
    stage.control.act(&prod[0], Act::Stop).await.unwrap();
    let form = "Action=DescribeInstances&Filter.1.Name=tag%3Acluster&Filter.1.Value.1=pro*&Filter.2.Name=instance-state-name\
                &Filter.2.Value.1=running&Filter.2.Value.2=pending";
    let all = stage.ec2(form).await;
    assert_eq!((all.status, all.text("nextToken")), (200, None), "{}", all.body);
    assert_eq!(all.texts("instanceId"), prod[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(all.text("privateIpAddress"), Some("10.0.0.2"));
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = stage.ec2(&format!("{form}&MaxResults=5&NextToken={token}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        pages += 1;
        found.extend(page.texts("instanceId").into_iter().map(str::to_owned));
        match page.text("nextToken") {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!((pages, found.as_slice()), (3, &prod[1..]), "pages are cut before filters are applied");
}

#[tokio::test]
async fn a_page_can_be_shorter_than_asked_for_and_the_next_one_can_fail() {
    let stage = Stage::with(Settings { page_limit: 2, ..Settings::default() }).await;
    for number in 0..3 {
        stage.control.launch(&tagged([10, 0, 0, number], "a", "b")).await.unwrap();
    }
    let first = stage.ec2("Action=DescribeInstances&MaxResults=1000").await;
    let next = first.text("nextToken").expect("a next page").to_owned();
    assert_eq!(first.texts("instanceId").len(), 2);
    let second = stage.ec2(&format!("Action=DescribeInstances&MaxResults=1000&NextToken={next}")).await;
    assert_eq!((second.texts("instanceId").len(), second.text("nextToken")), (1, None));
    let fault = Fault::of("ec2:DescribeInstances", FaultKind::Error).after(1).calls(1);
    stage.control.add_fault(&fault).await.unwrap();
    let form = "Action=DescribeInstances";
    assert_eq!((stage.ec2(form).await.status, stage.ec2(form).await.status), (200, 500));
}

#[tokio::test]
async fn what_ec2_refuses_has_the_code_that_clients_know() {
    let stage = Stage::new().await;
    let made = stage.control.launch(&tagged([10, 0, 0, 1], "a", "b")).await.unwrap();
    for (form, status, code) in [
        ("Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0", 400, "InvalidInstanceID.NotFound"),
        ("Action=DescribeInstances&MaxResults=3", 400, "InvalidParameterValue"),
        ("Action=DescribeInstances&MaxResults=1001", 400, "InvalidParameterValue"),
        ("Action=DescribeInstances&Filter.1.Name=x&Filter.1.Value.1=y", 400, "InvalidParameterValue"),
        ("Action=DescribeInstances&NextToken=x", 400, "InvalidPaginationToken"),
        ("Action=DescribeInstances&InstanceId.1=nonsense", 400, "InvalidInstanceID.Malformed"),
        ("Action=DescribeInstances&DryRun=true", 412, "DryRunOperation"),
        ("Action=DescribeNothing", 400, "InvalidAction"),
    ] {
        let raw = stage.ec2(form).await;
        assert_eq!(raw.error(), (status, code), "{form}: {}", raw.body);
        assert!(raw.body.contains("<Response><Errors><Error>"), "{}", raw.body);
    }
    let form = format!("Action=DescribeInstances&MaxResults=5&InstanceId.1={}", made.id);
    assert_eq!(stage.ec2(&form).await.error(), (400, "InvalidParameterCombination"));
}

#[tokio::test]
async fn an_instance_goes_through_its_states_and_is_listed_for_a_while_after_its_end() {
    let settings = Settings {
        terminated_listed: Duration::from_secs(3),
        stopping: Duration::ZERO,
        pending: Duration::ZERO,
        ..Settings::default()
    };
    let stage = Stage::with(settings).await;
    let id = stage.control.launch(&tagged([10, 0, 0, 1], "a", "b")).await.unwrap().id;
    let form = format!("Action=DescribeInstances&InstanceId.1={id}");
    let state = async || stage.ec2(&form).await.text("name").unwrap_or("gone").to_owned();
    assert_eq!(state().await, "running");
    for (act, becomes) in [(Act::Stop, "stopped"), (Act::Start, "running"), (Act::Terminate, "terminated")] {
        stage.control.act(&id, act).await.unwrap();
        assert_eq!(state().await, becomes);
    }
    assert!(stage.control.act(&id, Act::Start).await.is_err(), "a terminated instance was started");
    wait_for("the instance to be listed no more", async || state().await == "gone").await;
    assert_eq!(stage.ec2(&form).await.error(), (400, "InvalidInstanceID.NotFound"));
    let other = stage.control.launch(&tagged([10, 0, 0, 1], "a", "b")).await.unwrap().id;
    stage.control.act(&other, Act::Forget).await.unwrap();
    assert_eq!(stage.ec2("Action=DescribeInstances").await.text("instanceId"), None);
}

#[tokio::test]
async fn whoever_does_not_sign_or_signs_for_another_region_is_refused() {
    let stage = Stage::new().await;
    let url = stage.server.api_url();
    let elsewhere = IDENTITY.replace("eu-central-1", "us-east-1");
    for (version, action, headers, status, code) in [
        ("2016-11-15", "DescribeInstances", vec![], 401, "AuthFailure"),
        ("2015-12-01", "DescribeTargetGroups", vec![], 403, "MissingAuthenticationToken"),
        ("2016-11-15", "DescribeInstances", vec![("authorization", elsewhere.as_str())], 403, "AuthFailure"),
        (
            "2015-12-01",
            "DescribeTargetGroups",
            vec![("authorization", elsewhere.as_str())],
            403,
            "SignatureDoesNotMatch",
        ),
    ] {
        let form = format!("Version={version}&Action={action}");
        let raw = request(&url, "POST", "/", &headers, form).await.unwrap();
        assert_eq!(raw.error(), (status, code), "{}", raw.body);
    }
    let me = stage.query("Version=2011-06-15&Action=GetCallerIdentity").await.unwrap();
    assert_eq!((me.status, me.text("Arn")), (200, Some("arn:aws:iam::123456789012:user/AKIDTEST")));
    assert_eq!(me.text("Account"), Some("123456789012"));
    let calls = stage.control.calls().await.unwrap();
    let sts = calls.iter().find(|count| count.action == "sts:GetCallerIdentity").expect("a counted call");
    assert_eq!((sts.caller.as_str(), sts.calls), ("AKIDTEST", 1));
}
