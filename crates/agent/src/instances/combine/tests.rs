use model::{Incarnation, Revision};
use ports::supervisor::Exit;

use super::*;

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

/// What one keeper sees: `-` nothing, `a2` release a that runs under fence 2, `!a2` one that has ended. After a `/` the newest fence that
/// the keeper has seen, where that is another one.
fn keeper(text: &str) -> Observation {
    let (process, newest) = text.split_once('/').unwrap_or((text, ""));
    let under = |text: &str| {
        let (release, revision) = text.split_at(1);
        (release.parse().unwrap(), fence(revision.parse().unwrap()))
    };
    let (process, started) = match process.strip_prefix('!') {
        _ if process == "-" => (Process::Stopped, None),
        Some(text) => {
            let (release, fence) = under(text);
            (Process::Exited { release, fence, exit: Exit::Code(3), restarts: 1, note: None }, Some(fence))
        }
        None => {
            let (release, fence) = under(process);
            let running = Process::Running {
                release,
                fence,
                pid: 7,
                restarts: 1,
                ready: true,
                status: None,
                unheard: false,
            };
            (running, Some(fence))
        }
    };
    let newest = newest.parse().map(fence).ok();
    Observation { change: 4, process, migration: None, fence: newest.or(started), instances: vec![] }
}

fn keepers(text: &str) -> Vec<Observation> {
    text.split_whitespace().map(keeper).collect()
}

/// What they are as one, in the same words.
fn seen(keepers: &str, present: usize) -> String {
    match observation(&self::keepers(keepers), present).process {
        Process::Stopped => "-".to_owned(),
        Process::Running { release, fence, .. } => format!("{release}{}", fence.revision.0),
        Process::Exited { release, fence, .. } => format!("!{release}{}", fence.revision.0),
    }
}

#[test]
fn several_processes_are_one() {
    for (keepers, one, why) in [
        ("a1 a1 a1", "a1", "all run"),
        ("- - -", "-", "none does"),
        ("-/1 -/1 -/1", "-", "all were stopped"),
        ("a1 !a1 a1", "!a1", "one has ended"),
        ("a2 !a2 -", "!a2", "one has ended while they were being started"),
        ("a2 - -", "-", "a start was broken off after the first"),
        ("a2 -/1 -/1", "-", "the same, of a service that was stopped before"),
        ("a2 -/2 a2", "-", "one could not be started"),
        ("-/2 a1 a1", "a1", "a stop was broken off after the first"),
        ("-/2 -/2 a1", "a1", "the same, after the second"),
        ("-/2 a1/2 a1", "a1", "the same; one more has heard of the stop"),
        ("a1/2 a1 a1", "a1", "a stop was broken off before it had an effect"),
        ("-/2 !a1 a1", "!a1", "a stop was broken off, and one has ended by itself before"),
        ("a2 a1 a2", "a1", "the oldest counts: what was started under 2 is not all there"),
        ("b2 a1 -", "a1", "nothing that we do leads here; it is stopped by whoever asks next"),
    ] {
        assert_eq!(seen(keepers, 3), one, "{keepers}: {why}");
    }
}

#[test]
fn one_beyond_the_number_counts_only_while_it_runs() {
    assert_eq!(seen("a1 - -", 1), "a1", "two more are wanted from the next start on");
    assert_eq!(seen("a1 - a1", 1), "a1", "what runs there is not hidden");
    assert_eq!(seen("- a1 -/2", 1), "a1");
    let one = observation(&keepers("a1 - -"), 1);
    assert_eq!(one.instances, [], "a single one is no list");
    let two = observation(&keepers("a1 - a1"), 1);
    assert_eq!(two.instances.len(), 2);
}

#[test]
fn the_count_of_changes_and_the_newest_fence_are_of_all() {
    let all = keepers("a1/5 -/3 -");
    let before = observation(&all, 3);
    assert_eq!((before.change, before.fence), (12, Some(fence(5))));
    assert_eq!(observation(&all, 1).change, 12, "it does not fall with their number");
}

#[test]
fn restarts_are_counted_together_and_ready_is_all_are() {
    let mut all = keepers("a1 a1");
    let first = |all: &[Observation]| match observation(all, 2).process {
        Process::Running { restarts, ready, status, pid, .. } => (restarts, ready, status, pid),
        other => panic!("{other:?}"),
    };
    assert_eq!(first(&all), (2, true, None, 7));
    if let Process::Running { ready, status, pid, .. } = &mut all[1].process {
        (*ready, *status, *pid) = (false, Some("warming up".to_owned()), 8);
    }
    assert_eq!(first(&all), (2, false, Some("warming up".to_owned()), 7));
}
