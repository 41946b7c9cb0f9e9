use std::collections::BTreeMap;

use model::{Fence, Incarnation, Revision};
use ports::supervisor::{Launch, Manner};

use super::*;
use crate::record::{Said, Service};

fn run(stage: Stage) -> Run {
    Run {
        launch: Launch {
            fence: Fence { incarnation: Incarnation(1), revision: Revision(3) },
            release: "a".parse().unwrap(),
            program: "/a/bin/serve".into(),
            environment: BTreeMap::new(),
            working_directory: "/".into(),
            manner: Manner::default(),
        },
        stage,
    }
}

/// Writes what a keeper of an earlier life knew, and opens it anew.
async fn reopened(change: impl FnOnce(&mut Record)) -> Keeper {
    let dir = tempfile::tempdir().unwrap();
    let mut record = Record::new(processes::boot_id().unwrap());
    change(&mut record);
    RecordFile::new(dir.path()).save(&record).unwrap();
    Keeper::open(dir.path(), mpsc::channel(1).0, Guests::default()).await.unwrap()
}

/// A process that cannot live: this test's own, but started later.
fn gone() -> Identity {
    let me = processes::identify(std::process::id()).unwrap();
    Identity { started: me.started + 1_000_000, ..me }
}

fn service(stage: Stage) -> Option<Service> {
    Some(Service { run: run(stage), keep: false, restarts: 2, said: Said::default(), note: None })
}

#[tokio::test]
async fn after_a_reboot_nothing_runs_and_a_migration_that_had_no_end_is_unknown() {
    let me = processes::identify(std::process::id()).unwrap();
    let keeper = reopened(|record| {
        record.boot = "another boot".to_owned();
        record.fence = Some(run(Stage::Running(me)).launch.fence);
        record.service = service(Stage::Running(me));
        record.push_migration(run(Stage::Running(me)));
    })
    .await;
    let now = keeper.observation();
    assert_eq!(now.process, Process::Stopped);
    assert_eq!(now.fence, Some(Fence { incarnation: Incarnation(1), revision: Revision(3) }));
    assert!(matches!(now.migration, Some((_, MigrationRun::Ended { exit: Exit::Unknown, .. }))), "{now:?}");
}

#[tokio::test]
async fn a_process_that_ended_unseen_exited_with_an_unknown_code() {
    let keeper = reopened(|record| record.service = service(Stage::Running(gone()))).await;
    let now = keeper.observation();
    assert!(matches!(now.process, Process::Exited { exit: Exit::Unknown, restarts: 2, .. }), "{now:?}");
    assert!(keeper.service.restart_at.is_none(), "nobody asked to keep it running");
}

#[tokio::test]
async fn a_migration_that_was_about_to_start_and_is_not_there_is_unknown() {
    let keeper =
        reopened(|record| record.push_migration(run(Stage::Begun { session: u32::MAX, ticks: 0 }))).await;
    let now = keeper.observation();
    assert!(matches!(now.migration, Some((_, MigrationRun::Ended { exit: Exit::Unknown, .. }))), "{now:?}");
}

#[tokio::test]
async fn every_change_is_counted_on_over_keepers() {
    let keeper = reopened(|record| record.change = 41).await;
    assert_eq!(keeper.observation().change, 42);
}
