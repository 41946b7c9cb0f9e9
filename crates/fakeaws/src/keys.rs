//! Access keys of roles: whose they are, and until when they are good.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cloud::{Now, hex},
    wire::Credentials,
};

/// The keys that the metadata service handed out.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    mode: Credentials,
    known: BTreeMap<String, Key>,
    numbers: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) role: String,
    pub(crate) issued: Now,
    pub(crate) expires: Now,
}

impl Keys {
    /// What is handed out from now on. Keys that are out expire, unless good ones are.
    pub(crate) fn set(&mut self, mode: Credentials, now: Now) {
        self.mode = mode;
        if mode != Credentials::Valid {
            for key in self.known.values_mut() {
                key.expires = key.expires.min(now);
            }
        }
    }

    /// The keys of an instance, new ones when the last have lived half of their time; none when none are handed out.
    pub(crate) fn issue(&mut self, instance: &str, role: &str, lifetime: Duration, now: Now) -> Option<Key> {
        if self.mode == Credentials::Missing {
            return None;
        }
        let fresh =
            |key: &&Key| key.instance == instance && key.role == role && now + lifetime / 2 < key.expires;
        if let Some(key) = self.known.values().find(fresh) {
            return Some(key.clone());
        }
        self.numbers += 1;
        let digits = hex(format!("{instance} {}", self.numbers).as_bytes(), 8).to_uppercase();
        let expires = if self.mode == Credentials::Expired { now } else { now + lifetime };
        let key = Key {
            id: format!("ASIA{digits}"),
            instance: instance.to_owned(),
            role: role.to_owned(),
            issued: now,
            expires,
        };
        self.known.insert(key.id.clone(), key.clone());
        Some(key)
    }

    /// The key with this id, if it was handed out.
    pub(crate) fn get(&self, id: &str) -> Option<&Key> {
        self.known.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn keys_are_renewed_in_time_and_expire_on_demand() {
        let mut keys = Keys::default();
        let first = keys.issue("i-1", "host", 6 * HOUR, HOUR).unwrap();
        assert_eq!(keys.issue("i-1", "host", 6 * HOUR, 3 * HOUR), Some(first.clone()));
        assert_ne!(keys.issue("i-1", "host", 6 * HOUR, 4 * HOUR).unwrap().id, first.id);
        assert_ne!(keys.issue("i-2", "host", 6 * HOUR, HOUR).unwrap().id, first.id);
        keys.set(Credentials::Expired, 2 * HOUR);
        assert_eq!(keys.get(&first.id).unwrap().expires, 2 * HOUR);
        assert_eq!(keys.issue("i-1", "host", 6 * HOUR, 3 * HOUR).unwrap().expires, 3 * HOUR);
        keys.set(Credentials::Missing, 3 * HOUR);
        assert_eq!(keys.issue("i-1", "host", 6 * HOUR, 3 * HOUR), None);
        keys.set(Credentials::Valid, 3 * HOUR);
        assert!(keys.issue("i-1", "host", 6 * HOUR, 3 * HOUR).unwrap().expires > 3 * HOUR);
    }
}
