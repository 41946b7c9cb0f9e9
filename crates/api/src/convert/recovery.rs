//! Backups, and clusters that are rebuilt.

use model::{Revision, RolloutId, time::WallTime};

use super::{Invalid, all, all_named, each, named};
use crate::{
    v1,
    view::{BackupAbout, RecoveredVoter, Recovery, Stale},
};

impl TryFrom<v1::Backup> for BackupAbout {
    type Error = Invalid;
    fn try_from(wire: v1::Backup) -> Result<Self, Invalid> {
        let missing = all_named("missing", &wire.missing)?;
        Ok(Self {
            cluster: wire.cluster,
            revision: Revision(wire.revision),
            taken_at: WallTime(wire.taken_at_ms),
            taken_by: named("taken_by", &wire.taken_by)?,
            voters: all("voters", wire.voters)?,
            bytes: wire.bytes,
            stale: wire.stale.then_some(Stale { reason: wire.stale_reason, missing }),
        })
    }
}

impl From<Recovery> for v1::ClusterRecoverResponse {
    fn from(view: Recovery) -> Self {
        Self {
            lost_cluster: view.lost_cluster,
            cluster: view.cluster.unwrap_or_default(),
            host: view.host.into(),
            address: view.address,
            revision: view.revision.0,
            acknowledged: view.acknowledged.0,
            voters: each(view.voters),
            taken_at_ms: view.taken_at.map(|at| at.0),
            paused: each(view.paused),
            replaces: view.replaces.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::ClusterRecoverResponse> for Recovery {
    type Error = Invalid;
    fn try_from(wire: v1::ClusterRecoverResponse) -> Result<Self, Invalid> {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let paused =
            |wire: &v1::PausedRollout| Ok((named("paused.service", &wire.service)?, RolloutId(wire.rollout)));
        Ok(Self {
            lost_cluster: wire.lost_cluster,
            cluster: some(wire.cluster),
            host: named("host", &wire.host)?,
            address: wire.address,
            revision: Revision(wire.revision),
            acknowledged: Revision(wire.acknowledged),
            voters: all("voters", wire.voters)?,
            taken_at: wire.taken_at_ms.map(WallTime),
            paused: wire.paused.iter().map(paused).collect::<Result<_, Invalid>>()?,
            replaces: some(wire.replaces),
        })
    }
}

impl From<(model::ServiceName, RolloutId)> for v1::PausedRollout {
    fn from((service, rollout): (model::ServiceName, RolloutId)) -> Self {
        Self { service: service.into(), rollout: rollout.0 }
    }
}

impl From<RecoveredVoter> for v1::RecoveredVoter {
    fn from(voter: RecoveredVoter) -> Self {
        Self {
            host: voter.host.into(),
            address: voter.address,
            answers: voter.holds.is_some(),
            revision: voter.holds.unwrap_or_default().0,
        }
    }
}

impl TryFrom<v1::RecoveredVoter> for RecoveredVoter {
    type Error = Invalid;
    fn try_from(wire: v1::RecoveredVoter) -> Result<Self, Invalid> {
        let holds = wire.answers.then_some(Revision(wire.revision));
        Ok(Self { host: named("host", &wire.host)?, address: wire.address, holds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_comes_back_as_it_was() {
        let recovery = Recovery {
            lost_cluster: "c1-x".into(),
            cluster: Some("r2-y".into()),
            host: "h1".parse().unwrap(),
            address: "10.0.0.1:7100".into(),
            revision: Revision(812),
            acknowledged: Revision(810),
            voters: vec![
                RecoveredVoter {
                    host: "h1".parse().unwrap(),
                    address: "10.0.0.1:7100".into(),
                    holds: Some(Revision(812)),
                },
                RecoveredVoter { host: "h2".parse().unwrap(), address: "10.0.0.2:7100".into(), holds: None },
            ],
            taken_at: Some(WallTime(1000)),
            paused: vec![("web".parse().unwrap(), RolloutId(42))],
            replaces: Some("c1-z".into()),
        };
        let wire = v1::ClusterRecoverResponse::from(recovery.clone());
        assert_eq!(Recovery::try_from(wire).unwrap(), recovery);
    }
}
