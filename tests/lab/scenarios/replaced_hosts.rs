//! Hosts that are terminated, and others that take their places.

use anyhow::{Context, Result};
use fakeaws::Act;

use super::{begin, completed, play, some_holder};
use crate::{
    fleet::{Lab, instance},
    machine::Make,
};

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_holder_that_is_terminated_frees_its_slot_and_a_new_host_takes_its_place() -> Result<()> {
    play(async |lab: &mut Lab| {
        begin(lab, "terminated").await?;
        let holder = some_holder(lab).await?;
        lab.hosts[holder].switch_off();
        lab.cloud.act(&instance(lab.hosts[holder].number), Act::Terminate).await?;
        let new = lab.launch(Make::default()).await?;
        lab.boot(new)?;
        let gone = instance(lab.hosts[holder].number);
        lab.wait("the fleet without the terminated host, and with the new one", async |lab: &Lab| {
            let status = lab.status().await?;
            let web = &status["services"][0];
            let hosts = web["hosts"].as_array().context("hosts")?;
            let named = |name: &str| hosts.iter().any(|host| host["host"] == name);
            let all_in = hosts.iter().all(|host| host["availability"] == "in");
            Ok(!named(&gone) && named(&instance(6)) && all_in && web["active"].is_null())
        })
        .await?;
        completed(lab, "terminated").await?;
        Ok(())
    })
    .await
}
