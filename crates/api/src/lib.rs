//! The gRPC edge: types built from `/proto`, conversions to and from the model, and the typed client.
//! Prost types stop here.

/// The messages, clients and servers of `deployinator.v1`, as generated.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("deployinator.v1");
}

/// The descriptors of all proto files, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message that a client or server takes or gives. A picture of a large fleet with the tails of its failures fits.
pub const MESSAGE_LIMIT_BYTES: usize = 8 * 1024 * 1024;
