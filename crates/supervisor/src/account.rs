//! As whom programs run: names to numbers, who may be run as whom, and what an account can reach.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    unistd::{Gid, Group, Uid, User, getegid, geteuid},
};
use ports::supervisor::Account;

/// Why nothing can be run as an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such user.
    #[error("there is no user {name} on this host; create it, or change service.NAME.user")]
    NoUser {
        /// The name that was looked for.
        name: String,
    },
    /// There is no such group.
    #[error("there is no group {name} on this host; create it, or change service.NAME.group")]
    NoGroup {
        /// The name that was looked for.
        name: String,
    },
    /// Only root runs programs as somebody else.
    #[error("only an agent that runs as root can run a service as {name}; this one runs as {own}")]
    NotRoot {
        /// Who was wanted.
        name: String,
        /// Who the agent is.
        own: String,
    },
    /// The system's list of users or groups could not be read.
    #[error("look up {name}")]
    LookUp {
        /// The user or the group.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

/// An account, and what the system knows of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub account: Account,
    /// The user's home, if it is listed.
    pub home: Option<PathBuf>,
    /// The user's shell, if it is listed.
    pub shell: Option<PathBuf>,
}

/// Finds the account that `user` and `group` name, by name or number. Without a group it is the user's own one, without a
/// user it is this process's. None where neither is named.
///
/// # Errors
/// There is no such user or group, or this process may not run anything as it.
pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Option<Login>, AccountError> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let own = geteuid();
    let found = match user {
        Some(name) => find(name, User::from_name, |number| User::from_uid(Uid::from_raw(number)))?,
        None => find(&own.to_string(), User::from_name, |number| User::from_uid(Uid::from_raw(number)))?,
    };
    let uid = match (&found, user) {
        (Some(found), _) => found.uid.as_raw(),
        (None, Some(name)) => {
            // A number needs no name, but then nothing tells its group.
            let number = name.parse().ok().filter(|_| group.is_some());
            number.ok_or_else(|| AccountError::NoUser { name: name.to_owned() })?
        }
        (None, None) => own.as_raw(),
    };
    let gid = match (group, &found) {
        (Some(name), _) => {
            let found = find(name, Group::from_name, |number| Group::from_gid(Gid::from_raw(number)))?;
            let number = found.map(|found| found.gid.as_raw()).or_else(|| name.parse().ok());
            number.ok_or_else(|| AccountError::NoGroup { name: name.to_owned() })?
        }
        (None, Some(found)) => found.gid.as_raw(),
        (None, None) => getegid().as_raw(),
    };
    let name = found.as_ref().map_or_else(|| uid.to_string(), |found| found.name.clone());
    let account = Account { user: name, uid, gid };
    may_become(&account)?;
    let (home, shell) = found.map_or((None, None), |found| (Some(found.dir), Some(found.shell)));
    Ok(Some(Login { account, home, shell }))
}

fn find<T>(
    name: &str,
    by_name: impl FnOnce(&str) -> Result<Option<T>, Errno>,
    by_number: impl FnOnce(u32) -> Result<Option<T>, Errno>,
) -> Result<Option<T>, AccountError> {
    let found = match name.parse() {
        Ok(number) => by_number(number),
        Err(_) => by_name(name),
    };
    found.map_err(|source| AccountError::LookUp { name: name.to_owned(), source: source.into() })
}

/// Whether the account is this process's own, so that nothing has to be changed to run as it.
#[must_use]
pub fn is_own(account: &Account) -> bool {
    account.uid == geteuid().as_raw() && account.gid == getegid().as_raw()
}

/// Whether this process may run anything as `account`.
///
/// # Errors
/// It is not root, and the account is another one.
pub(crate) fn may_become(account: &Account) -> Result<(), AccountError> {
    if geteuid().is_root() || is_own(account) {
        return Ok(());
    }
    let name = format!("{} ({}:{})", account.user, account.uid, account.gid);
    Err(AccountError::NotRoot { name, own: format!("{}:{}", geteuid(), getegid()) })
}

/// What keeps `account` from entering the directories of `path`, and from running it if it is a file; none where nothing does,
/// as far as the mode bits tell.
#[must_use]
pub fn barrier(account: &Account, path: &Path) -> Option<String> {
    if account.uid == 0 {
        return None;
    }
    let path = fs::canonicalize(path).ok()?;
    let mut steps: Vec<&Path> = path.ancestors().collect();
    steps.reverse();
    steps.into_iter().find_map(|step| {
        let about = fs::metadata(step).ok()?;
        let bits = if about.uid() == account.uid {
            0o100
        } else if about.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        let mode = about.permissions().mode() & 0o7777;
        (mode & bits == 0).then(|| {
            let (user, uid, gid) = (&account.user, account.uid, account.gid);
            let (verb, step) = (if about.is_dir() { "enter" } else { "run" }, step.display());
            let (owner, group) = (about.uid(), about.gid());
            format!("user {user} ({uid}:{gid}) may not {verb} {step}, which has mode {mode:o} and belongs to {owner}:{group}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_named_is_nobody_to_become_and_oneself_can_always_be_named() {
        assert_eq!(resolve(None, None).unwrap(), None);
        let (uid, gid) = (geteuid().to_string(), getegid().to_string());
        let own = resolve(Some(&uid), Some(&gid)).unwrap().unwrap().account;
        assert!(is_own(&own));
        assert_eq!(resolve(None, Some(&gid)).unwrap().unwrap().account, own);
    }

    #[test]
    fn who_is_not_there_is_named() {
        let error = resolve(Some("no-such-user"), None).unwrap_err().to_string();
        assert!(error.starts_with("there is no user no-such-user on this host"), "{error}");
        let error = resolve(None, Some("no-such-group")).unwrap_err().to_string();
        assert!(error.starts_with("there is no group no-such-group on this host"), "{error}");
        let error = resolve(Some("3999999999"), None).unwrap_err().to_string();
        assert!(error.starts_with("there is no user 3999999999"), "nothing tells its group: {error}");
    }

    #[test]
    fn another_one_is_for_root_only() {
        let other = Account { user: "other".to_owned(), uid: geteuid().as_raw() + 1, gid: 1 };
        match may_become(&other) {
            Ok(()) => assert!(geteuid().is_root()),
            Err(error) => {
                assert!(!geteuid().is_root());
                assert!(error.to_string().contains("runs as root"), "{error}");
            }
        }
    }

    #[test]
    fn what_stands_in_the_way_is_named_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let program = dir.path().join("serve");
        fs::write(&program, "").unwrap();
        let other = Account { user: "www".to_owned(), uid: 3_999_999_999, gid: 3_999_999_999 };
        set(dir.path(), 0o711);
        set(&program, 0o644);
        let found = barrier(&other, &program).unwrap();
        let path = fs::canonicalize(&program).unwrap();
        assert!(found.contains(&format!("may not run {}, which has mode 644", path.display())), "{found}");
        set(&program, 0o755);
        assert_eq!(barrier(&other, &program), None);
        set(dir.path(), 0o700);
        let found = barrier(&other, &program).unwrap();
        assert!(found.contains("may not enter") && found.contains("mode 700"), "{found}");
        let owner = Account { user: "me".to_owned(), uid: geteuid().as_raw(), gid: 1 };
        assert_eq!(barrier(&owner, &program), None);
    }
}
