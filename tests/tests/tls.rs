//! What agents read over TLS, which only those with AWS in them speak.

use anyhow::{Context, Result};
use demo::releases::Recipe;
use tests::{Certificate, Stage, Web, web, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_on_a_web_server_is_followed_when_its_certificate_is_one_that_the_host_trusts() -> Result<()>
{
    let (known, stranger) = (Certificate::new()?, Certificate::new()?);
    let trusted = tempfile::NamedTempFile::new()?;
    std::fs::write(trusted.path(), known.pem())?;
    let pointer = Web::start_tls(&stranger).await?;
    let channel = format!("channel = {{ url = \"{}\", poll = \"200ms\" }}\n", pointer.url());
    let mut stage = Stage::set_with(1, &channel).await?;
    for agent in &mut stage.fleet.agents {
        agent.environment.push(("SSL_CERT_FILE".into(), trusted.path().display().to_string()));
    }
    let first = stage.release(&Recipe::good("release-1"))?;
    pointer.say(&first);
    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let trouble = within("the status says why the channel cannot be read", async || {
        let status = stage.fleet.status().await.ok()?;
        web(&status)?.channel.as_ref()?.trouble.clone()
    });
    let trouble = trouble.await?;
    let begins = format!("read {}: ", pointer.url());
    assert!(trouble.starts_with(&begins) && trouble.contains("certificate"), "{trouble}");
    assert_eq!(stage.history_at(0).await?, [], "nothing was read");

    pointer.show(&known);
    let rollout = within("what the channel says is rolled out", async || {
        let all = stage.history_at(0).await.ok()?;
        all.into_iter().find(|rollout| rollout.ended_ms.is_some())
    });
    let rollout = rollout.await?;
    assert_eq!(rollout.by.context("who asked")?.name, format!("channel {}", pointer.url()));
    stage.all_on(&rollout.target.context("a target")?.id).await?;
    Ok(())
}
