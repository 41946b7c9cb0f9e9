//! How well a service is on a host, in one line. Each word is more than the one before: up, ready, healthy, in service.

use api::view::HostStatus;
use model::host::health::{Health, Instance, Probe};

use super::{paint::Paint, text::seconds};

/// The balancer's word for a host that gets requests.
const IN_SERVICE: &str = "in service";

/// What is known of a host's service; none where nothing is, or where nothing is to run. With `all`, also of one that is as it should be.
pub(super) fn line(host: &HostStatus, all: bool, paint: Paint) -> Option<String> {
    let health = host.health.as_ref().filter(|health| !health.instances.is_empty())?;
    let idle = health.up() == 0 && host.current.is_none() && host.change.is_none();
    if idle || !all && is_plain(health) {
        return None;
    }
    let mut words = vec![up(health, paint)];
    words.extend(ready(health, paint));
    words.push(healthy(health.probe.as_ref(), paint));
    words.extend(standing(health.standing.as_deref(), paint));
    words.extend(health.instances_wanted.map(|wanted| paint.busy(&wanted_words(wanted))));
    Some(words.join(&paint.faint(", ")))
}

fn is_plain(health: &Health) -> bool {
    health.instances.iter().all(|instance| instance.pid.is_some() && instance.restarts == 0)
        && health.ready != Some(false)
        && health.probe.as_ref().is_none_or(|probe| probe.passed)
        && health.standing.as_deref().is_none_or(|standing| standing == IN_SERVICE)
        && health.instances_wanted.is_none()
}

fn up(health: &Health, paint: Paint) -> String {
    let restarts: u32 = health.instances.iter().map(|instance| instance.restarts).sum();
    let restarted = match restarts {
        0 => String::new(),
        1 => paint.busy(" restarted once"),
        _ => paint.busy(&format!(" restarted {restarts} times")),
    };
    if let [instance] = &health.instances[..] {
        let words = match (instance.pid, &instance.ended) {
            (Some(pid), _) => paint.faint(&format!("up, pid {pid}")),
            (None, Some(ended)) => paint.bad(&format!("not up: {ended}")),
            (None, None) => paint.bad("not up"),
        };
        return format!("{words}{restarted}");
    }
    let (up, all) = (health.up(), health.instances.len());
    let down = health.instances.iter().enumerate().filter(|(_, instance)| instance.pid.is_none());
    let down: Vec<String> = down.map(|(number, instance)| down_words(number, instance)).collect();
    let words = match down.is_empty() {
        true => paint.faint(&format!("{up} of {all} up")),
        false => paint.bad(&format!("{up} of {all} up: {}", down.join("; "))),
    };
    format!("{words}{restarted}")
}

fn down_words(number: usize, instance: &Instance) -> String {
    match &instance.ended {
        Some(ended) => format!("instance {number} {ended}"),
        None => format!("instance {number} does not run"),
    }
}

fn ready(health: &Health, paint: Paint) -> Option<String> {
    let said = health.status.as_ref().map(|status| format!(" ({status})")).unwrap_or_default();
    match health.ready {
        Some(true) => Some(paint.faint(&format!("ready{said}"))),
        Some(false) => Some(paint.bad(&format!("not ready{said}"))),
        None => None,
    }
}

fn healthy(probe: Option<&Probe>, paint: Paint) -> String {
    match probe {
        None => paint.faint("not probed"),
        Some(probe) if probe.passed => paint.faint(&format!("healthy {} ago", seconds(probe.ago))),
        Some(probe) => paint.bad(&format!("not healthy {} ago: {}", seconds(probe.ago), probe.reason)),
    }
}

fn standing(standing: Option<&str>, paint: Paint) -> Option<String> {
    standing.map(|standing| match standing {
        IN_SERVICE => paint.faint(IN_SERVICE),
        other => paint.bad(&format!("the balancer says {other}")),
    })
}

fn wanted_words(wanted: u32) -> String {
    match wanted {
        1 => "1 instance from the next start on".to_owned(),
        wanted => format!("{wanted} instances from the next start on"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn good() -> Health {
        Health {
            instances: vec![Instance { pid: Some(77), restarts: 0, ended: None }],
            probe: Some(Probe { passed: true, ago: Duration::from_millis(400), reason: String::new() }),
            standing: Some("in service".into()),
            ..Health::default()
        }
    }

    fn host(health: Health) -> HostStatus {
        let wire = api::v1::HostStatus {
            host: "h1".into(),
            address: "127.0.0.1:7100".into(),
            availability: api::v1::Availability::In.into(),
            current: Some(api::v1::Release { id: "abc".into(), source: "/abc".into(), migrates: false }),
            health: Some(health.into()),
            ..Default::default()
        };
        HostStatus::try_from(wire).unwrap()
    }

    fn said(health: Health) -> String {
        line(&host(health), true, Paint { colored: false }).unwrap_or_default()
    }

    #[test]
    fn each_word_is_more_than_the_one_before() {
        let one = |instance: Instance| Health { instances: vec![instance], ..good() };
        let failed = |reason: &str| {
            Some(Probe { passed: false, ago: Duration::from_secs(12), reason: reason.to_owned() })
        };
        let ended = Some("exited with code 3".to_owned());
        let second = Instance { pid: None, restarts: 4, ended: ended.clone() };
        let third = Instance { pid: None, restarts: 0, ended: None };
        let first = good().instances[0].clone();
        for (health, words) in [
            (good(), "up, pid 77, healthy 0.4 s ago, in service"),
            (Health { probe: None, standing: None, ..good() }, "up, pid 77, not probed"),
            (
                Health { ready: Some(true), status: Some("warm".into()), ..good() },
                "up, pid 77, ready (warm), healthy 0.4 s ago, in service",
            ),
            (
                Health {
                    ready: Some(false),
                    probe: failed("the service has not said READY=1 yet"),
                    ..good()
                },
                "up, pid 77, not ready, not healthy 12 s ago: the service has not said READY=1 yet, in service",
            ),
            (
                Health { probe: failed("GET / answered 503"), standing: Some("initial".into()), ..good() },
                "up, pid 77, not healthy 12 s ago: GET / answered 503, the balancer says initial",
            ),
            (
                Health { probe: None, ..one(Instance { pid: None, restarts: 1, ended }) },
                "not up: exited with code 3 restarted once, not probed, in service",
            ),
            (
                Health { instances: vec![first.clone(), second, third], ..good() },
                "1 of 3 up: instance 1 exited with code 3; instance 2 does not run restarted 4 times, \
                 healthy 0.4 s ago, in service",
            ),
            (
                Health { instances: vec![first.clone(), first], instances_wanted: Some(3), ..good() },
                "2 of 2 up, healthy 0.4 s ago, in service, 3 instances from the next start on",
            ),
        ] {
            assert_eq!(said(health), words);
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_left_out_of_a_long_list() {
        let paint = Paint { colored: false };
        assert_eq!(line(&host(good()), false, paint), None);
        let wants = Health { instances_wanted: Some(2), ..good() };
        assert!(line(&host(wants), false, paint).is_some());
        let nothing = HostStatus { health: None, ..host(good()) };
        assert_eq!(line(&nothing, true, paint), None);
        let stopped = Health { instances: vec![Instance { pid: None, restarts: 0, ended: None }], ..good() };
        let idle = HostStatus { current: None, ..host(stopped) };
        assert_eq!(line(&idle, true, paint), None, "nothing is to run there");
    }
}
