//! AWS, in a build that has it.

use std::{collections::BTreeSet, net::IpAddr};

use aws::{AddressKind, Fleet, Group, Session};
use config::{Partial, Settings, TargetGroup};
use ports::{Fault, channel::Address};

use super::{OutsideError, instance::Unknown};

pub(crate) type Ec2 = aws::Ec2Inventory;
pub(crate) type Groups = aws::TargetGroups;
pub(crate) type AwsChannel = aws::Object;

/// The way to AWS: where calls go, and what signs them.
#[derive(Debug, Clone)]
pub struct Aws(Session);

impl Aws {
    pub(super) async fn open(settings: &Settings, _: &'static str) -> Result<Self, OutsideError> {
        let (region, lists) = match &settings.inventory {
            config::Inventory::Ec2(ec2) => (ec2.region.as_deref(), true),
            config::Inventory::Static { .. } => (None, false),
        };
        let session = Session::open(region).await;
        // Only then it is known to be on an instance, and not on a machine without metadata.
        let session = if lists { session.on_instance() } else { session };
        match session.region() {
            // The ARN of a target group names its region.
            None if lists => Err(OutsideError::NoRegion),
            _ => Ok(Self(session)),
        }
    }

    /// Where this host's own configuration wants nothing of AWS.
    #[allow(clippy::unnecessary_wraps, reason = "as the one in a build without AWS")]
    pub(super) async fn find(_: &'static str) -> Result<Self, OutsideError> {
        Ok(Self(Session::open(None).await))
    }

    pub(super) fn channel(&self, address: &Address) -> Result<AwsChannel, OutsideError> {
        self.0.object(address).ok_or(OutsideError::BucketRegion)
    }

    pub(super) fn inventory(&self, ec2: &config::Ec2) -> Ec2 {
        self.0.inventory(Fleet {
            tags: ec2.tags.clone(),
            address: kind(ec2.address),
            port: ec2.port,
            poll: ec2.poll,
        })
    }

    pub(super) fn target_groups(&self, groups: &[TargetGroup], first_port: u16) -> Groups {
        let region = groups.first().map_or("", |group| group.region.as_str());
        let of = |TargetGroup { arn, name, port, .. }: &TargetGroup| Group {
            arn: arn.clone(),
            name: name.clone(),
            port: *port,
        };
        self.0.target_groups(region, groups.iter().map(of).collect(), first_port)
    }
}

impl Aws {
    /// Takes targets out of a group that are unhealthy at one of these addresses, which nobody has any more. Says which they were, and which ones are there and
    /// not unhealthy.
    pub(crate) async fn sweep(
        &self,
        (arn, port): &(String, u16),
        gone: &BTreeSet<IpAddr>,
    ) -> Result<(Vec<String>, Vec<String>), Fault> {
        let region = arn.split(':').nth(3).unwrap_or_default();
        let name = arn.split('/').nth(1).unwrap_or(arn).to_owned();
        let group = Group { arn: arn.clone(), name, port: *port };
        let swept = self.0.sweep(region, &group, gone).await?;
        Ok((swept.deregistered, swept.left))
    }
}

/// Asks the instance who it is.
pub(super) async fn instance(partial: &Partial) -> Result<config::Instance, Unknown> {
    let identity = aws::identity(None).await.map_err(|error| Unknown::Unsaid(error.into()))?;
    let kind = kind(partial.address);
    let address = identity.addresses.of(kind);
    let address =
        address.ok_or_else(|| Unknown::NoAddress { host: identity.host.clone(), kind: kind.words() })?;
    Ok(config::Instance { host: identity.host, address, zone: identity.zone })
}

fn kind(kind: config::AddressKind) -> AddressKind {
    match kind {
        config::AddressKind::PrivateIpv4 => AddressKind::PrivateIpv4,
        config::AddressKind::PublicIpv4 => AddressKind::PublicIpv4,
        config::AddressKind::Ipv6 => AddressKind::Ipv6,
    }
}
