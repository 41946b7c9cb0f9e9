//! The metadata service.

use fakeaws::{InstanceView, NewInstance};

use crate::stage::{Raw, Stage, request};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";

async fn token(url: &str, prefix: &str) -> String {
    let path = format!("{prefix}/latest/api/token");
    let raw = request(url, "PUT", &path, &[(TTL, "60")], String::new()).await.unwrap();
    assert_eq!((raw.status, raw.headers[TTL].to_str().unwrap()), (200, "60"));
    raw.body
}

async fn get(url: &str, token: &str, path: &str) -> Raw {
    request(url, "GET", path, &[(TOKEN, token)], String::new()).await.unwrap()
}

async fn launch(stage: &Stage, last: u8) -> InstanceView {
    let new = NewInstance {
        private_ipv4: Some([127, 0, 0, last].into()),
        public_ipv4: Some([203, 0, 113, last].into()),
        ipv6: Some("2001:db8::1".parse().unwrap()).filter(|_| last == 1),
        tags: [("Name of it".to_owned(), format!("host {last}"))].into(),
        tags_in_metadata: last == 1,
        role: Some("host".to_owned()),
        ..NewInstance::default()
    };
    stage.control.launch(&new).await.unwrap()
}

#[tokio::test]
async fn nothing_is_told_without_a_good_token_of_the_same_instance() {
    let stage = Stage::new().await;
    let (one, two) = (launch(&stage, 1).await, launch(&stage, 2).await);
    let url = stage.server.metadata_url();
    let path = |view: &InstanceView| format!("/{}/latest/meta-data/instance-id", view.id);
    let good = token(&url, &format!("/{}", one.id)).await;
    assert_eq!(get(&url, &good, &path(&one)).await.body, one.id);
    assert_eq!(get(&url, &good, &path(&two)).await.status, 401);
    assert_eq!(get(&url, "x", &path(&one)).await.status, 401);
    assert_eq!(request(&url, "GET", &path(&one), &[], String::new()).await.unwrap().status, 401);
    let ask = async |method: &str, headers: &[(&str, &str)]| {
        request(&url, method, "/latest/api/token", headers, String::new()).await.unwrap().status
    };
    for ttl in ["0", "21601", "x"] {
        assert_eq!(ask("PUT", &[(TTL, ttl)]).await, 400, "a token for {ttl} s");
    }
    assert_eq!(ask("PUT", &[]).await, 400);
    assert_eq!(ask("GET", &[(TTL, "60")]).await, 405);
    assert_eq!(ask("PUT", &[(TTL, "60"), ("x-forwarded-for", "10.0.0.1")]).await, 403);
}

#[tokio::test]
async fn callers_are_told_apart_by_listener_path_or_address() {
    let stage = Stage::new().await;
    let (one, two) = (launch(&stage, 1).await, launch(&stage, 2).await);
    let shared = stage.server.metadata_url();
    let own = stage.control.open_metadata(&two.id, ([127, 0, 0, 1], 0).into()).await.unwrap().to_string();
    let path = "/latest/meta-data/instance-id";
    // Calls from here come from 127.0.0.1, which is the address of the first.
    assert_eq!(get(&shared, &token(&shared, "").await, path).await.body, one.id);
    assert_eq!(get(&own, &token(&own, "").await, path).await.body, two.id);
    let prefix = format!("/{}", two.id);
    assert_eq!(get(&shared, &token(&shared, &prefix).await, &format!("{prefix}{path}")).await.body, two.id);
}

#[tokio::test]
async fn an_instance_learns_who_and_where_it_is() {
    let stage = Stage::new().await;
    let (one, two) = (launch(&stage, 1).await, launch(&stage, 2).await);
    let url = stage.server.metadata_url();
    let good = token(&url, "").await;
    let told = async |path: &str| {
        let raw = get(&url, &good, &format!("/latest/{path}")).await;
        (raw.status, raw.body)
    };
    for (path, expected) in [
        ("meta-data/local-ipv4", "127.0.0.1"),
        ("meta-data/public-ipv4", "203.0.113.1"),
        ("meta-data/ipv6", "2001:db8::1"),
        ("meta-data/placement/availability-zone", "eu-central-1a"),
        ("meta-data/placement/region", "eu-central-1"),
        ("meta-data/tags/instance", "Name of it"),
        ("meta-data/tags/instance/Name%20of%20it", "host 1"),
        ("meta-data/iam/security-credentials/", "host"),
        ("meta-data/network/interfaces/macs/0a:00:00:00:00:01/ipv6s", "2001:db8::1"),
    ] {
        assert_eq!(told(path).await, (200, expected.to_owned()), "{path}");
    }
    let document: serde_json::Value =
        serde_json::from_str(&told("dynamic/instance-identity/document").await.1).unwrap();
    assert_eq!((&document["instanceId"], &document["region"]), (&one.id.into(), &"eu-central-1".into()));
    assert_eq!(
        (&document["accountId"], &document["privateIp"]),
        (&"123456789012".into(), &"127.0.0.1".into())
    );
    let role: serde_json::Value =
        serde_json::from_str(&told("meta-data/iam/security-credentials/host").await.1).unwrap();
    assert_eq!((&role["Code"], role["Expiration"].as_str().unwrap().len()), (&"Success".into(), 20));
    assert_eq!(told("meta-data/iam/security-credentials/other").await.0, 404);
    assert_eq!(told("meta-data/nothing").await.0, 404);

    let prefix = format!("/{}", two.id);
    let good = token(&url, &prefix).await;
    assert_eq!(get(&url, &good, &format!("{prefix}/latest/meta-data/ipv6")).await.status, 404);
    assert_eq!(get(&url, &good, &format!("{prefix}/latest/meta-data/tags/instance")).await.status, 404);
}
