//! Who the instance is.

use aws::{AddressKind, IdentityError, identity};
use fakeaws::{Fault, FaultKind, NewInstance};

use crate::stage::Stage;

async fn with(new: NewInstance) -> (Stage, String, String) {
    let stage = Stage::new().await;
    let view = stage.control.launch(&new).await.expect("launch");
    let metadata =
        stage.control.open_metadata(&view.id, "127.0.0.1:0".parse().unwrap()).await.expect("metadata");
    (stage, view.id, format!("http://{metadata}"))
}

#[tokio::test]
async fn an_instance_says_who_it_is() {
    let new = NewInstance {
        private_ipv4: Some("10.0.0.7".parse().unwrap()),
        ipv6: Some("fd00::7".parse().unwrap()),
        zone: Some("eu-central-1b".into()),
        tags: [("Name".to_owned(), "web 1".to_owned())].into(),
        tags_in_metadata: true,
        ..NewInstance::default()
    };
    let (_stage, id, metadata) = with(new).await;
    let found = identity(Some(&metadata)).await.expect("it says so");
    assert_eq!(found.host.as_str(), id);
    assert_eq!(
        (found.region.as_deref(), found.zone.as_deref()),
        (Some("eu-central-1"), Some("eu-central-1b"))
    );
    assert_eq!(found.addresses.of(AddressKind::PrivateIpv4), Some("10.0.0.7".parse().unwrap()));
    assert_eq!(found.addresses.of(AddressKind::PublicIpv4), None, "it has none");
    assert_eq!(found.addresses.of(AddressKind::Ipv6), Some("fd00::7".parse().unwrap()));
    assert_eq!(found.tags.unwrap().get("Name").map(String::as_str), Some("web 1"));
}

#[tokio::test]
async fn tags_that_it_does_not_say_are_not_known() {
    let (_stage, _, metadata) = with(NewInstance::default()).await;
    assert_eq!(identity(Some(&metadata)).await.expect("it says the rest").tags, None);
}

#[tokio::test]
async fn a_service_that_is_off_or_far_says_what_to_do() {
    let (stage, _, metadata) = with(NewInstance::default()).await;
    stage.control.add_fault(&Fault::of("imds:*", FaultKind::Denied)).await.unwrap();
    let error = identity(Some(&metadata)).await.expect_err("it refuses");
    assert!(matches!(error, IdentityError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("modify-instance-metadata-options"), "{error}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = identity(Some(&format!("http://{closed}"))).await.expect_err("nobody is there");
    assert!(matches!(error, IdentityError::Silent(_)), "{error:?}");
    assert!(error.to_string().contains("http-put-response-hop-limit"), "{error}");
}
