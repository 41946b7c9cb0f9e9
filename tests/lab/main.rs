//! The lab: fleets of hosts with networks, disks and processes of their own, real Nix, a cloud that answers as AWS does, and requests all
//! the time. Each scenario has namespaces to itself: `cargo lab` runs them.

mod account;
mod builder;
mod cache;
mod fleet;
mod haproxy;
mod layout;
mod machine;
mod net;
mod scenarios;
mod traffic;
