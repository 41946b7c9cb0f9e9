//! When a node last heard from whoever leads it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Machine, Node, Role};

/// When a leader's message was last taken. A node that was just opened counts as told, until it has had time to hear.
pub(crate) struct Contact(Mutex<Instant>);

impl Contact {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// A leader's message was taken.
    pub(crate) fn heard(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn quiet_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl<M: Machine> Node<M> {
    /// Whether this node has a part in the group: it is in the membership that it knows, and its leader, or its quorum if it leads,
    /// was heard of lately. An election does not end it; a group that took this node out, which is seldom told, does.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        let now = self.inner.standing.borrow();
        // Longer than it takes a group to find a new leader.
        let limit = self.inner.timers.election_max * 3;
        if now.address(&now.node).is_none() {
            return false;
        }
        match now.role {
            Role::Stopped => false,
            Role::Leader if now.voters.len() == 1 => true,
            Role::Leader if now.quorum_contact.is_some_and(|at| at.elapsed() < limit) => true,
            _ => self.inner.contact.quiet_for() < limit,
        }
    }
}
