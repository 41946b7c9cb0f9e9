use std::collections::BTreeMap;

use model::{Incarnation, Revision};
use ports::supervisor::Manner;

use super::*;

fn run(release: &str, revision: u64) -> Run {
    Run {
        launch: Launch {
            fence: Fence { incarnation: Incarnation(1), revision: Revision(revision) },
            release: release.parse().unwrap(),
            program: "/r/bin/migrate".into(),
            environment: BTreeMap::from([("PORT".to_owned(), "1".to_owned())]),
            working_directory: "/".into(),
            manner: Manner::default(),
        },
        stage: Stage::Ended(Exit::Code(0)),
    }
}

#[test]
fn what_was_saved_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = RecordFile::new(dir.path());
    assert_eq!(file.load().unwrap(), None);
    let mut record = Record::new("boot".to_owned());
    record.push_migration(run("a", 1));
    record.service = Some(Service {
        run: Run { stage: Stage::Running(Identity { pid: 3, session: 2, started: 1 }), ..run("a", 2) },
        keep: true,
        restarts: 4,
        note: Some("it left a process behind".to_owned()),
        said: Said {
            ready: false,
            status: Some("warming up".to_owned()),
            socket: Some("a/b".to_owned()),
            unheard: true,
        },
    });
    file.save(&record).unwrap();
    assert_eq!(file.load().unwrap(), Some(record));
}

#[test]
fn every_cut_and_every_flipped_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = RecordFile::new(dir.path());
    let mut record = Record::new("boot".to_owned());
    record.push_migration(run("a", 1));
    file.save(&record).unwrap();
    let whole = fs::read(file.path()).unwrap();
    for cut in 0..whole.len() {
        fs::write(file.path(), &whole[..cut]).unwrap();
        let refused = file.load().unwrap_err();
        assert!(matches!(refused, RecordError::Damaged { .. }), "cut at {cut}: {refused}");
    }
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(file.path(), &altered).unwrap();
        assert!(file.load().is_err(), "byte {at} was flipped");
    }
}

#[test]
fn the_format_of_version_1_is_read_for_ever() {
    let body = r#"{"boot":"b","change":7,"attempts":2,"fence":{"incarnation":1,"revision":5},"migration_fence":null,"service":{"run":{"launch":{"fence":{"incarnation":1,"revision":5},"release":"a","program":"/a/bin/serve","environment":{},"working_directory":"/"},"stage":{"running":{"pid":3,"session":2,"started":1}}},"keep":true,"restarts":1},"migrations":[]}"#;
    let record = parse(format!("{MAGIC} 1 ff6409fd71f756a3\n{body}\n").as_bytes()).unwrap();
    assert_eq!(record.change, 7);
    assert_eq!(
        record.service.unwrap().run.stage,
        Stage::Running(Identity { pid: 3, session: 2, started: 1 })
    );
    let newer = parse(b"deployinator-keeper 3 0\n{}\n").unwrap_err();
    assert_eq!(newer, "is of version 3, this keeper reads 2");
}

#[test]
fn a_record_is_of_the_oldest_version_that_says_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = RecordFile::new(dir.path());
    let mut record = Record::new("boot".to_owned());
    let mut written = |run: Run| {
        record.push_migration(run);
        file.save(&record).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&record));
        fs::read_to_string(file.path()).unwrap().split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(written(run("a", 1)).as_deref(), Some("1"), "an older keeper may go on from it");
    let mut limited = run("b", 2);
    limited.launch.manner.limits.open_files = Some(64);
    assert_eq!(written(limited).as_deref(), Some("2"), "an older keeper would run it without its limits");
}

#[test]
fn migrations_are_remembered_once_a_release_and_not_for_ever() {
    let mut record = Record::new("boot".to_owned());
    for revision in 0..100 {
        record.push_migration(run(&format!("r{}", revision % 50), revision));
    }
    assert_eq!(record.migrations.len(), MIGRATIONS_LIMIT);
    assert_eq!(record.migrations.last().unwrap().launch.release.as_str(), "r49");
    record.push_migration(run("r30", 200));
    assert_eq!(record.migrations.len(), MIGRATIONS_LIMIT);
    assert_eq!(record.migrations.last().unwrap().launch.fence.revision, Revision(200));
}
