//! The clients of AWS, and the one way that every call goes.

mod credentials;
mod identity;
mod inventory;
mod object;
mod sweep;
mod targets;

pub use identity::{Identity, IdentityError, identity};
pub use inventory::Ec2Inventory;
pub use object::Object;
pub use sweep::Swept;
pub use targets::TargetGroups;

use std::{
    error::Error,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::channel::Address;
use tokio::time::timeout;

use self::{credentials::Kept, identity::Service};
use crate::{Fleet, Group, pace::Bucket, permissions::Action, trouble::Trouble};

/// Longest time for one call, from its first byte to its last. Nothing is retried within it.
const CALL_LIMIT: Duration = Duration::from_secs(6);
/// Longest time for a connection to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What all calls of one agent share: where they go, what signs them, and how many there may be. Clones share it.
#[derive(Debug, Clone)]
pub struct Session {
    config: SdkConfig,
    api: Arc<Api>,
    /// The metadata of the instance that this is.
    instance: Option<Service>,
}

impl Session {
    /// Finds region, endpoints and credentials where AWS's own tools find them: in the environment, in a profile, in the instance's role.
    pub async fn open(region: Option<&str>) -> Self {
        let limits = TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_timeout(CALL_LIMIT);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            // Retries are decided by whoever asks, who knows what it costs to wait.
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits.build());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        Self::new(loader.load().await)
    }

    /// With what was found already.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        let limits = TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_timeout(CALL_LIMIT);
        let kept = Kept::new();
        let config = config
            .into_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits.build())
            .identity_cache(kept.clone())
            .build();
        let api = Api { bucket: Mutex::default(), began: Instant::now(), kept };
        Self { config, api: Arc::new(api), instance: None }
    }

    /// On an instance, which is not registered with any target group while its Auto Scaling group is about to take it away.
    #[must_use]
    pub fn on_instance(self) -> Self {
        Self { instance: Some(Service::usual()), ..self }
    }

    /// The same of an instance whose metadata service is elsewhere.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn on_instance_of(self, endpoint: &str) -> Result<Self, IdentityError> {
        Ok(Self { instance: Some(Service::at(endpoint)?), ..self })
    }

    /// With another allowance of calls: where all of AWS is a stand-in whose clocks are fast.
    #[must_use]
    pub fn paced_by(self, bucket: Bucket) -> Self {
        let kept = self.api.kept.clone();
        Self { api: Arc::new(Api { bucket: Mutex::new(bucket), began: Instant::now(), kept }), ..self }
    }

    /// The region that was found.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// Who is in the fleet.
    #[must_use]
    pub fn inventory(&self, fleet: Fleet) -> Ec2Inventory {
        Ec2Inventory::new(aws_sdk_ec2::Client::new(&self.config), self.api.clone(), fleet)
    }

    /// The balancer of a service whose first instance listens on `first_port`: these target groups, all in `region`.
    #[must_use]
    pub fn target_groups(&self, region: &str, groups: Vec<Group>, first_port: u16) -> TargetGroups {
        let config = aws_sdk_elasticloadbalancingv2::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        let client = aws_sdk_elasticloadbalancingv2::Client::from_conf(config);
        TargetGroups::new(client, self.api.clone(), self.instance.clone(), groups, first_port)
    }

    /// Where CI leaves word of its releases, in S3 or on a web server; none where it is in S3 and nothing says in which region.
    #[must_use]
    pub fn object(&self, address: &Address) -> Option<Object> {
        Object::new(&self.config, self.api.clone(), address)
    }
}

/// The one way to AWS.
#[derive(Debug)]
struct Api {
    bucket: Mutex<Bucket>,
    began: Instant,
    /// The credentials in use.
    kept: Kept,
}

impl Api {
    /// Makes one call, in its turn and in bounded time.
    async fn call<T, E>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Trouble>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let answer = self.within(action, async { call.await.map_err(|error| trouble(&error)) }).await;
        if answer.as_ref().is_err_and(Trouble::is_expired) {
            self.kept.forget();
        }
        answer
    }

    /// The same, of a call that has said already what went wrong.
    async fn within<T>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let turn = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.began.elapsed());
        tokio::time::sleep(turn.ok_or(Trouble::Paced)?).await;
        let answer = timeout(CALL_LIMIT, call).await.unwrap_or(Err(Trouble::Late));
        tracing::debug!(permission = action.permission(), worked = answer.is_ok(), "called AWS");
        answer
    }
}

/// What an error of the clients means.
fn trouble<E>(error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let Some(words) = missing_credentials(error) {
        return Trouble::NoCredentials { words };
    }
    match (error.code(), status) {
        (Some(code), Some(status)) => Trouble::Refused {
            code: code.to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
            status,
        },
        (None, Some(status)) => Trouble::Unreadable { status },
        (_, None) => match error {
            SdkError::TimeoutError(_) => Trouble::Late,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Trouble::Late,
            error => Trouble::Cut { words: root(error).to_string() },
        },
    }
}

/// Why there is nothing to sign a call with, if that is what went wrong.
fn missing_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let found = causes(error).find(|cause| cause.is::<CredentialsError>())?;
    Some(root(found).to_string())
}

/// What is at the bottom of an error.
fn root<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let now = next?;
        next = now.source();
        Some(now)
    })
}
