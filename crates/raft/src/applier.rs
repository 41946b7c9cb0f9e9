//! openraft's view of the machine: applies, publishes, compacts.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use model::Revision;
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{EntryResponder, RaftStateMachine},
    type_config::alias::SnapshotOf,
};
use tokio::sync::watch;

use crate::{
    Machine,
    store::{Store, StoredSnapshot},
    types::{LogId, SnapshotMeta, StoredMembership, Types},
};

/// The machine in memory. What is published is what is applied: there is no second copy.
pub(crate) struct Applier<M: Machine> {
    store: Store,
    state: watch::Sender<Arc<M>>,
    applied: Option<LogId<M>>,
    membership: StoredMembership<M>,
    outgrown: Arc<OnceLock<String>>,
}

impl<M: Machine> Applier<M> {
    /// `outgrown` is told why this release cannot go on, should that be so.
    pub(crate) fn new(store: Store, state: watch::Sender<Arc<M>>, outgrown: Arc<OnceLock<String>>) -> Self {
        Self { store, state, applied: None, membership: StoredMembership::<M>::default(), outgrown }
    }

    /// An error of the machine ends the node, before it applies anything more.
    fn check(&self, machine: &M) -> io::Result<()> {
        let Some(why) = machine.outgrown() else { return Ok(()) };
        let _ = self.outgrown.set(why.clone());
        Err(io::Error::other(why))
    }
}

impl<M: Machine> RaftStateMachine<Types<M>> for Applier<M> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder<M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId<M>>, StoredMembership<M>)> {
        Ok((self.applied.clone(), self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<M>>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Normal(proposal) => {
                    let revision = Revision(entry.log_id.index());
                    let mut reply = None;
                    // Copies the state only when somebody still looks at the one before.
                    self.state
                        .send_modify(|state| reply = Some(Arc::make_mut(state).apply(revision, &proposal.0)));
                    self.check(&self.state.borrow())?;
                    reply
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::<M>::new(Some(entry.log_id.clone()), membership);
                    None
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        let meta =
            SnapshotMeta::<M> { last_log_id: self.applied.clone(), last_membership: self.membership.clone() };
        Builder { store: self.store.clone(), state: self.state.borrow().clone(), meta }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta<M>, state: Bytes) -> io::Result<()> {
        let machine: M = serde_json::from_slice(&state)?;
        self.check(&machine)?;
        let snapshot = StoredSnapshot::<M> { meta: meta.clone(), state };
        self.store.save_snapshot(&snapshot)?;
        self.applied.clone_from(&meta.last_log_id);
        self.membership = meta.last_membership.clone();
        self.state.send_replace(Arc::new(machine));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types<M>, Bytes>>> {
        let stored = self.store.snapshot::<M>()?;
        Ok(stored.map(|stored| Snapshot { meta: stored.meta, snapshot: stored.state }))
    }
}

/// One view of the machine, to be written as a snapshot while the machine moves on.
pub(crate) struct Builder<M: Machine> {
    store: Store,
    state: Arc<M>,
    meta: SnapshotMeta<M>,
}

impl<M: Machine> RaftSnapshotBuilder<Types<M>> for Builder<M> {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types<M>, Bytes>> {
        let state = Bytes::from(serde_json::to_vec(self.state.as_ref())?);
        let snapshot = StoredSnapshot::<M> { meta: self.meta.clone(), state };
        self.store.save_snapshot(&snapshot)?;
        Ok(Snapshot { meta: snapshot.meta, snapshot: snapshot.state })
    }
}
