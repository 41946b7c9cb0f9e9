//! The clients against a stand-in for AWS on loopback: no test here reaches a network.

mod balancer;
mod faults;
mod identity;
mod inventory;
mod lifecycle;
mod object;
mod preflight;
mod stage;
