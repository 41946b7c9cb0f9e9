//! What is looked at: how many hosts, what their lists can show, and which faults there are how often.

/// What can happen, and how far it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// In words, for people.
    pub(super) about: &'static str,
    pub(super) hosts: usize,
    pub(super) expected: usize,
    /// For each host, the hosts that its lists can show.
    pub(super) lists: Lists,
    /// The hosts of a roster of round 1 that the first of them has proposed, and those who have agreed to it before it begins, one bit for each.
    pub(super) begun: Option<(u8, u8)>,
    /// Crashes, before or after any effect.
    pub(super) crashes: Faults,
    /// State directories that are emptied.
    pub(super) emptied: Faults,
    /// Hosts that are terminated as it begins, after they have said what they had to say; one bit for each.
    pub(super) dead: u8,
    /// Hosts that are terminated.
    pub(super) terminated: Faults,
    /// Initialisings that fail.
    pub(super) failures: Faults,
    /// Hosts at which an operator sets aside a host, one that is terminated.
    pub(super) set_aside: Faults,
    /// Rosters of later rounds are not followed up.
    pub(super) rounds: u64,
    /// So many states at most, when it is not to look as far as it can.
    pub(super) limit: usize,
    /// Left out of what every change has to pass.
    pub(super) is_long: bool,
    /// Here two groups form, as is known and said: nothing else would be well.
    pub(super) is_limit: bool,
    /// A rule is left out of the machines that are looked at: only two groups count, and any message can matter.
    pub(super) is_planted: bool,
}

/// What the inventory's answers show.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lists {
    /// All hosts.
    Whole,
    /// Any of them, with the one who is answered.
    Any,
    /// For each host its own, one bit for each host.
    These(&'static [&'static [u8]]),
}

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// So many in one history.
    pub(super) count: u8,
    /// At these hosts, one bit for each.
    pub(super) at: u8,
}

const NONE: Faults = Faults { count: 0, at: 0 };

const fn any(count: u8) -> Faults {
    Faults { count, at: 0xff }
}

const fn at(count: u8, at: u8) -> Faults {
    Faults { count, at }
}

const BASE: Scenario = Scenario {
    name: "",
    about: "",
    hosts: 3,
    expected: 2,
    lists: Lists::Any,
    begun: None,
    crashes: NONE,
    emptied: NONE,
    dead: 0,
    terminated: NONE,
    failures: NONE,
    set_aside: NONE,
    rounds: 2,
    limit: 100_000,
    is_long: false,
    is_limit: false,
    is_planted: false,
};

/// All rules are kept: never two groups, and whatever happened, one forms.
pub(super) const KEPT: &[Scenario] = &[
    Scenario {
        name: "two",
        about: "2 of 2 hosts expected, any lists, 2 crashes, 1 initialising fails",
        hosts: 2,
        crashes: any(2),
        failures: any(1),
        ..BASE
    },
    Scenario {
        name: "calm",
        about: "3 of 3 hosts expected, whole lists, no crash, one round",
        expected: 3,
        lists: Lists::Whole,
        rounds: 1,
        limit: 1_000_000,
        ..BASE
    },
    Scenario {
        name: "crashes",
        about: "3 of 3 hosts expected, whole lists, 2 crashes, 1 initialising fails",
        expected: 3,
        lists: Lists::Whole,
        crashes: any(2),
        failures: any(1),
        ..BASE
    },
    Scenario { name: "lists", about: "2 of 3 hosts expected, any lists, no crash", ..BASE },
    Scenario {
        name: "agreed",
        about: "2 of 3 hosts expected, all have agreed, any lists, 1 crash, 1 host terminated",
        begun: Some((0b111, 0b111)),
        crashes: any(1),
        terminated: any(1),
        ..BASE
    },
    Scenario {
        name: "four",
        about: "3 of 4 hosts expected, two lists with two hosts in common, of whom one crashes",
        hosts: 4,
        expected: 3,
        lists: Lists::These(&[&[0b0111], &[], &[], &[0b1110]]),
        crashes: at(1, 0b0110),
        ..BASE
    },
    Scenario {
        name: "four-agreed",
        about: "3 of 4 hosts expected, all have agreed, whole lists, 1 crash, 1 host terminated",
        hosts: 4,
        expected: 3,
        lists: Lists::Whole,
        begun: Some((0b1111, 0b1111)),
        crashes: any(1),
        terminated: any(1),
        ..BASE
    },
    Scenario {
        name: "five",
        about: "3 of 5 hosts expected, two lists with one host in common, which crashes",
        hosts: 5,
        expected: 3,
        lists: Lists::These(&[&[0b0_0111], &[], &[], &[], &[0b1_1100]]),
        crashes: at(1, 0b0_0100),
        ..BASE
    },
    Scenario {
        name: "five-agreed",
        about: "3 of 5 hosts expected, all have agreed, whole lists, 1 crash, 1 host terminated",
        hosts: 5,
        expected: 3,
        lists: Lists::Whole,
        begun: Some((0b1_1111, 0b1_1111)),
        crashes: any(1),
        terminated: any(1),
        ..BASE
    },
    Scenario {
        name: "emptied",
        about: "3 of 3 hosts expected, whole lists, 1 host loses its disk",
        expected: 3,
        lists: Lists::Whole,
        emptied: any(1),
        ..BASE
    },
];

/// What no rule prevents: see `docs/adr/0008-forming-a-cluster.md`.
pub(super) const LIMITS: &[Scenario] = &[
    Scenario {
        name: "limit-halves",
        about: "1 of 2 hosts expected, two lists with no host in common",
        hosts: 2,
        expected: 1,
        lists: Lists::These(&[&[0b01], &[0b10]]),
        is_limit: true,
        ..BASE
    },
    Scenario {
        name: "limit-emptied",
        about: "2 of 3 hosts expected, two lists with one host in common, which agrees and loses its disk",
        lists: Lists::These(&[&[0b101], &[0b110], &[]]),
        emptied: at(1, 0b100),
        is_limit: true,
        ..BASE
    },
    Scenario {
        name: "limit-aside",
        about: "2 of 3 hosts expected, two operators set a terminated host aside on two hosts that do not know each other",
        lists: Lists::These(&[&[0b101], &[0b110], &[]]),
        terminated: at(1, 0b100),
        set_aside: at(2, 0b011),
        is_limit: true,
        ..BASE
    },
];

/// All rules are kept, with more hosts than can be looked at one state at a time.
pub(super) const WALKS: &[Scenario] = &[
    Scenario {
        name: "four-drawn",
        about: "3 of 4 hosts expected, any lists, 2 crashes, 1 host terminated, 1 initialising fails",
        hosts: 4,
        expected: 3,
        crashes: any(2),
        terminated: any(1),
        failures: any(1),
        ..BASE
    },
    Scenario {
        name: "five-drawn",
        about: "3 of 5 hosts expected, any lists, 2 crashes, 1 host terminated, 1 initialising fails",
        hosts: 5,
        expected: 3,
        crashes: any(2),
        terminated: any(1),
        failures: any(1),
        ..BASE
    },
];

const AGREED: Scenario = Scenario { begun: Some((0b111, 0b111)), ..BASE };

const SET_ASIDE: Scenario = Scenario {
    about: "all have agreed; one host crashes, one is terminated, which an operator sets aside",
    lists: Lists::These(&[&[0b001], &[], &[]]),
    crashes: at(1, 0b001),
    terminated: at(1, 0b100),
    set_aside: at(1, 0b001),
    ..AGREED
};

/// For each rule, where two groups form without it. The names are those of `crates/sim/mutants.toml`.
pub(super) const RULES: &[Scenario] = &[
    Scenario { name: "forming-expected", about: "any lists", ..BASE },
    Scenario {
        name: "forming-every-host",
        about: "whole lists, an operator sets a terminated host aside",
        lists: Lists::Whole,
        terminated: at(1, 0b100),
        set_aside: any(1),
        ..BASE
    },
    Scenario { name: "forming-unanimous", about: "any lists", ..BASE },
    Scenario { name: "forming-one-agreement", about: "any lists", ..BASE },
    Scenario {
        name: "forming-agreement-stored",
        about: "two lists with one host in common, which crashes",
        lists: Lists::These(&[&[0b101], &[0b110], &[]]),
        crashes: at(1, 0b100),
        ..BASE
    },
    Scenario {
        name: "forming-initialising-stored",
        about: "all have agreed; one host crashes, one is terminated",
        lists: Lists::These(&[&[0b111], &[], &[]]),
        crashes: at(1, 0b001),
        terminated: at(1, 0b100),
        ..AGREED
    },
    Scenario { name: "forming-group-is-final", about: "any lists", ..BASE },
    Scenario { name: "forming-withdrawn-by-all", ..SET_ASIDE },
    Scenario {
        name: "forming-withdrawn-for-good",
        about: "h1 has agreed to h1 h2, whom it proposed; h2 is given h2 h3; h1 crashes once and h2 twice",
        lists: Lists::These(&[&[], &[0b110], &[]]),
        begun: Some((0b011, 0b001)),
        crashes: at(3, 0b011),
        limit: 300_000,
        ..BASE
    },
    Scenario { name: "forming-gone-unheard", ..SET_ASIDE },
    Scenario {
        name: "forming-same-state",
        about: "all have agreed, one is terminated, which an operator sets aside; one host crashes, one loses its disk",
        lists: Lists::These(&[&[0b001], &[], &[]]),
        crashes: at(1, 0b001),
        emptied: at(1, 0b010),
        dead: 0b100,
        set_aside: at(1, 0b001),
        ..AGREED
    },
];
