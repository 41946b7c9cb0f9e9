//! AWS behind our ports: who is in the fleet by EC2 tags, targets of an Elastic Load Balancer's target groups, and who the instance is that a
//! host runs on. The only user of AWS's own clients.
//!
//! What decides is here always, and needs no client: what a state or an error means ([`health`], [`trouble`]), what a listing says
//! ([`listing`]), what S3 says in place of an object ([`object`]), how often anything is asked ([`pace`]), and what a role must allow ([`permissions`]). The clients themselves are behind the
//! feature `sdk`, because one of them takes the compiler minutes and gigabytes.
//!
//! Promises: an answer that is missing, late or partial removes nobody and makes no standing up; what was terminated stays so; every call has
//! a deadline, and goes through one place that knows its permission and its rate.
//! Absent on purpose: retries, which the host machine makes, and anything that creates or deletes what an operator owns.

pub mod health;
pub mod lifecycle;
pub mod listing;
pub mod object;
pub mod pace;
pub mod permissions;
pub mod trouble;

#[cfg(feature = "sdk")]
mod sdk;

#[cfg(feature = "sdk")]
pub use sdk::{Ec2Inventory, Identity, IdentityError, Object, Session, Swept, TargetGroups, identity};

use std::{collections::BTreeMap, time::Duration};

/// Which instances are hosts of the fleet, and where their agents are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// An instance has all of these tags, each with one of its values.
    pub tags: BTreeMap<String, Vec<String>>,
    /// Which of its addresses its agent is reached at.
    pub address: AddressKind,
    /// Where every agent listens.
    pub port: u16,
    /// Time between two questions while nothing changes.
    pub poll: Duration,
}

/// One of an instance's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// The primary one inside its network.
    PrivateIpv4,
    /// The one that the world sees.
    PublicIpv4,
    /// Its first of version 6.
    Ipv6,
}

impl AddressKind {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::PrivateIpv4 => "private IPv4 address",
            Self::PublicIpv4 => "public IPv4 address",
            Self::Ipv6 => "IPv6 address",
        }
    }
}

/// Whether a host is named as instances are.
#[must_use]
pub fn is_instance_id(host: &str) -> bool {
    host.strip_prefix("i-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A target group, and where the first instance of a service listens for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// Its name, for people.
    pub name: String,
    /// The port of the first instance.
    pub port: u16,
}
