//! Who calls: told by the access key in the request, as its signature names it.

use std::net::SocketAddr;

use hyper::{HeaderMap, StatusCode, header::AUTHORIZATION};

use super::{Service, answer};
use crate::{refusal::Refusal, shared::Shared};

/// Whoever made a call.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The instance whose role it has; else its access key; else its address.
    pub(crate) name: String,
    pub(crate) arn: String,
    state: State,
    /// The region that the request was signed for.
    region: Option<String>,
    ours: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Anonymous,
    /// With a key that was not handed out here: it may do everything.
    Known,
    /// With the key of a role.
    Role,
    Expired,
}

impl Caller {
    pub(crate) fn of(shared: &Shared, headers: &HeaderMap, from: SocketAddr) -> Self {
        let scope = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(scope);
        let now = shared.now();
        let world = shared.lock();
        let settings = &world.cloud().settings;
        let (account, ours) = (&settings.account, settings.region.clone());
        let Some((key, region)) = scope else {
            let (name, arn) = (from.ip().to_string(), "anonymous".to_owned());
            return Self { name, arn, state: State::Anonymous, region: None, ours };
        };
        let region = Some(region.to_owned());
        match world.keys.get(key) {
            Some(known) => {
                let arn = format!("arn:aws:sts::{account}:assumed-role/{}/{}", known.role, known.instance);
                let state = if known.expires <= now { State::Expired } else { State::Role };
                Self { name: known.instance.clone(), arn, state, region, ours }
            }
            None => {
                let arn = format!("arn:aws:iam::{account}:user/{key}");
                Self { name: key.to_owned(), arn, state: State::Known, region, ours }
            }
        }
    }

    /// Whether what it may do depends on what roles are allowed.
    pub(crate) fn has_role(&self) -> bool {
        self.state == State::Role
    }

    /// Whether its credentials were good once.
    pub(crate) fn has_expired(&self) -> bool {
        self.state == State::Expired
    }

    /// Whether it may call at all. Objects are public to whoever comes without a name.
    pub(crate) fn check(&self, service: Service) -> Result<(), Refusal> {
        match (self.state, service) {
            (State::Expired, _) => return Err(answer::expired(service)),
            (State::Anonymous, Service::S3) => return Ok(()),
            (State::Anonymous, Service::Ec2) => {
                let text = "AWS was not able to validate the provided access credentials";
                return Err(Refusal::with_status(StatusCode::UNAUTHORIZED, "AuthFailure", text));
            }
            (State::Anonymous, Service::Elb | Service::Sts) => {
                let text = "Request is missing Authentication Token";
                return Err(Refusal::with_status(StatusCode::FORBIDDEN, "MissingAuthenticationToken", text));
            }
            (State::Known | State::Role, _) => (),
        }
        match &self.region {
            Some(region) if *region != self.ours && service != Service::Sts => {
                let text = format!(
                    "Credential should be scoped to a valid region: signed for {region}, this is {}.",
                    self.ours
                );
                let code = if service == Service::Ec2 { "AuthFailure" } else { "SignatureDoesNotMatch" };
                Err(Refusal::with_status(StatusCode::FORBIDDEN, code, text))
            }
            _ => Ok(()),
        }
    }
}

/// Access key and region of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let scope = authorization.split_once("Credential=")?.1.split(',').next()?;
    let mut parts = scope.trim().split('/');
    Some((parts.next()?, parts.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_region_are_read_from_the_signature() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIDX/20261121/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(scope(header), Some(("AKIDX", "eu-central-1")));
        assert_eq!(scope("Bearer x"), None);
        assert_eq!(scope("AWS4-HMAC-SHA256 Credential=AKIDX"), None);
    }
}
