//! What a host's files leave to the instance that it runs on. The instance is asked by others; nothing here does I/O.

use std::net::{IpAddr, Ipv4Addr};

use model::HostId;

use crate::{AddressKind, Inventory, Problem, Settings};

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id, which is the host's.
    pub host: HostId,
    /// Its address of the kind that the inventory goes by.
    pub address: IpAddr,
    /// The availability zone that it is in.
    pub zone: Option<String>,
}

impl Instance {
    /// One that no problem is found with, to find all others before the real one is asked.
    pub(crate) fn placeholder() -> Self {
        let host = "the-instance".parse().expect("a name");
        Self { host, address: IpAddr::V4(Ipv4Addr::LOCALHOST), zone: None }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// The files say everything.
    Whole(Box<Settings>),
    /// They leave something to the instance.
    Partial(Partial),
}

/// A configuration that is right as far as it goes: who the host is remains to be asked of its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    pub(crate) origin: String,
    pub(crate) sources: Vec<(String, String)>,
    /// The keys that the files leave out, and that would make the question needless.
    pub keys: Vec<&'static str>,
    /// The kind of address that is needed.
    pub address: AddressKind,
}

impl Partial {
    /// The settings, with what the instance says.
    ///
    /// # Errors
    /// What the instance says does not go with what the files say: an address that is not loopback, say.
    pub fn with(&self, instance: &Instance) -> Result<Settings, Vec<Problem>> {
        crate::parse_with(&self.origin, &self.sources, Some(instance))
    }
}

/// Whether the settings of these sources stand, or wait for the instance.
pub(crate) fn loaded(
    settings: Settings,
    keys: Vec<&'static str>,
    origin: &str,
    sources: Vec<(String, String)>,
) -> Loaded {
    match &settings.inventory {
        Inventory::Ec2(ec2) if !keys.is_empty() => {
            Loaded::Partial(Partial { origin: origin.to_owned(), sources, keys, address: ec2.address })
        }
        _ => Loaded::Whole(Box::new(settings)),
    }
}
