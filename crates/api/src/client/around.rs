//! Questions, asked around: each agent a little after the one before. One that is frozen, or looks for a leader in vain, keeps nobody from
//! asking the next. What changes something is never asked like this: see [`calls`](super::calls).

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};
use tonic::{Response, Status, transport::Channel};

use super::{
    Attempt, Client, ClientError,
    calls::Tries,
    error::{Meaning, meaning},
};
use crate::{convert::Invalid, v1::deployinator_client::DeployinatorClient as Wire};

/// How long an agent is waited for alone.
const HEAD_START: Duration = Duration::from_millis(300);

/// What came of one agent.
enum Heard<R> {
    Answer(R),
    Failed(Status),
    NotReached(Attempt),
}

impl Client {
    /// The first good answer of any agent.
    pub(super) async fn ask_around<R, T>(
        &self,
        attempted: String,
        call: impl AsyncFn(Wire<Channel>) -> Result<Response<R>, Status>,
        read: impl Fn(R) -> Result<T, Invalid>,
    ) -> Result<T, ClientError> {
        let limit = self.agents.patience.call;
        let ends = Instant::now() + limit;
        let ask = async |agent: usize| {
            let left = ends.saturating_duration_since(Instant::now());
            let heard = match self.agents.connect(agent, left).await {
                Err(attempt) => Heard::NotReached(attempt),
                Ok(wire) => {
                    call(wire).await.map_or_else(Heard::Failed, |answer| Heard::Answer(answer.into_inner()))
                }
            };
            (agent, heard)
        };
        let mut waiting: Vec<usize> = self.agents.in_turn().collect();
        waiting.reverse();
        let (mut asked, mut silent) = (FuturesUnordered::new(), Vec::new());
        let mut tries = Tries::default();
        let mut due = Instant::now();
        loop {
            if (asked.is_empty() || due <= Instant::now())
                && let Some(agent) = waiting.pop()
            {
                asked.push(ask(agent));
                silent.push(agent);
                due = Instant::now() + HEAD_START;
            }
            if asked.is_empty() {
                return Err(tries.error(attempted));
            }
            let heard = tokio::select! {
                heard = asked.next() => heard,
                () = sleep_until(due), if !waiting.is_empty() => None,
                () = sleep_until(ends) => break,
            };
            let Some((agent, heard)) = heard else { continue };
            silent.retain(|other| *other != agent);
            // Whoever is left is asked at once: this one does not do.
            due = Instant::now();
            let status = match heard {
                Heard::Answer(answer) => {
                    self.agents.prefer(agent);
                    let address = self.agents.address(agent).clone();
                    return read(answer).map_err(|source| ClientError::Malformed {
                        attempted,
                        address,
                        source,
                    });
                }
                Heard::NotReached(attempt) => {
                    self.agents.avoid(agent);
                    tries.attempts.push(attempt);
                    continue;
                }
                Heard::Failed(status) => status,
            };
            self.agents.avoid(agent);
            let address = self.agents.address(agent).clone();
            match meaning(&status) {
                Meaning::No { reason, exit, next } => {
                    return Err(ClientError::Refused { attempted, address, reason, exit, next });
                }
                Meaning::TryNext { reason, no_quorum, next, .. } => {
                    tries.attempts.push(self.agents.attempt(agent, reason.clone()));
                    if no_quorum {
                        let attempted = attempted.clone();
                        let error = ClientError::NoQuorum { attempted, address, reason, next };
                        tries.no_quorum.get_or_insert(error);
                    }
                }
            }
        }
        for agent in silent {
            self.agents.avoid(agent);
            let reason = format!("no answer within {:.1} s", limit.as_secs_f32());
            tries.attempts.push(self.agents.attempt(agent, reason));
        }
        for agent in waiting {
            tries.attempts.push(self.agents.attempt(agent, "not tried, as the time was up"));
        }
        Err(tries.error(attempted))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        client::{Address, Patience},
        fake::{FakeAgent, Script},
        v1,
    };

    #[tokio::test]
    async fn agents_that_are_frozen_keep_nobody_from_an_answer() {
        // Their systems take connections; nobody ever says a word.
        let mute = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let named = |mute: &TcpListener| mute.local_addr().unwrap().to_string().parse::<Address>().unwrap();
        let history = v1::HistoryResponse { revision: 3, ..Default::default() };
        let there = FakeAgent::start(Script { history, ..Script::default() }).await;
        let addresses = vec![named(&mute[0]), named(&mute[1]), there.address().clone()];
        // No connection is given up for a minute: only another agent has an answer.
        let patience = Patience {
            connect: Duration::from_secs(60),
            call: Duration::from_secs(60),
            ..Patience::default()
        };
        let client = Client::with_patience(addresses, patience);
        let web = "web".parse().unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(30), client.history(&web, 0));
        assert_eq!(answer.await.expect("an answer").unwrap().revision.0, 3);
    }
}
