use std::os::unix::fs::MetadataExt as _;

use super::*;

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

fn release(name: &str) -> ReleaseId {
    name.parse().unwrap()
}

fn write(logs: &Logs, fence: Fence, attempt: u64, text: &[u8]) {
    logs.create(Writer::Service, fence, attempt, &release("a")).unwrap().write_all(text).unwrap();
}

#[test]
fn a_tail_spans_attempts_and_starts_at_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, fence(1), 9, b"other fence\n");
    write(&logs, fence(11), 1, b"first\nsecond\n");
    write(&logs, fence(11), 2, b"third \xff\n");
    let tail = |limit| logs.tail(Writer::Service, fence(11), limit).unwrap();
    assert_eq!(tail(100), "first\nsecond\nthird \u{fffd}\n");
    assert_eq!(tail(20), "second\nthird \u{fffd}\n");
    assert_eq!(tail(10), "third \u{fffd}\n");
    assert_eq!(tail(15), "second\nthird \u{fffd}\n");
    assert_eq!(tail(3), " \u{fffd}\n", "no line fits, so what fits is shown");
    assert_eq!(tail(0), "");
    assert_eq!(logs.tail(Writer::Migration, fence(11), 100).unwrap(), "");
    assert_eq!(logs.tail(Writer::Service, fence(1), 100).unwrap(), "other fence\n");
}

#[test]
fn only_the_newest_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    for attempt in 0..20 {
        write(&logs, fence(20 - attempt), attempt, b"x");
    }
    let left = files(&dir.path().join("logs")).unwrap();
    assert_eq!(left.len(), FILES_LIMIT);
    assert!(left[0].path.ends_with("serve-1.8-0000000012.log"), "{left:?}");
    assert_eq!(logs.newest().unwrap(), 19);
}

/// Writes on through one open file while it is bounded, as a service does.
fn bounded_under_a_writer(dir: &Path) {
    const LIMIT_BYTES: u64 = 1 << 20;
    let logs = Logs::open(dir).unwrap();
    let mut file = logs.create(Writer::Service, fence(1), 1, &release("a")).unwrap();
    let mut longest = 0;
    for line in 0..40_000 {
        file.write_all(format!("line {line:0100}\n").as_bytes()).unwrap();
        if line % 1000 == 999 {
            let there = logs.bound(LIMIT_BYTES).unwrap();
            let blocks = file.metadata().unwrap().blocks() * 512;
            assert!(blocks <= there + 2 * 4096, "{blocks} bytes on the disk for {there}");
            longest = longest.max(blocks);
        }
    }
    assert!(longest <= LIMIT_BYTES + 2 * 4096, "{longest}");
    assert_eq!(file.metadata().unwrap().len(), 40_000 * 106, "bytes keep their offsets");
    let tail = logs.tail(Writer::Service, fence(1), 220).unwrap();
    assert_eq!(tail, format!("line {:0100}\nline {:0100}\n", 39_998, 39_999));
    let whole = fs::read_to_string(dir.join("logs/serve-1.1-0000000001.log")).unwrap();
    let numbers: Vec<u32> = whole.lines().skip(1).map(|line| line[5..].parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a line is missing or out of order");
    assert!(numbers.len() > 3000, "{} lines are too few to keep", numbers.len());
}

#[test]
fn a_file_is_bounded_under_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    bounded_under_a_writer(dir.path());
}

#[test]
fn a_file_in_memory_is_bounded_too() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    bounded_under_a_writer(dir.path());
}
