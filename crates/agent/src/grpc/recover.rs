//! `cluster recover`: what would be lost, who is to answer for it, and then the recovery.
//!
//! Whatever an agent can still find out stands against it here: a majority that answers, a lost voter that answers, a voter that does not answer
//! and was not named, a disk that survived. Only what nobody can find out is left to the operator's word.

use std::collections::BTreeSet;

use api::{
    refusal,
    v1::{self, ClusterRecoverRequest, ClusterRecoverResponse},
};
use model::{
    HostId,
    fleet::{Act, Fleet, Operator},
    forming::Record,
};
use ports::fault::Chain;
use tokio::sync::oneshot;
use tonic::{Request, Status, Streaming};

use self::{
    restored::from_backup,
    survivor::{Survivor, from_survivor, pass_on},
};
use super::{passed::Passed, public::Public};
use crate::{
    durable,
    forming::Knock,
    recovery::{
        backup,
        found::{FoundError, Founded},
    },
};

mod evidence;
mod restored;
mod survivor;
mod unheard;

/// What is asked for.
struct Asked {
    lost: BTreeSet<HostId>,
    by: Operator,
    dry_run: bool,
    backup: Option<Vec<u8>>,
}

pub(super) async fn recover(
    public: &Public,
    request: Request<Streaming<ClusterRecoverRequest>>,
) -> Result<ClusterRecoverResponse, Status> {
    let passed = Passed::of(&request);
    let asked = read(request.into_inner()).await?;
    let (answer, founding) = match &asked.backup {
        Some(file) => from_backup(public, &asked, file).await?,
        None => match from_survivor(public, &asked, passed).await? {
            Survivor::Here(here) => *here,
            Survivor::At(address) => return pass_on(public, &asked, address).await,
        },
    };
    let record = durable::read::<Record>(&public.backend().cell.parts().state.forming());
    let record = record.map_err(|error| Status::internal(Chain(&error).to_string()))?.unwrap_or_default();
    founding.check(&record).map_err(|error| not_founded(&error))?;
    if asked.dry_run {
        return Ok(answer);
    }
    if founding.closes {
        // Whatever is pushed there from now on is refused; what was pushed before is found by this.
        public.propose(Act::GiveWay { to: founding.from.clone(), by: founding.by.clone() }).await?;
    }
    let (reply, founded) = oneshot::channel();
    let stopping = || Status::unavailable("this agent is stopping");
    public.backend().knocks.send(Knock::Found(Box::new(founding), reply)).await.map_err(|_| stopping())?;
    let founded = founded.await.map_err(|_| stopping())?;
    let Founded { cluster, last } = founded.map_err(|error| not_founded(&error))?;
    Ok(ClusterRecoverResponse { cluster: cluster.to_string(), revision: last.0, ..answer })
}

fn not_founded(error: &FoundError) -> Status {
    let text = Chain(error).to_string();
    match error.next() {
        Some(next) => refusal::rejected(text, Some(next)),
        None => Status::internal(text),
    }
}

async fn read(mut parts: Streaming<ClusterRecoverRequest>) -> Result<Asked, Status> {
    let first = parts.message().await?.ok_or_else(|| Status::invalid_argument("nothing was asked"))?;
    let ClusterRecoverRequest { lost, by, dry_run, from_backup, backup } = first;
    let by = api::asker(by)?;
    if by.reason.trim().is_empty() {
        return Err(refusal::rejected("rebuild the cluster: a reason is needed", Some("add --reason")));
    }
    let named =
        |host: &String| host.parse::<HostId>().map_err(|error| refusal::rejected(error.to_string(), None));
    let lost = lost.iter().map(named).collect::<Result<_, _>>()?;
    let mut file = backup;
    while let Some(part) = parts.message().await? {
        file.extend(part.backup);
        if api::BACKUP_LIMIT_BYTES < file.len() {
            // The rest of it is not waited for.
            let (bytes, limit) = (file.len(), api::BACKUP_LIMIT_BYTES);
            return Err(unusable(&backup::Unusable::TooLarge { bytes, limit }));
        }
    }
    Ok(Asked { lost, by, dry_run, backup: from_backup.then_some(file) })
}

fn unusable(error: &backup::Unusable) -> Status {
    refusal::rejected(Chain(error).to_string(), None)
}

fn under_way(fleet: &Fleet) -> Vec<v1::PausedRollout> {
    let active = |(service, known): (&model::ServiceName, &model::fleet::Service)| {
        Some(v1::PausedRollout { service: service.to_string(), rollout: known.active?.0 })
    };
    fleet.services.iter().filter_map(active).collect()
}
