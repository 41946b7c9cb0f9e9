//! Where a caller is in each host's output.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::view::{LogItem, LogPlace, LogSpot};
use model::HostId;

/// Where a caller is, at each spot of one host. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<BTreeMap<LogSpot, (u64, u64)>>>);

impl Places {
    fn go_to(&self, place: LogPlace) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(place.spot, (place.attempt, place.offset));
    }

    pub(super) fn all(&self) -> Vec<LogPlace> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |(spot, (attempt, offset)): (&LogSpot, &(u64, u64))| LogPlace {
            spot: spot.clone(),
            attempt: *attempt,
            offset: *offset,
        };
        places.iter().map(place).collect()
    }

    pub(super) fn note(&self, item: &LogItem) {
        match item {
            LogItem::Host(host) => host.reached.iter().flatten().for_each(|place| self.go_to(place.clone())),
            LogItem::Lines(source, lines) => {
                if let Some(last) = lines.last() {
                    let spot = source.spot.clone();
                    self.go_to(LogPlace { spot, attempt: source.attempt, offset: last.next });
                }
            }
            LogItem::Gap(gap) => self.go_to(gap.to.clone()),
        }
    }
}

/// Where a caller is, host by host. A host that leaves and returns goes on where it was.
#[derive(Debug, Default)]
pub struct AllPlaces(BTreeMap<HostId, Places>);

impl AllPlaces {
    /// As a caller says.
    #[must_use]
    pub fn new(after: Vec<LogPlace>) -> Self {
        let mut all = Self::default();
        for place in after {
            all.of(&place.spot.host.clone()).go_to(place);
        }
        all
    }

    /// Those of one host.
    pub fn of(&mut self, host: &HostId) -> Places {
        self.0.entry(host.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use api::view::{LogHost, LogStream};

    use super::*;

    fn place(host: &str, offset: u64) -> LogPlace {
        let spot = LogSpot { host: host.parse().unwrap(), instance: 0, stream: LogStream::Serve };
        LogPlace { spot, attempt: 1, offset }
    }

    #[test]
    fn a_host_that_leaves_and_returns_goes_on_where_it_was() {
        let (h1, h2) = ("h1".parse().unwrap(), "h2".parse().unwrap());
        let mut all = AllPlaces::new(vec![place("h1", 10)]);
        assert_eq!(all.of(&h1).all(), [place("h1", 10)]);
        let reached =
            LogItem::Host(LogHost { host: h1.clone(), reached: Ok(vec![place("h1", 70)]), current: true });
        all.of(&h1).note(&reached);
        // Whoever asked it has ended meanwhile.
        assert_eq!(all.of(&h1).all(), [place("h1", 70)]);
        assert!(all.of(&h2).all().is_empty(), "where nobody was, the last lines come first");
    }
}
