//! What went wrong with a call, in one of the three kinds of [`Fault`], and what to do about it.

use ports::{Fault, FaultKind};

use crate::permissions::Action;

/// Why a call did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// AWS said why.
    Refused {
        /// Its code, such as `Throttling`.
        code: String,
        /// Its words.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// Something answered, but not as AWS does.
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
    /// No answer in time.
    Late,
    /// The call did not get there, or its answer did not come back whole.
    Cut {
        /// Why.
        words: String,
    },
    /// There is nothing to sign the call with.
    NoCredentials {
        /// Why.
        words: String,
    },
    /// This agent asks too much already.
    Paced,
}

/// Codes that mean: slow down.
const THROTTLED: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
];
/// Codes that mean: not with this role.
const DENIED: [&str; 5] =
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "OptInRequired"];
/// Codes that mean: these credentials are no longer good. Those of a role renew themselves.
const EXPIRED: [&str; 3] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired"];
/// Codes that mean: these credentials are not good at all.
const NOT_GOOD: [&str; 7] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// Codes that trying again does not change: what was asked for is not there, or cannot be.
const WRONG: [&str; 12] = [
    "InvalidConfigurationRequest",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "InvalidTarget",
    "LoadBalancerNotFound",
    "MissingParameter",
    "TargetGroupAssociationLimit",
    "TargetGroupNotFound",
    "TooManyRegistrationsForTargetId",
    "TooManyTargets",
    "UnknownParameter",
    "ValidationError",
];

/// The code of a target that a group does not know, or cannot take.
pub const INVALID_TARGET: &str = "InvalidTarget";

impl Trouble {
    /// How it is classified. What is not known is transient.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Refused { code, status, .. } => {
                let is = |codes: &[&str]| codes.contains(&code.as_str());
                if is(&THROTTLED) || *status == 429 {
                    FaultKind::Throttled
                } else if is(&DENIED) || is(&NOT_GOOD) || is(&WRONG) {
                    FaultKind::Permanent
                } else {
                    FaultKind::Transient
                }
            }
            Self::Unreadable { status: 429 } | Self::Paced => FaultKind::Throttled,
            Self::Unreadable { .. } | Self::Late | Self::Cut { .. } | Self::NoCredentials { .. } => {
                FaultKind::Transient
            }
        }
    }

    /// Why it did not work and what to do, for people. `action` was called.
    #[must_use]
    pub fn words(&self, action: Action) -> String {
        let permission = action.permission();
        match self {
            Self::Refused { code, message, .. } if DENIED.contains(&code.as_str()) => format!(
                "this host's role may not {permission}: allow it, see \"Permissions\" in docs/guide/aws.md ({code}: {})",
                tidy(message)
            ),
            Self::Refused { code, message, .. } if EXPIRED.contains(&code.as_str()) => format!(
                "the credentials have expired: those of an instance's role renew themselves, others must be \
                 renewed; or this host's clock is wrong ({code}: {})",
                tidy(message)
            ),
            Self::Refused { code, message, .. } if NOT_GOOD.contains(&code.as_str()) => format!(
                "the credentials are not good: look at the instance's role, at AWS_* in the agent's environment, \
                 and at this host's clock ({code}: {})",
                tidy(message)
            ),
            Self::Refused { code, message, .. } => format!("{code}: {}", tidy(message)),
            Self::Unreadable { status } => format!("answered {status}, not as AWS does"),
            Self::Late => "no answer in time".to_owned(),
            Self::Cut { words } => words.clone(),
            Self::NoCredentials { words } => format!(
                "there are no credentials: give the instance a role, see \"Permissions\" in docs/guide/aws.md ({words})"
            ),
            Self::Paced => format!(
                "this agent makes at most {} calls a second to AWS, and has made them",
                crate::pace::CALLS_PER_SECOND
            ),
        }
    }

    /// As a fault of `attempted`.
    #[must_use]
    pub fn into_fault(self, action: Action, attempted: impl Into<String>) -> Fault {
        Fault::new(self.kind(), attempted, self.words(action))
    }

    /// Whether AWS says that the credentials are no longer good.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if EXPIRED.contains(&code.as_str()))
    }

    /// Whether AWS says that the target is none that the group has or takes.
    #[must_use]
    pub fn is_invalid_target(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == INVALID_TARGET)
    }
}

/// One line, without a full stop.
fn tidy(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, status: u16) -> Trouble {
        Trouble::Refused { code: code.into(), message: "Because.\n".into(), status }
    }

    #[test]
    fn each_code_is_one_of_three_kinds() {
        use FaultKind::{Permanent, Throttled, Transient};
        let table = [
            ("Throttling", 400, Throttled),
            ("ThrottlingException", 400, Throttled),
            ("RequestLimitExceeded", 503, Throttled),
            ("Odd", 429, Throttled),
            ("AccessDenied", 403, Permanent),
            ("UnauthorizedOperation", 403, Permanent),
            ("TargetGroupNotFound", 400, Permanent),
            ("ValidationError", 400, Permanent),
            ("InvalidTarget", 400, Permanent),
            ("InvalidClientTokenId", 403, Permanent),
            ("ExpiredToken", 403, Transient),
            ("RequestExpired", 400, Transient),
            ("InternalError", 500, Transient),
            ("ServiceUnavailable", 503, Transient),
            ("SomethingNew", 400, Transient),
        ];
        for (code, status, kind) in table {
            assert_eq!(refused(code, status).kind(), kind, "{code}");
        }
        assert_eq!(Trouble::Unreadable { status: 502 }.kind(), Transient);
        assert_eq!(Trouble::Unreadable { status: 429 }.kind(), Throttled);
        assert_eq!(Trouble::Late.kind(), Transient);
        assert_eq!(Trouble::Paced.kind(), Throttled);
        assert_eq!(Trouble::NoCredentials { words: String::new() }.kind(), Transient);
    }

    #[test]
    fn no_code_is_of_two_kinds() {
        let mut all: Vec<&str> = [&THROTTLED[..], &DENIED, &EXPIRED, &NOT_GOOD, &WRONG].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_is_missing_is_named() {
        let words = refused("AccessDenied", 403).words(Action::RegisterTargets);
        assert!(
            words.contains("elasticloadbalancing:RegisterTargets") && words.contains("docs/guide/aws.md"),
            "{words}"
        );
        assert!(words.ends_with("(AccessDenied: Because)"), "{words}");
        let words = refused("ExpiredToken", 403).words(Action::DescribeInstances);
        assert!(words.starts_with("the credentials have expired"), "{words}");
        assert_eq!(refused("InvalidTarget", 400).words(Action::RegisterTargets), "InvalidTarget: Because");
    }

    #[test]
    fn a_fault_says_what_was_attempted() {
        let fault = Trouble::Late.into_fault(Action::DescribeTargetHealth, "ask web about i-1");
        assert_eq!(ports::fault::Chain(&fault).to_string(), "ask web about i-1: no answer in time");
    }
}
