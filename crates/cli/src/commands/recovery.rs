//! `cluster backup` and `cluster recover`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use api::{
    Exit,
    view::{ClusterView, Recover as Ask, Recovery},
};
use model::HostId;

use super::{Context, asking::stale, confirm::Override};
use crate::{
    args::{Backup, Recover},
    failure::Failure,
    render::{self, Rebuilt, Saved},
};

/// How long the new cluster may take to answer before that is left to the one who asked.
const ANSWERS: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn backup(context: &mut Context, args: Backup) -> Result<u8, Failure> {
    let Backup { to } = args;
    if to.is_none() && (context.json || io::stdout().is_terminal()) {
        let text = "back up the cluster: the file itself would be printed here";
        return Err(Failure::new(Exit::Usage, text, Some("add --to FILE, or send it to a file of your own")));
    }
    let (about, file) = context.client.backup().await?;
    let exit = stale(about.stale.is_some());
    match to {
        Some(path) => {
            write(&path, &file).map_err(|error| {
                Failure::new(Exit::Usage, format!("write the backup {}: {error}", path.display()), None)
            })?;
            context.printer.saved(&Saved { about, path });
        }
        None => {
            // A reader who has gone wants no more of it, but must not believe that it is whole.
            io::stdout().lock().write_all(&file).map_err(|error| {
                Failure::new(Exit::Usage, format!("write the backup to the standard output: {error}"), None)
            })?;
            eprintln!("{}", render::for_errors(&render::saved(&about)));
        }
    }
    Ok(exit)
}

/// Writes the file whole or not at all, for its owner only: it names every host.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let fill = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    };
    fill().inspect_err(|_| {
        // It may not be there at all.
        let _ = fs::remove_file(&draft);
    })
}

pub(super) async fn recover(context: &mut Context, args: Recover) -> Result<u8, Failure> {
    let Recover { lost, from, dry_run, word } = args;
    let backup = from.as_deref().map(read).transpose()?;
    let ask = |dry_run| Ask { lost: lost.clone(), by: word.operator(), dry_run, backup: backup.clone() };
    let would = context.client.recover(ask(true)).await?;
    if dry_run {
        context.printer.rebuilt(&Rebuilt { recovery: would, answers: false });
        return Ok(0);
    }
    let names: Vec<&str> = lost.iter().map(HostId::as_str).collect();
    let names = names.join(", ");
    Override {
        what: format!("rebuild cluster {} without {names}", would.lost_cluster),
        now: render::what_is_lost(&would),
        replaces: format!("the answer of {names}, which together could say what else was acknowledged"),
        risk: risk(&would, &names),
    }
    .confirm(word.yes)?;
    let recovery = context.client.recover(ask(false)).await?;
    let answers = answers(context, &recovery).await;
    context.printer.rebuilt(&Rebuilt { recovery, answers });
    Ok(0)
}

fn risk(would: &Recovery, names: &str) -> String {
    let own = if would.taken_at.is_some() {
        "hosts that ran something newer than the backup are moved back to what it knows; P2 and P11 rest on you now"
    } else {
        "P2 and P11 rest on you now"
    };
    format!(
        "if a majority of the old cluster is alive somewhere, it goes on by itself until it hears of the new one, and drops what it was told then; {own}: stop the agents of {names}, if you can"
    )
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong =
        |why: String| Failure::new(Exit::Usage, format!("read the backup {}: {why}", path.display()), None);
    let limit = u64::try_from(api::BACKUP_LIMIT_BYTES).unwrap_or(u64::MAX);
    let mut file = Vec::new();
    let opened = File::open(path).and_then(|opened| opened.take(limit + 1).read_to_end(&mut file));
    opened.map_err(|error| wrong(error.to_string()))?;
    if limit < file.len() as u64 {
        return Err(wrong(format!("it has more than {limit} bytes, and no backup is written with more")));
    }
    Ok(file)
}

/// Waits until an agent that is known answers for the new cluster.
async fn answers(context: &Context, recovery: &Recovery) -> bool {
    let deadline = Instant::now() + ANSWERS;
    let is_new = |cluster: &ClusterView| {
        Some(&cluster.cluster) == recovery.cluster.as_ref() && cluster.stale.is_none()
    };
    while Instant::now() < deadline {
        if context.client.cluster().await.is_ok_and(|cluster| is_new(&cluster)) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_replaces_the_one_before_and_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.backup");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        assert!(write(&dir.path().join("none/fleet.backup"), b"x").is_err());
    }
}
