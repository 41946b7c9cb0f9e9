//! What a client asks for, read from a request and checked.

use model::{
    Policy, ServiceName,
    fleet::{Operator, Provenance, Request},
};

/// A push. Its source is judged by the agent that receives it, which makes a release of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// The service.
    pub service: ServiceName,
    /// A store path, or an absolute directory.
    pub source: String,
    /// The service's policy from now on; unchanged when absent.
    pub policy: Option<Policy>,
    /// Who asks, and why.
    pub by: Operator,
    /// Where the release comes from.
    pub provenance: Provenance,
}

/// Anything else that is asked of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The service.
    pub service: ServiceName,
    /// Who asks, and why.
    pub by: Operator,
    /// What for.
    pub request: Request,
}
