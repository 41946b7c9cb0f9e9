//! The APIs as the SDKs speak them: EC2, ELBv2 and STS by the Query protocol, S3 by paths.
//!
//! Promise: what is told here is read from the one state, as it is or, on demand, as it was.
//! Absent on purpose: signatures are not verified; who calls is told by the access key that it names.

mod answer;
mod caller;
mod ec2;
mod elb;
mod elb_views;
mod s3;
mod sts;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use localbalancer::proxy::AnswerBody;

pub(crate) use self::answer::{Reply, Silent};
use self::caller::Caller;
use crate::{query::Params, refusal::Refusal, shared::Shared, wire::FaultKind};

/// Longest request body.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// Which API a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Elb,
    Sts,
    S3,
}

impl Service {
    /// The service's prefix in IAM policies.
    fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Elb => "elasticloadbalancing",
            Self::Sts => "sts",
            Self::S3 => "s3",
        }
    }
}

/// One call.
struct Call {
    service: Service,
    /// What is to be done, without the service's prefix.
    action: String,
    params: Params,
    method: Method,
    path: String,
    /// What the caller has already, of an object.
    if_none_match: Option<String>,
}

impl Call {
    /// The action as in an IAM policy.
    fn named(&self) -> String {
        format!("{}:{}", self.service.prefix(), self.action)
    }
}

/// Answers one request.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    from: SocketAddr,
) -> Result<Response<AnswerBody>, Silent> {
    let caller = Caller::of(&shared, request.headers(), from);
    let call = match read(request).await {
        Ok(call) => call,
        Err(refusal) => return Ok(Reply::refusal(Service::Sts, &refusal).whole()),
    };
    let fault = shared.called(&call.named(), &caller.name, caller.has_expired());
    let ago = match fault {
        Some(FaultKind::Slow { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Duration::ZERO
        }
        Some(FaultKind::Stale { ms }) => Duration::from_millis(ms),
        Some(FaultKind::Drop) => return Err(Silent),
        _ => Duration::ZERO,
    };
    if let Some(reply) = fault.and_then(|kind| answer::faulty(kind, &call, &caller)) {
        return Ok(reply.whole());
    }
    let done = caller.check(call.service).and_then(|()| may(&shared, &call, &caller));
    let done = done.and_then(|()| execute(&shared, &call, &caller, ago));
    let reply = done.unwrap_or_else(|refusal| Reply::refusal(call.service, &refusal));
    match fault {
        Some(FaultKind::LoseAnswer) => Err(Silent),
        Some(FaultKind::CutAnswer) => Ok(reply.cut()),
        _ => Ok(reply.whole()),
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let if_none_match = head.headers.get("if-none-match").and_then(|value| value.to_str().ok());
    let if_none_match = if_none_match.map(str::to_owned);
    let query = Params::parse(head.uri.query().unwrap_or_default());
    if head.method != Method::POST && query.get("Action").is_none() {
        let (service, action) = (Service::S3, s3::action(&head.method, &path).to_owned());
        return Ok(Call { service, action, params: query, method: head.method, path, if_none_match });
    }
    let unreadable = |error| Refusal::new("MalformedInput", format!("read the body: {error}"));
    let body = Limited::new(body, BODY_LIMIT_BYTES).collect().await.map_err(unreadable)?.to_bytes();
    let form = Params::parse(&String::from_utf8_lossy(&body));
    let params = if form.get("Action").is_some() { form } else { query };
    let service = match params.get("Version") {
        Some("2016-11-15") => Service::Ec2,
        Some("2015-12-01") => Service::Elb,
        Some("2011-06-15") => Service::Sts,
        version => {
            let text = format!("there is no API of version {version:?} here");
            return Err(Refusal::new("NoSuchVersion", text));
        }
    };
    let action = params.get("Action").unwrap_or_default().to_owned();
    Ok(Call { service, action, params, method: head.method, path, if_none_match })
}

/// Whether roles are allowed this. Everybody may ask who he is.
fn may(shared: &Shared, call: &Call, caller: &Caller) -> Result<(), Refusal> {
    let asks = caller.has_role() && call.service != Service::Sts;
    let refused = asks && !shared.is_allowed(&call.named());
    if refused { Err(answer::denied(call, caller)) } else { Ok(()) }
}

fn execute(shared: &Arc<Shared>, call: &Call, caller: &Caller, ago: Duration) -> Result<Reply, Refusal> {
    let (cloud, now) = shared.as_of(ago);
    match call.service {
        Service::Ec2 => ec2::execute(&cloud, call, now),
        Service::Elb => elb::execute(shared, &cloud, call, now),
        Service::Sts => sts::execute(&cloud, call, caller),
        Service::S3 => s3::execute(&cloud, call),
    }
}

/// An action that this API has not, or that is not made here.
fn no_such_action(call: &Call) -> Refusal {
    let text = format!("The action {} is not valid for this web service.", call.action);
    Refusal::with_status(StatusCode::BAD_REQUEST, "InvalidAction", text)
}
