//! Agents that have AWS in them, against a stand-in for it: found by tags, rolled behind an ALB that carries requests.

use std::time::Instant;

use anyhow::{Context, Result};
use api::v1;
use demo::{
    cloud::{Cloud, quick},
    fleet::{SERVICE, SERVICE_PORT},
    load::{Load, LoadOptions},
    releases::Recipe,
};
use fakeaws::{Act, Credentials, Fault, FaultKind, GroupOptions, TargetType};
use tests::{OneDaemon, PATIENCE, Stage, hold, policy, within};

/// What all calls of one agent share, as the guide says: so many a second, and so many at once after a rest.
const CALLS_PER_SECOND: u32 = 5;
const BURST: u32 = 20;

/// Three instances behind an ALB that run release 1, and what was pushed.
async fn serving() -> Result<(Cloud, Stage, v1::PushResponse)> {
    let cloud = Cloud::start(&quick()).await?;
    let mut stage = Stage::in_cloud(3, &cloud, "").await?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let first = stage.serve(&Recipe::good("release-1")).await?;
    Ok((cloud, stage, first))
}

fn load(cloud: &Cloud) -> Load {
    Load::start(LoadOptions { long_ms: 100..=600, ..LoadOptions::new(cloud.front) })
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_find_each_other_by_tags_and_roll_behind_an_alb_without_a_failed_request() -> Result<()> {
    let (cloud, mut stage, _) = serving().await?;
    let status = stage.fleet.status().await?;
    let hosts: Vec<&str> = status.services[0].hosts.iter().map(|host| host.host.as_str()).collect();
    assert!(hosts.len() == 3 && hosts.iter().all(|host| host.starts_with("i-0")), "{hosts:?}");
    let targets = cloud.control.targets(SERVICE).await?;
    let mut ids: Vec<&str> = targets.iter().map(|target| target.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, hosts, "each is a target by its instance id");
    cloud.reset_counters().await?;
    cloud.control.reset_calls().await?;
    let began = Instant::now();
    let load = load(&cloud);
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let release = push.release.clone().context("a release")?.id;
    let ended = stage.watch(&push).ended().await?;
    stage.all_on(&release).await?;
    let totals = load.stop().await;
    let calls = cloud.control.calls().await?;
    let took = began.elapsed();
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(totals.releases.contains_key(&release), "{totals:#?}");
    let counters = cloud.counters().await?;
    assert_eq!(counters.failed(), 0, "{counters:?}");
    assert!(2 <= cloud.healthy_min().await?, "two of three serve at any time");
    for action in ["RegisterTargets", "DeregisterTargets"] {
        let of = |count: &&fakeaws::CallCount| count.action == format!("elasticloadbalancing:{action}");
        let counts: Vec<u64> = calls.iter().filter(of).map(|count| count.calls).collect();
        assert_eq!(counts, [1, 1, 1], "each host makes {action} once: {calls:#?}");
    }
    // What one agent may make in this time, whatever waits for what.
    let seconds = took.as_secs() + 1;
    let most = u64::from(BURST) + u64::from(CALLS_PER_SECOND) * seconds;
    for host in &ids {
        let own = calls.iter().filter(|count| count.caller == *host && !count.action.starts_with("imds:"));
        let own: u64 = own.map(|count| count.calls).sum();
        println!("{host} made {own} calls in {seconds} s");
        assert!(own <= most, "{host} made {own} calls in {seconds} s");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_may_not_ask_its_balancer_holds_the_rollout_in_staging_with_the_permission() -> Result<()>
{
    let (cloud, mut stage, first) = serving().await?;
    let before = stage.pids().await?;
    let denied = &stage.fleet.agents[1].host;
    let fault = Fault::of("elasticloadbalancing:DescribeTargetGroups", FaultKind::Denied).by(denied);
    cloud.control.add_fault(&fault).await?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let said = "this host's role may not elasticloadbalancing:DescribeTargetGroups: allow it";
    let what = "the hold names the permission";
    stage
        .wait_at(0, what, |status| hold(status, "staging").is_some_and(|hold| hold.text.contains(said)))
        .await?;
    assert_eq!(stage.pids().await?, before, "nothing was touched");
    assert_eq!(stage.answers().await?, vec![first.release.clone().context("a release")?.id; 3]);
    cloud.control.clear_faults().await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "it goes on by itself: {ended:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_outlasts_an_api_that_throttles_fails_and_loses_answers() -> Result<()> {
    let (cloud, mut stage, _) = serving().await?;
    cloud.reset_counters().await?;
    let load = load(&cloud);
    let faults = [
        Fault::of("elasticloadbalancing:*", FaultKind::Throttle).calls(6),
        Fault::of("elasticloadbalancing:DeregisterTargets", FaultKind::LoseAnswer).calls(1),
        Fault::of("elasticloadbalancing:RegisterTargets", FaultKind::LoseAnswer).calls(1),
        Fault::of("elasticloadbalancing:DescribeTargetHealth", FaultKind::Html).calls(4),
        Fault::of("elasticloadbalancing:DescribeTargetHealth", FaultKind::CutAnswer).calls(4),
        Fault::of("elasticloadbalancing:RegisterTargets", FaultKind::Expired).calls(1),
        Fault::of("ec2:*", FaultKind::Throttle).calls(4),
    ];
    for fault in &faults {
        cloud.control.add_fault(fault).await?;
    }
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch(&push).ended().await?;
    let release = push.release.clone().context("a release")?.id;
    stage.all_on(&release).await?;
    let totals = load.stop().await;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    let left = cloud.control.faults().await?;
    assert!(left.iter().all(|fault| fault.action.starts_with("ec2")), "each was met: {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_hold_the_rollout_until_there_are_good_ones() -> Result<()> {
    let (cloud, mut stage, _) = serving().await?;
    let before = stage.pids().await?;
    cloud.control.set_credentials(Credentials::Expired).await?;
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let said = "the credentials have expired";
    let what = "the hold says that they have expired";
    stage
        .wait_at(0, what, |status| hold(status, "staging").is_some_and(|hold| hold.text.contains(said)))
        .await?;
    assert_eq!(stage.pids().await?, before, "nothing was touched");
    cloud.control.set_credentials(Credentials::Valid).await?;
    let ended = stage.watch(&push).ended().await?;
    assert_eq!(ended.exit_code, 0, "it goes on by itself: {ended:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_from_the_past_lose_no_request() -> Result<()> {
    let (cloud, stage, _) = serving().await?;
    cloud.reset_counters().await?;
    let load = load(&cloud);
    let stale = Fault::of("elasticloadbalancing:DescribeTargetHealth", FaultKind::Stale { ms: 1500 });
    cloud.control.add_fault(&stale).await?;
    stage.serve(&Recipe::good("release-2")).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(2 <= cloud.healthy_min().await?, "two of three serve at any time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_killed_while_they_drain_and_join_go_on_and_lose_no_request() -> Result<()> {
    let (cloud, mut stage, _) = serving().await?;
    cloud.reset_counters().await?;
    let load = load(&cloud);
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    for phase in [v1::HostPhase::Draining, v1::HostPhase::Soaking] {
        let status = stage
            .fleet
            .wait_for(&format!("a host is {phase:?}"), PATIENCE, |status| in_phase(status, phase).is_some())
            .await?;
        let host = in_phase(&status, phase).context("the host")?;
        let number = stage.number(&host)?;
        stage.fleet.kill(number)?;
        stage.fleet.start(number)?;
    }
    let ended = stage.watch(&push).ended().await?;
    let totals = load.stop().await;
    assert_eq!((ended.outcome(), ended.exit_code), (v1::Outcome::Completed, 0), "{ended:#?}");
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(2 <= cloud.healthy_min().await?, "two of three serve at any time");
    Ok(())
}

/// A host that is in this step of its change.
fn in_phase(status: &v1::StatusResponse, phase: v1::HostPhase) -> Option<String> {
    let mut hosts = status.services.iter().flat_map(|service| &service.hosts);
    let found = hosts.find(|host| host.change.as_ref().is_some_and(|change| change.phase() == phase));
    found.map(|host| host.host.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_instance_departs_and_a_new_one_joins_and_takes_traffic() -> Result<()> {
    let (cloud, mut stage, first) = serving().await?;
    let gone = stage.fleet.agents[2].host.clone();
    stage.fleet.lose(2)?;
    cloud.control.act(&gone, Act::Stop).await?;
    stage
        .wait_at(0, "the lost host counts as out", |status| {
            status.services[0]
                .hosts
                .iter()
                .any(|host| host.host == gone && host.availability() != v1::Availability::In)
        })
        .await?;
    assert!(
        stage.fleet.status().await?.services[0].hosts.iter().any(|host| host.host == gone),
        "stopped is no end"
    );
    cloud.control.act(&gone, Act::Terminate).await?;
    stage
        .wait_at(0, "the terminated host is no host any more", |status| {
            status.services[0].hosts.iter().all(|host| host.host != gone)
        })
        .await?;
    let new = stage.fleet.add()?;
    cloud.launch(&stage.fleet.agents[new]).await?;
    stage.fleet.start(new)?;
    let (host, release) =
        (stage.fleet.agents[new].host.clone(), first.release.clone().context("a release")?.id);
    within("the new instance to be a healthy target", async || {
        let targets = cloud.control.targets(SERVICE).await.ok()?;
        targets.into_iter().find(|target| target.id == host && target.state == "healthy")
    })
    .await?;
    stage
        .wait_at(0, "the new host serves the release", |status| {
            let mut hosts = status.services[0].hosts.iter();
            hosts
                .any(|it| it.host == host && it.current.as_ref().is_some_and(|current| current.id == release))
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_somebody_else_removed_is_reported_and_not_registered_again() -> Result<()> {
    let (cloud, stage, _) = serving().await?;
    let host = stage.fleet.agents[1].host.clone();
    cloud.control.reset_calls().await?;
    cloud.control.drop_target(SERVICE, &host, SERVICE_PORT).await?;
    let status = stage
        .wait_at(0, "the host counts as out", |status| {
            let mut hosts = status.services[0].hosts.iter();
            hosts.any(|it| it.host == host && it.availability() == v1::Availability::Out)
        })
        .await?;
    let said = status.services[0].hosts.iter().find(|it| it.host == host).context("the host")?;
    assert!(format!("{said:?}").contains("the balancer says"), "{said:#?}");
    let asked = asked_after(&cloud, &host).await?;
    within("it to ask the balancer once more", async || {
        (asked < asked_after(&cloud, &host).await.ok()?).then_some(())
    })
    .await?;
    let calls = cloud.control.calls().await?;
    assert!(calls.iter().all(|count| !count.action.ends_with("RegisterTargets")), "{calls:#?}");
    Ok(())
}

/// How often a host asked how its targets are.
async fn asked_after(cloud: &Cloud, host: &str) -> Result<u64> {
    let calls = cloud.control.calls().await?;
    let own = calls.iter().filter(|it| it.caller == host && it.action.ends_with("DescribeTargetHealth"));
    Ok(own.map(|it| it.calls).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_by_address_roll_in_instances_and_those_of_a_terminated_host_are_taken_out() -> Result<()> {
    let cloud = Cloud::start(&GroupOptions { target_type: TargetType::Ip, ..quick() }).await?;
    let mut stage = Stage::in_cloud(3, &cloud, "instances = 2\n").await?;
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    stage.serve(&Recipe::good("release-1")).await?;
    cloud.reset_counters().await?;
    let load = load(&cloud);
    stage.serve(&Recipe::good("release-2")).await?;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert_eq!(cloud.control.targets(SERVICE).await?.len(), 6, "two of each host");
    let gone = stage.fleet.agents[2].host.clone();
    let ip = stage.fleet.agents[2].address.ip().to_string();
    stage.fleet.lose(2)?;
    cloud.control.act(&gone, Act::Terminate).await?;
    within("its targets to be taken out", async || {
        let targets = cloud.control.targets(SERVICE).await.ok()?;
        targets.iter().all(|target| target.id != ip).then_some(targets.len())
    })
    .await?;
    let targets = cloud.control.targets(SERVICE).await?;
    assert!(targets.len() == 4 && targets.iter().all(|target| target.state == "healthy"), "{targets:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_who_the_instance_is() -> Result<()> {
    let cloud = Cloud::start(&quick()).await?;
    let stage = Stage::in_cloud(1, &cloud, "").await?;
    let agent = &stage.fleet.agents[0];
    let mut daemon = OneDaemon::new(stage.agent_program(), &agent.config);
    daemon.environment.clone_from(&agent.environment);
    let ended = daemon.checks().await?;
    let expected =
        format!("ok: host {} of cluster demo, at {} in eu-central-1a\n", agent.host, agent.address);
    assert_eq!((ended.code, ended.said.as_str()), (0, expected.as_str()));
    cloud.control.add_fault(&Fault::of("imds:*", FaultKind::Denied)).await?;
    let ended = daemon.checks().await?;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.said.contains("modify-instance-metadata-options --http-endpoint enabled"), "{ended:?}");
    assert!(ended.said.ends_with("; or set agent.host, agent.advertise, agent.zone\n"), "{ended:?}");
    Ok(())
}

/// The one who has read the channel since the counters were reset.
async fn readers(cloud: &Cloud) -> Result<Vec<(String, u64)>> {
    let calls = cloud.control.calls().await?;
    let reads = calls.into_iter().filter(|count| count.action == "s3:GetObject");
    Ok(reads.map(|count| (count.caller, count.calls)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_comes_from_nothing_to_in_service_by_an_object_in_s3_and_is_told_why_it_cannot_be_read()
-> Result<()> {
    let cloud = Cloud::start(&quick()).await?;
    let line = "channel = { url = \"s3://releases/web/stable\", poll = \"500ms\" }\n";
    let mut stage = Stage::in_cloud(3, &cloud, line).await?;
    let leave = async |source: &str, run: &str| {
        let said = format!(r#"{{"path": "{source}", "run": "{run}"}}"#);
        cloud.control.put_object("releases", "web/stable", said.into_bytes()).await
    };
    let first = stage.release(&Recipe::good("release-1"))?;
    leave(&first, "https://ci/1").await?;
    stage.fleet.start_all()?;
    let over = async |count: usize| {
        let all = stage.history_at(0).await.ok()?;
        let newest = all.first().filter(|newest| all.len() == count && newest.ended_ms.is_some())?;
        Some(newest.clone())
    };
    let rollout = within("the first release is rolled out", async || over(1).await).await?;
    assert_eq!(rollout.provenance.context("where it comes from")?.ci_run, "https://ci/1");
    assert_eq!(rollout.by.context("who asked")?.name, "channel s3://releases/web/stable");
    let first = rollout.target.context("a target")?.id;
    let status = stage.all_on(&first).await?;

    let leader = status.leader.context("a leader")?;
    cloud.control.reset_calls().await?;
    let some =
        async || readers(&cloud).await.ok().filter(|readers| readers.iter().any(|(_, calls)| 2 < *calls));
    let readers = within("somebody reads the channel", some).await?;
    assert!(readers.len() == 1 && readers[0].0 == leader, "only {leader} reads: {readers:?}");

    let trouble = |status: &v1::StatusResponse| {
        let channel = status.services.first().and_then(|web| web.channel.clone());
        channel.and_then(|channel| channel.trouble).unwrap_or_default()
    };
    cloud.control.add_fault(&Fault::of("s3:GetObject", FaultKind::Denied)).await?;
    let said = "this host's role may not s3:GetObject: allow it";
    let denied = |status: &v1::StatusResponse| trouble(status).contains(said);
    stage.fleet.wait_for("the status names the permission", PATIENCE, denied).await?;
    cloud.control.clear_faults().await?;
    cloud.control.set_credentials(Credentials::Expired).await?;
    let expired = |status: &v1::StatusResponse| trouble(status).contains("the credentials have expired");
    stage.fleet.wait_for("the status says that the credentials have expired", PATIENCE, expired).await?;
    cloud.control.set_credentials(Credentials::Valid).await?;
    let well = |status: &v1::StatusResponse| trouble(status).is_empty();
    stage.fleet.wait_for("the channel can be read again", PATIENCE, well).await?;

    let second = stage.release(&Recipe::good("release-2"))?;
    leave(&second, "https://ci/2").await?;
    let over = async || {
        let all = stage.history_at(0).await.ok()?;
        (all.len() == 2).then(|| all[0].clone()).filter(|newest| newest.ended_ms.is_some())
    };
    let rollout = within("the second release is rolled out", over).await?;
    stage.all_on(&rollout.target.context("a target")?.id).await?;
    Ok(())
}
