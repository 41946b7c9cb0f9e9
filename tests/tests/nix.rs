//! Releases that are Nix store paths, through real agents and Nix itself. `cargo xtask nix` runs this, after `cargo xtask setup nix`.

#[path = "../../crates/nix/tests/real/nixery.rs"]
#[allow(dead_code)]
mod nixery;

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use demo::fleet::Programs;
use nixery::{Nixery, Recipe};
use tests::{Stage, exit_of, next_of, policy};

/// A fleet whose agents take store paths from the cache of this Nix.
async fn formed(nixery: &Nixery, hosts: usize) -> Result<Stage> {
    let mut stage = Stage::set(hosts).await?;
    for agent in &stage.fleet.agents {
        let text = fs::read_to_string(&agent.config)?;
        let store = format!(
            "[store]\nkind = \"nix\"\nstore_dir = {:?}\nsubstituters = [{:?}]\ntrusted_public_keys = [{:?}]\n",
            nixery.store_dir(),
            nixery.cache(),
            nixery.key
        );
        let changed = text.replace("[store]\nkind = \"directory\"\n", &store);
        ensure!(changed != text, "no store of directories in {text}");
        fs::write(&agent.config, changed)?;
    }
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    Ok(stage)
}

/// A release of the demo's service.
fn recipe(runs: &std::path::Path) -> Result<Recipe> {
    let service = Programs::find()?.service;
    Ok(Recipe {
        serve: format!("exec {} --start-ms 100", service.display()),
        migrate: format!("echo run >> {}", runs.display()),
        ..Recipe::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_path_is_fetched_pinned_migrated_and_served() -> Result<()> {
    let nixery = Nixery::new();
    let mut stage = formed(&nixery, 2).await?;
    let runs = nixery.path("runs");
    let first = nixery.offer(&recipe(&runs)?);
    let push = stage.push(&first, policy()).await?;
    let release = push.release.clone().context("a release")?;
    ensure!(first.ends_with(&release.id) && release.migrates, "{release:?} is another than {first}");
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    assert_eq!(fs::read_to_string(&runs)?, "run\n", "the migration was run once");
    stage.all_on(&release.id).await?;
    let served: BTreeSet<String> = stage.answers().await?.into_iter().collect();
    assert_eq!(served, BTreeSet::from([release.id.clone()]));
    let roots = nixery.run("nix-store", &["--query", "--roots", &first]);
    for agent in &stage.fleet.agents {
        let root = agent.state.join("nix/roots").join(&release.id);
        assert!(roots.contains(root.to_str().context("a path")?), "{} is none of {roots}", root.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_rejected_at_the_push() -> Result<()> {
    let nixery = Nixery::new();
    let stage = formed(&nixery, 1).await?;
    let none = format!("{}/00000000000000000000000000000000-none", nixery.store_dir().display());
    for (source, words, next) in [
        ("/srv/web", "is not a store path", "./result"),
        (none.as_str(), "is in no cache that this host asks (file:///", "nix copy --to"),
    ] {
        let refused = stage.push_at(0, source, None).await?.expect_err("it was taken");
        assert_eq!(exit_of(&refused), Some(5), "{refused:?}");
        assert!(refused.message().contains(words), "{refused:?}");
        assert!(next_of(&refused).is_some_and(|text| text.contains(next)), "{refused:?}");
    }
    Ok(())
}
