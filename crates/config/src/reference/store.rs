//! The keys that say where releases come from.

use super::{Key, REQUIRED, code, key, quoted};
use crate::settings::DEFAULTS;

pub(super) fn keys() -> Vec<Key> {
    vec![
        key(
            "store.kind",
            "`\"directory\"` or `\"nix\"`",
            REQUIRED,
            "Where releases come from: directories of this host, or Nix store paths from caches.",
        ),
        key(
            "store.keep_releases",
            "number, 2 to 1000",
            code(DEFAULTS.keep_releases),
            "How many staged releases are kept. Those in use are never removed.",
        ),
        key(
            "store.substituters",
            "list of addresses",
            "Nix's own",
            "With `nix`: the caches that are asked, in this order: `https://`, `file://`, `ssh-ng://`, `s3://`, as far as this host's Nix can.",
        ),
        key(
            "store.trusted_public_keys",
            "list of keys",
            "Nix's own",
            "With `nix`: who must have signed what is fetched.",
        ),
        key(
            "store.nix_bin",
            "absolute path",
            "found",
            "With `nix`: the directory with Nix's programs. Without it: `PATH`, then the usual places.",
        ),
        key(
            "store.store_dir",
            "absolute path",
            quoted(DEFAULTS.store_dir),
            "With `nix`: the store's directory. Another one is a store of its own, with its state in `var/nix` beside it, for tests or where Nix was built for another place.",
        ),
    ]
}
