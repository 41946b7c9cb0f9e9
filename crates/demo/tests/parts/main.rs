//! The demo's parts over real sockets and processes.

mod load;
mod service;
mod support;
