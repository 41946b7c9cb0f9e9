//! What an answer of EC2 says about the fleet.
//!
//! Promise: nobody leaves the fleet by not being in an answer, and whoever was terminated once stays so, though EC2 forgets it within an hour.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use model::HostId;
use ports::{Listed, ListedState};

use crate::AddressKind;

/// Most terminated hosts that are remembered; the fleet has its own, lasting memory of its hosts.
const TERMINATED_LIMIT: usize = 4096;

/// An instance as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Described {
    /// Its id.
    pub id: String,
    /// The name of its state.
    pub state: String,
    /// Its addresses.
    pub addresses: Addresses,
    /// The availability zone that it is in.
    pub zone: Option<String>,
    /// When it was launched, in seconds since 1970. Only its order counts.
    pub launched_secs: u64,
}

/// The addresses of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// The primary one inside its network.
    pub private_ipv4: Option<IpAddr>,
    /// The one that the world sees.
    pub public_ipv4: Option<IpAddr>,
    /// Its first of version 6.
    pub ipv6: Option<IpAddr>,
}

impl Addresses {
    /// The one of this kind.
    #[must_use]
    pub fn of(&self, kind: AddressKind) -> Option<IpAddr> {
        match kind {
            AddressKind::PrivateIpv4 => self.private_ipv4,
            AddressKind::PublicIpv4 => self.public_ipv4,
            AddressKind::Ipv6 => self.ipv6,
        }
    }
}

/// All that was learned of the fleet's instances.
#[derive(Debug)]
pub struct Listing {
    address: AddressKind,
    port: u16,
    /// As listed last, oldest first.
    hosts: Vec<Listed>,
    terminated: BTreeMap<HostId, Listed>,
    /// Those that were said to have no address.
    unreachable: BTreeSet<HostId>,
}

/// What an answer has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Whether anything did.
    pub changed: bool,
    /// What to say about it, once.
    pub words: Vec<String>,
}

impl Listing {
    /// Of nobody yet. Agents are reached at addresses of this kind, at this port.
    #[must_use]
    pub fn new(address: AddressKind, port: u16) -> Self {
        let (hosts, terminated, unreachable) = Default::default();
        Self { address, port, hosts, terminated, unreachable }
    }

    /// Everybody who is there, oldest first, and everybody who was terminated.
    #[must_use]
    pub fn all(&self) -> Vec<Listed> {
        self.hosts.iter().chain(self.terminated.values()).cloned().collect()
    }

    /// Those of `hosts` that were terminated.
    #[must_use]
    pub fn terminated_of(&self, hosts: &BTreeSet<HostId>) -> BTreeSet<HostId> {
        hosts.iter().filter(|host| self.terminated.contains_key(*host)).cloned().collect()
    }

    /// Takes a whole answer to the question who has the fleet's tags.
    pub fn take(&mut self, answer: Vec<Described>) -> News {
        let mut news = News::default();
        let mut hosts = Vec::new();
        let mut unreachable = BTreeSet::new();
        for described in answer {
            let Ok(host) = described.id.parse::<HostId>() else { continue };
            match described.state.as_str() {
                "terminated" => news.changed |= self.bury(host, &described),
                "pending" | "running" => match described.addresses.of(self.address) {
                    Some(ip) => hosts.push(self.listed(host, ip, described)),
                    None => {
                        if !self.unreachable.contains(&host) {
                            news.words.push(format!(
                                "{host} has no {}, so it is not listed: give it one, or set inventory.address",
                                self.address.words()
                            ));
                        }
                        unreachable.insert(host);
                    }
                },
                // It does not answer, and is not gone for good: it is not listed, which removes nobody.
                _ => {}
            }
        }
        hosts.sort_by(|a, b| (a.launched, &a.host).cmp(&(b.launched, &b.host)));
        hosts.dedup_by(|a, b| a.host == b.host);
        // It cannot come back under this id, whatever an answer from the past says.
        hosts.retain(|listed| !self.terminated.contains_key(&listed.host));
        news.changed |= hosts != self.hosts;
        (self.hosts, self.unreachable) = (hosts, unreachable);
        news
    }

    /// Takes an answer to the question what became of some hosts that are not listed. Only who was terminated counts: tags of such an instance go
    /// before it does.
    pub fn take_fates(&mut self, answer: &[Described]) -> News {
        let mut news = News::default();
        for described in answer.iter().filter(|described| described.state == "terminated") {
            if let Ok(host) = described.id.parse() {
                news.changed |= self.bury(host, described);
            }
        }
        news
    }

    fn listed(&self, host: HostId, ip: IpAddr, described: Described) -> Listed {
        Listed {
            host,
            address: SocketAddr::new(ip, self.port),
            zone: described.zone,
            launched: described.launched_secs,
            state: ListedState::Present,
        }
    }

    /// Remembers that the host was terminated. Returns whether that is news.
    fn bury(&mut self, host: HostId, described: &Described) -> bool {
        if self.terminated.contains_key(&host) || TERMINATED_LIMIT <= self.terminated.len() {
            return false;
        }
        // A terminated instance has no address any more: the last one that it had names it.
        let last = self.hosts.iter().find(|listed| listed.host == host).map(|listed| listed.address);
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port);
        let listed = Listed {
            host: host.clone(),
            address: last.unwrap_or(nowhere),
            zone: described.zone.clone(),
            launched: described.launched_secs,
            state: ListedState::Terminated,
        };
        self.hosts.retain(|listed| listed.host != host);
        self.terminated.insert(host, listed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, state: &str, ip: &str, launched_secs: u64) -> Described {
        let private_ipv4 = ip.parse().ok();
        let addresses = Addresses { private_ipv4, ..Addresses::default() };
        Described { id: id.into(), state: state.into(), addresses, zone: Some("a".into()), launched_secs }
    }

    fn listing() -> Listing {
        Listing::new(AddressKind::PrivateIpv4, 7100)
    }

    fn names(listing: &Listing) -> Vec<(String, ListedState)> {
        listing.all().into_iter().map(|listed| (listed.host.to_string(), listed.state)).collect()
    }

    fn host(name: &str) -> HostId {
        name.parse().unwrap()
    }

    #[test]
    fn who_is_there_is_listed_oldest_first_with_its_address() {
        let mut listing = listing();
        let news = listing.take(vec![
            instance("i-b", "running", "10.0.0.2", 20),
            instance("i-a", "pending", "10.0.0.1", 20),
            instance("i-c", "running", "10.0.0.3", 10),
        ]);
        assert!(news.changed && news.words.is_empty(), "{news:?}");
        let all = listing.all();
        let order: Vec<&str> = all.iter().map(|listed| listed.host.as_str()).collect();
        assert_eq!(order, ["i-c", "i-a", "i-b"]);
        assert_eq!(all[0].address, "10.0.0.3:7100".parse().unwrap());
        assert_eq!((all[0].launched, all[0].zone.as_deref()), (10, Some("a")));
    }

    #[test]
    fn only_terminated_is_a_fact() {
        let mut listing = listing();
        let states = ["running", "stopping", "stopped", "shutting-down", "terminated", "hibernated"];
        let answer = states.iter().map(|state| instance(&format!("i-{state}"), state, "10.0.0.1", 1));
        listing.take(answer.collect());
        let expected = [
            ("i-running".to_owned(), ListedState::Present),
            ("i-terminated".to_owned(), ListedState::Terminated),
        ];
        assert_eq!(names(&listing), expected);
    }

    #[test]
    fn terminated_stays_when_ec2_has_forgotten_and_when_it_answers_from_the_past() {
        let mut listing = listing();
        listing.take(vec![instance("i-a", "running", "10.0.0.1", 1)]);
        assert!(listing.take(vec![instance("i-a", "terminated", "", 1)]).changed);
        let gone = [("i-a".to_owned(), ListedState::Terminated)];
        assert_eq!(names(&listing), gone);
        assert_eq!(listing.all()[0].address, "10.0.0.1:7100".parse().unwrap(), "the last that it had");
        assert!(!listing.take(vec![]).changed, "forgotten");
        assert_eq!(names(&listing), gone);
        assert!(!listing.take(vec![instance("i-a", "running", "10.0.0.1", 1)]).changed, "from the past");
        assert_eq!(names(&listing), gone);
    }

    #[test]
    fn tags_that_went_before_the_instance_hide_no_termination() {
        let mut listing = listing();
        listing
            .take(vec![instance("i-a", "running", "10.0.0.1", 1), instance("i-b", "running", "10.0.0.2", 2)]);
        listing.take(vec![]);
        assert_eq!(names(&listing), [], "not listed, and not terminated either");
        let wanted = BTreeSet::from([host("i-a"), host("i-b")]);
        assert_eq!(listing.terminated_of(&wanted), BTreeSet::new());
        let fates = [instance("i-a", "terminated", "", 1), instance("i-b", "running", "10.0.0.2", 2)];
        assert!(listing.take_fates(&fates).changed);
        assert!(!listing.take_fates(&fates).changed, "only once");
        assert_eq!(listing.terminated_of(&wanted), BTreeSet::from([host("i-a")]));
    }

    #[test]
    fn who_cannot_be_reached_is_not_listed_and_is_said_once() {
        let mut listing = Listing::new(AddressKind::Ipv6, 7100);
        let answer = || vec![instance("i-a", "running", "10.0.0.1", 1)];
        let news = listing.take(answer());
        let said = "i-a has no IPv6 address, so it is not listed: give it one, or set inventory.address";
        assert_eq!(news.words, [said]);
        assert_eq!(listing.take(answer()), News::default());
        listing.take(vec![]);
        assert_eq!(listing.take(answer()).words, [said], "it was away");
    }

    #[test]
    fn an_instance_that_comes_twice_is_one_host() {
        let mut listing = listing();
        listing
            .take(vec![instance("i-a", "running", "10.0.0.1", 1), instance("i-a", "running", "10.0.0.1", 1)]);
        assert_eq!(listing.all().len(), 1);
    }
}
