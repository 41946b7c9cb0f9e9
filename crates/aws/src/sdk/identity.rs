//! Who the instance is that this host runs on, from its metadata service (IMDSv2).

use std::{collections::BTreeMap, error::Error, net::IpAddr};

use aws_config::imds::client::{Builder, Client, error::ImdsError};
use model::HostId;
use tokio::time::timeout;

use super::{CONNECT_LIMIT, root};
use crate::listing::Addresses;

const ZONE: &str = "/latest/meta-data/placement/availability-zone";

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id, which is the host's.
    pub host: HostId,
    /// Its region.
    pub region: Option<String>,
    /// The availability zone that it is in.
    pub zone: Option<String>,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its tags; none where the instance does not say them.
    pub tags: Option<BTreeMap<String, String>>,
}

/// Why an instance's identity is not known, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody answers.
    #[error(
        "ask the instance metadata service who this host is: nobody answers. Either this host is no EC2 instance; or \
         the service is off for it; or the agent is in a container, one hop too far away (set the instance's \
         http-put-response-hop-limit to 2)"
    )]
    Silent(#[source] Box<dyn Error + Send + Sync>),
    /// It answers, and refuses.
    #[error(
        "ask the instance metadata service who this host is: it refuses with {status}. Where it is off for this \
         instance, switch it on: aws ec2 modify-instance-metadata-options --http-endpoint enabled"
    )]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// It answers something else.
    #[error("ask the instance metadata service for {path}: the answer is of no use: {problem}")]
    Odd {
        /// What it was asked for.
        path: &'static str,
        /// What is wrong with the answer.
        problem: String,
    },
}

/// Asks the instance metadata service, at the standard address or where `AWS_EC2_METADATA_SERVICE_ENDPOINT` says. `endpoint` is for tests.
///
/// # Errors
/// See [`IdentityError`]. It may be different a little later, as an instance starts.
pub async fn identity(endpoint: Option<&str>) -> Result<Identity, IdentityError> {
    let service = endpoint.map_or_else(|| Ok(Service::usual()), Service::at)?;
    let id = service.required("/latest/meta-data/instance-id").await?;
    let host = id.parse::<HostId>();
    let host =
        host.map_err(|error| IdentityError::Odd { path: "instance-id", problem: error.to_string() })?;
    Ok(Identity {
        host,
        region: service.optional("/latest/meta-data/placement/region").await?,
        zone: service.optional(ZONE).await?,
        addresses: Addresses {
            private_ipv4: service.address("/latest/meta-data/local-ipv4").await?,
            public_ipv4: service.address("/latest/meta-data/public-ipv4").await?,
            ipv6: service.address("/latest/meta-data/ipv6").await?,
        },
        tags: service.tags().await?,
    })
}

fn builder() -> Builder {
    Client::builder().connect_timeout(CONNECT_LIMIT).read_timeout(CONNECT_LIMIT).max_attempts(2)
}

/// The metadata service of the instance that this is.
#[derive(Debug, Clone)]
pub(super) struct Service {
    client: Client,
}

impl Service {
    /// At the standard address, or where the environment says.
    pub(super) fn usual() -> Self {
        Self { client: builder().build() }
    }

    /// Elsewhere.
    pub(super) fn at(endpoint: &str) -> Result<Self, IdentityError> {
        Ok(Self { client: builder().endpoint(endpoint).map_err(IdentityError::Silent)?.build() })
    }

    /// What the instance's Auto Scaling group wants of it; nothing where it has no group, or the service does not say so soon.
    pub(super) async fn target_lifecycle_state(&self) -> Option<String> {
        self.soon(
            "/latest/meta-data/autoscaling/target-lifecycle-state",
            "what an Auto Scaling group wants of it",
        )
        .await
    }

    /// The availability zone that it is in; nothing where the service does not say so soon.
    pub(super) async fn zone(&self) -> Option<String> {
        self.soon(ZONE, "its availability zone").await
    }

    /// What is at the path; nothing where there is nothing, or no answer soon.
    async fn soon(&self, path: &str, what: &str) -> Option<String> {
        match timeout(CONNECT_LIMIT, self.optional(path)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let error = ports::fault::Chain(&error).to_string();
                tracing::warn!(error, "the instance metadata service does not say {what}");
                None
            }
            Err(_) => {
                tracing::warn!("the instance metadata service is too slow to say {what}");
                None
            }
        }
    }

    async fn required(&self, path: &'static str) -> Result<String, IdentityError> {
        let answer = self.optional(path).await?;
        answer.ok_or(IdentityError::Odd { path, problem: "there is none".to_owned() })
    }

    /// What is at the path; nothing where there is nothing.
    async fn optional(&self, path: &str) -> Result<Option<String>, IdentityError> {
        match self.client.get(path).await {
            Ok(answer) => {
                let answer: String = answer.into();
                Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
            }
            Err(ImdsError::ErrorResponse(answer)) => match answer.response().status().as_u16() {
                404 => Ok(None),
                status => Err(IdentityError::Refused { status }),
            },
            Err(error) => Err(silent(&error)),
        }
    }

    async fn address(&self, path: &'static str) -> Result<Option<IpAddr>, IdentityError> {
        let Some(text) = self.optional(path).await? else { return Ok(None) };
        let odd = |_| IdentityError::Odd { path, problem: format!("{text:?} is no address") };
        text.parse().map(Some).map_err(odd)
    }

    async fn tags(&self) -> Result<Option<BTreeMap<String, String>>, IdentityError> {
        let Some(names) = self.optional("/latest/meta-data/tags/instance").await? else { return Ok(None) };
        let mut tags = BTreeMap::new();
        for name in names.lines() {
            let value = self.optional(&format!("/latest/meta-data/tags/instance/{name}")).await?;
            tags.insert(name.to_owned(), value.unwrap_or_default());
        }
        Ok(Some(tags))
    }
}

/// No token was to be had, or no answer. A service that is switched off refuses the token.
fn silent(error: &ImdsError) -> IdentityError {
    let words = root(error).to_string();
    // The client says no more than this of a token that was refused.
    if words.contains("forbidden") {
        return IdentityError::Refused { status: 403 };
    }
    IdentityError::Silent(words.into())
}
