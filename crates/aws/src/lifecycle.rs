//! What an Auto Scaling group wants of an instance of its own, and what that means for a host that joins its balancer.
//!
//! The words are those of "Retrieve the target lifecycle state through instance metadata" in the user guide of Amazon EC2 Auto Scaling.

/// Why an instance in this target lifecycle state is not to be registered; nothing where it may be. A word that is not known is no objection:
/// whoever comes up with it did not have this agent in mind.
#[must_use]
pub fn objection(state: &str) -> Option<&'static str> {
    match state {
        "Terminated" | "Warmed:Terminated" => Some("is about to terminate it"),
        "Standby" => Some("has put it on standby"),
        _ if state.starts_with("Warmed:") => Some("keeps it in its warm pool"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instances_that_are_to_serve_are_registered() {
        for state in ["InService", "Detached", "", "SomethingNew"] {
            assert_eq!(objection(state), None, "{state:?}");
        }
        for (state, why) in [
            ("Terminated", "terminate"),
            ("Warmed:Terminated", "terminate"),
            ("Standby", "standby"),
            ("Warmed:Stopped", "warm pool"),
            ("Warmed:Running", "warm pool"),
            ("Warmed:Hibernated", "warm pool"),
        ] {
            assert!(objection(state).is_some_and(|words| words.contains(why)), "{state:?}");
        }
    }
}
