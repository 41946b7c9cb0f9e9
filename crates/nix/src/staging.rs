//! Stages, verifies and collects.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use model::{Release, ReleaseId, StageProgress};
use ports::store::Progress;

use crate::{
    Inner, LOCAL, READ_ALL,
    command::{Ask, Failed},
    content,
    info::Plan,
    path::StorePath,
    progress::{Heard, Meter},
    trouble::Trouble,
    words,
};

/// Longest time to fetch a closure: the caller has a limit of its own, and a cache that stalls is given up long before.
const FETCH: Duration = Duration::from_secs(6 * 3600);
/// Longest time to ask all caches what they have of a closure.
const SURVEY: Duration = Duration::from_secs(300);
/// Longest time to find what nothing needs any more.
const SWEEP: Duration = Duration::from_secs(900);

impl Inner {
    pub(crate) async fn stage(&self, release: &Release, progress: &Progress) -> Result<(), Trouble> {
        let path = StorePath::of(&self.options.store_dir, &release.id).map_err(Trouble::NotAPath)?;
        let _turn = self.turn.lock().await;
        let plan = self.plan(&path).await?;
        self.check_space(&plan)?;
        if let Err(trouble) = self.fetch(&release.id, &path, &plan, progress).await {
            return Err(self.explain(&path, &plan, trouble).await);
        }
        // Nix has checked what it has just fetched; what was here already may have been damaged since.
        let fetched: BTreeSet<&str> = plan.fetched.iter().map(String::as_str).collect();
        let closure = self.closure(std::slice::from_ref(&path)).await?;
        let old: Vec<String> = closure.into_iter().filter(|path| !fetched.contains(path.as_str())).collect();
        self.mend(&old).await?;
        let migrates = content::migrates(&path)?;
        if migrates != release.migrates {
            return Err(Trouble::OtherStory { path: path.as_str().to_owned(), migrates });
        }
        self.roots.note_staged(&release.id)
    }

    /// What has to be fetched.
    async fn plan(&self, path: &StorePath) -> Result<Plan, Trouble> {
        let ask = Ask::store(SURVEY).args(["--realise", "--dry-run", path.as_str()]);
        let mut said = Vec::new();
        let ran = self.nix.run(self.fetching(ask).option("stalled-download-timeout", "10"), |line| {
            said.push(line.to_owned());
            Some(line.to_owned())
        });
        let ran = ran.await;
        let plan = Plan::read(&said);
        match (plan.unknown.first(), ran) {
            (Some(missing), _) => {
                let missing = StorePath::parse(&self.options.store_dir, missing).unwrap_or(path.clone());
                let settings = self.settings().await?;
                match self.find(&missing, &settings).await {
                    // It has come since, or the cache that has it cannot be trusted with the rest: Nix will say.
                    Ok(_) => Ok(plan),
                    Err(trouble) => Err(trouble),
                }
            }
            (None, Err(trouble)) => Err(self.explain(path, &plan, trouble).await),
            (None, Ok(_)) => Ok(plan),
        }
    }

    fn check_space(&self, plan: &Plan) -> Result<(), Trouble> {
        if plan.fetched.is_empty() {
            return Ok(());
        }
        let store = self.options.store_dir.ancestors().find(|dir| dir.exists());
        let store = store.unwrap_or(&self.options.store_dir);
        let disk = rustix::fs::statvfs(store)
            .map_err(|error| Trouble::io("ask for the free space of", store)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = plan.unpacked_bytes.saturating_add(self.options.reserve_bytes);
        if needed <= free {
            return Ok(());
        }
        let (needed, free) = (words::bytes(needed), words::bytes(free));
        Err(Trouble::no_space(
            &self.options.store_dir,
            format!("needs {needed} of free space, {free} is left"),
        ))
    }

    /// Fetches what is missing and pins the path, in one step of Nix: no garbage collector comes between. Where Nix tripped over itself,
    /// once more.
    async fn fetch(
        &self,
        id: &ReleaseId,
        path: &StorePath,
        plan: &Plan,
        progress: &Progress,
    ) -> Result<(), Trouble> {
        let link = self.roots.link(id);
        let caches = self.answering(plan).await?;
        for last in [false, true] {
            let mut meter = Meter::new(plan.fetched.len() as u64, plan.unpacked_bytes);
            progress.tell(meter.now());
            let ask = Ask::store(FETCH).args(["--realise", path.as_str(), "--add-root"]).args([&link]);
            let ask = self.fetching(ask).args(["--log-format", "internal-json"]);
            let ask = match &caches {
                Some(caches) => ask.option("substituters", caches.join(" ")),
                None => ask,
            };
            let ran = self.nix.run(ask, |line| match meter.hear(line) {
                Heard::Text(text) => Some(text),
                Heard::Further(so_far) => {
                    progress.tell(so_far);
                    None
                }
                Heard::Nothing => None,
            });
            match ran.await {
                Err(Trouble::Nix { source, .. }) if !last && tripped(&source) => {
                    tracing::warn!(%path, why = %source, "Nix tripped over itself; once more");
                }
                Err(trouble) => return Err(trouble),
                Ok(_) => {
                    // It may be less than Nix thought, as others on this host fetch too.
                    let StageProgress { paths, bytes, .. } = meter.now();
                    progress.tell(StageProgress { paths_done: paths, paths, bytes_done: bytes, bytes });
                    return Ok(());
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// Which caches are worth asking, where some gave no answer a moment ago: each would be waited for once more. Nothing where all are.
    async fn answering(&self, plan: &Plan) -> Result<Option<Vec<String>>, Trouble> {
        if plan.silent.is_empty() || plan.fetched.is_empty() {
            return Ok(None);
        }
        let caches = plan.answering(&self.settings().await?.caches);
        Ok(Some(caches).filter(|caches| !caches.is_empty()))
    }

    /// With what every call has that may ask a cache.
    fn fetching(&self, ask: Ask) -> Ask {
        // A cache that had nothing a minute ago may have it now: a push comes right after the publishing.
        let ask = self.with_caches(ask).option("narinfo-cache-negative-ttl", "0");
        let ask = ask.option("connect-timeout", "5").option("stalled-download-timeout", "20");
        // Nothing is ever built here.
        ask.option("download-attempts", "2").option("max-jobs", "0")
    }

    /// Finds the class of a failed attempt by asking the caches; what nobody can explain is told as Nix told it.
    async fn explain(&self, path: &StorePath, plan: &Plan, trouble: Trouble) -> Trouble {
        let Trouble::Nix { source, .. } = &trouble else { return trouble };
        if source.said().iter().any(|line| line.contains("No space left on device")) {
            return Trouble::no_space(&self.options.store_dir, "became full while it was fetched".into());
        }
        let restricted = |line: &&String| {
            line.contains("not a trusted user") || line.contains("ignoring untrusted substituter")
        };
        if let Some(said) = source.said().iter().find(restricted) {
            return Trouble::NotATrustedUser { said: said.clone() };
        }
        let Ok(settings) = self.settings().await else { return trouble };
        // Nix names what it could not take; without that, the path itself is asked about.
        let said = source.said();
        let named =
            plan.fetched.iter().find(|fetched| said.iter().any(|line| line.contains(fetched.as_str())));
        let suspect = named.and_then(|text| StorePath::parse(&self.options.store_dir, text).ok());
        match self.find(suspect.as_ref().unwrap_or(path), &settings).await {
            // A signature by the right name, and not by the right key.
            Ok(_) if said.iter().any(|line| line.contains("not signed by any of the keys")) => {
                let path = suspect.as_ref().unwrap_or(path).as_str().to_owned();
                let signatures = vec!["another key of a name that is trusted".to_owned()];
                Trouble::NotSigned { path, signatures, keys: settings.key_names() }
            }
            Ok(_) if said.iter().any(|line| line.contains("unable to download")) => {
                Trouble::CutShort { path: path.as_str().to_owned(), why: source.to_string() }
            }
            Ok(_) => trouble,
            Err(class) => class,
        }
    }

    /// All that these paths need, themselves included.
    async fn closure(&self, paths: &[StorePath]) -> Result<Vec<String>, Trouble> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let paths = paths.iter().map(StorePath::as_str);
        let said = self.nix.answer(Ask::store(LOCAL).args(["--query", "--requisites"]).args(paths)).await?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Which of these are not what they should be, read byte by byte.
    async fn damaged(&self, paths: &[String]) -> Result<Vec<String>, Trouble> {
        match self.check(paths).await? {
            true => return Ok(Vec::new()),
            false if paths.len() == 1 => return Ok(paths.to_vec()),
            false => (),
        }
        let mut damaged = Vec::new();
        for path in paths {
            if !self.check(std::slice::from_ref(path)).await? {
                damaged.push(path.clone());
            }
        }
        Ok(damaged)
    }

    async fn check(&self, paths: &[String]) -> Result<bool, Trouble> {
        if paths.is_empty() {
            return Ok(true);
        }
        match self.nix.answer(Ask::store(READ_ALL).args(["--verify-path"]).args(paths)).await {
            Ok(_) => Ok(true),
            Err(Trouble::Nix { source: Failed::Ended { .. }, .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Fetches again what is damaged.
    async fn mend(&self, paths: &[String]) -> Result<(), Trouble> {
        let damaged = self.damaged(paths).await?;
        for path in &damaged {
            tracing::warn!(%path, "a store path was changed behind Nix's back; it is fetched again");
            let ask = Ask::store(FETCH).args(["--realise", "--repair", path.as_str()]);
            if let Err(Trouble::Nix { source, .. }) = self.nix.answer(self.fetching(ask)).await {
                let why = format!("it was changed behind Nix's back, and cannot be fetched again: {source}");
                return Err(Trouble::Damaged { path: path.clone(), why });
            }
        }
        match self.damaged(&damaged).await?.first() {
            None => Ok(()),
            Some(path) => {
                let why =
                    "it was changed behind Nix's back, and is so still after it was fetched again".into();
                Err(Trouble::Damaged { path: path.clone(), why })
            }
        }
    }

    pub(crate) async fn verify(&self, id: &ReleaseId) -> Result<PathBuf, Trouble> {
        let path = StorePath::of(&self.options.store_dir, id).map_err(Trouble::NotAPath)?;
        if !self.roots.has(id)? {
            return Err(Trouble::NotStaged(path.as_str().to_owned()));
        }
        let gone = |why: String| Trouble::Damaged { path: path.as_str().to_owned(), why };
        let verified = match self.closure(std::slice::from_ref(&path)).await {
            Ok(closure) => match self.damaged(&closure).await?.first() {
                None => Ok(path.to_path()),
                Some(damaged) if damaged == path.as_str() => {
                    Err(gone("it was changed after it was staged".into()))
                }
                Some(damaged) => Err(gone(format!("{damaged}, which it needs, was changed"))),
            },
            Err(Trouble::Nix { source: Failed::Ended { said, .. }, .. })
                if said.iter().any(|line| line.contains("is not valid")) =>
            {
                Err(gone("Nix does not have it any more".into()))
            }
            Err(trouble) => Err(trouble),
        };
        match &verified {
            Ok(_) => self.roots.note_whole(id),
            Err(Trouble::Damaged { .. }) => self.roots.note_changed(id),
            Err(_) => (),
        }
        verified
    }

    pub(crate) async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Trouble> {
        let _turn = self.turn.lock().await;
        let order = self.roots.order()?;
        let count = order.len().saturating_sub(self.options.keep_releases);
        let removed: Vec<ReleaseId> =
            order.iter().filter(|id| !keep.contains(id)).take(count).cloned().collect();
        if removed.is_empty() {
            return Ok(removed);
        }
        let left: Vec<ReleaseId> = order.into_iter().filter(|id| !removed.contains(id)).collect();
        let freed = self.only_of(&removed, &left).await;
        for id in &removed {
            self.roots.remove(id)?;
        }
        // The roots are gone, and that is what was promised; what takes up room still, the next garbage collection finds.
        match freed {
            Ok(paths) => {
                if let Err(trouble) = self.delete(&paths).await {
                    let error = ports::fault::Chain(&trouble).to_string();
                    tracing::warn!(%error, "old store paths are left to nix-collect-garbage");
                }
            }
            Err(trouble) => {
                let error = ports::fault::Chain(&trouble).to_string();
                tracing::warn!(%error, "old store paths are left to nix-collect-garbage");
            }
        }
        Ok(removed)
    }

    /// What the former need and none of the latter.
    async fn only_of(&self, removed: &[ReleaseId], left: &[ReleaseId]) -> Result<BTreeSet<String>, Trouble> {
        let mut only = self.closure_of(removed).await?;
        for needed in self.closure_of(left).await? {
            only.remove(&needed);
        }
        Ok(only)
    }

    async fn closure_of(&self, ids: &[ReleaseId]) -> Result<BTreeSet<String>, Trouble> {
        let paths = ids.iter().filter(|id| self.roots.link(id).exists());
        let paths: Vec<StorePath> =
            paths.filter_map(|id| StorePath::of(&self.options.store_dir, id).ok()).collect();
        Ok(self.closure(&paths).await?.into_iter().collect())
    }

    /// Deletes those of the paths that nothing on this host needs: a profile, another service or a running process may.
    async fn delete(&self, paths: &BTreeSet<String>) -> Result<(), Trouble> {
        let dead = self.nix.answer(Ask::store(SWEEP).args(["--gc", "--print-dead"])).await?;
        let dead: Vec<&str> = dead.lines().filter(|path| paths.contains(*path)).collect();
        if dead.is_empty() {
            return Ok(());
        }
        tracing::info!(paths = dead.len(), "deletes store paths that only old releases needed");
        self.nix.answer(Ask::store(SWEEP).args(["--delete"]).args(dead)).await.map(drop)
    }
}

/// Whether Nix's own books were in the way: two first uses of them at once, for one.
fn tripped(failed: &Failed) -> bool {
    let Failed::Ended { how, said } = failed else { return false };
    how.contains("signal: 6")
        || said.iter().any(|line| line.contains("SQLite") || line.contains("database is busy"))
}
