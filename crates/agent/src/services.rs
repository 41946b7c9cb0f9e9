//! Puts the world of one service together, and runs its host machine in it.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use config::Settings;
use model::{
    HostId, ServiceName,
    fleet::Assignment,
    host::{Host, Ledger, Setup, Sighting},
};
use ports::{Target, fault::Chain, supervisor::Readiness};
use supervisor::KeeperClient;
use tokio::sync::{Notify, watch};

use crate::{
    clock,
    core::{CoreError, Parts},
    durable::FileError,
    installed,
    instances::{self, Balancers, Count, Probers, Supervisors},
    link::Link,
    order::Order,
    outside::AnyBalancer,
    shell::{self, Ahead, Stages, Wiring, World},
    state::StateDir,
    stores::Stores,
};

/// The keeper's own program, which is smaller than the agent's.
const KEEPER: &str = "deployinatord-keeper";

/// What connects one service to the rest of the agent.
pub(crate) struct Wired {
    pub(crate) link: Link,
    pub(crate) assignments: watch::Receiver<Arc<Assignment>>,
    pub(crate) sighting: watch::Sender<Option<Sighting>>,
    pub(crate) moved: Arc<Notify>,
    pub(crate) order: Order,
}

/// Reads what the service's host machine remembers; what comes back runs it.
///
/// # Errors
/// Its directory cannot be made, or its ledger cannot be read.
pub(crate) fn run(
    parts: &Parts,
    service: &ServiceName,
    mine: &config::Service,
    wired: Wired,
) -> Result<impl Future<Output = ()> + Send + 'static, CoreError> {
    let dir = parts.state.service(service)?;
    let ledger = ledger_of(&dir);
    let remembered = shell::remembered(&ledger)?;
    let count = Count::open(&dir, usize::from(mine.instances))?;
    let world = Arc::new(world(parts, service, mine, &dir, count));
    let setup = Setup {
        headful: world.balancer.is_some(),
        probe: world.is_probed(),
        asks_ready: world.readiness == Readiness::Notify,
        instances: u32::from(mine.instances),
        seed: rand::random(),
    };
    let machine = Host::new(setup, remembered);
    let wiring = Wiring {
        service: service.clone(),
        ledger,
        link: wired.link,
        assignments: wired.assignments,
        sighting: wired.sighting,
        moved: wired.moved,
        stop: parts.stop.clone(),
    };
    let (service, failed) = (service.clone(), parts.failed.clone());
    let order = wired.order;
    Ok(async move {
        let say = |waits_for| {
            let seen = machine.sighting(clock::now());
            wiring.sighting.send_replace(Some(Sighting { waits_for: Some(waits_for), ..seen }));
        };
        tokio::select! {
            () = order.wait(machine.ledger(), &world.supervisor, say) => (),
            () = wiring.stop.cancelled() => return,
        }
        if let Err(error) = shell::run(machine, world, wiring).await {
            // Whoever cannot remember must not act: the agent ends, and its services run on.
            failed.send_replace(Some(format!("service {service}: {}", Chain(&error))));
        }
    })
}

/// What this host remembers of each of its services.
///
/// # Errors
/// A ledger cannot be read.
pub(crate) fn ledgers(
    settings: &Settings,
    state: &StateDir,
) -> Result<BTreeMap<ServiceName, Ledger>, FileError> {
    let names = settings.services.keys();
    names.map(|name| Ok((name.clone(), shell::remembered(&ledger_of(&state.place_of(name)))?))).collect()
}

fn ledger_of(dir: &Path) -> PathBuf {
    dir.join("ledger.json")
}

type ThisWorld =
    World<Balancers<AnyBalancer>, Stores, Supervisors<KeeperClient>, Probers<probe::ServiceProber>>;

fn world(
    parts: &Parts,
    service: &ServiceName,
    mine: &config::Service,
    dir: &Path,
    count: Arc<Count>,
) -> ThisWorld {
    let host = parts.settings.agent.host.clone();
    let balancer = mine.balancer.as_ref().map(|balancer| {
        let client = AnyBalancer::new(balancer, mine.address.port(), parts.aws.as_ref());
        let target = Target { host: host.clone(), address: mine.address };
        (Balancers::new(client, count.clone()), target)
    });
    let environment = environment(&host, mine);
    let prober = |instance| {
        let mut environment = environment.clone();
        let port = instances::address_of(mine.address, instance).port();
        environment.insert("PORT".into(), port.to_string());
        environment.insert(instances::INSTANCE_VARIABLE.into(), instance.to_string());
        let programs = mine.programs.clone();
        probe::ServiceProber::new(move || shell::surroundings(&environment, &programs))
    };
    let probers = Probers::new(prober, count.clone());
    let keeper = |instance| keeper(service, mine, instances::dir_of(dir, instance), parts.open_files);
    World {
        address: mine.address,
        balancer,
        store: parts.store.clone(),
        supervisor: Supervisors::new(keeper, count, mine.address.port()),
        prober: mine.probe.clone().map(|spec| (probers, spec)),
        environment,
        readiness: mine.readiness,
        programs: mine.programs.clone(),
        stages: Stages::default(),
        ahead: Ahead::default(),
        cgroups: parts.cgroups.clone(),
    }
}

/// The keeper of one instance.
fn keeper(
    service: &ServiceName,
    mine: &config::Service,
    dir: PathBuf,
    open_files: Option<u64>,
) -> KeeperClient {
    // The small program where it is installed beside this one; this one can do the same.
    let program = installed::beside(KEEPER).unwrap_or_else(installed::this);
    let command =
        [program.clone().into_os_string(), "keeper".into(), "--dir".into(), dir.clone().into_os_string()];
    KeeperClient::new(supervisor::Options {
        dir,
        keeper_command: command.into(),
        otherwise: Some(installed::RUNNING.into()),
        program: Some(program),
        service: service.clone(),
        log_limit_bytes: mine.log_limit_bytes,
        open_files,
    })
}

/// What a service, its migration and the program that probes it find in their environment, whichever the release.
fn environment(host: &HostId, mine: &config::Service) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
    environment.extend(mine.environment.clone());
    environment.insert("PORT".into(), mine.address.port().to_string());
    environment.insert("DEPLOYINATOR_HOST".into(), host.to_string());
    environment
}
