//! What a push would do.

use std::time::Duration;

use model::{
    HostId, Revision, RolloutId,
    fleet::PhaseKind,
    planner::preview::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave},
};

use super::{
    Invalid, all, all_named, each, millis, named, read,
    rollouts::{read_verdict, write_outcome},
    words::Word,
};
use crate::{
    v1,
    view::{Push, PushPreview, Verdict},
};

/// A push that is only asked about.
impl From<Push> for v1::PreviewPushRequest {
    fn from(push: Push) -> Self {
        let policy = push.policy.map(Into::into);
        Self { service: push.service.into(), source: push.source, policy, release: None }
    }
}

impl TryFrom<v1::PreviewPushRequest> for Push {
    type Error = Invalid;
    fn try_from(wire: v1::PreviewPushRequest) -> Result<Self, Invalid> {
        let v1::PreviewPushRequest { service, source, policy, .. } = wire;
        v1::PushRequest { service, source, policy, by: None, provenance: None }.try_into()
    }
}

impl From<PushPreview> for v1::PreviewPushResponse {
    fn from(preview: PushPreview) -> Self {
        let exit_code = preview.exit_code().into();
        let Ahead { start, end, .. } = &preview.ahead;
        let (start, other) = match start {
            Start::Now => (v1::PreviewStart::Now, None),
            Start::Joins { rollout } => (v1::PreviewStart::Joins, Some(rollout.0)),
            Start::Supersedes { rollout } => (v1::PreviewStart::Supersedes, Some(rollout.0)),
            Start::Waits { rollout } => (v1::PreviewStart::Waits, Some(rollout.0)),
        };
        let (end, (outcome, superseded_by)) = match end {
            End::Over(outcome) => (v1::PreviewEnd::Over, write_outcome(outcome)),
            End::Held => (v1::PreviewEnd::Held, Default::default()),
            End::Cut => (v1::PreviewEnd::Cut, Default::default()),
        };
        let PushPreview { answered_by, revision, ahead, holds, troubles } = preview;
        Self {
            answered_by: answered_by.into(),
            revision: revision.0,
            service: ahead.service.into(),
            release: Some(ahead.release.into()),
            start: start.into(),
            other,
            replaces: ahead.replaces.map(|rollout| rollout.0),
            max_unavailable: ahead.max_unavailable,
            out: reasons(ahead.out),
            busy: ahead
                .busy
                .into_iter()
                .map(|(host, phase)| v1::HostBusy { host: host.into(), phase: phase.write() })
                .collect(),
            there: each(ahead.there),
            fetch: each(ahead.fetch),
            migration: Some(ahead.migration.into()),
            waves: each(ahead.waves),
            left_out: reasons(ahead.left_out),
            holds: each(holds),
            troubles: reasons(troubles),
            end: end.into(),
            outcome,
            exit_code,
            superseded_by,
        }
    }
}

impl TryFrom<v1::PreviewPushResponse> for PushPreview {
    type Error = Invalid;
    fn try_from(wire: v1::PreviewPushResponse) -> Result<Self, Invalid> {
        let start = start(wire.start, wire.other)?;
        let end = end(&wire)?;
        let busy = |busy: v1::HostBusy| -> Result<(HostId, PhaseKind), Invalid> {
            Ok((named("busy.host", &busy.host)?, Word::read("busy.phase", busy.phase)?))
        };
        Ok(Self {
            answered_by: named("answered_by", &wire.answered_by)?,
            revision: Revision(wire.revision),
            ahead: Ahead {
                service: named("service", &wire.service)?,
                release: read("release", wire.release)?,
                start,
                replaces: wire.replaces.map(RolloutId),
                max_unavailable: wire.max_unavailable,
                out: named_reasons("out", wire.out)?,
                busy: wire.busy.into_iter().map(busy).collect::<Result<_, _>>()?,
                there: all_named("there", &wire.there)?,
                fetch: all_named("fetch", &wire.fetch)?,
                migration: read("migration", wire.migration)?,
                waves: all("waves", wire.waves)?,
                left_out: named_reasons("left_out", wire.left_out)?,
                end,
            },
            holds: all("holds", wire.holds)?,
            troubles: named_reasons("troubles", wire.troubles)?,
        })
    }
}

fn start(word: i32, other: Option<u64>) -> Result<Start, Invalid> {
    let rollout = || other.map(RolloutId).ok_or_else(|| Invalid::new("other", "must be present"));
    Ok(match v1::PreviewStart::try_from(word) {
        Ok(v1::PreviewStart::Now) => Start::Now,
        Ok(v1::PreviewStart::Joins) => Start::Joins { rollout: rollout()? },
        Ok(v1::PreviewStart::Supersedes) => Start::Supersedes { rollout: rollout()? },
        Ok(v1::PreviewStart::Waits) => Start::Waits { rollout: rollout()? },
        Ok(v1::PreviewStart::Unspecified) => return Err(Invalid::new("start", "must be given")),
        Err(_) => return Err(Invalid::new("start", format!("{word} is not known to this version"))),
    })
}

fn end(wire: &v1::PreviewPushResponse) -> Result<End, Invalid> {
    Ok(match v1::PreviewEnd::try_from(wire.end) {
        Ok(v1::PreviewEnd::Over) => match read_verdict("outcome", wire.outcome, wire.superseded_by)? {
            Verdict::Over(outcome) => End::Over(outcome),
            Verdict::Halted => End::Held,
        },
        Ok(v1::PreviewEnd::Held) => End::Held,
        Ok(v1::PreviewEnd::Cut) => End::Cut,
        Ok(v1::PreviewEnd::Unspecified) => return Err(Invalid::new("end", "must be given")),
        Err(_) => return Err(Invalid::new("end", format!("{} is not known to this version", wire.end))),
    })
}

impl From<MigrationAhead> for v1::MigrationAhead {
    fn from(ahead: MigrationAhead) -> Self {
        let word = match &ahead {
            MigrationAhead::NotNeeded => v1::MigrationAheadWord::NotNeeded,
            MigrationAhead::Done => v1::MigrationAheadWord::Done,
            MigrationAhead::Runs { .. } => v1::MigrationAheadWord::Runs,
            MigrationAhead::NotReached => v1::MigrationAheadWord::NotReached,
        };
        let word = word.into();
        match ahead {
            MigrationAhead::Runs { per, hosts } => Self { word, per: per.write(), hosts: each(hosts) },
            _ => Self { word, ..Self::default() },
        }
    }
}

impl TryFrom<v1::MigrationAhead> for MigrationAhead {
    type Error = Invalid;
    fn try_from(wire: v1::MigrationAhead) -> Result<Self, Invalid> {
        Ok(match v1::MigrationAheadWord::try_from(wire.word) {
            Ok(v1::MigrationAheadWord::NotNeeded) => Self::NotNeeded,
            Ok(v1::MigrationAheadWord::Done) => Self::Done,
            Ok(v1::MigrationAheadWord::NotReached) => Self::NotReached,
            Ok(v1::MigrationAheadWord::Runs) => {
                Self::Runs { per: Word::read("per", wire.per)?, hosts: all_named("hosts", &wire.hosts)? }
            }
            Ok(v1::MigrationAheadWord::Unspecified) => return Err(Invalid::new("word", "must be given")),
            Err(_) => {
                return Err(Invalid::new("word", format!("{} is not known to this version", wire.word)));
            }
        })
    }
}

impl From<Wave> for v1::WaveAhead {
    fn from(wave: Wave) -> Self {
        Self {
            number: wave.number,
            canary: wave.canary,
            turns: each(wave.turns),
            soak_ms: millis(wave.soak),
            waiting: each(wave.waiting),
        }
    }
}

impl TryFrom<v1::WaveAhead> for Wave {
    type Error = Invalid;
    fn try_from(wire: v1::WaveAhead) -> Result<Self, Invalid> {
        Ok(Self {
            number: wire.number,
            canary: wire.canary,
            turns: all("turns", wire.turns)?,
            soak: Duration::from_millis(wire.soak_ms),
            waiting: all_named("waiting", &wire.waiting)?,
        })
    }
}

impl From<Turn> for v1::TurnAhead {
    fn from(turn: Turn) -> Self {
        let going = |going: Going| v1::GoingAhead { host: going.host.into(), sick: going.sick };
        Self { hosts: turn.hosts.into_iter().map(going).collect(), out: turn.out }
    }
}

impl TryFrom<v1::TurnAhead> for Turn {
    type Error = Invalid;
    fn try_from(wire: v1::TurnAhead) -> Result<Self, Invalid> {
        let going = |going: v1::GoingAhead| -> Result<Going, Invalid> {
            Ok(Going { host: named("hosts.host", &going.host)?, sick: going.sick })
        };
        Ok(Self { hosts: wire.hosts.into_iter().map(going).collect::<Result<_, _>>()?, out: wire.out })
    }
}

fn reasons(hosts: Vec<(HostId, String)>) -> Vec<v1::HostReason> {
    hosts.into_iter().map(|(host, reason)| v1::HostReason { host: host.into(), reason }).collect()
}

fn named_reasons(field: &str, wire: Vec<v1::HostReason>) -> Result<Vec<(HostId, String)>, Invalid> {
    wire.into_iter().map(|it| Ok((named(field, &it.host)?, it.reason))).collect()
}
