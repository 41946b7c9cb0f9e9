//! What a rollout of one host at a time took beyond what the service and the balancer took by themselves, by their own accounts and never an
//! agent's.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use demo::timeline::{Mark, Moment};
use fakeaws::Sample;

use crate::fleet::{Lab, WEB};

/// Where the time of a rollout went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// Targets that drained, or were on their way into service.
    balancer: Duration,
    /// The service's stops and starts.
    service: Duration,
    /// The soaks that the policy asks for.
    soak: Duration,
}

impl Account {
    /// Of the rollout that was pushed then, of which each host soaked for so long. The counters have been reset before it.
    ///
    /// # Errors
    /// The accounts cannot be read.
    pub(crate) async fn of(lab: &Lab, pushed: SystemTime, soak: Duration) -> Result<Self> {
        let samples = lab.cloud.samples(WEB).await.context("read the samples")?;
        let marks = Mark::read(&lab.timeline()).context("read the service's own account")?;
        let hosts = u32::try_from(lab.hosts.len()).context("hosts")?;
        Ok(Self { balancer: busy(&samples), service: moves(&marks, pushed), soak: soak * hosts })
    }

    /// A line of figures about a rollout that took so long.
    pub(crate) fn figures(&self, name: &str, took: Duration) -> String {
        let Self { balancer, service, soak } = *self;
        let own = balancer + service + soak;
        let [took, own, balancer, service, soak] =
            [took, own, balancer, service, soak].map(|time| time.as_secs_f64());
        format!(
            "figures: {name}: overhead {:.3}: {took:.2} s, of which the balancer took {balancer:.2} s, the service {service:.2} s, and the \
             soak {soak:.2} s",
            took / own
        )
    }
}

/// How long some target drained or was on its way into service.
fn busy(samples: &[Sample]) -> Duration {
    let spans = samples.windows(2).filter_map(|pair| match pair {
        [from, to] if 0 < from.draining + from.initial => Some(to.at_ms.saturating_sub(from.at_ms)),
        _ => None,
    });
    Duration::from_millis(spans.sum())
}

/// How long processes took from being told to stop until they had, and from their first line until they answered.
fn moves(marks: &[Mark], since: SystemTime) -> Duration {
    let since_then = || marks.iter().filter(|mark| since <= mark.at);
    let until = |from: &Mark, moment| {
        let ended = since_then()
            .find(|mark| mark.host == from.host && mark.moment == moment && from.at <= mark.at)?;
        ended.at.duration_since(from.at).ok()
    };
    since_then()
        .filter_map(|mark| match mark.moment {
            Moment::Told => until(mark, Moment::Stopped),
            Moment::Began => until(mark, Moment::Listens),
            _ => None,
        })
        .sum()
}
