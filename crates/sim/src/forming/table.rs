//! Hosts and messages by number, and what comes of each event at each of them: the machine is asked once.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
};

use model::{
    ClusterId,
    forming::{Answer, Said, Standing},
};

use super::{
    HostNo,
    local::{Body, Happens, Letter, Local, Outcome},
    scenario::Scenario,
};

pub(super) type LocalId = u32;
pub(super) type LetterId = u32;

/// A host after something happened, and what it sent.
#[derive(Debug)]
pub(super) struct After {
    pub(super) local: LocalId,
    pub(super) sent: Vec<LetterId>,
}

/// What is asked of a host again and again.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    /// The group that it is in, or that is on its disk.
    pub(super) group: Option<u32>,
    pub(super) is_in_two: bool,
    /// The groups that it was ever a voter of, and how many voters each has.
    pub(super) voted: Vec<(u32, usize)>,
    pub(super) is_terminated: bool,
    /// It is in a group, and nothing but the loss of its disk changes that.
    pub(super) is_member: bool,
    /// A group is being started.
    pub(super) is_running: bool,
    pub(super) round: u64,
}

/// Numbers are mixed well enough by one multiplication.
#[derive(Default)]
pub(super) struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

pub(super) struct Table {
    pub(super) scenario: Scenario,
    locals: Vec<Rc<Local>>,
    traits: Vec<Traits>,
    local_ids: HashMap<Rc<Local>, LocalId>,
    letters: Vec<Rc<Letter>>,
    receivers: Vec<HostNo>,
    /// For each message that says so, the group that took its receiver in.
    joins: Vec<Option<u32>>,
    letter_ids: HashMap<Rc<Letter>, LetterId>,
    clusters: Vec<ClusterId>,
    afters: QuickMap<(LocalId, Happens), Rc<[After]>>,
    stale: QuickMap<(LocalId, LetterId), bool>,
}

impl Table {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            locals: Vec::new(),
            traits: Vec::new(),
            local_ids: HashMap::new(),
            letters: Vec::new(),
            receivers: Vec::new(),
            joins: Vec::new(),
            letter_ids: HashMap::new(),
            clusters: Vec::new(),
            afters: QuickMap::default(),
            stale: QuickMap::default(),
        }
    }

    pub(super) fn local(&self, id: LocalId) -> &Local {
        &self.locals[id as usize]
    }

    pub(super) fn traits(&self, id: LocalId) -> &Traits {
        &self.traits[id as usize]
    }

    pub(super) fn letter(&self, id: LetterId) -> &Letter {
        &self.letters[id as usize]
    }

    pub(super) fn receiver(&self, id: LetterId) -> HostNo {
        self.receivers[id as usize]
    }

    /// The group that takes the receiver in.
    pub(super) fn joins(&self, id: LetterId) -> Option<u32> {
        self.joins[id as usize]
    }

    /// What comes of it: first all the way, then with a crash after each effect.
    pub(super) fn after(&mut self, id: LocalId, happens: Happens) -> Rc<[After]> {
        if let Some(known) = self.afters.get(&(id, happens)) {
            return known.clone();
        }
        let local = self.locals[id as usize].clone();
        let letter = match happens {
            Happens::Arrives(letter) => Some(self.letters[letter as usize].clone()),
            _ => None,
        };
        let outcomes = match local.is_terminated {
            true => Vec::new(),
            false => local.after(&self.scenario, happens, letter.as_deref()),
        };
        let mut afters: Vec<After> = Vec::new();
        for outcome in outcomes {
            let after = self.note(outcome);
            if !afters.iter().any(|other| other.local == after.local && other.sent == after.sent) {
                afters.push(after);
            }
        }
        let afters: Rc<[After]> = afters.into();
        self.afters.insert((id, happens), afters.clone());
        afters
    }

    /// Whether a message can never change its receiver any more: an answer about a roster that it was bound to, and is not bound to again.
    pub(super) fn is_stale(&mut self, id: LocalId, letter: LetterId) -> bool {
        if let Some(known) = self.stale.get(&(id, letter)) {
            return *known;
        }
        let (local, body) = (&self.locals[id as usize], &self.letters[letter as usize].body);
        let is_stale = match body {
            _ if self.scenario.is_planted
                || 0 < self.scenario.emptied.count
                || local.stored != *local.former.record() =>
            {
                false
            }
            Body::Answer(Answer { said, gone, .. }) => match said {
                Said::Agreed { cluster } | Said::Refused { cluster, .. } | Said::Withdrawn { cluster } => {
                    local.stored.bound().is_none_or(|roster| roster.cluster != *cluster)
                        && gone.keys().all(|host| local.stored.gone.contains_key(host))
                }
                Said::NoGroup { .. } | Said::Group { .. } => false,
            },
            _ => false,
        };
        self.stale.insert((id, letter), is_stale);
        is_stale
    }

    fn note(&mut self, outcome: Outcome) -> After {
        let sent: BTreeSet<LetterId> =
            outcome.sent.into_iter().map(|letter| self.number_letter(letter)).collect();
        After { local: self.number(outcome.local), sent: sent.into_iter().collect() }
    }

    /// The number of a host as it is.
    pub(super) fn number(&mut self, local: Local) -> LocalId {
        if let Some(id) = self.local_ids.get(&local) {
            return *id;
        }
        let id = LocalId::try_from(self.locals.len()).unwrap_or(LocalId::MAX);
        let groups: Vec<ClusterId> = local.groups().into_iter().cloned().collect();
        let group = groups.first().map(|cluster| self.number_cluster(cluster));
        let voted: Vec<(ClusterId, usize)> = local
            .voted()
            .into_iter()
            .map(|roster| (roster.cluster.clone(), roster.voters().count()))
            .collect();
        let voted =
            voted.into_iter().map(|(cluster, voters)| (self.number_cluster(&cluster), voters)).collect();
        self.traits.push(Traits {
            voted,
            group: group.filter(|_| !local.is_terminated),
            is_in_two: !local.is_terminated && 1 < groups.len(),
            is_terminated: local.is_terminated,
            is_member: matches!(local.stored.standing, Standing::Member { .. })
                && local.stored == *local.former.record(),
            is_running: local.running.is_some(),
            round: local.former.record().round,
        });
        let local = Rc::new(local);
        self.locals.push(local.clone());
        self.local_ids.insert(local, id);
        id
    }

    fn number_cluster(&mut self, cluster: &ClusterId) -> u32 {
        let place = self.clusters.iter().position(|known| known == cluster).unwrap_or_else(|| {
            self.clusters.push(cluster.clone());
            self.clusters.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn number_letter(&mut self, letter: Letter) -> LetterId {
        if let Some(id) = self.letter_ids.get(&letter) {
            return *id;
        }
        let id = LetterId::try_from(self.letters.len()).unwrap_or(LetterId::MAX);
        let letter = Rc::new(letter);
        let joins = match &letter.body {
            Body::Joined(cluster) => Some(self.number_cluster(cluster)),
            _ => None,
        };
        self.joins.push(joins);
        self.receivers.push(letter.to);
        self.letters.push(letter.clone());
        self.letter_ids.insert(letter, id);
        id
    }
}
