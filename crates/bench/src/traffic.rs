//! What agents say to each other: every connection between them passes a meter of ours, which counts bytes and messages.
//!
//! Hosts advertise the meter's address, and listen on another one that only the meter and the caller know.

mod meter;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use demo::fleet::Shape;
use tokio::time::sleep;

use self::meter::{Count, Meter};
use crate::{
    Run,
    report::{Figure, Section, Table},
    stage::{Service, Stage, policy},
};

/// Rest before the fleet is looked at, so that what follows a rollout is over.
const REST: Duration = Duration::from_secs(3);
/// How much more a host of a three times larger fleet may take: everything beyond is more than O(hosts).
const TARGET: f64 = 1.25;

/// What a fleet of so many hosts takes.
struct Measured {
    hosts: usize,
    /// A host and second, at rest.
    rest_bytes: f64,
    rest_messages: f64,
    /// A host and rollout, beyond what it takes at rest.
    rollout_bytes: f64,
    rollout_messages: f64,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let sizes: &[usize] = if run.quick { &[3] } else { &[3, 10, 30] };
    let mut all = Vec::new();
    for hosts in sizes {
        let measured = measure_fleet(run, &run.dir, *hosts).await?;
        eprintln!("  {hosts} hosts: {:.0} bytes a host and rollout", measured.rollout_bytes);
        all.push(measured);
    }
    let mut section = run.section();
    let mut table = Table::new(
        "Each size of fleet",
        ["hosts", "a host and rollout", "messages", "a host and second at rest", "messages"],
    );
    for measured in &all {
        let Measured { hosts, rest_bytes, rest_messages, rollout_bytes, rollout_messages } = measured;
        table.row([
            hosts.to_string(),
            format!("{:.1} kB", rollout_bytes / 1e3),
            format!("{rollout_messages:.0}"),
            format!("{:.2} kB", rest_bytes / 1e3),
            format!("{rest_messages:.1}"),
        ]);
    }
    section.tables.push(table);
    for pair in all.windows(2) {
        let [small, large] = pair else { continue };
        let ratios = [
            ("bytes a host and rollout", large.rollout_bytes / small.rollout_bytes),
            ("messages a host and rollout", large.rollout_messages / small.rollout_messages),
        ];
        for (what, ratio) in ratios {
            let what = format!("{what}, {} hosts by {} hosts", large.hosts, small.hosts);
            let figure = Figure::new(what, format!("{ratio:.2}"), ROLLOUTS).number(ratio, "ratio");
            // From 3 to 5 voters the log is sent twice as often; only between fleets of 5 voters is growth the fleet's.
            let comparable = 5 <= small.hosts;
            section.figures.push(if comparable {
                figure.target(format!("≤ {TARGET}"), ratio <= TARGET)
            } else {
                figure
            });
        }
    }
    if let Some(last) = all.last() {
        let what = format!("bytes a host and rollout, {} hosts", last.hosts);
        let figure = Figure::new(what, format!("{:.1} kB", last.rollout_bytes / 1e3), ROLLOUTS);
        section.figures.push(figure.number(last.rollout_bytes, "bytes"));
    }
    Ok(section)
}

/// Rollouts that are added up.
const ROLLOUTS: usize = 4;

async fn measure_fleet(run: &Run, dir: &Path, hosts: usize) -> Result<Measured> {
    let mut stage = Stage::proxied(dir, Shape { hosts, ..Shape::default() }).await?;
    let meter = Meter::default();
    for agent in &stage.fleet.agents {
        meter.watch(agent.advertised, agent.address).await?;
    }
    stage.form().await?;
    let policy = policy(1, Duration::ZERO);
    let releases = [stage.release("a", Service::default())?, stage.release("b", Service::default())?];
    for release in &releases {
        stage.roll(0, release, &policy).await?;
    }
    let (rest, interval) = if run.quick { (0, 500) } else { (1, 10_000) };
    sleep(REST * rest).await;
    let (before, began) = (meter.count(), Instant::now());
    sleep(Duration::from_millis(interval)).await;
    let at_rest = meter.count().since(before).by(began.elapsed().as_secs_f64());
    let (before, began) = (meter.count(), Instant::now());
    for number in 0..ROLLOUTS {
        stage.roll(0, &releases[number % 2], &policy).await?;
    }
    let rolled = meter.count().since(before);
    let seconds = began.elapsed().as_secs_f64();
    let (hosts_f, rollouts) = (f64::from(u32::try_from(hosts)?), f64::from(u32::try_from(ROLLOUTS)?));
    let beyond = |all: f64, rest: f64| (all - rest * seconds) / rollouts / hosts_f;
    let Count { bytes, messages } = rolled;
    Ok(Measured {
        hosts,
        rest_bytes: at_rest.bytes / hosts_f,
        rest_messages: at_rest.messages / hosts_f,
        rollout_bytes: beyond(bytes, at_rest.bytes),
        rollout_messages: beyond(messages, at_rest.messages),
    })
}
