//! What a lab is set up with: hosts, services, and how the cloud behaves.

use std::{collections::BTreeMap, fmt::Write as _, ops::RangeInclusive, path::Path, time::Duration};

use fakeaws::{GroupOptions, Settings};

use crate::fleet::{AGENT, TAG, WEB};

/// Where a lab's first service listens.
pub(crate) const SERVICE: u16 = 8100;

/// A service that all hosts declare.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// Its name, and its group's.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) port: u16,
    /// Its group; none for a headless one.
    pub(crate) group: Option<GroupOptions>,
    /// More lines of its section of the configuration.
    pub(crate) more: String,
}

impl Declared {
    /// One that listens at `port`, behind a balancer.
    pub(crate) fn behind(name: &'static str, port: u16, group: GroupOptions) -> Self {
        Self { name, port, group: Some(GroupOptions { port, ..group }), more: String::new() }
    }

    /// One that nobody sends requests to, and nobody asks how it is.
    pub(crate) fn headless(name: &'static str, port: u16) -> Self {
        Self { name, port, group: None, more: String::new() }
    }
}

/// What a lab is set up with.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// How many hosts there are at first.
    pub(crate) hosts: u8,
    /// What they run; the first one is the one that scenarios are about unless they say another.
    pub(crate) services: Vec<Declared>,
    /// How the cloud behaves.
    pub(crate) cloud: Settings,
    /// How long long requests take, in milliseconds: less than a drain, as what takes longer is cut.
    pub(crate) long_ms: RangeInclusive<u64>,
}

/// Five hosts, and one service behind a group.
impl Default for Layout {
    fn default() -> Self {
        Self {
            hosts: 5,
            services: vec![Declared::behind(WEB, SERVICE, instances())],
            cloud: Settings::default(),
            long_ms: 500..=3_000,
        }
    }
}

/// What hosts need to know of what is around them.
pub(crate) struct Around<'a> {
    /// The address of the binary cache.
    pub(crate) cache: &'a str,
    /// The key that hosts trust.
    pub(crate) key: &'a str,
    /// Where services note what they do when.
    pub(crate) timeline: &'a Path,
}

impl Layout {
    /// The configuration of each host; `arns` are those of the services' groups.
    pub(crate) fn configuration(&self, around: &Around<'_>, arns: &BTreeMap<&str, String>) -> String {
        let (Around { cache, key, timeline }, (tag, value), expected) = (around, TAG, self.hosts);
        let mut text = format!(
            r#"[agent]
listen = "0.0.0.0:{AGENT}"

[cluster]
name = "lab"
bootstrap_expect = {expected}

[transport]
insecure = true

[inventory]
kind = "ec2"
tags = {{ "{tag}" = "{value}" }}
poll = "5s"

[store]
kind = "nix"
substituters = ["{cache}"]
trusted_public_keys = ["{key}"]
"#
        );
        for Declared { name, port, more, .. } in &self.services {
            let environment = format!(
                "environment = {{ DEMO_BIND = \"0.0.0.0\", DEMO_TIMELINE = \"{}\" }}",
                timeline.display()
            );
            let _ = writeln!(text, "\n[service.{name}]\nport = {port}\n{environment}");
            if let Some(arn) = arns.get(name) {
                let balancer = format!("{{ kind = \"aws\", target_groups = [{{ arn = \"{arn}\" }}] }}");
                let _ = writeln!(
                    text,
                    "probe = {{ kind = \"http\", path = \"/healthz\" }}\nbalancer = {balancer}"
                );
            }
            text.push_str(more);
        }
        text
    }
}

/// A group whose targets are its instances.
pub(crate) fn instances() -> GroupOptions {
    // Longer than the longest request: what takes longer is cut, as an ALB does.
    GroupOptions { port: SERVICE, deregistration_delay: Duration::from_secs(4), ..GroupOptions::default() }
}
