//! What a channel says: a release, and where it comes from.

use std::{collections::BTreeMap, fmt::Write as _};

use model::fleet::Provenance;
use ports::channel::LIMIT_BYTES;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Longest source, and longest part of where it comes from, in bytes: as with a push.
const SOURCE_LIMIT_BYTES: usize = 4096;
const PROVENANCE_LIMIT_BYTES: usize = 512;

/// A release, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// As a push names it: a store path, or a directory.
    pub source: String,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// Why what a channel says is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too long.
    #[error("it is longer than {LIMIT_BYTES} bytes, and names one release only")]
    TooLong,
    /// There is nothing in it.
    #[error("it is empty; put a store path in it, or JSON with \"path\"")]
    Empty,
    /// Not UTF-8.
    #[error("it is no text in UTF-8")]
    NoText,
    /// More than one line, and no JSON.
    #[error("it has more than one line and is no JSON; put one store path in it, or JSON with \"path\"")]
    ManyLines,
    /// JSON, but not ours.
    #[error("its JSON cannot be read: {0}")]
    Json(String),
    /// Other than one package with an output `out`.
    #[error("it is what `nix build --json` prints, and not of one package with an output \"out\"")]
    NotOneBuilt,
    /// A field that is too long, or has more than one line.
    #[error("its {field} must be one line of at most {limit} bytes")]
    Field {
        /// Which.
        field: &'static str,
        /// Most bytes.
        limit: usize,
    },
}

/// What CI writes. A field that is not known is a mistake of whoever wrote it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    #[serde(default)]
    git_rev: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    author: String,
}

/// What `nix build --json` prints of one package; there is more in it.
#[derive(Deserialize)]
struct Built {
    outputs: BTreeMap<String, String>,
}

impl Pointer {
    /// Reads what a channel says: one line with the path, JSON of ours, or what `nix build --json` prints.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn read(said: &[u8]) -> Result<Self, Unfit> {
        if LIMIT_BYTES < said.len() {
            return Err(Unfit::TooLong);
        }
        let text = str::from_utf8(said).map_err(|_| Unfit::NoText)?.trim();
        if text.is_empty() {
            return Err(Unfit::Empty);
        }
        let unreadable = |error: serde_json::Error| Unfit::Json(error.to_string());
        let pointer = if text.starts_with('{') {
            let Written { path, git_rev, run, author } = serde_json::from_str(text).map_err(unreadable)?;
            Self { source: path, provenance: Provenance { git_rev, ci_run: run, author } }
        } else if text.starts_with('[') {
            let built: Vec<Built> = serde_json::from_str(text).map_err(unreadable)?;
            let [Built { outputs }] = built.as_slice() else { return Err(Unfit::NotOneBuilt) };
            let source = outputs.get("out").ok_or(Unfit::NotOneBuilt)?.clone();
            Self { source, provenance: Provenance::default() }
        } else if text.contains('\n') {
            return Err(Unfit::ManyLines);
        } else {
            Self { source: text.to_owned(), provenance: Provenance::default() }
        };
        pointer.check()?;
        Ok(pointer)
    }

    fn check(&self) -> Result<(), Unfit> {
        let Provenance { git_rev, ci_run, author } = &self.provenance;
        let fields = [
            ("path", &self.source, SOURCE_LIMIT_BYTES),
            ("git_rev", git_rev, PROVENANCE_LIMIT_BYTES),
            ("run", ci_run, PROVENANCE_LIMIT_BYTES),
            ("author", author, PROVENANCE_LIMIT_BYTES),
        ];
        let unfit = |text: &str, limit| limit < text.len() || text.contains(char::is_control);
        match fields.into_iter().find(|(_, text, limit)| unfit(text, *limit)) {
            Some((field, _, limit)) => Err(Unfit::Field { field, limit }),
            None => Ok(()),
        }
    }
}

/// Stands for all that a channel says: white space around it is no part of it.
#[must_use]
pub fn mark(said: &[u8]) -> String {
    let digest = Sha256::digest(said.trim_ascii());
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/nix/store/mxgjd2a4zyan9szh09sv6kyxp21zyv6h-web-1.2";

    #[test]
    fn a_path_alone_is_enough() {
        for said in [PATH.to_owned(), format!("{PATH}\n"), format!("  {PATH}\r\n\n")] {
            let pointer = Pointer::read(said.as_bytes()).unwrap();
            assert_eq!((pointer.source.as_str(), pointer.provenance.is_empty()), (PATH, true), "{said:?}");
        }
    }

    #[test]
    fn json_says_where_it_comes_from() {
        let said =
            format!(r#"{{"path": "{PATH}", "git_rev": "1a2b", "run": "https://ci/7", "author": "ann"}}"#);
        let Pointer { source, provenance } = Pointer::read(said.as_bytes()).unwrap();
        assert_eq!(
            (source.as_str(), provenance.to_string().as_str()),
            (PATH, "git 1a2b by ann, https://ci/7")
        );
        let said = format!(r#"{{"path": "{PATH}"}}"#);
        assert!(Pointer::read(said.as_bytes()).unwrap().provenance.is_empty());
    }

    #[test]
    fn what_nix_build_prints_is_enough() {
        let said =
            format!(r#"[{{"drvPath": "/nix/store/x.drv", "outputs": {{"lib": "/l", "out": "{PATH}"}}}}]"#);
        assert_eq!(Pointer::read(said.as_bytes()).unwrap().source, PATH);
    }

    #[test]
    fn what_is_no_pointer_says_why() {
        let why = |said: &[u8]| Pointer::read(said).unwrap_err();
        assert_eq!(why(b""), Unfit::Empty);
        assert_eq!(why(b" \n"), Unfit::Empty);
        assert_eq!(why(b"/a\n/b\n"), Unfit::ManyLines);
        assert_eq!(why(b"\xff\xfe"), Unfit::NoText);
        assert_eq!(why(&vec![b'a'; LIMIT_BYTES + 1]), Unfit::TooLong);
        for (said, words) in [
            (r#"{"git_rev": "1"}"#, "missing field `path`"),
            (r#"{"path": "/a", "rev": "1"}"#, "unknown field `rev`"),
            (r#"{"path": "#, "EOF"),
            (r#"["/a"]"#, "invalid type"),
            ("[]", "one package"),
            (r#"[{"outputs": {"lib": "/a"}}]"#, "one package"),
        ] {
            assert!(why(said.as_bytes()).to_string().contains(words), "{said}: {}", why(said.as_bytes()));
        }
        let long = format!(r#"{{"path": "/a", "author": "{}"}}"#, "a".repeat(513));
        assert_eq!(why(long.as_bytes()).to_string(), "its author must be one line of at most 512 bytes");
        assert!(matches!(why(br#"{"path": "/a\n/b"}"#), Unfit::Field { field: "path", .. }));
    }

    #[test]
    fn what_says_the_same_has_the_same_mark() {
        assert_eq!(mark(b"/a\n"), mark(b"/a"));
        assert_ne!(mark(b"/a"), mark(b"/b"));
        assert_eq!(mark(b"").len(), 64);
    }
}
