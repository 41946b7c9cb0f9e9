//! What a node refuses from its peers.

mod common;

use std::time::Duration;

use api::v1::{PeerRequest, peer_client::PeerClient};
use common::{Group, Order, PATIENCE, WITHIN, id, ids};
use raft::ChangeError;
use tonic::{Code, Status};

fn request() -> PeerRequest {
    PeerRequest {
        version: 1,
        cluster: "blue".to_owned(),
        from: "x".to_owned(),
        to: "a".to_owned(),
        kind: "vote".to_owned(),
        payload: b"{}".to_vec(),
        state: Vec::new(),
    }
}

async fn refusal(group: &Group, request: PeerRequest) -> Status {
    let address = format!("http://{}", group.host("a").address);
    let mut client = PeerClient::connect(address).await.unwrap();
    client.exchange(request).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_not_meant_for_it_are_refused() {
    let group = Group::formed(["a"]).await;
    let cases = [
        (
            PeerRequest { cluster: "green".to_owned(), ..request() },
            Code::FailedPrecondition,
            "node x is of cluster green, node a is of cluster blue",
        ),
        (
            PeerRequest { to: "b".to_owned(), ..request() },
            Code::FailedPrecondition,
            "node x called node b, this is node a",
        ),
        (PeerRequest { version: 2, ..request() }, Code::FailedPrecondition, "version 2"),
        (PeerRequest { kind: "gossip".to_owned(), ..request() }, Code::Unimplemented, "gossip"),
        (request(), Code::InvalidArgument, "the vote message of node x cannot be read"),
    ];
    for (request, code, text) in cases {
        let status = refusal(&group, request).await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
    group.commit(Order::Add(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_answers_that_it_has_stopped() {
    let group = Group::formed(["a"]).await;
    group.leader().await;
    group.host("a").node.shutdown().await;
    let vote = r#"{"vote":{"leader_id":{"term":9,"node_id":"x"},"committed":false},"last_log_id":null}"#;
    let status = refusal(&group, PeerRequest { payload: vote.as_bytes().to_vec(), ..request() }).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_does_not_get_the_log() {
    let mut group = Group::formed(["a"]).await;
    group.commit(Order::Add(1)).await;
    group.cluster = "green".parse().unwrap();
    group.start("b").await;
    let (host, stranger) = (group.host("a"), group.host("b"));
    host.node.add_learner(id("b"), stranger.address, WITHIN).await.unwrap();
    let refused = host.node.set_voters(ids(["a", "b"]), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(refused, ChangeError::NotCaughtUp { node, .. } if node == id("b")));
    assert!(!stranger.node.is_initialised().await.unwrap());
    assert_eq!(stranger.node.state().borrow().orders, 0);
}

const NEWER: &str = r#"{"leader_id":{"term":9,"node_id":"x"},"committed":true}"#;
const OLDER: &str = r#"{"leader_id":{"term":0,"node_id":"x"},"committed":true}"#;

/// The next of two parts of a state of 8 bytes.
fn part(vote: &str, offset: u64, state: &[u8]) -> PeerRequest {
    let payload = format!(r#"{{"vote":{vote},"upto":null,"offset_bytes":{offset},"state_bytes":8}}"#);
    let (kind, payload) = ("snapshot_part".to_owned(), payload.into_bytes());
    PeerRequest { kind, payload, state: state.to_vec(), ..request() }
}

async fn taken(group: &Group, part: PeerRequest) -> String {
    let address = format!("http://{}", group.host("a").address);
    let answer = PeerClient::connect(address).await.unwrap().exchange(part).await.unwrap();
    String::from_utf8(answer.into_inner().payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_snapshot_are_taken_by_right_within_bounds_and_as_they_were_sent() {
    let mut group = Group::new();
    group.timers.snapshot = Duration::from_secs(1);
    group.form(["a"]).await;
    let revision = group.commit(Order::Add(7)).await;

    let deposed = taken(&group, part(OLDER, 0, b"half")).await;
    assert!(deposed.contains(r#""held_bytes":0"#) && deposed.contains(r#""node_id":"a""#), "{deposed}");
    let huge = String::from_utf8(part(NEWER, 0, b"half").payload).unwrap();
    let huge = huge.replace(r#""state_bytes":8"#, r#""state_bytes":99999999999"#).into_bytes();
    let status = refusal(&group, PeerRequest { payload: huge, ..part(NEWER, 0, b"half") }).await;
    assert!(status.message().contains("larger than any"), "{status}");
    assert!(taken(&group, part(NEWER, 0, b"half")).await.contains(r#""held_bytes":4"#));
    let status = refusal(&group, part(NEWER, 4, b"and more")).await;
    assert!(status.message().contains("than the 8 bytes"), "{status}");
    // Whoever ends in the middle leaves nothing behind.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !taken(&group, part(NEWER, 4, b"")).await.contains(r#""held_bytes":0"#) {
        assert!(tokio::time::Instant::now() < deadline, "the first half is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    taken(&group, part(NEWER, 0, b"half")).await;
    let whole = r#"{"vote":VOTE,"meta":{"last_log_id":null,"last_membership":{"log_id":null,"membership":{"configs":[],"nodes":{}}}},
        "before_bytes":4,"state_bytes":8,"state_checksum":"0123456789abcdef"}"#;
    let payload = whole.replace("VOTE", NEWER).into_bytes();
    let end = PeerRequest { kind: "snapshot".to_owned(), payload, state: b"half".to_vec(), ..request() };
    let status = refusal(&group, end.clone()).await;
    assert!(status.message().contains("not as it was sent: 8 bytes with checksum"), "{status}");
    let status = refusal(&group, end).await;
    assert!(status.message().contains("are not here"), "{status}");
    assert_eq!(group.agree(revision).await.sum, 7, "nothing of it was installed");
    group.commit(Order::Add(1)).await;
}
