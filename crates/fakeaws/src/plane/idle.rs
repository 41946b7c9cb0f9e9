//! For how long nothing has passed in either direction of a request.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// When something passed last.
#[derive(Debug, Clone)]
pub(crate) struct Idle(Arc<Mutex<Instant>>);

impl Default for Idle {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Idle {
    fn passed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when nothing has passed for so long.
    pub(crate) async fn lasts(&self, time: Duration) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + time;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A body of which it is noted when a part of it passes.
pub(crate) struct Watched<B> {
    inner: B,
    idle: Idle,
    /// Ends with the body.
    _watch: Option<AbortOnDropHandle<()>>,
}

impl<B> Watched<B> {
    pub(crate) fn new(inner: B, idle: Idle, watch: Option<AbortOnDropHandle<()>>) -> Self {
        Self { inner, idle, _watch: watch }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.idle.passed();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn whatever_passes_starts_the_time_anew() {
        let (idle, began) = (Idle::default(), Instant::now());
        let parts = idle.clone();
        let passing = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(SECOND).await;
                let body = Watched::new(Full::new(Bytes::from_static(b"part")), parts.clone(), None);
                assert_eq!(body.collect().await.unwrap().to_bytes(), "part");
            }
        });
        idle.lasts(3 * SECOND).await;
        assert_eq!(began.elapsed(), 8 * SECOND);
        passing.await.unwrap();
    }
}
