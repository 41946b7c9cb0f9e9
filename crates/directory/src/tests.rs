use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    sync::atomic::{AtomicUsize, Ordering},
};

use ports::{
    fault::Chain,
    store::contract::{self, Surroundings},
};
use tempfile::TempDir;

use super::*;

/// A state directory and room for sources, both gone with the test.
struct Around {
    folder: TempDir,
    store: Store,
    made: AtomicUsize,
}

const KEEP: usize = 3;

impl Around {
    async fn new() -> Self {
        Self::with_limits(Limits { reserve_bytes: 0, ..Limits::default() }).await
    }

    async fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::with_limits(folder.path().join("state/releases"), KEEP, limits);
        Self { store: store.expect("a new state directory is opened"), folder, made: AtomicUsize::new(0) }
    }

    /// A new release with content of its own.
    fn release(&self) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let root = self.folder.path().join(format!("source-{number}"));
        fs::create_dir_all(root.join("bin")).expect("the test makes its own source");
        write(&root, "bin/serve", &format!("#!/bin/sh\necho {number}\n"), 0o755);
        root
    }

    fn releases(&self) -> PathBuf {
        self.folder.path().join("state/releases")
    }

    /// The names in the store's folder.
    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.releases()).expect("the store's folder is listed");
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn resolve(&self, root: &Path) -> Release {
        self.store.resolve(text(root)).await.unwrap_or_else(|no| panic!("{}: {no:?}", root.display()))
    }

    /// What is wrong with the release, in the words that a push is refused with.
    async fn refusal(&self, root: &Path) -> String {
        match self.store.resolve(text(root)).await {
            Err(NotARelease::Invalid { source_name, problem, .. }) => {
                assert_eq!(source_name, text(root));
                problem
            }
            other => panic!("{} was {other:?}", root.display()),
        }
    }

    async fn stage_fault(&self, release: &Release) -> (FaultKind, String) {
        let fault = self.store.stage(release, &Progress::unheard()).await.expect_err("it was staged");
        assert_eq!(fault.attempted, format!("stage {} from {}", release.id, release.source));
        assert!(!self.names().contains(release.id.as_str()), "a failed attempt has its place");
        assert!(
            !self.names().iter().any(|name| name.starts_with(".tmp-")),
            "a failed attempt left something"
        );
        (fault.kind, Chain(&fault).to_string())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the test's own path")
}

fn write(root: &Path, path: &str, text: &str, mode: u32) {
    fs::write(root.join(path), text).expect("the test writes its own files");
    fs::set_permissions(root.join(path), Permissions::from_mode(mode)).expect("and owns them");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

impl Surroundings for Around {
    type Store = Store;
    fn store(&self) -> &Store {
        &self.store
    }
    fn limit(&self) -> usize {
        KEEP
    }
    async fn add(&self, migrates: bool) -> String {
        let root = self.release();
        if migrates {
            write(&root, "bin/migrate", "#!/bin/sh\n", 0o755);
        }
        text(&root).to_owned()
    }
    async fn not_a_release(&self) -> String {
        let root = self.folder.path().join("empty");
        fs::create_dir_all(&root).expect("the test makes its own source");
        text(&root).to_owned()
    }
    async fn withdraw(&self, source: &str) {
        fs::remove_dir_all(source).expect("the source was there");
    }
    async fn tamper(&self, release: &ReleaseId) {
        let serve = self.releases().join(release.as_str()).join("bin/serve");
        fs::set_permissions(&serve, Permissions::from_mode(0o755)).expect("it is staged");
        fs::write(&serve, "something else").expect("it is staged");
    }
}

#[tokio::test]
async fn obeys_the_contract() {
    contract::check(&Around::new().await).await;
}

#[tokio::test]
async fn the_content_makes_the_id_and_nothing_else() {
    let around = Around::new().await;
    let (one, two) = (around.release(), around.release());
    for root in [&one, &two] {
        write(root, "bin/serve", "the same", 0o755);
        fs::create_dir(root.join("empty")).unwrap();
        symlink("bin/serve", root.join("run")).unwrap();
    }
    // Neither place, nor time, nor other permissions, nor a link to the root.
    write(&two, "bin/serve", "the same", 0o700);
    let link = around.folder.path().join("current");
    symlink(&two, &link).unwrap();
    let first = around.resolve(&one).await;
    assert_eq!(around.resolve(&two).await.id, first.id);
    assert_eq!(around.resolve(&link).await.id, first.id);
    assert_eq!(first.id.as_str().len(), "dir-".len() + 40);

    write(&two, "extra", "", 0o644);
    let with_extra = around.resolve(&two).await.id;
    fs::set_permissions(two.join("extra"), Permissions::from_mode(0o744)).unwrap();
    let executable = around.resolve(&two).await.id;
    fs::rename(two.join("extra"), two.join("other")).unwrap();
    let renamed = around.resolve(&two).await.id;
    fs::remove_file(two.join("other")).unwrap();
    fs::remove_file(two.join("run")).unwrap();
    symlink("./bin/serve", two.join("run")).unwrap();
    let linked_otherwise = around.resolve(&two).await.id;
    fs::remove_dir(two.join("empty")).unwrap();
    let without_folder = around.resolve(&two).await.id;
    let ids = BTreeSet::from([first.id, with_extra, executable, renamed, linked_otherwise, without_folder]);
    assert_eq!(ids.len(), 6, "two of them share an id");
}

#[tokio::test]
async fn what_is_not_a_release_is_refused_in_words() {
    let around = Around::new().await;
    let refused = around.refusal(Path::new("relative/path")).await;
    assert_eq!(refused, "must be the absolute path of a directory");

    let root = around.release();
    let refused = around.refusal(&root.join("gone")).await;
    assert_eq!(refused, format!("there is no directory {}/gone on this host", root.display()));
    let refused = around.refusal(&root.join("bin/serve/below")).await;
    assert!(refused.starts_with("there is no directory"), "{refused}");
    let refused = around.refusal(&root.join("bin/serve")).await;
    assert_eq!(refused, format!("{}/bin/serve is not a directory", root.display()));

    write(&root, "bin/migrate", "", 0o644);
    assert_eq!(around.refusal(&root).await, "bin/migrate is not executable; chmod +x it");
    fs::remove_file(root.join("bin/migrate")).unwrap();
    write(&root, "bin/serve", "", 0o644);
    assert_eq!(around.refusal(&root).await, "bin/serve is not executable; chmod +x it");
    fs::remove_file(root.join("bin/serve")).unwrap();
    assert!(around.refusal(&root).await.starts_with("has no bin/serve"));
}

#[tokio::test]
async fn what_is_neither_file_nor_directory_nor_inner_link_is_refused() {
    let around = Around::new().await;
    let root = around.release();
    symlink("/etc/passwd", root.join("passwd")).unwrap();
    let refused = around.refusal(&root).await;
    assert_eq!(refused, "passwd is a link to /etc/passwd, an absolute path; a link must be relative");
    fs::remove_file(root.join("passwd")).unwrap();

    symlink("../../other", root.join("bin/other")).unwrap();
    let refused = around.refusal(&root).await;
    assert_eq!(refused, "bin/other is a link to ../../other, which leads out of the release");
    fs::remove_file(root.join("bin/other")).unwrap();

    let socket = UnixListener::bind(root.join("socket")).unwrap();
    let refused = around.refusal(&root).await;
    assert_eq!(refused, "socket is a socket; only files, directories and links are content");
    drop(socket);
    fs::remove_file(root.join("socket")).unwrap();

    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let refused = around.refusal(&root).await;
    assert_eq!(refused, "pipe is a pipe; only files, directories and links are content");
}

#[tokio::test]
async fn devices_are_refused() {
    let around = Around::new().await;
    // Nobody may make devices here, but every system has some.
    let refused = around.refusal(Path::new("/dev")).await;
    assert!(refused.contains("only files, directories and links are content"), "{refused}");
}

#[tokio::test]
async fn a_release_has_limits() {
    let small = Limits { entries: 3, bytes: 100, reserve_bytes: 0 };
    let around = Around::with_limits(small).await;
    let root = around.release();
    write(&root, "third", "", 0o644);
    around.resolve(&root).await;
    write(&root, "fourth", "", 0o644);
    assert_eq!(around.refusal(&root).await, "holds more than 3 files and directories");
    fs::remove_file(root.join("fourth")).unwrap();
    write(&root, "third", &"x".repeat(100), 0o644);
    assert_eq!(around.refusal(&root).await, "holds more than 100 bytes");
}

#[tokio::test]
async fn a_full_disk_is_found_before_anything_is_written() {
    let around = Around::with_limits(Limits { reserve_bytes: u64::MAX, ..Limits::default() }).await;
    let release = around.resolve(&around.release()).await;
    let (kind, words) = around.stage_fault(&release).await;
    assert_eq!(kind, FaultKind::Transient);
    assert!(words.contains("needs 16777216.0 TiB of free space, "), "{words}");
    assert_eq!(around.names(), BTreeSet::new());
}

#[tokio::test]
async fn a_source_that_is_gone_or_another_one_now_is_not_staged() {
    let around = Around::new().await;
    let root = around.release();
    let release = around.resolve(&root).await;
    write(&root, "bin/serve", "changed", 0o755);
    let (kind, words) = around.stage_fault(&release).await;
    let now = around.resolve(&root).await.id;
    assert_eq!(kind, FaultKind::Permanent);
    assert!(words.contains(&format!("holds {now} now: it was changed since the push")), "{words}");

    write(&root, "bin/serve", "changed", 0o644);
    let (kind, words) = around.stage_fault(&release).await;
    assert_eq!(kind, FaultKind::Permanent);
    assert!(words.ends_with("bin/serve is not executable; chmod +x it"), "{words}");

    fs::remove_dir_all(&root).unwrap();
    let (kind, words) = around.stage_fault(&release).await;
    assert_eq!(kind, FaultKind::Permanent);
    assert!(words.ends_with(&format!("there is no directory {} on this host", root.display())), "{words}");
}

#[tokio::test]
async fn a_copy_is_whole_and_read_only() {
    let around = Around::new().await;
    let root = around.release();
    fs::create_dir_all(root.join("share/deep/empty")).unwrap();
    write(&root, "share/deep/data", &"0123456789".repeat(50_000), 0o666);
    symlink("../share/deep/data", root.join("bin/data")).unwrap();
    let release = around.resolve(&root).await;
    around.store.stage(&release, &Progress::unheard()).await.expect("it is staged");
    let copy = around.store.verify(&release.id).await.expect("it is whole");
    assert_eq!(copy, around.releases().join(release.id.as_str()));
    for (path, expected) in [
        ("", 0o555),
        ("bin", 0o555),
        ("share/deep/empty", 0o555),
        ("bin/serve", 0o555),
        ("share/deep/data", 0o444),
    ] {
        assert_eq!(mode(&copy.join(path)), expected, "mode of {path:?}");
    }
    assert_eq!(fs::read(copy.join("bin/data")).unwrap().len(), 500_000);
    // A staged release is a release itself, the same one.
    assert_eq!(around.resolve(&copy).await.id, release.id);
    assert_eq!(around.names(), BTreeSet::from([".order".to_owned(), release.id.to_string()]));
}

#[tokio::test]
async fn what_an_interrupted_attempt_left_is_removed_at_the_start() {
    let around = Around::new().await;
    let release = around.resolve(&around.release()).await;
    around.store.stage(&release, &Progress::unheard()).await.expect("it is staged");
    let left = around.releases().join(".tmp-dir-0123/deep");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("file"), "half").unwrap();
    fs::write(around.releases().join(".tmp-order"), "half").unwrap();
    fs::set_permissions(&left, Permissions::from_mode(0o555)).unwrap();
    let store = Store::open(around.releases(), KEEP).expect("it is opened again");
    assert_eq!(around.names(), BTreeSet::from([".order".to_owned(), release.id.to_string()]));
    store.verify(&release.id).await.expect("what was staged is still there");
}

#[tokio::test]
async fn the_order_of_staging_outlives_the_agent() {
    let around = Around::new().await;
    let mut releases = Vec::new();
    for _ in 0..KEEP {
        let release = around.resolve(&around.release()).await;
        around.store.stage(&release, &Progress::unheard()).await.expect("it is staged");
        releases.push(release);
    }
    around.store.stage(&releases[0], &Progress::unheard()).await.expect("it is staged again");
    let store = Store::open(around.releases(), 2).expect("it is opened");
    let removed = store.collect(&BTreeSet::new()).await.expect("one is too many");
    assert_eq!(removed, [releases[1].id.clone()]);
    assert_eq!(around.names().len(), KEEP, "two releases and the order");
}

#[tokio::test]
async fn what_is_no_release_is_not_listed() {
    let around = Around::new().await;
    fs::write(around.releases().join("README"), "not ours").unwrap();
    fs::create_dir(around.releases().join("has space")).unwrap();
    assert_eq!(around.store.staged().await.unwrap(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_at_once_do_not_meet() {
    let around = Around::new().await;
    let (one, two) = (around.resolve(&around.release()).await, around.resolve(&around.release()).await);
    let store = &around.store;
    let unheard = Progress::unheard();
    let staged = tokio::join!(
        store.stage(&one, &unheard),
        store.stage(&one, &unheard),
        store.stage(&two, &unheard),
        store.stage(&one, &unheard)
    );
    for result in [staged.0, staged.1, staged.2, staged.3] {
        result.expect("it is staged");
    }
    assert_eq!(store.staged().await.unwrap(), BTreeSet::from([one.id, two.id]));
}

mod changes;
