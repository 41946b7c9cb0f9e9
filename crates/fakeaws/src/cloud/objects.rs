//! Objects in buckets.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Now, hex};
use crate::refusal::Refusal;
use hyper::StatusCode;

/// All buckets, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects(BTreeMap<String, BTreeMap<String, Object>>);

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) changed: Now,
    /// With its quotes.
    pub(crate) etag: String,
}

impl Objects {
    /// Puts an object, into a bucket that is made where there is none.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, bytes: Bytes, now: Now) -> &Object {
        let etag = format!("\"{}\"", hex(&bytes, 16));
        let object = Object { bytes, changed: now, etag };
        self.0.entry(bucket.to_owned()).or_default().entry(key.to_owned()).insert_entry(object).into_mut()
    }

    /// Removes an object. The bucket stays.
    pub(crate) fn remove(&mut self, bucket: &str, key: &str) {
        if let Some(objects) = self.0.get_mut(bucket) {
            objects.remove(key);
        }
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<&Object, Refusal> {
        let missing = |code, text| Refusal::with_status(StatusCode::NOT_FOUND, code, text);
        self.0
            .get(bucket)
            .ok_or_else(|| missing("NoSuchBucket", "The specified bucket does not exist"))?
            .get(key)
            .ok_or_else(|| missing("NoSuchKey", "The specified key does not exist."))
    }
}
