use model::{Fence, Incarnation, Revision};

use super::*;
use crate::{
    fake::{FakeAgent, Play, Script},
    view::{LogGap, LogHost, LogLine, LogSource, LogStream},
};

fn spot(host: &str) -> LogSpot {
    LogSpot { host: host.parse().unwrap(), instance: 0, stream: LogStream::Serve }
}

fn place(host: &str, attempt: u64, offset: u64) -> LogPlace {
    LogPlace { spot: spot(host), attempt, offset }
}

fn reached(places: Vec<LogPlace>) -> Play<LogItem> {
    Play::Say(LogItem::Host(LogHost {
        host: places[0].spot.host.clone(),
        reached: Ok(places),
        current: false,
    }))
}

fn source(host: &str, attempt: u64) -> LogSource {
    let fence = Fence { incarnation: Incarnation(1), revision: Revision(9) };
    LogSource { spot: spot(host), attempt, fence, release: Some("dir-a".parse().unwrap()), restored: false }
}

/// Lines that end at these places.
fn lines(host: &str, attempt: u64, ends: &[u64]) -> Play<LogItem> {
    let line = |next: &u64| LogLine {
        offset: next - 5,
        next: *next,
        text: format!("to {next}"),
        cut: false,
        continued: false,
    };
    Play::Say(LogItem::Lines(source(host, attempt), ends.iter().map(line).collect()))
}

fn gap(from: LogPlace, to: LogPlace) -> Play<LogItem> {
    Play::Say(LogItem::Gap(LogGap { from, to, lost_bytes: Some(7) }))
}

async fn agent(logs: Vec<Play<LogItem>>) -> FakeAgent {
    FakeAgent::start(Script { logs: [logs].into(), ..Script::default() }).await
}

fn query() -> LogsQuery {
    LogsQuery {
        service: "web".parse().unwrap(),
        hosts: Vec::new(),
        release: None,
        attempt: None,
        stream: None,
        tail_lines: 10,
        follow: true,
        after: Vec::new(),
    }
}

/// What is shown until this line comes: lines, and what else there is.
async fn shown(logs: &mut Logs, until: (&str, u64, u64)) -> Vec<String> {
    let mut shown = Vec::new();
    let last = format!("{} {} {}", until.0, until.1, until.2);
    while shown.last() != Some(&last) {
        match logs.next().await.unwrap().expect("the stream follows") {
            Step::Item(LogItem::Lines(of, lines)) => {
                let line = |line: LogLine| format!("{} {} {}", of.spot.host, of.attempt, line.next);
                shown.extend(lines.into_iter().map(line));
            }
            Step::Item(LogItem::Gap(_)) => shown.push("gap".into()),
            Step::Item(LogItem::Host(host)) => shown.push(host.host.to_string()),
            Step::Lost(_) => shown.push("lost".into()),
            Step::Waits(_) => (),
        }
    }
    shown
}

#[tokio::test]
async fn the_next_agent_is_told_every_place_and_nothing_is_shown_twice() {
    let first = vec![
        reached(vec![place("h1", 2, 10)]),
        reached(vec![place("h2", 1, u64::MAX)]),
        lines("h1", 2, &[15, 20]),
        Play::Cut(None),
    ];
    // It sends a little more than it was asked for.
    let second = vec![
        reached(vec![place("h1", 2, 20)]),
        lines("h1", 2, &[15, 20]),
        lines("h1", 2, &[20, 25]),
        lines("h2", 2, &[5]),
        Play::Stay,
    ];
    let (first, second) = (agent(first).await, agent(second).await);
    let client = Client::new(vec![first.address().clone(), second.address().clone()]);
    let mut logs = client.logs(query());
    let shown = shown(&mut logs, ("h2", 2, 5)).await;
    assert_eq!(shown, ["h1", "h2", "h1 2 15", "h1 2 20", "lost", "h1", "h1 2 25", "h2 2 5"]);
    let asked = &second.script().read[0];
    assert_eq!((asked.tail_lines, asked.follow), (10, true));
    let after: Vec<LogPlace> = asked.after.iter().map(|place| place.clone().try_into().unwrap()).collect();
    assert_eq!(after, [place("h1", 2, 20), place("h2", 1, u64::MAX)], "also where no line was seen");
}

#[tokio::test]
async fn after_a_gap_the_place_is_where_it_ends_even_if_that_is_further_back() {
    let first = vec![
        reached(vec![place("h1", 2, 0)]),
        lines("h1", 2, &[90]),
        gap(place("h1", 2, 90), place("h1", 2, 0)),
        lines("h1", 2, &[30]),
        Play::Cut(None),
    ];
    let (first, second) = (agent(first).await, agent(vec![lines("h1", 2, &[35]), Play::Stay]).await);
    let client = Client::new(vec![first.address().clone(), second.address().clone()]);
    let shown = shown(&mut client.logs(query()), ("h1", 2, 35)).await;
    assert_eq!(shown, ["h1", "h1 2 90", "gap", "h1 2 30", "lost", "h1 2 35"]);
    assert_eq!(second.script().read[0].after, [place("h1", 2, 30).into()]);
}

#[tokio::test]
async fn without_follow_the_end_is_the_end() {
    let there = agent(vec![reached(vec![place("h1", 2, 0)]), lines("h1", 2, &[5])]).await;
    let client = Client::new(vec![there.address().clone()]);
    let mut logs = client.logs(LogsQuery { follow: false, after: vec![place("h1", 2, 0)], ..query() });
    assert_eq!(shown(&mut logs, ("h1", 2, 5)).await, ["h1", "h1 2 5"]);
    assert_eq!(logs.next().await.unwrap(), None);
    assert_eq!(there.script().read[0].after, [place("h1", 2, 0).into()]);
}
