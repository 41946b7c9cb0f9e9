//! What works: fetched, there already, checked, mended, pinned, collected, with and without a daemon.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use model::{Release, ReleaseId};
use nixstore::{Options, Store};
use ports::{FaultKind, ReleaseStore as _, fault::Chain, store::Progress};

use crate::{
    caches::{self, Manner},
    nixery::{Nixery, Recipe},
    world,
};

async fn staged(store: &Store, path: &str) -> Release {
    let release = store.resolve(path).await.unwrap_or_else(|no| panic!("{path}: {no:?}"));
    store
        .stage(&release, &Progress::unheard())
        .await
        .unwrap_or_else(|fault| panic!("{path}: {}", Chain(&fault)));
    release
}

/// Two releases that share what they need.
fn related(nixery: &Nixery) -> (String, String, String) {
    let shared = nixery.build(&Recipe::default());
    let needs = Some(shared.clone());
    let one = nixery.build(&Recipe { needs: needs.clone(), ..Recipe::default() });
    let two = nixery.build(&Recipe { needs, ..Recipe::default() });
    for path in [&one, &two] {
        nixery.sign(path, "cache-1");
        nixery.publish(path);
    }
    nixery.forget();
    (shared, one, two)
}

#[tokio::test]
async fn what_is_staged_survives_a_garbage_collection_and_what_is_not_does_not() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let (shared, one, two) = related(&nixery);
    let release = staged(&store, &one).await;
    nixery.run("nix-store", &["--gc"]);
    assert!(nixery.is_valid(&one) && nixery.is_valid(&shared) && !nixery.is_valid(&two));
    assert_eq!(store.verify(&release.id).await.unwrap(), Path::new(&one));
    // Another agent of the same folders finds what was staged.
    assert_eq!(world::store(&nixery).staged().await.unwrap(), BTreeSet::from([release.id]));
}

#[tokio::test]
async fn what_nix_has_already_is_staged_without_a_cache_and_checked() {
    let nixery = Nixery::new();
    let mut options = world::options(&nixery);
    options.substituters = Some(vec![caches::closed()]);
    let store = Store::open(options).unwrap();
    let path = nixery.build(&Recipe::default());
    staged(&store, &path).await;
    let spoilt = nixery.build(&Recipe::default());
    nixery.tamper(&spoilt);
    let release = store.resolve(&spoilt).await.unwrap();
    let fault = store.stage(&release, &Progress::unheard()).await.expect_err("it is not what Nix has built");
    assert_eq!(fault.kind, FaultKind::Permanent);
    let text = Chain(&fault).to_string();
    assert!(text.contains("changed behind Nix's back, and cannot be fetched again"), "{text}");
    assert!(!store.staged().await.unwrap().contains(&release.id));
}

#[tokio::test]
async fn damage_to_what_a_release_needs_is_found_before_use_and_mended_by_staging() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let (shared, one, _) = related(&nixery);
    let release = staged(&store, &one).await;
    nixery.tamper(&shared);
    let fault = store.verify(&release.id).await.expect_err("what it needs was changed");
    let text = Chain(&fault).to_string();
    assert!(text.contains(&format!("{shared}, which it needs, was changed")), "{text}");
    assert_eq!(store.staged().await.unwrap(), BTreeSet::new(), "it counts as staged no more");
    store.stage(&release, &Progress::unheard()).await.expect("it is fetched again");
    store.verify(&release.id).await.expect("it is whole");
    // Somebody took it away by force.
    nixery.run("nix-store", &["--delete", "--ignore-liveness", &one]);
    let text = Chain(&store.verify(&release.id).await.expect_err("it is gone")).to_string();
    assert!(text.contains("Nix does not have it any more"), "{text}");
    assert_eq!(store.staged().await.unwrap(), BTreeSet::new());
    store.stage(&release, &Progress::unheard()).await.expect("it is fetched again");
    store.verify(&release.id).await.expect("it is whole");
}

#[tokio::test]
async fn an_attempt_that_is_killed_in_the_middle_is_no_harm() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe { pad: 8, ..Recipe::default() });
    let cache = caches::start(Manner::Slow { folder: nixery.path("cache"), step: 50_000 });
    let store = Store::open(Options { substituters: Some(vec![cache]), ..world::options(&nixery) }).unwrap();
    let release = store.resolve(&path).await.unwrap();
    let attempt = tokio::spawn({
        let (store, release) = (store.clone(), release.clone());
        async move { store.stage(&release, &Progress::unheard()).await }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while !Path::new(&path).join("pad").exists() && !attempt.is_finished() {
        assert!(Instant::now() < deadline, "waited a minute until a part of {path} was there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!attempt.is_finished(), "it was over before it could be cut short");
    attempt.abort();
    let _ = attempt.await;
    assert_eq!(store.staged().await.unwrap(), BTreeSet::new());
    assert!(!nixery.is_valid(&path), "half of it counts as whole");
    let store = world::store(&nixery);
    store.stage(&release, &Progress::unheard()).await.expect("the next attempt works");
    store.verify(&release.id).await.expect("it is whole");
}

#[tokio::test]
async fn attempts_at_once_do_not_trip_over_each_other() {
    let nixery = Nixery::new();
    let (_, one, two) = related(&nixery);
    // Two agents on one host share Nix's store, and nothing of theirs.
    let mine = world::store(&nixery);
    let other = Store::open(Options { ..Options::of(&nixery.path("other")) }).is_ok();
    assert!(other);
    let theirs = Store::open(Options {
        roots_dir: nixery.path("other/roots"),
        cache_dir: nixery.path("other/cache"),
        ..world::options(&nixery)
    });
    let theirs = theirs.unwrap();
    let (first, second) = (mine.resolve(&one).await.unwrap(), theirs.resolve(&two).await.unwrap());
    let unheard = Progress::unheard();
    let done = tokio::join!(
        mine.stage(&first, &unheard),
        theirs.stage(&first, &unheard),
        mine.stage(&second, &unheard),
        theirs.stage(&second, &unheard),
        mine.stage(&first, &unheard),
    );
    for result in [done.0, done.1, done.2, done.3, done.4] {
        result.expect("each of them works");
    }
    assert_eq!(mine.staged().await.unwrap(), theirs.staged().await.unwrap());
}

#[tokio::test]
async fn old_releases_go_with_what_only_they_needed() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let own = nixery.build(&Recipe::default());
    let shared = nixery.build(&Recipe::default());
    let paths: Vec<String> = (0..5)
        .map(|number| {
            let needs = if number == 0 { &own } else { &shared };
            nixery.build(&Recipe { needs: Some(needs.clone()), ..Recipe::default() })
        })
        .collect();
    for path in &paths {
        nixery.sign(path, "cache-1");
        nixery.publish(path);
    }
    nixery.forget();
    let mut releases = Vec::new();
    for path in &paths {
        releases.push(staged(&store, path).await.id);
    }
    // Somebody else on this host uses the second one.
    let link = nixery.path("theirs");
    nixery.run("nix-store", &["--realise", &paths[1], "--add-root", link.to_str().unwrap()]);
    let keep = BTreeSet::from([releases[2].clone()]);
    let removed: Vec<ReleaseId> = store.collect(&keep).await.unwrap();
    assert_eq!(removed, [releases[0].clone(), releases[1].clone()]);
    let here = |path: &String| nixery.is_valid(path);
    assert!(!here(&paths[0]) && !here(&own), "what only the first one needed is here");
    assert!(here(&paths[1]) && here(&shared), "what others need is gone");
    for path in &paths[2..] {
        assert!(here(path), "{path} is gone");
    }
    assert!(!nixery.path("state/nix/roots").join(releases[1].as_str()).exists());
}

/// A daemon of Nix, ended with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The way to a daemon is in the environment of the agent, which a test cannot change for itself alone: Nix is called through a script.
fn through_daemon(nixery: &Nixery, trusted: &str) -> (Daemon, Options) {
    let socket = nixery.path("nix/var/nix/daemon-socket/socket");
    let mut daemon = nixery.command("nix-daemon");
    daemon.args(["--option", "trusted-users", trusted]);
    let daemon = Daemon(daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nix-daemon"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !socket.exists() {
        assert!(Instant::now() < deadline, "waited 30 s for the daemon's socket");
        std::thread::sleep(Duration::from_millis(10));
    }
    let bin = nixery.path("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["nix", "nix-store"] {
        let script = format!("#!/bin/sh\nNIX_REMOTE=daemon exec /usr/bin/env {program} \"$@\"\n");
        fs::write(bin.join(program), script).unwrap();
        fs::set_permissions(bin.join(program), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    (daemon, Options { nix_bin: Some(bin), ..world::options(nixery) })
}

#[tokio::test]
async fn all_of_it_works_through_a_daemon() {
    let nixery = Nixery::new();
    let (shared, one, two) = related(&nixery);
    let (_daemon, options) = through_daemon(&nixery, "*");
    let store = Store::open(options).unwrap();
    let first = staged(&store, &one).await;
    let second = staged(&store, &two).await;
    nixery.run("nix-store", &["--gc"]);
    store.verify(&first.id).await.expect("it is pinned");
    nixery.tamper(&shared);
    store.verify(&first.id).await.expect_err("what it needs was changed");
    store.stage(&second, &Progress::unheard()).await.expect("it is fetched again");
    store.verify(&first.id).await.expect("it is whole");
    for _ in 0..world::KEEP {
        staged(&store, &nixery.offer(&Recipe::default())).await;
    }
    let removed = store.collect(&BTreeSet::new()).await.unwrap();
    assert_eq!(removed, [first.id, second.id]);
    assert!(!nixery.is_valid(&one) && !nixery.is_valid(&shared));
    let none = format!("{}/00000000000000000000000000000000-none", nixery.store_dir().display());
    let text = format!("{:?}", store.resolve(&none).await.expect_err("it is nowhere"));
    assert!(text.contains("is in no cache that this host asks"), "{text}");
}
