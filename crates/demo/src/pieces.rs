//! A body that comes in pieces, of an answer or of an upload: a dot now and then, and a line at its end.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

/// Pieces before the last line.
const DOTS: u32 = 4;

pub(crate) struct Pieces {
    dots: u32,
    gap: Duration,
    pause: Pin<Box<Sleep>>,
    line: Option<Bytes>,
}

impl Pieces {
    /// A body that is complete after `time`, with `line` at its end.
    pub(crate) fn new(time: Duration, line: Bytes) -> Self {
        let gap = time / DOTS;
        Self { dots: DOTS, gap, pause: Box::pin(sleep(Duration::ZERO)), line: Some(line) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.pause.as_mut().poll(cx));
        if self.dots == 0 {
            return Poll::Ready(self.line.take().map(|line| Ok(Frame::data(line))));
        }
        self.dots -= 1;
        self.pause = Box::pin(sleep(self.gap));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b".")))))
    }
}
