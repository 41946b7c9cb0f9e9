//! All states that can be reached, those that take the fewest events first.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    HostNo, calm,
    found::{Ends, Explored, Found},
    local::{Happens, Local},
    scenario::{Lists, Scenario},
    table::{After, LetterId, LocalId, Table},
    words,
};

/// Most hosts.
pub(super) const MOST: usize = 5;

/// All hosts, and all that was ever sent and can still change one.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) locals: [LocalId; MOST],
    pub(super) letters: Vec<LetterId>,
    pub(super) left: Left,
}

/// Faults that may still come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    crashes: u8,
    emptied: u8,
    terminated: u8,
    failures: u8,
    set_aside: u8,
}

/// Something that happens at a host; `cut` is the place among what can come of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Action {
    pub(super) host: u8,
    pub(super) happens: Happens,
    pub(super) cut: u8,
}

pub(super) struct Search {
    pub(super) table: Table,
    seen: HashSet<u128>,
    /// How each state was reached first.
    before: Vec<(u32, Action)>,
    /// Hosts from which all end well.
    well: HashSet<[LocalId; MOST]>,
    lists: HashMap<HostNo, Vec<u8>>,
}

impl Search {
    pub(super) fn new(scenario: Scenario) -> Self {
        let table = Table::new(scenario);
        let lists = (0..scenario.hosts).map(|host| (host, lists(&scenario, host))).collect();
        Self { table, seen: HashSet::new(), before: Vec::new(), well: HashSet::new(), lists }
    }

    pub(super) fn first(&mut self) -> State {
        let scenario = self.table.scenario;
        let mut locals = [0; MOST];
        for (host, id) in locals.iter_mut().enumerate().take(scenario.hosts) {
            *id = self.table.number(Local::new(&scenario, host, 0));
        }
        let left = Left {
            crashes: scenario.crashes.count,
            emptied: scenario.emptied.count,
            terminated: scenario.terminated.count,
            failures: scenario.failures.count,
            set_aside: scenario.set_aside.count,
        };
        let mut state = State { locals, letters: Vec::new(), left };
        for host in 0..scenario.hosts {
            self.close(&mut state, host);
        }
        for host in super::local::hosts_of(scenario.dead) {
            let dies = Action { host: no(host), happens: Happens::Terminated, cut: 0 };
            state = self.then(&state, dies).unwrap_or(state);
        }
        state
    }

    pub(super) fn run(mut self) -> Explored {
        let first = self.first();
        let mut next = VecDeque::from([(0_u32, 0_usize, first.clone())]);
        let root = Action { host: 0, happens: Happens::Late, cut: 0 };
        self.seen.insert(print(&first));
        self.before.push((0, root));
        let (mut depth, mut ends) = (0, Ends::Whole);
        while let Some((place, events, state)) = next.pop_front() {
            depth = events;
            if self.is_beyond(&state) {
                ends = Ends::Rounds;
                continue;
            }
            for action in self.actions(&state) {
                let Some(then) = self.then(&state, action) else { continue };
                if !self.seen.insert(print(&then)) {
                    continue;
                }
                self.before.push((place, action));
                let at = u32::try_from(self.before.len() - 1).unwrap_or(u32::MAX);
                if let Some(text) = self.wrong(&then) {
                    let path = self.path(at);
                    let steps = words::story(&mut self, &path);
                    let states = self.seen.len();
                    let found = Some(Found { text, steps });
                    return Explored { states, depth: events + 1, ends, found };
                }
                if self.table.scenario.limit <= self.seen.len() {
                    return Explored { states: self.seen.len(), depth, ends: Ends::Limit, found: None };
                }
                next.push_back((at, events + 1, then));
            }
        }
        Explored { states: self.seen.len(), depth, ends, found: None }
    }

    fn path(&self, mut at: u32) -> Vec<Action> {
        let mut path = Vec::new();
        while at != 0 {
            let (before, action) = self.before[at as usize];
            path.push(action);
            at = before;
        }
        path.reverse();
        path
    }

    pub(super) fn is_beyond(&self, state: &State) -> bool {
        let rounds = self.table.scenario.rounds;
        state.locals[..self.table.scenario.hosts].iter().any(|id| rounds < self.table.traits(*id).round)
    }

    /// Two groups, or that none will form.
    pub(super) fn wrong(&mut self, state: &State) -> Option<String> {
        let scenario = self.table.scenario;
        let hosts = scenario.hosts;
        let mut group: Option<u32> = None;
        for id in &state.locals[..hosts] {
            let traits = self.table.traits(*id);
            let other = traits.group.is_some() && group.is_some() && traits.group != group;
            if traits.is_in_two || other {
                return Some("two groups".to_owned());
            }
            group = group.or(traits.group);
        }
        if scenario.is_planted || scenario.is_limit || !self.well.insert(state.locals) {
            return None;
        }
        calm::ends(&mut self.table, &state.locals).err()
    }

    /// What can happen next and changes a host.
    pub(super) fn actions(&mut self, state: &State) -> Vec<Action> {
        let scenario = self.table.scenario;
        let mut actions = Vec::new();
        let dead = self.dead(state);
        for host in 0..scenario.hosts {
            let traits = self.table.traits(state.locals[host]).clone();
            if traits.is_terminated {
                continue;
            }
            let arriving = state.letters.iter().filter(|letter| {
                self.table.receiver(**letter) == host
                    && self.table.joins(**letter).is_none_or(|group| self.has_majority(state, group))
            });
            let mut happens: Vec<Happens> = arriving.map(|letter| Happens::Arrives(*letter)).collect();
            happens.push(Happens::Late);
            happens.extend(self.listings(host, dead));
            if traits.is_running {
                happens.push(Happens::Started);
                happens.extend((0 < state.left.failures).then_some(Happens::NotStarted));
            }
            for happens in happens {
                self.offer(state, host, happens, &mut actions);
            }
            for (fault, left, at, happens) in [
                (scenario.crashes, state.left.crashes, host, Happens::Crash),
                (scenario.emptied, state.left.emptied, host, Happens::Emptied),
                (scenario.terminated, state.left.terminated, host, Happens::Terminated),
            ] {
                if 0 < left && fault.at & (1 << at) != 0 {
                    actions.push(Action { host: no(host), happens, cut: 0 });
                }
            }
            if 0 < state.left.set_aside && scenario.set_aside.at & (1 << host) != 0 {
                let aside = super::local::hosts_of(dead).map(Happens::SetAside).collect::<Vec<_>>();
                aside.into_iter().for_each(|happens| self.offer(state, host, happens, &mut actions));
            }
        }
        actions
    }

    /// Whether a group can have taken a host in: then most of its voters have had it.
    fn has_majority(&self, state: &State, group: u32) -> bool {
        let hosts = &state.locals[..self.table.scenario.hosts];
        let voted = hosts.iter().flat_map(|id| &self.table.traits(*id).voted).filter(|(of, _)| *of == group);
        let (mut have, mut voters) = (0, 0);
        voted.for_each(|(_, count)| (have, voters) = (have + 1, *count));
        voters < 2 * have
    }

    /// Adds what changes the host; what does not has been let happen already.
    fn offer(&mut self, state: &State, host: HostNo, happens: Happens, actions: &mut Vec<Action>) {
        let afters = self.table.after(state.locals[host], happens);
        if is_pure(&afters, state.locals[host]) && happens != Happens::Started {
            return;
        }
        let may_crash = 0 < state.left.crashes && self.table.scenario.crashes.at & (1 << host) != 0;
        let count = if may_crash { afters.len() } else { afters.len().min(1) };
        actions.extend((0..count).map(|cut| Action { host: no(host), happens, cut: no(cut) }));
    }

    fn listings(&self, host: HostNo, dead: u8) -> Vec<Happens> {
        let lists = &self.lists[&host];
        let with = |dead| lists.iter().map(move |shown| Happens::Listed { shown: *shown, dead });
        if dead == 0 { with(0).collect() } else { with(0).chain(with(dead)).collect() }
    }

    fn dead(&self, state: &State) -> u8 {
        let is_dead = |host: &usize| self.table.traits(state.locals[*host]).is_terminated;
        (0..self.table.scenario.hosts).filter(is_dead).fold(0, |bits, host| bits | (1 << host))
    }

    /// The state after an action; nothing when it cannot happen.
    pub(super) fn then(&mut self, state: &State, action: Action) -> Option<State> {
        let host = usize::from(action.host);
        let afters = self.table.after(state.locals[host], action.happens);
        let after = afters.get(usize::from(action.cut))?;
        let mut then = state.clone();
        then.left = state.left.less(action);
        then.locals[host] = after.local;
        for letter in &after.sent {
            add(&mut then.letters, *letter);
        }
        if action.happens == Happens::Terminated {
            for other in 0..self.table.scenario.hosts {
                self.close(&mut then, other);
            }
        } else {
            self.close(&mut then, host);
            for letter in &after.sent {
                self.close_one(&mut then, *letter);
            }
        }
        self.forget(&mut then, host);
        Some(then)
    }

    /// Lets everything happen to a host that only makes it say something: that is never undone, and takes nothing from what else can happen.
    fn close(&mut self, state: &mut State, host: HostNo) {
        let local = state.locals[host];
        let mut happens = vec![Happens::Late];
        happens.extend(self.listings(host, self.dead(state)));
        for happens in happens {
            let afters = self.table.after(local, happens);
            self.say(state, local, &afters);
        }
        let arriving: Vec<LetterId> =
            state.letters.iter().copied().filter(|letter| self.table.receiver(*letter) == host).collect();
        for letter in arriving {
            self.close_one(state, letter);
        }
    }

    fn close_one(&mut self, state: &mut State, letter: LetterId) {
        let local = state.locals[self.table.receiver(letter)];
        let afters = self.table.after(local, Happens::Arrives(letter));
        self.say(state, local, &afters);
    }

    fn say(&mut self, state: &mut State, local: LocalId, afters: &[After]) {
        if !is_pure(afters, local) {
            return;
        }
        let new: Vec<LetterId> =
            afters[0].sent.iter().copied().filter(|letter| add(&mut state.letters, *letter)).collect();
        for letter in new {
            self.close_one(state, letter);
        }
    }

    /// Drops what nobody can be changed by any more.
    fn forget(&mut self, state: &mut State, changed: HostNo) {
        let left = state.left;
        let local = state.locals[changed];
        let table = &mut self.table;
        state.letters.retain(|letter| table.receiver(*letter) != changed || !table.is_stale(local, *letter));
        let is_done = |host: HostNo| {
            let traits = table.traits(state.locals[host]);
            let may_be_emptied = 0 < left.emptied && table.scenario.emptied.at & (1 << host) != 0;
            traits.is_terminated || (traits.is_member && !may_be_emptied)
        };
        let done: Vec<bool> = (0..table.scenario.hosts).map(is_done).collect();
        state.letters.retain(|letter| !done[table.receiver(*letter)]);
    }
}

impl Left {
    fn less(mut self, action: Action) -> Self {
        let fault = match action.happens {
            Happens::Crash => &mut self.crashes,
            Happens::Emptied => &mut self.emptied,
            Happens::Terminated => &mut self.terminated,
            Happens::NotStarted => &mut self.failures,
            Happens::SetAside(_) => &mut self.set_aside,
            Happens::Arrives(_) | Happens::Late | Happens::Listed { .. } | Happens::Started => {
                if 0 < action.cut {
                    self.crashes = self.crashes.saturating_sub(1);
                }
                return self;
            }
        };
        *fault = fault.saturating_sub(1);
        if 0 < action.cut {
            self.crashes = self.crashes.saturating_sub(1);
        }
        self
    }
}

fn is_pure(afters: &[After], local: LocalId) -> bool {
    afters.first().is_some_and(|after| after.local == local)
}

fn add(letters: &mut Vec<LetterId>, letter: LetterId) -> bool {
    match letters.binary_search(&letter) {
        Ok(_) => false,
        Err(place) => {
            letters.insert(place, letter);
            true
        }
    }
}

fn no(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn lists(scenario: &Scenario, host: HostNo) -> Vec<u8> {
    let whole = (1_u8 << scenario.hosts) - 1;
    match scenario.lists {
        Lists::Whole => vec![whole],
        Lists::Any => (1..=whole).filter(|list| list & (1 << host) != 0).collect(),
        Lists::These(lists) => lists[host].to_vec(),
    }
}

/// Two states with one print are taken for one; at 128 bits that does not happen.
fn print(state: &State) -> u128 {
    let (mut low, mut high) = (0x9e37_79b9_7f4a_7c15_u64, 0xd1b5_4a32_d192_ed03_u64);
    let mut mix = |number: u64| {
        low = (low ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        low ^= low >> 32;
        high = (high.rotate_left(29) ^ number).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        high ^= high >> 29;
    };
    state.locals.iter().chain(&state.letters).for_each(|id| mix(u64::from(*id)));
    let Left { crashes, emptied, terminated, failures, set_aside } = state.left;
    mix(u64::from_le_bytes([crashes, emptied, terminated, failures, set_aside, 1, 0, 0]));
    (u128::from(high) << 64) | u128::from(low)
}
