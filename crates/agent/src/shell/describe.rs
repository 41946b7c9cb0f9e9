//! What a service's program is started with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::Programs;
use model::{Fence, Release, host::Denied};
use ports::{
    Balancer, Fault, FaultKind, Prober, ReleaseStore, Supervisor,
    fault::Chain,
    supervisor::{Launch, Manner, Readiness, StopSignal},
};
use probe::Surroundings;
use supervisor::{
    account::{self, Login},
    cgroup,
};

use super::{perform::World, seen};

impl<B: Balancer, R: ReleaseStore, S: Supervisor, P: Prober> World<B, R, S, P> {
    /// How `bin/serve` of the release in `root`, or its `bin/migrate`, is to be run. What keeps it from being run lies in the
    /// surroundings, and trying again changes nothing until somebody changes them.
    pub(super) async fn describe(
        &self,
        fence: Fence,
        release: &Release,
        root: PathBuf,
        migrate: bool,
    ) -> Result<Launch, Denied> {
        let login = self.login().await.map_err(|fault| Denied::Fault(seen::fault(&fault)))?;
        let program = root.join("bin").join(if migrate { "migrate" } else { "serve" });
        Ok(Launch {
            fence,
            release: release.id.clone(),
            program,
            environment: self.environment(fence, release, login.as_ref(), migrate),
            working_directory: self.programs.working_directory.clone().unwrap_or(root),
            manner: Manner {
                readiness: if migrate { Readiness::Up } else { self.readiness },
                account: login.map(|login| login.account),
                environment_files: self.programs.environment_files.clone(),
                limits: cgroup::enforceable(&self.programs.limits, self.cgroups.as_ref()).0,
                cgroup: self.cgroups.as_ref().ok().map(|found| found.base().to_owned()),
                stop_signal: if migrate { StopSignal::Term } else { self.programs.stop_signal },
            },
        })
    }

    /// The account of the service. Looked up at each start, where it may take as long as the system's directory does.
    async fn login(&self) -> Result<Option<Login>, Fault> {
        let (user, group) = (self.programs.user.clone(), self.programs.group.clone());
        let attempted = "find the service's account";
        let found = tokio::task::spawn_blocking(move || account::resolve(user.as_deref(), group.as_deref()));
        match found.await {
            Ok(found) => found.map_err(|error| Fault::new(FaultKind::Permanent, attempted, error)),
            Err(ended) => Err(Fault::new(FaultKind::Transient, attempted, ended)),
        }
    }

    /// What all its programs find, what is known of the user where nothing else was said, and what is of this release.
    fn environment(
        &self,
        fence: Fence,
        release: &Release,
        login: Option<&Login>,
        migrate: bool,
    ) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        if let Some(login) = login {
            add_known(login, &mut environment);
        }
        environment.insert("DEPLOYINATOR_RELEASE".into(), release.id.to_string());
        if migrate {
            environment.insert("DEPLOYINATOR_FENCE".into(), fence.to_string());
        }
        environment
    }
}

/// What the system knows of the user, where nothing else was said.
fn add_known(Login { account, home, shell }: &Login, environment: &mut BTreeMap<String, String>) {
    let known = [("USER", Some(account.user.clone())), ("LOGNAME", Some(account.user.clone()))];
    let paths = [("HOME", home), ("SHELL", shell)].map(|(name, path)| (name, path.as_deref().map(shown)));
    for (name, value) in known.into_iter().chain(paths) {
        if let Some(value) = value {
            environment.entry(name.to_owned()).or_insert(value);
        }
    }
}

/// What a program that probes the service finds: the service's own surroundings, but for its release.
///
/// # Errors
/// In words: its account is not there, or an environment file is of no use.
pub(crate) fn surroundings(
    environment: &BTreeMap<String, String>,
    programs: &Programs,
) -> Result<Surroundings, String> {
    let words = |error: &dyn std::error::Error| Chain(error).to_string();
    let login = account::resolve(programs.user.as_deref(), programs.group.as_deref());
    let login = login.map_err(|error| words(&error))?;
    let mut environment = environment.clone();
    if let Some(login) = &login {
        add_known(login, &mut environment);
    }
    let files = supervisor::environment::read(&programs.environment_files);
    environment.extend(files.map_err(|error| words(&error))?);
    Ok(Surroundings {
        environment,
        account: login.map(|login| login.account).filter(|account| !account::is_own(account)),
        working_directory: programs.working_directory.clone(),
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
