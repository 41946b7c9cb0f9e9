//! Channels that need no cloud, and what any channel may say.
//!
//! Absent on purpose: TLS and S3, which are in the crate `aws` with the client that they need, and what is done with a pointer.

mod file;
mod http;
mod pointer;

pub use file::File;
pub use http::Http;
pub use pointer::{Pointer, Unfit, mark};
