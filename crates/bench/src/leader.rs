//! How long a rollout stands still when its leader is lost: killed, or stopped in order.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use api::v1::{self, HostPhase, event::Detail, events_response::Item};
use demo::fleet::{SERVICE, Shape};
use rustix::process::Signal;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    Run, agentlog,
    report::{Figure, Section, Table},
    stage::{Service, Stage, policy, since},
    stats::{Samples, ms},
};

/// Hosts of the fleet, all of them voters.
const HOSTS: usize = 5;
/// The largest election timeout, as configured by default.
const ELECTION_MAX: Duration = Duration::from_secs(2);
/// Longest pause after a leader that was stopped in order.
const STOP_TARGET: Duration = Duration::from_millis(100);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// The service starts as slowly as that, so that there is time to strike.
const START: Duration = Duration::from_millis(40);

/// What an agent logs when it begins to lead.
const LEADS: &str = "this agent leads";

/// How the leader is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Killed,
    Stopped,
}

/// What became of it.
struct Struck {
    /// From the loss until another agent led.
    led: Duration,
    /// From the loss until an event was heard of that was made after it, under the next leader.
    went_on: Duration,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let agent = "log_format = \"json\"\n".to_owned();
    let mut stage = Stage::formed(&run.dir, Shape { hosts: HOSTS, agent, ..Shape::default() }).await?;
    let service = Service { start: START, ..Service::default() };
    let releases = [stage.release("a", service)?, stage.release("b", service)?];
    for release in &releases {
        stage.roll(0, release, &policy(1, Duration::ZERO)).await.context("stage both releases")?;
    }
    let mut section = run.section();
    let mut table = Table::new("The times", ["what", "p50", "most", "samples"]);
    let mut pushes = 0;
    for (loss, times) in [(Loss::Killed, run.size(1, 7)), (Loss::Stopped, run.size(1, 15))] {
        let (mut led, mut went_on) = (Samples::default(), Samples::default());
        for _ in 0..times {
            let struck = strike(&mut stage, &releases[pushes % 2], loss).await?;
            eprintln!("  {loss:?}: led after {}, went on after {}", ms(struck.led), ms(struck.went_on));
            led.push(struck.led);
            went_on.push(struck.went_on);
            pushes += 1;
        }
        let (what, most) = match loss {
            Loss::Killed => ("killed (SIGKILL)", ELECTION_MAX * 2),
            Loss::Stopped => ("stopped (SIGTERM)", STOP_TARGET),
        };
        let figure =
            Figure::new(format!("leader {what} → the rollout goes on, most"), ms(went_on.max()), times);
        section.figures.push(
            figure
                .number(went_on.max().as_secs_f64() * 1000.0, "ms")
                .target(format!("≤ {}", ms(most)), went_on.max() <= most),
        );
        for (name, samples) in [("another one leads", &led), ("the rollout goes on", &went_on)] {
            let cells =
                [format!("{what} → {name}"), ms(samples.p50()), ms(samples.max()), samples.len().to_string()];
            table.row(cells);
        }
    }
    section.tables.push(table);
    Ok(section)
}

/// Rolls, and takes the leader away while another host is in the middle of its change.
async fn strike(stage: &mut Stage, release: &str, loss: Loss) -> Result<Struck> {
    let status = all_well(stage).await?;
    let leader = status.leader.context("a leader")?;
    let victim = stage.fleet.number(&leader).context("the leader's host")?;
    let survivor = (0..HOSTS).find(|number| *number != victim).context("another host")?;
    let mut client = stage.client(survivor).await?;
    let push = stage.push(&mut client, release, &policy(1, Duration::ZERO)).await?;
    let mut events = follow(stage, survivor, push.after).await?;
    let mut heard = Vec::new();
    while !heard.iter().any(|(_, event): &(SystemTime, v1::Event)| starts_elsewhere(event, &leader)) {
        let event = timeout(PATIENCE, events.recv()).await.context("wait until a host starts the release")?;
        heard.push(event.context("the events broke off")?);
    }
    let struck = SystemTime::now();
    match loss {
        Loss::Killed => drop(stage.fleet.kill(victim)?),
        Loss::Stopped => stage.fleet.signal(victim, Signal::TERM)?,
    }
    let logs: Vec<_> = (0..HOSTS)
        .filter(|number| *number != victim)
        .map(|number| stage.fleet.agents[number].log.clone())
        .collect();
    let led = new_leader(&logs, struck).await?;
    let went_on = loop {
        let event = timeout(PATIENCE, events.recv()).await.context("wait until the rollout goes on")?;
        let (arrived, event) = event.context("the events broke off")?;
        // Made after the other one led, so that it was committed by it. Events say when to the millisecond.
        if UNIX_EPOCH + Duration::from_millis(event.at_ms) > led {
            break arrived;
        }
    };
    if loss == Loss::Stopped {
        stage.fleet.stop(victim).await?;
    }
    stage.fleet.start(victim)?;
    let code = stage.ended(&mut client, &push).await?;
    ensure!(code == 0, "rollout {} ended with exit code {code}", push.rollout);
    Ok(Struck { led: since(struck, led), went_on: since(struck, went_on) })
}

/// Waits until nothing is under way and every host is in service.
async fn all_well(stage: &mut Stage) -> Result<v1::StatusResponse> {
    let well = |status: &v1::StatusResponse| {
        status.leader.is_some()
            && status.services.iter().all(|service| {
                let hosts = &service.hosts;
                service.active.is_none()
                    && hosts.iter().all(|host| {
                        host.change.is_none() && host.availability == i32::from(v1::Availability::In)
                    })
            })
    };
    stage.fleet.wait_for("every host is in service", PATIENCE, well).await
}

/// Whether a host other than this one was told to start the new release.
fn starts_elsewhere(event: &v1::Event, but: &str) -> bool {
    let elsewhere = event.host.as_deref().is_some_and(|host| host != but);
    elsewhere && matches!(&event.detail, Some(Detail::HostMoved(moved)) if moved.to() == HostPhase::Starting)
}

/// The events at one agent, each with the time at which it was heard of.
async fn follow(
    stage: &Stage,
    number: usize,
    after: Option<v1::Cursor>,
) -> Result<mpsc::UnboundedReceiver<(SystemTime, v1::Event)>> {
    let request = v1::EventsRequest { service: Some(SERVICE.into()), after, follow: true };
    let mut stream = stage.client(number).await?.events(request).await?.into_inner();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(answer)) = stream.message().await {
            if let Some(Item::Event(event)) = answer.item
                && sender.send((SystemTime::now(), event)).is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

/// When one of these agents first said that it leads, after `from`.
async fn new_leader(logs: &[impl AsRef<Path>], from: SystemTime) -> Result<SystemTime> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut led = Vec::new();
        for log in logs {
            let lines = agentlog::read(log.as_ref())?.into_iter();
            led.extend(
                lines.filter(|line| line.fields.message == LEADS && from <= line.at).map(|line| line.at),
            );
        }
        if let Some(first) = led.into_iter().min() {
            return Ok(first);
        }
        ensure!(Instant::now() < deadline, "waited {PATIENCE:?} until another agent leads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
