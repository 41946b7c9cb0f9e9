//! Instances, and their lives.

use std::net::IpAddr;

use super::{Cloud, Now, hex};
use crate::{
    refusal::Refusal,
    wire::{Act, InstanceView, NewInstance, addresses},
};

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) launched: Now,
    /// What it was made with. Its tags change.
    pub(crate) made: NewInstance,
    life: Life,
    /// What is shown while it comes up or goes down is shown until then.
    until: Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Started,
    Stopped,
    Terminated,
}

/// An instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl State {
    /// Its number and its word in the API.
    pub(crate) fn named(self) -> (u16, &'static str) {
        match self {
            Self::Pending => (0, "pending"),
            Self::Running => (16, "running"),
            Self::ShuttingDown => (32, "shutting-down"),
            Self::Terminated => (48, "terminated"),
            Self::Stopping => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
        }
    }
}

impl Instance {
    pub(crate) fn state(&self, now: Now) -> State {
        match (self.life, now < self.until) {
            (Life::Started, true) => State::Pending,
            (Life::Started, false) => State::Running,
            (Life::Stopped, true) => State::Stopping,
            (Life::Stopped, false) => State::Stopped,
            (Life::Terminated, true) => State::ShuttingDown,
            (Life::Terminated, false) => State::Terminated,
        }
    }

    /// Why it does not run, as a code and in words.
    pub(crate) fn reason(&self, now: Now) -> Option<(&'static str, &'static str)> {
        const CODE: &str = "Client.UserInitiatedShutdown";
        let told = (CODE, "Client.UserInitiatedShutdown: User initiated shutdown");
        (!matches!(self.state(now), State::Pending | State::Running)).then_some(told)
    }

    pub(crate) fn is_running(&self, now: Now) -> bool {
        self.state(now) == State::Running
    }

    /// Whether its life is over, or will be in a moment.
    pub(crate) fn is_ending(&self, now: Now) -> bool {
        matches!(self.state(now), State::ShuttingDown | State::Terminated)
    }

    /// Its addresses as long as it has them: a terminated instance has none.
    pub(crate) fn addresses(&self, now: Now) -> Option<&NewInstance> {
        (self.state(now) != State::Terminated).then_some(&self.made)
    }

    pub(crate) fn view(&self, now: Now) -> InstanceView {
        let NewInstance { tags, private_ipv4, public_ipv4, ipv6, .. } = self.made.clone();
        let (id, zone, state) = (self.id.clone(), self.zone.clone(), self.state(now).named().1.to_owned());
        InstanceView { id, state, tags, zone, private_ipv4, public_ipv4, ipv6 }
    }
}

impl Cloud {
    /// Launches an instance.
    pub(crate) fn launch(&mut self, new: NewInstance, now: Now) -> Result<&Instance, Refusal> {
        let number = self.number();
        let id = new
            .id
            .clone()
            .unwrap_or_else(|| format!("i-0{}", &hex(format!("instance {number}").as_bytes(), 8)));
        if !is_instance_id(&id) {
            return Err(malformed(&id));
        }
        if self.instances.iter().any(|instance| instance.id == id) {
            return Err(Refusal::new("InvalidInstanceID.Duplicate", format!("there is an instance {id}")));
        }
        if let Some(address) = addresses(&new).find(|address| self.instance_at(*address, now).is_some()) {
            return Err(Refusal::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
        }
        let zone = new.zone.clone().unwrap_or_else(|| format!("{}a", self.settings.region));
        let until = now + self.settings.pending;
        self.instances.push(Instance { id, zone, launched: now, made: new, life: Life::Started, until });
        Ok(&self.instances[self.instances.len() - 1])
    }

    /// Changes the life of an instance.
    pub(crate) fn act(&mut self, id: &str, act: Act, now: Now) -> Result<(), Refusal> {
        let (pending, stopping) = (self.settings.pending, self.settings.stopping);
        let listed = self.settings.terminated_listed;
        let instance = self.instance_mut(id, now)?;
        let (life, takes) = match (act, instance.life) {
            (Act::Forget, _) => {
                (instance.life, instance.until) = (Life::Terminated, now.saturating_sub(listed));
                self.instances.retain(|instance| instance.id != id);
                return Ok(());
            }
            (Act::Terminate, Life::Started | Life::Stopped) => (Life::Terminated, stopping),
            (Act::Stop, Life::Started) => (Life::Stopped, stopping),
            (Act::Start, Life::Stopped) => (Life::Started, pending),
            (Act::Terminate, Life::Terminated) | (Act::Stop, Life::Stopped) | (Act::Start, Life::Started) => {
                return Ok(());
            }
            (Act::Stop | Act::Start, Life::Terminated) => {
                let text = format!("The instance '{id}' is not in a state from which it can be {act:?}ed.");
                return Err(Refusal::new("IncorrectInstanceState", text));
            }
        };
        (instance.life, instance.until) = (life, now + takes);
        Ok(())
    }

    /// Those that are listed: terminated ones for a while.
    pub(crate) fn listed(&self, now: Now) -> impl Iterator<Item = &Instance> {
        let limit = self.settings.terminated_listed;
        self.instances
            .iter()
            .filter(move |instance| instance.state(now) != State::Terminated || now < instance.until + limit)
    }

    pub(crate) fn instance(&self, id: &str, now: Now) -> Result<&Instance, Refusal> {
        self.listed(now).find(|instance| instance.id == id).ok_or_else(|| unknown_instances(&[id]))
    }

    pub(crate) fn instance_mut(&mut self, id: &str, now: Now) -> Result<&mut Instance, Refusal> {
        self.instance(id, now)?;
        self.instances.iter_mut().find(|instance| instance.id == id).ok_or_else(|| unknown_instances(&[id]))
    }

    /// The instance that has this address.
    pub(crate) fn instance_at(&self, address: IpAddr, now: Now) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| !instance.is_ending(now) && addresses(&instance.made).any(|own| own == address))
    }
}

/// What the API says of instances that it does not know.
pub(crate) fn unknown_instances(ids: &[&str]) -> Refusal {
    let text = match ids {
        [id] => format!("The instance ID '{id}' does not exist"),
        ids => format!("The instance IDs '{}' do not exist", ids.join(", ")),
    };
    Refusal::new("InvalidInstanceID.NotFound", text)
}

pub(crate) fn malformed(id: &str) -> Refusal {
    Refusal::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""))
}

/// Whether this is how an instance may be called: of 8 or of 17 hex digits.
pub(crate) fn is_instance_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
