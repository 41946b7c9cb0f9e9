//! Hosts that leave and come, and the group that goes on whoever does.

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::releases::Recipe;
use rustix::process::Signal;
use tests::{PATIENCE, Stage, by, client, host, policy, within};

/// The cluster as one agent shows it.
async fn show(stage: &Stage, number: usize) -> Result<v1::ClusterShowResponse> {
    let mut client = client(stage.fleet.agents[number].address).await?;
    Ok(client.cluster_show(v1::ClusterShowRequest {}).await?.into_inner())
}

/// Waits until the group has so many voters, none of them on these hosts, and nobody else; returns their hosts.
async fn voters(stage: &Stage, at: usize, count: usize, none_of: &[String]) -> Result<Vec<String>> {
    let what = format!("{count} hosts vote, none of {none_of:?}");
    let settled = within(&what, async || {
        let shown = show(stage, at).await.ok().filter(|shown| !shown.stale)?;
        let hosts: Vec<String> = shown.voters.iter().map(|voter| voter.host.clone()).collect();
        let right = hosts.len() == count && !hosts.iter().any(|host| none_of.contains(host));
        (right && shown.learners.is_empty()).then_some(hosts)
    });
    match settled.await {
        Ok(hosts) => Ok(hosts),
        Err(error) => Err(error.context(format!("it shows {:#?}", show(stage, at).await))),
    }
}

async fn remove(stage: &Stage, at: usize, host: &str) -> Result<()> {
    let request = v1::RemoveHostRequest { host: host.into(), by: by("its machine is gone") };
    client(stage.fleet.agents[at].address).await?.remove_host(request).await?;
    Ok(())
}

/// Pushes a release through one agent, and waits until every host that is left runs it.
async fn rolls(stage: &mut Stage, at: usize, name: &str) -> Result<String> {
    let source = stage.release(&Recipe::good(name))?;
    let push = stage.push_at(at, &source, Some(policy())).await??;
    let ended = stage.watch(&push).ended().await?;
    ensure!(ended.exit_code == 0, "{name} ended with {ended:#?}");
    let release = push.release.context("a release")?.id;
    stage.all_on(&release).await?;
    Ok(release)
}

/// A fleet of six, of which five vote; and the number of the one that does not.
async fn five_of_six() -> Result<(Stage, usize)> {
    let (stage, _) = Stage::serving(6).await?;
    let voters = voters(&stage, 0, 5, &[]).await?;
    let follower = (0..6).find(|number| !voters.contains(&stage.fleet.agents[*number].host));
    Ok((stage, follower.context("a host that does not vote")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_removed_while_it_was_away_comes_back_as_any_other_host() -> Result<()> {
    let (mut stage, follower) = five_of_six().await?;
    let pids = stage.pids().await?;
    let leader = stage.leader().await?;
    let away = stage.other_than(&[follower, leader])?;
    let name = stage.fleet.agents[away].host.clone();
    stage.fleet.signal(away, Signal::STOP)?;
    remove(&stage, follower, &name).await?;
    let voters = voters(&stage, follower, 5, std::slice::from_ref(&name)).await?;
    ensure!(voters.contains(&stage.fleet.agents[follower].host), "{voters:?}");

    // Nobody tells it that it votes no more, and by what it knows it has a leader.
    stage.fleet.signal(away, Signal::CONT)?;
    let back = |status: &v1::StatusResponse| host(status, &name).is_some_and(|host| host.current.is_some());
    stage.fleet.wait_for("the host is back", PATIENCE, back).await?;
    assert_eq!(stage.pids().await?, pids, "what it served, it serves");
    let release = rolls(&mut stage, away, "release-2").await?;
    let status = stage.wait_at(away, "it gives a fresh status", |status| !status.stale).await?;
    let runs = host(&status, &name).and_then(|host| host.current.clone()).context("what it runs")?;
    assert_eq!(runs.id, release);
    assert_eq!(
        stage.events_at(away).await?,
        stage.events_at(follower).await?,
        "it knows what all others know"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_knows_only_a_follower_joins_through_it() -> Result<()> {
    let (mut stage, follower) = five_of_six().await?;
    let joiner = stage.fleet.add_knowing(&[follower])?;
    stage.fleet.start(joiner)?;
    let name = stage.fleet.agents[joiner].host.clone();
    let there = |status: &v1::StatusResponse| {
        host(status, &name).is_some_and(|host| {
            host.current.is_some() && host.change.is_none() && host.availability() == v1::Availability::In
        })
    };
    stage.fleet.wait_for("the joiner serves", PATIENCE, there).await?;
    stage.wait_at(joiner, "the joiner gives a fresh status", |status| !status.stale).await?;
    Ok(())
}
