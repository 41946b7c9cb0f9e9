//! Clusters that lost every disk of a voter, and are rebuilt on an operator's word from a backup.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use api::v1::{self, agent_client::AgentClient};
use demo::releases::Recipe;
use rustix::process::Signal;
use tests::{PATIENCE, Stage, done, goes_over, service_pid, show, typed, web, within};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_empty_disks_that_lost_its_majority_is_rebuilt_first_and_gives_way_then() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let old = show(&stage, 0).await?.cluster;
    let file = stage.dir().join("fleet.backup").display().to_string();
    done(&stage, &[0], &format!("cluster backup --to {file}")).await?;
    for number in 0..3 {
        stage.fleet.lose(number)?;
    }
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    // Its leader is lost, so that nobody is left who may have taken a proposal and cannot tell what became of it.
    let gone = stage.leader().await?;
    let also = stage.other_than(&[gone])?;
    let left = stage.other_than(&[gone, also])?;
    let empty = show(&stage, left).await?.cluster;
    for number in [gone, also] {
        stage.fleet.lose(number)?;
    }
    let restore = format!("cluster recover --from {file} --lost h1 h2 h3 --reason fire --yes");
    let (code, text) = typed(&stage, &[left], &restore).await?;
    ensure!(
        code == 69 && text.contains("no majority") && text.contains("cluster recover --lost HOST"),
        "{code}: {text}"
    );
    assert_eq!(show(&stage, left).await?.cluster, empty, "nothing was rebuilt by that");

    let named = names(&stage, [gone, also]);
    done(&stage, &[left], &format!("cluster recover --lost {named} --reason flood --yes")).await?;
    let kept = goes_over(&stage, left, &empty).await?;
    done(&stage, &[left], &restore).await?;
    let new = goes_over(&stage, left, &kept).await?;
    ensure!(![&old, &empty].contains(&&new), "{new}");
    for number in [gone, also] {
        stage.fleet.start(number)?;
    }
    let three = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 3);
    stage.fleet.wait_for("all three have enrolled again", PATIENCE, three).await?;
    stage.all_on(&first.release.context("a release")?.id).await?;
    assert_eq!(goes_over(&stage, gone, &empty).await?, new);
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
}

/// Waits until five of the hosts vote, and returns the numbers of these and of the others.
async fn five_vote(stage: &Stage, at: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    let shown = within("five hosts vote, and nobody is about to", async || {
        let shown = show(stage, at).await.ok()?;
        (shown.voters.len() == 5 && shown.learners.is_empty() && !shown.stale).then_some(shown.voters)
    });
    let names: Vec<String> = shown.await?.into_iter().map(|voter| voter.host).collect();
    let votes = |number: &usize| names.contains(&stage.fleet.agents[*number].host);
    Ok((0..stage.fleet.agents.len()).partition(votes))
}

fn names(stage: &Stage, numbers: impl IntoIterator<Item = usize>) -> String {
    let names: BTreeSet<&str> =
        numbers.into_iter().map(|number| stage.fleet.agents[number].host.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_only_followed_bring_the_cluster_back_from_a_backup_and_do_so_again() -> Result<()> {
    let (mut stage, first) = Stage::serving(7).await?;
    let (lost, left) = five_vote(&stage, 0).await?;
    let (one, other) = (left[0], left[1]);
    let old = show(&stage, one).await?.cluster;
    let pids = [service_pid(&stage.fleet.agents[one])?, service_pid(&stage.fleet.agents[other])?];
    let file = stage.dir().join("fleet.backup").display().to_string();
    done(&stage, &[one], &format!("cluster backup --to {file}")).await?;

    // Its agent is away until others vote in the new cluster, so that it only follows there as well.
    stage.fleet.kill(other)?;
    for number in &lost {
        stage.fleet.lose(*number)?;
    }
    let voted = names(&stage, lost.clone());
    // They hold nothing of the log themselves.
    let (code, text) =
        typed(&stage, &[one], &format!("cluster recover --lost {voted} --reason fire --yes")).await?;
    ensure!(code == 5 && text.contains("--from"), "{code}: {text}");
    done(&stage, &[one], &format!("cluster recover --from {file} --lost {voted} --reason fire --yes"))
        .await?;
    let new = goes_over(&stage, one, &old).await?;

    for number in &lost {
        stage.fleet.start(*number)?;
    }
    five_vote(&stage, one).await?;
    stage.fleet.start(other)?;
    assert_eq!(goes_over(&stage, other, &old).await?, new);
    let release = first.release.context("a release")?.id;
    let seven = |status: &v1::StatusResponse| web(status).is_some_and(|web| web.hosts.len() == 7);
    stage.fleet.wait_for("the new machines have joined", PATIENCE, seven).await?;
    stage.all_on(&release).await?;
    for number in &lost {
        assert_eq!(goes_over(&stage, *number, &old).await?, new);
    }
    let now = [service_pid(&stage.fleet.agents[one])?, service_pid(&stage.fleet.agents[other])?];
    assert_eq!(now, pids, "they serve on");
    assert_eq!(stage.migrations_of("release-1"), 1);

    // That one is lost as well, and two are left again that only followed: each knows from the other what it knows itself.
    let (voters, left) = five_vote(&stage, one).await?;
    let asked: Vec<usize> = left.iter().copied().filter(|number| *number != other).collect();
    ensure!(asked.len() == 1, "h{} is to follow: {left:?}", other + 1);
    for number in &voters {
        stage.fleet.lose(*number)?;
    }
    let (code, text) =
        typed(&stage, &asked, &format!("cluster recover --from {file} --lost {voted} --reason flood --yes"))
            .await?;
    ensure!(
        code == 5 && text.contains("no answer from"),
        "what votes now is to be named as well: {code}: {text}"
    );
    let named = names(&stage, lost.iter().chain(&voters).copied());
    done(&stage, &asked, &format!("cluster recover --from {file} --lost {named} --reason flood --yes"))
        .await?;
    let third = goes_over(&stage, asked[0], &new).await?;
    assert_eq!(goes_over(&stage, other, &new).await?, third);
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
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

    // The voter of the second one is only cut off, for all that can be heard here: it is not lost because nobody hears of it.
    stage.fleet.signal(other, Signal::STOP)?;
    let (code, text) = typed(&stage, &[one], &recover).await?;
    ensure!(code == 5 && text.contains(&format!("no answer from {other_name}")), "{code}: {text}");
    stage.fleet.signal(other, Signal::CONT)?;
    assert_eq!(show(&stage, one).await?.cluster, second);

    stage.fleet.lose(other)?;
    let without = format!("cluster recover --lost {other_name} --reason flood --yes");
    let (code, text) = typed(&stage, &[one], &without).await?;
    ensure!(code == 5 && text.contains("--from"), "{code}: {text}");
    let recover =
        format!("cluster recover --from {file} --lost {one_name} {other_name} --reason flood --yes");
    done(&stage, &[one], &recover).await?;
    let third = goes_over(&stage, one, &second).await?;
    ensure!(third != old, "{third}");
    stage.fleet.start(other)?;
    let release = first.release.context("a release")?.id;
    stage.fleet.wait_for("both are in the third cluster", PATIENCE, two).await?;
    stage.all_on(&release).await?;
    assert_eq!(goes_over(&stage, other, &second).await?, third);
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
}
