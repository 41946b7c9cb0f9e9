//! What can go wrong with a store path, one class each, and how it is classified. Each says what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use ports::{Fault, FaultKind};

use crate::{command::Failed, words};

/// A cache that was asked and gave no answer that is worth anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Its address.
    pub(crate) cache: String,
    /// What Nix said.
    pub(crate) why: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It is no store path.
    #[error("{0}")]
    NotAPath(String),
    /// It is a store path, but no release.
    #[error("{path} is not a release: {problem}")]
    Unfit { path: String, problem: String },
    /// It was pushed as something that it is not.
    #[error(
        "{path} {}, and was pushed as a release {}: the cache that was asked at the push told another story; push it again",
        if *.migrates { "has a bin/migrate" } else { "has no bin/migrate" },
        if *.migrates { "without one" } else { "with one" }
    )]
    OtherStory { path: String, migrates: bool },
    /// Every cache that was asked answered, and none has it.
    #[error(
        "{path} is in no cache that this host asks ({}): publish it there with all that it needs",
        words::list(asked)
    )]
    NotInCache { path: String, asked: Vec<String> },
    /// There is nobody to ask.
    #[error(
        "{path} is not in this host's store, and this host asks no cache: set store.substituters, or Nix's own substituters"
    )]
    NoCaches { path: String },
    /// Those that answered do not have it, and not all answered.
    #[error("{path} is in no cache that answered, and {}", silences(silent))]
    Unreachable { path: String, silent: Vec<Silent> },
    /// A cache has it, and stopped in the middle of it.
    #[error("{path} was not fetched to its end: {why}")]
    CutShort { path: String, why: String },
    /// Nobody who is trusted has signed it.
    #[error(
        "{path} is not signed by a key that this host trusts: {}; this host trusts {}: sign it with one of those, or add the key to store.trusted_public_keys",
        signed_by(signatures),
        trusted(keys)
    )]
    NotSigned { path: String, signatures: Vec<String>, keys: Vec<String> },
    /// The daemon asks and trusts only whom it is configured for.
    #[error(
        "Nix's daemon does not take store.substituters and store.trusted_public_keys from the user that the agent runs as: add that user to trusted-users in the daemon's nix.conf, or configure caches and keys there ({said})"
    )]
    NotATrustedUser { said: String },
    /// The disk is too full.
    #[error("{} {problem}: free some, with nix-collect-garbage for one", path.display())]
    NoSpace { path: PathBuf, problem: String },
    /// What is staged is not what was staged.
    #[error("{path} is damaged: {why}")]
    Damaged { path: String, why: String },
    /// There is no such staged release.
    #[error("{0} is not staged on this host")]
    NotStaged(String),
    /// There is no Nix here.
    #[error(
        "there is no nix-store in {}: install Nix 2.8 or later, or set store.nix_bin to the directory it is in",
        words::list(looked)
    )]
    NixMissing { looked: Vec<String> },
    /// It cannot do what is needed.
    #[error("{} is Nix {found}, and 2.8 is the oldest that can be used", program.display())]
    NixTooOld { program: PathBuf, found: String },
    /// Nix said no, and nobody knows better why.
    #[error("{doing}")]
    Nix { doing: String, source: Failed },
    /// The system said no.
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

fn silences(silent: &[Silent]) -> String {
    let each = silent.iter().map(|silent| format!("{} gave no answer ({})", silent.cache, silent.why));
    each.collect::<Vec<_>>().join(", ")
}

fn signed_by(signatures: &[String]) -> String {
    if signatures.is_empty() {
        return "it has no signature".to_owned();
    }
    format!("it is signed by {}", words::list(signatures))
}

fn trusted(keys: &[String]) -> String {
    if keys.is_empty() { "none".to_owned() } else { words::list(keys) }
}

impl Trouble {
    /// For `map_err`: what was done with which path.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err`: what Nix was asked to do.
    pub(crate) fn nix(doing: impl Into<String>) -> impl FnOnce(Failed) -> Self {
        let doing = doing.into();
        move |source| Self::Nix { doing, source }
    }

    pub(crate) fn no_space(path: &Path, problem: String) -> Self {
        Self::NoSpace { path: path.to_owned(), problem }
    }

    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            // Caches get what they lack, disks get room, and machines that do not answer come back.
            Self::NotInCache { .. }
            | Self::Unreachable { .. }
            | Self::CutShort { .. }
            | Self::NoSpace { .. }
            | Self::Nix { .. } => FaultKind::Transient,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Permanent,
                _ => FaultKind::Transient,
            },
            Self::NotAPath(_)
            | Self::Unfit { .. }
            | Self::OtherStory { .. }
            | Self::NoCaches { .. }
            | Self::NotSigned { .. }
            | Self::NotATrustedUser { .. }
            | Self::Damaged { .. }
            | Self::NotStaged(_)
            | Self::NixMissing { .. }
            | Self::NixTooOld { .. } => FaultKind::Permanent,
        }
    }

    /// What is to be done, where it is the push that was wrong and not this host or its surroundings.
    pub(crate) fn next_of_push(&self) -> Option<&'static str> {
        match self {
            Self::NotAPath(_) => Some("push a store path, or a link to one such as ./result"),
            Self::Unfit { .. } => Some("push a store path with an executable bin/serve"),
            Self::NotInCache { .. } => {
                Some("publish it, such as with `nix copy --to CACHE PATH`, and push it again")
            }
            Self::NoCaches { .. } => {
                Some("set store.substituters on the hosts, start their agents again, and push it again")
            }
            Self::NotSigned { .. } => Some(
                "sign it with a trusted key, such as with `nix store sign -r -k FILE PATH`, publish it again, and push it again",
            ),
            _ => None,
        }
    }

    pub(crate) fn into_fault(self, attempted: &str) -> Fault {
        Fault::new(self.kind(), attempted, self)
    }
}
