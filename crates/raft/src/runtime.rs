//! What openraft runs on: tokio. In this crate's own tests its chance (how long a follower waits before it asks for votes) follows from a
//! seed, so that a simulated run can be played again.

/// Tokio, with chance from the system.
#[cfg(not(test))]
pub(crate) type Runtime = openraft::impls::TokioRuntime;

/// Tokio, with chance from a seed.
#[cfg(test)]
pub(crate) type Runtime = crate::simulated::Seeded;
