//! What changes behind the store's back.

use super::*;

#[tokio::test]
async fn every_way_of_tampering_is_found() {
    type Tamper = fn(&Path);
    let ways: [(&str, Tamper); 6] = [
        ("content", |root| fs::write(root.join("bin/serve"), "x").unwrap()),
        ("a bit of mode", |root| write(root, "data", "data", 0o755)),
        ("a file more", |root| write(root, "more", "", 0o644)),
        ("a file less", |root| fs::remove_file(root.join("data")).unwrap()),
        ("a link out", |root| symlink("/etc", root.join("etc")).unwrap()),
        ("a pipe", |root| {
            let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), fifo, mode, 0).unwrap();
        }),
    ];
    let around = Around::new().await;
    let root = around.release();
    write(&root, "data", "data", 0o644);
    let release = around.resolve(&root).await;
    for (what, tamper) in ways {
        around
            .store
            .stage(&release, &Progress::unheard())
            .await
            .unwrap_or_else(|fault| panic!("before {what}: {fault:?}"));
        let copy = around.store.verify(&release.id).await.expect("it was just staged");
        assert!(
            around.store.staged().await.is_ok_and(|staged| staged.contains(&release.id)),
            "before {what}"
        );
        for path in ["", "bin", "bin/serve"] {
            fs::set_permissions(copy.join(path), Permissions::from_mode(0o755)).unwrap();
        }
        around.store.verify(&release.id).await.expect("permission to write is no content");
        tamper(&copy);
        let fault = around.store.verify(&release.id).await.expect_err(what);
        assert_eq!(fault.kind, FaultKind::Permanent, "{what}");
        let words = Chain(&fault).to_string();
        assert!(words.contains("was changed after it was staged: "), "{what}: {words}");
        let staged = around.store.staged().await.expect("the folder can be listed");
        assert!(!staged.contains(&release.id), "{what}: whoever needs it stages it again");
    }
}

#[test]
fn a_file_that_changes_between_looking_and_reading_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("longer", |file| fs::write(file, "longer than before").unwrap()),
        ("shorter", |file| fs::write(file, "s").unwrap()),
        ("gone", |file| fs::remove_file(file).unwrap()),
        ("a link", |file| {
            fs::remove_file(file).unwrap();
            symlink("/etc/passwd", file).unwrap();
        }),
        ("a pipe", |file| {
            fs::remove_file(file).unwrap();
            let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, file, fifo, mode, 0).unwrap();
        }),
    ];
    for (what, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "file", "content", 0o644);
        let entries = read::scan(folder.path(), &Limits::default()).expect("it is readable");
        change(&folder.path().join("file"));
        let trouble = read::hash(folder.path(), &entries).expect_err(what);
        assert!(matches!(trouble, Trouble::Changing(_)), "{what}: {trouble:?}");
        assert_eq!(trouble.kind(), FaultKind::Transient, "{what}");
    }
}
