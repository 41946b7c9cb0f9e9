//! The balancer's admin API as a [`ports::Balancer`], and the rest of it for demos and tests.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use ports::{Balancer, Fault, FaultKind, Standing, Target};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    admin::is_group_name,
    http::{self, Unanswered},
    wire::{Counters, Faults, GroupOptions, Refusal, TargetName, TargetState, TargetView},
};

/// Longest wait for a call, from its start to the end of its answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Speaks with the balancer about one target group.
#[derive(Debug, Clone)]
pub struct Client {
    /// Host and port of the admin API.
    authority: String,
    group: String,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not `http://HOST:PORT`.
    #[error("balancer url {0:?}: must be http://HOST:PORT")]
    Url(String),
    /// Not a name.
    #[error("target group {0:?}: may hold only letters, digits, `-`, `_` and `.`")]
    Group(String),
}

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("read the answer")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    #[error("make the request")]
    Request(#[source] Box<dyn Error + Send + Sync>),
    #[error("answered {}: {text}", status.as_u16())]
    Status { status: StatusCode, text: String },
}

impl Failed {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Status { status: StatusCode::TOO_MANY_REQUESTS, .. } => FaultKind::Throttled,
            Self::Status { status, .. } if status.is_client_error() => FaultKind::Permanent,
            Self::Request(_) => FaultKind::Permanent,
            Self::TimedOut | Self::Unanswered(_) | Self::Answer(_) | Self::Status { .. } => {
                FaultKind::Transient
            }
        }
    }
}

impl Client {
    /// A client of the balancer whose admin API is at `url` (`http://HOST:PORT`), for one target group. The group is
    /// made with the balancer's own options at the first join.
    ///
    /// # Errors
    /// When the URL or the name cannot be used. Nothing is connected to yet.
    pub fn new(url: &str, group: &str) -> Result<Self, Unusable> {
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
            .filter(|rest| rest.parse::<::http::uri::Authority>().is_ok_and(|a| a.port_u16().is_some()))
            .filter(|rest| !rest.contains('@'))
            .ok_or_else(|| Unusable::Url(url.to_owned()))?;
        if !is_group_name(group) {
            return Err(Unusable::Group(group.to_owned()));
        }
        Ok(Self { authority: authority.to_owned(), group: group.to_owned() })
    }

    /// Makes the group with these options, or changes its options.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn configure(&self, options: &GroupOptions) -> Result<(), Fault> {
        self.call("configure", Method::PUT, &self.of_group(""), options).await
    }

    /// The group's targets that are registered or drain.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn targets(&self) -> Result<Vec<TargetView>, Fault> {
        self.call("list targets of", Method::GET, &self.of_group("/targets"), &()).await
    }

    /// What is known of one target; asked about as [`Balancer::standing`] is, with more detail.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn describe(&self, target: &Target) -> Result<TargetView, Fault> {
        let verb = format!("describe {} in", target.host);
        self.call(&verb, Method::POST, &self.of_group("/describe"), &name(target)).await
    }

    /// What happened to the group's requests since the last reset.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn counters(&self) -> Result<Counters, Fault> {
        self.call("read counters of", Method::GET, &self.of_group("/counters"), &()).await
    }

    /// Counts the group's requests from zero, and its minimum in service from now.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn reset_counters(&self) -> Result<(), Fault> {
        self.call("reset counters of", Method::POST, &self.of_group("/counters/reset"), &()).await
    }

    /// Sets all faults of the balancer anew.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn set_faults(&self, faults: &Faults) -> Result<(), Fault> {
        self.call("set faults for", Method::PUT, "/faults", faults).await
    }

    fn of_group(&self, rest: &str) -> String {
        format!("/groups/{}{rest}", self.group)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        verb: &str,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let exchange = async {
            let body = serde_json::to_vec(body).map_err(|error| Failed::Request(error.into()))?;
            self.exchange(method, path, body).await
        };
        let done = tokio::time::timeout(CALL_TIMEOUT, exchange).await.unwrap_or(Err(Failed::TimedOut));
        done.map_err(|error| Fault::new(error.kind(), format!("{verb} target group {}", self.group), error))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failed> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failed::Request(error.into()))?;
        let answer = http::send(&self.authority, request).await?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await.map_err(|error| Failed::Answer(error.into()))?.to_bytes();
        if head.status != StatusCode::OK {
            let text = serde_json::from_slice(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).trim().to_owned(), |Refusal { error }| error);
            return Err(Failed::Status { status: head.status, text });
        }
        serde_json::from_slice(&body).map_err(|error| Failed::Answer(error.into()))
    }
}

fn name(target: &Target) -> TargetName {
    TargetName { host: target.host.clone(), address: target.address }
}

impl Balancer for Client {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        let verb = format!("register {} in", target.host);
        self.call(&verb, Method::POST, &self.of_group("/register"), &name(target)).await
    }

    /// It does not say how long: a drain ends with the last request.
    async fn leave(&self, target: &Target) -> Result<Option<Duration>, Fault> {
        let verb = format!("deregister {} from", target.host);
        self.call::<()>(&verb, Method::POST, &self.of_group("/deregister"), &name(target)).await?;
        Ok(None)
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        let view = self.describe(target).await?;
        Ok(match view.state {
            TargetState::Absent => Standing::Absent,
            TargetState::Initial => Standing::Initial,
            TargetState::InService => Standing::InService,
            TargetState::Unhealthy => Standing::Unhealthy { reason: view.reason.unwrap_or_default() },
            TargetState::Draining => Standing::Draining,
        })
    }

    /// The group is made when the first target joins, so there is nothing to look at but the balancer itself.
    async fn check(&self, target: &Target) -> Result<(), Fault> {
        self.describe(target).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_only_what_it_can_use() {
        assert!(Client::new("http://127.0.0.1:80", "web").is_ok());
        assert!(Client::new("http://[::1]:80/", "web-1.a_b").is_ok());
        for url in ["127.0.0.1:80", "https://h:1", "http://h", "http://h:1/x", "http://a@h:1", "http://"] {
            assert_eq!(Client::new(url, "web").unwrap_err(), Unusable::Url(url.to_owned()));
        }
        for group in ["", "a/b", "a b"] {
            assert_eq!(Client::new("http://h:1", group).unwrap_err(), Unusable::Group(group.to_owned()));
        }
    }

    #[test]
    fn statuses_become_kinds_of_fault() {
        let table = [
            (StatusCode::TOO_MANY_REQUESTS, FaultKind::Throttled),
            (StatusCode::FORBIDDEN, FaultKind::Permanent),
            (StatusCode::NOT_FOUND, FaultKind::Permanent),
            (StatusCode::INTERNAL_SERVER_ERROR, FaultKind::Transient),
            (StatusCode::SERVICE_UNAVAILABLE, FaultKind::Transient),
            (StatusCode::FOUND, FaultKind::Transient),
        ];
        for (status, kind) in table {
            assert_eq!(Failed::Status { status, text: String::new() }.kind(), kind, "{status}");
        }
        assert_eq!(Failed::TimedOut.kind(), FaultKind::Transient);
    }
}
