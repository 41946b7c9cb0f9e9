//! What a release consists of, and how its id is made of that. Pure: files are read elsewhere.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use model::ReleaseId;
use sha2::{Digest, Sha256};

/// One file, directory or link below the release's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path below the root.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { executable: bool, bytes: u64 },
    Link { target: PathBuf },
}

/// The order of hashing and copying: by the bytes of the path, which puts a directory before what is in it.
pub(crate) fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|a, b| a.path.as_os_str().as_bytes().cmp(b.path.as_os_str().as_bytes()));
}

/// All bytes of all files.
pub(crate) fn bytes(entries: &[Entry]) -> u64 {
    entries.iter().fold(0, |sum, entry| match entry.kind {
        Kind::File { bytes, .. } => sum.saturating_add(bytes),
        Kind::Directory | Kind::Link { .. } => sum,
    })
}

/// Whether a release of these entries migrates, or why it is not a release.
pub(crate) fn migrates(entries: &[Entry]) -> Result<bool, String> {
    for entry in entries {
        if let Kind::Link { target } = &entry.kind {
            check_link(&entry.path, target)?;
        }
    }
    if !program(entries, "bin/serve")? {
        return Err("has no bin/serve; a release is a directory with an executable file bin/serve".into());
    }
    program(entries, "bin/migrate")
}

/// Whether the program is there; it is a problem if it is there and cannot be run.
fn program(entries: &[Entry], path: &str) -> Result<bool, String> {
    let Some(entry) = entries.iter().find(|entry| entry.path == Path::new(path)) else { return Ok(false) };
    match entry.kind {
        Kind::File { executable: true, .. } => Ok(true),
        Kind::File { executable: false, .. } => Err(format!("{path} is not executable; chmod +x it")),
        Kind::Directory => Err(format!("{path} is a directory; it must be an executable file")),
        Kind::Link { .. } => Err(format!("{path} is a symbolic link; it must be an executable file")),
    }
}

/// A link may not lead out of the release: what it leads to would not be part of the content.
///
/// With `..` only at the start of each target, counting them is enough: the folder of a link is real, and every
/// other link that the rest of the target passes keeps the same rule.
fn check_link(path: &Path, target: &Path) -> Result<(), String> {
    let problem = |why| Err(format!("{} is a link to {}, {why}", path.display(), target.display()));
    let depth = path.components().count() - 1;
    let mut up = 0;
    let mut down = false;
    for component in target.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => {
                return problem("an absolute path; a link must be relative");
            }
            Component::ParentDir if down => {
                return problem("with `..` after a name; `..` may only be at its start");
            }
            Component::ParentDir => up += 1,
            Component::Normal(_) => down = true,
            Component::CurDir => (),
        }
    }
    if up > depth { problem("which leads out of the release") } else { Ok(()) }
}

/// SHA-256 of one file's content.
pub(crate) type FileHash = [u8; 32];

/// Makes an id of entries in their order.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        let mut hash = Sha256::new();
        // The number is raised when anything below changes: an id never means two things.
        hash.update(b"deployinator directory 1\n");
        Self(hash)
    }

    /// Adds an entry; `content` is a file's hash, and means nothing for others.
    pub(crate) fn add(&mut self, entry: &Entry, content: FileHash) {
        let (letter, content): (u8, FileHash) = match &entry.kind {
            Kind::Directory => (b'd', [0; 32]),
            Kind::File { executable: false, .. } => (b'f', content),
            Kind::File { executable: true, .. } => (b'x', content),
            Kind::Link { target } => (b'l', Sha256::digest(target.as_os_str().as_bytes()).into()),
        };
        let path = entry.path.as_os_str().as_bytes();
        self.0.update([letter]);
        self.0.update((path.len() as u64).to_le_bytes());
        self.0.update(path);
        self.0.update(content);
    }

    /// The first 160 bits, which is more than enough to tell any two apart.
    pub(crate) fn finish(self) -> ReleaseId {
        let hash: FileHash = self.0.finalize().into();
        let hex: String = hash[..20].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("dir-{hex}").parse().expect("hexadecimal digits make an id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.into(), kind }
    }

    fn file(path: &str, executable: bool) -> Entry {
        entry(path, Kind::File { executable, bytes: 1 })
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, Kind::Link { target: target.into() })
    }

    fn with(more: Entry) -> Result<bool, String> {
        migrates(&[file("bin/serve", true), more])
    }

    #[test]
    fn a_release_has_an_executable_bin_serve() {
        for (entries, problem) in [
            (vec![], "has no bin/serve"),
            (vec![file("serve", true)], "has no bin/serve"),
            (vec![file("bin/serve", false)], "bin/serve is not executable"),
            (vec![entry("bin/serve", Kind::Directory)], "bin/serve is a directory"),
            (vec![link("bin/serve", "run")], "bin/serve is a symbolic link"),
            (vec![link("bin", "sbin"), file("sbin/serve", true)], "has no bin/serve"),
        ] {
            let found = migrates(&entries).expect_err(problem);
            assert!(found.starts_with(problem), "{found}, and not {problem}");
        }
    }

    #[test]
    fn bin_migrate_may_be_missing_but_not_broken() {
        assert_eq!(with(file("bin/other", false)), Ok(false));
        assert_eq!(with(file("bin/migrate", true)), Ok(true));
        assert!(with(file("bin/migrate", false)).unwrap_err().starts_with("bin/migrate is not executable"));
        assert!(
            with(link("bin/migrate", "serve")).unwrap_err().starts_with("bin/migrate is a symbolic link")
        );
    }

    #[test]
    fn links_stay_within_the_release() {
        for (path, target) in
            [("a", "b"), ("a", "./b"), ("x/a", "../b"), ("x/y/a", "../../b/c"), ("x/a", "..")]
        {
            assert_eq!(with(link(path, target)), Ok(false), "{path} to {target}");
        }
        for (path, target, why) in [
            ("a", "/etc/passwd", "an absolute path"),
            ("a", "..", "leads out"),
            ("a", "../b", "leads out"),
            ("x/a", "../../b", "leads out"),
            ("x/a", "./../../b", "leads out"),
            ("a", "b/..", "`..` after a name"),
            ("a", "b/../../c", "`..` after a name"),
        ] {
            let problem = with(link(path, target)).expect_err(target);
            assert!(problem.contains(why), "{path} to {target}: {problem}");
            assert!(problem.starts_with(&format!("{path} is a link to {target}")), "{problem}");
        }
    }

    fn id(entries: &[(Entry, FileHash)]) -> String {
        let mut hasher = Hasher::new();
        entries.iter().for_each(|(entry, content)| hasher.add(entry, *content));
        hasher.finish().to_string()
    }

    #[test]
    fn everything_that_matters_makes_another_id() {
        let base = [(file("a", false), [1; 32]), (file("b", false), [2; 32])];
        let ids = [
            id(&base),
            id(&base[..1]),
            id(&[(file("a", true), [1; 32]), (file("b", false), [2; 32])]),
            id(&[(file("a", false), [2; 32]), (file("b", false), [1; 32])]),
            id(&[(file("ab", false), [1; 32]), (file("b", false), [2; 32])]),
            id(&[(entry("a", Kind::Directory), [1; 32]), (file("b", false), [2; 32])]),
            id(&[(link("a", "x"), [1; 32]), (file("b", false), [2; 32])]),
            id(&[(link("a", "y"), [1; 32]), (file("b", false), [2; 32])]),
        ];
        let different: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "{ids:#?}");
    }

    #[test]
    fn a_directory_comes_before_what_is_in_it() {
        let mut entries = ["a/b", "a", "a-b", "a.b"].map(|path| file(path, false));
        sort(&mut entries);
        assert_eq!(entries.map(|entry| entry.path), ["a", "a-b", "a.b", "a/b"].map(PathBuf::from));
    }

    /// Ids are stored for ever: this one must never change.
    #[test]
    fn an_id_means_what_it_always_meant() {
        let serve: FileHash = Sha256::digest(b"#!/bin/sh\n").into();
        let entries = [
            (entry("bin", Kind::Directory), [0; 32]),
            (file("bin/serve", true), serve),
            (link("run", "bin/serve"), [0; 32]),
        ];
        assert_eq!(id(&entries), "dir-fc2189ab3448af5004a721816d283fc3c7b908b0");
    }
}
