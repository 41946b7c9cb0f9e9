//! What the other scenarios would show if hosts were not drained: without this one, nobody would know that they can fail.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use demo::releases::Recipe;
use fakeaws::GroupOptions;

use super::{POLICY, expect, play_in};
use crate::{
    fleet::{Lab, WEB},
    layout::{Declared, Layout, SERVICE, instances},
    traffic::{Seen, Traffic},
};

#[tokio::test(flavor = "multi_thread")]
async fn s00_a_balancer_that_does_not_drain_shows_in_failed_requests() -> Result<()> {
    let group = GroupOptions { deregistration_delay: Duration::ZERO, ..instances() };
    let services = vec![Declared::behind(WEB, SERVICE, group)];
    play_in(Layout { services, ..Layout::default() }, async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let path = lab.release(&Recipe::good("undrained"))?;
        let began = Instant::now();
        expect(lab, &path, POLICY, 0).await?;
        let Seen { by_plane, by_haproxy, .. } = traffic.seen(lab, "no drain", began.elapsed()).await?;
        for (way, totals) in [("fakeaws", by_plane), ("HAProxy", by_haproxy)] {
            ensure!(0 < totals.failed, "nothing is drained, and no request by {way} failed: {totals:?}");
        }
        Ok(())
    })
    .await
}
