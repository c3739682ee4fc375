//! The body of a response, which holds whoever gives it.

use super::Hold;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use umbel_provider::http::{Body, BodyError, Response};

/// A body, and what is held until it has ended or is dropped.
pub(super) struct Held {
    body: Body,
    hold: Option<Hold>,
}

impl Held {
    /// Has the body of the response hold it.
    pub(super) fn body(response: Response, hold: Hold) -> Response {
        response.map(|body| match body.is_end_stream() {
            true => body,
            false => Held { body, hold: Some(hold) }.boxed_unsync(),
        })
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            // Whoever has read it all may keep it.
            self.hold = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
