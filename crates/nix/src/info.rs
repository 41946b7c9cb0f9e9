//! What Nix answers in JSON and in lists, of all its versions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a cache says of one path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Info {
    /// The names of the keys that signed it.
    pub(crate) signed_by: Vec<String>,
    /// Its name is a hash of its content: nobody needs to sign it.
    pub(crate) content_addressed: bool,
}

/// What `nix path-info --json` says of each path that it was asked about: until 2.18 a list, then a map. A path that is not there is told as such.
pub(crate) fn path_infos(json: &str) -> Result<BTreeMap<String, Option<Info>>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| {
                let path = item.get("path").and_then(Value::as_str).ok_or("a path without a name")?;
                Ok((path.to_owned(), info(&item)?))
            })
            .collect(),
        Value::Object(items) => {
            items.into_iter().map(|(path, item)| Ok((path, info(&item)?))).collect::<Result<_, String>>()
        }
        _ => Err("neither a list nor a map".into()),
    }
}

fn info(item: &Value) -> Result<Option<Info>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        #[serde(default)]
        valid: Option<bool>,
        #[serde(default)]
        nar_hash: Option<Value>,
        #[serde(default)]
        ca: Option<Value>,
        #[serde(default)]
        signatures: Vec<Value>,
    }
    if item.is_null() {
        return Ok(None);
    }
    let raw: Raw = serde_json::from_value(item.clone()).map_err(|error| error.to_string())?;
    if raw.valid == Some(false) || raw.nar_hash.is_none() {
        return Ok(None);
    }
    Ok(Some(Info {
        signed_by: raw.signatures.iter().filter_map(key_name).collect(),
        content_addressed: raw.ca.is_some_and(|ca| !ca.is_null() && ca.as_str() != Some("")),
    }))
}

/// The key's name of a signature: text until 2.33, then a map.
fn key_name(signature: &Value) -> Option<String> {
    let text = match signature {
        Value::String(text) => text.split_once(':')?.0,
        other => other.get("keyName")?.as_str()?,
    };
    Some(text.to_owned())
}

/// The settings of Nix that are of interest here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// The caches that it asks, in order.
    pub(crate) caches: Vec<String>,
    /// The public keys that it trusts.
    pub(crate) keys: Vec<String>,
    /// Whether it takes what nobody has signed.
    pub(crate) takes_unsigned: bool,
}

impl Settings {
    /// Reads what `nix show-config --json` says.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let setting = |name: &str| value.get(name).and_then(|setting| setting.get("value"));
        let texts = |name: &str| -> Vec<String> {
            match setting(name) {
                Some(Value::Array(items)) => {
                    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
                _ => Vec::new(),
            }
        };
        Ok(Self {
            caches: texts("substituters"),
            keys: texts("trusted-public-keys"),
            takes_unsigned: setting("require-sigs") == Some(&Value::Bool(false)),
        })
    }

    /// Whether Nix will take this path from this cache, as far as names tell.
    pub(crate) fn trusts(&self, cache: &str, info: &Info) -> bool {
        let names: Vec<&str> = self.keys.iter().map(|key| name_of(key)).collect();
        self.takes_unsigned
            || info.content_addressed
            || cache.split_once('?').is_some_and(|(_, query)| {
                query.split('&').any(|pair| matches!(pair, "trusted=1" | "trusted=true"))
            })
            || info.signed_by.iter().any(|signer| names.contains(&signer.as_str()))
    }

    /// The names of the keys.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.keys.iter().map(|key| name_of(key).to_owned()).collect()
    }
}

fn name_of(key: &str) -> &str {
    key.split_once(':').map_or(key, |(name, _)| name)
}

/// What is to be done for a path to be in the store, as `nix-store --realise --dry-run` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// What comes from caches.
    pub(crate) fetched: Vec<String>,
    /// What no cache has.
    pub(crate) unknown: Vec<String>,
    /// How much the former is when it is here, in bytes.
    pub(crate) unpacked_bytes: u64,
    /// What could not be downloaded to find that out: addresses of caches that gave no answer, and more.
    pub(crate) silent: Vec<String>,
}

impl Plan {
    /// Those of the caches that gave an answer.
    pub(crate) fn answering(&self, caches: &[String]) -> Vec<String> {
        let answers = |cache: &&String| {
            let address = cache.split_once('?').map_or(cache.as_str(), |(address, _)| address);
            let below = format!("{}/", address.trim_end_matches('/'));
            !self.silent.iter().any(|silent| silent.starts_with(&below))
        };
        caches.iter().filter(answers).cloned().collect()
    }

    /// Reads what was said.
    pub(crate) fn read(said: &[String]) -> Self {
        #[derive(Clone, Copy)]
        enum List {
            None,
            Fetched,
            Unknown,
        }
        let mut plan = Self::default();
        let mut list = List::None;
        for line in said {
            if let Some(path) = line.strip_prefix("  ") {
                match list {
                    List::Fetched => plan.fetched.push(path.trim().to_owned()),
                    List::Unknown => plan.unknown.push(path.trim().to_owned()),
                    List::None => (),
                }
            } else if line.contains("will be fetched") {
                list = List::Fetched;
                plan.unpacked_bytes = unpacked(line).unwrap_or(0);
            } else if line.contains("don't know how to build") {
                list = List::Unknown;
            } else if let Some(address) = not_downloaded(line) {
                plan.silent.push(address.to_owned());
            } else {
                list = List::None;
            }
        }
        plan
    }
}

/// What a line says could not be downloaded, and is not tried again.
fn not_downloaded(line: &str) -> Option<&str> {
    let (_, address) = line.split_once("unable to download '")?;
    let (address, rest) = address.split_once('\'')?;
    (!rest.contains("retrying")).then_some(address)
}

/// The second size of `these 2 paths will be fetched (8.00 MiB download, 9.00 MiB unpacked):`, in bytes.
fn unpacked(line: &str) -> Option<u64> {
    let inner = line.split_once('(')?.1.split_once(')')?.0;
    let size = inner.split(", ").find_map(|part| part.strip_suffix(" unpacked"))?;
    let (number, unit) = size.split_once(' ')?;
    let unit = match unit {
        "KiB" => 1_u64 << 10,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => 1 << 20,
    };
    // One digit behind the point, in newer ones: what is left out is less than a twentieth of the unit.
    Some(((number.parse::<f64>().ok()? + 0.05) * unit as f64) as u64)
}

/// What a release has to say of itself, as `nix store ls --json -R PATH/bin` shows it: where the programs are, or where to look instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Programs {
    /// They are there.
    Here {
        /// Something that can be started, or a link to something.
        serve: bool,
        /// The same of `bin/migrate`.
        migrate: bool,
    },
    /// `bin` is a link.
    Elsewhere(String),
    /// `bin` is no directory.
    Nowhere,
}

/// Reads a listing of `bin`.
pub(crate) fn programs(json: &str) -> Result<Programs, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let kind = |value: &Value| value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind(&value).as_str() {
        "directory" => {
            let can_start = |name: &str| {
                let entry = value.get("entries").and_then(|entries| entries.get(name));
                entry.is_some_and(|entry| {
                    kind(entry) == "symlink" || entry.get("executable") == Some(&Value::Bool(true))
                })
            };
            Ok(Programs::Here { serve: can_start("serve"), migrate: can_start("migrate") })
        }
        "symlink" => match value.get("target").and_then(Value::as_str) {
            Some(target) => Ok(Programs::Elsewhere(target.to_owned())),
            None => Err("a link without a target".into()),
        },
        _ => Ok(Programs::Nowhere),
    }
}

#[cfg(test)]
mod tests;
