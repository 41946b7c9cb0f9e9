//! Why hosts take no part.

use super::Played;
use crate::{
    HostId,
    fleet::{HostService, Operator, PartState},
};

impl Played<'_> {
    /// The hosts of the service that the rollout goes without at its end, each with the reason.
    pub(super) fn left_out(&self) -> Vec<(HostId, String)> {
        let parts = self.stage.rollout(self.rollout).map(|rollout| &rollout.parts);
        let part = |host: &HostId| Some(parts?.get(host)?.state);
        let without = self.stage.fleet.declaring(self.stage.service).filter_map(|(host, here)| {
            let absent = match part(host) {
                None => true,
                Some(state) => state == PartState::Dropped,
            };
            absent.then(|| (host.clone(), why(here, self.stage.silent.contains(host))))
        });
        without.collect()
    }
}

fn why(here: &HostService, silent: bool) -> String {
    match (&here.excluded, &here.parked) {
        (Some(by), _) => format!("excluded{}", said(by)),
        (None, Some(by)) => format!("drained for maintenance{}", said(by)),
        (None, None) if silent => "silent until the staging deadline".to_owned(),
        (None, None) => "it joined after the push".to_owned(),
    }
}

fn said(by: &Operator) -> String {
    let name = if by.name.is_empty() { String::new() } else { format!(" by {}", by.name) };
    let reason = if by.reason.is_empty() { String::new() } else { format!(": {}", by.reason) };
    name + &reason
}
