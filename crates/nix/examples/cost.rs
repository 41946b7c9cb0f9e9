//! What staging costs beside Nix itself, with 200 MB in 4 paths. Run it on a machine that does nothing else:
//! `cargo run --release -p nixstore --features real-nix --example cost`.

#[path = "../tests/real/nixery.rs"]
#[allow(dead_code)]
mod nixery;
#[path = "../tests/real/world.rs"]
#[allow(dead_code)]
mod world;

use std::time::{Duration, Instant};

use ports::{ReleaseStore as _, store::Progress};

use nixery::{Nixery, Recipe};

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    let mut needs = None;
    for _ in 0..4 {
        needs = Some(nixery.build(&Recipe { pad: 50, needs, ..Recipe::default() }));
    }
    let path = needs.expect("four were built");
    nixery.sign(&path, "cache-1");
    nixery.publish(&path);
    nixery.forget();
    let release = store.resolve(&path).await.expect("it is in the cache");
    let (cache, key) = (nixery.cache(), nixery.key.clone());
    let (mut bare, mut staged, mut verified) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let caches = ["--option", "substituters", &cache, "--option", "trusted-public-keys", &key];
        nixery.run("nix-store", &[&["--realise", path.as_str()][..], &caches[..]].concat());
        bare.push(began.elapsed());
        nixery.forget();
        let began = Instant::now();
        store.stage(&release, &Progress::unheard()).await.expect("it is fetched");
        staged.push(began.elapsed());
        let began = Instant::now();
        store.verify(&release.id).await.expect("it is whole");
        verified.push(began.elapsed());
        std::fs::remove_file(nixery.path("state/nix/roots").join(release.id.as_str())).expect("its root");
        nixery.forget();
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2].as_secs_f64()
    };
    let (bare, staged, verified) = (median(bare), median(staged), median(verified));
    println!(
        "nix-store --realise {bare:.2} s, staged {staged:.2} s ({:.2}), verified {verified:.2} s",
        staged / bare
    );
}
