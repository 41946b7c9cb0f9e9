//! A new group from what one node of a lost one holds.
//!
//! Absent on purpose: whether the old group is lost. Two groups that both go on are split brain, and nothing here can see that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::Path,
};

use model::{ClusterId, Revision};
use openraft::{EntryPayload, Membership, entry::RaftEntry as _, vote::RaftLeaderId as _};

use crate::{
    Machine, Node, NodeId, OpenError,
    store::{Store, StoredSnapshot},
    types::{LogId, Place, SnapshotMeta, StoredMembership, Vote},
};

/// The term of a new group's first entry, which nobody proposed.
const FIRST_TERM: u64 = 1;

/// How far a node's log goes, committed or not. Of two nodes of one group, the greater one holds all that was acknowledged and that the other
/// one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// The term of its last entry.
    pub term: u64,
    /// Where its last entry stands.
    pub revision: Revision,
}

/// What was found in a stopped node's file.
#[derive(Debug)]
pub struct Salvaged<M> {
    /// The state after its last entry.
    pub machine: M,
    /// How far its log goes.
    pub held: Held,
}

/// Reads what a stopped node holds: all entries, for one that is not known to be committed may well have been acknowledged. Nothing when it
/// never held anything.
///
/// # Errors
/// The file cannot be used, or must not be.
pub fn salvage<M: Machine>(
    dir: &Path,
    node: &NodeId,
    cluster: &ClusterId,
) -> Result<Option<Salvaged<M>>, OpenError> {
    let store = Store::open::<M>(dir, node, cluster)?;
    let read = || -> io::Result<Option<Salvaged<M>>> {
        let snapshot = store.snapshot::<M>()?;
        let (mut machine, mut last) = match snapshot {
            Some(StoredSnapshot { meta, state }) => (serde_json::from_slice(&state)?, meta.last_log_id),
            None => (M::default(), None),
        };
        let next = last.as_ref().map_or(0, |last: &LogId<M>| last.index() + 1);
        for entry in store.entries::<M>(next.., usize::MAX)? {
            if let EntryPayload::Normal(proposal) = &entry.payload {
                machine.apply(Revision(entry.index()), &proposal.0);
            }
            last = Some(entry.log_id());
        }
        Ok(last.map(|last| Salvaged { machine, held: held::<M>(&last) }))
    };
    let salvaged = read();
    store.close();
    salvaged.map_err(|source| OpenError::Unusable { path: store.path().to_owned(), source })
}

/// Makes the file of a new group in `dir`: `node` alone, at `address`, with `machine` as it is after `revision`. A file that is there is
/// replaced: call this only for a cluster that nothing refers to yet.
///
/// # Errors
/// The file cannot be written. Part of it may be there, as of an attempt that is made again.
pub fn found<M: Machine>(
    dir: &Path,
    node: &NodeId,
    address: SocketAddr,
    cluster: &ClusterId,
    revision: Revision,
    machine: &M,
) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { path: dir.to_owned(), source };
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        Ok(()) | Err(_) => {}
    }
    let store = Store::open::<M>(dir, node, cluster)?;
    let fill = || -> io::Result<()> {
        let vote = Vote::<M>::new(FIRST_TERM, node.clone());
        let last = LogId::<M>::new(vote.leader_id().to_committed(), revision.0);
        let members = BTreeMap::from([(node.clone(), Place { address })]);
        let voters = vec![BTreeSet::from([node.clone()])];
        let membership = Membership::new(voters, members).map_err(io::Error::other)?;
        let meta = SnapshotMeta::<M> {
            last_log_id: Some(last.clone()),
            last_membership: StoredMembership::<M>::new(Some(last.clone()), membership),
        };
        let state = serde_json::to_vec(machine)?.into();
        store.begin_with(&StoredSnapshot::<M> { meta, state }, &vote, &last)
    };
    let filled = fill();
    store.close();
    filled.map_err(unusable)
}

pub(crate) fn held<M: Machine>(last: &LogId<M>) -> Held {
    Held { term: last.committed_leader_id().term, revision: Revision(last.index()) }
}

impl<M: Machine> Node<M> {
    /// How far its log goes; nothing while it holds none, or has stopped.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.inner.store.last::<M>().ok().flatten().map(|last| held::<M>(&last))
    }
}
