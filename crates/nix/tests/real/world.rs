//! The store under test, with a Nix of its own around it.

use nixstore::{Options, Store};

use crate::nixery::Nixery;

/// How many releases the stores of tests keep.
pub(crate) const KEEP: usize = 3;

/// Options of a store that asks this Nix's cache, and trusts its key.
pub(crate) fn options(nixery: &Nixery) -> Options {
    Options {
        store_dir: nixery.store_dir(),
        keep_releases: KEEP,
        substituters: Some(vec![nixery.cache()]),
        trusted_public_keys: Some(vec![nixery.key.clone()]),
        reserve_bytes: 0,
        ..Options::of(&nixery.path("state/nix"))
    }
}

pub(crate) fn store(nixery: &Nixery) -> Store {
    Store::open(options(nixery)).expect("its own folders")
}
