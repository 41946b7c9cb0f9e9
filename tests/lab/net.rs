//! The network of a lab: one switch, and a cable from it to each host. All of it is in the network namespace of this process.

mod faults;
mod slow;

use std::{
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// The switch, with the address of this process.
const SWITCH: &str = "br0";
/// This process, as hosts see it.
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Where an instance asks about itself.
const METADATA: &str = "169.254.169.254";
/// The switch's own address on Ethernet, of those that nobody sells.
const HARDWARE: &str = "02:00:00:00:00:01";

/// Runs a program to its end.
pub(crate) fn run(words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("a program")?;
    let said = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let said = said.with_context(|| format!("run {}", words.join(" ")))?;
    if !said.status.success() {
        let text = String::from_utf8_lossy(&said.stderr);
        bail!("{}: {}: {}", words.join(" "), said.status, text.trim());
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// The network.
#[derive(Debug)]
pub(crate) struct Net;

impl Net {
    /// Sets the switch up.
    ///
    /// # Errors
    /// This process is not alone in its network namespace, or a program fails.
    pub(crate) fn new() -> Result<Self> {
        alone()?;
        fs::create_dir_all("/run/netns").context("make /run/netns")?;
        // The names of its namespaces are nobody else's.
        run(&["mount", "-t", "tmpfs", "tmpfs", "/run/netns"])?;
        run(&["ip", "link", "set", "lo", "up"])?;
        // Of its own: a bridge takes the least address of its ports otherwise, and another one when a host is plugged in, which those that are
        // there already learn too late.
        run(&["ip", "link", "add", SWITCH, "address", HARDWARE, "type", "bridge"])?;
        run(&["ip", "addr", "add", &format!("{US}/16"), "dev", SWITCH])?;
        run(&["ip", "addr", "add", &format!("{METADATA}/32"), "dev", SWITCH])?;
        run(&["ip", "link", "set", SWITCH, "up"])?;
        Self::prepare_faults()?;
        Ok(Self)
    }

    /// Plugs a host in.
    ///
    /// # Errors
    /// A program fails.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn plug(&self, number: u8) -> Result<Ipv4Addr> {
        let (host, cable, address) = (namespace(number), cable(number), address(number));
        run(&["ip", "netns", "add", &host])?;
        run(&["ip", "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &host])?;
        run(&["ip", "link", "set", &cable, "master", SWITCH, "up"])?;
        run(&["ip", "-n", &host, "link", "set", "lo", "up"])?;
        run(&["ip", "-n", &host, "addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
        run(&["ip", "-n", &host, "link", "set", "eth0", "up"])?;
        run(&["ip", "-n", &host, "route", "add", &format!("{METADATA}/32"), "dev", "eth0"])?;
        Ok(address)
    }
}

/// The network namespace of a host.
pub(crate) fn namespace(number: u8) -> String {
    format!("h{number}")
}

fn cable(number: u8) -> String {
    format!("v{number}")
}

/// The address of a host.
pub(crate) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, number)
}

/// Nothing that is sent from here reaches any other network: there is no interface but the loopback.
fn alone() -> Result<()> {
    let known = fs::read_to_string("/proc/net/dev").context("read /proc/net/dev")?;
    let others: Vec<&str> =
        known.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    ensure!(
        others.iter().all(|name| *name == "lo"),
        "a lab needs a network namespace of its own, and this one has {}: run it by `cargo lab`",
        others.join(", ")
    );
    Ok(())
}
