//! From a push to the first host that drains, when the release is staged everywhere already.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use demo::fleet::Shape;
use localbalancer::TargetState;

use crate::{
    Run,
    report::{Figure, Section},
    stage::{Service, Stage, policy, since},
    stats::{Samples, ms},
};

/// Hosts of the fleet.
const HOSTS: usize = 3;

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let stage = Stage::formed(&run.dir, Shape { hosts: HOSTS, ..Shape::default() }).await?;
    let policy = policy(1, Duration::ZERO);
    let releases = [stage.release("a", Service::default())?, stage.release("b", Service::default())?];
    for release in &releases {
        stage.roll(0, release, &policy).await.context("stage both releases")?;
    }
    let mut samples = Samples::default();
    let mut clients = Vec::new();
    for number in 0..HOSTS {
        clients.push(stage.client(number).await?);
    }
    for push in 0..run.size(2, 45) {
        // Each agent in turn: the leader is one of them, the others send the push on.
        let client = &mut clients[push % HOSTS];
        let pushed = SystemTime::now();
        let answer = stage.push(client, &releases[push % 2], &policy).await?;
        let code = stage.ended(client, &answer).await?;
        ensure!(code == 0, "rollout {} ended with exit code {code}", answer.rollout);
        let out = [TargetState::Draining, TargetState::Absent];
        let standings = stage.standings();
        let left = standings.iter().find(|change| pushed <= change.at && out.contains(&change.state));
        samples.push(since(pushed, left.context("no host left the balancer")?.at));
    }
    let mut section = run.section();
    for (name, time) in [("p50", samples.p50()), ("p99", samples.p99())] {
        let figure =
            Figure::new(format!("push → first host leaves the balancer, {name}"), ms(time), samples.len());
        section.figures.push(figure.number(time.as_secs_f64() * 1000.0, "ms"));
    }
    Ok(section)
}
