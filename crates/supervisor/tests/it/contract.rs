//! What every supervisor does, the real one and the fake one alike.

use std::{path::PathBuf, time::Duration};

use ports::{
    FaultKind, Supervisor,
    supervisor::{
        Exit, FakeSupervisor, Launch, MigrationRun, Observation, Process, SupervisorError, fake::Program,
    },
};
use rustix::process::Signal;
use supervisor::KeeperClient;

use crate::world::{self, GRACE, World, fence, kill, pid};

/// A supervisor and what it can run.
trait Bench {
    type Supervisor: Supervisor;
    fn supervisor(&self) -> &Self::Supervisor;
    /// A program that runs until it is told to stop.
    fn runs(&self) -> PathBuf;
    /// A program that writes "bye" and exits with 7.
    fn exits(&self) -> PathBuf;
    fn launch(&self, revision: u64, release: &str, program: PathBuf) -> Launch;
    /// Kills the service from outside.
    fn crash(&self, now: &Observation);
}

struct Real(World);

impl Bench for Real {
    type Supervisor = KeeperClient;
    fn supervisor(&self) -> &KeeperClient {
        &self.0.client
    }
    fn runs(&self) -> PathBuf {
        self.0.script("runs", "exec sleep 1000")
    }
    fn exits(&self) -> PathBuf {
        self.0.script("exits", "echo bye\nexit 7")
    }
    fn launch(&self, revision: u64, release: &str, program: PathBuf) -> Launch {
        self.0.launch(revision, release, &program)
    }
    fn crash(&self, now: &Observation) {
        kill(pid(now), Signal::KILL);
    }
}

struct Fake(FakeSupervisor);

impl Bench for Fake {
    type Supervisor = FakeSupervisor;
    fn supervisor(&self) -> &FakeSupervisor {
        &self.0
    }
    fn runs(&self) -> PathBuf {
        "/runs".into()
    }
    fn exits(&self) -> PathBuf {
        self.0.script("/exits", Program::Exits { exit: Exit::Code(7), output: "bye\n".to_owned() });
        "/exits".into()
    }
    fn launch(&self, revision: u64, release: &str, program: PathBuf) -> Launch {
        if program.ends_with("missing") {
            self.0.script(program.clone(), Program::Missing);
        }
        world::launch("/".as_ref(), revision, release, &program)
    }
    fn crash(&self, _: &Observation) {
        self.0.exit(Exit::Signal(9));
    }
}

/// Each clause of the contract, once for the keeper and once for the fake.
macro_rules! contract {
    ($($clause:ident)*) => {
        mod keeper {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::Real(crate::world::World::new())).await; })*
        }
        mod fake {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::Fake(super::FakeSupervisor::new())).await; })*
        }
    };
}

contract! {
    a_start_runs_and_is_started_once
    an_older_fence_is_refused_and_an_equal_one_is_not
    another_start_is_refused_while_one_runs
    an_exit_is_seen_and_not_restarted_unless_asked
    what_is_kept_running_is_started_again
    a_stop_is_done_once_and_is_not_an_exit
    what_cannot_be_started_is_said_at_once
    a_migration_runs_once_under_a_grant
    a_migration_that_runs_is_stopped
    a_tail_is_cut_at_a_line
}

/// Waits for what is wanted, by changes only.
async fn until<B: Bench>(bench: &B, what: &str, wanted: impl Fn(&Observation) -> bool) -> Observation {
    let mut now = bench.supervisor().observe().await.unwrap();
    while !wanted(&now) {
        let change = tokio::time::timeout(Duration::from_secs(20), bench.supervisor().changed(now.change));
        now = change.await.unwrap_or_else(|_| panic!("no {what} after {now:?}")).unwrap();
    }
    now
}

async fn a_start_runs_and_is_started_once<B: Bench>(bench: &B) {
    let before = bench.supervisor().observe().await.unwrap();
    assert_eq!((before.process, before.migration, before.fence), (Process::Stopped, None, None));
    let launch = bench.launch(5, "a", bench.runs());
    let first = bench.supervisor().start(&launch).await.unwrap();
    assert!(first.change > before.change);
    assert_eq!(first.fence, Some(fence(5)));
    let pid = pid(&first);
    let (release, fence, status) = (launch.release.clone(), fence(5), None);
    let wanted = Process::Running { release, fence, pid, restarts: 0, ready: true, status, unheard: false };
    assert_eq!(first.process, wanted);
    assert_eq!(bench.supervisor().start(&launch).await.unwrap().process, wanted);
}

async fn an_older_fence_is_refused_and_an_equal_one_is_not<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    supervisor.start(&bench.launch(5, "a", bench.runs())).await.unwrap();
    let stale = |done: Result<Observation, SupervisorError>| {
        let refused = done.unwrap_err();
        let SupervisorError::Stale { offered, newest } = refused else { panic!("{refused:?}") };
        assert_eq!((offered, newest), (fence(4), fence(5)));
    };
    stale(supervisor.start(&bench.launch(4, "a", bench.runs())).await);
    stale(supervisor.stop(fence(4), GRACE).await);
    stale(supervisor.keep_running(fence(4), true).await);
    supervisor.keep_running(fence(5), false).await.unwrap();
    // A migration has a lock, and so a newest fence, of its own.
    let migrated = supervisor.migrate(&bench.launch(3, "a", bench.runs())).await.unwrap();
    assert_eq!(migrated.fence, Some(fence(5)));
    let refused = supervisor.migrate(&bench.launch(2, "a", bench.runs())).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Stale { .. }), "{refused:?}");
    let refused = supervisor.stop_migration(fence(2), GRACE).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Stale { .. }), "{refused:?}");
    // The fence of a stop counts too, even where there is nothing to stop.
    supervisor.stop(fence(6), GRACE).await.unwrap();
    let refused = supervisor.start(&bench.launch(5, "a", bench.runs())).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Stale { .. }), "{refused:?}");
}

async fn another_start_is_refused_while_one_runs<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    supervisor.start(&bench.launch(5, "a", bench.runs())).await.unwrap();
    for (revision, release) in [(6, "a"), (6, "b"), (5, "b")] {
        let refused = supervisor.start(&bench.launch(revision, release, bench.runs())).await.unwrap_err();
        let SupervisorError::Occupied { release, fence: held } = refused else { panic!("{refused:?}") };
        assert_eq!((release.as_str(), held), ("a", fence(5)));
    }
    let now = supervisor.stop(fence(5), GRACE).await.unwrap();
    assert_eq!(now.fence, Some(fence(5)), "a refused start leaves no trace");
}

async fn an_exit_is_seen_and_not_restarted_unless_asked<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    supervisor.start(&bench.launch(5, "a", bench.exits())).await.unwrap();
    let ended = until(bench, "exit", |now| matches!(now.process, Process::Exited { .. })).await;
    let release = "a".parse().unwrap();
    assert_eq!(
        ended.process,
        Process::Exited { release, fence: fence(5), exit: Exit::Code(7), restarts: 0, note: None }
    );
    assert_eq!(supervisor.tail(fence(5), false, 100).await.unwrap(), "bye\n");
    let later = tokio::time::timeout(Duration::from_millis(300), supervisor.changed(ended.change)).await;
    assert!(later.is_err(), "{later:?}");
    supervisor.keep_running(fence(5), true).await.unwrap();
    until(bench, "restart", |now| matches!(now.process, Process::Exited { restarts: 1.., .. })).await;
    // A new start takes the place of what ended, under the same fence or a newer one.
    supervisor.stop(fence(5), GRACE).await.unwrap();
    supervisor.start(&bench.launch(5, "a", bench.exits())).await.unwrap();
    until(bench, "exit", |now| matches!(now.process, Process::Exited { restarts: 0, .. })).await;
    let again = supervisor.start(&bench.launch(6, "b", bench.runs())).await.unwrap();
    assert!(matches!(again.process, Process::Running { restarts: 0, .. }), "{again:?}");
}

async fn what_is_kept_running_is_started_again<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    let first = supervisor.start(&bench.launch(5, "a", bench.runs())).await.unwrap();
    supervisor.keep_running(fence(5), true).await.unwrap();
    bench.crash(&first);
    let next =
        until(bench, "restart", |now| matches!(now.process, Process::Running { restarts: 1, .. })).await;
    assert_ne!(pid(&next), pid(&first));
    assert!(next.change >= first.change + 2, "the exit is a change, and so is the restart");
    supervisor.keep_running(fence(5), false).await.unwrap();
    bench.crash(&next);
    let ended = until(bench, "exit", |now| matches!(now.process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Signal(9), restarts: 1, .. }), "{ended:?}");
}

async fn a_stop_is_done_once_and_is_not_an_exit<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    assert_eq!(supervisor.stop(fence(4), GRACE).await.unwrap().process, Process::Stopped);
    let first = supervisor.start(&bench.launch(5, "a", bench.runs())).await.unwrap();
    supervisor.keep_running(fence(5), true).await.unwrap();
    let stopped = supervisor.stop(fence(6), GRACE).await.unwrap();
    assert_eq!(stopped.process, Process::Stopped);
    assert_eq!(stopped.fence, Some(fence(6)));
    assert!(stopped.change > first.change);
    let again = supervisor.stop(fence(6), GRACE).await.unwrap();
    assert_eq!(again, stopped);
    // What ended by itself is stopped too, and no restart follows.
    supervisor.start(&bench.launch(7, "a", bench.exits())).await.unwrap();
    until(bench, "exit", |now| matches!(now.process, Process::Exited { .. })).await;
    assert_eq!(supervisor.stop(fence(7), GRACE).await.unwrap().process, Process::Stopped);
    assert_eq!(supervisor.keep_running(fence(7), true).await.unwrap().process, Process::Stopped);
}

async fn what_cannot_be_started_is_said_at_once<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    let launch = bench.launch(5, "a", "/nowhere/missing".into());
    let refused = supervisor.start(&launch).await.unwrap_err();
    let SupervisorError::Exec { program, source } = refused else { panic!("{refused:?}") };
    assert_eq!((program, source.kind()), (launch.program.clone(), std::io::ErrorKind::NotFound));
    let now = supervisor.observe().await.unwrap();
    assert_eq!((now.process, now.fence), (Process::Stopped, Some(fence(5))));
    // A migration that could not start did not start, and the same grant may try again.
    let refused = supervisor.migrate(&launch).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Exec { .. }), "{refused:?}");
    assert_eq!(supervisor.observe().await.unwrap().migration, None);
    supervisor.migrate(&bench.launch(5, "a", bench.exits())).await.unwrap();
    until(bench, "end of the migration", |now| {
        matches!(now.migration, Some((_, MigrationRun::Ended { exit: Exit::Code(7), .. })))
    })
    .await;
}

async fn a_migration_runs_once_under_a_grant<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    let launch = bench.launch(5, "a", bench.exits());
    supervisor.migrate(&launch).await.unwrap();
    let ended = |now: &Observation| {
        let wanted = MigrationRun::Ended { fence: fence(5), exit: Exit::Code(7) };
        now.migration.as_ref().is_some_and(|(release, run)| release.as_str() == "a" && *run == wanted)
    };
    let first = until(bench, "end of the migration", ended).await;
    assert_eq!(first.process, Process::Stopped);
    let again = supervisor.migrate(&launch).await.unwrap();
    assert_eq!(again, first, "it was started again");
    assert_eq!(supervisor.tail(fence(5), true, 100).await.unwrap(), "bye\n");
    assert_eq!(supervisor.tail(fence(5), false, 100).await.unwrap(), "");
    let other = supervisor.migrate(&bench.launch(5, "b", bench.exits())).await.unwrap_err();
    assert!(matches!(other, SupervisorError::Occupied { .. }), "one grant, one release: {other:?}");
    // A newer grant may run it again: an operator said so.
    supervisor.migrate(&bench.launch(6, "a", bench.exits())).await.unwrap();
    until(bench, "second end", |now| {
        matches!(&now.migration, Some((_, MigrationRun::Ended { fence: held, .. })) if *held == fence(6))
    })
    .await;
}

async fn a_migration_that_runs_is_stopped<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    let service = supervisor.start(&bench.launch(4, "a", bench.runs())).await.unwrap();
    let launch = bench.launch(5, "b", bench.runs());
    let first = supervisor.migrate(&launch).await.unwrap();
    assert!(matches!(first.migration, Some((_, MigrationRun::Running { .. }))), "{first:?}");
    assert_eq!(supervisor.migrate(&launch).await.unwrap(), first);
    let refused = supervisor.migrate(&bench.launch(6, "b", bench.runs())).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Occupied { .. }), "{refused:?}");
    let stopped = supervisor.stop_migration(fence(6), GRACE).await.unwrap();
    let (_, run) = stopped.migration.clone().unwrap();
    assert_eq!(run, MigrationRun::Ended { fence: fence(5), exit: Exit::Signal(15) });
    assert_eq!(stopped.process, service.process, "the service serves on");
    assert_eq!(supervisor.stop_migration(fence(6), GRACE).await.unwrap(), stopped);
}

async fn a_tail_is_cut_at_a_line<B: Bench>(bench: &B) {
    let supervisor = bench.supervisor();
    for _ in 0..3 {
        supervisor.start(&bench.launch(5, "a", bench.exits())).await.unwrap();
        until(bench, "exit", |now| matches!(now.process, Process::Exited { .. })).await;
    }
    for (limit, wanted) in
        [(100, "bye\nbye\nbye\n"), (11, "bye\nbye\n"), (8, "bye\nbye\n"), (2, "e\n"), (0, "")]
    {
        assert_eq!(supervisor.tail(fence(5), false, limit).await.unwrap(), wanted, "limit {limit}");
    }
    assert_eq!(supervisor.tail(fence(6), false, 100).await.unwrap(), "");
}

#[tokio::test]
async fn the_fake_fails_and_loses_answers_as_it_is_told() {
    let fake = FakeSupervisor::new();
    let launch = world::launch("/".as_ref(), 5, "a", "/runs".as_ref());
    let transient = |done: Result<Observation, SupervisorError>| {
        let refused = done.unwrap_err();
        assert!(
            matches!(&refused, SupervisorError::Fault(fault) if fault.kind == FaultKind::Transient),
            "{refused:?}"
        );
    };
    fake.fail(1);
    transient(fake.start(&launch).await);
    assert_eq!(fake.now().process, Process::Stopped);
    fake.lose_answers(1);
    transient(fake.start(&launch).await);
    assert!(matches!(fake.now().process, Process::Running { .. }));
    fake.start(&launch).await.unwrap();
    assert_eq!(fake.started(), std::slice::from_ref(&launch));
    fake.migrate(&launch).await.unwrap();
    fake.reboot();
    assert_eq!(fake.now().process, Process::Stopped);
    assert!(matches!(fake.now().migration, Some((_, MigrationRun::Ended { exit: Exit::Unknown, .. }))));
    assert_eq!(fake.migrated(), [launch]);
}
