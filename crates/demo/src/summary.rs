//! What a rollout took, from its own events: time per host and step.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use api::v1::{self, EventsRequest, deployinator_client::DeployinatorClient, event::Detail};

/// The steps of a change, in their order, as columns.
const STEPS: [(v1::HostPhase, &str); 7] = [
    (v1::HostPhase::Draining, "drain"),
    (v1::HostPhase::Stopping, "stop"),
    (v1::HostPhase::Starting, "start"),
    (v1::HostPhase::Probing, "probe"),
    (v1::HostPhase::Joining, "join"),
    (v1::HostPhase::Soaking, "soak"),
    (v1::HostPhase::Reverting, "revert"),
];

/// Time per host and step.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Times {
    hosts: BTreeMap<String, BTreeMap<i32, Duration>>,
}

/// Reads the events since `rollout` began, from the agent at `address`.
///
/// # Errors
/// It does not answer.
pub async fn times(address: &str, service: &str, rollout: u64) -> anyhow::Result<Times> {
    let mut client = DeployinatorClient::connect(format!("http://{address}")).await?;
    let after = v1::Cursor { revision: rollout.saturating_sub(1), index: u32::MAX };
    let request = EventsRequest { service: Some(service.to_owned()), after: Some(after), follow: false };
    let mut stream = client.events(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.message().await? {
        if let Some(v1::events_response::Item::Event(event)) = answer.item {
            events.push(event);
        }
    }
    Ok(fold(&events))
}

/// Adds up how long each host was in each step.
#[must_use]
pub fn fold(events: &[v1::Event]) -> Times {
    let mut times = Times::default();
    let mut open: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for event in events {
        let (Some(host), Some(detail)) = (event.host.as_deref(), &event.detail) else { continue };
        let next = match detail {
            Detail::HostMoved(moved) => Some(moved.to),
            Detail::HostFailed(_) => Some(v1::HostPhase::Reverting.into()),
            Detail::HostSettled(_) => None,
            _ => continue,
        };
        if let Some((phase, since)) = open.remove(host) {
            let spent = Duration::from_millis(event.at_ms.saturating_sub(since));
            *times.hosts.entry(host.to_owned()).or_default().entry(phase).or_default() += spent;
        }
        if let Some(next) = next {
            open.insert(host, (next, event.at_ms));
        }
    }
    times
}

impl Times {
    /// As a table, with a column for each step that any host went through.
    #[must_use]
    pub fn table(&self) -> String {
        let shown: Vec<_> = STEPS
            .iter()
            .filter(|(phase, _)| self.hosts.values().any(|host| host.contains_key(&i32::from(*phase))))
            .collect();
        let wide = self.hosts.keys().map(String::len).max().unwrap_or_default().max(6);
        let mut table = format!("  {:<wide$}", "host");
        for (_, name) in &shown {
            let _ = write!(table, "{name:>9}");
        }
        let _ = writeln!(table, "{:>9}", "total");
        for (host, steps) in &self.hosts {
            let _ = write!(table, "  {host:<wide$}");
            for (phase, _) in &shown {
                let text =
                    steps.get(&i32::from(*phase)).map_or_else(|| "-".to_owned(), |spent| seconds(*spent));
                let _ = write!(table, "{text:>9}");
            }
            let _ = writeln!(table, "{:>9}", seconds(steps.values().sum()));
        }
        table
    }
}

/// "1.20 s".
#[must_use]
pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(host: &str, at_ms: u64, to: v1::HostPhase) -> v1::Event {
        let detail = Detail::HostMoved(v1::HostMoved { to: to.into(), ..Default::default() });
        v1::Event { at_ms, host: Some(host.into()), detail: Some(detail), ..Default::default() }
    }

    #[test]
    fn steps_are_added_up_per_host() {
        let settled = v1::Event {
            at_ms: 900,
            host: Some("h1".into()),
            detail: Some(Detail::HostSettled(v1::HostSettled::default())),
            ..Default::default()
        };
        let events = [
            moved("h1", 100, v1::HostPhase::Draining),
            moved("h2", 150, v1::HostPhase::Draining),
            moved("h1", 400, v1::HostPhase::Stopping),
            settled,
        ];
        let times = fold(&events);
        assert_eq!(times.hosts["h1"][&i32::from(v1::HostPhase::Draining)], Duration::from_millis(300));
        assert_eq!(times.hosts["h1"][&i32::from(v1::HostPhase::Stopping)], Duration::from_millis(500));
        assert_eq!(times.table().lines().count(), 2, "h2 has ended no step yet");
    }
}
