//! Releases that are directories: hashed by content, copied into the state directory, verified before each use.
//!
//! Promise: two releases with one id are the same bytes, and a copy that was tampered with is never used.
//! Absent on purpose: fetching over a network. A push names a directory that every host can read.

mod copy;
mod digest;
mod store;

pub use store::Store;
