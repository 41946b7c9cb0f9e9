//! Reads a host's configuration and a service's policy file.
//!
//! Three stages: files become one tree that knows which file said what, the tree becomes fragments (every key
//! checked by itself), and the fragments become [`Settings`] (keys checked against each other). What comes out
//! cannot be wrong; otherwise *all* problems come out, each with its file and key.
//!
//! [`parse`] and [`policy`] are pure; [`load`] only reads files and calls [`parse`]. There is one [`DEFAULTS`],
//! and `docs/configuration.md` is generated from it by [`reference()`].
//!
//! Absent on purpose: serde's derive, which stops at the first problem of a file; environment variables and
//! command-line overrides, so that the files are all there is to know; how a service is rolled, which is a
//! replicated [`model::Policy`] and never a host's own choice.

mod files;
mod fragment;
mod instance;
mod policy;
mod problem;
mod reference;
mod section;
mod settings;
mod settle;
mod tree;
mod values;

pub use files::load;
pub use instance::{Instance, Loaded, Partial};
pub use policy::policy;
pub use problem::Problem;
pub use reference::{EXAMPLE, POLICY_EXAMPLE, reference};
pub use settings::{
    AddressKind, Agent, Balancer, Channel, Cluster, DEFAULTS, Defaults, Ec2, Inventory, LogFormat, NixStore,
    Programs, Service, Settings, Store, TargetGroup, Timers, Transport,
};

/// Makes settings of `sources`, which are (file name, text) pairs in the order of merging: a later one wins key
/// by key, tables merge, lists are replaced. `origin` is where they come from, and is named when a key is in
/// none of them.
///
/// # Errors
/// Every problem found. Files that are no TOML are named with their lines; the keys of the others are checked
/// by themselves then, but not against each other. What is left to the instance is a problem here.
pub fn parse(origin: &str, sources: &[(String, String)]) -> Result<Settings, Vec<Problem>> {
    parse_with(origin, sources, None)
}

/// Parses, and takes from the instance what the files leave to it.
///
/// # Errors
/// See [`parse`].
pub fn parse_with(
    origin: &str,
    sources: &[(String, String)],
    instance: Option<&Instance>,
) -> Result<Settings, Vec<Problem>> {
    parse_what_is_there(origin, sources, true, instance).map(|(settings, _)| settings)
}

/// Parses; where something is known to be missing (`whole` is false, or a file is no TOML) keys are not checked
/// against each other, as it might be what puts them right. Beside the settings stand the keys that an instance can say.
fn parse_what_is_there(
    origin: &str,
    sources: &[(String, String)],
    whole: bool,
    instance: Option<&Instance>,
) -> Result<(Settings, Vec<&'static str>), Vec<Problem>> {
    let sink = problem::Sink::default();
    let root = tree::merge(origin, sources, &sink);
    let whole = whole && sink.is_empty();
    let fragment = fragment::read(section::Section::root(root, &sink));
    let left = fragment.agent.left_to_the_instance();
    let settings = if whole { settle::settle(fragment, instance, &sink) } else { None };
    sink.verdict(settings.map(|settings| (settings, left)))
}

#[cfg(test)]
mod tests;
