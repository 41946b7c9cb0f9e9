//! A stand-in for the parts of AWS that are used here, for tests and the demo: one state behind three doors.
//!
//! - **The APIs** as the SDKs speak them, over plain HTTP: EC2 (`DescribeInstances`), ELBv2 (load balancers, listeners,
//!   target groups and their targets), S3 (`GetObject`, `HeadObject`), STS (`GetCallerIdentity`), and the metadata service
//!   of instances (IMDSv2).
//! - **The data plane**: each listener of a load balancer forwards HTTP/1.1 to healthy targets, as an ALB does, with
//!   health checks of its own, and counts what becomes of every request. One of an NLB carries connections.
//! - **The control door**: makes instances, groups and load balancers, and makes things go wrong ([`Control`]; what it
//!   speaks over HTTP is listed in `control/mod.rs`).
//!
//! Promise: a target goes through the states that AWS documents, by the clock: `initial` until it passed a check, `draining`
//! for the whole deregistration delay that held when it was deregistered, then gone; keyed by id *and* port. No request is
//! sent twice, and no failure is hidden. Nothing is listened on or called but the addresses that it is told.
//!
//! Absent on purpose: TLS, signatures (who calls is told by the access key), connection reuse to targets,
//! writes through the APIs other than registrations. Where it differs from AWS is written down in
//! `docs/adr/0035-fakeaws.md`.
//!
//! # From a test
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use fakeaws::{Fault, FaultKind, GroupOptions, NewBalancer, NewInstance, NewListener, Options, Server};
//!
//! let server = Server::start(Options::default()).await?; // stops when it is dropped
//! let control = server.control();
//! let web = control.launch(&NewInstance {
//!     private_ipv4: Some("127.0.0.2".parse()?),
//!     tags: [("deployinator:cluster".to_owned(), "prod".to_owned())].into(),
//!     role: Some("host".to_owned()),
//!     ..NewInstance::default()
//! }).await?;
//! let group = control.put_group("web", &GroupOptions { port: 8080, ..GroupOptions::default() }).await?;
//! control.make_balancer(&NewBalancer { name: "front".to_owned(), ..NewBalancer::default() }).await?;
//! let listener = NewListener { address: "127.0.0.1:0".parse()?, group: "web".to_owned() };
//! let front = control.listen("front", &listener).await?; // requests go to front.address
//! let metadata = control.open_metadata(&web.id, "127.0.0.1:0".parse()?).await?;
//! // Agents get: AWS_ENDPOINT_URL, or AWS_ENDPOINT_URL_EC2 and so on, = server.api_url();
//! // AWS_EC2_METADATA_SERVICE_ENDPOINT = http://{metadata}; group.arn goes into their configuration. Where they have
//! // addresses of their own to call from, one metadata service does for all: server.metadata_url().
//! control.add_fault(&Fault::of("elasticloadbalancing:*", FaultKind::Throttle).calls(3)).await?;
//! # Ok(()) }
//! ```
//!
//! As a process: `deployinator-fakeaws` prints `{"api": URL, "metadata": URL, "control": URL}` on one line.
//!
//! Credentials: an instance with a role gets them from its metadata. Any other access key is taken too (set
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` to anything). A request that is not signed is refused, as is one that is
//! signed for another region than [`Settings::region`].
//!
//! Times: an instance is `pending` for 100 ms and cannot be registered before it is `running`; see [`Settings`].

mod api;
mod cloud;
mod control;
mod faults;
mod keys;
mod metadata;
mod plane;
mod query;
mod rates;
mod refusal;
mod server;
mod shared;
mod time;
mod wire;
mod xml;

pub use control::client::{Control, Failed};
pub use server::{Options, Server};
pub use wire::{
    Act, BalancerKind, BalancerView, CallCount, CheckBy, Counters, Credentials, Fault, FaultKind,
    GroupOptions, GroupView, InstanceView, ListenerView, NewBalancer, NewInstance, NewListener, Rate, Sample,
    Settings, TargetName, TargetType, TargetView,
};
