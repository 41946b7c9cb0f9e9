//! Makes the cluster that takes the place of a lost one: this agent alone, with all that is known, and every fence raised.

use std::{collections::BTreeSet, path::Path};

use model::{
    ClusterId, HostId, Incarnation, Revision,
    fleet::{Fleet, Operator, Predecessor, Rebuilding},
    forming::{Record, Succession},
    host::Ledger,
};
use raft::{NodeId, OpenError};
use uuid::Uuid;

use super::{backup::Backup, chain};
use crate::{
    clock,
    core::Parts,
    durable::{self, FileError},
    node_id, services,
    state::StateError,
};

/// What is to be founded.
#[derive(Debug)]
pub struct Founding {
    /// The cluster that is lost.
    pub from: ClusterId,
    /// What it is rebuilt from; this agent's own log when there is none.
    pub backup: Option<Backup>,
    /// The other cluster that this host is in.
    pub gives_way: Option<ClusterId>,
    /// Whether that one is to be closed first; it is lost too otherwise.
    pub closes: bool,
    /// Hosts whose disks are gone.
    pub gone: BTreeSet<HostId>,
    /// Who asks, and why.
    pub by: Operator,
}

impl Founding {
    /// Whether a host that has written this down may found it: whatever it is in was looked at before.
    ///
    /// # Errors
    /// It has come into another cluster since, or has agreed to form one, which the others may do without it.
    pub fn check(&self, record: &Record) -> Result<(), FoundError> {
        if let Some(roster) = record.bound() {
            return Err(FoundError::Forms { from: self.from.clone(), cluster: roster.cluster.clone() });
        }
        if record.cluster().filter(|own| **own != self.from) != self.gives_way.as_ref() {
            return Err(FoundError::Elsewhere { from: self.from.clone() });
        }
        Ok(())
    }
}

/// What was founded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// The new cluster.
    pub cluster: ClusterId,
    /// The last revision of the old one that it has.
    pub last: Revision,
}

/// Why it was not founded. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The old log, or the new one.
    #[error("rebuild cluster {cluster}")]
    Log {
        /// The lost cluster.
        cluster: ClusterId,
        /// Why.
        source: OpenError,
    },
    /// There is no log.
    #[error("rebuild cluster {cluster}: this agent holds nothing of its log")]
    Nothing {
        /// The lost cluster.
        cluster: ClusterId,
    },
    /// This host has agreed to form a cluster: the others may do so without asking it again.
    #[error("rebuild cluster {from}: this host has agreed to form another one, {cluster}")]
    Forms {
        /// The lost cluster.
        from: ClusterId,
        /// The one that is being formed.
        cluster: ClusterId,
    },
    /// What was looked at is so no more.
    #[error("rebuild cluster {from}: meanwhile this host has come into another cluster")]
    Elsewhere {
        /// The lost cluster.
        from: ClusterId,
    },
    /// The directory of the new log.
    #[error("make a place for the new log")]
    Place(#[from] StateError),
    /// That this host has gone over.
    #[error("write down that this host has gone over")]
    Record(#[source] FileError),
    /// What this host has obeyed.
    #[error("read what this host has obeyed")]
    Ledger(#[from] FileError),
}

/// Founds the cluster. The node of the old one must have stopped. Blocks while it writes.
///
/// # Errors
/// See [`FoundError`].
pub fn found(parts: &Parts, record: &Record, founding: Founding) -> Result<Founded, FoundError> {
    founding.check(record)?;
    let Founding { from, backup, gives_way, closes: _, mut gone, by } = founding;
    let (settings, state) = (&parts.settings, &parts.state);
    let host = settings.agent.host.clone();
    let mine = state.state().simple().to_string();
    let node = node_id(&host, &mine).expect("a host name and a UUID make a valid node id");
    let log = |source| FoundError::Log { cluster: from.clone(), source };
    let (mut fleet, last) = match backup {
        Some(Backup { about, fleet }) => (fleet, about.revision),
        None => salvage(&state.raft(&from, !record.predecessors.is_empty()), &node, &from)?,
    };
    // This host was another one then, if its disk is another one.
    if fleet.hosts.get(&host).is_some_and(|known| known.state != mine) {
        gone.insert(host.clone());
    }
    let known = fleet.predecessors.iter().map(|known| known.cluster.clone());
    let predecessors = chain(
        known.chain(record.predecessors.iter().cloned()).chain([from.clone()]).chain(gives_way.clone()),
    );
    // Nobody knows of fewer lives than these; the hosts tell of more when they enrol.
    let lives = Incarnation(u64::try_from(predecessors.len()).unwrap_or(u64::MAX));
    let ledgers = services::ledgers(settings, state)?;
    let obeyed = ledgers.values().filter_map(Ledger::obeyed).max().unwrap_or_default();
    let newest = obeyed.max(fleet.incarnation);
    let newest = if newest.lives() < lives.lives() { lives } else { newest };
    let word = Uuid::new_v4();
    let predecessor = |cluster| Predecessor { cluster, last, host: host.clone(), by: by.clone() };
    fleet.rebuild(Rebuilding {
        from: predecessor(from.clone()),
        newest,
        drawn: word.as_fields().0,
        gone,
        at: clock::wall(),
    });
    // A cluster of empty disks that gives way: whoever is in it is to hear of this one too.
    fleet.predecessors.extend(gives_way.map(predecessor));

    let cluster: ClusterId = format!("r{}-{}", fleet.incarnation.lives(), word.simple())
        .parse()
        .expect("a number and a UUID make a valid name");
    let dir = state.make_raft(&cluster)?;
    raft::found(&dir, &node, settings.agent.advertise, &cluster, fleet.revision, &fleet).map_err(log)?;
    // The log was begun in a fresh directory.
    let unnamed = |source| FoundError::Place(StateError::NotWritable { path: dir.clone(), source });
    durable::sync_parent(&dir).map_err(unnamed)?;
    // From here on this host is in the new cluster.
    let over = record.gone_over(Succession { cluster: cluster.clone(), predecessors });
    durable::write(&state.forming(), &over).map_err(FoundError::Record)?;
    Ok(Founded { cluster, last })
}

fn salvage(dir: &Path, node: &NodeId, from: &ClusterId) -> Result<(Fleet, Revision), FoundError> {
    let salvaged = raft::salvage::<Fleet>(dir, node, from)
        .map_err(|source| FoundError::Log { cluster: from.clone(), source })?
        .ok_or_else(|| FoundError::Nothing { cluster: from.clone() })?;
    Ok((salvaged.machine, salvaged.held.revision))
}

impl FoundError {
    /// What the asker can do about it, where it is no fault.
    #[must_use]
    pub fn next(&self) -> Option<&'static str> {
        match self {
            Self::Forms { .. } => Some(
                "wait until that has formed, as `deployinator status` tells, and ask the same again: it gives way then; if it waits for a host that never comes, `deployinator cluster bootstrap --without HOST --reason WHY` forms it without that one",
            ),
            Self::Elsewhere { .. } => Some("ask the same again: this agent looks again then"),
            Self::Log { .. } | Self::Nothing { .. } | Self::Place(_) | Self::Record(_) | Self::Ledger(_) => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::forming::{Roster, Standing};

    use super::*;

    fn record(standing: Standing) -> Record {
        Record { standing, ..Record::default() }
    }

    fn roster() -> Roster {
        let text = r#"{"cluster":"c9","round":1,"seats":[],"without":{}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn whoever_has_agreed_to_form_a_cluster_or_came_into_one_meanwhile_rebuilds_none() {
        let founding = |gives_way: Option<&str>| Founding {
            from: "c1".parse().unwrap(),
            backup: None,
            gives_way: gives_way.map(|cluster| cluster.parse().unwrap()),
            closes: gives_way.is_some(),
            gone: BTreeSet::new(),
            by: Operator::default(),
        };
        let member = |cluster: &str| record(Standing::Member { cluster: cluster.parse().unwrap() });
        for standing in [Standing::Agreed(roster()), Standing::Withdrawn(roster())] {
            let no = founding(None).check(&record(standing)).unwrap_err();
            assert!(no.to_string().contains("agreed to form another one, c9"), "{no}");
            assert!(no.next().is_some_and(|next| next.contains("cluster bootstrap --without HOST")), "{no}");
        }
        for (looked_at, now) in [(None, member("c9")), (Some("c9"), member("c8")), (Some("c9"), member("c1"))]
        {
            let no = founding(looked_at).check(&now).unwrap_err();
            assert!(matches!(no, FoundError::Elsewhere { .. }), "{no}");
        }
        for (looked_at, now) in
            [(None, record(Standing::Free)), (None, member("c1")), (Some("c9"), member("c9"))]
        {
            founding(looked_at).check(&now).unwrap();
        }
    }
}
