//! What a node refuses from its peers.

mod common;

use api::v1::{PeerRequest, peer_client::PeerClient};
use common::{Group, Order, WITHIN, id, ids};
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
    let refused = host.node.set_voters(ids(["a", "b"]), std::time::Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(refused, ChangeError::NotCaughtUp { node, .. } if node == id("b")));
    assert!(!stranger.node.is_initialised().await.unwrap());
    assert_eq!(stranger.node.state().borrow().orders, 0);
}
