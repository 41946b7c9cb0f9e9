//! The keys that say where CI leaves word of a service's releases.

use super::{DEFAULTS, Key, key, time};

pub(super) fn keys() -> Vec<Key> {
    vec![
        key(
            "service.NAME.channel.url",
            "`s3://BUCKET/KEY`, `https://`, `http://` or `file:/PATH`",
            "required in `channel`",
            "Where CI leaves word of what it has released: a store path in one line, or JSON with `path` and, if you like, \
             `git_rev`, `run` and `author`. What is new there is pushed. `s3` takes `?region=REGION`; `s3` and `https` need \
             a build with AWS in it.",
        ),
        key(
            "service.NAME.channel.poll",
            "100ms to 1h",
            time(DEFAULTS.channel_poll),
            "Between two looks of the leader. Where they fail, the time grows to a minute.",
        ),
    ]
}
