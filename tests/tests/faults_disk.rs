//! State directories that get full or read-only: an agent never acts on what it cannot remember, and says which file it could not write. The
//! service runs on, and the fleet goes on when there is space again.

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::releases::Recipe;
use tests::{Disk, Disturbed, Stage, host, policy, web, with_own_mounts, within};

fn slow() -> Recipe {
    Recipe { start_ms: 1200, ..Recipe::good("release-2") }
}

fn silent(status: &v1::StatusResponse, name: &str) -> bool {
    web(status).is_some_and(|web| {
        web.holds.iter().any(|hold| hold.name == "host_silent" && hold.host.as_deref() == Some(name))
    })
}

/// Waits until an agent has ended by itself, and checks that it said which file it could not write, and why.
async fn ends_naming(stage: &mut Stage, number: usize, why: &str) -> Result<()> {
    let what = format!("the agent of {} ends", stage.fleet.agents[number].host);
    let status = within(&what, async || stage.fleet.take_ended(number)).await?;
    assert_eq!(status.code(), Some(1), "it ended by {status}");
    let agent = &stage.fleet.agents[number];
    let log = std::fs::read_to_string(&agent.log)?;
    let last = log.lines().rfind(|line| line.starts_with("deployinatord: "));
    let last = last.with_context(|| format!("a last word in\n{log}"))?;
    assert!(last.contains(why), "{why:?} is not in: {last}");
    let state = agent.state.display().to_string();
    assert!(last.contains(&state), "no file of {state} is named: {last}");
    assert!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// Pushes, and spoils the disk of one host while a host probes: its agent ends, its service and the fleet do not. Then mends the disk, and
/// starts the agent again.
async fn a_disk_is_spoilt(of_leader: bool, spoil: fn(&mut Disk) -> Result<()>, why: &str) -> Result<()> {
    let (mut stage, mut disks) = Stage::with_disks(3).await?;
    let leader = stage.leader().await?;
    let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
    let holder = rollout.watch.until_phase(HostPhase::Probing).await?;
    let hit = if of_leader { leader } else { stage.number(&holder)? };
    spoil(&mut disks[hit])?;
    ends_naming(&mut stage, hit, why).await?;
    let name = stage.fleet.agents[hit].host.clone();
    let witness = stage.other_than(&[hit])?;
    let named = |status: &v1::StatusResponse| !status.stale && silent(status, &name);
    stage.wait_at(witness, "a hold names the host whose agent ended", named).await?;
    tests::service_pid(&stage.fleet.agents[hit]).context("the service runs on")?;
    // The system starts it again and again, which changes nothing. What the agent gave back when it ended (its database shrinks as it is
    // closed) is taken from it first.
    spoil(&mut disks[hit])?;
    stage.fleet.start(hit)?;
    ends_naming(&mut stage, hit, why).await?;
    disks[hit].mend()?;
    stage.fleet.start(hit)?;
    rollout.ends_as_promised(&mut stage).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_disk_is_full_ends_and_goes_on_when_there_is_space() -> Result<()> {
    with_own_mounts("a_holder_whose_disk_is_full_ends_and_goes_on_when_there_is_space", || {
        a_disk_is_spoilt(false, |disk| disk.fill(), "No space left on device")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_full_ends_and_another_one_leads() -> Result<()> {
    with_own_mounts("a_leader_whose_disk_is_full_ends_and_another_one_leads", || {
        a_disk_is_spoilt(true, |disk| disk.fill(), "No space left on device")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_disk_is_read_only_ends_and_goes_on_when_it_can_write() -> Result<()> {
    with_own_mounts("a_holder_whose_disk_is_read_only_ends_and_goes_on_when_it_can_write", || {
        a_disk_is_spoilt(false, |disk| disk.make_read_only(""), "Read-only file system")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_fit_on_a_disk_holds_in_staging_and_is_staged_when_it_does() -> Result<()> {
    with_own_mounts(
        "a_release_that_does_not_fit_on_a_disk_holds_in_staging_and_is_staged_when_it_does",
        || async {
            let (mut stage, mut disks) = Stage::with_disks(3).await?;
            // Enough for the small files of an agent and its keeper, not for a release.
            disks[1].leave_room_for(4)?;
            let mut rollout = Disturbed::push(&mut stage, slow(), policy()).await?;
            let told = |status: &v1::StatusResponse| {
                host(status, "h2")
                    .is_some_and(|host| host.stage_trouble().contains("No space left on device"))
                    && web(status).is_some_and(|web| {
                        web.holds.iter().any(|hold| hold.name == "staging" && hold.text.contains("h2"))
                    })
            };
            stage.fleet.wait_for("a hold says why h2 has not staged", tests::PATIENCE, told).await?;
            disks[1].mend()?;
            disks[1].fill_but(32 << 20)?;
            let told = |status: &v1::StatusResponse| {
                host(status, "h2").is_some_and(|host| host.stage_trouble().contains("of free space"))
            };
            stage.fleet.wait_for("h2 says how much it needs", tests::PATIENCE, told).await?;
            disks[1].mend()?;
            rollout.watch = stage.watch(&rollout.push);
            rollout.ends_as_promised(&mut stage).await?;
            Ok(())
        },
    )
    .await
}
