//! Releases that are Nix store paths, through real agents and Nix itself. `cargo xtask nix` runs this, after `cargo xtask setup nix`.

#[path = "../../crates/nix/tests/real/caches.rs"]
#[allow(dead_code)]
mod caches;
#[path = "../../crates/nix/tests/real/nixery.rs"]
#[allow(dead_code)]
mod nixery;

use std::{collections::BTreeSet, fs, ops::Deref};

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::{fleet::Programs, reaper};
use nixery::{Nixery, Recipe};
use tests::{PATIENCE, Stage, exit_of, next_of, policy, web, with_own_mounts};

/// A Nix whose releases run nowhere when the test is over: their processes work in its store, which the stage does not know. It is to be made
/// before the stage, which ends agents and keepers.
struct Home(Nixery);

impl Deref for Home {
    type Target = Nixery;
    fn deref(&self) -> &Nixery {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        reaper::kill_of(&self.0.path(""));
    }
}

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
    let nixery = Home(Nixery::new());
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
async fn a_link_and_the_output_of_a_build_are_pushed_with_where_they_come_from() -> Result<()> {
    let nixery = Home(Nixery::new());
    let mut stage = formed(&nixery, 1).await?;
    let runs = nixery.path("runs");
    let (first, second) = (nixery.offer(&recipe(&runs)?), nixery.offer(&recipe(&runs)?));
    let policy = nixery.path("policy.toml");
    fs::write(&policy, "soak = \"200ms\"\n")?;
    let link = nixery.path("result");
    std::os::unix::fs::symlink(&first, &link)?;
    let mut push = tokio::process::Command::from(stage.fleet.cli());
    push.arg("push").arg(&link).args(["--service", "web", "--wait", "--policy"]).arg(&policy);
    push.args(["--git-rev", "1a2b3c4", "--ci-run", "https://ci.example.com/77", "--author", "ann"]);
    let done = push.output().await?;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    stage.all_on(first.rsplit('/').next().context("a name")?).await?;

    let built = format!(r#"[{{"drvPath":"/nix/store/x.drv","outputs":{{"out":"{second}"}}}}]"#);
    let json = nixery.path("built.json");
    fs::write(&json, built)?;
    let mut push = tokio::process::Command::from(stage.fleet.cli());
    push.args(["push", "-", "--service", "web", "--wait"]).stdin(fs::File::open(&json)?);
    let done = push.output().await?;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    stage.all_on(second.rsplit('/').next().context("a name")?).await?;

    let of = |provenance: &v1::Provenance| provenance.git_rev.clone();
    let history = stage.history_at(0).await?;
    let revs: Vec<Option<String>> =
        history.iter().map(|rollout| rollout.provenance.as_ref().map(of)).collect();
    assert_eq!(revs.last(), Some(&Some("1a2b3c4".to_owned())));
    let text = tokio::process::Command::from(stage.fleet.cli())
        .args(["history", "--service", "web"])
        .output()
        .await?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(text.contains("from git 1a2b3c4 by ann, https://ci.example.com/77"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_rejected_at_the_push() -> Result<()> {
    let nixery = Home(Nixery::new());
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
    let nixery = Home(Nixery::new());
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

/// Fills a disk to the last byte.
fn fill(file: &std::path::Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::create(file)?;
    let block = vec![0_u8; 1 << 20];
    while file.write_all(&block).is_ok() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_the_middle_holds_the_rollout_in_staging_until_there_is_room() -> Result<()> {
    let name = "a_disk_that_fills_up_in_the_middle_holds_the_rollout_in_staging_until_there_is_room";
    with_own_mounts(name, async || {
        let nixery = Home(Nixery::new());
        let disk = nixery.path("nix");
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=200m", "tmpfs"]).arg(&disk).status()?;
        ensure!(mounted.success(), "mount ended with {mounted}");
        fs::create_dir_all(nixery.store_dir())?;
        let folder = nixery.path("cache");
        let cache = caches::start(caches::Manner::Slow { folder, step: 100_000 });
        let mut stage = formed_with(&nixery, 1, &cache).await?;
        let path = nixery.offer(&Recipe { pad: 16, ..recipe(&nixery.path("runs"))? });
        let push = stage.push(&path, policy()).await?;
        let begun = |status: &v1::StatusResponse| {
            web(status)
                .and_then(|web| web.hosts.first()?.staging.as_ref())
                .is_some_and(|staging| 0 < staging.bytes_done)
        };
        stage.fleet.wait_for("a part of it is here", PATIENCE, begun).await?;
        let filler = disk.join("filler");
        fill(&filler)?;
        let says = |status: &v1::StatusResponse, words: &str| {
            let trouble = web(status).and_then(|web| web.hosts.first()?.stage_trouble.clone());
            trouble.is_some_and(|trouble| trouble.contains(words))
        };
        let full = |status: &v1::StatusResponse| says(status, "became full while it was fetched");
        stage.fleet.wait_for("the host says that its disk became full", PATIENCE, full).await?;
        let needs = |status: &v1::StatusResponse| says(status, "of free space");
        stage.fleet.wait_for("the next attempt says what it needs", PATIENCE, needs).await?;
        fs::remove_file(&filler)?;
        let ended = stage.watch(&push).ended().await?;
        assert_eq!(ended.exit_code, 0, "{ended:#?}");
        Ok(())
    })
    .await
}
