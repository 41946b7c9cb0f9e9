//! The keepers and the processes that they run. A keeper's word is durable; a process is what it is.

use model::{
    Fence, ReleaseId,
    host::{
        Denied, Event, ExitSeen, FaultSeen, FaultWord, MigrationSeen, Observed, ProcessSeen, Ticket,
        ledger::MigrationProgress,
    },
};

use super::{Happening, World, faults::SERVES_AGAIN};
use crate::{
    At, HostNo, ServiceNo,
    scenario::{Ill, Traits},
};

/// Pause before what has ended is started again, in milliseconds.
const RESTART_PAUSE: u64 = 1_000;
/// From SIGTERM to the end of a process that obeys, in milliseconds.
const OBEYS: u64 = 50;

/// A service's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runs {
    Nothing,
    Running(Process),
    Exited { release: ReleaseId, fence: Fence, exit: ExitSeen, restarts: u32 },
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) release: ReleaseId,
    pub(crate) fence: Fence,
    pub(crate) pid: u32,
    pub(crate) restarts: u32,
    /// When it was started.
    pub(crate) started: At,
    /// When it was healthy first.
    pub(crate) healthy_since: Option<At>,
    /// It answers its probe now.
    pub(crate) healthy: bool,
    /// It was told to stop.
    pub(crate) stopping: bool,
}

/// A run of `bin/migrate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MigrationRun {
    pub(crate) release: ReleaseId,
    pub(crate) fence: Fence,
    pub(crate) number: u64,
    pub(crate) end: Option<ExitSeen>,
}

/// What a keeper knows.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) runs: Runs,
    pub(crate) keep: bool,
    pub(crate) newest: Option<Fence>,
    pub(crate) migration: Option<MigrationRun>,
    pub(crate) newest_migration: Option<Fence>,
    pub(crate) change: u64,
    /// Another keeper started what runs: its end is not seen.
    pub(crate) adopted: bool,
    /// Who waits until the process is gone: the call, and the run of the agent.
    pub(crate) waiting: Vec<(Ticket, u64)>,
    pid: u32,
    migrations: u64,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            runs: Runs::Nothing,
            keep: false,
            newest: None,
            migration: None,
            newest_migration: None,
            change: 0,
            adopted: false,
            waiting: Vec::new(),
            pid: 100,
            migrations: 0,
        }
    }
}

impl Keeper {
    /// One that knows nothing of this one. What it starts can be told from what this one has started.
    pub(super) fn blank(&self) -> Self {
        Self { pid: self.pid, change: self.change, migrations: self.migrations, ..Self::default() }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        match &self.runs {
            Runs::Running(process) => Some(process),
            Runs::Nothing | Runs::Exited { .. } => None,
        }
    }

    pub(crate) fn observed(&self) -> Observed {
        let process = match &self.runs {
            Runs::Nothing => ProcessSeen::Stopped,
            Runs::Running(process) => ProcessSeen::Running {
                release: process.release.clone(),
                fence: process.fence,
                pid: process.pid,
                restarts: process.restarts,
                ready: true,
                status: None,
            },
            Runs::Exited { release, fence, exit, restarts } => ProcessSeen::Exited {
                release: release.clone(),
                fence: *fence,
                exit: *exit,
                restarts: *restarts,
                note: None,
            },
        };
        let migration = self.migration.as_ref().map(|run| {
            let seen = match run.end {
                None => MigrationSeen::Running { fence: run.fence },
                Some(exit) => MigrationSeen::Ended { fence: run.fence, exit },
            };
            (run.release.clone(), seen)
        });
        Observed { change: self.change, process, migration, fence: self.newest, instances: Vec::new() }
    }

    /// The last process's.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn migrates(&self) -> bool {
        self.migration.as_ref().is_some_and(|run| run.end.is_none())
    }
}

impl World {
    /// How a release of a service behaves.
    pub(crate) fn traits(&self, service: ServiceNo, release: &ReleaseId) -> &Traits {
        let releases = &self.scenario.service(service).releases;
        releases.iter().find(|traits| traits.id == release.as_str()).unwrap_or(&releases[0])
    }

    /// Whether requests that come to this host are answered.
    pub(crate) fn serves(&self, host: HostNo, service: ServiceNo) -> bool {
        let here = &self.hosts[host];
        here.power
            && here.stopped == 0
            && here.keepers[service].process().is_some_and(|process| process.healthy && !process.stopping)
    }

    /// Users send requests, whatever has changed.
    pub(super) fn users_see(&mut self, host: HostNo, service: ServiceNo) {
        self.watch(|invariants, world| invariants.users.look(world, host, service));
    }

    /// Not by our doing a host no longer answers, if it did.
    pub(super) fn service_fails(&mut self, host: HostNo, service: ServiceNo) {
        self.watch(|invariants, _| {
            invariants.users.fails(host, service);
            Ok(())
        });
    }

    /// A process is started. Returns its pid.
    pub(super) fn spawn(
        &mut self,
        host: HostNo,
        service: ServiceNo,
        release: &ReleaseId,
        fence: Fence,
        restarts: u32,
    ) {
        let traits = self.traits(service, release).clone();
        let started = self.at;
        let keeper = &mut self.hosts[host].keepers[service];
        keeper.pid += 1;
        let pid = keeper.pid;
        keeper.adopted = false;
        keeper.runs = Runs::Running(Process {
            release: release.clone(),
            fence,
            pid,
            restarts,
            started,
            healthy_since: None,
            healthy: false,
            stopping: false,
        });
        self.told(|| format!("h{host} {service}: {release} runs, pid {pid}"));
        let healthy = traits.healthy_after.ms() + 1;
        match traits.ill_on(host) {
            Some(Ill::Exits) => self.later(20, Happening::Exit { host, service, pid }),
            Some(Ill::ExitsLater(after)) => {
                self.later(healthy, Happening::Health { host, service, pid, healthy: true });
                self.later(healthy + after.ms(), Happening::Exit { host, service, pid });
            }
            Some(Ill::NeverHealthy) => (),
            Some(Ill::FallsSick(after)) => {
                self.later(healthy, Happening::Health { host, service, pid, healthy: true });
                self.later(
                    healthy + after.ms() + 1,
                    Happening::Health { host, service, pid, healthy: false },
                );
            }
            Some(Ill::Sick | Ill::NoExec) | None => {
                self.later(healthy, Happening::Health { host, service, pid, healthy: true });
            }
        }
        self.keeper_news(host, service);
    }

    pub(super) fn health(&mut self, host: HostNo, service: ServiceNo, pid: u32, healthy: bool) {
        let at = self.at;
        let Runs::Running(process) = &mut self.hosts[host].keepers[service].runs else { return };
        if process.pid != pid {
            return;
        }
        process.healthy = healthy;
        if healthy {
            process.healthy_since.get_or_insert(at);
        } else {
            self.service_fails(host, service);
        }
        self.users_see(host, service);
        self.told(|| format!("h{host} {service}: {}", if healthy { "healthy" } else { "sick" }));
        self.balancer_will_look(service, host);
    }

    pub(super) fn exit(&mut self, host: HostNo, service: ServiceNo, pid: u32) {
        self.ends_unasked(host, service, pid, ExitSeen::Code(1));
    }

    pub(super) fn ends_unasked(&mut self, host: HostNo, service: ServiceNo, pid: u32, exit: ExitSeen) {
        let keeper = &mut self.hosts[host].keepers[service];
        let Runs::Running(process) = &keeper.runs else { return };
        if process.pid != pid || process.stopping {
            return;
        }
        let exit = if keeper.adopted { ExitSeen::Unknown } else { exit };
        let process = process.clone();
        self.service_fails(host, service);
        let keeper = &mut self.hosts[host].keepers[service];
        keeper.runs =
            Runs::Exited { release: process.release, fence: process.fence, exit, restarts: process.restarts };
        if keeper.keep {
            self.later(RESTART_PAUSE, Happening::Restart { host, service, pid });
        }
        self.told(|| format!("h{host} {service}: pid {pid} ends by itself"));
        self.keeper_news(host, service);
        self.balancer_will_look(service, host);
    }

    pub(super) fn restart(&mut self, host: HostNo, service: ServiceNo, pid: u32) {
        let keeper = &self.hosts[host].keepers[service];
        let Runs::Exited { release, fence, restarts, .. } = keeper.runs.clone() else { return };
        if keeper.keep && keeper.pid == pid && self.hosts[host].power {
            self.spawn(host, service, &release, fence, restarts + 1);
        }
    }

    /// The process is told to stop.
    pub(super) fn terminate(&mut self, host: HostNo, service: ServiceNo, grace: u64) {
        let Runs::Running(process) = &mut self.hosts[host].keepers[service].runs else { return };
        process.stopping = true;
        let (pid, release) = (process.pid, process.release.clone());
        self.users_see(host, service);
        let after = if self.traits(service, &release).deaf { grace + 1 } else { OBEYS.min(grace + 1) };
        self.told(|| format!("h{host} {service}: pid {pid} is told to stop"));
        self.later(after, Happening::Gone { host, service, pid });
    }

    pub(super) fn gone(&mut self, host: HostNo, service: ServiceNo, pid: u32) {
        let keeper = &mut self.hosts[host].keepers[service];
        if keeper.process().is_some_and(|process| process.pid == pid) {
            keeper.runs = Runs::Nothing;
            self.keeper_news(host, service);
        }
        let keeper = &mut self.hosts[host].keepers[service];
        let (waiting, observed) = (std::mem::take(&mut keeper.waiting), keeper.observed());
        for (ticket, run) in waiting {
            let event = Box::new(Event::Stopped { ticket, result: Ok(observed.clone()) });
            self.later(2, Happening::ToMachine { host, service, run, event });
        }
    }

    /// `bin/migrate` is started.
    pub(super) fn spawn_migration(
        &mut self,
        host: HostNo,
        service: ServiceNo,
        release: &ReleaseId,
        fence: Fence,
    ) {
        let traits = self.traits(service, release).clone();
        let keeper = &mut self.hosts[host].keepers[service];
        keeper.migrations += 1;
        let number = keeper.migrations;
        keeper.migration = Some(MigrationRun { release: release.clone(), fence, number, end: None });
        let takes = traits.migrates_on(host).0.ms() + 1;
        self.told(|| format!("h{host} {service}: bin/migrate of {release} runs"));
        self.later(takes, Happening::MigrationEnds { host, service, run: number });
        self.keeper_news(host, service);
    }

    pub(super) fn migration_ends(&mut self, host: HostNo, service: ServiceNo, run: u64) {
        let keeper = &self.hosts[host].keepers[service];
        let Some(migration) = keeper.migration.clone() else { return };
        if migration.number != run || migration.end.is_some() || !self.hosts[host].power {
            return;
        }
        let (_, code) = self.traits(service, &migration.release).migrates_on(host);
        let exit = if keeper.adopted { ExitSeen::Unknown } else { ExitSeen::Code(code) };
        self.end_migration(host, service, exit, code == 0);
    }

    pub(super) fn end_migration(&mut self, host: HostNo, service: ServiceNo, exit: ExitSeen, well: bool) {
        let Some(migration) = &mut self.hosts[host].keepers[service].migration else { return };
        if migration.end.is_some() {
            return;
        }
        migration.end = Some(exit);
        let release = migration.release.clone();
        self.told(|| format!("h{host} {service}: bin/migrate of {release} ends: {exit:?}"));
        self.watch(|invariants, _| {
            invariants.migrate_once.ended(host, service, &release, well);
            Ok(())
        });
        self.keeper_news(host, service);
    }

    /// A keeper is gone with its record and with what it ran; another one is there, which knows nothing. Not between the start of a migration and
    /// the agent's note that it runs: after that moment nobody could know that it was started.
    pub(super) fn record_lost(&mut self, host: HostNo, service: ServiceNo) {
        let note = self.hosts[host].disks[service].ledger.migration.as_ref();
        if note.is_some_and(|note| note.state == MigrationProgress::Called) {
            return;
        }
        self.hosts[host].disturbed = self.at;
        let boot = self.hosts[host].boots;
        self.later(SERVES_AGAIN, Happening::Serves { host, boot });
        self.end_migration(host, service, ExitSeen::Unknown, false);
        self.service_fails(host, service);
        let keeper = &mut self.hosts[host].keepers[service];
        let waiting = std::mem::take(&mut keeper.waiting);
        *keeper = keeper.blank();
        for (ticket, run) in waiting {
            let gone =
                FaultSeen { kind: FaultWord::Transient, text: "ask the keeper: it is gone".to_owned() };
            let event = Box::new(Event::Stopped { ticket, result: Err(Denied::Fault(gone)) });
            self.later(1, Happening::ToMachine { host, service, run, event });
        }
        self.keeper_news(host, service);
        self.balancer_will_look(service, host);
    }

    /// The keeper tells the agent, unasked, that something has changed.
    pub(super) fn keeper_news(&mut self, host: HostNo, service: ServiceNo) {
        self.users_see(host, service);
        let keeper = &mut self.hosts[host].keepers[service];
        keeper.change += 1;
        let event = Box::new(Event::ProcessChanged(keeper.observed()));
        let run = self.hosts[host].runs;
        if self.hosts[host].agent.is_some() {
            let after = self.chance.between(1, 5);
            self.later(after, Happening::ToMachine { host, service, run, event });
        }
    }
}
