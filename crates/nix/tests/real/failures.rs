//! What does not work: each class has its own words, at the push and on the host that stages.

use std::fs;

use model::Release;
use nixstore::{Options, Store};
use ports::{
    FaultKind, ReleaseStore as _,
    fault::Chain,
    store::{NotARelease, Progress},
};

use crate::{
    caches::{self, Manner},
    nixery::{Nixery, Recipe},
    world,
};

fn release(path: &str) -> Release {
    let id = path.rsplit('/').next().expect("a path").parse().expect("a store path is an id");
    Release { id, source: path.to_owned(), migrates: false }
}

/// What a failed attempt to stage says; it is not staged then.
async fn fault(store: &Store, path: &str) -> (FaultKind, String) {
    let fault = store.stage(&release(path), &Progress::unheard()).await.expect_err("it was staged");
    assert!(store.staged().await.expect("it can be asked").is_empty(), "a failed attempt counts as staged");
    (fault.kind, Chain(&fault).to_string())
}

/// What a push is refused with.
async fn refusal(store: &Store, source: &str) -> (String, String) {
    match store.resolve(source).await {
        Err(NotARelease::Invalid { source_name, problem, next }) => {
            assert_eq!(source_name, source);
            (problem, next)
        }
        other => panic!("{source} was {other:?}"),
    }
}

fn with(nixery: &Nixery, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = world::options(nixery);
    change(&mut options);
    Store::open(options).expect("its own folders")
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn what_no_cache_has_is_told_with_the_caches_and_comes_once_it_is_published() {
    let nixery = Nixery::new();
    let second = caches::start(Manner::Serves(nixery.path("empty")));
    let store = with(&nixery, |options| options.substituters.as_mut().unwrap().push(second.clone()));
    let path = nixery.build(&Recipe::default());
    nixery.sign(&path, "cache-1");
    let kept = nixery.path("kept");
    let kept_cache = format!("file://{}", kept.display());
    nixery.run("nix", &["copy", "--to", &kept_cache, &path]);
    nixery.forget();
    fs::create_dir_all(nixery.path("empty")).unwrap();
    fs::write(nixery.path("empty/nix-cache-info"), format!("StoreDir: {}\n", nixery.store_dir().display()))
        .unwrap();

    let (problem, next) = refusal(&store, &path).await;
    assert_says(&problem, &["is in no cache that this host asks", &nixery.cache(), &second]);
    assert!(!problem.contains(&path), "it is named before: {problem}");
    assert_says(&next, &["nix copy"]);
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Transient, "{text}");
    assert_says(&text, &["is in no cache that this host asks", &nixery.cache(), &second, "publish"]);

    // A moment later it is there: that there was nothing is not remembered.
    nixery.run("nix", &["copy", "--from", &kept_cache, "--no-check-sigs", &path]);
    nixery.publish(&path);
    nixery.forget();
    let found = store.resolve(&path).await.expect("it is there now");
    store.stage(&found, &Progress::unheard()).await.expect("it is there now");
}

#[tokio::test]
async fn what_is_needed_and_in_no_cache_is_named() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let dependency = nixery.build(&Recipe::default());
    let path = nixery.build(&Recipe { needs: Some(dependency.clone()), ..Recipe::default() });
    nixery.sign(&path, "cache-1");
    nixery.publish(&path);
    nixery.forget();
    let hash = dependency.rsplit('/').next().unwrap().split_once('-').unwrap().0;
    fs::remove_file(nixery.path(&format!("cache/{hash}.narinfo"))).expect("it was published");
    let found = store.resolve(&path).await.expect("the path itself is there");
    assert_eq!(found, release(&path));
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Transient, "{text}");
    assert_says(&text, &[&format!("{dependency} is in no cache")]);
}

#[tokio::test]
async fn unsigned_and_signed_by_a_stranger_are_told_apart() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let unsigned = nixery.build(&Recipe::default());
    nixery.publish(&unsigned);
    let (problem, next) = refusal_of_missing(&nixery, &store, &unsigned).await;
    assert_says(
        &problem,
        &["is not signed by a key that this host trusts: it has no signature", "trusts cache-1"],
    );
    assert_says(&next, &["nix store sign"]);

    nixery.new_key("stranger-1");
    let strange = nixery.build(&Recipe::default());
    nixery.sign(&strange, "stranger-1");
    nixery.publish(&strange);
    let (problem, _) = refusal_of_missing(&nixery, &store, &strange).await;
    assert_says(&problem, &["it is signed by stranger-1", "trusts cache-1"]);
    for path in [&unsigned, &strange] {
        let (kind, text) = fault(&store, path).await;
        assert_eq!(kind, FaultKind::Permanent, "{text}");
        assert_says(
            &text,
            &[path, "is not signed by a key that this host trusts", "store.trusted_public_keys"],
        );
    }
}

async fn refusal_of_missing(nixery: &Nixery, store: &Store, path: &str) -> (String, String) {
    nixery.forget();
    refusal(store, path).await
}

#[tokio::test]
async fn a_signature_by_another_key_of_the_same_name_is_not_taken() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    // The store goes on trusting the first key of this name.
    nixery.new_key("cache-1");
    let path = nixery.offer(&Recipe::default());
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Permanent, "{text}");
    assert_says(
        &text,
        &[&path, "is not signed by a key that this host trusts", "another key of a name that is trusted"],
    );
}

#[tokio::test]
async fn a_cache_that_refuses_and_one_that_is_dark_are_named() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe::default());
    for (cache, why) in [(caches::closed(), "connect"), (caches::start(Manner::Dark), "ime")] {
        let store = with(&nixery, |options| options.substituters = Some(vec![cache.clone()]));
        match store.resolve(&path).await {
            Err(NotARelease::Fault(fault)) => {
                assert_says(&Chain(&fault).to_string(), &["is in no cache that answered", &cache]);
            }
            other => panic!("{cache} gave {other:?}"),
        }
        let (kind, text) = fault(&store, &path).await;
        assert_eq!(kind, FaultKind::Transient, "{text}");
        assert_says(&text, &["is in no cache that answered", &cache, why]);
    }
    // One that answers is enough.
    let both = vec![caches::closed(), nixery.cache()];
    let store = with(&nixery, |options| options.substituters = Some(both));
    store.stage(&release(&path), &Progress::unheard()).await.expect("the second cache has it");
}

#[tokio::test]
async fn one_dark_cache_of_two_is_waited_for_once() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe::default());
    let (dark, asked) = caches::start_counting(Manner::Dark);
    let both = vec![dark, nixery.cache()];
    let store = with(&nixery, |options| options.substituters = Some(both));
    store.stage(&release(&path), &Progress::unheard()).await.expect("the second cache has it");
    let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked <= 2, "the dark one was asked {asked} times: once, and once more, is what planning takes");
}

#[tokio::test]
async fn a_cache_that_goes_dark_in_the_middle_is_given_up_and_the_next_attempt_works() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe { pad: 4, ..Recipe::default() });
    let manner = Manner::Stalls { folder: nixery.path("cache"), after: 100_000 };
    let cache = caches::start(manner);
    let store = with(&nixery, |options| options.substituters = Some(vec![cache.clone()]));
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Transient, "{text}");
    assert_says(&text, &["was not fetched to its end", "unable to download", &cache]);
    let store = world::store(&nixery);
    store.stage(&release(&path), &Progress::unheard()).await.expect("a half-done attempt is no harm");
    store.verify(&release(&path).id).await.expect("it is whole");
}

#[tokio::test]
async fn too_little_space_is_told_before_anything_is_fetched() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe { pad: 2, ..Recipe::default() });
    let store = with(&nixery, |options| options.reserve_bytes = u64::MAX / 2);
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Transient, "{text}");
    assert_says(&text, &["of free space", "is left", "nix-collect-garbage"]);
    assert!(!nixery.is_valid(&path), "it was fetched");
}

#[tokio::test]
async fn no_nix_and_an_old_one_are_told_with_what_to_do() {
    let nixery = Nixery::new();
    let path = nixery.offer(&Recipe::default());
    let bin = nixery.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let store = with(&nixery, |options| options.nix_bin = Some(bin.clone()));
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Permanent, "{text}");
    assert_says(&text, &["there is no nix-store in", bin.to_str().unwrap(), "store.nix_bin"]);
    let told = nixstore::obstacle(Some(&bin)).expect("there is none");
    assert_says(&told, &["there is no nix-store in"]);

    let program = bin.join("nix-store");
    fs::write(&program, "#!/bin/sh\necho 'nix-store (Nix) 2.3.16'\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Permanent, "{text}");
    assert_says(&text, &["is Nix 2.3.16", "2.8"]);
    assert_says(&nixstore::obstacle(Some(&bin)).expect("it is too old"), &["is Nix 2.3.16"]);
    assert_eq!(nixstore::obstacle(None), None, "the one that these tests run");
}

#[tokio::test]
async fn what_is_no_release_is_refused_at_the_push_and_another_story_when_it_is_staged() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let folder = nixery.path("plain");
    fs::create_dir_all(folder.join("share")).unwrap();
    let plain = nixery.run("nix-store", &["--add", folder.to_str().unwrap()]);
    nixery.publish(&plain);
    for here in [true, false] {
        if !here {
            nixery.forget();
        }
        let (problem, next) = refusal(&store, &plain).await;
        assert_says(&problem, &["is not a release", "bin"]);
        assert_says(&next, &["bin/serve"]);
    }
    let path = nixery.offer(&Recipe { migrate: "true".into(), ..Recipe::default() });
    let (kind, text) = fault(&store, &path).await;
    assert_eq!(kind, FaultKind::Permanent, "{text}");
    assert_says(&text, &["has a bin/migrate", "without one", "push it again"]);
    let found = store.resolve(&path).await.expect("it is a release");
    assert!(found.migrates);
    store.stage(&found, &Progress::unheard()).await.expect("this is its story");
}

#[tokio::test]
async fn a_bin_that_is_a_link_is_followed_in_the_cache_and_on_the_disk() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let real = nixery.build(&Recipe { migrate: "true".into(), ..Recipe::default() });
    nixery.sign(&real, "cache-1");
    let folder = nixery.path("linked");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(format!("{real}/bin"), folder.join("bin")).unwrap();
    let path = nixery.run("nix-store", &["--add", folder.to_str().unwrap()]);
    // What is added by hand needs nothing, as far as Nix knows.
    nixery.publish(&real);
    nixery.publish(&path);
    assert!(store.resolve(&path).await.expect("it is here").migrates);
    nixery.forget();
    assert!(store.resolve(&path).await.expect("it is in the cache").migrates);
}
