//! What CI leaves in S3 or on a web server.

use fakeaws::{Fault, FaultKind};
use ports::{
    Channel as _, FaultKind as Kind,
    channel::{LIMIT_BYTES, Look, Said},
    fault::Chain,
};

use crate::stage::{REGION, Stage};

#[tokio::test]
async fn an_object_is_read_once_and_then_asked_for_by_its_tag() {
    let stage = Stage::new().await;
    let object = stage.session().object(&"s3://releases/web/stable".parse().unwrap()).unwrap();
    let fault = object.look(None).await.unwrap_err();
    assert!(Chain(&fault).to_string().contains("there is no such bucket"), "{}", Chain(&fault));
    stage.control.put_object("releases", "another", Vec::new()).await.unwrap();
    assert_eq!(object.look(None).await.unwrap(), Look::Nothing);
    let tag = stage.control.put_object("releases", "web/stable", b"/a".to_vec()).await.unwrap();
    let said = Said { bytes: b"/a".to_vec(), tag: Some(tag.clone()) };
    assert_eq!(object.look(None).await.unwrap(), Look::Says(said));
    assert_eq!(object.look(Some(&tag)).await.unwrap(), Look::Same);
    assert_eq!(stage.calls("s3:GetObject").await, 4);
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_classified() {
    let stage = Stage::new().await;
    let object = stage.session().object(&"s3://releases/web".parse().unwrap()).unwrap();
    stage.control.put_object("releases", "web", b"/a".to_vec()).await.unwrap();
    for (fault, kind, words) in [
        (FaultKind::Denied, Kind::Permanent, "this host's role may not s3:GetObject: allow it"),
        (FaultKind::Denied, Kind::Permanent, "or there is no such object"),
        (FaultKind::Expired, Kind::Transient, "the credentials have expired"),
        (FaultKind::Html, Kind::Transient, "not as AWS does"),
        (FaultKind::CutAnswer, Kind::Transient, "read s3://releases/web: "),
    ] {
        stage.control.add_fault(&Fault::of("s3:GetObject", fault).calls(1)).await.unwrap();
        let fault = object.look(None).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{}", Chain(&fault));
        assert!(Chain(&fault).to_string().contains(words), "{}", Chain(&fault));
    }
    assert!(matches!(object.look(None).await.unwrap(), Look::Says(_)));
}

#[tokio::test]
async fn what_is_long_is_cut() {
    let stage = Stage::new().await;
    stage.control.put_object("releases", "web", vec![b'a'; LIMIT_BYTES * 3]).await.unwrap();
    let object = stage.session().object(&"s3://releases/web".parse().unwrap()).unwrap();
    let Look::Says(said) = object.look(None).await.unwrap() else { panic!("it says nothing") };
    assert_eq!(said.bytes.len(), LIMIT_BYTES + 1);
}

/// By the client that speaks TLS, here without it: what serves objects to anybody is a web server.
#[tokio::test]
async fn a_web_server_is_asked_by_the_tag_too() {
    let stage = Stage::new().await;
    let tag = stage.control.put_object("releases", "web", b"/a".to_vec()).await.unwrap();
    let address = format!("{}/releases/web", stage.server.api_url());
    let object = stage.session().object(&address.parse().unwrap()).unwrap();
    let said = Said { bytes: b"/a".to_vec(), tag: Some(tag.clone()) };
    assert_eq!(object.look(None).await.unwrap(), Look::Says(said));
    assert_eq!(object.look(Some(&tag)).await.unwrap(), Look::Same);
    stage.control.remove_object("releases", "web").await.unwrap();
    assert_eq!(object.look(None).await.unwrap(), Look::Nothing);
    stage.control.add_fault(&Fault::of("s3:GetObject", FaultKind::Html).calls(1)).await.unwrap();
    let fault = object.look(None).await.unwrap_err();
    assert!(Chain(&fault).to_string().contains("it answered 502"), "{}", Chain(&fault));
}

#[tokio::test]
async fn a_bucket_of_another_region_is_asked_there() {
    let stage = Stage::new().await;
    let address = format!("s3://releases/web?region={REGION}");
    assert!(stage.session().object(&address.parse().unwrap()).is_some());
    assert!(stage.session().object(&"file:/web".parse().unwrap()).is_none());
}
