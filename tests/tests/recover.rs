//! Clusters that lost their majority, or every disk of it, and are rebuilt on an operator's word.

use anyhow::{Context, Result, ensure};
use api::v1::{self, HostPhase, agent_client::AgentClient};
use demo::releases::Recipe;
use tests::{
    OneDaemon, PATIENCE, Stage, client, done, host, keeper_of, policy, service_pid, typed, web, within,
};

/// The cluster as one agent shows it.
async fn show(stage: &Stage, number: usize) -> Result<v1::ClusterShowResponse> {
    let mut client = client(stage.fleet.agents[number].address).await?;
    Ok(client.cluster_show(v1::ClusterShowRequest {}).await?.into_inner())
}

/// Waits until an agent shows a cluster that is not `old`, and not stale; returns its name.
async fn goes_over(stage: &Stage, number: usize, old: &str) -> Result<String> {
    let host = &stage.fleet.agents[number].host;
    let what = format!("{host} is in the new cluster");
    let over = within(&what, async || {
        let shown = show(stage, number).await.ok()?;
        (shown.cluster != old && !shown.stale).then_some(shown.cluster)
    });
    over.await.with_context(|| stage.fleet.log_tail(host))
}

/// Five voters that serve release 1, the numbers of two that are to be left, `with` among them, and of the three others, the leader among them.
async fn five(with: Option<usize>) -> Result<(Stage, [usize; 2], [usize; 3])> {
    let (mut stage, _) = Stage::serving(5).await?;
    let five = within("five hosts vote", async || {
        let shown = show(&stage, 0).await.ok()?;
        (shown.voters.len() == 5 && shown.learners.is_empty()).then_some(())
    });
    five.await?;
    let (left, lost) = split(&mut stage, with).await?;
    Ok((stage, left, lost))
}

async fn split(stage: &mut Stage, with: Option<usize>) -> Result<([usize; 2], [usize; 3])> {
    let leader = stage.leader().await?;
    let first = with.map_or_else(|| stage.other_than(&[leader]), Ok)?;
    let second = stage.other_than(&[leader, first])?;
    let lost: Vec<usize> = (0..5).filter(|number| *number != first && *number != second).collect();
    Ok(([first, second], lost.try_into().ok().context("three others")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_voters_go_on_in_the_middle_of_a_rollout_and_a_lost_one_that_returns_joins_them()
-> Result<()> {
    let (mut stage, ..) = five(None).await?;
    let pids = stage.pids().await?;
    let source = stage.release(&Recipe { start_ms: 1500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let changing = stage.watch(&push).until_phase(HostPhase::Probing).await?;
    let changing = stage.number(&changing)?;
    let leader = stage.leader().await?;
    let (left, lost) = if changing == leader {
        // A leader that changes is lost with the others; then its change is nobody's who is left.
        split(&mut stage, None).await?
    } else {
        split(&mut stage, Some(changing)).await?
    };
    let old = show(&stage, left[0]).await?.cluster;
    let agents = [stage.fleet.pid(left[0])?, stage.fleet.pid(left[1])?];
    let back = *lost.iter().find(|number| **number != leader).context("one that comes back")?;
    for number in lost {
        if number == back { stage.fleet.kill(number).map(drop)? } else { stage.fleet.lose(number)? }
    }

    let [a, b, c] = lost.map(|number| stage.fleet.agents[number].host.clone());
    let stale = within("the survivors know who is missing", async || {
        let (code, text) = typed(&stage, &left, "status").await.ok()?;
        (code == 69 && [&a, &b, &c].iter().all(|name| text.contains(*name))).then_some(())
    });
    stale.await?;
    let (code, text) =
        typed(&stage, &left, &format!("cluster recover --lost {a} {b} --reason fire --yes")).await?;
    ensure!(code == 5 && text.contains(&c), "{code}: {text}");
    let (code, text) =
        typed(&stage, &left, &format!("cluster recover --lost {a} {b} {c} --reason fire")).await?;
    ensure!(code == 64 && text.contains("nobody is there to confirm"), "{code}: {text}");
    let would =
        done(&stage, &left, &format!("cluster recover --lost {a} {b} {c} --reason fire --dry-run")).await?;
    ensure!(would.contains("acknowledged") && would.contains("will be paused"), "{would}");
    assert_eq!(show(&stage, left[0]).await?.cluster, old, "nothing was done by that");

    let said =
        done(&stage, &left, &format!("cluster recover --lost {a} {b} {c} --reason fire --yes")).await?;
    ensure!(said.contains("was rebuilt on") && said.contains("resume --service web"), "{said}");
    let new = goes_over(&stage, left[0], &old).await?;
    assert_eq!(goes_over(&stage, left[1], &old).await?, new);
    assert_eq!([stage.fleet.pid(left[0])?, stage.fleet.pid(left[1])?], agents, "no agent was started again");
    for number in left.into_iter().filter(|number| *number != changing) {
        let name = &stage.fleet.agents[number].host;
        assert_eq!(service_pid(&stage.fleet.agents[number])?, pids[name], "{name} serves on");
    }
    // Who still speaks for the old cluster is refused, and told of the new one.
    let mut agent = AgentClient::connect(format!("http://{}", stage.fleet.agents[left[0]].address)).await?;
    let command = v1::ProposeRequest { version: 1, cluster: old.clone(), command: b"{}".to_vec() };
    let refusal = agent.propose(command).await.expect_err("it is of another cluster");
    assert_eq!(refusal.code(), tonic::Code::PermissionDenied, "{refusal:?}");
    ensure!(refusal.metadata().contains_key("deployinator-successor"), "{refusal:?}");

    // It ran on all the while, in the old cluster as far as it knows.
    let name = stage.fleet.agents[back].host.clone();
    let serving = service_pid(&stage.fleet.agents[back]).ok();
    stage.fleet.start(back)?;
    assert_eq!(goes_over(&stage, back, &old).await?, new);
    let known = |status: &v1::StatusResponse| {
        host(status, &name).is_some_and(|host| host.pid.is_some() && host.pid == serving)
    };
    if back != changing {
        assert_eq!(serving, Some(pids[&name]));
        stage.fleet.wait_for("the one that returned has told what it runs", PATIENCE, known).await?;
    }

    for number in lost.into_iter().filter(|number| *number != back) {
        let name = &stage.fleet.agents[number].host;
        done(&stage, &left, &format!("hosts remove {name} --reason burned --yes")).await?;
    }
    done(&stage, &left, "resume --service web").await?;
    let ended = stage.watch_without(&push, &lost).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    let release = push.release.context("a release")?.id;
    stage.all_on(&release).await?;
    assert_eq!(stage.migrations_of("release-2"), 1, "counted by the migration itself");
    let events = stage.events_at(back).await?;
    assert_eq!(events, stage.events_at(left[0]).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_was_not_lost_after_all_goes_over_to_the_cluster_that_took_its_place() -> Result<()> {
    let (mut stage, left, lost) = five(None).await?;
    let pids = stage.pids().await?;
    let old = show(&stage, left[0]).await?.cluster;
    for number in lost {
        stage.fleet.kill(number)?;
    }
    let [a, b, c] = lost.map(|number| stage.fleet.agents[number].host.clone());
    let recover = format!("cluster recover --lost {a} --lost {b} --lost {c} --reason fire --yes");
    // Nothing is rebuilt while a majority could still answer, and a second time is refused.
    within("the survivors are without a leader", async || done(&stage, &left, &recover).await.ok()).await?;
    let new = goes_over(&stage, left[0], &old).await?;
    goes_over(&stage, left[1], &old).await?;
    let (code, text) = typed(&stage, &left, &recover).await?;
    ensure!(code == 5, "{code}: {text}");
    for number in lost {
        stage.fleet.start(number)?;
    }
    for number in lost {
        assert_eq!(goes_over(&stage, number, &old).await?, new);
    }
    let voters = within("five hosts vote in the new cluster", async || {
        let shown = show(&stage, left[0]).await.ok()?;
        (shown.voters.len() == 5 && shown.cluster == new).then_some(())
    });
    voters.await?;
    assert_eq!(stage.pids().await?, pids, "what was served is served");
    let push = stage.serve(&Recipe::good("release-2")).await?;
    stage.all_on(&push.release.context("a release")?.id).await?;
    assert_eq!((stage.migrations_of("release-1"), stage.migrations_of("release-2")), (1, 1));
    Ok(())
}

/// Has a cluster give way to a lost one, as the first half of a recovery does.
async fn closed(stage: &Stage, cluster: &str, to: &str) -> Result<()> {
    let act = format!(r#"{{"give_way":{{"to":"{to}","by":{{"name":"ann","reason":"fire"}}}}}}"#);
    let command = format!(r#"{{"proposer":"test","sequence":1,"at":0,"act":{act}}}"#);
    let request =
        v1::ProposeRequest { version: 1, cluster: cluster.to_owned(), command: command.into_bytes() };
    let closed = within("the leader has it give way", async || {
        for agent in &stage.fleet.agents {
            let mut agent = AgentClient::connect(format!("http://{}", agent.address)).await.ok()?;
            if let Ok(answer) = agent.propose(request.clone()).await {
                return Some(String::from_utf8_lossy(&answer.into_inner().reply).into_owned());
            }
        }
        None
    });
    let reply = closed.await?;
    ensure!(reply.contains("done"), "{reply}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_a_cluster_back_whose_disks_are_all_gone() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let old = show(&stage, 0).await?.cluster;
    let file = stage.dir().join("fleet.backup").display().to_string();
    let said = done(&stage, &[1], &format!("cluster backup --to {file}")).await?;
    ensure!(said.contains(&old) && said.contains("h1, h2, h3"), "{said}");
    let (code, text) =
        typed(&stage, &[0], &format!("cluster recover --from {file} --lost h1 h2 h3 --reason x --yes"))
            .await?;
    ensure!(code == 5 && text.contains("holds its log"), "{code}: {text}");

    for number in 0..3 {
        stage.fleet.lose(number)?;
    }
    // With empty disks they know of nothing, and form a cluster as they did at first.
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let empty = show(&stage, 0).await?.cluster;
    ensure!(empty != old);
    // As if a recovery had been cut off half way: nothing is promised by a cluster that is about to be no more, and the same again does it.
    closed(&stage, &empty, &old).await?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let (code, text) = typed(&stage, &[0, 1, 2], &format!("push {source} --service web")).await?;
    ensure!(
        code == 5 && text.contains("gives way") && text.contains("cluster recover --from"),
        "{code}: {text}"
    );
    let said = done(
        &stage,
        &[0, 1, 2],
        &format!("cluster recover --from {file} --lost h1 h2 h3 --reason fire --yes"),
    )
    .await?;
    ensure!(said.contains("was rebuilt on"), "{said}");
    let new = goes_over(&stage, 0, &empty).await?;
    for number in [1, 2] {
        assert_eq!(goes_over(&stage, number, &empty).await?, new);
    }
    let release = first.release.context("a release")?.id;
    let three = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 3);
    stage.fleet.wait_for("all three have enrolled again", PATIENCE, three).await?;
    stage.all_on(&release).await?;
    assert_eq!(stage.answers().await?, vec![release; 3]);
    assert_eq!(stage.migrations_of("release-1"), 1, "what was migrated once is not migrated again");
    assert_eq!(stage.history_at(2).await?.len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_only_followed_brings_the_cluster_back_from_a_backup_and_serves_on() -> Result<()> {
    let (mut stage, first) = Stage::serving(6).await?;
    let voters = within("five of six hosts vote", async || {
        let shown = show(&stage, 0).await.ok()?;
        (shown.voters.len() == 5 && shown.learners.is_empty()).then_some(shown.voters)
    });
    let voters: Vec<String> = voters.await?.into_iter().map(|voter| voter.host).collect();
    let follower = (0..6).find(|number| !voters.contains(&stage.fleet.agents[*number].host));
    let follower = follower.context("a host that does not vote")?;
    let name = stage.fleet.agents[follower].host.clone();
    let old = show(&stage, follower).await?.cluster;
    let pid = service_pid(&stage.fleet.agents[follower])?;
    let file = stage.dir().join("fleet.backup").display().to_string();
    done(&stage, &[follower], &format!("cluster backup --to {file}")).await?;

    let lost: Vec<usize> = (0..6).filter(|number| *number != follower).collect();
    for number in &lost {
        stage.fleet.lose(*number)?;
    }
    let voters = voters.join(" ");
    // It holds nothing of the log itself.
    let (code, text) =
        typed(&stage, &[follower], &format!("cluster recover --lost {voters} --reason fire --yes")).await?;
    ensure!(code == 5 && text.contains("--from"), "{code}: {text}");
    let recover = format!("cluster recover --from {file} --lost {voters} --reason fire --yes");
    done(&stage, &[follower], &recover).await?;
    let new = goes_over(&stage, follower, &old).await?;
    assert_eq!(service_pid(&stage.fleet.agents[follower])?, pid, "{name} serves on");

    for number in &lost {
        stage.fleet.start(*number)?;
    }
    let release = first.release.context("a release")?.id;
    let six = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 6);
    stage.fleet.wait_for("the new machines have joined", PATIENCE, six).await?;
    stage.all_on(&release).await?;
    for number in 0..6 {
        assert_eq!(goes_over(&stage, number, &old).await?, new);
    }
    assert_eq!(service_pid(&stage.fleet.agents[follower])?, pid, "{name} was not touched");
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_forms_without_a_host_that_never_answers_and_that_host_joins_later() -> Result<()> {
    let mut stage = Stage::set(3).await?;
    stage.fleet.start(0)?;
    stage.fleet.start(1)?;
    let missing = within("an agent says whom it waits for, and what to type", async || {
        let (code, text) = typed(&stage, &[0], "status").await.ok()?;
        (code == 69 && text.contains("h3") && text.contains("cluster bootstrap --without")).then_some(())
    });
    missing.await?;
    let (code, text) = typed(&stage, &[0], "cluster bootstrap --without h1 --reason x --yes").await?;
    ensure!(code == 5, "{code}: {text}");
    done(&stage, &[0], "cluster bootstrap --without h3 --reason burned --yes").await?;
    let two = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 2);
    stage.fleet.wait_for("the two have formed a cluster", PATIENCE, two).await?;
    let first = stage.serve(&Recipe::good("release-1")).await?;
    let cluster = show(&stage, 0).await?.cluster;

    stage.fleet.start(2)?;
    let there = |status: &v1::StatusResponse| {
        host(status, "h3")
            .is_some_and(|host| host.availability() == v1::Availability::In && host.change.is_none())
    };
    stage.fleet.wait_for("h3 serves", PATIENCE, there).await?;
    assert_eq!(show(&stage, 2).await?.cluster, cluster, "there is no second one");
    assert_eq!(stage.answers().await?, vec![first.release.context("a release")?.id; 3]);
    assert_eq!(stage.migrations_of("release-1"), 1);
    let three =
        within("three hosts vote", async || (show(&stage, 2).await.ok()?.voters.len() == 3).then_some(()));
    three.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_rebuilt_and_lost_as_well_is_rebuilt_from_the_backup_of_the_first() -> Result<()> {
    let (mut stage, first) = Stage::serving(2).await?;
    let shown = show(&stage, 0).await?;
    let [voter] = &shown.voters[..] else { anyhow::bail!("one of two votes: {shown:?}") };
    let one = (0..2).find(|number| stage.fleet.agents[*number].host == voter.host).context("the voter")?;
    let (other, old) = (1 - one, shown.cluster.clone());
    let [one_name, other_name] = [one, other].map(|number| stage.fleet.agents[number].host.clone());
    let file = stage.dir().join("fleet.backup").display().to_string();
    done(&stage, &[one], &format!("cluster backup --to {file}")).await?;
    let recover = format!("cluster recover --from {file} --lost {one_name} --reason fire --yes");

    stage.fleet.lose(one)?;
    done(&stage, &[other], &recover).await?;
    let second = goes_over(&stage, other, &old).await?;
    stage.fleet.start(one)?;
    let two = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 2);
    stage.fleet.wait_for("both are in the second cluster", PATIENCE, two).await?;
    assert_eq!(goes_over(&stage, one, &old).await?, second);
    // The second one is what there is, as long as somebody holds its log.
    let (code, text) = typed(&stage, &[one], &recover).await?;
    ensure!(code == 5, "{code}: {text}");

    stage.fleet.lose(other)?;
    let without = format!("cluster recover --lost {other_name} --reason flood --yes");
    let (code, text) = typed(&stage, &[one], &without).await?;
    ensure!(code == 5 && text.contains("--from"), "{code}: {text}");
    done(&stage, &[one], &recover).await?;
    let third = goes_over(&stage, one, &second).await?;
    ensure!(third != old, "{third}");
    // It did not vote in the first one, so that only this says that its disk is gone.
    done(&stage, &[one], &format!("hosts remove {other_name} --reason flood --yes")).await?;
    stage.fleet.start(other)?;
    let release = first.release.context("a release")?.id;
    stage.fleet.wait_for("both are in the third cluster", PATIENCE, two).await?;
    stage.all_on(&release).await?;
    assert_eq!(goes_over(&stage, other, &second).await?, third);
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
}
