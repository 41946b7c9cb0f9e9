//! What can be wrong between hosts: cables that carry nothing one way, and a switch that loses frames. This process, with the cloud, the
//! caches and the load on it, stays within everybody's reach: only what is passed on from host to host can be lost.

use anyhow::{Context, Result};

use super::{Net, cable, run};

/// What the switch drops: frames from one cable to another that are in the set, and so many of all others as the second chain says.
const TABLE: &str = r"table bridge lab {
  set cut {
    type ifname . ifname
  }
  chain cuts {
    type filter hook forward priority 0
    iifname . oifname @cut drop
  }
  chain losses {
    type filter hook forward priority 1
  }
}
";

impl Net {
    /// Makes the switch one that can drop frames.
    pub(super) fn prepare_faults() -> Result<()> {
        nft(TABLE)
    }

    /// From now on nothing gets from one host to the other; the way back is open.
    ///
    /// # Errors
    /// nft fails.
    pub(crate) fn cut_one_way(&self, from: u8, to: u8) -> Result<()> {
        self.cut_all(&[(from, to)])
    }

    /// From now on nothing gets from this host to these, nor from them to it.
    ///
    /// # Errors
    /// nft fails.
    pub(crate) fn cut_off(&self, host: u8, others: &[u8]) -> Result<()> {
        let both = others.iter().flat_map(|other| [(host, *other), (*other, host)]);
        self.cut_all(&both.collect::<Vec<_>>())
    }

    /// Pulls a host's cable out of the switch, or puts it back: nobody hears from it, not even that it is gone.
    ///
    /// # Errors
    /// A program fails.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn pull(&self, host: u8, out: bool) -> Result<()> {
        run(&["ip", "link", "set", &cable(host), if out { "down" } else { "up" }]).map(drop)
    }

    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    fn cut_all(&self, ways: &[(u8, u8)]) -> Result<()> {
        let ways = ways.iter().filter(|(from, to)| from != to);
        let ways: Vec<String> =
            ways.map(|(from, to)| format!("\"{}\" . \"{}\"", cable(*from), cable(*to))).collect();
        nft(&format!("add element bridge lab cut {{ {} }}", ways.join(", ")))
    }

    /// From now on so many of a hundred frames between hosts are lost, drawn anew for each.
    ///
    /// # Errors
    /// nft fails.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn lose(&self, percent: u8) -> Result<()> {
        nft(&format!("add rule bridge lab losses numgen random mod 100 < {percent} counter drop"))
    }

    /// How many frames were lost since [`Net::lose`].
    ///
    /// # Errors
    /// nft fails, or nothing is to be lost.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn lost(&self) -> Result<u64> {
        let rules = run(&["nft", "list chain bridge lab losses"])?;
        let counted = rules.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next());
        counted.with_context(|| format!("a counter in {rules}"))?.parse().context("a number of frames")
    }

    /// Everything reaches everybody again.
    ///
    /// # Errors
    /// nft fails.
    #[expect(clippy::unused_self, reason = "there has to be a switch")]
    pub(crate) fn heal(&self) -> Result<()> {
        nft("flush set bridge lab cut\nflush chain bridge lab losses")
    }
}

fn nft(commands: &str) -> Result<()> {
    run(&["nft", commands]).map(drop)
}
