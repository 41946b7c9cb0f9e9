//! The contract that every store obeys.

use std::{fs, path::Path};

use model::ReleaseId;
use nixstore::Store;
use ports::store::contract::{self, Surroundings};

use crate::{
    nixery::{Nixery, Recipe},
    world::{self, KEEP},
};

struct Around {
    nixery: Nixery,
    store: Store,
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
        let migrate = if migrates { "true" } else { "" };
        self.nixery.offer(&Recipe { migrate: migrate.into(), ..Recipe::default() })
    }
    async fn not_a_release(&self) -> String {
        let folder = self.nixery.path("empty");
        fs::create_dir_all(&folder).expect("the test's own directory");
        let path = self.nixery.run("nix-store", &["--add", folder.to_str().expect("its own path")]);
        self.nixery.publish(&path);
        path
    }
    async fn withdraw(&self, source: &str) {
        let name = Path::new(source).file_name().and_then(|name| name.to_str()).expect("a store path");
        let hash = name.split_once('-').expect("a store path").0;
        fs::remove_file(self.nixery.path(&format!("cache/{hash}.narinfo"))).expect("it was offered");
    }
    async fn tamper(&self, release: &ReleaseId) {
        self.nixery.tamper(&format!("{}/{release}", self.nixery.store_dir().display()));
    }
}

#[tokio::test]
async fn obeys_the_contract() {
    let nixery = Nixery::new();
    let store = world::store(&nixery);
    contract::check(&Around { nixery, store }).await;
}
