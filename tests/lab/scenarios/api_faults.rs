//! AWS's API for load balancers goes wrong in each step of a host's change: the rollout takes longer, and nobody who sends requests notices.

use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use api::v1::{HostPhase, StatusRequest, deployinator_client::DeployinatorClient};
use demo::releases::Recipe;
use fakeaws::{Credentials, Fault, FaultKind, GroupOptions, Settings};
use tokio::time::sleep;

use super::{begin_on, completed, play_in};
use crate::{
    fleet::{AGENT, Lab, WEB, instance},
    layout::{Declared, Layout, SERVICE, instances},
    traffic::Traffic,
};

/// Three slots, so that five hosts take two waves; a soak that is long enough to be seen, and time for several faults of a minute in one step.
const POLICY: &str = "max_unavailable = 3\ncanary = 2\nsoak = \"3s\"\n[deadlines]\nhealthy = \"10s\"\njoin = \"10m\"\ndrain = \"10m\"\n";
const SLOTS: usize = 3;
/// The steps of a change.
const STEPS: [&[HostPhase]; 4] = [
    &[HostPhase::Draining],
    &[HostPhase::Stopping, HostPhase::Starting, HostPhase::Probing],
    &[HostPhase::Joining],
    &[HostPhase::Soaking],
];
/// Longest time between two looks at the steps that are shorter than that.
const LOOK: Duration = Duration::from_millis(50);

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// All calls of the API for load balancers: each host has a trouble of its own.
    OfEach([FaultKind; 5]),
    /// All credentials that any instance has or is given.
    Credentials,
}

impl Trouble {
    /// Whether all hosts have it at once, so that one of them in a step is enough.
    fn is_of_all(self) -> bool {
        matches!(self, Self::Credentials)
    }

    /// Begins for this host, of which so many have met it before.
    async fn begin(self, lab: &Lab, before: usize, host: &str, time: Duration) -> Result<()> {
        match self {
            Self::OfEach(kinds) => {
                let kind = kinds[before % kinds.len()];
                let fault = Fault::of("elasticloadbalancing:*", kind).by(host).lasting(time);
                lab.cloud.add_fault(&fault).await.context("make a fault")
            }
            Self::Credentials => lab.cloud.set_credentials(Credentials::Expired).await.context("expire"),
        }
    }

    async fn end(self, lab: &Lab) -> Result<()> {
        match self {
            // They end by themselves.
            Self::OfEach(_) => Ok(()),
            Self::Credentials => lab.cloud.set_credentials(Credentials::Valid).await.context("renew"),
        }
    }
}

/// A fleet whose drains are short, and whose targets take a while to be in service, so that no step is missed.
fn layout() -> Layout {
    let group = GroupOptions { deregistration_delay: Duration::from_secs(2), ..instances() };
    Layout {
        services: vec![Declared::behind(WEB, SERVICE, group)],
        cloud: Settings { registration: Duration::from_secs(2), ..Settings::default() },
        long_ms: 300..=1_500,
        ..Layout::default()
    }
}

/// Rolls the fleet through a trouble.
async fn rolls_through(name: &'static str, trouble: Trouble) -> Result<()> {
    let full = env::var_os("LAB_FULL").is_some();
    let time = Duration::from_secs(if full { 60 } else { 5 });
    play_in(layout(), async |lab: &mut Lab| {
        let traffic = Traffic::start(lab).await?;
        let (began, before) = (Instant::now(), faulted(lab, None).await?);
        begin_on(lab, WEB, &Recipe { start_ms: 2_000, ..Recipe::good(name) }, POLICY).await?;
        meets(lab, name, trouble, time).await?;
        completed(lab, name).await?;
        let met = faulted(lab, None).await? - before;
        println!("figures: {name}: {met} calls went wrong");
        ensure!(STEPS.len() as u64 <= met, "{name}: {met} calls met it");
        // What all have at once is met by those who ask just then.
        for host in lab.hosts.iter().filter(|_| !trouble.is_of_all()) {
            let its = faulted(lab, Some(&instance(host.number))).await?;
            ensure!(0 < its, "{name}: no call of h{} went wrong", host.number);
        }
        traffic.end(lab, name, lab.hosts.len() - SLOTS, began.elapsed()).await
    })
    .await
}

/// Makes the trouble in each step, each time for so long: for each host, or for all at once when the first is in it.
async fn meets(lab: &Lab, name: &str, trouble: Trouble, time: Duration) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120) + 16 * time;
    let address = format!("http://{}:{AGENT}", lab.hosts[0].address);
    let mut agent = DeployinatorClient::connect(address).await.context("connect to an agent")?;
    // Hosts in the order in which they were seen, and the steps in which they met it.
    let mut met: Vec<(String, BTreeSet<usize>)> = Vec::new();
    let all = lab.hosts.len() * STEPS.len();
    let mut until = None;
    while met.iter().map(|(_, steps)| steps.len()).sum::<usize>() < all || until.is_some() {
        ensure!(Instant::now() < deadline, "waited for all hosts in all steps; seen: {met:?}");
        if until.is_some_and(|until| until < Instant::now()) {
            trouble.end(lab).await?;
            until = None;
        }
        let status = agent.status(StatusRequest::default()).await.context("ask an agent")?.into_inner();
        let web = status.services.iter().find(|service| service.service == WEB).context("the service")?;
        for host in &web.hosts {
            let Some(change) = &host.change else { continue };
            let Some(step) = STEPS.iter().position(|step| step.contains(&change.phase())) else { continue };
            let number = met.iter().position(|(known, _)| *known == host.host).unwrap_or_else(|| {
                met.push((host.host.clone(), BTreeSet::new()));
                met.len() - 1
            });
            let first = met.iter().all(|(_, steps)| !steps.contains(&step));
            if met[number].1.insert(step) && (first || !trouble.is_of_all()) {
                trouble.begin(lab, number, &host.host, time).await?;
                until = Some(Instant::now() + time);
            }
        }
        let over = web.completed.as_ref().is_some_and(|release| release.id.contains(name));
        let seen = met.iter().map(|(_, steps)| steps.len()).sum::<usize>();
        ensure!(!over || seen == all, "{name} is over, and seen was only: {met:?}");
        sleep(LOOK).await;
    }
    Ok(())
}

/// How many calls went wrong so far.
async fn faulted(lab: &Lab, host: Option<&str>) -> Result<u64> {
    let calls = lab.cloud.calls().await.context("read the calls")?;
    let its = calls.iter().filter(|call| host.is_none_or(|host| call.caller == host));
    Ok(its.map(|call| call.faulted + call.expired).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_an_api_that_throttles_fails_is_slow_or_answers_from_the_past_costs_no_request() -> Result<()> {
    let kinds = [
        FaultKind::Throttle,
        FaultKind::Error,
        FaultKind::Html,
        FaultKind::Slow { ms: 4_000 },
        FaultKind::Stale { ms: 3_000 },
    ];
    rolls_through("api-fails", Trouble::OfEach(kinds)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_an_api_whose_answers_are_lost_costs_no_request() -> Result<()> {
    let kinds = [
        FaultKind::LoseAnswer,
        FaultKind::CutAnswer,
        FaultKind::Drop,
        FaultKind::Unavailable,
        FaultKind::Expired,
    ];
    rolls_through("answers-lost", Trouble::OfEach(kinds)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_credentials_that_expire_on_all_hosts_cost_no_request() -> Result<()> {
    rolls_through("credentials-expired", Trouble::Credentials).await
}
