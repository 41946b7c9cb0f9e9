//! Where releases come from and are kept.

use crate::{
    fragment::{StoreFragment, StoreKind},
    problem::{Place, Sink},
    section::Field,
    settings::{DEFAULTS, NixStore, Store},
};

pub(super) fn store(fragment: StoreFragment, sink: &Sink) -> Option<Store> {
    let StoreFragment { kind, keep_releases, substituters, trusted_public_keys, nix_bin, store_dir } =
        fragment;
    if let Some((StoreKind::Directory, _)) = kind.given() {
        for place in [
            place_of(&substituters),
            place_of(&trusted_public_keys),
            place_of(&nix_bin),
            place_of(&store_dir),
        ]
        .into_iter()
        .flatten()
        {
            sink.at(place, "is only for store.kind = \"nix\"");
        }
    }
    let kind = kind.required(sink);
    let keep_releases = keep_releases.or(DEFAULTS.keep_releases);
    let substituters = substituters.optional();
    let trusted_public_keys = trusted_public_keys.optional();
    let nix_bin = nix_bin.optional();
    let store_dir = store_dir.or(DEFAULTS.store_dir.into());
    Some(match kind? {
        StoreKind::Directory => Store::Directory { keep_releases: keep_releases? },
        StoreKind::Nix => Store::Nix(NixStore {
            keep_releases: keep_releases?,
            substituters: substituters?,
            trusted_public_keys: trusted_public_keys?,
            nix_bin: nix_bin?,
            store_dir: store_dir?,
        }),
    })
}

fn place_of<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|(_, place)| place)
}
