//! Calls with one answer: what begins rollouts, and how every call goes from agent to agent.

use std::time::Duration;

use model::{ServiceName, fleet::Operator};
use tokio::time::{Instant, timeout};
use tonic::{Response, Status, transport::Channel};

use super::{
    Attempt, Client, ClientError,
    error::{Meaning, meaning},
};
use crate::{
    convert::Invalid,
    v1::{self, deployinator_client::DeployinatorClient as Wire},
    view::{Push, PushPreview, Pushed},
};

/// Longest time that an agent takes to find out that there is no quorum.
const SEARCH: Duration = Duration::from_secs(4);

/// How a call may be tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing.
    Question,
    /// Asking twice equals asking once.
    Freely,
    /// Once it may have been received, it is not sent again.
    Never,
}

/// What is attempted, and how it may be.
pub(super) struct Attempted {
    /// In words, as errors name it.
    pub(super) what: String,
    pub(super) repeat: Repeat,
    /// Where to look whether it was done, when its answer is lost.
    pub(super) look: String,
    /// Longest wait for an agent that is there.
    pub(super) limit: Duration,
}

/// Where rollouts are looked for.
pub(super) fn history_of(service: &ServiceName) -> String {
    format!("`deployinator history --service {service}`")
}

impl Client {
    /// Moves a service to a release. Pushing again what is the target already joins that rollout, so this is repeated freely.
    ///
    /// # Errors
    /// Refused, no quorum, or no agent answers.
    pub async fn push(&self, push: Push) -> Result<Pushed, ClientError> {
        let (what, look) = (format!("push {} to {}", push.source, push.service), history_of(&push.service));
        let request = v1::PushRequest::from(push);
        let limit = self.agents.patience.push;
        let call = async |mut wire: Wire<Channel>| wire.push(request.clone()).await;
        let attempted = Attempted { what, repeat: Repeat::Freely, look, limit };
        self.call(attempted, call, Pushed::try_from).await
    }

    /// What a push would do. Changes nothing.
    ///
    /// # Errors
    /// The push would be refused; no quorum, or no agent answers.
    pub async fn preview_push(&self, push: Push) -> Result<PushPreview, ClientError> {
        let what = format!("preview a push of {} to {}", push.source, push.service);
        let request = v1::PreviewPushRequest::from(push);
        let call = async |mut wire: Wire<Channel>| wire.preview_push(request.clone()).await;
        let (look, limit) = (String::new(), self.agents.patience.push);
        let attempted = Attempted { what, repeat: Repeat::Question, look, limit };
        self.call(attempted, call, PushPreview::try_from).await
    }

    /// Moves a service to the completed release before the present one.
    ///
    /// # Errors
    /// Refused, no quorum, no agent answers, or the answer was lost.
    pub async fn rollback(&self, service: &ServiceName, by: Operator) -> Result<Pushed, ClientError> {
        let request = v1::RollbackRequest { service: service.to_string(), by: Some(by.into()) };
        let call = async |mut wire: Wire<Channel>| wire.rollback(request.clone()).await;
        let what = format!("roll back {service}");
        let (look, limit) = (history_of(service), self.agents.patience.call);
        let attempted = Attempted { what, repeat: Repeat::Never, look, limit };
        self.call(attempted, call, Pushed::try_from).await
    }

    /// Restarts the present release of a service on all its hosts.
    ///
    /// # Errors
    /// Refused, no quorum, no agent answers, or the answer was lost.
    pub async fn restart(&self, service: &ServiceName, by: Operator) -> Result<Pushed, ClientError> {
        let request = v1::RestartRequest { service: service.to_string(), by: Some(by.into()) };
        let call = async |mut wire: Wire<Channel>| wire.restart(request.clone()).await;
        let what = format!("restart {service}");
        let (look, limit) = (history_of(service), self.agents.patience.call);
        let attempted = Attempted { what, repeat: Repeat::Never, look, limit };
        self.call(attempted, call, Pushed::try_from).await
    }

    /// Asks the agents in turn until one answers, for as long as was said at most.
    pub(super) async fn call<R, T>(
        &self,
        attempted: Attempted,
        call: impl AsyncFn(Wire<Channel>) -> Result<Response<R>, Status>,
        read: impl Fn(R) -> Result<T, Invalid>,
    ) -> Result<T, ClientError> {
        let Attempted { what, repeat, look, limit } = attempted;
        let began = Instant::now();
        let left_of = |limit: Duration| limit.saturating_sub(began.elapsed());
        let mut tries = Tries::default();
        let in_turn: Vec<usize> = self.agents.in_turn().collect();
        for (turn, &agent) in (0u32..).zip(&in_turn) {
            // However long an agent may take once it is there: that none is there shows as soon as for any call.
            let left = left_of(self.agents.patience.call);
            // Cut off in the middle of its own search for a leader, an agent could no longer say that it has not done it.
            let too_late = repeat != Repeat::Question && tries.no_quorum.is_some() && left < SEARCH;
            if left.is_zero() || too_late {
                tries.attempts.push(self.agents.attempt(agent, "not tried, as the time was up"));
                continue;
            }
            let share = left / u32::try_from(in_turn.len()).unwrap_or(u32::MAX).saturating_sub(turn).max(1);
            let wire = match self.agents.connect(agent, share).await {
                Ok(wire) => wire,
                Err(attempt) => {
                    self.agents.avoid(agent);
                    tries.attempts.push(attempt);
                    continue;
                }
            };
            let left = left_of(limit);
            let address = self.agents.address(agent).clone();
            let status = match timeout(left, call(wire)).await {
                Ok(Ok(answer)) => {
                    self.agents.prefer(agent);
                    let malformed = |source| ClientError::Malformed { attempted: what, address, source };
                    return read(answer.into_inner()).map_err(malformed);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("no answer within {:.1} s", left.as_secs_f32())),
            };
            self.agents.avoid(agent);
            match meaning(&status) {
                // What the first one was asked may be done all the same.
                Meaning::No { reason, .. } if tries.lost.is_some() => {
                    tries.attempts.push(self.agents.attempt(agent, reason));
                    break;
                }
                Meaning::No { reason, exit, next } => {
                    return Err(ClientError::Refused { attempted: what, address, reason, exit, next });
                }
                Meaning::TryNext { reason, unsure: true, .. } if repeat != Repeat::Question => {
                    let (again, attempted) = (repeat == Repeat::Freely, what.clone());
                    let look = look.clone();
                    tries.attempts.push(self.agents.attempt(agent, reason.clone()));
                    tries.lost.get_or_insert(ClientError::AnswerLost {
                        attempted,
                        address,
                        reason,
                        look,
                        again,
                    });
                    if repeat == Repeat::Never {
                        break;
                    }
                }
                Meaning::TryNext { reason, no_quorum, next, .. } => {
                    tries.attempts.push(self.agents.attempt(agent, reason.clone()));
                    if no_quorum {
                        let attempted = what.clone();
                        tries.no_quorum.get_or_insert(ClientError::NoQuorum {
                            attempted,
                            address,
                            reason,
                            next,
                        });
                    }
                }
            }
        }
        Err(tries.error(what))
    }
}

/// What came of asking, so far.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) attempts: Vec<Attempt>,
    pub(super) no_quorum: Option<ClientError>,
    lost: Option<ClientError>,
}

impl Tries {
    /// That it may still be done is what matters most. After that, an agent that says that there is no quorum knows more than those that
    /// do not answer.
    pub(super) fn error(self, attempted: String) -> ClientError {
        let attempts = self.attempts;
        self.lost.or(self.no_quorum).unwrap_or(ClientError::Unreachable { attempted, attempts })
    }
}

#[cfg(test)]
mod tests;
