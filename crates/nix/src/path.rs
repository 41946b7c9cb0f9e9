//! Store paths: `/nix/store/HASH-NAME`, and nothing behind it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use model::ReleaseId;

/// The letters of a hash: digits and small letters without e, o, t and u.
const ALPHABET: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";
const HASH_LETTERS: usize = 32;
const NAME_LETTERS: usize = 211;

/// One path of a store: what stands directly in its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StorePath {
    path: String,
    base: usize,
}

impl StorePath {
    /// Reads what somebody wrote.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(crate) fn parse(store_dir: &Path, text: &str) -> Result<Self, String> {
        let dir = store_dir.to_str().unwrap_or_default().trim_end_matches('/');
        let Some(base) = text.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) else {
            return Err(format!("is not a store path: it must be {dir}/HASH-NAME"));
        };
        if let Some((first, _)) = base.split_once('/') {
            return Err(match check_base(first) {
                Ok(()) => format!("is something inside a store path; push {dir}/{first} itself"),
                Err(problem) => problem,
            });
        }
        check_base(base)?;
        Ok(Self { path: text.to_owned(), base: dir.len() + 1 })
    }

    /// The path of a release of this store.
    pub(crate) fn of(store_dir: &Path, release: &ReleaseId) -> Result<Self, String> {
        Self::parse(store_dir, &format!("{}/{release}", store_dir.display()))
    }

    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.path
    }

    /// The path as a path.
    pub(crate) fn to_path(&self) -> PathBuf {
        PathBuf::from(&self.path)
    }

    /// The release that this path is: the path without the store's directory.
    pub(crate) fn release(&self) -> ReleaseId {
        self.path[self.base..].parse().expect("a release's id may be all that a store path may be")
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn check_base(base: &str) -> Result<(), String> {
    let Some((hash, name)) = base.split_once('-') else {
        return Err(format!("is not a store path: {base:?} is not HASH-NAME"));
    };
    if hash.len() != HASH_LETTERS {
        return Err(format!("is not a store path: its hash has {} letters, not {HASH_LETTERS}", hash.len()));
    }
    if let Some(other) =
        hash.chars().find(|letter| !letter.is_ascii() || !ALPHABET.contains(&(*letter as u8)))
    {
        return Err(format!("is not a store path: {other:?} is no letter of a hash"));
    }
    let fits = (1..=NAME_LETTERS).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte));
    if !fits {
        return Err(format!(
            "is not a store path: its name must be 1 to {NAME_LETTERS} letters, digits or +-._?=, no leading dot"
        ));
    }
    if Path::new(name).extension().is_some_and(|extension| extension == "drv") {
        return Err("is a derivation, which says how something is built; push what it builds".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "mxgjd2a4zyan9szh09sv6kyxp21zyv6h";

    fn parse(text: &str) -> Result<StorePath, String> {
        StorePath::parse(Path::new("/nix/store"), text)
    }

    #[test]
    fn a_store_path_is_its_release_and_back() {
        let text = format!("/nix/store/{HASH}-web-1.2+git?x=y_z");
        let path = parse(&text).unwrap();
        assert_eq!(path.as_str(), text);
        assert_eq!(path.release().as_str(), format!("{HASH}-web-1.2+git?x=y_z"));
        assert_eq!(StorePath::of(Path::new("/nix/store"), &path.release()), Ok(path));
        let long = format!("/nix/store/{HASH}-{}", "n".repeat(211));
        assert_eq!(parse(&long).unwrap().release().as_str().len(), 244);
        assert!(StorePath::parse(Path::new("/other/store/"), &format!("/other/store/{HASH}-web")).is_ok());
    }

    #[test]
    fn what_is_no_store_path_hears_why() {
        let (bad_letter, short) = (HASH.replace('x', "e"), &HASH[1..]);
        for (text, expected) in [
            ("result".to_owned(), "it must be /nix/store/HASH-NAME"),
            ("/srv/web".to_owned(), "it must be /nix/store/HASH-NAME"),
            ("/nix/storex".to_owned(), "it must be /nix/store/HASH-NAME"),
            (
                format!("/nix/store/{HASH}-web/bin/serve"),
                "push /nix/store/mxgjd2a4zyan9szh09sv6kyxp21zyv6h-web itself",
            ),
            (
                format!("/nix/store/{HASH}-web/"),
                "push /nix/store/mxgjd2a4zyan9szh09sv6kyxp21zyv6h-web itself",
            ),
            ("/nix/store/../etc/passwd".to_owned(), "\"..\" is not HASH-NAME"),
            ("/nix/store/".to_owned(), "\"\" is not HASH-NAME"),
            (format!("/nix/store/{bad_letter}-web"), "'e' is no letter of a hash"),
            (format!("/nix/store/{short}-web"), "its hash has 31 letters, not 32"),
            (format!("/nix/store/{HASH}-"), "1 to 211 letters"),
            (format!("/nix/store/{HASH}-.web"), "no leading dot"),
            (format!("/nix/store/{HASH}-w b"), "1 to 211 letters"),
            (format!("/nix/store/{}-web", "ä".repeat(16)), "'ä' is no letter"),
            (format!("/nix/store/{HASH}-{}", "n".repeat(212)), "1 to 211 letters"),
            (format!("/nix/store/{HASH}-web.drv"), "push what it builds"),
        ] {
            let problem = parse(&text).expect_err(&text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
