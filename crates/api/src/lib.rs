//! The gRPC edge: messages built from `/proto`, conversions to and from the model, and the typed client.
//!
//! Promise: whatever the command line does, it does through [`Client`], and whatever [`Client`] does, a client
//! generated from `/proto` by a stranger can do as well. A stream that is taken up again with another agent misses
//! nothing and repeats nothing, and says so when events were lost for good.
//! Absent on purpose: prost types beyond [`v1`]; answers are [`view`]'s types. What an answer means and how it
//! looks is up to whoever asked.

mod client;
mod convert;
pub mod exit;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod refusal;
pub mod view;

pub use client::{
    Address, Attempt, Client, ClientError, DEFAULT_PORT, Events, InvalidAddress, Logs, Patience, Step, Waits,
    Watch,
};
pub use convert::{Invalid, asker, service};
pub use exit::Exit;

/// The messages, clients and servers of `deployinator.v1`, as generated.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("deployinator.v1");
}

/// The descriptors of all proto files, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message that a client or server takes or gives. A picture of a large fleet with the tails of its failures fits.
pub const MESSAGE_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// Largest backup that is written, and that is taken. Far above what the bounds of the state allow.
pub const BACKUP_LIMIT_BYTES: usize = 256 << 20;

/// The public service around its implementation, with the message limits that clients expect.
pub fn server<T: v1::deployinator_server::Deployinator>(
    service: T,
) -> v1::deployinator_server::DeployinatorServer<T> {
    v1::deployinator_server::DeployinatorServer::new(service)
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
}
