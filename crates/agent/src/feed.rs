//! Where this host's assignment comes from: its own replica, or a stream from a member of the group.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use api::v1::{FollowRequest, FollowResponse, agent_client::AgentClient};
use model::fleet::Assignment;
use tokio::{sync::watch, time::timeout};

use crate::{
    core::member_addresses,
    link::{Link, VERSION},
};

/// Pause before the members are asked again, and its longest.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Time between two looks at whether the group still has this node.
const LOOK: Duration = Duration::from_secs(1);
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
    // The group may go on without this node and tell it nothing: then the others know more.
    while link.is_member() {
        let assignment = state.borrow_and_update().assignment(link.host());
        offer(link, to, assignment);
        // For the time after: whoever is taken out of the group is not told so, and those that it began with may be gone by then.
        link.members().are(member_addresses(link.node()).into_iter().collect());
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => (),
        }
    }
}

/// Follows whoever can be followed; without anybody, rests longer and longer, as all others look for somebody too.
async fn from_members(link: &Link, to: &watch::Sender<Arc<Assignment>>) {
    let mut pause = PAUSE;
    while !link.is_member() && !to.is_closed() {
        for address in link.members().all().into_iter().filter(|address| *address != link.me()) {
            if follow(link, address, to).await {
                pause = PAUSE;
            }
            if link.is_member() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows one member until it falls silent, or this node is a member itself. Returns whether it answered.
async fn follow(link: &Link, address: SocketAddr, to: &watch::Sender<Arc<Assignment>>) -> bool {
    let request = FollowRequest {
        version: VERSION,
        cluster: link.cluster().to_string(),
        host: link.host().to_string(),
    };
    let mut client =
        AgentClient::new(link.channels().to(address)).max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    let mut stream = match timeout(QUIET, client.follow(request)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(refusal)) => {
            link.learn(&refusal);
            return false;
        }
        Err(_) => return false,
    };
    tracing::info!(%address, "this host has no part in the group, and follows a member");
    while let Ok(Ok(Some(FollowResponse { assignment, members }))) = timeout(QUIET, stream.message()).await {
        let members: BTreeSet<SocketAddr> = members.iter().filter_map(|member| member.parse().ok()).collect();
        link.members().are(members);
        match serde_json::from_slice::<Assignment>(&assignment) {
            Ok(assignment) => offer(link, to, assignment),
            Err(error) => tracing::warn!(%address, %error, "an assignment of another version"),
        }
        if link.is_member() {
            break;
        }
    }
    true
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
