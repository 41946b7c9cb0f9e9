//! The store against Nix itself. Each test has a Nix store of its own below a temporary directory, and needs neither root nor a network.
//!
//! Run by `cargo xtask nix`, after `cargo xtask setup nix` has installed what they need.

mod caches;
mod contract;
mod failures;
mod nixery;
mod staging;
mod world;
