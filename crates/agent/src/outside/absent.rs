//! What stands in for AWS in a build without it: nothing that could be used.

use std::{collections::BTreeSet, convert::Infallible, net::IpAddr, time::Duration};

use config::{Partial, Settings, TargetGroup};
use ports::{
    Balancer, Channel, Fault, Inventory, Listed, Standing, Target,
    channel::{Address, Look},
};

use super::OutsideError;

/// The way to AWS, which there is none of.
#[derive(Debug, Clone)]
pub struct Aws(Infallible);

impl Aws {
    #[allow(clippy::unused_async, reason = "as the one in a build with AWS")]
    pub(super) async fn open(_: &Settings, key: &'static str) -> Result<Self, OutsideError> {
        Err(OutsideError::NoAws(key))
    }

    #[allow(clippy::unused_async, reason = "as the one in a build with AWS")]
    pub(super) async fn find(key: &'static str) -> Result<Self, OutsideError> {
        Err(OutsideError::NoAws(key))
    }

    pub(super) fn channel(&self, _: &Address) -> Result<AwsChannel, OutsideError> {
        match self.0 {}
    }

    pub(super) fn inventory(&self, _: &config::Ec2) -> Ec2 {
        Ec2(self.0)
    }

    #[allow(clippy::unused_async, reason = "as the one in a build with AWS")]
    pub(crate) async fn sweep(
        &self,
        _: &(String, u16),
        _: &BTreeSet<IpAddr>,
    ) -> Result<(Vec<String>, Vec<String>), Fault> {
        match self.0 {}
    }

    pub(super) fn target_groups(&self, _: &[TargetGroup], _: u16) -> Groups {
        Groups(self.0)
    }
}

/// Nobody can be asked who the instance is.
pub(super) fn instance(_: &Partial) -> Result<config::Instance, OutsideError> {
    Err(OutsideError::NoAws("inventory.kind = \"ec2\""))
}

/// An inventory that there is none of.
#[derive(Debug, Clone, Copy)]
pub struct Ec2(Infallible);

impl Inventory for Ec2 {
    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        match self.0 {}
    }
}

/// Target groups that there are none of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups(Infallible);

impl Balancer for Groups {
    async fn join(&self, _: &Target) -> Result<(), Fault> {
        match self.0 {}
    }

    async fn leave(&self, _: &Target) -> Result<Option<Duration>, Fault> {
        match self.0 {}
    }

    async fn standing(&self, _: &Target) -> Result<Standing, Fault> {
        match self.0 {}
    }

    async fn check(&self, _: &Target) -> Result<(), Fault> {
        match self.0 {}
    }
}

/// A channel that there is none of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AwsChannel(Infallible);

impl Channel for AwsChannel {
    async fn look(&self, _: Option<&str>) -> Result<Look, Fault> {
        match self.0 {}
    }
}
