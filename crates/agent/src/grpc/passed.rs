//! Calls that one agent passes on to another, because its own replica does not do: it has none, or has lost its group.

use std::{collections::VecDeque, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use api::v1::deployinator_client::DeployinatorClient;
use futures_util::{Stream, StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue, transport::Channel};

use super::public::Public;
use crate::{core::Core, room::Place};

/// Metadata key of a call that was passed on. Its value says to whom.
const KEY: &str = "deployinator-forwarded";
/// Longest wait for the answer of a member, or for the beginning of its stream, by who may have an answer of its own.
const MEMBERS: Duration = Duration::from_secs(1);
/// The same for the answer of anyone.
const ANYONE: Duration = Duration::from_secs(2);
/// How long an agent is waited for alone.
const HEAD_START: Duration = Duration::from_millis(200);

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A connection to the agent that is asked.
pub(super) type Client = DeployinatorClient<Channel>;

/// Whether a call was passed on by another agent. It is not passed on further, so that no two ask each other in circles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// A client asks.
    Not,
    /// To be answered only by who has a part in the group.
    ToMember,
    /// To be answered by whoever has a replica, however old: nobody else answered.
    ToAnyone,
}

impl Passed {
    /// How this call came here.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        match request.metadata().get(KEY) {
            None => Self::Not,
            Some(value) if value == "anyone" => Self::ToAnyone,
            Some(_) => Self::ToMember,
        }
    }

    /// A call that is passed on like this.
    pub(super) fn mark<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = match self {
            Self::Not => return request,
            Self::ToMember => "member",
            Self::ToAnyone => "anyone",
        };
        request.metadata_mut().insert(KEY, MetadataValue::from_static(value));
        request
    }
}

/// An answer from another agent, where this one is not the one to answer; nothing where it is. Members of the group are asked first; if
/// none answers, an old replica is better than nothing: this one's, else that of any other.
pub(super) async fn elsewhere<T, F>(
    core: &Core,
    passed: Passed,
    ask: impl Fn(Client, Passed) -> F,
) -> Result<Option<Response<T>>, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    if core.link.is_member() {
        return Ok(None);
    }
    match passed {
        Passed::ToAnyone if core.link.has_replica() => return Ok(None),
        Passed::ToAnyone | Passed::ToMember => return Err(no_member()),
        Passed::Not => (),
    }
    let mut last = no_member();
    for (passed, limit) in [(Passed::ToMember, MEMBERS), (Passed::ToAnyone, ANYONE)] {
        let others = core.link.members().all().into_iter().filter(|address| *address != core.link.me());
        match first_of(core, others.collect(), limit, |client| ask(client, passed)).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(refusal) => last = refusal.unwrap_or(last),
        }
        if core.link.has_replica() {
            return Ok(None);
        }
    }
    Err(last)
}

/// The first answer of any of these, each asked a little after the one before: a frozen one keeps nobody from asking the next. Else the
/// last refusal, if there was any.
async fn first_of<T, F>(
    core: &Core,
    mut others: VecDeque<SocketAddr>,
    limit: Duration,
    ask: impl Fn(Client) -> F,
) -> Result<Response<T>, Option<Status>>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let ends = Instant::now() + limit;
    let (mut asked, mut last) = (FuturesUnordered::new(), None);
    loop {
        if let Some(address) = others.pop_front() {
            let client = DeployinatorClient::new(core.link.channels().to(address))
                .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
            asked.push(ask(client));
        }
        let heard = tokio::select! {
            heard = asked.next() => heard,
            () = sleep(HEAD_START), if !others.is_empty() => continue,
            () = sleep_until(ends) => return Err(last.or(Some(Status::unavailable("no other agent answered in time")))),
        };
        match heard {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(refusal)) => last = Some(refusal),
            None => return Err(last),
        }
    }
}

/// Who answers a call that asks for a stream.
pub(super) enum Answering<T> {
    /// This agent, which has a place for it.
    Here(Arc<Core>, Place),
    /// A member, whose stream is passed on.
    Elsewhere(Answers<T>),
}

/// Has a member answer where this agent's replica does not do. A stream that is passed on takes a place here as well, until it ends.
pub(super) async fn answering<T, F>(
    public: &Public,
    passed: Passed,
    ask: impl Fn(Client, Passed) -> F,
) -> Result<Answering<T>, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<Response<Streaming<T>>, Status>>,
{
    let core = public.core()?;
    let room = public.backend().cell.parts().room.watcher()?;
    Ok(match elsewhere(&core, passed, ask).await? {
        None => Answering::Here(core, room),
        Some(stream) => Answering::Elsewhere(Box::pin(stream.into_inner().map(move |item| {
            let _kept = &room;
            item
        }))),
    })
}

pub(super) fn no_member() -> Status {
    Status::unavailable("this agent follows, and knows no member of the group that answers")
}
