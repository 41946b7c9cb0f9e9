//! A store that is used as openraft uses it, on a disk that remembers, and what it must hold after each act.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
};

use model::{ClusterId, Revision};
use openraft::{
    Entry as RawEntry, EntryPayload,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage},
    type_config::TypeConfigExt as _,
};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, Op, Remains};
use crate::{
    Machine, NodeId,
    store::{OpenError, Store, StoredSnapshot, open},
    types::{Entry, LogId, Proposal, SnapshotMeta, Types, Vote},
};

/// A machine that holds a text, so that entries and snapshots have many sizes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Note(String);

impl Machine for Note {
    type Command = String;
    type Reply = ();
    fn apply(&mut self, _: Revision, command: &String) {
        self.0.clone_from(command);
    }
}

/// All that a store shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) vote: Option<Vote<Note>>,
    pub(super) entries: BTreeMap<u64, Entry<Note>>,
    pub(super) purged: Option<LogId<Note>>,
    pub(super) committed: Option<LogId<Note>>,
    /// What the snapshot covers, and its content.
    pub(super) snapshot: Option<(Option<LogId<Note>>, Vec<u8>)>,
}

impl State {
    fn last(&self) -> Option<LogId<Note>> {
        self.entries.values().next_back().map(|entry| entry.log_id.clone()).or_else(|| self.purged.clone())
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index() + 1)
    }

    fn covered(&self) -> Option<LogId<Note>> {
        self.snapshot.as_ref().and_then(|(covered, _)| covered.clone())
    }

    fn term(&self) -> u64 {
        self.vote.as_ref().map_or(0, |vote| vote.leader_id().term)
    }
}

/// What was done to a disk, and what a store said meanwhile.
pub(super) struct History {
    pub(super) ops: Vec<Op>,
    /// The file has its name: whatever happens from here on, it has to be opened.
    pub(super) named: usize,
    /// One after the other, each with the place on the disk before the act that led there.
    pub(super) states: Vec<(usize, State)>,
    /// Which state was said to be durable, and the place on the disk then.
    acknowledged: Vec<(usize, usize)>,
    /// What was done, in words, with the place before it.
    pub(super) acts: Vec<(usize, &'static str)>,
}

impl History {
    /// Which states may be there after a cut: those since the last one that was acknowledged, and none that was not begun.
    pub(super) fn allowed(&self, cut: usize) -> RangeInclusive<usize> {
        let least =
            self.acknowledged.iter().filter(|(_, place)| *place <= cut).map(|(state, _)| *state).max();
        let most = self.states.iter().rposition(|(begun, _)| *begun <= cut);
        least.unwrap_or(0)..=most.unwrap_or(0)
    }
}

fn node() -> NodeId {
    "i-1_a".parse().unwrap()
}

fn cluster() -> ClusterId {
    "blue".parse().unwrap()
}

fn log_id(term: u64, index: u64) -> LogId<Note> {
    LogId::<Note>::new(Vote::<Note>::new_committed(term, node()).leader_id().clone(), index)
}

/// Opens what is on a disk as an agent opens its file.
pub(super) fn open(disk: &Disk) -> Result<Store, OpenError> {
    let opened = || open::builder().create_with_backend(disk.clone());
    Store::load::<Note>("a disk in memory".as_ref(), opened, &node(), &cluster())
}

/// All that openraft would read.
pub(super) async fn read(store: &mut Store) -> State {
    let entries = RaftLogReader::<Types<Note>>::try_get_log_entries(store, ..).await.unwrap();
    let snapshot = store.snapshot::<Note>().unwrap();
    let state = RaftLogStorage::<Types<Note>>::get_log_state(store).await.unwrap();
    let read = State {
        vote: RaftLogReader::<Types<Note>>::read_vote(store).await.unwrap(),
        entries: entries.into_iter().map(|entry: Entry<Note>| (entry.log_id.index(), entry)).collect(),
        purged: state.last_purged_log_id,
        committed: RaftLogStorage::<Types<Note>>::read_committed(store).await.unwrap(),
        snapshot: snapshot.map(|snapshot| (snapshot.meta.last_log_id, snapshot.state.to_vec())),
    };
    assert_eq!(state.last_log_id, read.last(), "where the log is said to end");
    read
}

/// A store in use.
struct Life {
    disk: Disk,
    store: Store,
    chance: StdRng,
    history: History,
}

/// Uses a store for so many acts.
pub(super) async fn live(seed: u64, acts: usize) -> History {
    let disk = Disk::default();
    let database = open::builder().create_with_backend(disk.clone()).unwrap();
    open::fill(&database, &node(), &cluster()).unwrap();
    drop(database);
    let named = disk.place();
    let store = open(&disk).unwrap();
    let history = History {
        ops: Vec::new(),
        named,
        states: vec![(0, State::default())],
        acknowledged: Vec::new(),
        acts: Vec::new(),
    };
    let mut life = Life { disk, store, chance: StdRng::seed_from_u64(seed), history };
    if life.chance.random_bool(0.3) {
        life.found();
    }
    for _ in 0..acts {
        life.act().await;
    }
    life.store.close();
    life.history.ops = life.disk.done();
    life.history
}

impl Life {
    fn now(&self) -> State {
        self.history.states.last().expect("there is always one").1.clone()
    }

    /// From here on, `next` may be what is there.
    fn begin(&mut self, act: &'static str, next: State) {
        let place = self.disk.place();
        self.history.acts.push((place, act));
        self.history.states.push((place, next));
    }

    /// From here on, it has to be there.
    fn acknowledge(&mut self) {
        self.history.acknowledged.push((self.history.states.len() - 1, self.disk.place()));
    }

    async fn act(&mut self) {
        let now = self.now();
        match self.chance.random_range(0..100) {
            0..10 => self.vote(now).await,
            10..25 => self.commit(now).await,
            25..35 => self.truncate(now).await,
            35..43 => self.build(now),
            43..47 => self.install(now).await,
            47..57 => self.purge(now).await,
            57..60 => self.build_late(now),
            60..67 => self.interrupt(now).await,
            _ => self.append(now).await,
        }
    }

    fn text(&mut self) -> String {
        let longest = [40, 40, 400, 4000, 12_000][self.chance.random_range(0..5)];
        let length = self.chance.random_range(0..longest);
        (0..length).map(|_| char::from(self.chance.random_range(b'a'..=b'z'))).collect()
    }

    /// Told while the flush is held back is told too early: the place of the acknowledgement shows it.
    async fn append(&mut self, mut now: State) {
        let term = now.last().map_or(1, |last| last.committed_leader_id().term).max(now.term());
        let entries: Vec<Entry<Note>> = (now.next()..)
            .take(self.chance.random_range(1..5))
            .map(|index| RawEntry {
                log_id: log_id(term, index),
                payload: EntryPayload::Normal(Proposal(self.text())),
            })
            .collect();
        now.entries.extend(entries.iter().map(|entry| (entry.log_id.index(), entry.clone())));
        self.begin("append", now);
        self.disk.hold_flushes();
        let (told, mut flushed) = Types::<Note>::oneshot();
        let signal = IOFlushed::<Types<Note>>::signal(told);
        RaftLogStorage::<Types<Note>>::append(&mut self.store, entries, signal).await.unwrap();
        self.disk.until_held_back();
        let early = futures_util::FutureExt::now_or_never(&mut flushed).is_some();
        if early {
            self.acknowledge();
        }
        self.disk.let_flushes_go();
        if early {
            self.store.sync().unwrap();
        } else {
            flushed.await.expect("an answer").unwrap();
            self.acknowledge();
        }
    }

    async fn vote(&mut self, mut now: State) {
        let term = now.term() + self.chance.random_range(1..3);
        let vote = match now.vote.take() {
            // Won.
            Some(vote) if !vote.is_committed() => Vote::<Note>::new_committed(vote.leader_id().term, node()),
            Some(_) | None => Vote::<Note>::new(term, node()),
        };
        now.vote = Some(vote.clone());
        self.begin("vote", now);
        RaftLogStorage::<Types<Note>>::save_vote(&mut self.store, &vote).await.unwrap();
        self.acknowledge();
    }

    /// An entry of the log from `from` on, drawn.
    fn pick(&mut self, now: &State, from: Option<&LogId<Note>>) -> Option<LogId<Note>> {
        let from = from.map_or(0, |from| from.index() + 1);
        let held: Range<u64> = from.max(*now.entries.first_key_value()?.0)..now.next();
        let index = if held.is_empty() { return None } else { self.chance.random_range(held) };
        Some(now.entries[&index].log_id.clone())
    }

    /// Never acknowledged: it may be behind.
    async fn commit(&mut self, mut now: State) {
        let Some(committed) = self.pick(&now, now.committed.clone().as_ref()) else { return };
        now.committed = Some(committed.clone());
        self.begin("commit", now);
        RaftLogStorage::<Types<Note>>::save_committed(&mut self.store, Some(committed)).await.unwrap();
    }

    async fn truncate(&mut self, mut now: State) {
        let fixed = now.committed.clone().max(now.purged.clone()).max(now.covered());
        let Some(first_gone) = self.pick(&now, fixed.as_ref()).map(|gone| gone.index()) else { return };
        now.entries.split_off(&first_gone);
        let last = now.last();
        self.begin("truncate", now);
        RaftLogStorage::<Types<Note>>::truncate_after(&mut self.store, last).await.unwrap();
        self.acknowledge();
    }

    fn snapshot(&mut self, covered: &LogId<Note>) -> StoredSnapshot<Note> {
        let state =
            serde_json::to_vec(&(0..self.chance.random_range(1..6)).map(|_| self.text()).collect::<String>());
        let meta =
            SnapshotMeta::<Note> { last_log_id: Some(covered.clone()), ..SnapshotMeta::<Note>::default() };
        StoredSnapshot { meta, state: state.unwrap().into() }
    }

    fn keep(&mut self, act: &'static str, mut now: State, snapshot: &StoredSnapshot<Note>) {
        if now.covered() <= snapshot.meta.last_log_id {
            now.snapshot = Some((snapshot.meta.last_log_id.clone(), snapshot.state.to_vec()));
        }
        self.begin(act, now);
        self.store.save_snapshot(snapshot).unwrap();
        self.acknowledge();
    }

    fn build(&mut self, now: State) {
        let Some(committed) = now.committed.clone().max(now.covered()) else { return };
        let snapshot = self.snapshot(&committed);
        self.keep("build a snapshot", now, &snapshot);
    }

    /// One that covers less than the stored one: nothing changes.
    fn build_late(&mut self, now: State) {
        let Some(covered) = now.covered().filter(|covered| 0 < covered.index()) else { return };
        let snapshot = self.snapshot(&log_id(covered.committed_leader_id().term, covered.index() - 1));
        self.keep("build a snapshot late", now, &snapshot);
    }

    /// A leader's, of what is not here yet. The log before it goes.
    async fn install(&mut self, now: State) {
        let term = now.last().map_or(1, |last| last.committed_leader_id().term).max(now.term());
        let covered = log_id(term, now.next() + self.chance.random_range(0..20));
        let snapshot = self.snapshot(&covered);
        self.keep("install a snapshot", now, &snapshot);
        let now = self.now();
        self.purge_up_to(now, covered).await;
    }

    async fn purge(&mut self, now: State) {
        let Some(covered) = now.covered() else { return };
        let Some(upto) = self.pick(&now, now.purged.clone().as_ref()).filter(|upto| *upto <= covered) else {
            return;
        };
        self.purge_up_to(now, upto).await;
    }

    async fn purge_up_to(&mut self, mut now: State, upto: LogId<Note>) {
        now.entries.retain(|index, _| upto.index() < *index);
        now.purged = Some(upto.clone());
        self.begin("purge", now);
        RaftLogStorage::<Types<Note>>::purge(&mut self.store, upto).await.unwrap();
        self.acknowledge();
    }

    /// What a cluster that is rebuilt begins with.
    fn found(&mut self) {
        let (vote, last) = (Vote::<Note>::new(1, node()), log_id(1, self.chance.random_range(0..99)));
        let snapshot = self.snapshot(&last);
        let now = State {
            vote: Some(vote.clone()),
            purged: Some(last.clone()),
            committed: Some(last.clone()),
            snapshot: Some((Some(last.clone()), snapshot.state.to_vec())),
            ..State::default()
        };
        self.begin("found", now);
        self.store.begin_with::<Note>(&snapshot, &vote, &last).unwrap();
        self.acknowledge();
    }

    /// The program stops, is killed, or loses its power, and is started again. What it is shown then must not go any more.
    async fn interrupt(&mut self, now: State) {
        let how = ["stop", "kill", "lose power"][self.chance.random_range(0..3)];
        let allowed = self.history.allowed(self.disk.place());
        if how == "stop" {
            self.store.close();
        } else {
            // Nothing more of it gets to the disk. The memory is never given back: that is what being killed is here.
            std::mem::forget(self.store.inner.database.write().unwrap().take());
        }
        if how == "lose power" {
            let ops = self.disk.done();
            let mut remains = Remains::default();
            ops.iter().for_each(|op| remains.then(op));
            let left = remains.some(&mut self.chance);
            self.disk.lose_power(left);
        }
        let place = self.disk.place();
        self.store = open(&self.disk).unwrap();
        let found = read(&mut self.store).await;
        if how == "stop" {
            assert_eq!(found, now, "after an orderly stop");
        }
        assert!(
            self.history.states[allowed].iter().any(|(_, state)| *state == found),
            "after it was told to {how}"
        );
        self.history.acts.push((place, how));
        self.history.states.push((place, found));
        self.acknowledge();
    }
}

/// A number for each seed and purpose.
pub(super) fn chance(seed: u64) -> impl Rng {
    StdRng::seed_from_u64(seed)
}
