//! The host machines: what they are handed, and what becomes of what they want done.

use model::{
    fleet::{Act, PhaseKind, Report},
    host::{Effect, Event},
};

use super::{From, Happening, World};
use crate::{
    HostNo, ServiceNo,
    coverage::{Group, effect_word, phase_word},
    scenario::Work,
};

impl World {
    pub(super) fn deadline(&mut self, host: HostNo, service: ServiceNo, run: u64) {
        let at = self.at;
        let here = &mut self.hosts[host];
        if here.runs != run {
            return;
        }
        let Some(agent) = &mut here.agent else { return };
        let machine = &mut agent.machines[service];
        if machine.asked != Some(at) {
            return;
        }
        machine.asked = None;
        self.hand_over(host, service, run, Event::DeadlinePassed);
    }

    /// Hands a machine an event, and begins what it wants done.
    pub(super) fn hand_over(&mut self, host: HostNo, service: ServiceNo, run: u64, event: Event) {
        let now = self.hosts[host].clock.read(self.at);
        let here = &mut self.hosts[host];
        if here.runs != run {
            return;
        }
        let frozen = here.frozen != 0;
        let Some(agent) = &mut here.agent else { return };
        let machine = &mut agent.machines[service];
        if frozen {
            if event != Event::DeadlinePassed {
                machine.waiting.push(event);
            }
            return;
        }
        let phase = machine.host.ledger().change.as_ref().map(|change| change.phase.kind());
        let effects = machine.host.handle(event, now);
        let after = machine.host.ledger().change.as_ref().map(|change| change.phase.kind());
        if phase != after {
            let word = phase_word(&after.unwrap_or(PhaseKind::Steady));
            self.coverage.met(Group::Phase, word);
            self.told(|| format!("h{host} {}: {word}", service));
        }
        for effect in effects {
            if !self.survives(host) {
                return;
            }
            self.begin_effect(host, service, run, effect);
            if self.hosts[host].runs != run || self.hosts[host].agent.is_none() {
                return;
            }
        }
        self.ask_again(host, service, run);
    }

    /// Whether an agent that is to die at an effect lives on.
    fn survives(&mut self, host: HostNo) -> bool {
        let Some((left, down)) = self.hosts[host].doom else { return true };
        if let Some(left) = left.checked_sub(1) {
            self.hosts[host].doom = Some((left, down));
            return true;
        }
        self.hosts[host].doom = None;
        self.kill_agent(host);
        self.later(down, Happening::Start { host });
        false
    }

    fn begin_effect(&mut self, host: HostNo, service: ServiceNo, run: u64, effect: Effect) {
        self.coverage.met(Group::Effect, effect_word(&effect));
        match effect {
            Effect::Persist(ledger) => {
                if 0 < self.hosts[host].full {
                    // What cannot be written down is not done: the agent ends.
                    self.kill_agent(host);
                    return self.later(2000, Happening::Start { host });
                }
                let here = &mut self.hosts[host].disks[service].ledger;
                let begins = here.change.is_none() && ledger.change.is_some();
                let ends =
                    here.change.as_ref().map(|change| change.fence).filter(|_| ledger.change.is_none());
                *here = *ledger;
                let wants = self.hosts[host].disks[service].ledger.serving.as_ref();
                let runs = self.hosts[host].keepers[service].process().map(|process| &process.release);
                // What is not there at the end of its change has to come back in its time.
                if ends.is_some() && wants.map(|release| &release.id) != runs {
                    self.hosts[host].disturbed = self.at;
                }
                if let Some(fence) = ends {
                    self.watch(|invariants, world| invariants.ends(world, host, service, fence));
                }
                if begins {
                    self.amid(host, service, Work::Change);
                }
            }
            Effect::Log(text) => self.told(|| format!("h{host} {service} logs: {text}")),
            Effect::Propose { id, report } => {
                let act = self.report(host, service, report);
                self.submit(host, From::Machine { service, id }, act);
            }
            effect => {
                let after = if is_near(&effect) { 1 } else { self.way() };
                self.later(after, Happening::Call { host, service, run, effect: Box::new(effect) });
            }
        }
    }

    fn report(&self, host: HostNo, service: ServiceNo, report: Report) -> Act {
        let (host, service) = (self.hosts[host].name.clone(), self.services[service].clone());
        Act::Report { host, service, report }
    }

    fn ask_again(&mut self, host: HostNo, service: ServiceNo, run: u64) {
        let at = self.at;
        let here = &mut self.hosts[host];
        let Some(agent) = &mut here.agent else { return };
        let machine = &mut agent.machines[service];
        let Some(due) = machine.host.deadline() else {
            machine.asked = None;
            return;
        };
        let due = here.clock.when(due).max(at + 1);
        if machine.asked != Some(due) {
            machine.asked = Some(due);
            self.later_at(due, Happening::Deadline { host, service, run });
        }
    }

    /// The agent of a host goes on where it was frozen.
    pub(super) fn thaw(&mut self, host: HostNo) {
        let run = self.hosts[host].runs;
        for service in 0..self.services.len() {
            let Some(agent) = &mut self.hosts[host].agent else { return };
            let mut waiting = std::mem::take(&mut agent.machines[service].waiting);
            if waiting.is_empty() {
                waiting.push(Event::DeadlinePassed);
            }
            for event in waiting {
                self.hand_over(host, service, run, event);
            }
            self.ask_again(host, service, run);
        }
        self.reconsider();
    }
}

/// Calls that do not leave the host.
fn is_near(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Observe { .. }
            | Effect::QueryStaged { .. }
            | Effect::ReadTail { .. }
            | Effect::Collect { .. }
    )
}
