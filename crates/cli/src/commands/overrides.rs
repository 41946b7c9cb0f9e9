//! What replaces evidence by somebody's word: `migration resolve`, `quarantine release`, `hosts exclude`, `hosts remove`,
//! `cluster bootstrap`.

use api::view::Ask;
use model::{
    HostId,
    fleet::{Request, Verdict},
};

use super::{Context, confirm::Override, hosts};
use crate::{
    args::{self, Bootstrap, HostWord, QuarantineRelease, Remove, Resolve},
    failure::Failure,
    render::Done,
};

pub(super) async fn resolve(context: &mut Context, args: Resolve) -> Result<u8, Failure> {
    let Resolve { release, verdict, service, word } = args;
    let now = context.look(&service).await;
    let known = now.iter().flat_map(|now| &now.migrations).filter(|known| known.release == release);
    let (verdict, risk) = match verdict {
        args::Verdict::Succeeded => (
            Verdict::Succeeded,
            "if it did not do all it should, hosts start the release all the same: P3 rests on you now",
        ),
        args::Verdict::Failed => {
            (Verdict::Failed, "the release is quarantined, and its rollout fails; no host is disturbed")
        }
        args::Verdict::Retry => (
            Verdict::Retry,
            "if it still runs, or cannot bear to be run again, it runs twice: P2 rests on you now",
        ),
    };
    let word_of = match verdict {
        Verdict::Succeeded => "succeeded",
        Verdict::Failed => "failed",
        Verdict::Retry => "to be tried again",
    };
    Override {
        what: format!("say that the migration of {release} of {service} is {word_of}"),
        now: known.map(crate::render::migration_line).collect(),
        replaces: "the end of bin/migrate, which nobody saw".into(),
        risk: risk.into(),
    }
    .confirm(word.yes)?;
    let request = Request::ResolveMigration { release: release.clone(), verdict };
    let ask = Ask { service: service.clone(), by: word.operator(), request };
    let revision = context.client.operate(ask).await?;
    let text = format!("the migration of {release} of {service} is {word_of}, on your word");
    let next = format!("`deployinator watch --service {service}` follows what comes of it");
    let done = Done::of("migration resolve", service, revision).says(text).next(next);
    context.printer.done(&Done { release: Some(release), ..done });
    Ok(0)
}

pub(super) async fn release(context: &mut Context, args: QuarantineRelease) -> Result<u8, Failure> {
    let QuarantineRelease { release, service, word } = args;
    let now = context.look(&service).await;
    let kept = now.iter().flat_map(|now| &now.quarantine).filter(|kept| kept.release == release);
    Override {
        what: format!("release {release} of {service} from quarantine"),
        now: kept.map(|kept| format!("quarantined, as it failed: {}", kept.reason)).collect(),
        replaces: "the evidence that the release fails".into(),
        risk: "it may be pushed, rolled back to and given to joiners again: P6 rests on you now".into(),
    }
    .confirm(word.yes)?;
    let request = Request::ReleaseQuarantine { release: release.clone() };
    let ask = Ask { service: service.clone(), by: word.operator(), request };
    let revision = context.client.operate(ask).await?;
    let text = format!("{release} of {service} may be used again; nothing is moved to it by that");
    let next = format!("push it, or go on with what was halted: `deployinator resume --service {service}`");
    let done = Done::of("quarantine release", service, revision).says(text).next(next);
    context.printer.done(&Done { release: Some(release), ..done });
    Ok(0)
}

pub(super) async fn exclude(context: &mut Context, args: HostWord) -> Result<u8, Failure> {
    let HostWord { host, service, word } = args;
    let (services, now) = hosts::services(context, &host, service).await?;
    Override {
        what: format!("exclude {host} from {}", hosts::list(&services)),
        now,
        replaces: format!("what {host} reports of itself"),
        risk: format!(
            "whether {host} is in service no longer counts, and no rollout changes it: P1 rests on you where {host} is concerned"
        ),
    }
    .confirm(word.yes)?;
    let request = |host: &HostId| Request::Exclude { host: host.clone() };
    let revision = hosts::each(context, &services, &word.operator(), &host, request).await?;
    let text = format!("{host} is excluded from {}: rollouts pass it over", hosts::list(&services));
    let next = format!("`deployinator hosts include {host}`, once it shall take part again");
    let done = Done::of_all("hosts exclude", services, revision).says(text).next(next);
    context.printer.done(&Done { host: Some(host), ..done });
    Ok(0)
}

pub(super) async fn remove(context: &mut Context, args: Remove) -> Result<u8, Failure> {
    let Remove { host, word } = args;
    let mut now = match hosts::services(context, &host, None).await {
        Ok((_, now)) => now,
        // A host without a service can be removed as well.
        Err(_) => Vec::new(),
    };
    if is_heard_of(context, &host).await {
        now.push(format!(
            "the leader hears from {host}: its agent is alive, and joins again as a new host while it runs"
        ));
    }
    Override {
        what: format!("remove {host} from the fleet"),
        now,
        replaces: format!("the cloud's word that {host} is terminated"),
        risk: format!("if {host} is alive, it serves on, but its locks are freed: P1 and P2 rest on you now"),
    }
    .confirm(word.yes)?;
    let revision = context.client.remove_host(&host, word.operator()).await?;
    let text = format!("{host} is no more: its locks are free, and rollouts go on without it");
    let next = format!(
        "stop its agent if it still runs; a new machine may be called {host}, with a new state directory"
    );
    let done = Done::of_all("hosts remove", Vec::new(), revision).says(text).next(next);
    context.printer.done(&Done { host: Some(host), ..done });
    Ok(0)
}

/// Whether its agent is known to be there.
async fn is_heard_of(context: &Context, host: &HostId) -> bool {
    let Ok(cluster) = context.client.cluster().await else { return false };
    let is_there = cluster.hosts.iter().any(|there| there.host == *host && there.quiet.is_some());
    is_there && cluster.stale.is_none() && !cluster.silent.contains(host)
}

pub(super) async fn bootstrap(context: &mut Context, args: Bootstrap) -> Result<u8, Failure> {
    let Bootstrap { without, word } = args;
    let names: Vec<&str> = without.iter().map(HostId::as_str).collect();
    let names = names.join(", ");
    Override {
        what: format!("form a cluster without {names}"),
        now: Vec::new(),
        replaces: format!("the answer of {names} that it holds no cluster"),
        risk: "if one of them holds a cluster, or is in one later, there are two, and no promise holds between them".into(),
    }
    .confirm(word.yes)?;
    context.client.bootstrap_without(&without, word.operator()).await?;
    let text = format!("the agent that was asked goes on without {names}");
    let next = "`deployinator cluster show` answers once the cluster has formed; until then it says what it waits for";
    context.printer.done(&Done::plain("cluster bootstrap").says(text).next(next.to_owned()));
    Ok(0)
}
