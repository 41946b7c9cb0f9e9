//! Hosts that leave and come, and the group that goes on whoever does.

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::{fleet::SERVICE, releases::Recipe};
use rustix::process::Signal;
use tests::{PATIENCE, Stage, by, client, done, hold, host, phase_of, policy, show, typed, web, within};
use tonic::Code;

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
    // A fleet that has just lost its leader has none for a moment, and says so.
    let what = format!("{host} can be removed");
    let answered = within(&what, async || {
        let mut client = client(stage.fleet.agents[at].address).await.ok()?;
        let answer = client.remove_host(request.clone()).await;
        let none_leads = answer.as_ref().is_err_and(|status| status.code() == Code::Unavailable);
        (!none_leads).then_some(answer)
    });
    answered.await??;
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

/// Waits until a host serves `release`, in service and with nothing under way, whatever the others do.
async fn serves(stage: &Stage, at: usize, name: &str, release: &str) -> Result<()> {
    let there = |status: &v1::StatusResponse| {
        host(status, name).is_some_and(|host| {
            host.current.as_ref().is_some_and(|current| current.id == release)
                && host.change.is_none()
                && host.availability() == v1::Availability::In
        })
    };
    stage.wait_at(at, &format!("{name} serves {release}"), there).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_leader_is_replaced_as_a_voter_once_its_host_is_removed_and_not_before() -> Result<()> {
    let (mut stage, follower) = five_of_six().await?;
    let leader = stage.leader().await?;
    let name = stage.fleet.agents[leader].host.clone();
    stage.fleet.lose(leader)?;
    let silent = |status: &v1::StatusResponse| {
        hold(status, "host_silent").is_some_and(|hold| hold.host.as_deref() == Some(&*name))
            || host(status, &name).is_some_and(|host| host.availability() == v1::Availability::Unknown)
    };
    stage.wait_at(follower, "the lost host is silent", silent).await?;
    let shown = show(&stage, follower).await?;
    assert!(shown.voters.iter().any(|voter| voter.host == name), "silence is no evidence: {shown:#?}");

    remove(&stage, follower, &name).await?;
    let now = voters(&stage, follower, 5, std::slice::from_ref(&name)).await?;
    ensure!(now.contains(&stage.fleet.agents[follower].host), "{now:?}");
    rolls(&mut stage, follower, "release-2").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_disk_was_emptied_is_another_host_and_takes_the_name_only_once_the_old_one_is_removed()
-> Result<()> {
    let (mut stage, first) = Stage::serving(5).await?;
    let release = first.release.context("a release")?.id;
    let before = show(&stage, 0).await?.voters;
    stage.fleet.lose(3)?;
    stage.fleet.start(3)?;
    let log = stage.fleet.agents[3].log.clone();
    let refused = within("the log says that the name is taken", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("the fleet does not take this host").then_some(())
    });
    refused.await?;
    remove(&stage, 0, "h4").await?;
    serves(&stage, 0, "h4", &release).await?;
    let now = within("five hosts vote, the new h4 among them", async || {
        let shown = show(&stage, 0).await.ok().filter(|shown| !shown.stale && shown.voters.len() == 5)?;
        let new = shown.voters.iter().any(|voter| voter.host == "h4" && !before.contains(voter));
        (new && shown.learners.is_empty()).then_some(shown.voters)
    });
    let now = now.await?;
    assert_eq!(now.iter().filter(|voter| before.contains(voter)).count(), 4, "{before:#?} {now:#?}");

    // The same machine under a new name, before the old one is removed: two hosts to the fleet.
    stage.fleet.lose(4)?;
    let renamed = stage.fleet.add()?;
    stage.fleet.start(renamed)?;
    serves(&stage, 0, "h6", &release).await?;
    remove(&stage, 0, "h5").await?;
    let now = voters(&stage, 0, 5, &["h5".into()]).await?;
    ensure!(now.contains(&"h6".to_owned()), "{now:?}");
    rolls(&mut stage, renamed, "release-2").await?;
    Ok(())
}

/// Takes a host out of service in order, ends it with its disk, and removes it.
async fn retire(stage: &mut Stage, at: usize, number: usize) -> Result<()> {
    let name = stage.fleet.agents[number].host.clone();
    let ask = v1::HostRequest { service: SERVICE.into(), host: name.clone(), by: by("it is replaced") };
    client(stage.fleet.agents[at].address).await?.drain_host(ask).await?;
    let parked = |status: &v1::StatusResponse| phase_of(status, &name) == v1::HostPhase::Parked;
    stage.wait_at(at, &format!("{name} is out of service"), parked).await?;
    let what = format!("{name} votes no more");
    let passed = within(&what, async || {
        let shown = show(stage, at).await.ok().filter(|shown| !shown.stale)?;
        (!shown.voters.iter().any(|voter| voter.host == name)).then_some(())
    });
    passed.await?;
    stage.fleet.lose(number)?;
    remove(stage, at, &name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_are_replaced_one_by_one_while_rollouts_go_on() -> Result<()> {
    let (mut stage, first) = Stage::serving(5).await?;
    let load = stage.load()?;
    let mut release = first.release.context("a release")?.id;
    let mut rollouts = vec![first.rollout];
    for number in 0..5 {
        let joiner = stage.fleet.add()?;
        stage.fleet.start(joiner)?;
        let name = stage.fleet.agents[joiner].host.clone();
        let listed = |status: &v1::StatusResponse| host(status, &name).is_some();
        stage.wait_at(joiner, "the new host has enrolled", listed).await?;
        // A push while the host joins, and the old one leaves in the middle of it.
        // The last one waits for its slot, long after its vote was passed on to the new one: it follows by then, though all that it began
        // with are gone.
        let mut recipe = Recipe::good(&format!("release-{}", number + 2));
        if number == 4 {
            recipe.start_ms = 3_000;
        }
        let source = stage.release(&recipe)?;
        let push = stage.push_at(joiner, &source, Some(policy())).await??;
        serves(&stage, joiner, &name, &push.release.clone().context("a release")?.id).await?;
        retire(&mut stage, joiner, number).await?;
        let gone: Vec<usize> = (0..=number).collect();
        let ended = stage.watch_without(&push, &gone).ended().await?;
        ensure!((ended.outcome(), ended.exit_code) == (v1::Outcome::Completed, 0), "{ended:#?}");
        release = push.release.context("a release")?.id;
        rollouts.push(push.rollout);
    }
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));

    let originals: Vec<String> = (1..=5).map(|number| format!("h{number}")).collect();
    let now = voters(&stage, 9, 5, &originals).await?;
    assert_eq!(now.len(), 5, "{now:?}");
    let status = stage.all_on(&release).await?;
    let web = web(&status).context("the service")?;
    let hosts: Vec<&str> = web.hosts.iter().map(|host| &*host.host).collect();
    assert_eq!(hosts, ["h10", "h6", "h7", "h8", "h9"], "no host of the first five is left");
    let history: Vec<u64> = stage.history_at(9).await?.iter().rev().map(|rollout| rollout.id).collect();
    assert_eq!(history, rollouts, "every rollout is remembered, in order");
    let same = within("all tell the same story", async || {
        let (events, others) = (stage.events_at(9).await.ok()?, stage.events_at(5).await.ok()?);
        (events == others).then_some(events)
    });
    let events = same.await?;
    for kind in ["rollout_began", "rollout_ended"] {
        assert_eq!(events.iter().filter(|event| event.kind == kind).count(), 6, "{kind} of each rollout");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_alone_rolls_survives_its_agent_and_hands_everything_to_another() -> Result<()> {
    let (mut stage, _) = Stage::serving(1).await?;
    let pids = stage.pids().await?;
    stage.fleet.kill(0)?;
    stage.fleet.start(0)?;
    assert_eq!(stage.pids().await?, pids);
    let release = rolls(&mut stage, 0, "release-2").await?;

    let other = stage.fleet.add()?;
    stage.fleet.start(other)?;
    serves(&stage, other, "h2", &release).await?;
    assert_eq!(voters(&stage, other, 1, &[]).await?, ["h1"], "two hosts have one voter");
    retire(&mut stage, other, 0).await?;
    assert_eq!(voters(&stage, other, 1, &[]).await?, ["h2"]);
    rolls(&mut stage, other, "release-3").await?;
    assert_eq!(stage.history_at(other).await?.len(), 3);
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
