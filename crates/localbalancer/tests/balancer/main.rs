//! The balancer over real sockets: its contract, and what its requests see.

mod contract;
mod support;
mod traffic;
