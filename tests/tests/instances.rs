//! Hosts with several instances of a service: they roll as one, and their number changes only under a change.

use std::fs;

use anyhow::{Context, Result};
use api::v1::{self, HostPhase};
use demo::{fleet::SERVICE_PORT, releases::Recipe};
use localbalancer::TargetState;
use tests::{PATIENCE, Stage, answer_at, phase_of, policy, service_pids, within};

/// A fleet whose hosts have two instances each, that serves release 1.
async fn with_two_instances(hosts: usize) -> Result<Stage> {
    let mut stage = Stage::set_with(hosts, "instances = 2\n").await?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    stage.serve(&Recipe::good("release-1")).await?;
    Ok(stage)
}

/// How many targets get requests.
fn in_service(stage: &Stage) -> usize {
    let targets = stage.balancer.as_ref().map(|balancer| balancer.targets("web")).unwrap_or_default();
    targets.iter().filter(|target| target.state == TargetState::InService).count()
}

/// What both instances of a host answer.
async fn both(stage: &Stage, number: usize) -> Result<[String; 2]> {
    let ip = stage.fleet.agents[number].address.ip();
    Ok([answer_at(ip, SERVICE_PORT).await?, answer_at(ip, SERVICE_PORT + 1).await?])
}

/// Kills the agent of the host that has the slot, once it is in `phase`, and starts it again.
async fn the_holder_dies_while(phase: HostPhase, recipe: Recipe) -> Result<()> {
    let mut stage = with_two_instances(3).await?;
    assert_eq!(in_service(&stage), 6, "every instance is a target of its own");
    let load = stage.load()?;
    stage.balancer.as_ref().context("a balancer")?.reset_counters("web");
    let source = stage.release(&recipe)?;
    let push = stage.push(&source, policy()).await?;
    let mut watch = stage.watch(&push);
    let holder = watch.until_phase(phase).await?;
    let number = stage.number(&holder)?;
    stage.fleet.kill(number)?;
    let witness = stage.other_than(&[number])?;
    let status = stage.wait_at(witness, "a leader answers", |status| !status.stale).await?;
    assert_eq!(phase_of(&status, &holder), phase, "the holder was killed too late");
    let before = service_pids(&stage.fleet.agents[number]);
    stage.fleet.start(number)?;

    let ended = watch.ended().await?;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}{}", watch.seen());
    let release = push.release.context("a release")?.id;
    stage.all_on(&release).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()), "{}", watch.seen());
    assert_eq!(stage.migrations_of("release-2"), 1, "it is the first instance's");
    for number in 0..3 {
        assert_eq!(both(&stage, number).await?, [release.clone(), release.clone()]);
        assert_eq!(service_pids(&stage.fleet.agents[number]).len(), 2);
    }
    let counters = stage.balancer.as_ref().context("a balancer")?.counters("web");
    assert_eq!((counters.in_service_min, in_service(&stage)), (4, 6), "one host at a time: {counters:?}");
    if phase == HostPhase::Probing {
        assert_eq!(before.len(), 2, "both were started before the agent died");
        assert_eq!(service_pids(&stage.fleet.agents[number]), before, "and none is started again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_roll_under_load_and_their_agent_dies_while_they_are_probed() -> Result<()> {
    the_holder_dies_while(HostPhase::Probing, Recipe { start_ms: 1000, ..Recipe::good("release-2") }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_roll_under_load_and_their_agent_dies_while_they_are_started() -> Result<()> {
    the_holder_dies_while(
        HostPhase::Starting,
        Recipe { ballast_bytes: 16 << 20, ..Recipe::good("release-2") },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_instances_disturbs_nothing_until_the_next_change() -> Result<()> {
    let mut stage = with_two_instances(2).await?;
    let load = stage.load()?;
    let before = service_pids(&stage.fleet.agents[0]);
    assert_eq!((before.len(), in_service(&stage)), (2, 4));

    // h1 is to have one, h2 is to have three.
    for (number, instances) in [(0, 1), (1, 3)] {
        let status = stage.fleet.stop(number).await?;
        assert!(status.success(), "{status}");
        let config = &stage.fleet.agents[number].config;
        let text = fs::read_to_string(config)?.replace("instances = 2", &format!("instances = {instances}"));
        fs::write(config, text)?;
        stage.fleet.start(number)?;
        let settled = |status: &v1::StatusResponse| !status.stale && status.leader.is_some();
        stage.fleet.wait_for("the agent is back", PATIENCE, settled).await?;
    }
    let first = stage.push(&stage.release(&Recipe::good("release-1"))?, policy()).await?;
    let release = first.release.context("a release")?.id;
    stage.all_on(&release).await?;
    assert_eq!(service_pids(&stage.fleet.agents[0]), before, "they serve on");
    assert_eq!((service_pids(&stage.fleet.agents[1]).len(), in_service(&stage)), (2, 4));

    let push = stage.push(&stage.release(&Recipe::good("release-2"))?, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    stage.all_on(&push.release.context("a release")?.id).await?;
    let processes = |stage: &Stage| [0, 1].map(|number| service_pids(&stage.fleet.agents[number]).len());
    assert_eq!((processes(&stage), in_service(&stage)), ([1, 3], 4));
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_that_dies_is_started_again_alone_and_the_host_is_out_meanwhile() -> Result<()> {
    let mut stage = with_two_instances(2).await?;
    let before = service_pids(&stage.fleet.agents[0]);
    let dies = before[1];
    let pid = rustix::process::Pid::from_raw(dies.cast_signed()).context("a process")?;
    tests::signal(pid, rustix::process::Signal::KILL)?;
    let again = within("there are two again", async || {
        let now = service_pids(&stage.fleet.agents[0]);
        (now.len() == 2 && !now.contains(&dies)).then_some(now)
    });
    assert!(again.await?.contains(&before[0]), "the other one was left alone");
    let was_out = async || {
        let events = stage.events_at(1).await.ok()?;
        let out = |event: &v1::Event| event.host.as_deref() == Some("h1") && event.text.contains("signal 9");
        events.into_iter().find(out)
    };
    within("it is told that h1 was out", was_out).await?;
    let back = |status: &v1::StatusResponse| {
        tests::host(status, "h1").is_some_and(|host| host.availability == i32::from(v1::Availability::In))
    };
    stage.fleet.wait_for("h1 is in service again", PATIENCE, back).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_instances_after_a_boot_leave_no_target_registered() -> Result<()> {
    let mut stage = with_two_instances(2).await?;
    assert_eq!(in_service(&stage), 4);
    let config = &stage.fleet.agents[0].config;
    fs::write(config, fs::read_to_string(config)?.replace("instances = 2", "instances = 1"))?;
    stage.reboot(0)?;
    let targets =
        |stage: &Stage| stage.balancer.as_ref().map(|balancer| balancer.targets("web")).unwrap_or_default();
    let three = async || {
        let all = targets(&stage);
        let well = all.iter().all(|target| target.state == TargetState::InService);
        (all.len() == 3 && well).then_some(())
    };
    within("there are three targets, and all are in service", three)
        .await
        .with_context(|| format!("{:#?}", targets(&stage)))?;
    assert_eq!(service_pids(&stage.fleet.agents[0]).len(), 1);
    Ok(())
}
