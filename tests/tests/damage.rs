//! Raft files that were damaged while their agent was away.

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::releases::Recipe;
use tests::{
    OneDaemon, Stage, by, client, done, goes_over, host, keeper_of, policy, service_pid, show, typed, within,
};

/// A way to spoil a file of these bytes; nothing left is no file at all.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

const DAMAGES: [(&str, Damage); 6] = [
    ("it is gone", |_| None),
    ("it is empty", |_| Some(Vec::new())),
    ("it is cut in its first page", |bytes| Some(bytes[..100].to_vec())),
    ("it is cut in the middle", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
    ("its first bytes are others", |mut bytes| {
        bytes[..16].iter_mut().for_each(|byte| *byte ^= 0x5a);
        Some(bytes)
    }),
    ("some of its bits have flipped", |mut bytes| {
        bytes.iter_mut().skip(4096).step_by(331).for_each(|byte| *byte ^= 1);
        Some(bytes)
    }),
];

/// Starts the agent of a host and waits until it has ended by itself. Returns what it wrote.
async fn ends(stage: &mut Stage, number: usize) -> Result<String> {
    let log = stage.fleet.agents[number].log.clone();
    let before = std::fs::read_to_string(&log).unwrap_or_default().len();
    stage.fleet.start(number)?;
    let status = within("the agent ends", async || stage.fleet.take_ended(number)).await?;
    ensure!(!status.success(), "it ended with {status}");
    Ok(std::fs::read_to_string(&log)?.split_off(before))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_raft_file_is_damaged_names_it_and_joins_as_a_new_node_when_that_was_done()
-> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let load = stage.load()?;
    let leader = stage.leader().await?;
    let number = stage.other_than(&[leader])?;
    let agent = &stage.fleet.agents[number];
    let (name, state) = (agent.host.clone(), agent.state.clone());
    let processes = (keeper_of(agent)?, service_pid(agent)?);
    let file = state.join("raft").join("raft.redb");
    stage.fleet.stop(number).await?;
    let whole = std::fs::read(&file)?;
    for (what, damage) in DAMAGES {
        match damage(whole.clone()) {
            Some(bytes) => std::fs::write(&file, bytes)?,
            None => std::fs::remove_file(&file)?,
        }
        let log = ends(&mut stage, number).await?;
        let last = log.lines().last().unwrap_or_default();
        let remedy = format!("`deployinator hosts remove {name} --reason WHY`, delete identity.json");
        ensure!(last.contains(&file.display().to_string()) && last.contains(&remedy), "{what}: {log}");
        ensure!(!log.contains("panicked"), "{what}: {log}");
    }
    let agent = &stage.fleet.agents[number];
    assert_eq!((keeper_of(agent)?, service_pid(agent)?), processes, "its service ran on");

    // What was damaged and is whole again may come back, and so may who does as it was told.
    std::fs::write(&file, &whole)?;
    stage.fleet.start(number)?;
    stage.wait_at(number, "it is back", |status| !status.stale).await?;
    stage.fleet.kill(number)?;
    std::fs::write(&file, &whole[..whole.len() / 2])?;
    ends(&mut stage, number).await?;
    let request = v1::RemoveHostRequest { host: name.clone(), by: by("its Raft file is damaged") };
    client(stage.fleet.agents[leader].address).await?.remove_host(request).await?;
    for gone in ["identity.json", "forming.json", "peers.json"] {
        std::fs::remove_file(state.join(gone))?;
    }
    std::fs::remove_dir_all(state.join("raft"))?;
    stage.fleet.start(number)?;
    let release = first.release.context("a release")?.id;
    let serves = |status: &v1::StatusResponse| {
        host(status, &name).is_some_and(|host| {
            host.change.is_none()
                && host.current.as_ref().is_some_and(|current| current.id == release)
                && host.availability() == v1::Availability::In
        })
    };
    stage.wait_at(leader, "the new node's host is in service", serves).await?;
    let agent = &stage.fleet.agents[number];
    assert_eq!((keeper_of(agent)?, service_pid(agent)?), processes, "all the while");
    let push = stage.push_at(number, &stage.release(&Recipe::good("release-2"))?, Some(policy())).await??;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    stage.all_on(&push.release.context("a release")?.id).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}

/// Does on a host what its agent says when its Raft file is damaged.
fn forget_the_cluster(stage: &Stage, number: usize) -> Result<()> {
    let state = &stage.fleet.agents[number].state;
    for file in ["identity.json", "forming.json", "peers.json"] {
        std::fs::remove_file(state.join(file)).with_context(|| format!("remove {file}"))?;
    }
    Ok(std::fs::remove_dir_all(state.join("raft"))?)
}

/// Damages the Raft file of an agent that is stopped, and returns what it says when it is started.
async fn damaged(stage: &Stage, number: usize) -> Result<String> {
    let agent = &stage.fleet.agents[number];
    let file = agent.state.join("raft").join("raft.redb");
    let whole = std::fs::read(&file)?;
    std::fs::write(&file, &whole[..whole.len() / 2])?;
    let ended = OneDaemon::new(stage.agent_program(), &agent.config).ends().await?;
    ensure!(ended.code == 1, "{ended:#?}");
    Ok(ended.said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_comes_back_from_a_backup_as_it_is_told_when_its_raft_file_is_damaged() -> Result<()> {
    let (mut stage, first) = Stage::serving(1).await?;
    let old = show(&stage, 0).await?.cluster;
    let agent = &stage.fleet.agents[0];
    let processes = (keeper_of(agent)?, service_pid(agent)?);
    let file = stage.dir().join("fleet.backup").display().to_string();
    done(&stage, &[0], &format!("cluster backup --to {file}")).await?;
    stage.fleet.stop(0).await?;
    let said = damaged(&stage, 0).await?;
    let remedy = "`deployinator cluster recover --from BACKUP --lost h1 --reason WHY`";
    ensure!(said.contains(remedy) && said.contains("only one"), "{said}");

    forget_the_cluster(&stage, 0)?;
    stage.fleet.start(0)?;
    stage.fleet.formed().await?;
    let empty = show(&stage, 0).await?.cluster;
    ensure!(empty != old);
    done(&stage, &[0], &format!("cluster recover --from {file} --lost h1 --reason damaged --yes")).await?;
    goes_over(&stage, 0, &empty).await?;
    stage.all_on(&first.release.context("a release")?.id).await?;
    let agent = &stage.fleet.agents[0];
    assert_eq!((keeper_of(agent)?, service_pid(agent)?), processes, "it served all the while");
    assert_eq!(stage.migrations_of("release-1"), 1, "what was migrated once is not migrated again");
    let push = stage.serve(&Recipe::good("release-2")).await?;
    stage.all_on(&push.release.context("a release")?.id).await?;
    assert_eq!(stage.history_at(0).await?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_whose_raft_files_are_damaged_is_rebuilt_from_who_is_left_and_joins_again() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let old = show(&stage, 0).await?.cluster;
    let pids = stage.pids().await?;
    for number in [1, 2] {
        stage.fleet.stop(number).await?;
        let said = damaged(&stage, number).await?;
        let name = &stage.fleet.agents[number].host;
        ensure!(said.contains(&format!("`deployinator cluster recover --lost {name} ")), "{said}");
    }
    let (code, text) = typed(&stage, &[0], "hosts remove h2 --reason damaged --yes").await?;
    ensure!(code == 69, "without a majority no host is removed: {code}: {text}");
    within("the cluster is rebuilt", async || {
        done(&stage, &[0], "cluster recover --lost h2 h3 --reason damaged --yes").await.ok()
    })
    .await?;
    let new = goes_over(&stage, 0, &old).await?;
    for number in [1, 2] {
        let name = stage.fleet.agents[number].host.clone();
        done(&stage, &[0], &format!("hosts remove {name} --reason damaged --yes")).await?;
        forget_the_cluster(&stage, number)?;
        stage.fleet.start(number)?;
        assert_eq!(goes_over(&stage, number, &old).await?, new);
    }
    let voters = async || (show(&stage, 0).await.ok()?.voters.len() == 3).then_some(());
    within("three hosts vote again", voters).await?;
    stage.all_on(&first.release.context("a release")?.id).await?;
    assert_eq!(stage.pids().await?, pids, "all served on");
    Ok(())
}
