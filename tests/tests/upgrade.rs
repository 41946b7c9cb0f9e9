//! The fleet's own agents are replaced by those of a newer release, one after the other, while they work.
//!
//! The newer release is this one, built to support one fleet level more: at that level an enrolment is told in each service too.

use std::fs;

use anyhow::{Context, Result, ensure};
use api::v1;
use demo::{
    fleet::{Agent, SERVICE},
    programs::next_agent,
    releases::Recipe,
};
use rustix::process::Pid;
use tests::{Stage, by, client, host, keeper_of, phase_of, policy, service_pid, within};

async fn show(stage: &Stage, number: usize) -> Result<v1::ClusterShowResponse> {
    let mut client = client(stage.fleet.agents[number].address).await?;
    Ok(client.cluster_show(v1::ClusterShowRequest {}).await?.into_inner())
}

/// Stops an agent, and starts the newer one in its place, as the system would. Waits until the fleet knows.
async fn upgrade(stage: &mut Stage, number: usize) -> Result<()> {
    stage.fleet.stop(number).await?;
    stage.fleet.agents[number].program = Some(next_agent()?);
    stage.fleet.start(number)?;
    is_back(stage, number).await
}

async fn is_back(stage: &Stage, number: usize) -> Result<()> {
    let name = &stage.fleet.agents[number].host;
    let what = format!("the fleet knows the newer agent of {name}");
    let known = within(&what, async || {
        let shown = show(stage, number).await.ok().filter(|shown| !shown.stale)?;
        shown.hosts.iter().any(|host| host.host == *name && host.level == 2).then_some(())
    });
    known.await
}

/// How often an enrolment was told in the service: never, as long as the newer behaviour is off.
async fn told_in_service(stage: &Stage, number: usize) -> Result<usize> {
    let events = stage.events_at(number).await?;
    Ok(events.iter().filter(|event| event.kind == "enrolled" && event.service.is_some()).count())
}

/// What runs on every host besides its agent.
fn processes(stage: &Stage) -> Result<Vec<(Pid, u32)>> {
    let of = |agent: &Agent| Ok((keeper_of(agent)?, service_pid(agent)?));
    stage.fleet.agents.iter().map(of).collect()
}

async fn rolls(stage: &mut Stage, push: &v1::PushResponse) -> Result<()> {
    let ended = stage.watch(push).ended().await?;
    ensure!(ended.exit_code == 0, "it ended with {ended:#?}");
    stage.all_on(&push.release.as_ref().context("a release")?.id).await.map(drop)
}

/// Takes a host out of service in order, does something to its agent, and takes it in again.
async fn drained_and_upgraded(stage: &mut Stage, number: usize) -> Result<()> {
    let name = stage.fleet.agents[number].host.clone();
    let other = stage.other_than(&[number])?;
    let ask =
        || v1::HostRequest { service: SERVICE.into(), host: name.clone(), by: by("its agent is replaced") };
    client(stage.fleet.agents[other].address).await?.drain_host(ask()).await?;
    let parked = |status: &v1::StatusResponse| phase_of(status, &name) == v1::HostPhase::Parked;
    stage.wait_at(other, &format!("{name} is out of service"), parked).await?;
    upgrade(stage, number).await?;
    client(stage.fleet.agents[number].address).await?.admit_host(ask()).await?;
    let serves = |status: &v1::StatusResponse| {
        host(status, &name)
            .is_some_and(|host| host.change.is_none() && host.availability() == v1::Availability::In)
    };
    stage.wait_at(other, &format!("{name} is in service again"), serves).await.map(drop)
}

/// Starts the older agent on a host, and waits until it has ended by itself. Returns what it wrote.
async fn old_one_ends(stage: &mut Stage, number: usize) -> Result<String> {
    let log = stage.fleet.agents[number].log.clone();
    let before = std::fs::read_to_string(&log).unwrap_or_default().len();
    stage.fleet.agents[number].program = None;
    stage.fleet.start(number)?;
    let status = within("the older agent ends", async || stage.fleet.take_ended(number)).await?;
    ensure!(!status.success(), "it ended with {status}");
    Ok(std::fs::read_to_string(&log)?.split_off(before))
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_two_releases_work_together_and_the_newer_behaviour_begins_once_all_know_it() -> Result<()>
{
    let (mut stage, _) = Stage::serving(5).await?;
    let load = stage.load()?;
    let before = processes(&stage)?;
    upgrade(&mut stage, 0).await?;
    assert_eq!(processes(&stage)?, before, "an agent that is replaced disturbs nothing");

    // In the middle of a rollout, the host that is just changing: the newer agent goes on with its step, and with the older one's keeper.
    let slow = Recipe { start_ms: 1200, ..Recipe::good("release-2") };
    let push = stage.push(&stage.release(&slow)?, policy()).await?;
    let mut watch = stage.watch(&push);
    let holder = watch.until_phase(v1::HostPhase::Probing).await?;
    let second = stage.number(&holder)?;
    upgrade(&mut stage, if second == 0 { 1 } else { second }).await?;
    rolls(&mut stage, &push).await?;

    let rest: Vec<usize> = (0..5).filter(|number| stage.fleet.agents[*number].program.is_none()).collect();
    let [one, other, last] = rest[..] else { panic!("three are left: {rest:?}") };
    let before = processes(&stage)?;
    upgrade(&mut stage, one).await?;
    assert_eq!(processes(&stage)?, before);
    drained_and_upgraded(&mut stage, other).await?;
    let before = processes(&stage)?;
    for number in 0..5 {
        assert_eq!(show(&stage, number).await?.fleet_level, 1, "{last} does not know more yet");
        assert_eq!(told_in_service(&stage, number).await?, 0, "the newer behaviour is off");
    }
    upgrade(&mut stage, last).await?;
    let raised = |shown: &v1::ClusterShowResponse| shown.fleet_level == 2;
    within("the level is raised", async || show(&stage, 0).await.ok().filter(raised)).await?;
    stage.fleet.stop(last).await?;
    stage.fleet.start(last)?;
    within("the newer behaviour is on", async || (told_in_service(&stage, 0).await.ok()? == 1).then_some(()))
        .await?;
    assert_eq!(processes(&stage)?, before);

    // Keepers that the older agents started do as the newer ones say.
    let push = stage.push(&stage.release(&Recipe::good("release-3"))?, policy()).await?;
    rolls(&mut stage, &push).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(0 < totals.requests, "there was no load");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_agent_ends_with_what_to_do_and_disturbs_nothing_once_the_fleet_has_moved_on() -> Result<()>
{
    let (mut stage, first) = Stage::serving(3).await?;
    let before = processes(&stage)?;
    for number in 0..3 {
        upgrade(&mut stage, number).await?;
    }
    let raised = |shown: &v1::ClusterShowResponse| shown.fleet_level == 2;
    within("the level is raised", async || show(&stage, 0).await.ok().filter(raised)).await?;

    let words = "this agent knows fleet level 1, the cluster is at 2: install the release of deployinatord";
    stage.fleet.stop(0).await?;
    for _ in 0..2 {
        let log = old_one_ends(&mut stage, 0).await?;
        ensure!(log.contains(words) && !log.contains("panicked"), "{log}");
    }
    assert_eq!(processes(&stage)?, before, "the service runs on");
    let joiner = stage.fleet.add()?;
    let log = old_one_ends(&mut stage, joiner).await?;
    ensure!(log.contains(words) && !log.contains("panicked"), "a newcomer: {log}");

    for number in [0, joiner] {
        stage.fleet.agents[number].program = Some(next_agent()?);
        stage.fleet.start(number)?;
        is_back(&stage, number).await?;
    }
    stage.all_on(&first.release.context("a release")?.id).await?;
    assert_eq!(processes(&stage)?[..3], before[..]);
    let same = within("it knows what the others know", async || {
        let (mine, theirs) = (stage.events_at(0).await.ok()?, stage.events_at(1).await.ok()?);
        (mine == theirs).then_some(())
    });
    same.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_file_is_gone_starts_a_keeper_of_itself() -> Result<()> {
    // By itself in a folder: there is no smaller keeper beside it.
    let mut stage = Stage::set(1).await?;
    let program = stage.dir().join("alone/deployinatord");
    fs::create_dir_all(stage.dir().join("alone"))?;
    fs::copy(stage.agent_program(), &program)?;
    stage.fleet.agents[0].program = Some(program.clone());
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let keeper = async |stage: &Stage, but: Option<Pid>| {
        let found = async || keeper_of(&stage.fleet.agents[0]).ok().filter(|found| Some(*found) != but);
        within("the host has a keeper", found).await
    };
    let first = keeper(&stage, None).await?;

    fs::remove_file(&program)?;
    rustix::process::kill_process(first, rustix::process::Signal::KILL)?;
    stage.serve(&Recipe::good("release-1")).await?;
    let second = keeper(&stage, Some(first)).await?;
    let runs = fs::read_link(format!("/proc/{}/exe", second.as_raw_nonzero()))?;
    assert_eq!(runs.to_str(), Some(&*format!("{} (deleted)", program.display())));
    Ok(())
}
