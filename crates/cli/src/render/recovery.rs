//! Backups, and clusters that are rebuilt.

use std::path::PathBuf;

use api::view::{BackupAbout, Member, RecoveredVoter, Recovery};
use serde_json::{Value, json};

use super::{json::stale, paint::Paint, table::Table, text::date};

/// A backup that was written to a file.
pub(crate) struct Saved {
    pub(crate) about: BackupAbout,
    pub(crate) path: PathBuf,
}

/// A cluster that was rebuilt, or what that would do.
pub(crate) struct Rebuilt {
    pub(crate) recovery: Recovery,
    /// The new cluster answers.
    pub(crate) answers: bool,
}

/// What a backup is, in a line or two.
pub(crate) fn saved(about: &BackupAbout) -> String {
    let voters: Vec<&str> = about.voters.iter().map(|voter| voter.host.as_str()).collect();
    let mut text = format!(
        "backup of cluster {} at revision {}, made by {} at {} UTC; {} bytes; voters: {}",
        about.cluster,
        about.revision,
        about.taken_by,
        date(about.taken_at),
        about.bytes,
        voters.join(", ")
    );
    if let Some(stale) = &about.stale {
        text.push_str(&format!("\nit may lack what was done last: {}", stale.reason));
    }
    text
}

/// What would be lost, line by line, for who is about to confirm it.
pub(crate) fn what_is_lost(would: &Recovery) -> Vec<String> {
    let Recovery { host, revision, acknowledged, .. } = would;
    let mut lines = Vec::new();
    for voter in &would.voters {
        let holds = match voter.holds {
            Some(holds) => format!("{} answers, and holds everything up to revision {holds}", voter.host),
            None => format!("{} ({}) does not answer", voter.host, voter.address),
        };
        lines.push(holds);
    }
    match would.taken_at {
        Some(at) => {
            lines.push(format!("the backup was made at {} UTC, at revision {revision}", date(at)));
            lines.push(format!("whatever was done after revision {revision} is lost; the hosts that are left tell what they run"));
        }
        None => {
            lines.push(format!("{host} rebuilds it as of revision {revision}; the last one known to have been acknowledged is {acknowledged}"));
            lines.push(format!("what the lost ones may have acknowledged after revision {revision} is lost"));
        }
    }
    if let Some(cluster) = &would.replaces {
        lines.push(format!(
            "cluster {cluster}, which {host} is in now, gives way; whatever was done in it is lost"
        ));
    }
    for (service, rollout) in &would.paused {
        lines.push(format!("{rollout} of {service} is under way, and will be paused"));
    }
    lines
}

pub(super) fn saved_text(Saved { about, path }: &Saved, paint: Paint) -> String {
    let mut lines = saved(about).lines().map(str::to_owned).collect::<Vec<_>>();
    if let Some(stale) = lines.get_mut(1) {
        *stale = format!("  {}", paint.bad(stale));
    }
    format!(
        "{}\n  {} keep {} where no host of this fleet keeps its own; `deployinator cluster recover --from FILE --lost HOST --reason WHY` reads it",
        lines.join("\n"),
        paint.faint("next:"),
        path.display()
    )
}

pub(super) fn saved_json(Saved { about, path }: &Saved) -> Value {
    let member =
        |member: &Member| json!({ "host": member.host, "node": member.node, "address": member.address });
    json!({
        "item": "backup",
        "file": path.display().to_string(),
        "cluster": about.cluster,
        "revision": about.revision,
        "taken_at_ms": about.taken_at,
        "taken_by": about.taken_by,
        "voters": about.voters.iter().map(member).collect::<Vec<_>>(),
        "bytes": about.bytes,
        "stale": stale(about.stale.as_ref()),
    })
}

/// How to go on.
fn next(Rebuilt { recovery, answers }: &Rebuilt) -> Vec<String> {
    if recovery.cluster.is_none() {
        return vec!["the same without --dry-run does it".into()];
    }
    let mut next = Vec::new();
    if !answers {
        next.push("the new cluster does not answer yet: `deployinator cluster show` tells when, and the log of its host why not".into());
    }
    next.push("`deployinator status` shows what each host runs".into());
    if recovery.taken_at.is_none() {
        let lost = recovery.voters.iter().find(|voter| voter.holds.is_none());
        if let Some(RecoveredVoter { host, .. }) = lost {
            next.push(format!(
                "`deployinator hosts remove {host} --reason WHY`, for each host that is gone for good: until then it counts as out"
            ));
        }
    }
    let resume = |service| {
        format!(
            "`deployinator resume --service {service}` or `deployinator abort --service {service}`, once you have looked"
        )
    };
    next.extend(recovery.paused.iter().map(|(service, _)| resume(service)));
    next
}

pub(super) fn rebuilt_text(rebuilt: &Rebuilt, paint: Paint) -> String {
    let Recovery { lost_cluster, cluster, host, revision, voters, .. } = &rebuilt.recovery;
    let mut text = match cluster {
        Some(cluster) => format!(
            "cluster {lost_cluster} was rebuilt on {host} as {}, as of revision {revision}; every fence is raised\n",
            paint.strong(cluster)
        ),
        None => {
            let mut text = format!("{host} would rebuild cluster {lost_cluster}\n");
            let mut table = Table::new(["voter", "address", "holds"]);
            for voter in voters {
                let holds = match voter.holds {
                    Some(holds) => format!("up to revision {holds}"),
                    None => paint.bad("does not answer"),
                };
                table.row([voter.host.to_string(), voter.address.clone(), holds]);
            }
            text.push_str(&table.text(paint));
            text.push('\n');
            let answers = voters.len();
            for line in what_is_lost(&rebuilt.recovery).into_iter().skip(answers) {
                text.push_str(&format!("  {line}\n"));
            }
            text
        }
    };
    for line in next(rebuilt) {
        text.push_str(&format!("  {} {line}\n", paint.faint("next:")));
    }
    text
}

pub(super) fn rebuilt_json(rebuilt: &Rebuilt) -> Value {
    let recovery = &rebuilt.recovery;
    let voter = |voter: &RecoveredVoter| json!({ "host": voter.host, "address": voter.address, "holds": voter.holds });
    let paused = recovery.paused.iter();
    json!({
        "item": "recovery",
        "lost_cluster": recovery.lost_cluster,
        "cluster": recovery.cluster,
        "answers": rebuilt.answers,
        "host": recovery.host,
        "address": recovery.address,
        "revision": recovery.revision,
        "acknowledged": recovery.acknowledged,
        "voters": recovery.voters.iter().map(voter).collect::<Vec<_>>(),
        "taken_at_ms": recovery.taken_at,
        "replaces": recovery.replaces,
        "paused": paused.map(|(service, rollout)| json!({ "service": service, "rollout": rollout.to_string() })).collect::<Vec<_>>(),
        "next": next(rebuilt),
    })
}
