//! What a target group says of a target, in our words.

use ports::Standing;

/// What `DescribeTargetHealth` says of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health<'a> {
    /// `TargetHealth.State`.
    pub state: &'a str,
    /// `TargetHealth.Reason`; absent when healthy.
    pub reason: Option<&'a str>,
    /// `TargetHealth.Description`: why, in the balancer's words.
    pub description: Option<&'a str>,
}

/// The balancer does not know itself, or says something that this agent has no word for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the balancer says {0}")]
pub struct Unsaid(pub String);

impl Health<'_> {
    /// The standing of the target in this group.
    ///
    /// # Errors
    /// It says nothing that can be relied on; then nothing is known.
    pub fn standing(&self) -> Result<Standing, Unsaid> {
        Ok(match (self.state, self.reason) {
            // Whatever the state is called: it is not there.
            (_, Some("Target.NotRegistered")) => Standing::Absent,
            ("initial", _) => Standing::Initial,
            ("healthy", _) => Standing::InService,
            ("draining", _) => Standing::Draining,
            // Nobody checks its health, so it gets requests.
            ("unavailable", Some("Target.HealthCheckDisabled")) => Standing::InService,
            // It is registered and gets nothing: the group is behind no load balancer, or the instance is stopped.
            ("unhealthy" | "unhealthy.draining" | "unused", _) => {
                Standing::Unhealthy { reason: self.words() }
            }
            _ => return Err(Unsaid(self.words())),
        })
    }

    /// The balancer's own words, the state first.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.state.to_owned();
        for more in [self.reason, self.description].into_iter().flatten() {
            words.push_str(": ");
            words.push_str(more.trim().trim_end_matches('.'));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: &str, reason: &str) -> Result<Standing, Unsaid> {
        Health { state, reason: Some(reason).filter(|reason| !reason.is_empty()), description: None }
            .standing()
    }

    fn unhealthy(words: &str) -> Result<Standing, Unsaid> {
        Ok(Standing::Unhealthy { reason: words.into() })
    }

    #[test]
    fn every_state_has_its_meaning() {
        let table = [
            ("initial", "Elb.RegistrationInProgress", Ok(Standing::Initial)),
            ("initial", "Elb.InitialHealthChecking", Ok(Standing::Initial)),
            ("healthy", "", Ok(Standing::InService)),
            ("unhealthy", "Target.Timeout", unhealthy("unhealthy: Target.Timeout")),
            (
                "unhealthy.draining",
                "Target.FailedHealthChecks",
                unhealthy("unhealthy.draining: Target.FailedHealthChecks"),
            ),
            ("draining", "Target.DeregistrationInProgress", Ok(Standing::Draining)),
            ("unused", "Target.NotRegistered", Ok(Standing::Absent)),
            ("unused", "Target.NotInUse", unhealthy("unused: Target.NotInUse")),
            ("unused", "Target.InvalidState", unhealthy("unused: Target.InvalidState")),
            ("unused", "Target.IpUnusable", unhealthy("unused: Target.IpUnusable")),
            ("unavailable", "Target.HealthCheckDisabled", Ok(Standing::InService)),
            ("unavailable", "Target.NotRegistered", Ok(Standing::Absent)),
            ("unavailable", "Elb.InternalError", Err(Unsaid("unavailable: Elb.InternalError".into()))),
            ("resting", "", Err(Unsaid("resting".into()))),
        ];
        for (state, reason, expected) in table {
            assert_eq!(of(state, reason), expected, "{state} {reason}");
        }
    }

    #[test]
    fn a_reason_is_told_as_the_balancer_tells_it() {
        let health = Health {
            state: "unhealthy",
            reason: Some("Target.ResponseCodeMismatch"),
            description: Some("Health checks failed with these codes: [503]."),
        };
        assert_eq!(
            health.standing(),
            unhealthy("unhealthy: Target.ResponseCodeMismatch: Health checks failed with these codes: [503]")
        );
    }
}
