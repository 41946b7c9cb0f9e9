//! From the release of a slot on one host to its grant on the next: two commits, beside two bare commits and etcd's lock.
//!
//! An agent's own log says when: it proposes that its change is done, and it is assigned a change. Both are written with `agent=debug`.

mod slots;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use demo::fleet::Shape;

use crate::{
    Run, agentlog,
    etcd::{self, Etcd},
    floor::Floor,
    report::{Figure, Section, Table},
    stage::{Service, Stage, policy},
    stats::{Samples, ms},
};

/// Hosts of the fleet: three voters, and one host that follows.
const HOSTS: usize = 4;
/// What a handoff commits: that the slot is free, and to whom it is granted.
const COMMITS: usize = 2;
/// Handoff by bare commits, at the most.
const TARGET: f64 = 1.3;

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let (rounds, pushes, times) = (run.size(1, 4), run.size(2, 12), run.size(5, 40));
    let agent = "log = \"info,agent=debug\"\nlog_format = \"json\"\n".to_owned();
    let stage = Stage::formed(&run.dir, Shape { hosts: HOSTS, agent, ..Shape::default() }).await?;
    let policy = policy(1, Duration::ZERO);
    let releases = [stage.release("a", Service::default())?, stage.release("b", Service::default())?];
    for release in &releases {
        stage.roll(0, release, &policy).await.context("stage both releases")?;
    }
    let mut floor = Floor::formed(stage.dir()).await?;
    let program = etcd::program();
    let mut etcd = match &program {
        Some(program) => Some(Etcd::formed(program, stage.dir()).await?),
        None => None,
    };
    let (mut bare, mut theirs) = (Samples::default(), Samples::default());
    let mut rolled = Vec::new();
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        bare.add(floor.commits(times, COMMITS).await?);
        for push in 0..pushes {
            // Both are staged everywhere; the one that runs is not pushed.
            rolled.push(stage.roll(push % HOSTS, &releases[push % 2], &policy).await?.id);
        }
        if let Some(etcd) = &mut etcd {
            theirs.add(etcd.handoffs(times).await?);
        }
    }
    let logs = stage.fleet.agents.iter().map(|agent| agentlog::read(&agent.log));
    let ours = slots::handoffs(logs.collect::<Result<Vec<_>>>()?.concat(), &rolled);
    let expected = rolled.len() * (HOSTS - 1);
    ensure!(ours.len() == expected, "{} handoffs are in the logs, not {expected}", ours.len());
    let theirs = program.map(|program| (etcd::version(&program), theirs));
    Ok(conclude(run, &ours, &bare, theirs.as_ref()))
}

fn conclude(run: &Run, ours: &Samples, bare: &Samples, etcd: Option<&(String, Samples)>) -> Section {
    let mut section = run.section();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let ratio = micros(ours.p50()) / micros(bare.p50()).max(1.0);
    let figure = Figure::new("handoff by bare commits, p50", format!("{ratio:.2}"), ours.len());
    section.figures.push(figure.number(ratio, "ratio").target(format!("≤ {TARGET}"), ratio <= TARGET));
    if let Some((version, theirs)) = etcd {
        for (name, ours, theirs) in [("p50", ours.p50(), theirs.p50()), ("p99", ours.p99(), theirs.p99())] {
            let ratio = micros(ours) / micros(theirs).max(1.0);
            let figure = Figure::new(
                format!("handoff by that of {version}, {name}"),
                format!("{ratio:.2}"),
                bare.len(),
            );
            section.figures.push(figure.number(ratio, "ratio").target("< 1", ratio < 1.0));
        }
    } else {
        section
            .notes
            .push("etcd is not installed here: there is nothing to compare with beside the floor.".into());
    }
    let mut table = Table::new("The times", ["what", "p50", "p99", "samples"]);
    let mut row = |what: String, samples: &Samples| {
        table.row([what, ms(samples.p50()), ms(samples.p99()), samples.len().to_string()]);
    };
    row("slot released → next host has its grant".into(), ours);
    row(format!("{COMMITS} bare commits, one after the other"), bare);
    if let Some((version, theirs)) = etcd {
        row(format!("{version}: unlock → the next client has the lock"), theirs);
    }
    section.tables.push(table);
    section
}
