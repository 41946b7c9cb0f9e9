//! Nothing is touched before all is staged (P9).

use super::{Desk, Why};
use crate::{
    HostId,
    fleet::{Availability, Halt, PartState, Rollout, Step, Timer},
};

impl Desk<'_> {
    /// Ends staging when every host has the release, or at the deadline without those that are silent. `may_end` is false while
    /// the rollout waits behind another one.
    pub(super) fn stage(&mut self, rollout: &Rollout, may_end: bool) {
        let Some(target) = &rollout.target else { return };
        let takes_part = rollout.parts.iter().filter(|(_, part)| part.state != PartState::Dropped);
        let hosts: Vec<&HostId> =
            takes_part.map(|(host, _)| host).filter(|host| self.here(host).is_some()).collect();
        let missing: Vec<&HostId> =
            hosts.iter().copied().filter(|host| !self.is_staged(host, target)).collect();
        let (silent, fetching): (Vec<&HostId>, Vec<&HostId>) =
            missing.iter().partition(|host| self.is_silent(host));
        // Who is silent at the deadline is dropped, also if it has the release: nobody knows when it is back.
        let all_silent: Vec<&HostId> = hosts.iter().copied().filter(|host| self.is_silent(host)).collect();

        let elapsed = self.sightings.elapsed(rollout.id, Timer::Staging, self.now);
        let left = self.service.policy.deadlines.stage.saturating_sub(elapsed);
        for host in &fetching {
            let trouble = self.stage_trouble(host, target);
            self.hold_until(Some(rollout), Why::Staging { host: (*host).clone(), trouble }, Some(left));
        }
        for host in &silent {
            self.hold_until(
                Some(rollout),
                Why::HostSilent { host: (*host).clone(), holds_slot: false },
                Some(left),
            );
        }
        if hosts.is_empty() {
            self.hold_until(Some(rollout), Why::NoHosts, Some(left));
        }
        let agrees = self.configurations_agree(rollout);
        let expired = left.is_zero();
        if expired && (!fetching.is_empty() || all_silent.len() == hosts.len()) {
            let why = |host: &&HostId| {
                let trouble = self.stage_trouble(host, target);
                let silent = self.is_silent(host).then(|| "silent".to_owned());
                ((*host).clone(), trouble.or(silent).unwrap_or_else(|| "still fetching".to_owned()))
            };
            let hosts = missing.iter().map(why).collect::<Vec<_>>();
            self.steps.push(Step::Halt { rollout: rollout.id, why: Halt::NotStaged { hosts } });
        } else if may_end && agrees && !hosts.is_empty() && (missing.is_empty() || expired) {
            // Silence must be a committed fact before a host is left behind.
            let dropped = if expired { all_silent } else { Vec::new() };
            let known = dropped
                .iter()
                .all(|host| self.here(host).is_some_and(|here| here.availability == Availability::Unknown));
            if known {
                let dropped = dropped.into_iter().cloned().collect();
                self.steps.push(Step::EndStaging { rollout: rollout.id, dropped });
            }
        }
    }

    /// One service is one thing: where its hosts differ in port, probe or balancer, somebody made a mistake.
    fn configurations_agree(&mut self, rollout: &Rollout) -> bool {
        // Who is excluded takes no part, however it is configured.
        let taking_part = self.fleet.declaring(self.name).filter(|(_, here)| here.excluded.is_none());
        let declarations: Vec<_> = taking_part.map(|(host, here)| (host, &here.declaration)).collect();
        if declarations.windows(2).all(|pair| pair[0].1 == pair[1].1) {
            return true;
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let mut agree = true;
        let keys: [(&str, Vec<(HostId, String)>); 3] = [
            ("port", declarations.iter().map(|(host, it)| ((*host).clone(), it.port.to_string())).collect()),
            ("probe", declarations.iter().map(|(host, it)| ((*host).clone(), text(&it.probe))).collect()),
            (
                "balancer",
                declarations.iter().map(|(host, it)| ((*host).clone(), text(&it.balancer))).collect(),
            ),
        ];
        for (key, values) in keys {
            if values.windows(2).any(|pair| pair[0].1 != pair[1].1) {
                self.hold(Some(rollout), Why::ConfigurationDiffers { key: key.to_owned(), values });
                agree = false;
            }
        }
        agree
    }
}
