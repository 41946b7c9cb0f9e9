//! A web server that says one thing, and counts who looks.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};

#[cfg(feature = "aws")]
use tokio_rustls::TlsAcceptor;

#[cfg(feature = "aws")]
use crate::Certificate;
use crate::within;

/// A web server that says one thing. It ends with the test's runtime.
#[derive(Clone)]
pub struct Web {
    scheme: &'static str,
    authority: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    says: Option<String>,
    fails: bool,
    looks: usize,
    unchanged: usize,
    #[cfg(feature = "aws")]
    shows: Option<TlsAcceptor>,
}

impl Web {
    /// On a free port of loopback; it says nothing yet.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start() -> Result<Self> {
        let (web, listener) = Self::listen("http").await?;
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.answer(stream).await });
            }
        });
        Ok(web)
    }

    /// The same over TLS, with this certificate.
    ///
    /// # Errors
    /// It cannot listen.
    #[cfg(feature = "aws")]
    pub async fn start_tls(certificate: &Certificate) -> Result<Self> {
        let (web, listener) = Self::listen("https").await?;
        web.show(certificate);
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, shows) = (serving.clone(), serving.with(|inner| inner.shows.clone()));
                tokio::spawn(async move { serving.answer(shows?.accept(stream).await.ok()?).await });
            }
        });
        Ok(web)
    }

    async fn listen(scheme: &'static str) -> Result<(Self, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let authority = listener.local_addr()?.to_string();
        Ok((Self { scheme, authority, inner: Arc::default() }, listener))
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/web", self.scheme, self.authority)
    }

    /// From now on this is its certificate.
    #[cfg(feature = "aws")]
    pub fn show(&self, certificate: &Certificate) {
        self.with(|inner| inner.shows = Some(certificate.acceptor()));
    }

    /// From now on it says this.
    pub fn say(&self, text: &str) {
        self.with(|inner| inner.says = Some(text.to_owned()));
    }

    /// From now on it answers 503, or it does not.
    pub fn fail(&self, fails: bool) {
        self.with(|inner| inner.fails = fails);
    }

    /// How often somebody was told that nothing has changed.
    #[must_use]
    pub fn unchanged(&self) -> usize {
        self.with(|inner| inner.unchanged)
    }

    /// Waits until somebody has looked so many times more.
    ///
    /// # Errors
    /// Nobody does in time.
    pub async fn looked(&self, times: usize) -> Result<()> {
        let until = self.with(|inner| inner.looks) + times;
        let enough = async || self.with(|inner| until <= inner.looks).then_some(());
        within(&format!("somebody has looked {times} times more"), enough).await
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inner) -> T) -> T {
        then(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut known = None;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            match line.trim_end().to_ascii_lowercase().strip_prefix("if-none-match: ") {
                Some(tag) => known = Some(tag.to_owned()),
                None if line.trim_end().is_empty() => break,
                None => (),
            }
        }
        let answer = self.with(|inner| {
            inner.looks += 1;
            if inner.fails {
                return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            let Some(says) = &inner.says else {
                return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
            };
            let mut hasher = DefaultHasher::new();
            says.hash(&mut hasher);
            let tag = format!("\"{:x}\"", hasher.finish());
            if known.as_ref() == Some(&tag) {
                inner.unchanged += 1;
                return format!("HTTP/1.1 304 Not Modified\r\netag: {tag}\r\n\r\n");
            }
            format!("HTTP/1.1 200 OK\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n{says}", says.len())
        });
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
        stream.get_mut().shutdown().await.ok()
    }
}
