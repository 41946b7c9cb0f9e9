//! `hosts`: the fleet's machines, and what operators do to them.

use std::time::Duration;

use api::{
    ClientError, Exit,
    view::{Ask, HostStatus, Status},
};
use model::{
    HostId, Revision, ServiceName,
    fleet::{Availability, Operator, PhaseKind, Request},
};
use tokio::time::{Instant, sleep};

use super::{Context, overrides};
use crate::{
    args::{HostAct, HostBy, Hosts},
    failure::Failure,
    render::Done,
};

/// Time between two looks at a host that is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// Longest time without an answer while something is waited for.
const NO_ANSWER: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &mut Context, args: Hosts) -> Result<u8, Failure> {
    match args {
        Hosts::List => list_all(context).await,
        Hosts::Drain(args) => act(context, args, Goal::Out).await,
        Hosts::Admit(args) => act(context, args, Goal::In).await,
        Hosts::Exclude(args) => overrides::exclude(context, args).await,
        Hosts::Include(args) => include(context, args).await,
        Hosts::Remove(args) => overrides::remove(context, args).await,
    }
}

async fn list_all(context: &mut Context) -> Result<u8, Failure> {
    let cluster = context.client.cluster().await?;
    let status = context.client.status(None).await?;
    context.printer.hosts(&cluster, &status);
    let stale = cluster.stale.is_some() || status.stale.is_some();
    Ok(if stale { Exit::Unavailable.code() } else { Exit::Done.code() })
}

async fn include(context: &mut Context, args: HostBy) -> Result<u8, Failure> {
    let HostBy { host, service, by } = args;
    let (services, _) = services(context, &host, service).await?;
    let request = |host: &HostId| Request::Include { host: host.clone() };
    let revision = each(context, &services, &super::operator(by), &host, request).await?;
    let text = format!("{host} takes part again in {}, and counts", list(&services));
    let next = "`deployinator status` shows how it gets to the completed release".to_owned();
    let done = Done::of_all("hosts include", services, revision).says(text).next(next);
    context.printer.done(&Done { host: Some(host), ..done });
    Ok(0)
}

/// What a host is waited to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Out,
    In,
}

async fn act(context: &mut Context, args: HostAct, goal: Goal) -> Result<u8, Failure> {
    let HostAct { host, service, wait, timeout, by } = args;
    let (services, _) = services(context, &host, service).await?;
    let by = super::operator(by);
    let named = list(&services);
    let done = match goal {
        Goal::Out => {
            let request = |host: &HostId| Request::Drain { host: host.clone() };
            let revision = each(context, &services, &by, &host, request).await?;
            let done = Done::of_all("hosts drain", services.clone(), revision);
            let done = done.says(format!("{host} leaves {named} as soon as it has a slot, and stays out"));
            let waits = format!("`deployinator hosts admit {host}` brings it back");
            done.next(waits)
        }
        Goal::In => {
            let request = |host: &HostId| Request::Admit { host: host.clone() };
            let revision = each(context, &services, &by, &host, request).await?;
            let done = Done::of_all("hosts admit", services.clone(), revision);
            let done = done.says(format!("{host} starts {named} again and joins"));
            done.next("`deployinator status` shows how far it is".to_owned())
        }
    };
    context.printer.done(&Done { host: Some(host.clone()), ..done });
    if !wait {
        return Ok(0);
    }
    let gave_up = async {
        match timeout {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let mut heard = Heard::now(timeout.is_none());
    let code = tokio::select! {
        reached = until(context, &host, &services, goal, &mut heard) => return reached,
        () = gave_up => Exit::GaveUp,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    };
    let (code, why) = match (code, heard.lacks()) {
        (Exit::GaveUp, Some(missing)) => {
            (Exit::Unavailable, format!("the time-out has passed, and nobody can say how it goes: {missing}"))
        }
        (Exit::GaveUp, None) => (code, "the time-out has passed".to_owned()),
        _ => (code, "interrupted".to_owned()),
    };
    Err(Failure::new(code, format!("wait for {host}: {why}; what was asked for still holds"), Some(WAITS)))
}

/// What an unfinished wait says next.
const WAITS: &str = "`deployinator status` says what it waits for, and who is missing";

/// When the fleet was heard of last.
struct Heard {
    at: Instant,
    /// When the question was asked that has no answer yet.
    asked: Option<Instant>,
    /// Why nobody can say how it goes, while that is so.
    missing: Option<String>,
    /// Nobody has said how long to wait, so that a fleet that is away for [`NO_ANSWER`] is not waited for.
    gives_up: bool,
}

impl Heard {
    /// Of a fleet that has just answered.
    fn now(gives_up: bool) -> Self {
        Self { at: Instant::now(), asked: None, missing: None, gives_up }
    }

    /// Why nobody can say how it goes now: the last answer was none, or the next one does not come.
    fn lacks(self) -> Option<String> {
        let waited = self.asked.map(|asked| asked.elapsed()).filter(|waited| LOOK <= *waited);
        let unanswered = || waited.map(|waited| format!("no answer for {:.1} s", waited.as_secs_f32()));
        self.missing.or_else(unanswered)
    }

    /// Takes note that nobody could say how it goes; an error when that has lasted long enough.
    fn nothing(&mut self, host: &HostId, why: String) -> Result<(), Failure> {
        if self.gives_up && NO_ANSWER <= self.at.elapsed() {
            let text = format!("wait for {host}: {why}; what was asked for still holds");
            return Err(Failure::new(Exit::Unavailable, text, Some(WAITS)));
        }
        self.missing = Some(why);
        Ok(())
    }
}

/// Looks until the host is there, and says what changes meanwhile.
async fn until(
    context: &mut Context,
    host: &HostId,
    services: &[ServiceName],
    goal: Goal,
    heard: &mut Heard,
) -> Result<u8, Failure> {
    let mut said = vec![String::new(); services.len()];
    loop {
        heard.asked = Some(Instant::now());
        let answer = context.client.status(None).await;
        heard.asked = None;
        let away = match answer {
            Ok(Status { stale: Some(stale), .. }) => format!("no quorum: {}", stale.reason),
            Err(error) if is_passing(&error) => error.to_string(),
            Err(error) => return Err(error.into()),
            Ok(status) => {
                (heard.at, heard.missing) = (Instant::now(), None);
                let mut there = true;
                for (service, said) in services.iter().zip(&mut said) {
                    let (reached, words) = stands(&status, host, service, goal)?;
                    if !reached && *said != words {
                        context.printer.waits(host, service, &words);
                        *said = words;
                    }
                    there &= reached;
                }
                if there {
                    let word = if goal == Goal::Out { "parked" } else { "in service" };
                    context.printer.reached(host, services, word);
                    return Ok(0);
                }
                sleep(LOOK).await;
                continue;
            }
        };
        heard.nothing(host, away)?;
        sleep(LOOK).await;
    }
}

fn is_passing(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::NoQuorum { .. } | ClientError::Unreachable { .. } | ClientError::AnswerLost { .. }
    )
}

/// Whether the host is where it is to be, and else what it waits for.
fn stands(
    status: &Status,
    host: &HostId,
    service: &ServiceName,
    goal: Goal,
) -> Result<(bool, String), Failure> {
    let here = status.services.iter().find(|here| here.service == *service);
    let found = here.and_then(|here| here.hosts.iter().find(|found| found.host == *host));
    let (Some(here), Some(found)) = (here, found) else {
        let text = format!("wait for {host}: it no longer declares {service}");
        return Err(Failure::new(Exit::Failed, text, Some("`deployinator hosts list` shows who is there")));
    };
    let asked = match goal {
        Goal::Out => found.parked.is_some(),
        Goal::In => found.parked.is_none(),
    };
    if !asked {
        let text = format!("wait for {host}: somebody else has asked for the opposite meanwhile");
        let next = format!("`deployinator events --service {service}` says who");
        return Err(Failure::new(Exit::Failed, text, Some(&next)));
    }
    let phase = found.change.as_ref().map(|change| change.phase);
    let reached = match goal {
        Goal::Out => phase == Some(PhaseKind::Parked),
        Goal::In => phase.is_none() && (found.availability == Availability::In || has_nothing(found, here)),
    };
    let holds = here.holds.iter().filter(|hold| {
        hold.host.as_ref() == Some(host) || hold.name == "no_free_slot" || hold.name == "budget_spent"
    });
    let words = match (phase, holds.into_iter().next()) {
        (Some(phase), _) => format!("{phase}{}", after(&found.waits_for)),
        (None, Some(hold)) => hold.text.clone(),
        (None, None) => format!("waits for its turn{}", after(&found.trouble)),
    };
    Ok((reached, words))
}

/// A service that has nothing to run cannot come into service.
fn has_nothing(host: &HostStatus, service: &api::view::ServiceStatus) -> bool {
    host.current.is_none() && service.completed.is_none()
}

fn after(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// The services that are meant on a host, and how it stands with each.
pub(super) async fn services(
    context: &Context,
    host: &HostId,
    only: Option<ServiceName>,
) -> Result<(Vec<ServiceName>, Vec<String>), Failure> {
    let status = context.client.status(only.as_ref()).await?;
    let mut services = Vec::new();
    let mut now = Vec::new();
    for service in &status.services {
        let Some(found) = service.hosts.iter().find(|found| found.host == *host) else { continue };
        services.push(service.service.clone());
        now.push(crate::render::host_sentence(service, found));
    }
    if services.is_empty() {
        let of = only.map_or_else(|| "any service".to_owned(), |service| service.to_string());
        return Err(Failure::new(
            Exit::Rejected,
            format!("host {host} is not in the fleet, or does not declare {of}"),
            Some("`deployinator hosts list` lists them"),
        ));
    }
    Ok((services, now))
}

/// Asks the same for each service; says for which it was done when one is refused.
pub(super) async fn each(
    context: &Context,
    services: &[ServiceName],
    by: &Operator,
    host: &HostId,
    request: impl Fn(&HostId) -> Request,
) -> Result<Revision, Failure> {
    let mut last = Revision(0);
    for (at, service) in services.iter().enumerate() {
        let ask = Ask { service: service.clone(), by: by.clone(), request: request(host) };
        match context.client.operate(ask).await {
            Ok(revision) => last = revision,
            Err(error) if at == 0 => return Err(error.into()),
            Err(error) => {
                let mut failure = Failure::from(error);
                failure.text = format!("{} (it was done for {})", failure.text, list(&services[..at]));
                return Err(failure);
            }
        }
    }
    Ok(last)
}

pub(super) fn list(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}
