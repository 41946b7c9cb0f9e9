//! What the two listeners, the health checks and the delays share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use ports::Target;

use crate::{
    group::{self, Group, Pick, Stay},
    health,
    proxy::{Flight, Way},
    server::Tasks,
    wire::{Change, Counters, Faults, GroupOptions, TargetView},
};

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) tasks: Tasks,
}

#[derive(Debug)]
struct State {
    groups: BTreeMap<String, Group>,
    /// Gets the requests that name no group.
    first: Option<String>,
    defaults: GroupOptions,
    faults: Faults,
}

/// How a call to the admin API is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Normal,
    Throttle,
    Error,
    Refuse,
    LoseAnswer,
}

impl Shared {
    pub(crate) fn new(defaults: GroupOptions) -> Self {
        let state = State { groups: BTreeMap::new(), first: None, defaults, faults: Faults::default() };
        Self { state: Mutex::new(state), tasks: Tasks::default() }
    }

    pub(crate) fn configure(&self, group: &str, options: GroupOptions) {
        self.lock().group(group).options = options;
    }

    pub(crate) fn register(self: &Arc<Self>, group: &str, target: Target) {
        let address = target.address;
        let stay = self.lock().group(group).changed(|members| members.register(target));
        if let Some(stay) = stay {
            self.tasks.spawn(health::check(self.clone(), group.to_owned(), stay, address));
        }
    }

    pub(crate) fn deregister(self: &Arc<Self>, group: &str, target: &Target) {
        let mut state = self.lock();
        let drain_off = state.faults.drain_off;
        let Some(members) = state.groups.get_mut(group) else { return };
        if drain_off {
            return members.changed(|members| members.remove(target));
        }
        if let Some(stay) = members.changed(|members| members.deregister(target)) {
            let (shared, group) = (self.clone(), group.to_owned());
            let delay = members.options.deregistration_delay;
            self.tasks.spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(members) = shared.lock().groups.get_mut(&group) {
                    members.changed(|members| members.expire(stay));
                }
            });
        }
    }

    pub(crate) fn describe(&self, group: &str, target: &Target) -> TargetView {
        self.lock()
            .groups
            .get(group)
            .map_or_else(|| group::absent(target), |members| members.describe(target))
    }

    pub(crate) fn list(&self, group: &str) -> Vec<TargetView> {
        self.lock().groups.get(group).map(Group::list).unwrap_or_default()
    }

    pub(crate) fn group_names(&self) -> Vec<String> {
        self.lock().groups.keys().cloned().collect()
    }

    pub(crate) fn changes(&self, group: &str) -> Vec<Change> {
        self.lock().groups.get(group).map(Group::changes).unwrap_or_default()
    }

    pub(crate) fn counters(&self, group: &str) -> Counters {
        self.lock().groups.get(group).map(Group::counters).unwrap_or_default()
    }

    pub(crate) fn reset_counters(&self, group: &str) {
        if let Some(members) = self.lock().groups.get_mut(group) {
            members.reset_counters();
        }
    }

    pub(crate) fn faults(&self) -> Faults {
        self.lock().faults
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Uses up one counted fault, and says how the call is treated and how long it waits first.
    pub(crate) fn treatment(&self) -> (Treatment, Duration) {
        let faults = &mut self.lock().faults;
        let counted = [
            (&mut faults.throttle_calls, Treatment::Throttle),
            (&mut faults.error_calls, Treatment::Error),
            (&mut faults.refuse_calls, Treatment::Refuse),
            (&mut faults.lose_answers, Treatment::LoseAnswer),
        ];
        let treatment = counted.into_iter().find(|(left, _)| **left > 0).map_or(
            Treatment::Normal,
            |(left, treatment)| {
                *left -= 1;
                treatment
            },
        );
        (treatment, Duration::from_millis(faults.slow_ms))
    }

    /// The options to check by, while checks of this stay still mean something.
    pub(crate) fn check_options(&self, group: &str, stay: Stay) -> Option<GroupOptions> {
        let state = self.lock();
        let members = state.groups.get(group)?;
        members.checks(stay).then(|| members.options.clone())
    }

    pub(crate) fn checked(&self, group: &str, stay: Stay, outcome: Result<(), String>) {
        if let Some(members) = self.lock().groups.get_mut(group) {
            members.changed(|members| members.checked(stay, outcome));
        }
    }

    /// Picks a target of `group`, or of the group that was made first.
    pub(crate) fn pick(self: &Arc<Self>, group: Option<&str>) -> Option<(Way, Flight)> {
        let mut state = self.lock();
        let group = group.or(state.first.as_deref())?.to_owned();
        let Pick { member, way } = state.groups.get_mut(&group)?.pick()?;
        let shared = self.clone();
        let flight = Flight::new(move |end| {
            if let Some(members) = shared.lock().groups.get_mut(&group) {
                members.changed(|members| members.ended(member, end));
            }
        });
        Some((way, flight))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Does something that may change targets, now.
    fn changed<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let done = act(self);
        self.stamp(SystemTime::now());
        done
    }
}

impl State {
    /// The group of that name, made if there is none.
    fn group(&mut self, name: &str) -> &mut Group {
        self.first.get_or_insert_with(|| name.to_owned());
        self.groups.entry(name.to_owned()).or_insert_with(|| Group::new(self.defaults.clone()))
    }
}
