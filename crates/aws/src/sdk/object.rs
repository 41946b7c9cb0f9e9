//! What CI leaves in S3, or on a web server that speaks TLS, by the HTTP client that AWS's own clients have.
//!
//! There is no client of S3 in it: one call of it is needed, and the client would bring checksums, and with them other features of what all clients
//! share. See decision 37.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::HttpConnector as _,
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::byte_stream::ByteStream;
use ports::{
    Channel, Fault, FaultKind,
    channel::{Address, LIMIT_BYTES, Look, Said, Web},
};
use tokio::time::timeout;

use super::{Api, CALL_LIMIT, root};
use crate::{
    object::{self, Place},
    permissions::Action,
    trouble::Trouble,
};

/// Credentials are asked for again so long before they expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// What CI leaves in S3, or on a web server. Clones share its connection and its credentials.
#[derive(Debug, Clone)]
pub struct Object {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: String,
    kind: Kind,
    connector: Connector,
    api: Arc<Api>,
}

#[derive(Debug)]
enum Kind {
    /// Every call is signed.
    S3 {
        url: String,
        region: String,
        purse: Purse,
    },
    Web {
        url: String,
    },
}

impl Object {
    /// At this address; none where it is in S3 and nothing says in which region, or where it is neither in S3 nor on a web server.
    pub(super) fn new(config: &SdkConfig, api: Arc<Api>, address: &Address) -> Option<Self> {
        let kind = match address {
            Address::S3 { bucket, key, region } => {
                let region = region.clone().or_else(|| Some(config.region()?.to_string()))?;
                let place = Place { bucket: bucket.clone(), key: key.clone() };
                let own = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|url| !url.is_empty());
                let url = place.url(&region, own.as_deref().or(config.endpoint_url()));
                Kind::S3 { url, region, purse: Purse::new(config.credentials_provider()) }
            }
            Address::Https(Web { authority, path }) => {
                Kind::Web { url: format!("https://{authority}{path}") }
            }
            Address::Http(Web { authority, path }) => Kind::Web { url: format!("http://{authority}{path}") },
            Address::File(_) => return None,
        };
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
        let address = address.to_string();
        Some(Self { inner: Arc::new(Inner { address, kind, connector, api }) })
    }

    /// Sends a request, and reads what comes back as far as a pointer may be long.
    async fn send(&self, request: HttpRequest) -> Result<(HttpResponse, Vec<u8>), Trouble> {
        let cut = |error: &(dyn std::error::Error + 'static)| Trouble::Cut { words: root(error).to_string() };
        let mut response = self.inner.connector.call(request).await.map_err(|error| cut(&error))?;
        let body = std::mem::replace(response.body_mut(), aws_smithy_types::body::SdkBody::taken());
        let mut body = ByteStream::new(body);
        let mut bytes = Vec::new();
        while let Some(part) = body.next().await {
            bytes.extend_from_slice(&part.map_err(|error| cut(&error))?);
            if LIMIT_BYTES < bytes.len() {
                bytes.truncate(LIMIT_BYTES + 1);
                break;
            }
        }
        Ok((response, bytes))
    }

    async fn read_object(
        &self,
        url: &str,
        region: &str,
        purse: &Purse,
        known: Option<&str>,
    ) -> Result<Look, Fault> {
        let call = async {
            let credentials = purse.credentials().await?;
            let mut request = request(url, known).map_err(|words| Trouble::Cut { words })?;
            signed(&mut request, credentials, region).map_err(|words| Trouble::Cut { words })?;
            let (response, bytes) = self.send(request).await?;
            let bucket_region = response.headers().get("x-amz-bucket-region").map(str::to_owned);
            match response.status().as_u16() {
                304 => Ok(Ok(Look::Same)),
                200 => Ok(Ok(says(&response, bytes))),
                status => {
                    let trouble = object::trouble(status, &String::from_utf8_lossy(&bytes));
                    if object::is_nothing(&trouble) {
                        return Ok(Ok(Look::Nothing));
                    }
                    if trouble.is_expired() {
                        purse.forget();
                    }
                    Ok(Err((trouble, bucket_region)))
                }
            }
        };
        let attempted = || format!("read {}", self.inner.address);
        match self.inner.api.within(Action::GetObject, call).await {
            Ok(Ok(look)) => Ok(look),
            Ok(Err((trouble, region))) => {
                Err(Fault::new(trouble.kind(), attempted(), object::words(&trouble, region.as_deref())))
            }
            Err(trouble) => Err(trouble.into_fault(Action::GetObject, attempted())),
        }
    }

    async fn read_page(&self, url: &str, known: Option<&str>) -> Result<Look, Fault> {
        let fault = |kind, words: String| Fault::new(kind, format!("read {}", self.inner.address), words);
        let request = request(url, known).map_err(|words| fault(FaultKind::Permanent, words))?;
        let answer = timeout(CALL_LIMIT, self.send(request)).await.unwrap_or(Err(Trouble::Late));
        let (response, bytes) =
            answer.map_err(|trouble| fault(FaultKind::Transient, trouble.words(Action::GetObject)))?;
        match response.status().as_u16() {
            304 => Ok(Look::Same),
            200 => Ok(says(&response, bytes)),
            404 | 410 => Ok(Look::Nothing),
            status @ 300..400 => {
                let words = format!("it answered {status}: name the address that it sends others to");
                Err(fault(FaultKind::Permanent, words))
            }
            429 => Err(fault(FaultKind::Throttled, "it answered 429".to_owned())),
            status @ 400..500 => Err(fault(FaultKind::Permanent, format!("it answered {status}"))),
            status => Err(fault(FaultKind::Transient, format!("it answered {status}"))),
        }
    }
}

impl Channel for Object {
    async fn look(&self, known: Option<&str>) -> Result<Look, Fault> {
        match &self.inner.kind {
            Kind::S3 { url, region, purse } => self.read_object(url, region, purse, known).await,
            Kind::Web { url } => self.read_page(url, known).await,
        }
    }
}

fn says(response: &HttpResponse, bytes: Vec<u8>) -> Look {
    Look::Says(Said { bytes, tag: response.headers().get("etag").map(str::to_owned) })
}

fn request(url: &str, known: Option<&str>) -> Result<HttpRequest, String> {
    let mut request = HttpRequest::get(url).map_err(|error| root(&error).to_string())?;
    let headers = request.headers_mut();
    headers.insert("user-agent", "deployinator");
    if let Some(tag) = known {
        headers.try_insert("if-none-match", tag.to_owned()).map_err(|error| root(&error).to_string())?;
    }
    Ok(request)
}

/// Adds what proves who asks.
fn signed(request: &mut HttpRequest, credentials: Credentials, region: &str) -> Result<(), String> {
    let mut settings = SigningSettings::default();
    // As S3 wants it: the path as it is, and the sum of the body said.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|error| root(&error).to_string())?
        .into();
    let uri = request.uri().to_owned();
    let said: Vec<(String, String)> =
        request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let headers = said.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new("GET", uri, headers, SignableBody::Bytes(&[]));
    let signature = signable.and_then(|signable| sign(signable, &parameters));
    let (instructions, _) = signature.map_err(|error| root(&error).to_string())?.into_parts();
    for (name, value) in instructions.headers() {
        let added = request.headers_mut().try_insert(name.to_owned(), value.to_owned());
        added.map_err(|error| root(&error).to_string())?;
    }
    Ok(())
}

/// Credentials, for as long as they are good.
#[derive(Debug)]
struct Purse {
    provider: Option<SharedCredentialsProvider>,
    kept: Mutex<Option<Credentials>>,
}

impl Purse {
    fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, kept: Mutex::default() }
    }

    async fn credentials(&self) -> Result<Credentials, Trouble> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let good = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|expiry| SystemTime::now() + BEFORE_EXPIRY < expiry)
        };
        if let Some(credentials) = kept.filter(good) {
            return Ok(credentials);
        }
        let none = |words: String| Trouble::NoCredentials { words };
        let provider = self.provider.as_ref().ok_or_else(|| none("nothing provides any".to_owned()))?;
        let fresh = provider.provide_credentials().await.map_err(|error| none(root(&error).to_string()))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        Ok(fresh)
    }

    /// The next call asks for credentials again.
    fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
