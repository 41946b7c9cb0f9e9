//! Where this host's assignment comes from: its own replica, or a stream from a member of the group.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use api::v1::{FollowRequest, FollowResponse, agent_client::AgentClient};
use model::fleet::Assignment;
use tokio::{sync::watch, time::timeout};

use crate::link::{Link, VERSION};

/// Pause before another member is asked.
const PAUSE: Duration = Duration::from_millis(300);
/// Longest time without a word of a stream. Members send at least one in a third of it.
pub const QUIET: Duration = Duration::from_secs(6);

/// Keeps the assignment up to date, for as long as anybody reads it.
pub async fn assignments(link: Link, to: watch::Sender<Arc<Assignment>>) {
    loop {
        if link.is_member() {
            from_replica(&link, &to).await;
        } else {
            from_members(&link, &to).await;
        }
        if to.is_closed() {
            return;
        }
    }
}

async fn from_replica(link: &Link, to: &watch::Sender<Arc<Assignment>>) {
    let mut state = link.node().state();
    let mut standing = link.node().standing();
    while link.is_member() {
        let assignment = state.borrow_and_update().assignment(link.host());
        offer(link, to, assignment);
        let lost = standing.borrow_and_update().leader.is_none();
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            changed = standing.changed() => if changed.is_err() { return },
            // The group may go on without this node, and have told it nothing: then the others know more.
            () = tokio::time::sleep(QUIET), if lost => from_members(link, to).await,
        }
    }
}

async fn from_members(link: &Link, to: &watch::Sender<Arc<Assignment>>) {
    for address in link.members().all().into_iter().filter(|address| *address != link.me()) {
        follow(link, address, to).await;
        if has_replica(link) {
            return;
        }
    }
    tokio::time::sleep(PAUSE).await;
}

/// Follows one member until it falls silent, or this node is a member itself.
async fn follow(link: &Link, address: SocketAddr, to: &watch::Sender<Arc<Assignment>>) {
    let request = FollowRequest {
        version: VERSION,
        cluster: link.cluster().to_string(),
        host: link.host().to_string(),
    };
    let mut client =
        AgentClient::new(link.channels().to(address)).max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    let Ok(Ok(answer)) = timeout(QUIET, client.follow(request)).await else { return };
    tracing::debug!(%address, "follows");
    let mut stream = answer.into_inner();
    while let Ok(Ok(Some(FollowResponse { assignment, members }))) = timeout(QUIET, stream.message()).await {
        let members: BTreeSet<SocketAddr> = members.iter().filter_map(|member| member.parse().ok()).collect();
        link.members().are(members);
        match serde_json::from_slice::<Assignment>(&assignment) {
            Ok(assignment) => offer(link, to, assignment),
            Err(error) => tracing::warn!(%address, %error, "an assignment of another version"),
        }
        if has_replica(link) {
            return;
        }
    }
}

/// Whether this node is a member that hears of a leader.
fn has_replica(link: &Link) -> bool {
    link.is_member() && link.node().standing().borrow().leader.is_some()
}

/// An older view than the newest seen is refused: members are not all equally far.
fn offer(link: &Link, to: &watch::Sender<Arc<Assignment>>, assignment: Assignment) {
    // The name was given to another host: this one is not known any more, and has nothing to do.
    let mine = link.is_mine(assignment.state.as_deref());
    let assignment =
        if mine { assignment } else { Assignment { revision: assignment.revision, ..Assignment::default() } };
    to.send_if_modified(|known| {
        let newer = known.revision <= assignment.revision && **known != assignment;
        if newer {
            *known = Arc::new(assignment);
        }
        newer
    });
}
