//! The control door for tests in Rust.

use std::{collections::BTreeMap, error::Error, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use localbalancer::http::{Unanswered, send};
use serde::{Serialize, de::DeserializeOwned};

use crate::wire::{
    Act, BalancerView, CallCount, Counters, Credentials, Fault, GroupOptions, GroupView, InstanceView,
    ListenerView, Listening, NewBalancer, NewInstance, NewListener, Rate, Refused, Sample, TargetName,
    TargetView,
};

/// Longest wait for a call, from its start to the end of its answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks with the control door of a server that runs.
#[derive(Debug, Clone)]
pub struct Control {
    /// Host and port.
    authority: String,
}

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} at the control door of fakeaws")]
pub struct Failed {
    method: Method,
    path: String,
    source: Box<dyn Error + Send + Sync>,
}

/// What the control door said instead of an answer.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("answered {}: {text}", status.as_u16())]
    Status { status: StatusCode, text: String },
}

impl Control {
    /// A client of the control door at `url` (`http://HOST:PORT`). Nothing is connected to yet.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { authority: url.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    /// Time since the server was started, as in samples.
    ///
    /// # Errors
    /// When the call fails, as with all others.
    pub async fn now(&self) -> Result<Duration, Failed> {
        self.call(Method::GET, "/now", &()).await.map(Duration::from_millis)
    }

    /// Launches an instance.
    ///
    /// # Errors
    /// When the call fails, or an id or address is in use.
    pub async fn launch(&self, new: &NewInstance) -> Result<InstanceView, Failed> {
        self.call(Method::POST, "/instances", new).await
    }

    /// The instances that are listed.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn instances(&self) -> Result<Vec<InstanceView>, Failed> {
        self.call(Method::GET, "/instances", &()).await
    }

    /// Terminates, stops, starts or forgets an instance.
    ///
    /// # Errors
    /// When the call fails, or the instance is not in a state for it.
    pub async fn act(&self, instance: &str, act: Act) -> Result<(), Failed> {
        self.call(Method::POST, &format!("/instances/{instance}/{}", act.word()), &()).await
    }

    /// Sets all tags of an instance anew.
    ///
    /// # Errors
    /// When the call fails, or there is no such instance.
    pub async fn set_tags(&self, instance: &str, tags: &BTreeMap<String, String>) -> Result<(), Failed> {
        self.call(Method::PUT, &format!("/instances/{instance}/tags"), tags).await
    }

    /// Sets what an instance's Auto Scaling group wants of it, as its metadata says: `InService`, `Terminated` and so on.
    ///
    /// # Errors
    /// When the call fails, or there is no such instance.
    pub async fn set_lifecycle(&self, instance: &str, wanted: Option<&str>) -> Result<(), Failed> {
        self.call(Method::PUT, &format!("/instances/{instance}/lifecycle"), &wanted).await
    }

    /// Opens a metadata service that is this instance's own, and returns where it listens.
    ///
    /// # Errors
    /// When the call fails, or the address cannot be listened on.
    pub async fn open_metadata(&self, instance: &str, address: SocketAddr) -> Result<SocketAddr, Failed> {
        let path = format!("/instances/{instance}/metadata");
        let Listening { address } = self.call(Method::POST, &path, &Listening { address }).await?;
        Ok(address)
    }

    /// Makes a target group, or changes its options; what its targets are named by stays.
    ///
    /// # Errors
    /// When the call fails, or the name cannot be used.
    pub async fn put_group(&self, name: &str, options: &GroupOptions) -> Result<GroupView, Failed> {
        self.call(Method::PUT, &format!("/groups/{name}"), options).await
    }

    /// The targets of a group that are registered or drain.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn targets(&self, group: &str) -> Result<Vec<TargetView>, Failed> {
        self.call(Method::GET, &format!("/groups/{group}/targets"), &()).await
    }

    /// What happened to a group's requests since the last reset.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn counters(&self, group: &str) -> Result<Counters, Failed> {
        self.call(Method::GET, &format!("/groups/{group}/counters"), &()).await
    }

    /// How many of a group's targets were in which state, since the last reset; one sample for each change.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn samples(&self, group: &str) -> Result<Vec<Sample>, Failed> {
        self.call(Method::GET, &format!("/groups/{group}/samples"), &()).await
    }

    /// Counts a group's requests from zero, and begins its samples with what holds now.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn reset(&self, group: &str) -> Result<(), Failed> {
        self.call(Method::POST, &format!("/groups/{group}/reset"), &()).await
    }

    /// Deregisters a target, which then drains, as an Auto Scaling group does before it terminates an instance.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn deregister(&self, group: &str, id: &str, port: u16) -> Result<(), Failed> {
        let target = TargetName { id: id.to_owned(), port };
        self.call(Method::POST, &format!("/groups/{group}/deregister"), &target).await
    }

    /// Takes a target out at once, without draining, as if somebody had removed it long ago.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn drop_target(&self, group: &str, id: &str, port: u16) -> Result<(), Failed> {
        let target = TargetName { id: id.to_owned(), port };
        self.call(Method::POST, &format!("/groups/{group}/drop"), &target).await
    }

    /// Takes a group out of all load balancers.
    ///
    /// # Errors
    /// When the call fails, or there is no such group.
    pub async fn detach(&self, group: &str) -> Result<(), Failed> {
        self.call(Method::DELETE, &format!("/groups/{group}/listeners"), &()).await
    }

    /// Makes a load balancer.
    ///
    /// # Errors
    /// When the call fails, or the name cannot be used.
    pub async fn make_balancer(&self, new: &NewBalancer) -> Result<BalancerView, Failed> {
        self.call(Method::POST, "/balancers", new).await
    }

    /// Makes a listener of a load balancer, which sends what arrives there to a group.
    ///
    /// # Errors
    /// When the call fails, the address cannot be listened on, or one of the names is unknown.
    pub async fn listen(&self, balancer: &str, new: &NewListener) -> Result<ListenerView, Failed> {
        self.call(Method::POST, &format!("/balancers/{balancer}/listeners"), new).await
    }

    /// Adds a fault. The first that was added and is about a call is the one that it gets.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn add_fault(&self, fault: &Fault) -> Result<(), Failed> {
        self.call(Method::POST, "/faults", fault).await
    }

    /// Removes all faults.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn clear_faults(&self) -> Result<(), Failed> {
        self.call(Method::DELETE, "/faults", &()).await
    }

    /// The faults that are set, with what is left of the counted ones.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn faults(&self) -> Result<Vec<Fault>, Failed> {
        self.call(Method::GET, "/faults", &()).await
    }

    /// Says how often calls may be made from now on; with none, as often as anybody likes.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn set_rates(&self, rates: &[Rate]) -> Result<(), Failed> {
        self.call(Method::PUT, "/rates", &rates).await
    }

    /// Says what roles may do from now on, as in an IAM policy: `ec2:DescribeInstances`, `s3:*`; with nothing, everything.
    /// Access keys that the metadata service did not hand out may always do everything.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn allow(&self, actions: Option<&[&str]>) -> Result<(), Failed> {
        self.call(Method::PUT, "/allowed", &actions).await
    }

    /// Says what the metadata service hands out as credentials from now on.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn set_credentials(&self, credentials: Credentials) -> Result<(), Failed> {
        self.call(Method::PUT, "/credentials", &credentials).await
    }

    /// Puts an object, and returns its ETag, with the quotes.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<String, Failed> {
        let path = format!("/objects/{bucket}/{key}");
        self.exchange(Method::PUT, &path, bytes).await
    }

    /// Removes an object; its bucket stays.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn remove_object(&self, bucket: &str, key: &str) -> Result<(), Failed> {
        let path = format!("/objects/{bucket}/{key}");
        self.call::<String>(Method::DELETE, &path, &()).await.map(drop)
    }

    /// How often who called what.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn calls(&self) -> Result<Vec<CallCount>, Failed> {
        self.call(Method::GET, "/calls", &()).await
    }

    /// Counts calls from zero.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn reset_calls(&self) -> Result<(), Failed> {
        self.call(Method::DELETE, "/calls", &()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failed> {
        match serde_json::to_vec(body) {
            Ok(body) => self.exchange(method, path, body).await,
            Err(error) => Err(Failed { method, path: path.to_owned(), source: error.into() }),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failed> {
        let asked = tokio::time::timeout(CALL_TIMEOUT, self.ask(method.clone(), path, body)).await;
        asked.unwrap_or_else(|_| Err(Why::TimedOut.into())).map_err(|source| Failed {
            method,
            path: path.to_owned(),
            source,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .body(Full::new(Bytes::from(body)))?;
        let answer = send(&self.authority, request).await.map_err(Why::from)?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status != StatusCode::OK {
            let text = serde_json::from_slice(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).trim().to_owned(), |Refused { error }| error);
            return Err(Why::Status { status: head.status, text }.into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
