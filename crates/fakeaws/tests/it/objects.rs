//! S3.

use fakeaws::{Fault, FaultKind};

use crate::stage::{Stage, request};

#[tokio::test]
async fn an_object_is_told_apart_by_its_etag() {
    let stage = Stage::new().await;
    let url = stage.server.api_url();
    let get = async |path: &str, headers: &[(&str, &str)]| {
        request(&url, "GET", path, headers, String::new()).await.unwrap()
    };
    assert_eq!(get("/channel/web", &[]).await.error(), (404, "NoSuchBucket"));
    let first = stage.control.put_object("channel", "prod/web", b"/nix/store/one".to_vec()).await.unwrap();
    assert_eq!(get("/channel/other", &[]).await.error(), (404, "NoSuchKey"));
    let raw = get("/channel/prod%2Fweb?x-id=GetObject", &[]).await;
    assert_eq!(
        (raw.status, raw.body.as_str(), raw.headers["etag"].to_str().unwrap()),
        (200, "/nix/store/one", first.as_str())
    );
    assert_eq!(get("/channel/prod/web", &[("if-none-match", &first)]).await.status, 304);
    let second = stage.control.put_object("channel", "prod/web", b"/nix/store/two".to_vec()).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(get("/channel/prod/web", &[("if-none-match", &first)]).await.body, "/nix/store/two");
    let head = request(&url, "HEAD", "/channel/prod/web", &[], String::new()).await.unwrap();
    assert_eq!((head.status, head.headers["etag"].to_str().unwrap()), (200, second.as_str()));
    stage.control.add_fault(&Fault::of("s3:GetObject", FaultKind::Denied).calls(1)).await.unwrap();
    assert_eq!(get("/channel/prod/web", &[]).await.error(), (403, "AccessDenied"));
    stage.control.remove_object("channel", "prod/web").await.unwrap();
    assert_eq!(get("/channel/prod/web", &[]).await.error(), (404, "NoSuchKey"));
}
