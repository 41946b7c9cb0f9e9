//! A fleet that is pushed to by what CI leaves somewhere.

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::{
    fleet::SERVICE,
    releases::{Bad, Recipe},
};
use tests::{PATIENCE, Stage, Web, by, client, policy, web, within};

/// Three hosts that follow `url`, formed, with the policy of the tests.
async fn following(url: &str) -> Result<Stage> {
    let mut stage =
        Stage::set_with(3, &format!("channel = {{ url = \"{url}\", poll = \"200ms\" }}\n")).await?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let request =
        v1::SetPolicyRequest { service: SERVICE.into(), by: by("shorter waits"), policy: Some(policy()) };
    within("a host has declared the service", async || {
        client(stage.fleet.agents[0].address).await.ok()?.set_policy(request.clone()).await.ok()
    })
    .await?;
    Ok(stage)
}

/// Waits until the newest of `count` rollouts is over, and all hosts are in service.
async fn rolled_out(stage: &mut Stage, count: usize) -> Result<v1::Rollout> {
    let what = format!("rollout {count} is over");
    let newest = within(&what, async || {
        let all = stage.history_at(0).await.ok()?;
        let newest = all.first().filter(|newest| all.len() == count && newest.ended_ms.is_some())?;
        Some(newest.clone())
    });
    let newest = newest.await?;
    let release = newest.target.clone().context("a target")?.id;
    stage.all_on(&release).await?;
    Ok(newest)
}

fn channel(status: &v1::StatusResponse) -> Option<&v1::Channel> {
    web(status)?.channel.as_ref()
}

/// How often the agents have logged this.
fn logged(stage: &Stage, words: &str) -> usize {
    let logs = stage.fleet.agents.iter().filter_map(|agent| std::fs::read_to_string(&agent.log).ok());
    logs.map(|log| log.matches(words).count()).sum()
}

async fn refusals(stage: &Stage) -> Result<Vec<String>> {
    let events = stage.events_at(0).await?;
    Ok(events.into_iter().filter(|event| event.kind == "channel_refused").map(|event| event.text).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_a_channel_is_rolled_out_once_whoever_leads_and_whatever_is_asked_since() -> Result<()>
{
    let pointer = Web::start().await?;
    let mut stage = following(&pointer.url()).await?;
    pointer.looked(2).await?;
    let first = stage.release(&Recipe::good("release-1"))?;
    pointer.say(&format!("{first}\n"));
    rolled_out(&mut stage, 1).await?;

    let second = stage.release(&Recipe::good("release-2"))?;
    pointer.say(&format!(
        r#"{{"path": "{second}", "git_rev": "1a2b", "run": "https://ci/7", "author": "ann"}}"#
    ));
    let rollout = rolled_out(&mut stage, 2).await?;
    let from = rollout.provenance.context("where it comes from")?;
    assert_eq!([from.git_rev, from.ci_run, from.author], ["1a2b", "https://ci/7", "ann"]);
    assert_eq!(rollout.by.context("who asked")?.name, format!("channel {}", pointer.url()));
    let unchanged = pointer.unchanged();
    pointer.looked(3).await?;
    ensure!(unchanged < pointer.unchanged(), "it is asked by its tag");
    assert_eq!(stage.history_at(0).await?.len(), 2, "the same is nothing");

    // An operator takes it back, and is not fought.
    let back = v1::RollbackRequest { service: SERVICE.into(), by: by("it is slow") };
    client(stage.fleet.agents[1].address).await?.rollback(back).await?;
    rolled_out(&mut stage, 3).await?;
    pointer.looked(3).await?;
    assert_eq!(stage.history_at(0).await?.len(), 3);

    // Nor by another leader, nor after all agents were started again: each new leader looks at once, and reads all of it.
    let leader = stage.fleet.status().await?.leader.context("a leader")?;
    let leader = stage.number(&leader)?;
    stage.fleet.kill(leader)?;
    pointer.looked(3).await?;
    stage.fleet.start(leader)?;
    for number in 0..3 {
        let ended = stage.fleet.stop(number).await?;
        ensure!(ended.success(), "whoever reads a channel stops when it is told to: {ended}");
    }
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    pointer.looked(3).await?;
    assert_eq!(stage.history_at(0).await?.len(), 3, "what was read before is not new");

    // What is new is.
    let third = stage.release(&Recipe::good("release-3"))?;
    pointer.say(&third);
    let rollout = rolled_out(&mut stage, 4).await?;
    let status = stage.fleet.status().await?;
    let channel = channel(&status).context("the channel")?;
    assert_eq!(
        (channel.url.clone(), channel.release.clone()),
        (pointer.url(), rollout.target.map(|it| it.id))
    );
    assert_eq!((&channel.refused, &channel.trouble), (&None, &None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pushed_is_told_once_and_pushed_when_it_can_be() -> Result<()> {
    const NOT_PUSHED: &str = "what the channel says is not pushed";
    let pointer = Web::start().await?;
    let mut stage = following(&pointer.url()).await?;
    pointer.say("one\ntwo\n");
    pointer.looked(4).await?;
    let told = refusals(&stage).await?;
    ensure!(told.len() == 1 && told[0].contains("more than one line"), "{told:?}");
    assert_eq!(logged(&stage, NOT_PUSHED), 1);
    let status = stage.fleet.status().await?;
    let refused = channel(&status).and_then(|channel| channel.refused.clone());
    ensure!(refused.as_ref().is_some_and(|why| why.contains("more than one line")), "{refused:?}");

    // It is named before it is there.
    let ready = stage.release(&Recipe::good("release-1"))?;
    let later = stage.dir().join("later").display().to_string();
    pointer.say(&later);
    pointer.looked(4).await?;
    let told = refusals(&stage).await?;
    ensure!(told.len() == 2 && told[1].contains(&later), "{told:?}");
    std::fs::rename(&ready, &later)?;
    rolled_out(&mut stage, 1).await?;
    let status = stage.fleet.status().await?;
    assert_eq!(channel(&status).and_then(|channel| channel.refused.clone()), None);

    // What has failed is not tried again, however it is named.
    let bad = stage.release(&Recipe { bad: Some(Bad::Exit), ..Recipe::good("release-2") })?;
    pointer.say(&bad);
    within("the bad one is taken back", async || {
        let all = stage.history_at(0).await.ok()?;
        (all.len() == 3 && all.iter().all(|rollout| rollout.ended_ms.is_some())).then_some(())
    })
    .await?;
    pointer.looked(3).await?;
    assert_eq!(refusals(&stage).await?.len(), 2, "it was pushed: there is nothing to tell");
    pointer.say(&format!(r#"{{"path": "{bad}", "run": "https://ci/8"}}"#));
    pointer.looked(4).await?;
    let told = refusals(&stage).await?;
    ensure!(told.len() == 3 && told[2].contains("quarantined"), "{told:?}");
    assert_eq!(stage.history_at(0).await?.len(), 3);
    assert_eq!(logged(&stage, NOT_PUSHED), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_be_read_is_told_of_and_disturbs_nothing() -> Result<()> {
    let pointer = Web::start().await?;
    pointer.fail(true);
    let mut stage = following(&pointer.url()).await?;
    let in_trouble = |status: &v1::StatusResponse| {
        let trouble = channel(status).and_then(|channel| channel.trouble.as_deref());
        trouble.is_some_and(|why| why.contains("it answered 503"))
    };
    stage.fleet.wait_for("the status says that the channel cannot be read", PATIENCE, in_trouble).await?;
    pointer.looked(2).await?;
    let first = stage.serve(&Recipe::good("release-1")).await?;
    assert_eq!(logged(&stage, "the channel cannot be read"), 1, "it is told once");
    stage.all_on(&first.release.context("a release")?.id).await?;

    pointer.fail(false);
    let well = |status: &v1::StatusResponse| channel(status).is_some_and(|channel| channel.trouble.is_none());
    stage.fleet.wait_for("the status says that the channel can be read", PATIENCE, well).await?;
    assert_eq!(logged(&stage, "the channel can be read again"), 1);
    let second = stage.release(&Recipe::good("release-2"))?;
    pointer.say(&second);
    rolled_out(&mut stage, 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_comes_from_nothing_to_in_service_by_a_file_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("web");
    let line = format!("channel = {{ url = \"file:{}\", poll = \"200ms\" }}\n", file.display());
    let mut stage = Stage::set_with(3, &line).await?;
    let first = stage.release(&Recipe::good("release-1"))?;
    std::fs::write(&file, first)?;
    stage.fleet.start_all()?;
    let rollout = rolled_out(&mut stage, 1).await?;
    assert_eq!(rollout.parts.len(), 3, "all of them take part in it");
    assert_eq!(stage.migrations_of("release-1"), 1);
    Ok(())
}
