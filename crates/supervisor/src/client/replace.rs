//! When a keeper makes room for one of another program.
//!
//! Absent on purpose: versions. A keeper is told from another by the file that it runs, which an upgrade replaces at the same path as often
//! as it brings another path, and which no build can forget to change.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use ports::supervisor::SupervisorError;
use tokio::{net::UnixStream, time::timeout};

use super::{ANSWER_LIMIT, KeeperClient, call};
use crate::protocol::{Reply, Request};

impl KeeperClient {
    /// Makes room for a newer keeper, if the one that runs is of another program and has nothing to do.
    pub(super) async fn replace_keeper(&self) {
        let Some(wanted) = &self.options.program else { return };
        let Ok(stream) = call::connect(&self.options.dir).await else { return };
        let pid = pid(&stream);
        let observed = call::exchange(stream, &Request::Observe, self.options.log_limit_bytes);
        if let Ok(Ok((told, _))) = timeout(ANSWER_LIMIT, observed).await
            && runs_another(pid, &told, wanted)
        {
            // Refused when something runs: then the start is refused too, or is none.
            if self.retire().await.is_ok() {
                tracing::info!(old = %told.display(), new = %wanted.display(), "replaced the keeper");
            }
        }
    }

    /// Asks for a start. A keeper that does not know the request makes room for one that may, whatever it runs, if it has nothing to do.
    pub(super) async fn ask_to_start(
        &self,
        attempted: &str,
        request: &Request,
    ) -> Result<Reply, SupervisorError> {
        let reply = self.ask(attempted, request, ANSWER_LIMIT).await?;
        if reply.is_unknown() && self.retire().await.is_ok() {
            tracing::info!("replaced a keeper that does not know what it was asked");
            return self.ask(attempted, request, ANSWER_LIMIT).await;
        }
        Ok(reply)
    }
}

/// Whether a keeper runs another program than the one that is wanted. Nobody makes room for one that is not there.
fn runs_another(pid: Option<i32>, told: &Path, wanted: &Path) -> bool {
    let Ok(wanted_file) = identity(wanted) else { return false };
    // What runs keeps its inode, so that no later file can have the same one.
    match pid.map(|pid| identity(Path::new(&format!("/proc/{pid}/exe")))) {
        Some(Ok(running)) => running != wanted_file,
        // Not ours to look at: its word is all there is.
        Some(Err(_)) | None => told != wanted,
    }
}

/// Device and inode.
fn identity(file: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(file).map(|about| (about.dev(), about.ino()))
}

/// Who listens at the other end.
fn pid(stream: &UnixStream) -> Option<i32> {
    stream.peer_cred().ok()?.pid()
}
