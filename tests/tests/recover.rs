//! Clusters that lost their majority, and are rebuilt on an operator's word from what is left.

use anyhow::{Context, Result, ensure};
use api::v1::{self, HostPhase, agent_client::AgentClient};
use demo::releases::Recipe;
use tests::{PATIENCE, Stage, done, goes_over, host, policy, service_pid, show, typed, within};

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
    // Whoever follows hears of the last ones a little later.
    within("all tell the same story", async || {
        let (one, other) = (stage.events_at(back).await.ok()?, stage.events_at(left[0]).await.ok()?);
        (one == other).then_some(())
    })
    .await?;
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
