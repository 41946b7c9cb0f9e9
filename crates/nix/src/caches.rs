//! What the caches are asked directly: whether they have a path, who signed it, and what is in it. Their answers choose words and turn a
//! push down early; what is staged is checked by Nix itself.

use std::{path::Path, time::Duration};

use crate::{
    Inner,
    command::{Ask, Failed},
    info::{self, Info, Programs, Settings},
    path::StorePath,
    trouble::{Silent, Trouble},
};

/// Longest wait for one answer of one cache.
const QUESTION: Duration = Duration::from_secs(20);
/// Longest wait for the list of what is in a path: a cache that keeps no lists sends the whole path instead.
const LISTING: Duration = Duration::from_secs(45);
/// How many links `bin` may be away.
const LINKS: usize = 5;

/// Where a path can be had.
#[derive(Debug)]
pub(crate) struct Found {
    /// The cache's address.
    cache: String,
}

impl Inner {
    /// What Nix is told to ask and to trust, here.
    pub(crate) async fn settings(&self) -> Result<Settings, Trouble> {
        let old = self.with_caches(Ask::nix(QUESTION).args(["show-config", "--json"]));
        let json = match self.nix.answer(old).await {
            Err(Trouble::Nix { .. }) => {
                let new = self.with_caches(Ask::nix(QUESTION).args(["config", "show", "--json"]));
                self.nix.answer(new).await?
            }
            answered => answered?,
        };
        Settings::read(&json).map_err(|why| unreadable("read Nix's settings", why))
    }

    /// The first cache that has the path, signed by somebody who is trusted.
    ///
    /// # Errors
    /// Why there is none: the class that says most.
    pub(crate) async fn find(&self, path: &StorePath, settings: &Settings) -> Result<Found, Trouble> {
        let path_text = path.as_str().to_owned();
        if settings.caches.is_empty() {
            return Err(Trouble::NoCaches { path: path_text });
        }
        let (mut silent, mut signatures, mut unsigned) = (Vec::new(), Vec::new(), false);
        for cache in &settings.caches {
            match self.ask(cache, path).await {
                Ok(Some(info)) if settings.trusts(cache, &info) => return Ok(Found { cache: cache.clone() }),
                Ok(Some(info)) => {
                    unsigned = true;
                    signatures.extend(info.signed_by);
                }
                Ok(None) => (),
                Err(Trouble::Nix { source, .. }) => {
                    silent.push(Silent { cache: cache.clone(), why: source.to_string() });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        signatures.sort();
        signatures.dedup();
        Err(if unsigned {
            Trouble::NotSigned { path: path_text, signatures, keys: settings.key_names() }
        } else if silent.is_empty() {
            Trouble::NotInCache { path: path_text, asked: settings.caches.clone() }
        } else {
            Trouble::Unreachable { path: path_text, silent }
        })
    }

    /// What one cache says of the path, now: not what it said an hour ago.
    async fn ask(&self, cache: &str, path: &StorePath) -> Result<Option<Info>, Trouble> {
        let ask = Ask::nix(QUESTION).args(["path-info", "--json", "--store", cache, path.as_str()]);
        let ask = ask.option("narinfo-cache-positive-ttl", "0").option("narinfo-cache-negative-ttl", "0");
        let ask = ask.option("connect-timeout", "5").option("stalled-download-timeout", "10");
        let answer = self.nix.answer(ask.option("download-attempts", "1")).await;
        let json = match answer {
            // Newer ones that were asked about one path only end with an error where it is not there.
            Err(Trouble::Nix { source, .. }) if is_not_there(&source, path) => return Ok(None),
            answered => answered?,
        };
        let infos = info::path_infos(&json);
        let mut infos = infos.map_err(|why| unreadable("read what a cache has", why))?;
        Ok(infos.remove(path.as_str()).flatten())
    }

    /// Whether the path, as this cache has it, brings `bin/migrate`.
    ///
    /// # Errors
    /// It has no `bin/serve`, or it cannot be told.
    pub(crate) async fn migrates_there(&self, found: &Found, path: &StorePath) -> Result<bool, Trouble> {
        let unfit = |problem: String| Trouble::Unfit { path: path.as_str().to_owned(), problem };
        let mut place = format!("{path}/bin");
        for _ in 0..LINKS {
            let ask =
                Ask::nix(LISTING).args(["store", "ls", "--json", "-R", "--store", &found.cache, &place]);
            let ask = ask.option("connect-timeout", "5").option("stalled-download-timeout", "15");
            let json = match self.nix.answer(ask.option("download-attempts", "2")).await {
                Err(Trouble::Nix { source, .. }) if lacks(&source) => {
                    return Err(unfit(format!("there is no {place}")));
                }
                answered => answered?,
            };
            let programs = info::programs(&json);
            match programs.map_err(|why| unreadable("read what is in a path", why))? {
                Programs::Here { serve: true, migrate } => return Ok(migrate),
                Programs::Here { serve: false, .. } => {
                    return Err(unfit(format!("there is no executable {place}/serve")));
                }
                Programs::Nowhere => return Err(unfit(format!("{place} is no directory"))),
                Programs::Elsewhere(target) => {
                    let beside = Path::new(&place).parent().unwrap_or(Path::new("/"));
                    place = beside.join(target).display().to_string();
                }
            }
        }
        Err(unfit(format!("bin is more than {LINKS} links away")))
    }
}

fn unreadable(doing: &str, why: String) -> Trouble {
    Trouble::nix(doing)(Failed::Unreadable(why))
}

fn is_not_there(failed: &Failed, path: &StorePath) -> bool {
    failed.said().iter().any(|line| line.contains(path.as_str()) && line.contains("is not valid"))
}

fn lacks(failed: &Failed) -> bool {
    failed.said().iter().any(|line| line.contains("does not exist"))
}
