//! A binary cache: a folder over HTTP, as hosts reach it. It can go dark.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::AbortHandle};

/// The cache. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Where hosts find it.
    pub(crate) url: String,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    dark: Arc<AtomicBool>,
    serving: AbortHandle,
}

impl Cache {
    /// Serves `folder`.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn start(folder: &Path, address: SocketAddr) -> Result<Self> {
        std::fs::create_dir_all(folder).context("make the cache's folder")?;
        let listener = TcpListener::bind(address).await.context("listen as a binary cache")?;
        let url = format!("http://{}", listener.local_addr().context("its address")?);
        let (dark, folder) = (Arc::new(AtomicBool::new(false)), folder.to_owned());
        let (shared, files) = (dark.clone(), folder.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (shared, files) = (shared.clone(), files.clone());
                let answer = service_fn(move |request| answer(shared.clone(), files.clone(), request));
                // Whoever ends a connection early is told so by it.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Self { url, folder, dark, serving: serving.abort_handle() })
    }

    /// From now on nobody gets an answer, or everybody again.
    pub(crate) fn go_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::SeqCst);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    dark: Arc<AtomicBool>,
    folder: PathBuf,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if dark.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let path = request.uri().path().trim_start_matches('/');
    let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let found = if plain { tokio::fs::read(folder.join(path)).await.ok() } else { None };
    let mut response = Response::new(Full::new(found.clone().map(Bytes::from).unwrap_or_default()));
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
