//! What happened, in words.

use std::{collections::BTreeMap, fmt};

use model::{
    ClusterId,
    forming::{Question, Refusal, Roster, Said, Standing},
};

use super::{
    local::{Body, Happens, Letter, Local, hosts_of, name},
    search::{Action, Search},
};

/// One event of a story.
#[derive(Debug, Clone)]
pub(super) struct Step(String);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rosters by letter, in the order in which they are met.
#[derive(Default)]
struct Names {
    seen: BTreeMap<ClusterId, char>,
}

/// Plays what happened again, and says it. Answers that change nothing at who gives them are not events.
pub(super) fn story(search: &mut Search, path: &[Action]) -> Vec<Step> {
    let mut state = search.first();
    let mut names = Names::default();
    let mut steps = Vec::new();
    let first = search.table.local(state.locals[0]).former.record();
    if let Some(roster) = first.bound() {
        names.roster(roster);
    }
    for action in path {
        let host = usize::from(action.host);
        let before = search.table.local(state.locals[host]).clone();
        let what = match action.happens {
            Happens::Arrives(letter) => arrives(search.table.letter(letter), &mut names),
            other => happens(&before, other, &mut names),
        };
        let Some(then) = search.then(&state, *action) else { break };
        state = then;
        let after = search.table.local(state.locals[host]);
        let mut text = format!("{} {what}", name(host));
        if let Some(became) = became(&before, after, &mut names) {
            text.push_str(&format!(", and {became}"));
        }
        if 0 < action.cut {
            text.push_str(", and crashes before it does more");
        }
        steps.push(Step(text));
    }
    steps
}

fn happens(local: &Local, happens: Happens, names: &mut Names) -> String {
    let text = |bits: u8| hosts_of(bits).map(|host| name(host).to_string()).collect::<Vec<_>>().join(" ");
    match happens {
        Happens::Arrives(_) => String::new(),
        Happens::Late => "has waited long enough".into(),
        Happens::Listed { shown, dead: 0 } => format!("is given the list {}", text(shown)),
        Happens::Listed { shown, dead } => {
            format!("is given the list {}, of whom {} is terminated", text(shown & !dead), text(dead))
        }
        Happens::Started => match &local.running {
            Some(roster) => format!("STARTS THE GROUP of {}", names.roster(roster)),
            None => "starts nothing".into(),
        },
        Happens::NotStarted => "cannot start the group: its disk is full".into(),
        Happens::Crash => "crashes, and starts again".into(),
        Happens::Emptied => "starts again with an empty disk".into(),
        Happens::Terminated => "is terminated".into(),
        Happens::SetAside(host) => format!("is told by an operator to go on without {}", name(host)),
    }
}

fn arrives(letter: &Letter, names: &mut Names) -> String {
    let from = name(letter.from);
    match &letter.body {
        Body::Ask(ask) => match &ask.question {
            Question::Group => format!("is asked by {from} for a group"),
            Question::Agree(roster) => format!("is asked by {from} to agree to {}", names.roster(roster)),
            Question::Withdraw { cluster, .. } => {
                format!("is asked by {from} to withdraw from {}", names.cluster(cluster))
            }
        },
        Body::Answer(answer) => match &answer.said {
            Said::NoGroup { agreed: None, .. } => format!("hears that {from} has no group"),
            Said::NoGroup { agreed: Some(_), .. } => format!("hears that {from} has no group but is bound"),
            Said::Group { cluster } => format!("hears that {from} has the group {}", names.cluster(cluster)),
            Said::Agreed { cluster } => format!("hears that {from} agrees to {}", names.cluster(cluster)),
            Said::Refused { cluster, why: why @ Refusal::LeavesOut(_) } => {
                format!("hears that {from} refuses {}: {why}", names.cluster(cluster))
            }
            Said::Refused { cluster, .. } => format!("hears that {from} refuses {}", names.cluster(cluster)),
            Said::Withdrawn { cluster } => {
                format!("hears that {from} has withdrawn from {}", names.cluster(cluster))
            }
        },
        Body::Contact(cluster) => {
            format!("gets a message of the group {} from {from}", names.cluster(cluster))
        }
        Body::Joined(cluster) => format!("is taken into the group {}", names.cluster(cluster)),
    }
}

/// What a host has become.
fn became(before: &Local, after: &Local, names: &mut Names) -> Option<String> {
    let (was, is) = (&before.former.record().standing, &after.former.record().standing);
    if was == is || after.is_terminated {
        return None;
    }
    Some(match is {
        Standing::Free => "is free again".into(),
        Standing::Agreed(roster) => format!("agrees to {}", names.roster(roster)),
        Standing::Withdrawn(roster) => format!("withdraws from {}", names.cluster(&roster.cluster)),
        Standing::Initialising(roster) => {
            format!("will start the group of {}", names.cluster(&roster.cluster))
        }
        Standing::Member { cluster } => format!("is a member of {}", names.cluster(cluster)),
    })
}

impl Names {
    fn cluster(&mut self, cluster: &ClusterId) -> String {
        let next = char::from(b'A' + u8::try_from(self.seen.len().min(25)).unwrap_or_default());
        self.seen.entry(cluster.clone()).or_insert(next).to_string()
    }

    fn roster(&mut self, roster: &Roster) -> String {
        let hosts: Vec<&str> = roster.seats.iter().map(|seat| seat.identity.host.as_str()).collect();
        format!("{} ({})", self.cluster(&roster.cluster), hosts.join(" "))
    }
}
