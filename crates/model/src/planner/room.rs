//! How much more may be taken out, counted down while a plan is made. The fleet machine counts again.

use crate::{
    HostId, RolloutId, ServiceName,
    fleet::{Availability, Fleet, HostService, PhaseKind, Service},
};

/// What is left of P1's sum and of the slots.
pub(super) struct Room {
    pub(super) out: Vec<(HostId, String)>,
    pub(super) holders: Vec<(HostId, PhaseKind)>,
    limit: usize,
    /// Whom it was refused, and why: once is enough for each rollout.
    refused: Vec<(Option<RolloutId>, Full)>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All slots are taken.
    Slots,
    /// The budget is spent.
    Budget,
}

impl Room {
    pub(super) fn new(fleet: &Fleet, name: &ServiceName, service: &Service) -> Self {
        let summed: Vec<_> = fleet.declaring(name).filter(|(_, here)| here.sums()).collect();
        let out = summed
            .iter()
            .filter(|(_, here)| here.is_out())
            .map(|(host, here)| ((*host).clone(), why_out(here)));
        let holders =
            summed.iter().filter_map(|(host, here)| Some(((*host).clone(), here.change.as_ref()?.phase)));
        let limit = usize::try_from(service.policy.max_unavailable.get()).unwrap_or(usize::MAX);
        Self { out: out.collect(), holders: holders.collect(), limit, refused: Vec::new() }
    }

    /// Whether this is the first time that it is said of the rollout.
    pub(super) fn is_news(&mut self, rollout: Option<RolloutId>, full: Full) -> bool {
        let news = !self.refused.contains(&(rollout, full));
        if news {
            self.refused.push((rollout, full));
        }
        news
    }

    /// Takes a slot, and a share of the budget when the host is in service; refuses when there is none.
    pub(super) fn take(&mut self, host: &HostId, here: &HostService, slots: u32) -> Result<(), Full> {
        if !here.sums() {
            return Ok(());
        }
        if slots as usize <= self.holders.len() {
            return Err(Full::Slots);
        }
        // One that nobody has heard from counts as out already, but may well be in service.
        let may_serve = here.availability != Availability::Out;
        let others = self.out.len() - usize::from(here.is_out());
        if may_serve && self.limit <= others {
            return Err(Full::Budget);
        }
        self.holders.push((host.clone(), PhaseKind::Granted));
        if here.availability == Availability::In {
            self.out.push((host.clone(), "granted".into()));
        }
        Ok(())
    }
}

/// Why a host counts as out.
pub(super) fn why_out(here: &HostService) -> String {
    match (&here.change, &here.out_reason) {
        (Some(change), _) => change.phase.to_string(),
        (None, Some(reason)) => reason.clone(),
        (None, None) => here.availability.to_string(),
    }
}
