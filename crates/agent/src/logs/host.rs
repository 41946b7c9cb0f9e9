//! One host's output for one caller: read here, or asked of its agent, and asked again when that was lost.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{
    v1::{self, agent_client::AgentClient},
    view::{LogHost, LogItem, LogsQuery},
};
use model::{ClusterId, HostId};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, Streaming};

use super::{Gone, Own, Places, Sender, send};
use crate::{channels::Channels, link::VERSION};

/// Longest wait for a host to answer, until it is said that it does not.
const OPEN: Duration = Duration::from_secs(2);
/// Pause before a host that was lost is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest wait for another host to send what there was.
const TURN: Duration = Duration::from_secs(1);

/// How a host's output is had.
pub enum Channel {
    /// It is this host.
    Own(Own),
    /// Through the agent at this address, on a connection of its own.
    Other {
        /// Connections to other agents.
        channels: Channels,
        /// Where it listens.
        address: SocketAddr,
        /// The cluster of both.
        cluster: ClusterId,
    },
}

/// One host's output for one caller.
pub struct Host {
    /// The host.
    pub host: HostId,
    /// How it is asked.
    pub channel: Channel,
    /// What it is asked.
    pub query: LogsQuery,
    /// Where the caller is.
    pub places: Places,
    /// Whose turn it is to send what there was.
    pub turns: Turns,
}

/// Hosts send what there was one after the other, so that it can be read; what comes then, as it comes.
pub type Turns = Arc<tokio::sync::Mutex<()>>;

impl Host {
    /// Passes the host's output on; says when the host is not reached, and when it is again. Ends when all is sent, or, without
    /// `follow`, when the host could not be reached; or when the reader has gone.
    ///
    /// # Errors
    /// The reader has gone.
    pub async fn run(self, to: &Sender) -> Result<(), Gone> {
        let (mut away, mut late) = (false, true);
        loop {
            let lost = match self.open().await {
                Ok(stream) => self.pass_on(stream, &mut away, &mut late, to).await?,
                Err(reason) => Some(reason),
            };
            let Some(reason) = lost else { return Ok(()) };
            if !away {
                let host = LogHost { host: self.host.clone(), reached: Err(reason), current: false };
                send(to, LogItem::Host(host)).await?;
            }
            if !self.query.follow {
                return Ok(());
            }
            (away, late) = (true, false);
            tokio::select! {
                () = to.closed() => return Err(Gone),
                () = tokio::time::sleep(PAUSE) => (),
            }
        }
    }

    /// Passes on what one stream brings, and waits for its turn with what there was. Returns why the stream ended, if it should not have.
    async fn pass_on(
        &self,
        mut stream: Stream,
        away: &mut bool,
        late: &mut bool,
        to: &Sender,
    ) -> Result<Option<String>, Gone> {
        let mut turn = None;
        loop {
            let next = tokio::select! {
                () = to.closed() => return Err(Gone),
                next = stream.next() => next,
            };
            let item = match next {
                Ok(Some(item)) => item,
                Ok(None) if self.query.follow => return Ok(Some("its agent ended the stream".into())),
                Ok(None) => return Ok(None),
                Err(status) => return Ok(Some(words(&status))),
            };
            *away = false;
            match &item {
                LogItem::Host(host) if host.current => (*late, turn) = (false, None),
                LogItem::Host(_) => (),
                LogItem::Lines(..) | LogItem::Gap(_) if *late && turn.is_none() => {
                    turn = timeout(TURN, self.turns.lock()).await.ok();
                    // A host that does not get on keeps nobody waiting for long.
                    *late = turn.is_some();
                }
                LogItem::Lines(..) | LogItem::Gap(_) => (),
            }
            // Noted when it is sent: what the caller did not get is asked for again.
            let noted = item.clone();
            send(to, item).await?;
            self.places.note(&noted);
        }
    }

    async fn open(&self) -> Result<Stream, String> {
        let query = LogsQuery { after: self.places.all(), ..self.query.clone() };
        match &self.channel {
            Channel::Own(own) => {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(own.clone().send(query, sender));
                Ok(Stream::Own(receiver))
            }
            Channel::Other { channels, address, cluster } => {
                let request = v1::HostLogsRequest {
                    version: VERSION,
                    cluster: cluster.to_string(),
                    host: self.host.to_string(),
                    request: Some(query.into()),
                };
                let mut client = AgentClient::new(channels.alone(*address))
                    .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
                match timeout(OPEN, client.host_logs(request)).await {
                    Ok(Ok(stream)) => Ok(Stream::Other(Box::new(stream.into_inner()))),
                    Ok(Err(status)) => Err(words(&status)),
                    Err(_) => Err(format!("its agent does not answer within {} s", OPEN.as_secs())),
                }
            }
        }
    }
}

enum Stream {
    Own(mpsc::Receiver<Result<LogItem, Status>>),
    Other(Box<Streaming<v1::LogsResponse>>),
}

impl Stream {
    async fn next(&mut self) -> Result<Option<LogItem>, Status> {
        match self {
            Self::Own(receiver) => receiver.recv().await.transpose(),
            Self::Other(stream) => {
                let item = stream.message().await?.map(LogItem::try_from);
                item.transpose().map_err(Status::from)
            }
        }
    }
}

/// Why a host is not reached, for a person.
fn words(status: &Status) -> String {
    if status.code() == Code::Unimplemented {
        return "its agent is too old to show logs; update it".into();
    }
    let mut source = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(deeper) = source {
        text = deeper.to_string();
        source = deeper.source();
    }
    text
}
