//! Pushes that meet other pushes, that are no releases, or that come by another door; and what operators do meanwhile.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use api::v1::{self, HostPhase, RolloutWord};
use demo::{
    fleet::SERVICE,
    releases::{Bad, Recipe},
};
use tests::{PATIENCE, Stage, by, client, exit_of, hold, next_of, policy, rollout_word, web};

fn id(push: &v1::PushResponse) -> Result<String> {
    Ok(push.release.clone().context("a release")?.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn pushing_the_target_again_joins_its_rollout_through_any_agent() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { start_ms: 500, ..Recipe::good("release-2") })?;
    let push = stage.push_at(2, &source, Some(policy())).await??;
    assert!(!push.joined && push.rollout != first.rollout, "{push:?}");
    let mut watch = stage.watch(&push);
    watch.until_phase(HostPhase::Probing).await?;
    for number in 0..3 {
        let again = stage.push_at(number, &source, None).await??;
        assert!(again.joined && again.rollout == push.rollout, "{again:?}");
    }
    let ended = watch.ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    stage.all_on(&id(&push)?).await?;
    let pids = stage.pids().await?;
    for number in 0..3 {
        let again = stage.push_at(number, &source, None).await??;
        assert!(again.joined && again.rollout == push.rollout, "after its end: {again:?}");
        let ended = stage.watch(&again).ended().await?;
        assert_eq!((ended.rollout, ended.exit_code), (push.rollout, 0), "{ended:#?}");
        assert_eq!(stage.history_at(number).await?.len(), 2, "no rollout was added");
    }
    assert_eq!(stage.pids().await?, pids);
    assert_eq!(stage.migrations_of("release-2"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_push_takes_the_place_of_one_under_way() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let load = stage.load()?;
    let second = stage.release(&Recipe { start_ms: 1000, ..Recipe::good("release-2") })?;
    let third = stage.release(&Recipe::good("release-3"))?;
    let old = stage.push(&second, policy()).await?;
    let mut old_watch = stage.watch(&old);
    let holder = old_watch.until_phase(HostPhase::Probing).await?;
    let new = stage.push(&third, policy()).await?;
    let ended = old_watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Superseded, 4), "{ended:#?}");
    assert_eq!(ended.superseded_by, Some(new.rollout));
    let mut watch = stage.watch(&new);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    let status = stage.all_on(&id(&new)?).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(
        web(&status).is_some_and(|web| web.quarantine.is_empty()),
        "a superseded release is not condemned"
    );
    let events = stage.events_at(0).await?;
    let granted = events.iter().filter(|event| event.rollout == Some(old.rollout) && event.kind == "granted");
    let granted: Vec<_> = granted.filter_map(|event| event.host.clone()).collect();
    assert_eq!(granted, [holder], "the host in mid-step finished, and no other one started");
    assert_eq!((stage.migrations_of("release-2"), stage.migrations_of("release-3")), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_during_a_roll_back_waits_for_its_end() -> Result<()> {
    let slow = Recipe { start_ms: 1500, ..Recipe::good("release-1") };
    let (mut stage, _) = Stage::serving_this(3, &slow).await?;
    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-2") })?;
    let good = stage.release(&Recipe::good("release-3"))?;
    let old = stage.push(&bad, policy()).await?;
    let mut old_watch = stage.watch(&old);
    old_watch.until("a host failed", |event| event.kind == "host_failed").await?;
    let new = stage.push(&good, policy()).await?;
    let waits = |status: &v1::StatusResponse| {
        web(status).and_then(|web| web.next.as_ref()).is_some_and(|next| next.id == new.rollout)
            && hold(status, "queued").is_some()
    };
    stage.fleet.wait_for("the push waits, and a hold says so", PATIENCE, waits).await?;
    let ended = old_watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::RolledBack, 1), "{ended:#?}");
    let mut watch = stage.watch(&new);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    stage.all_on(&id(&new)?).await?;
    let events = stage.events_at(1).await?;
    let rolled_back =
        events.iter().position(|event| event.rollout == Some(old.rollout) && event.kind == "rollout_ended");
    let began = events.iter().position(|event| event.rollout == Some(new.rollout) && event.kind == "granted");
    assert!(rolled_back.context("the end of the old one")? < began.context("a grant of the new one")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_release_is_refused_and_disturbs_nothing() -> Result<()> {
    let (mut stage, _) = Stage::serving(2).await?;
    let pids = stage.pids().await?;
    let place = stage.dir().join("pushed");
    let dir = |name: &str| -> Result<String> {
        fs::create_dir_all(place.join(name).join("bin"))?;
        Ok(place.join(name).display().to_string())
    };
    let (nothing, empty, plain) = (place.join("nothing").display().to_string(), dir("empty")?, dir("plain")?);
    fs::write(format!("{plain}/bin/serve"), "#!/bin/sh\n")?;
    let file = format!("{plain}/bin/serve");
    let cases = [
        (nothing.as_str(), nothing.as_str()),
        (&file, "directory"),
        (&empty, "bin/serve"),
        (&plain, "executable"),
        ("pushed/empty", "absolute"),
    ];
    for (source, word) in cases {
        let refusal = stage.push_at(1, source, None).await?.expect_err(source);
        assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
        let text = refusal.message();
        assert!(text.contains(word), "{source:?} is refused without {word:?}: {text}");
        assert!(next_of(&refusal).is_some_and(|next| next.contains("bin/serve")), "{refusal:?}");
    }
    let good = stage.release(&Recipe::good("release-2"))?;
    let request = v1::PushRequest {
        service: "api".into(),
        source: good,
        policy: None,
        by: by("a test"),
        provenance: None,
    };
    let refusal =
        client(stage.fleet.agents[0].address).await?.push(request).await.expect_err("no such service");
    assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
    assert!(
        refusal.message().contains("api") && refusal.message().contains(SERVICE),
        "it names those there are: {refusal:?}"
    );
    assert!(next_of(&refusal).is_some_and(|next| next.contains("declare")), "{refusal:?}");
    assert_eq!(stage.history_at(0).await?.len(), 1, "no rollout began");
    assert_eq!(stage.pids().await?, pids);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_follows_answers_every_call() -> Result<()> {
    let (mut stage, _) = Stage::serving(4).await?;
    let show = client(stage.fleet.agents[0].address)
        .await?
        .cluster_show(v1::ClusterShowRequest {})
        .await?
        .into_inner();
    let voters: BTreeSet<String> = show.voters.iter().map(|voter| voter.host.clone()).collect();
    assert_eq!(voters.len(), 3, "{show:#?}");
    let follower =
        stage.fleet.agents.iter().position(|agent| !voters.contains(&agent.host)).context("a follower")?;
    let member = stage.other_than(&[follower])?;
    let all: Vec<usize> = (0..4).filter(|number| *number != follower).collect();

    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push_at(follower, &source, Some(policy())).await??;
    let mut watch = stage.watch_without(&push, &all);
    let ended = watch.ended().await?;
    assert_eq!((ended.exit_code, watch.resumed), (0, 0), "{ended:#?}");
    stage.all_on(&id(&push)?).await?;

    let status = stage.fleet.status_of(follower).await?;
    assert!(!status.stale && web(&status).is_some_and(|web| web.hosts.len() == 4), "{status:#?}");
    assert_eq!(stage.history_at(follower).await?, stage.history_at(member).await?);
    assert_eq!(stage.events_at(follower).await?, stage.events_at(member).await?);
    let show = client(stage.fleet.agents[follower].address)
        .await?
        .cluster_show(v1::ClusterShowRequest {})
        .await?
        .into_inner();
    assert!(!show.stale && show.voters.len() == 3, "{show:#?}");
    let pause = v1::PauseRequest { service: SERVICE.into(), by: by("a test") };
    let refusal =
        client(stage.fleet.agents[follower].address).await?.pause(pause).await.expect_err("nothing to pause");
    assert_eq!(exit_of(&refusal), Some(5), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_goes_on_at_another_agent_misses_and_repeats_nothing() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { start_ms: 500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    let holder = watch.until_phase(HostPhase::Probing).await?;
    let watched = watch.address();
    let number = stage.fleet.agents.iter().position(|agent| agent.address == watched).context("the agent")?;
    eprintln!("{holder} is probed; the watched agent {number} dies");
    stage.fleet.kill(number)?;
    if stage.fleet.agents[number].host != holder {
        watch.until("a host settled", |event| event.kind == "host_settled").await?;
    }
    stage.fleet.start(number)?;
    let ended = watch.ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    assert_eq!(watch.gaps, 0);
    assert!(0 < watch.resumed);
    let (from, to) = (watch.events.first().context("events")?, watch.events.last().context("events")?);
    let place = |event: &v1::Event| event.cursor.map(|cursor| (cursor.revision, cursor.index));
    let all = stage.events_at(stage.other_than(&[number])?).await?;
    let between: Vec<_> =
        all.into_iter().filter(|event| (place(from)..=place(to)).contains(&place(event))).collect();
    assert_eq!(place(from).map(|(revision, _)| revision), Some(push.rollout), "it began with the push");
    assert_eq!(watch.events, between);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_goes_to_the_release_before() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    let request = v1::RollbackRequest { service: SERVICE.into(), by: by("release 2 is ugly") };
    let back = client(stage.fleet.agents[1].address).await?.rollback(request).await?.into_inner();
    let ended = stage.watch(&back).ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    let status = stage.all_on(&id(&first)?).await?;
    assert_eq!(stage.answers().await?, vec![id(&first)?; 3]);
    assert!(web(&status).is_some_and(|web| web.quarantine.is_empty()), "release 2 did not fail");
    let history = stage.history_at(2).await?;
    assert_eq!(history[0].kind(), v1::RolloutKind::Rollback, "{history:#?}");
    assert_eq!(stage.migrations_of("release-1"), 1, "a migration is not run again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_takes_changed_hosts_back() -> Result<()> {
    let (mut stage, first) = Stage::serving(3).await?;
    let load = stage.load()?;
    let source = stage.release(&Recipe { start_ms: 500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    watch.until("a host settled", |event| event.kind == "host_settled").await?;
    let abort = v1::AbortRequest { service: SERVICE.into(), by: by("changed my mind"), leave: false };
    client(stage.fleet.agents[2].address).await?.abort(abort).await?;
    // Who names no rollout while the fleet goes back means the one that was given up.
    let unnamed = v1::WatchRequest { service: SERVICE.into(), rollout: None, after: None };
    let mut unnamed = client(stage.fleet.agents[1].address).await?.watch(unnamed).await?.into_inner();
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Aborted, 1), "{ended:#?}");
    let mut last = None;
    while let Some(message) = unnamed.message().await? {
        last = message.item;
    }
    let Some(v1::watch_response::Item::Ended(seen)) = last else { anyhow::bail!("no end: {last:?}") };
    assert_eq!((seen.rollout, seen.outcome(), seen.exit_code), (push.rollout, v1::Outcome::Aborted, 1));
    let status = stage.all_on(&id(&first)?).await?;
    assert_eq!(stage.answers().await?, vec![id(&first)?; 3]);
    assert!(web(&status).is_some_and(|web| web.quarantine.is_empty()), "an aborted release is not condemned");
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rollout_starts_no_host_until_it_is_resumed() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { start_ms: 500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    watch.until_phase(HostPhase::Starting).await?;
    let pause = v1::PauseRequest { service: SERVICE.into(), by: by("lunch") };
    client(stage.fleet.agents[1].address).await?.pause(pause).await?;
    watch.until("the host in mid-step finished", |event| event.kind == "host_settled").await?;
    let waits = |status: &v1::StatusResponse| {
        hold(status, "paused")
            .is_some_and(|hold| hold.text.contains("test") && hold.ends_when.contains("resume"))
            && rollout_word(status) == Some(RolloutWord::Rolling)
            && web(status).is_some_and(|web| web.slots.as_ref().is_some_and(|slots| slots.holders.is_empty()))
    };
    let status = stage.fleet.wait_for("a hold says paused, and nobody has a slot", PATIENCE, waits).await?;
    let parts = &web(&status).and_then(|web| web.active.as_ref()).context("the rollout")?.parts;
    let changed = parts.iter().filter(|part| part.state() == v1::PartState::Changed).count();
    assert_eq!(changed, 1, "{parts:#?}");
    let resume = v1::ResumeRequest { service: SERVICE.into(), by: by("back") };
    client(stage.fleet.agents[0].address).await?.resume(resume).await?;
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    let paused = watch.events.iter().position(|event| event.kind == "paused").context("it was paused")?;
    let resumed = watch.events.iter().position(|event| event.kind == "resumed").context("it was resumed")?;
    let granted = watch.events[paused..resumed].iter().filter(|event| event.kind == "granted").count();
    assert_eq!(granted, 0, "{}", watch.seen());
    Ok(())
}
