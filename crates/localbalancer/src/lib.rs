//! A small HTTP/1.1 balancer for the demo and for tests, and the [`Client`] that admits and drains targets with it.
//!
//! Promise: a request goes to a target that is registered and healthy, once, and every failure is shown to whoever
//! asked and is counted. A target that left gets no new request, and is gone when its last request has ended or its
//! deregistration delay is over.
//! Absent on purpose: retries, which would hide what a rollout did wrong; connection reuse to targets, which would add
//! failures of its own; TLS, and everything else that a balancer on the Internet needs.

mod admin;
mod client;
mod group;
mod health;
pub mod http;
pub mod proxy;
mod server;
mod shared;
mod wire;

pub use client::{Client, Unusable};
pub use server::{GROUP_HEADER, Options, Server, Tasks};
pub use wire::{Change, Counters, Faults, GroupOptions, TargetState, TargetView};
