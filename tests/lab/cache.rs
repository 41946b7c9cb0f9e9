//! A binary cache: a folder over HTTP, as hosts reach it. It can go dark, also in the middle of an answer.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as Waker, Poll},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::AbortHandle};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As asked.
    Lit,
    /// So many archives are answered; the next one breaks off in its middle, and then nobody is answered.
    Whole(u32),
    /// Nobody is answered.
    Dark,
}

/// The cache. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Where hosts find it.
    pub(crate) url: String,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    manner: Arc<Mutex<Manner>>,
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
        let (manner, folder) = (Arc::new(Mutex::new(Manner::Lit)), folder.to_owned());
        let (shared, files) = (manner.clone(), folder.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (shared, files) = (shared.clone(), files.clone());
                let answer = service_fn(move |request| answer(shared.clone(), files.clone(), request));
                // Whoever ends a connection early is told so by it.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Self { url, folder, manner, serving: serving.abort_handle() })
    }

    /// From now on nobody gets an answer, or everybody again.
    pub(crate) fn go_dark(&self, dark: bool) {
        self.set(if dark { Manner::Dark } else { Manner::Lit });
    }

    /// So many archives can still be fetched; the one after them breaks off in its middle, and from then on nobody gets an answer.
    pub(crate) fn go_dark_after(&self, archives: u32) {
        self.set(Manner::Whole(archives));
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A file, or the first half of one, after which nothing comes.
struct File {
    bytes: Option<Bytes>,
    held_back: u64,
}

impl Body for File {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.bytes.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.held_back == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.bytes.as_ref().map_or(0, Bytes::len) as u64;
        SizeHint::with_exact(here + self.held_back)
    }
}

async fn answer(
    manner: Arc<Mutex<Manner>>,
    folder: PathBuf,
    request: Request<Incoming>,
) -> Result<Response<File>, Infallible> {
    let path = request.uri().path().trim_start_matches('/');
    let half = {
        let mut manner = manner.lock().unwrap_or_else(PoisonError::into_inner);
        let archive = path.starts_with("nar/");
        match *manner {
            Manner::Whole(0) if archive => {
                *manner = Manner::Dark;
                Some(true)
            }
            Manner::Whole(archives) if archive => {
                *manner = Manner::Whole(archives - 1);
                Some(false)
            }
            Manner::Lit | Manner::Whole(_) => Some(false),
            Manner::Dark => None,
        }
    };
    let Some(half) = half else { return std::future::pending().await };
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let found = if plain { tokio::fs::read(folder.join(path)).await.ok() } else { None };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut bytes = Bytes::from(found.unwrap_or_default());
    let kept = if half { bytes.split_off(bytes.len() / 2) } else { Bytes::new() };
    let mut response = Response::new(File { bytes: Some(bytes), held_back: kept.len() as u64 });
    *response.status_mut() = status;
    Ok(response)
}
