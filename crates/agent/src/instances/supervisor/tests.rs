//! Against keepers in memory. Real ones are in `tests/`.

use std::collections::BTreeMap;

use model::{Incarnation, Revision};
use ports::supervisor::{Exit, FakeSupervisor, Manner, MigrationRun, fake::Program};
use tempfile::TempDir;

use super::*;

const GRACE: Duration = Duration::from_secs(1);

struct World {
    dir: TempDir,
    keepers: Vec<FakeSupervisor>,
}

impl World {
    fn new() -> Self {
        let keepers = (0..4).map(|_| FakeSupervisor::new()).collect();
        Self { dir: tempfile::tempdir().unwrap(), keepers }
    }

    /// What an agent has that is started now, with so many instances in its configuration.
    fn agent(&self, wanted: usize) -> Supervisors<FakeSupervisor> {
        let count = Count::open(self.dir.path(), wanted).unwrap();
        Supervisors::new(|number| self.keepers[number].clone(), count, 8080)
    }

    fn pids(&self) -> Vec<Option<u32>> {
        let pid = |keeper: &FakeSupervisor| match keeper.now().process {
            Process::Running { pid, .. } => Some(pid),
            Process::Stopped | Process::Exited { .. } => None,
        };
        self.keepers.iter().map(pid).collect()
    }

    fn run(&self) -> usize {
        self.pids().into_iter().flatten().count()
    }
}

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

fn launch(revision: u64, release: &str) -> Launch {
    Launch {
        fence: fence(revision),
        release: release.parse().unwrap(),
        program: format!("/{release}/bin/serve").into(),
        environment: BTreeMap::from([("PORT".into(), "8080".into()), ("OWN".into(), "x".into())]),
        working_directory: format!("/{release}").into(),
        manner: Manner::default(),
    }
}

fn runs(seen: &Observation) -> Option<(&str, u64)> {
    match &seen.process {
        Process::Running { release, fence, .. } => Some((release.as_str(), fence.revision.0)),
        Process::Stopped | Process::Exited { .. } => None,
    }
}

#[tokio::test]
async fn each_has_a_port_and_a_number_of_its_own() {
    let world = World::new();
    let seen = world.agent(3).start(&launch(2, "a")).await.unwrap();
    assert_eq!((runs(&seen), seen.instances.len(), world.run()), (Some(("a", 2)), 3, 3));
    for (number, keeper) in world.keepers.iter().take(3).enumerate() {
        let started = keeper.started();
        let environment = &started.first().expect("it was started").environment;
        assert_eq!(environment["PORT"], (8080 + number).to_string());
        assert_eq!(environment[INSTANCE_VARIABLE], number.to_string());
        assert_eq!(environment["OWN"], "x");
    }
}

#[tokio::test]
async fn a_start_that_was_broken_off_is_gone_on_with_and_restarts_nothing() {
    for done in 0..=3 {
        let world = World::new();
        let before = world.agent(3);
        before.start(&launch(1, "a")).await.unwrap();
        before.stop(fence(2), GRACE).await.unwrap();
        for number in 0..done {
            before.keepers[number].start(&before.launch(&launch(2, "b"), fence(2), number)).await.unwrap();
        }
        let pids = world.pids();
        let agent = world.agent(3);
        let seen = agent.observe().await.unwrap();
        assert_eq!(runs(&seen), (done == 3).then_some(("b", 2)), "after {done} of 3");
        let seen = agent.start(&launch(2, "b")).await.unwrap();
        assert_eq!((runs(&seen), world.run()), (Some(("b", 2)), 3), "after {done} of 3");
        for (number, pid) in pids.into_iter().enumerate().filter_map(|(n, pid)| Some((n, pid?))) {
            assert_eq!(world.pids()[number], Some(pid), "instance {number} ran, and was left alone");
        }
    }
}

#[tokio::test]
async fn a_stop_that_was_broken_off_is_seen_as_running_and_gone_on_with() {
    for done in 0..=3 {
        let world = World::new();
        let before = world.agent(3);
        before.start(&launch(1, "a")).await.unwrap();
        for number in 0..done {
            before.keepers[number].stop(fence(2), GRACE).await.unwrap();
        }
        let agent = world.agent(3);
        let seen = agent.observe().await.unwrap();
        assert_eq!(runs(&seen), (done < 3).then_some(("a", 1)), "after {done} of 3");
        if 0 < done && done < 3 {
            for (revision, release) in [(2, "a"), (2, "b")] {
                let refused = agent.start(&launch(revision, release)).await.unwrap_err();
                assert!(matches!(refused, SupervisorError::Occupied { .. }), "{refused}");
                assert_eq!(world.run(), 3 - done, "nothing was started beside it");
            }
        }
        let seen = agent.stop(fence(2), GRACE).await.unwrap();
        assert_eq!((seen.process, world.run()), (Process::Stopped, 0));
    }
}

/// After a reboot one of them could not be started; a change that disturbed nothing has raised the host's own fence meanwhile.
#[tokio::test]
async fn a_missing_one_is_started_under_the_fence_of_the_others() {
    let world = World::new();
    let agent = world.agent(3);
    agent.start(&launch(2, "a")).await.unwrap();
    world.keepers[1].reboot();
    assert_eq!(runs(&agent.observe().await.unwrap()), None);
    let seen = agent.start(&launch(5, "a")).await.unwrap();
    assert_eq!((runs(&seen), world.run()), (Some(("a", 2)), 3));
    let other = agent.start(&launch(5, "a")).await.unwrap_err();
    assert!(matches!(other, SupervisorError::Occupied { .. }), "all run: {other}");
}

#[tokio::test]
async fn nothing_is_started_while_one_runs_something_else_or_has_seen_a_newer_fence() {
    let world = World::new();
    world.keepers[2].start(&launch(3, "b")).await.unwrap();
    let agent = world.agent(3);
    // It was never started with three: what runs there is not hidden, and not built upon.
    let refused = agent.start(&launch(4, "a")).await.unwrap_err();
    assert!(
        matches!(&refused, SupervisorError::Occupied { release, .. } if release.as_str() == "b"),
        "{refused}"
    );
    let refused = agent.start(&launch(2, "b")).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Stale { newest, .. } if newest == fence(3)), "{refused}");
    assert_eq!(world.run(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_started_leaves_a_start_that_is_not_over() {
    let world = World::new();
    world.keepers[2].script("/b/bin/serve", Program::Missing);
    let agent = world.agent(3);
    let refused = agent.start(&launch(2, "b")).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Exec { .. }), "{refused}");
    let seen = agent.observe().await.unwrap();
    assert_eq!(seen.process, Process::Stopped);
    assert_eq!(seen.instances.iter().filter(|one| combine::is_running(one)).count(), 2, "and that is said");
    // The way back carries the same fence.
    assert_eq!(agent.stop(fence(2), GRACE).await.unwrap().process, Process::Stopped);
    assert_eq!(world.run(), 0);
}

#[tokio::test]
async fn another_number_disturbs_nothing_until_all_are_stopped() {
    for (before, after) in [(3, 1), (1, 3), (3, 2), (2, 4)] {
        let world = World::new();
        world.agent(before).start(&launch(1, "a")).await.unwrap();
        let pids = world.pids();
        let agent = world.agent(after);
        let seen = agent.observe().await.unwrap();
        assert_eq!(
            (runs(&seen), seen.instances.len()),
            (Some(("a", 1)), if before == 1 { 0 } else { before })
        );
        agent.keep_running(fence(1), true).await.unwrap();
        agent.start(&launch(1, "a")).await.unwrap();
        assert_eq!(world.pids(), pids, "{before} to {after}");
        let change = seen.change;
        let seen = agent.stop(fence(2), GRACE).await.unwrap();
        assert_eq!((seen.process, world.run()), (Process::Stopped, 0), "{before} to {after}");
        let seen = agent.start(&launch(2, "a")).await.unwrap();
        assert_eq!((runs(&seen), world.run()), (Some(("a", 2)), after));
        assert!(change < seen.change, "the count of changes never falls: {change} {}", seen.change);
        // And that is what the next agent finds.
        assert_eq!(runs(&world.agent(before).observe().await.unwrap()), Some(("a", 2)));
    }
}

#[tokio::test]
async fn one_that_ended_is_told_of_whichever_it_is() {
    let world = World::new();
    let agent = world.agent(3);
    for (revision, ends) in [(1, 0), (2, 1), (3, 2)] {
        let seen = agent.start(&launch(revision, "a")).await.unwrap();
        let wait = agent.changed(seen.change);
        world.keepers[ends].exit(Exit::Code(9));
        let news = tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it is told of").unwrap();
        assert!(matches!(news.process, Process::Exited { exit: Exit::Code(9), .. }), "{news:?}");
        agent.stop(fence(revision + 1), GRACE).await.unwrap();
    }
}

#[tokio::test]
async fn a_fault_says_which_and_is_not_taken_for_an_answer() {
    let world = World::new();
    let agent = world.agent(2);
    world.keepers[1].fail(1);
    let fault = agent.observe().await.unwrap_err();
    assert!(Chain(&fault).to_string().starts_with("instance 1: "), "{}", Chain(&fault));
    agent.start(&launch(1, "a")).await.unwrap();
    world.keepers[1].fail(1);
    agent.stop(fence(2), GRACE).await.unwrap_err();
    assert_eq!(runs(&agent.observe().await.unwrap()), Some(("a", 1)), "it is stopped again");
}

#[tokio::test]
async fn migrations_are_the_firsts() {
    let world = World::new();
    let agent = world.agent(2);
    agent.start(&launch(1, "a")).await.unwrap();
    let seen = agent.migrate(&launch(3, "b")).await.unwrap();
    assert_eq!(runs(&seen), Some(("a", 1)));
    assert!(matches!(seen.migration, Some((_, MigrationRun::Running { .. }))), "{seen:?}");
    let migrated: Vec<usize> = world.keepers.iter().map(|keeper| keeper.migrated().len()).collect();
    assert_eq!(migrated, [1, 0, 0, 0]);
    let seen = agent.stop_migration(fence(3), GRACE).await.unwrap();
    assert!(matches!(seen.migration, Some((_, MigrationRun::Ended { .. }))), "{seen:?}");
}

#[tokio::test]
async fn the_last_words_are_those_of_the_one_that_ended() {
    let world = World::new();
    let words = |output: &str| Program::Exits { exit: Exit::Code(1), output: output.to_owned() };
    world.keepers[1].script("/b/bin/serve", words("one\nno room\n"));
    let agent = world.agent(3);
    agent.start(&launch(2, "b")).await.unwrap();
    assert_eq!(agent.tail(fence(2), false, 1000).await.unwrap(), "--- instance 1 ---\none\nno room\n");
    assert_eq!(agent.tail(fence(2), false, 30).await.unwrap(), "--- instance 1 ---\nno room\n");
}
