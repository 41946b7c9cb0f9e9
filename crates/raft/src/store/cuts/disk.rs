//! A disk that remembers all that was done to it, and what may be left of it when the power goes.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, ThreadId},
    time::Duration,
};

use rand::{Rng, RngExt as _};
use redb::StorageBackend;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// How long redb's header is, in bytes.
const HEADER: usize = 320;

/// One thing that was done to a disk.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Resize(usize),
    /// Everything before it is durable.
    Sync,
    /// The power was lost, and this was left.
    PowerLost(Vec<u8>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What programs read.
    image: Vec<u8>,
    done: Vec<Op>,
    /// Whose flushes are not held back, while all others are.
    holder: Option<ThreadId>,
    /// Flushes that wait to be let go.
    waiting: usize,
}

impl Disk {
    pub(super) fn of(image: Vec<u8>) -> Self {
        let shared = Shared { image, ..Shared::default() };
        Self { shared: Arc::new((Mutex::new(shared), Condvar::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.0.lock().unwrap()
    }

    /// How much was done to it.
    pub(super) fn place(&self) -> usize {
        self.lock().done.len()
    }

    pub(super) fn done(&self) -> Vec<Op> {
        self.lock().done.clone()
    }

    pub(super) fn lose_power(&self, left: Vec<u8>) {
        let mut shared = self.lock();
        shared.image.clone_from(&left);
        shared.done.push(Op::PowerLost(left));
    }

    /// Flushes of other threads wait until they are let go.
    pub(super) fn hold_flushes(&self) {
        self.lock().holder = Some(thread::current().id());
    }

    pub(super) fn let_flushes_go(&self) {
        self.lock().holder = None;
        self.shared.1.notify_all();
    }

    /// Waits until a flush is held back.
    pub(super) fn until_held_back(&self) {
        let waited = self
            .shared
            .1
            .wait_timeout_while(self.lock(), Duration::from_secs(30), |shared| shared.waiting == 0);
        assert!(!waited.unwrap().1.timed_out(), "waited 30 s for a flush");
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shared = self.lock();
        let bytes = usize::try_from(offset).ok().and_then(|from| shared.image.get(from..)?.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let op = Op::Resize(usize::try_from(len).map_err(io::Error::other)?);
        let mut shared = self.lock();
        carry_out(&mut shared.image, &op);
        shared.done.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut shared = self.lock();
        let before = shared.done.len();
        let me = thread::current().id();
        let is_held = |shared: &mut Shared| shared.holder.is_some_and(|holder| holder != me);
        if is_held(&mut shared) {
            shared.waiting += 1;
            self.shared.1.notify_all();
            shared = self.shared.1.wait_while(shared, is_held).unwrap();
            shared.waiting -= 1;
        }
        assert_eq!(
            before,
            shared.done.len(),
            "somebody wrote beside a flush: it is open what the flush did for that"
        );
        shared.done.push(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let op = Op::Write { at: usize::try_from(offset).map_err(io::Error::other)?, bytes: data.to_vec() };
        let mut shared = self.lock();
        carry_out(&mut shared.image, &op);
        shared.done.push(op);
        Ok(())
    }
}

fn carry_out(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { at, bytes } => put(image, *at, bytes),
        Op::Resize(len) => image.resize(*len, 0),
        Op::Sync => {}
        Op::PowerLost(left) => image.clone_from(left),
    }
}

/// What lies behind the end of the file is lost with its length.
fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    let Some(place) = image.get_mut(at..) else { return };
    let fits = bytes.len().min(place.len());
    place[..fits].copy_from_slice(&bytes[..fits]);
}

/// The parts of a write that a disk writes whole or not at all.
fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let to = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
        let sector = &bytes[from..to];
        let place = at + mem::replace(&mut from, to);
        (!sector.is_empty()).then_some((place, sector))
    })
}

/// Follows what was done to a disk, and knows at each place what may be left of it.
#[derive(Debug, Default)]
pub(super) struct Remains<'a> {
    durable: Vec<u8>,
    /// What no sync has covered yet.
    pending: Vec<&'a Op>,
    /// The same, before the last sync.
    durable_before: Vec<u8>,
    covered: Vec<&'a Op>,
}

impl<'a> Remains<'a> {
    pub(super) fn then(&mut self, op: &'a Op) {
        match op {
            Op::Sync => {
                self.durable_before.clone_from(&self.durable);
                self.covered = mem::take(&mut self.pending);
                self.covered.iter().for_each(|op| carry_out(&mut self.durable, op));
            }
            Op::PowerLost(left) => {
                *self = Self { durable: left.clone(), durable_before: left.clone(), ..Self::default() };
            }
            Op::Write { .. } | Op::Resize(_) => self.pending.push(op),
        }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.pending.is_empty()
    }

    /// The power went, and nothing had got further than the last flush.
    pub(super) fn least(&self) -> Vec<u8> {
        self.durable.clone()
    }

    /// Only the program was killed.
    pub(super) fn most(&self) -> Vec<u8> {
        let mut image = self.durable.clone();
        self.pending.iter().for_each(|op| carry_out(&mut image, op));
        image
    }

    /// The same, in the middle of `next`.
    pub(super) fn amid(&self, next: &Op, chance: &mut impl Rng) -> Vec<u8> {
        let mut image = self.most();
        survive(&mut image, &[next], chance);
        image
    }

    /// The power went, and this and that had got to the disk.
    pub(super) fn some(&self, chance: &mut impl Rng) -> Vec<u8> {
        let mut image = self.durable.clone();
        survive(&mut image, &self.pending, chance);
        image
    }

    /// The disk had said of some things that they are durable, and they were not.
    pub(super) fn of_a_liar(&self, chance: &mut impl Rng) -> Vec<u8> {
        let mut image = self.durable_before.clone();
        survive(&mut image, &self.covered, chance);
        survive(&mut image, &self.pending, chance);
        image
    }

    /// All got there, and then some sectors became something else.
    pub(super) fn spoilt(&self, chance: &mut impl Rng) -> Vec<u8> {
        let mut image = self.most();
        let sectors = image.len() / SECTOR;
        for _ in 0..chance.random_range(1..4) {
            // The first page is where most is to be spoilt.
            let near = if chance.random_bool(0.3) { sectors.min(8) } else { sectors };
            let sector = chance.random_range(0..near);
            let mut garbage = [0; SECTOR];
            if chance.random_bool(0.5) {
                chance.fill(&mut garbage);
            }
            put(&mut image, sector * SECTOR, &garbage);
        }
        image
    }

    /// All got there, and then a byte flipped some of its bits.
    pub(super) fn flipped(&self, chance: &mut impl Rng) -> Vec<u8> {
        let mut image = self.most();
        let near = if chance.random_bool(0.5) { HEADER } else { image.len() };
        let at = chance.random_range(0..near);
        image[at] ^= chance.random_range(1..=u8::MAX);
        image
    }
}

/// Puts a part of `ops` on the disk. A write that got there after a later one to the same sector is one whose successor did not get there:
/// to leave out sectors is to put them in another order, too. Lengths of the file are kept by its file system, in order.
fn survive(image: &mut Vec<u8>, ops: &[&Op], chance: &mut impl Rng) {
    let share = [0.1, 0.5, 0.9][chance.random_range(0..3)];
    let resizes = ops.iter().filter(|op| matches!(op, Op::Resize(_))).count();
    let mut resizes = chance.random_range(0..=resizes);
    for op in ops {
        match op {
            Op::Write { at, bytes } => {
                let (torn, whole) = (chance.random_bool(0.5), chance.random_bool(share));
                for (at, sector) in sectors(*at, bytes) {
                    if if torn { chance.random_bool(share) } else { whole } {
                        put(image, at, sector);
                    }
                }
            }
            Op::Resize(_) if 0 < resizes => {
                resizes -= 1;
                carry_out(image, op);
            }
            Op::Resize(_) | Op::Sync | Op::PowerLost(_) => {}
        }
    }
}
