//! What goes wrong, in the words that an operator reads.

use std::time::Duration;

use aws::Session;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use fakeaws::{Fault, FaultKind as Cause, TargetType};
use ports::{Balancer as _, Fault as Told, FaultKind, Standing, fault::Chain};

use crate::stage::{REGION, Service, Stage, quick, target_of};

/// What is told of a registration that goes wrong like this.
async fn told(cause: Cause) -> Told {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let (balancer, target) = target_of(&stage.session(), &[&group], &id, service.address);
    let action = "elasticloadbalancing:RegisterTargets";
    stage.control.add_fault(&Fault::of(action, cause)).await.unwrap();
    let fault = balancer.join(&target).await.expect_err("it was made to fail");
    let attempted = format!("register {id}:{} with target group web", service.address.port());
    assert_eq!(fault.attempted, attempted);
    assert_eq!(stage.calls(action).await, 1, "nothing is retried behind the host machine's back");
    stage.control.clear_faults().await.unwrap();
    let standing = balancer.standing(&target).await.expect("standing");
    let done = matches!(cause, Cause::LoseAnswer | Cause::CutAnswer);
    assert_eq!(standing != Standing::Absent, done, "{cause:?}: {standing:?}");
    balancer.join(&target).await.expect("doing it again does no harm");
    fault
}

#[tokio::test]
async fn every_fault_has_its_kind_and_its_words() {
    let table = [
        (Cause::Throttle, FaultKind::Throttled, "Throttling: "),
        (Cause::Error, FaultKind::Transient, "Internal"),
        (Cause::Unavailable, FaultKind::Transient, "ServiceUnavailable"),
        (Cause::Html, FaultKind::Transient, "answered 502, not as AWS does"),
        (
            Cause::Denied,
            FaultKind::Permanent,
            "this host's role may not elasticloadbalancing:RegisterTargets: allow it",
        ),
        (Cause::Expired, FaultKind::Transient, "the credentials have expired"),
        (Cause::Drop, FaultKind::Transient, ""),
        (Cause::LoseAnswer, FaultKind::Transient, ""),
        (Cause::CutAnswer, FaultKind::Transient, ""),
    ];
    for (cause, kind, words) in table {
        let fault = told(cause).await;
        let why = fault.source.to_string();
        assert_eq!(fault.kind, kind, "{cause:?}: {}", Chain(&fault));
        assert!(why.starts_with(words) && !why.is_empty(), "{cause:?}: {why}");
        assert!(!why.ends_with('.') && !why.contains('\n'), "{cause:?}: {why}");
        println!("{cause:?}: {}", Chain(&fault));
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up() {
    let fault = told(Cause::Slow { ms: 60_000 }).await;
    assert_eq!((fault.kind, fault.source.to_string().as_str()), (FaultKind::Transient, "no answer in time"));
}

#[tokio::test]
async fn an_answer_from_the_past_is_told_as_it_is() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let (balancer, target) = target_of(&stage.session(), &[&group], &id, service.address);
    assert_eq!(balancer.standing(&target).await.unwrap(), Standing::Absent);
    let stale = Fault::of("elasticloadbalancing:DescribeTargetHealth", Cause::Stale { ms: 60_000 });
    balancer.join(&target).await.expect("join");
    stage.control.add_fault(&stale).await.unwrap();
    // The group was not there then, or the target was not: neither is made up to be a standing of now.
    match balancer.standing(&target).await {
        Ok(standing) => assert_eq!(standing, Standing::Absent),
        Err(fault) => assert!(!fault.source.to_string().is_empty()),
    }
}

#[tokio::test]
async fn without_credentials_it_is_said_what_is_missing() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let (group, _) = stage.group("web", &quick(TargetType::Ip)).await;
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(stage.server.api_url())
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(Nobody))
        .build();
    let (balancer, target) = target_of(&Session::new(config), &[&group], "h1", service.address);
    let fault = balancer.standing(&target).await.expect_err("nothing signs it");
    assert_eq!(fault.kind, FaultKind::Transient, "a role may come yet");
    let words = Chain(&fault).to_string();
    assert!(
        words.starts_with("look at target group web: there are no credentials: give the instance a role"),
        "{words}"
    );
}

#[derive(Debug)]
struct Nobody;

impl aws_credential_types::provider::ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        use aws_credential_types::provider::{error::CredentialsError, future::ProvideCredentials};
        ProvideCredentials::ready(Err(CredentialsError::not_loaded("nobody is there")))
    }
}

#[tokio::test]
async fn nobody_at_the_other_end_is_transient() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let (group, _) = stage.group("web", &quick(TargetType::Ip)).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = stage.config().into_builder().endpoint_url(format!("http://{closed}")).build();
    let (balancer, target) = target_of(&Session::new(config), &[&group], "h1", service.address);
    let began = std::time::Instant::now();
    let fault = balancer.standing(&target).await.expect_err("nobody is there");
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.source.to_string().contains("refused"), "{}", Chain(&fault));
    assert!(began.elapsed() < Duration::from_secs(10), "in bounded time");
}
