//! Why a service waits: each reason once, with all whom it is about; first what needs a person.

use std::fmt::Write as _;

use api::view::{HoldStatus, ServiceStatus};
use model::HostId;

use super::{paint::wrap, status::How, text::seconds};

/// Holds that end by themselves when all goes well.
const NORMAL: [&str; 8] = [
    "changing",
    "leader_learning",
    "migrating",
    "no_free_slot",
    "queued",
    "retry_later",
    "staging",
    "wave_soak",
];
/// Hosts of one hold that are named.
const NAMED: usize = 6;

/// Holds that say the same of different hosts.
struct Group<'a> {
    first: &'a HoldStatus,
    others: Vec<&'a HostId>,
}

pub(super) fn lines(service: &ServiceStatus, how: How, text: &mut String) {
    let paint = how.paint;
    for group in groups(&service.holds) {
        let hold = group.first;
        let waits = if is_normal(hold) { paint.busy("waits:") } else { paint.bad("waits:") };
        let others = others(&group.others);
        let ends = hold.ends_in.map(|ends| format!(", {} left", seconds(ends))).unwrap_or_default();
        let line = format!("  {waits} {}{others} ({}{ends})", hold.text, seconds(hold.lasted));
        let _ = writeln!(text, "{}", wrap(&line, how.width, 9));
        if how.whole {
            let _ = writeln!(text, "{}", wrap(&format!("         until {}", hold.ends_when), how.width, 11));
        }
    }
}

fn is_normal(hold: &HoldStatus) -> bool {
    // A drained host does not come back by itself.
    NORMAL.contains(&hold.name.as_str()) && !hold.ends_when.contains("hosts admit")
}

fn groups(holds: &[HoldStatus]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for hold in holds {
        match (groups.iter_mut().find(|group| says_the_same(group.first, hold)), &hold.host) {
            (Some(group), Some(host)) => group.others.push(host),
            _ => groups.push(Group { first: hold, others: Vec::new() }),
        }
    }
    groups.sort_by_key(|group| is_normal(group.first));
    groups
}

/// Whether two holds differ in the host only.
fn says_the_same(one: &HoldStatus, other: &HoldStatus) -> bool {
    let (Some(host), Some(another)) = (&one.host, &other.host) else { return false };
    let without = |text: &str, host: &HostId| {
        let words = text.split(' ').map(|word| if word == host.as_str() { "" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    one.name == other.name
        && one.rollout == other.rollout
        && without(&one.text, host) == without(&other.text, another)
}

fn others(hosts: &[&HostId]) -> String {
    if hosts.is_empty() {
        return String::new();
    }
    let named: Vec<&str> = hosts.iter().take(NAMED).map(|host| host.as_str()).collect();
    let more = hosts.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("; the same of {}{more}", named.join(", "))
}
