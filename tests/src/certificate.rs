//! A certificate for loopback that nobody knows.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A certificate for 127.0.0.1, signed by itself, with its key.
pub struct Certificate {
    pem: String,
    acceptor: TlsAcceptor,
}

impl Certificate {
    /// A new one, unlike any other.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).context("make a certificate")?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config =
            config.with_single_cert(vec![made.cert.der().clone()], key).context("use a certificate")?;
        Ok(Self { pem: made.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// The certificate without its key, for a file of those that are trusted.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What answers under it.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}
