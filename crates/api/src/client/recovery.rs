//! Backups, and clusters that are rebuilt.

use std::time::Duration;

use tonic::{Response, Status, transport::Channel};

use super::{
    Client, ClientError,
    calls::{Attempted, Repeat},
};
use crate::{
    convert::Invalid,
    v1::{self, cluster_backup_response::Item, deployinator_client::DeployinatorClient as Wire},
    view::{BackupAbout, Recover, Recovery},
};

/// Longest wait for a backup, or for a cluster that is rebuilt.
const LIMIT: Duration = Duration::from_secs(60);
/// Size of the parts that a backup is sent in.
const PART_BYTES: usize = 1 << 20;

impl Client {
    /// What a recovery needs, as one file.
    ///
    /// # Errors
    /// Refused, cut off, or no agent answers.
    pub async fn backup(&self) -> Result<(BackupAbout, Vec<u8>), ClientError> {
        let what = "back up the cluster".to_owned();
        let attempted = Attempted { what, repeat: Repeat::Question, look: String::new(), limit: LIMIT };
        let call = async |mut wire: Wire<Channel>| {
            let mut parts = wire.cluster_backup(v1::ClusterBackupRequest {}).await?.into_inner();
            let (mut about, mut file) = (None, Vec::new());
            while let Some(part) = parts.message().await? {
                match part.item {
                    Some(Item::About(first)) => about = Some(first),
                    Some(Item::Content(content)) => file.extend(content),
                    None => (),
                }
            }
            let about = about.ok_or_else(|| Status::unavailable("the answer does not say what it is"))?;
            if usize::try_from(about.bytes).ok() != Some(file.len()) {
                let (got, of) = (file.len(), about.bytes);
                return Err(Status::unavailable(format!("the backup was cut off: {got} of {of} bytes came")));
            }
            Ok(Response::new((about, file)))
        };
        let read = |(about, file): (v1::Backup, Vec<u8>)| Ok((BackupAbout::try_from(about)?, file));
        self.call(attempted, call, read).await
    }

    /// Has a lost cluster rebuilt by whichever agent holds most of it, or tells what that would do.
    ///
    /// # Errors
    /// Refused, no agent answers, or the answer was lost.
    pub async fn recover(&self, ask: Recover) -> Result<Recovery, ClientError> {
        let Recover { lost, by, dry_run, backup } = ask;
        let what = if dry_run { "look what a recovery would do" } else { "rebuild the cluster" }.to_owned();
        let repeat = if dry_run { Repeat::Question } else { Repeat::Never };
        let look = "`deployinator cluster show`".to_owned();
        let attempted = Attempted { what, repeat, look, limit: LIMIT };
        let first = v1::ClusterRecoverRequest {
            lost: lost.iter().map(ToString::to_string).collect(),
            by: Some(by.into()),
            dry_run,
            from_backup: backup.is_some(),
            backup: Vec::new(),
        };
        let rest = backup.iter().flat_map(|file| file.chunks(PART_BYTES)).map(|part| {
            v1::ClusterRecoverRequest { backup: part.to_vec(), ..v1::ClusterRecoverRequest::default() }
        });
        let messages: Vec<v1::ClusterRecoverRequest> = [first].into_iter().chain(rest).collect();
        let call =
            async |mut wire: Wire<Channel>| wire.cluster_recover(tokio_stream::iter(messages.clone())).await;
        let read = |wire: v1::ClusterRecoverResponse| -> Result<Recovery, Invalid> { wire.try_into() };
        self.call(attempted, call, read).await
    }
}
