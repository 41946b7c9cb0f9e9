//! Agents that are frozen for longer than every timeout, and thaw: no step is repeated or skipped, and a hold names the frozen host meanwhile.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::{Bad, Recipe};
use rustix::process::{Pid, Signal};
use tests::{
    Disturbed, Stage, answer, exit_of, keeper_of, policy, service_pids, signal as send, web, within,
};

/// Whether a hold says that this host is silent.
fn silent(status: &v1::StatusResponse, host: &str) -> bool {
    web(status).is_some_and(|web| {
        web.holds.iter().any(|hold| hold.name == "host_silent" && hold.host.as_deref() == Some(host))
    })
}

/// Pushes; freezes one agent while a host probes; looks on; thaws it, and waits for the promised end.
///
/// `who` chooses whom to freeze, by the holder and the leader.
async fn one_is_frozen(recipe: Recipe, who: fn(&Stage, usize, usize) -> Result<usize>) -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let leader = stage.leader().await?;
    // The deadline of the holder passes while it is frozen.
    let policy = v1::Policy { healthy_deadline_ms: Some(1500), ..policy() };
    let mut rollout = Disturbed::push(&mut stage, recipe, policy).await?;
    let holder = rollout.watch.until_phase(HostPhase::Probing).await?;
    let number = stage.number(&holder)?;
    let frozen = who(&stage, number, leader)?;
    stage.fleet.signal(frozen, Signal::STOP)?;
    let name = stage.fleet.agents[frozen].host.clone();
    let witness = stage.other_than(&[frozen])?;
    let named = |status: &v1::StatusResponse| !status.stale && silent(status, &name);
    let status = stage.wait_at(witness, "a hold names the frozen host", named).await?;
    assert_ne!(status.leader.as_deref(), Some(&*name), "the frozen one does not lead");
    let rollout_goes_on = web(&status).is_some_and(|web| web.active.is_some());
    assert!(rollout_goes_on, "the rollout ended without {name}: {status:#?}");
    stage.fleet.signal(frozen, Signal::CONT)?;
    // The watch hung at the frozen agent, perhaps; a new one misses nothing either.
    rollout.watch = stage.watch(&rollout.push);
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

fn slow() -> Recipe {
    Recipe { start_ms: 700, ..Recipe::good("release-2") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_replaced_and_steps_back_when_it_thaws() -> Result<()> {
    one_is_frozen(slow(), |_, _, leader| Ok(leader)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_holder_of_a_good_release_condemns_nothing_when_it_thaws() -> Result<()> {
    one_is_frozen(Recipe { start_ms: 700, ..Recipe::good("release-2") }, |_, holder, _| Ok(holder)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_holder_of_a_bad_release_reverts_when_it_thaws() -> Result<()> {
    one_is_frozen(Recipe { bad: Some(Bad::Health), ..Recipe::good("release-2") }, |_, holder, _| Ok(holder))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_voter_that_neither_leads_nor_holds_is_waited_for() -> Result<()> {
    one_is_frozen(slow(), |stage, holder, leader| stage.other_than(&[holder, leader])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_majority_is_named_and_goes_on_when_it_thaws() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    let holder = rollout.watch.until_phase(HostPhase::Probing).await?;
    let holder = stage.number(&holder)?;
    let frozen: Vec<usize> = (0..3).filter(|number| *number != holder).collect();
    for number in &frozen {
        stage.fleet.signal(*number, Signal::STOP)?;
    }
    // Its grant covers the whole of its change.
    let (ip, release) = (stage.fleet.agents[holder].address.ip(), rollout.release()?);
    within("the holder has finished alone", async || answer(ip).await.ok().filter(|now| *now == release))
        .await?;
    let names: Vec<&str> = frozen.iter().map(|number| &*stage.fleet.agents[*number].host).collect();
    let all = |status: &v1::StatusResponse| {
        status.stale && names.iter().all(|name| status.missing.iter().any(|missing| missing == name))
    };
    let status = stage.wait_at(holder, "the status names the two that are frozen", all).await?;
    assert!(names.iter().all(|name| status.stale_reason.contains(name)), "{status:#?}");
    let source = stage.release(&Recipe::good("release-3"))?;
    let refusal = stage.push_at(holder, &source, Some(policy())).await?.expect_err("there is no majority");
    assert_eq!(exit_of(&refusal), Some(69), "{refusal:?}");
    assert!(names.iter().all(|name| refusal.message().contains(name)), "{refusal:?}");
    for number in frozen {
        stage.fleet.signal(number, Signal::CONT)?;
    }
    rollout.watch = stage.watch(&rollout.push);
    let events = rollout.ends_as_promised(&mut stage).await.context("after the thaw")?;
    assert!(!events.is_empty());
    Ok(())
}

/// Stops or continues all of a host: its agent, its keeper and its service.
fn all_of(stage: &mut Stage, number: usize, signal: Signal) -> Result<()> {
    stage.fleet.signal(number, signal)?;
    let agent = &stage.fleet.agents[number];
    let services = service_pids(agent).into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed()));
    std::iter::once(keeper_of(agent)?).chain(services).try_for_each(|pid| send(pid, signal))
}

/// Freezes the whole host that changes, as a hypervisor does, for longer than its deadline.
async fn a_whole_host_is_frozen(phase: HostPhase, policy: v1::Policy) -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let source = stage.release(&Recipe { start_ms: 1_500, ..Recipe::good("release-2") })?;
    let push = stage.push(&source, policy).await?;
    let holder = stage.watch(&push).until_phase(phase).await?;
    let number = stage.number(&holder)?;
    all_of(&mut stage, number, Signal::STOP)?;
    let witness = stage.other_than(&[number])?;
    let named = |status: &v1::StatusResponse| !status.stale && silent(status, &holder);
    stage.wait_at(witness, "a hold names the frozen host", named).await?;
    // How long it is frozen, and no wait for anything.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    all_of(&mut stage, number, Signal::CONT)?;
    let mut watch = stage.watch(&push);
    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    let failed = watch.events.iter().find(|event| event.kind == "host_failed");
    assert!(failed.is_none(), "{failed:#?}");
    stage.all_on(&push.release.context("a release")?.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_host_that_is_frozen_while_it_probes_condemns_nothing() -> Result<()> {
    let policy = v1::Policy { healthy_deadline_ms: Some(6_000), ..policy() };
    a_whole_host_is_frozen(HostPhase::Probing, policy).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_host_that_is_frozen_while_it_soaks_condemns_nothing() -> Result<()> {
    a_whole_host_is_frozen(HostPhase::Soaking, v1::Policy { soak_ms: Some(3_000), ..policy() }).await
}
