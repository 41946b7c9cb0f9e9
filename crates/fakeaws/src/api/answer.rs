//! How an answer looks, whole or broken.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
};
use localbalancer::proxy::AnswerBody;

use super::{Call, Service, caller::Caller};
use crate::{refusal::Refusal, wire::FaultKind, xml::Xml};

/// The request id in all answers: nobody asks about it.
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// There is no answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("no answer, on demand")]
pub(crate) struct Silent;

/// An answer before it is sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn xml(document: String) -> Self {
        let body = Bytes::from(document);
        Self { status: StatusCode::OK, content_type: "text/xml;charset=UTF-8", headers: Vec::new(), body }
    }

    /// The answer to an EC2 action.
    pub(crate) fn ec2(action: &str, inner: impl FnOnce(&mut Xml)) -> Self {
        let root = format!("{action}Response");
        Self::xml(Xml::document(&root, "http://ec2.amazonaws.com/doc/2016-11-15/", |xml| {
            xml.leaf("requestId", REQUEST_ID);
            inner(xml);
        }))
    }

    /// The answer to an action of the other Query APIs.
    pub(crate) fn query(namespace: &str, action: &str, inner: impl FnOnce(&mut Xml)) -> Self {
        Self::xml(Xml::document(&format!("{action}Response"), namespace, |xml| {
            xml.node(&format!("{action}Result"), inner);
            xml.node("ResponseMetadata", |xml| xml.leaf("RequestId", REQUEST_ID));
        }))
    }

    /// An error, as the service puts it.
    pub(crate) fn refusal(service: Service, refusal: &Refusal) -> Self {
        let words = |xml: &mut Xml| {
            xml.leaf("Code", refusal.code);
            xml.leaf("Message", &refusal.message);
        };
        let document = match service {
            Service::Ec2 => Xml::document("Response", "", |xml| {
                xml.node("Errors", |xml| xml.node("Error", words));
                xml.leaf("RequestID", REQUEST_ID);
            }),
            Service::Elb | Service::Sts => {
                let fault = if refusal.status.is_server_error() { "Receiver" } else { "Sender" };
                let namespace =
                    if service == Service::Elb { super::elb::NAMESPACE } else { super::sts::NAMESPACE };
                Xml::document("ErrorResponse", namespace, |xml| {
                    xml.node("Error", |xml| {
                        xml.leaf("Type", fault);
                        words(xml);
                    });
                    xml.leaf("RequestId", REQUEST_ID);
                })
            }
            Service::S3 => Xml::document("Error", "", |xml| {
                words(xml);
                xml.leaf("RequestId", REQUEST_ID);
            }),
        };
        Self { status: refusal.status, ..Self::xml(document) }
    }

    pub(crate) fn whole(self) -> Response<AnswerBody> {
        let body = Full::new(self.body.clone()).map_err(|never| match never {});
        self.with(body.boxed_unsync())
    }

    /// An answer that says how long it is, and ends before.
    pub(crate) fn cut(self) -> Response<AnswerBody> {
        let body = Half { length: self.body.len(), left: Some(self.body.slice(..self.body.len() / 2)) };
        self.with(body.boxed_unsync())
    }

    fn with(self, body: AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::builder().status(self.status).header("content-type", self.content_type);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap_or_else(|_| {
            let mut response = Response::new(AnswerBody::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

/// The answer of a fault that keeps the call from being carried out.
pub(super) fn faulty(kind: FaultKind, call: &Call, caller: &Caller) -> Option<Reply> {
    let service = call.service;
    let refusal = match kind {
        FaultKind::Throttle => throttled(service),
        FaultKind::Error => {
            let code = if service == Service::Elb { "InternalFailure" } else { "InternalError" };
            let text = "An internal error has occurred";
            Refusal::with_status(StatusCode::INTERNAL_SERVER_ERROR, code, text)
        }
        FaultKind::Unavailable => {
            let code = if service == Service::Ec2 { "Unavailable" } else { "ServiceUnavailable" };
            let text = "The service is unavailable. Please try again shortly.";
            Refusal::with_status(StatusCode::SERVICE_UNAVAILABLE, code, text)
        }
        FaultKind::Html => {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>";
            return Some(Reply {
                status: StatusCode::BAD_GATEWAY,
                content_type: "text/html",
                ..Reply::xml(page.to_owned())
            });
        }
        FaultKind::Expired => expired(service),
        FaultKind::Denied => denied(call, caller),
        FaultKind::Slow { .. }
        | FaultKind::Stale { .. }
        | FaultKind::CutAnswer
        | FaultKind::LoseAnswer
        | FaultKind::Drop => return None,
    };
    Some(Reply::refusal(service, &refusal))
}

fn throttled(service: Service) -> Refusal {
    match service {
        Service::Ec2 => Refusal::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            "RequestLimitExceeded",
            "Request limit exceeded.",
        ),
        Service::Elb | Service::Sts => Refusal::new("Throttling", "Rate exceeded"),
        Service::S3 => Refusal::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "Please reduce your request rate.",
        ),
    }
}

pub(super) fn expired(service: Service) -> Refusal {
    let text = "The security token included in the request is expired";
    match service {
        Service::Ec2 => Refusal::new("RequestExpired", "Request has expired."),
        Service::Elb | Service::Sts => Refusal::with_status(StatusCode::FORBIDDEN, "ExpiredToken", text),
        Service::S3 => Refusal::new("ExpiredToken", "The provided token has expired."),
    }
}

pub(super) fn denied(call: &Call, caller: &Caller) -> Refusal {
    let action = call.named();
    let who = &caller.arn;
    let (code, text) = match call.service {
        Service::Ec2 => (
            "UnauthorizedOperation",
            format!(
                "You are not authorized to perform this operation. User: {who} is not authorized to perform: {action} \
                 because no identity-based policy allows the {action} action"
            ),
        ),
        Service::Elb | Service::Sts => (
            "AccessDenied",
            format!(
                "User: {who} is not authorized to perform: {action} because no identity-based policy allows the \
                 {action} action"
            ),
        ),
        Service::S3 => ("AccessDenied", "Access Denied".to_owned()),
    };
    Refusal::with_status(StatusCode::FORBIDDEN, code, text)
}

/// The first half of a body, and then nothing but the end of the connection.
struct Half {
    length: usize,
    left: Option<Bytes>,
}

impl Body for Half {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(match self.left.take() {
            Some(half) => Ok(Frame::data(half)),
            None => Err(Box::new(Silent)),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}
