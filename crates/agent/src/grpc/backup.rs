//! `cluster backup`: what a recovery needs, as one file.

use std::pin::Pin;

use api::{
    refusal,
    v1::{
        self, ClusterBackupRequest, ClusterBackupResponse, cluster_backup_response::Item,
        deployinator_client::DeployinatorClient,
    },
};
use ports::fault::Chain;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    passed::{self, Passed},
    public::Public,
    status::{self, LEADER},
};
use crate::{
    clock,
    core::Core,
    recovery::backup::{self, About, Unwritable, Voter},
};

/// Size of the parts that it is sent in.
const PART_BYTES: usize = 1 << 20;

pub(super) type Parts = Pin<Box<dyn Stream<Item = Result<ClusterBackupResponse, Status>> + Send>>;

pub(super) async fn backup(public: &Public, passed: Passed) -> Result<Parts, Status> {
    let core = public.core()?;
    let leads = status::reign(public, &core).await.is_some();
    if !leads {
        if let Some(parts) = of_leader(&core, passed).await {
            return Ok(parts);
        }
        let ask = |mut client: passed::Client, passed: Passed| async move {
            client.cluster_backup(passed.mark(ClusterBackupRequest {})).await
        };
        if let Some(answer) = passed::elsewhere(&core, passed, ask).await? {
            return Ok(Box::pin(answer.into_inner()));
        }
    }
    let stale = if leads { None } else { Some(status::stale(&core).await) };
    let fleet = core.link.node().state().borrow().clone();
    let standing = core.link.node().standing().borrow().clone();
    let about = About {
        format: 0,
        name: public.backend().cell.parts().settings.cluster.name.to_string(),
        cluster: core.link.cluster().clone(),
        revision: fleet.revision,
        taken_at: clock::wall(),
        taken_by: core.link.host().clone(),
        voters: standing.voters.into_iter().map(|(node, address)| Voter { node, address }).collect(),
        stale: stale.as_ref().map(|stale| stale.reason.clone()),
        state_bytes: 0,
        state_checksum: String::new(),
    };
    let file = backup::write(&about, &fleet).map_err(|error| unwritable(&error))?;
    let first = v1::Backup {
        cluster: about.cluster.to_string(),
        revision: about.revision.0,
        taken_at_ms: about.taken_at.0,
        taken_by: about.taken_by.to_string(),
        voters: about.voters.iter().filter_map(member).collect(),
        bytes: u64::try_from(file.len()).unwrap_or(u64::MAX),
        stale: stale.is_some(),
        missing: stale.iter().flat_map(|stale| &stale.missing).map(ToString::to_string).collect(),
        stale_reason: stale.map(|stale| stale.reason).unwrap_or_default(),
    };
    let parts: Vec<Vec<u8>> = file.chunks(PART_BYTES).map(<[u8]>::to_vec).collect();
    let items = [Item::About(first)].into_iter().chain(parts.into_iter().map(Item::Content));
    let items: Vec<_> = items.map(|item| Ok(ClusterBackupResponse { item: Some(item) })).collect();
    Ok(Box::pin(tokio_stream::iter(items)))
}

fn unwritable(error: &Unwritable) -> Status {
    let next = "copy the state directory of a voter, while its agent is stopped";
    refusal::rejected(Chain(error).to_string(), Some(next))
}

fn member(voter: &Voter) -> Option<v1::Member> {
    let host = status::host_of(&voter.node)?.to_string();
    Some(v1::Member { host, node: voter.node.to_string(), address: voter.address.to_string() })
}

/// The leader's, where there is one that answers as such.
async fn of_leader(core: &Core, passed: Passed) -> Option<Parts> {
    let leader = core.link.leader().filter(|leader| *leader != core.link.me() && passed == Passed::Not)?;
    let mut client = DeployinatorClient::new(core.link.channels().to(leader))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    let asked = client.cluster_backup(Passed::ToMember.mark(ClusterBackupRequest {}));
    let mut parts = timeout(LEADER * 2, asked).await.ok()?.ok()?.into_inner();
    let first = timeout(LEADER, parts.message()).await.ok()?.ok()??;
    let fresh = matches!(&first.item, Some(Item::About(about)) if !about.stale);
    fresh.then(|| -> Parts { Box::pin(tokio_stream::once(Ok(first)).chain(parts)) })
}
