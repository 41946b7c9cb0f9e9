//! What the agent calls, and what a host's role must allow for it: nothing more.
//!
//! Every call names its [`Action`], so that a call without a permission here cannot be made.

use std::fmt::Write as _;

/// A call to AWS that the agent makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Who is in the fleet.
    DescribeInstances,
    /// Whether a target group can be used, and how.
    DescribeTargetGroups,
    /// How long a drain takes.
    DescribeTargetGroupAttributes,
    /// Where a load balancer sends requests to.
    DescribeLoadBalancers,
    /// What a target group says of a target.
    DescribeTargetHealth,
    /// Admits a target.
    RegisterTargets,
    /// Drains a target.
    DeregisterTargets,
    /// What CI has left in a channel.
    GetObject,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DescribeInstances,
        Self::DescribeTargetGroups,
        Self::DescribeTargetGroupAttributes,
        Self::DescribeLoadBalancers,
        Self::DescribeTargetHealth,
        Self::RegisterTargets,
        Self::DeregisterTargets,
        Self::GetObject,
    ];

    /// Its name in a policy.
    #[must_use]
    pub fn permission(self) -> &'static str {
        match self {
            Self::DescribeInstances => "ec2:DescribeInstances",
            Self::DescribeTargetGroups => "elasticloadbalancing:DescribeTargetGroups",
            Self::DescribeTargetGroupAttributes => "elasticloadbalancing:DescribeTargetGroupAttributes",
            Self::DescribeLoadBalancers => "elasticloadbalancing:DescribeLoadBalancers",
            Self::DescribeTargetHealth => "elasticloadbalancing:DescribeTargetHealth",
            Self::RegisterTargets => "elasticloadbalancing:RegisterTargets",
            Self::DeregisterTargets => "elasticloadbalancing:DeregisterTargets",
            Self::GetObject => "s3:GetObject",
        }
    }

    /// Whether it changes anything, and can be held to the cluster's own target groups. What only reads cannot.
    #[must_use]
    pub fn is_change(self) -> bool {
        matches!(self, Self::RegisterTargets | Self::DeregisterTargets)
    }

    /// Whether it is the inventory's.
    #[must_use]
    pub fn is_of_inventory(self) -> bool {
        self == Self::DescribeInstances
    }

    /// Whether it is a channel's. What is neither this nor the inventory's is the balancer's.
    #[must_use]
    pub fn is_of_channel(self) -> bool {
        self == Self::GetObject
    }
}

/// The policy of a host's role, as JSON. The target groups in it stand for the cluster's own, the object for its channel.
#[must_use]
pub fn policy() -> String {
    let statement = |sid: &str, of: &dyn Fn(Action) -> bool, resource: &str| {
        let actions = Action::ALL.into_iter().filter(|action| of(*action));
        let names: Vec<String> =
            actions.map(|action| format!("        \"{}\"", action.permission())).collect();
        let mut text = String::new();
        let _ = write!(
            text,
            "    {{\n      \"Sid\": \"{sid}\",\n      \"Effect\": \"Allow\",\n      \"Action\": [\n{}\n      ],\n      \
             \"Resource\": {resource}\n    }}",
            names.join(",\n")
        );
        text
    };
    let statements = [
        statement("FindTheFleet", &Action::is_of_inventory, "\"*\""),
        statement(
            "LookAtTargetGroups",
            &|action| !action.is_of_inventory() && !action.is_of_channel() && !action.is_change(),
            "\"*\"",
        ),
        statement(
            "AdmitAndDrain",
            &Action::is_change,
            "\"arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/*\"",
        ),
        statement("ReadTheChannel", &Action::is_of_channel, "\"arn:aws:s3:::BUCKET/KEY\""),
    ];
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}\n", statements.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_stands_in_the_policy_once_and_nothing_else() {
        let policy = policy();
        for action in Action::ALL {
            let name = format!("\"{}\"", action.permission());
            assert_eq!(policy.matches(&name).count(), 1, "{name}");
        }
        let named = ["elasticloadbalancing:", "ec2:", "s3:Get"].map(|of| policy.matches(of).count());
        let named: usize = named.into_iter().sum();
        // The resource has one more.
        assert_eq!(named, Action::ALL.len() + 1);
    }

    #[test]
    fn what_changes_something_is_held_to_target_groups() {
        let policy = policy();
        let (_, rest) = policy.split_once("AdmitAndDrain").unwrap();
        let (last, channel) = rest.split_once("ReadTheChannel").unwrap();
        assert!(channel.contains("\"arn:aws:s3:::BUCKET/KEY\"") && !channel.contains("\"*\""), "{channel}");
        assert!(last.contains("targetgroup/") && !last.contains("\"*\""), "{last}");
        assert!(
            Action::ALL
                .into_iter()
                .filter(|action| action.is_change())
                .all(|action| last.contains(action.permission()))
        );
    }

    #[test]
    fn the_guide_has_this_policy() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/aws.md");
        let page = std::fs::read_to_string(&file).expect("the guide is there");
        let (begin, end) = (
            "<!-- The policy is generated. To write it again: UPDATE_DOCS=1 cargo test -p aws -->\n```json\n",
            "```\n",
        );
        let at = page.find(begin).expect("the guide has a place for it") + begin.len();
        let to = at + page[at..].find(end).expect("and an end of it");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let written = format!("{}{}{}", &page[..at], policy(), &page[to..]);
            std::fs::write(&file, written).expect("docs/guide/aws.md is written");
            return;
        }
        assert!(
            page[at..to] == policy(),
            "docs/guide/aws.md is not current: UPDATE_DOCS=1 cargo test -p aws"
        );
    }
}
