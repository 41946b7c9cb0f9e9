//! Finds an agent that answers.

use std::{net::SocketAddr, time::Duration};

use api::{
    Exit,
    v1::{self, deployinator_client::DeployinatorClient},
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::failure::Failure;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest wait for an answer: an agent knows within it that there is no quorum.
const ANSWER: Duration = Duration::from_millis(4500);
/// How long all agents together may take to say that there is no quorum.
const PATIENCE: Duration = Duration::from_millis(4800);
/// How long a watch looks for an agent that answers before it gives up.
const RECONNECT: Duration = Duration::from_secs(30);
/// Pause before all agents are asked again.
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) type Client = DeployinatorClient<Channel>;

/// The agents that may be asked, the one that answered last first.
pub(crate) struct Agents {
    addresses: Vec<SocketAddr>,
    first: usize,
}

impl Agents {
    pub(crate) fn parse(addresses: &[String]) -> Result<Self, Failure> {
        let parse = |address: &String| {
            address.trim().parse().map_err(|_| {
                let text = format!("--agent {address}: must be ADDRESS:PORT, such as 127.0.0.1:7100");
                Failure::new(Exit::Usage, text, None)
            })
        };
        let addresses: Vec<SocketAddr> = addresses.iter().map(parse).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(Failure::new(Exit::Usage, "--agent: name at least one", None));
        }
        Ok(Self { addresses, first: 0 })
    }

    fn in_turn(&self) -> Vec<(usize, SocketAddr)> {
        let count = self.addresses.len();
        (0..count)
            .map(|offset| (self.first + offset) % count)
            .map(|number| (number, self.addresses[number]))
            .collect()
    }

    /// Asks one agent after the other until one answers. "No" is an answer; no connection, or no quorum behind it, is none.
    pub(crate) async fn ask<T>(
        &mut self,
        attempted: &str,
        call: impl AsyncFn(Client) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut silent = Vec::new();
        let mut no_quorum = None;
        for (number, address) in self.in_turn() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let asked = async {
                let client = connect(address).await?;
                call(client).await
            };
            match timeout(left.min(ANSWER), asked).await {
                Ok(Ok(answer)) => {
                    self.first = number;
                    return Ok(answer);
                }
                Ok(Err(status)) if status.code() == Code::Unavailable || status.code() == Code::Unknown => {
                    if api::refusal::exit_of(&status).is_some() {
                        no_quorum = Some(Failure::refused(&status));
                    } else {
                        silent.push(format!("{address}: {}", reason(&status)));
                    }
                }
                Ok(Err(status)) => return Err(Failure::refused(&status)),
                Err(_) => silent.push(format!("{address}: no answer in time")),
            }
        }
        Err(no_quorum.unwrap_or_else(|| {
            let text = format!("{attempted}: no agent answers ({})", silent.join("; "));
            Failure::new(
                Exit::Unavailable,
                text,
                Some("name a running agent with --agent, or in DEPLOYINATOR_AGENTS"),
            )
        }))
    }

    /// The same for as long as a watch may take to find its way back.
    pub(crate) async fn ask_again<T>(
        &mut self,
        attempted: &str,
        call: impl AsyncFn(Client) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + RECONNECT;
        loop {
            self.first = (self.first + 1) % self.addresses.len();
            match self.ask(attempted, &call).await {
                Err(failure) if failure.exit == Exit::Unavailable && Instant::now() < deadline => {
                    sleep(PAUSE).await
                }
                answer => return answer,
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<Client, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let channel = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .connect()
        .await
        .map_err(|error| Status::unavailable(chain(&error)))?;
    Ok(DeployinatorClient::new(channel).max_decoding_message_size(api::MESSAGE_LIMIT_BYTES))
}

/// The innermost cause is what helps: "connection refused".
fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn reason(status: &Status) -> &str {
    if status.message().is_empty() { "no answer" } else { status.message() }
}

/// Who asks, for the record.
pub(crate) fn operator(name: &str, reason: &str) -> Option<v1::Operator> {
    Some(v1::Operator { name: name.to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_wrong_usage() {
        let failure = Agents::parse(&["127.0.0.1".to_owned()]).err().expect("it was accepted");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.text.contains("127.0.0.1"), "{}", failure.text);
    }

    #[tokio::test]
    async fn when_no_agent_answers_each_is_named() {
        let mut agents = Agents::parse(&["127.0.0.1:1".to_owned(), "127.0.0.2:1".to_owned()]).unwrap();
        let failure = agents.ask("status", async |_| Ok(())).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(
            failure.text.contains("127.0.0.1:1") && failure.text.contains("127.0.0.2:1"),
            "{}",
            failure.text
        );
    }
}
