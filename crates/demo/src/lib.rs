//! What the demo and the tests of a whole fleet are made of: a service to roll, and callers that notice.
//!
//! Promise: the load counts every request that got no complete, good answer, and hides none by trying again.
//! Absent on purpose: anything that a fleet needs in production.

pub mod cloud;
pub mod fleet;
pub mod load;
mod pieces;
pub mod programs;
pub mod reaper;
pub mod releases;
pub mod run;
pub mod service;
pub mod summary;
pub mod timeline;
