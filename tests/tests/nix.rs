//! Releases that are Nix store paths, through real agents and Nix itself. `cargo xtask nix` runs this, after `cargo xtask setup nix`.

#[path = "../../crates/nix/tests/real/caches.rs"]
#[allow(dead_code)]
mod caches;
#[path = "../../crates/nix/tests/real/nixery.rs"]
#[allow(dead_code)]
mod nixery;

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::fleet::Programs;
use nixery::{Nixery, Recipe};
use tests::{PATIENCE, Stage, exit_of, next_of, policy, web};

/// A fleet whose agents take store paths from the cache of this Nix.
async fn formed(nixery: &Nixery, hosts: usize) -> Result<Stage> {
    formed_with(nixery, hosts, &nixery.cache()).await
}

/// The same, from another cache.
async fn formed_with(nixery: &Nixery, hosts: usize, cache: &str) -> Result<Stage> {
    let mut stage = Stage::set(hosts).await?;
    for agent in &stage.fleet.agents {
        let text = fs::read_to_string(&agent.config)?;
        let store = format!(
            "[store]\nkind = \"nix\"\nstore_dir = {:?}\nsubstituters = [{:?}]\ntrusted_public_keys = [{:?}]\n",
            nixery.store_dir(),
            cache,
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

#[tokio::test(flavor = "multi_thread")]
async fn how_far_staging_is_can_be_watched() -> Result<()> {
    let nixery = Nixery::new();
    let folder = nixery.path("cache");
    let cache = caches::start(caches::Manner::Slow { folder, step: 100_000 });
    let mut stage = formed_with(&nixery, 1, &cache).await?;
    let path = nixery.offer(&Recipe { pad: 16, ..recipe(&nixery.path("runs"))? });
    let push = stage.push(&path, policy()).await?;
    let release = push.release.clone().context("a release")?.id;
    let of = |status: &v1::StatusResponse| web(status).and_then(|web| web.hosts.first()?.staging.clone());
    let first = stage
        .fleet
        .wait_for("the host says how far it is", PATIENCE, |status| {
            of(status).is_some_and(|staging| 0 < staging.bytes_done)
        })
        .await?;
    let first = of(&first).context("it was there")?;
    ensure!(first.release == release && first.paths == 1 && 16 << 20 <= first.bytes, "{first:?}");
    let further = stage
        .fleet
        .wait_for("it is further", PATIENCE, |status| {
            of(status).is_some_and(|staging| first.bytes_done < staging.bytes_done)
        })
        .await?;
    let text = tokio::process::Command::from(stage.fleet.cli()).arg("status").output().await?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(text.contains("staging 0 of 1 paths, "), "{text}\n{further:?}");
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    let status = stage.all_on(&release).await?;
    assert_eq!(of(&status), None, "it is over");
    Ok(())
}
