//! What an agent does not start with: it says what is wrong and what to do, guesses nothing, and leaves running services alone.

use std::{fs, net::TcpListener, path::Path};

use anyhow::{Context, Result};
use demo::releases::Recipe;
use tests::{OneDaemon, Stage, client, policy, service_pid, web, within};

/// The agent of a host that is configured and was never started.
fn fresh(hosts: usize) -> Result<(Stage, OneDaemon)> {
    let stage = Stage::headless(hosts, "")?;
    let daemon = OneDaemon::new(stage.agent_program(), &stage.fleet.agents[0].config);
    Ok((stage, daemon))
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_with_every_problem_at_once() -> Result<()> {
    let (stage, daemon) = fresh(1)?;
    daemon.replace("bootstrap_expect = 1", "bootstrap_expect = 0\nbootstrap = true")?;
    daemon.replace("port = 8100", "port = 810000")?;
    daemon.replace("heartbeat = \"200ms\"", "heartbeat = \"200\"")?;
    let file = daemon.config.display().to_string();
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 64, "{ended:#?}");
    for key in ["cluster.bootstrap_expect", "cluster.bootstrap", "service.web.port", "timers.heartbeat"] {
        let told = ended.said.lines().any(|line| line.contains(&format!("{file}: {key}: ")));
        assert!(told, "{key} is not told: {}", ended.said);
    }
    assert!(!stage.fleet.agents[0].state.exists(), "nothing was made");

    fs::write(&daemon.config, "[agent\n")?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 64, "{ended:#?}");
    says(&ended.said, &[&format!("{file}:1")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_beyond_loopback_is_refused_unless_it_is_allowed() -> Result<()> {
    let (_stage, daemon) = fresh(1)?;
    let text = fs::read_to_string(&daemon.config)?;
    let address =
        text.split("listen = \"").nth(1).and_then(|rest| rest.split(':').next()).context("its address")?;
    fs::write(&daemon.config, text.replace(address, "192.0.2.1"))?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 64, "{ended:#?}");
    says(&ended.said, &["agent.listen", "loopback", "transport.insecure"]);

    let allowed = fs::read_to_string(&daemon.config)? + "\n[transport]\ninsecure = true\n";
    fs::write(&daemon.config, allowed)?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 1, "it gets as far as listening, on an address that is not ours: {ended:#?}");
    says(&ended.said, &["neither encrypted nor authenticated", "192.0.2.1"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_is_not_its_own_is_refused() -> Result<()> {
    let (mut stage, daemon) = fresh(1)?;
    let state = stage.fleet.agents[0].state.clone();
    let name = state.display().to_string();

    fs::write(&state, "a file")?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 1, "{ended:#?}");
    says(&ended.said, &[&name, "not writable"]);
    fs::remove_file(&state)?;

    stage.fleet.start_all()?;
    stage.fleet.formed().await?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 1, "{ended:#?}");
    says(&ended.said, &[&name, "in use by another agent", "stop that one first"]);
    stage.fleet.stop(0).await?;

    let identity = state.join("identity.json");
    let whole = fs::read_to_string(&identity)?;
    let refused = [
        (whole.replace("\"format\": 1", "\"format\": 999"), vec!["format 999", "newer"]),
        (whole.replace("\"h1\"", "\"h7\""), vec!["belongs to host h7", "this is h1", "directory of its own"]),
        (whole[..whole.len() / 2].to_owned(), vec!["identity.json", "damaged", "not guessed at"]),
    ];
    for (text, words) in refused {
        fs::write(&identity, &text)?;
        let ended = daemon.ends().await?;
        assert_eq!(ended.code, 1, "{ended:#?}");
        says(&ended.said, &words);
        assert_eq!(fs::read_to_string(&identity)?, text, "nothing was changed");
    }
    fs::write(&identity, &whole)?;
    stage.fleet.start(0)?;
    stage.fleet.formed().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_is_never_guessed_at_and_the_service_runs_on() -> Result<()> {
    let (mut stage, _) = Stage::serving(1).await?;
    let pids = stage.pids().await?;
    stage.fleet.stop(0).await?;
    let agent = &stage.fleet.agents[0];
    let daemon = OneDaemon::new(stage.agent_program(), &agent.config);
    let state = agent.state.clone();
    for (file, what) in [
        ("forming.json", "empty its state directory"),
        ("services/web/ledger.json", "empty its state directory"),
        ("raft/raft.redb", "join as a new node"),
    ] {
        let path = state.join(file);
        let whole = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        for torn in [&whole[..whole.len() / 2], b"no such thing\n"] {
            fs::write(&path, torn)?;
            // Asked again it says the same: nothing was put right in between.
            for _ in 0..2 {
                let ended = daemon.ends().await?;
                assert_eq!(ended.code, 1, "{file}: {ended:#?}");
                says(&ended.said, &[file, "damaged", what]);
                assert_eq!(service_pid(agent)?, pids["h1"], "the service runs on");
            }
        }
        fs::write(&path, whole)?;
    }
    stage.fleet.start(0)?;
    assert_eq!(stage.pids().await?, pids, "with its files whole, the agent finds its service again");
    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    assert_eq!(stage.watch(&push).ended().await?.exit_code, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named() -> Result<()> {
    let (stage, daemon) = fresh(1)?;
    let address = stage.fleet.agents[0].address;
    let _taken = TcpListener::bind(address)?;
    let ended = daemon.ends().await?;
    assert_eq!(ended.code, 1, "{ended:#?}");
    says(&ended.said, &[&address.to_string(), "in use"]);
    Ok(())
}

fn log_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_cluster_never_joins_and_says_so() -> Result<()> {
    let mut stage = Stage::headless(2, "")?;
    let stranger = OneDaemon::new(stage.agent_program(), &stage.fleet.agents[1].config);
    stranger.replace("name = \"demo\"", "name = \"elsewhere\"")?;
    stage.fleet.start_all()?;
    for number in 0..2 {
        let agent = &stage.fleet.agents[number];
        let other = &stage.fleet.agents[1 - number].host;
        let log = agent.log.clone();
        let told = || {
            log_of(&log)
                .lines()
                .any(|line| line.contains("cluster") && line.contains("elsewhere") && line.contains("demo"))
        };
        within(&format!("the log of {} tells of two names", agent.host), async || told().then_some(()))
            .await?;
        let mut client = client(agent.address).await?;
        let refusal =
            client.status(api::v1::StatusRequest { service: None }).await.expect_err("it is in no cluster");
        assert_eq!(tests::exit_of(&refusal), Some(69), "{refusal:?}");
        assert!(refusal.message().contains(other), "it names who is missing: {refusal:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_of_the_same_id_is_refused() -> Result<()> {
    let (mut stage, _) = Stage::serving(3).await?;
    let pids = stage.pids().await?;
    let twin = stage.fleet.add()?;
    let imposter = OneDaemon::new(stage.agent_program(), &stage.fleet.agents[twin].config);
    // The new host calls itself h1, with a state directory and an address of its own; the true h1 is out of its list.
    let text = fs::read_to_string(&imposter.config)?;
    let line = text.lines().find(|line| line.contains("host = \"h1\"")).context("h1 in the list")?;
    fs::write(&imposter.config, text.replace(&format!("{line}\n"), "").replace("\"h4\"", "\"h1\""))?;
    stage.fleet.start(twin)?;
    let log = stage.fleet.agents[twin].log.clone();
    let told =
        || log_of(&log).lines().any(|line| line.contains("h1") && line.contains("does not take this host"));
    within("the log of the second h1 tells that there is one", async || told().then_some(())).await?;
    let status = stage.fleet.status_of(0).await?;
    let hosts = &web(&status).context("the service")?.hosts;
    assert_eq!(hosts.len(), 3, "{hosts:#?}");
    let first = stage.fleet.agents[0].address.to_string();
    assert!(hosts.iter().any(|host| host.host == "h1" && host.address == first), "{hosts:#?}");
    assert_eq!(service_pid(&stage.fleet.agents[0])?, pids["h1"]);

    let source = stage.release(&Recipe::good("release-2"))?;
    let push = stage.push(&source, policy()).await?;
    let ended = stage.watch_without(&push, &[twin]).ended().await?;
    assert_eq!(ended.exit_code, 0, "{ended:#?}");
    assert!(
        service_pid(&stage.fleet.agents[twin]).is_err(),
        "the second one does nothing in the name of the first"
    );
    Ok(())
}
