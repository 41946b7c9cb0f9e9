//! How much a release may be.

/// How much a release may be, and what must be left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most files, directories and links in it.
    pub entries: usize,
    /// Most bytes in all its files.
    pub bytes: u64,
    /// Bytes that must stay free on the disk once it is staged.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 8 << 30, reserve_bytes: 64 << 20 }
    }
}

impl Limits {
    /// What is wrong with a tree of this size.
    pub(crate) fn problem(&self, entries: usize, bytes: u64) -> Option<String> {
        if entries > self.entries {
            return Some(format!("holds more than {} files and directories", self.entries));
        }
        (bytes > self.bytes).then(|| format!("holds more than {}", shown(self.bytes)))
    }

    /// What is wrong with the disk, for a tree of this size.
    pub(crate) fn shortage(&self, entries: usize, bytes: u64, free: u64) -> Option<String> {
        // The last block of each file is not full.
        const BLOCK_BYTES: u64 = 4096;
        let blocks = BLOCK_BYTES.saturating_mul(entries as u64);
        let needed = bytes.saturating_add(blocks).saturating_add(self.reserve_bytes);
        (needed > free).then(|| format!("needs {} of free space, {} is left", shown(needed), shown(free)))
    }
}

/// Bytes as people read them.
fn shown(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut shown = format!("{bytes} bytes");
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        shown = format!("{value:.1} {unit}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { entries: 2, bytes: 2048, reserve_bytes: 1024 };

    #[test]
    fn a_limit_may_be_reached_but_not_passed() {
        assert_eq!(SMALL.problem(2, 2048), None);
        assert_eq!(SMALL.problem(3, 0).unwrap(), "holds more than 2 files and directories");
        assert_eq!(SMALL.problem(0, 2049).unwrap(), "holds more than 2.0 KiB");
    }

    #[test]
    fn the_reserve_is_not_touched() {
        assert_eq!(SMALL.shortage(1, 100, 4096 + 100 + 1024), None);
        let short = SMALL.shortage(1, 100, 4096 + 100 + 1023).unwrap();
        assert_eq!(short, "needs 5.1 KiB of free space, 5.1 KiB is left");
        assert!(SMALL.shortage(usize::MAX, u64::MAX, u64::MAX - 1).is_some(), "it wrapped");
    }

    #[test]
    fn bytes_are_shown_as_people_read_them() {
        let all = [0, 1023, 1024, 8 << 30, u64::MAX].map(shown);
        assert_eq!(all, ["0 bytes", "1023 bytes", "1.0 KiB", "8.0 GiB", "16777216.0 TiB"]);
    }
}
