//! What is outside of this host, as the configuration says: who the hosts are, and what sends requests to the services.
//!
//! A build without the feature `aws` has no clients of AWS in it, and says so where it is asked for them.

#[cfg(not(feature = "aws"))]
mod absent;
#[cfg(feature = "aws")]
mod aws;
mod channel;
mod instance;

use std::{collections::BTreeSet, time::Duration};

use config::{Balancer as BalancerSettings, Inventory as InventorySettings, Settings};
use model::HostId;
use ports::{Balancer, Fault, Inventory, Listed, Standing, Target};

#[cfg(not(feature = "aws"))]
pub(crate) use absent::{Aws, AwsChannel, Ec2, Groups};
#[cfg(feature = "aws")]
pub(crate) use aws::{Aws, AwsChannel, Ec2, Groups};
pub(crate) use channel::AnyChannel;
pub(crate) use instance::{AT_START, FOR_A_CHECK, Unsettled, settled};

use crate::static_inventory::StaticInventory;

/// Why what is outside cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The clients are not in this build.
    #[error("{0} needs AWS, and this build has no AWS in it; build with --features aws")]
    NoAws(&'static str),
    /// Nothing says which region to ask.
    #[error(
        "find the region to ask: set inventory.region, or AWS_REGION; on an instance its metadata service says it"
    )]
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only a build with AWS asks for a region"))]
    NoRegion,
    /// Nothing says which region a channel's bucket is in.
    #[error(
        "find the region of the bucket: add ?region=REGION to channel.url, or set AWS_REGION; on an instance its metadata service says it"
    )]
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only a build with AWS asks for a region"))]
    BucketRegion,
}

/// What the configuration wants of AWS, if anything: the first key.
fn wants_aws(settings: &Settings) -> Option<&'static str> {
    let wants = |service: &config::Service| {
        let groups = matches!(service.balancer, Some(BalancerSettings::Aws { .. }));
        let channel = service.channel.as_ref().and_then(|channel| channel::wants_aws(&channel.url));
        groups.then_some("balancer.kind = \"aws\"").or(channel)
    };
    match settings.inventory {
        InventorySettings::Ec2(_) => Some("inventory.kind = \"ec2\""),
        InventorySettings::Static { .. } => settings.services.values().find_map(wants),
    }
}

/// The way to AWS, where the configuration wants one.
///
/// # Errors
/// See [`OutsideError`].
pub(crate) async fn open(settings: &Settings) -> Result<Option<Aws>, OutsideError> {
    match wants_aws(settings) {
        Some(key) => Aws::open(settings, key).await.map(Some),
        None => Ok(None),
    }
}

/// Who is in the fleet, whoever says so.
#[derive(Debug)]
pub enum Inventories {
    /// The configuration.
    Static(StaticInventory),
    /// EC2.
    Ec2(Ec2),
}

impl Inventories {
    /// As the configuration says. `aws` is there where it wants it.
    pub(crate) fn new(settings: &InventorySettings, aws: Option<&Aws>) -> Self {
        match settings {
            InventorySettings::Static { hosts } => Self::Static(StaticInventory::new(hosts.clone())),
            InventorySettings::Ec2(ec2) => Self::Ec2(aws.expect("it was opened for this").inventory(ec2)),
        }
    }
}

impl Inventory for Inventories {
    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        match self {
            Self::Static(inventory) => inventory.list().await,
            Self::Ec2(inventory) => inventory.list().await,
        }
    }

    async fn terminated(&self, hosts: &BTreeSet<HostId>) -> Result<BTreeSet<HostId>, Fault> {
        match self {
            Self::Static(inventory) => inventory.terminated(hosts).await,
            Self::Ec2(inventory) => inventory.terminated(hosts).await,
        }
    }
}

/// What sends requests to a service, whichever it is.
#[derive(Debug)]
pub(crate) enum AnyBalancer {
    Local(localbalancer::Client),
    Aws(Groups),
}

impl AnyBalancer {
    /// As the configuration says, for a service whose first instance listens on `port`. `aws` is there where it wants it.
    pub(crate) fn new(settings: &BalancerSettings, port: u16, aws: Option<&Aws>) -> Self {
        match settings {
            BalancerSettings::Local { url, group } => {
                Self::Local(localbalancer::Client::new(url, group).expect("the configuration was checked"))
            }
            BalancerSettings::Aws { groups } => {
                Self::Aws(aws.expect("it was opened for this").target_groups(groups, port))
            }
        }
    }
}

impl Balancer for AnyBalancer {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        match self {
            Self::Local(balancer) => balancer.join(target).await,
            Self::Aws(balancer) => balancer.join(target).await,
        }
    }

    async fn leave(&self, target: &Target) -> Result<Option<Duration>, Fault> {
        match self {
            Self::Local(balancer) => balancer.leave(target).await,
            Self::Aws(balancer) => balancer.leave(target).await,
        }
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        match self {
            Self::Local(balancer) => balancer.standing(target).await,
            Self::Aws(balancer) => balancer.standing(target).await,
        }
    }

    async fn check(&self, target: &Target) -> Result<(), Fault> {
        match self {
            Self::Local(balancer) => balancer.check(target).await,
            Self::Aws(balancer) => balancer.check(target).await,
        }
    }
}

/// The target groups that the words of [`named`] are about, each with the port; none for another balancer.
pub(crate) fn target_groups_in(words: &str) -> Vec<(String, u16)> {
    let group = |part: &str| {
        let (arn, port) = part.split_once(" at ")?;
        Some((arn.to_owned(), port.parse().ok()?)).filter(|_| arn.starts_with("arn:"))
    };
    words.split(", ").filter_map(group).collect()
}

/// A balancer as the fleet is told of it: the same words on every host whose requests come from the same place.
pub(crate) fn named(balancer: &BalancerSettings) -> String {
    match balancer {
        BalancerSettings::Local { url, group } => format!("{group} at {url}"),
        BalancerSettings::Aws { groups } => {
            let named: Vec<String> =
                groups.iter().map(|group| format!("{} at {}", group.arn, group.port)).collect();
            named.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fleet_is_told_of_target_groups_can_be_read_back() {
        let group = |arn: &str, port| config::TargetGroup {
            arn: arn.to_owned(),
            region: "eu-west-1".into(),
            name: "web".into(),
            port,
        };
        let groups = vec![
            group("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1", 80),
            group("arn:x", 8443),
        ];
        let expected: Vec<_> = groups.iter().map(|group| (group.arn.clone(), group.port)).collect();
        assert_eq!(target_groups_in(&named(&BalancerSettings::Aws { groups })), expected);
        let local = BalancerSettings::Local { url: "http://127.0.0.1:7500".into(), group: "web".into() };
        assert_eq!(target_groups_in(&named(&local)), []);
    }

    #[cfg(not(feature = "aws"))]
    #[tokio::test]
    async fn a_build_without_aws_says_at_start_what_of_the_configuration_it_lacks() {
        for (line, key) in [
            ("channel.url = \"s3://releases/web\"", "channel.url = \"s3://…\""),
            ("channel.url = \"https://releases.example/web\"", "channel.url = \"https://…\""),
        ] {
            let sources = [
                ("10.toml".to_owned(), config::EXAMPLE.to_owned()),
                ("20.toml".to_owned(), format!("[service.web]\n{line}\n")),
            ];
            let settings = config::parse("/etc/d", &sources).expect("it is right");
            let said = open(&settings).await.expect_err("it lacks AWS").to_string();
            assert_eq!(
                said,
                format!("{key} needs AWS, and this build has no AWS in it; build with --features aws")
            );
        }
        let plain = [
            ("10.toml".to_owned(), config::EXAMPLE.to_owned()),
            ("20.toml".to_owned(), "service.web.channel.url = \"file:/srv/web\"".to_owned()),
        ];
        let settings = config::parse("/etc/d", &plain).expect("it is right");
        assert!(open(&settings).await.expect("it needs none").is_none());
    }
}
