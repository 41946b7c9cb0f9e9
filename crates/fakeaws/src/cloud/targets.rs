//! One target of a group: its health and its way out.

use super::Now;

/// Names a target from its registration until it is gone; coming back while it drains is not a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member(pub(crate) u64);

/// Changes when a target joins, so that checks of an earlier stay are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay(pub(crate) u64);

#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Instance id or IP address.
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) member: Member,
    pub(crate) stay: Stay,
    pub(crate) registered: Now,
    pub(crate) health: Health,
    /// Since when it is in this health.
    pub(crate) since: Now,
    /// Checks in a row with the outcome of the last one.
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) leaving: Option<Leaving>,
}

/// What the health checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    Unchecked,
    Healthy,
    Unhealthy(Failure),
}

/// Why a health check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Code(u16),
    Timeout,
    /// No connection, or no answer that is one.
    Broken,
}

/// It was deregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) since: Now,
    /// When it is gone.
    pub(crate) until: Now,
    /// Whether it got requests before.
    pub(crate) was_healthy: bool,
}

/// A target's state as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// Its registration is in progress.
    Registering,
    /// It was not checked yet.
    Checking,
    Healthy,
    Unhealthy(Failure),
    Draining,
    /// It is not registered.
    NotRegistered,
    /// Its group is not attached, or its zone is not one of the load balancer's.
    NotInUse,
    /// Its instance does not run.
    InvalidState,
}

impl TargetState {
    /// State, reason code and description in the API's words.
    pub(crate) fn told(&self) -> (&'static str, Option<&'static str>, Option<String>) {
        let (state, reason, text) = match self {
            Self::Healthy => return ("healthy", None, None),
            Self::Registering => {
                ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
            }
            Self::Checking => ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress"),
            Self::Unhealthy(Failure::Code(code)) => {
                let text = format!("Health checks failed with these codes: [{code}]");
                return ("unhealthy", Some("Target.ResponseCodeMismatch"), Some(text));
            }
            Self::Unhealthy(Failure::Timeout) => ("unhealthy", "Target.Timeout", "Request timed out"),
            Self::Unhealthy(Failure::Broken) => {
                ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
            }
            Self::Draining => {
                ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
            }
            Self::NotRegistered => {
                ("unused", "Target.NotRegistered", "Target is not registered to the target group")
            }
            Self::NotInUse => (
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            ),
            Self::InvalidState => ("unused", "Target.InvalidState", "Target is in the stopped state"),
        };
        (state, Some(reason), Some(text.to_owned()))
    }
}

impl Target {
    pub(crate) fn new(id: &str, port: u16, number: u64, now: Now) -> Self {
        Self {
            id: id.to_owned(),
            port,
            member: Member(number),
            stay: Stay(number),
            registered: now,
            health: Health::Unchecked,
            since: now,
            passed: 0,
            failed: 0,
            leaving: None,
        }
    }

    /// It starts anew: registered again while it drained, or its checks began again.
    pub(crate) fn begin(&mut self, stay: Stay, now: Now) {
        *self = Self { stay, member: self.member, ..Self::new(&self.id, self.port, stay.0, now) };
    }

    pub(crate) fn is_gone(&self, now: Now) -> bool {
        self.leaving.is_some_and(|leaving| leaving.until <= now)
    }

    /// It is deregistered, with this delay. Nothing happens to one that drains already.
    pub(crate) fn leave(&mut self, delay: Now, now: Now) {
        let was_healthy = self.health == Health::Healthy;
        self.leaving.get_or_insert(Leaving { since: now, until: now + delay, was_healthy });
    }

    /// A health check ended. Returns whether that changed what is known of it.
    pub(crate) fn checked(&mut self, outcome: Result<(), Failure>, thresholds: (u32, u32), now: Now) -> bool {
        (self.passed, self.failed) =
            if outcome.is_ok() { (self.passed + 1, 0) } else { (0, self.failed + 1) };
        let (healthy, unhealthy) = thresholds;
        let next = match (&self.health, outcome) {
            // A new target needs to pass one check, whatever the threshold.
            (Health::Unchecked, Ok(())) => Health::Healthy,
            (Health::Unhealthy(_), Ok(())) if self.passed >= healthy => Health::Healthy,
            (Health::Unchecked | Health::Healthy, Err(failure)) if self.failed >= unhealthy => {
                Health::Unhealthy(failure)
            }
            (Health::Unhealthy(_), Err(failure)) => Health::Unhealthy(failure),
            (Health::Unchecked | Health::Healthy | Health::Unhealthy(_), _) => return false,
        };
        let changed = next != self.health;
        if changed {
            (self.health, self.since) = (next, now);
        }
        changed
    }
}
