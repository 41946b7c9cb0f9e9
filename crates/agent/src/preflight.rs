//! What the configuration asks of this host and does not get. None of it stops the agent: each stops a start, or is left out.

use std::path::Path;

use config::{Programs, Service, Settings, Store};
use model::ServiceName;
use ports::{fault::Chain, supervisor::Account};
use supervisor::{
    account,
    cgroup::{self, Delegation, NoCgroups},
    environment, limits,
};

/// Everything that is found wanting, in words for whoever runs `deployinatord check`. Looks, and changes nothing.
#[must_use]
pub fn warnings(settings: &Settings) -> Vec<String> {
    let cgroups = Delegation::find();
    let releases = match &settings.store {
        Store::Directory { .. } => &settings.agent.state_dir,
        Store::Nix(nix) => &nix.store_dir,
    };
    let of_service = |(name, service)| {
        let mut found = about_service(name, service, releases);
        found.extend(about_limits(name, &service.programs, cgroups.as_ref()));
        found
    };
    let nix = match &settings.store {
        Store::Directory { .. } => None,
        Store::Nix(nix) => nixstore::obstacle(nix.nix_bin.as_deref()),
    };
    let nix = nix.map(|why| format!("store: no release can be staged or started: {why}"));
    nix.into_iter().chain(settings.services.iter().flat_map(of_service)).collect()
}

fn about_service(name: &ServiceName, service: &Service, releases: &Path) -> Vec<String> {
    let programs = &service.programs;
    let mut found = Vec::new();
    match account::resolve(programs.user.as_deref(), programs.group.as_deref()) {
        Ok(login) => {
            let account = login.as_ref().map(|login| &login.account);
            found.extend(account.and_then(|account| reach(account, releases)));
            found.extend(limits::obstacle(&programs.limits, account));
        }
        Err(error) => found.push(Chain(&error).to_string()),
    }
    if let Some(path) = programs.working_directory.as_ref().filter(|path| !path.is_dir()) {
        found.push(format!("working_directory {} is not there", path.display()));
    }
    if let Err(error) = environment::read(&programs.environment_files) {
        found.push(Chain(&error).to_string());
    }
    found.into_iter().map(|text| format!("service {name}: {text}")).collect()
}

fn about_limits(
    name: &ServiceName,
    programs: &Programs,
    cgroups: Result<&Delegation, &NoCgroups>,
) -> Vec<String> {
    let (kept, lost) = cgroup::enforceable(&programs.limits, cgroups);
    let uncounted = kept.processes.is_some() && !cgroups.is_ok_and(Delegation::counts_processes);
    let uncounted = uncounted.then(|| whose_processes_count(programs)).flatten();
    lost.into_iter().chain(uncounted).map(|text| format!("service {name}: {text}")).collect()
}

/// What `limits.processes` comes to where no cgroup counts the processes of the service; nothing where it has a user of its own.
fn whose_processes_count(programs: &Programs) -> Option<String> {
    let login = account::resolve(programs.user.as_deref(), programs.group.as_deref()).ok()?;
    let uid = login.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |login| login.account.uid);
    let why = match uid {
        0 => "is not kept: without a cgroup that counts them the kernel holds root to no number of processes",
        _ if login.is_none() => "counts all processes of the agent's user, the agent's own among them",
        _ => return None,
    };
    Some(format!("limits.processes {why}; give the service a user of its own"))
}

/// Whether the account can reach releases at all. What is not made yet is made so that it can.
fn reach(account: &Account, releases: &Path) -> Option<String> {
    let there = releases.ancestors().find(|path| path.exists())?;
    let barrier = account::barrier(account, there)?;
    Some(format!("{barrier}; releases are below it, so let others enter it: chmod o+x"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn settings(state_dir: &Path, service: &str) -> Settings {
        let text = format!("[agent]\nstate_dir = {state_dir:?}\n[service.web]\nport = 8080\n{service}");
        let sources = [("1.toml".to_owned(), config::EXAMPLE.to_owned()), ("2.toml".to_owned(), text)];
        config::parse("test", &sources).unwrap()
    }

    #[test]
    fn nothing_is_wanting_where_nothing_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(warnings(&settings(dir.path(), "")), [""; 0]);
    }

    #[test]
    fn all_that_is_wanting_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.env");
        fs::write(&file, "A=1\nnonsense\n").unwrap();
        let asked = format!(
            "user = \"no-such-user\"\nworking_directory = \"/no/such/place\"\nenvironment_files = [{file:?}]\n"
        );
        let found = warnings(&settings(dir.path(), &asked));
        let begins = [
            "service web: there is no user no-such-user on this host".to_owned(),
            "service web: working_directory /no/such/place is not there".to_owned(),
            format!("service web: environment file {}, line 2: holds no `=`", file.display()),
        ];
        assert_eq!(found.len(), begins.len(), "{found:#?}");
        for (found, begin) in found.iter().zip(begins) {
            assert!(found.starts_with(&begin), "{found}");
        }
    }

    #[test]
    fn where_releases_are_store_paths_nix_is_looked_for_and_the_state_directory_is_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let mut settings = settings(&closed.join("state"), "user = \"nobody\"");
        settings.store = Store::Nix(config::NixStore {
            keep_releases: 2,
            substituters: None,
            trusted_public_keys: None,
            nix_bin: Some(folder.path().to_owned()),
            store_dir: "/".into(),
        });
        let found = warnings(&settings);
        let about_nix = format!(
            "store: no release can be staged or started: there is no nix-store in {}: install Nix 2.8 or later, or set store.nix_bin",
            folder.path().display()
        );
        assert!(found.iter().any(|text| text.starts_with(&about_nix)), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("releases are below it")), "{found:?}");
    }

    #[test]
    fn limits_that_are_not_kept_are_said() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), "limits = { memory_bytes = 1073741824, processes = 9 }\n");
        let (name, service) = settings.services.iter().find(|(name, _)| name.as_str() == "web").unwrap();
        let found = about_limits(name, &service.programs, Err(&NoCgroups::Missing));
        let [memory, processes] = &found[..] else { panic!("{found:?}") };
        let said = "service web: limits.memory_bytes is not kept: this system has no cgroups of version 2";
        assert_eq!(memory, said);
        let advice = "give the service a user of its own";
        assert!(
            processes.starts_with("service web: limits.processes ") && processes.ends_with(advice),
            "{processes}"
        );
    }

    #[test]
    fn root_is_held_to_no_number_of_processes_by_whatever_name_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let of = |user: &str| {
            let settings =
                settings(dir.path(), &format!("limits = {{ processes = 9 }}\nuser = \"{user}\"\n"));
            let (name, service) = settings.services.iter().find(|(name, _)| name.as_str() == "web").unwrap();
            about_limits(name, &service.programs, Err(&NoCgroups::Missing))
        };
        let said = of("root");
        assert!(said.len() == 1 && said[0].contains("holds root to no number of processes"), "{said:?}");
        assert_eq!(of("nobody"), [""; 0], "its own user's processes are counted");
    }

    #[test]
    fn a_state_directory_that_the_user_cannot_enter_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let other = Account { user: "www".into(), uid: 3_999_999_999, gid: 3_999_999_999 };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let found = reach(&other, &dir.path().join("state")).unwrap();
        assert!(found.starts_with("user www (3999999999:3999999999) may not enter"), "{found}");
        assert!(found.ends_with("chmod o+x"), "{found}");
    }
}
