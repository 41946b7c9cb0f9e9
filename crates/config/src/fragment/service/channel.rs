//! What the files say of where CI leaves word of a service's releases.

use std::time::Duration;

use ports::channel::{Address, NoAddress};
use toml::Value;

use crate::{
    section::{Field, Section},
    values::{duration, text},
};

pub(crate) struct ChannelFragment {
    pub(crate) url: Field<Address>,
    pub(crate) poll: Field<Duration>,
}

/// Longest address: it is told with each event of what the channel says.
const ADDRESS_LIMIT_BYTES: usize = 512;
/// Shortest time between two looks, and longest.
const POLL: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) fn read(mut section: Section<'_>) -> ChannelFragment {
    let fragment =
        ChannelFragment { url: section.read("url", address), poll: section.read("poll", duration(POLL)) };
    section.finish(|_| None);
    fragment
}

fn address(value: &Value) -> Result<Address, String> {
    let text = text(value)?;
    if ADDRESS_LIMIT_BYTES < text.len() {
        return Err(format!("must be at most {ADDRESS_LIMIT_BYTES} bytes long"));
    }
    text.parse().map_err(|wrong: NoAddress| wrong.to_string())
}
