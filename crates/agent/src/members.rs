//! Who may be asked: the addresses of other agents, from the inventory and from what the group said last.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::durable;

/// The addresses of other agents. Clones share them.
#[derive(Debug, Clone)]
pub struct Members {
    inner: Arc<Mutex<Known>>,
    file: PathBuf,
}

#[derive(Debug, Default)]
struct Known {
    listed: BTreeSet<SocketAddr>,
    members: BTreeSet<SocketAddr>,
}

impl Members {
    /// With what an earlier run wrote down in `file`; one that cannot be read only means that nobody is known yet.
    #[must_use]
    pub fn open(file: PathBuf) -> Self {
        let members = durable::read(&file).ok().flatten().unwrap_or_default();
        Self { inner: Arc::new(Mutex::new(Known { members, ..Known::default() })), file }
    }

    /// The inventory listed these. They are added: a partial list removes nobody.
    pub fn listed(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.lock().listed.extend(addresses);
    }

    /// The group has these members now.
    pub fn are(&self, members: BTreeSet<SocketAddr>) {
        let mut known = self.lock();
        if !members.is_empty() && known.members != members {
            known.members = members;
            let written = durable::write(&self.file, &known.members);
            if let Err(error) = written {
                tracing::warn!(error = %ports::fault::Chain(&error), "remember the members");
            }
        }
    }

    /// Those that the group has, as it said last.
    #[must_use]
    pub fn members(&self) -> BTreeSet<SocketAddr> {
        self.lock().members.clone()
    }

    /// All that are known, members of the group first.
    #[must_use]
    pub fn all(&self) -> Vec<SocketAddr> {
        let known = self.lock();
        known.members.iter().chain(known.listed.difference(&known.members)).copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
