//! Bodies on their way through: limits on what comes in, and the end of a request seen on what goes out.

use super::service::InFlight;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use umbel_core::Problem;
use umbel_core::code::{Code, call};
use umbel_provider::http::{Body, BodyError};

/// The body of a request without one. It has no size, so boxing it allocates nothing.
struct Nothing;

impl HttpBody for Nothing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// Why a request's body was cut, told to the one who answers: the component may not pass it on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict(Option<Arc<AtomicU8>>);

const TOO_LARGE: u8 = 1;
const IDLE: u8 = 2;

impl Verdict {
    fn set(&self, why: u8) {
        if let Some(cell) = &self.0 {
            cell.store(why, Relaxed);
        }
    }

    /// The problem that the client must hear of instead of the component's.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let why = self.0.as_ref()?.load(Relaxed);
        match why {
            TOO_LARGE => Some(cut(call::HTTP_BODY_TOO_LARGE)),
            IDLE => Some(cut(call::HTTP_BODY_IDLE)),
            _ => None,
        }
    }
}

pub(crate) fn cut(code: Code) -> Problem {
    Problem::new(code, code.entry().title)
}

/// Makes the body that a handler gets.
pub(crate) fn request(incoming: Incoming, bytes_max: Option<u64>, idle: Duration) -> (Body, Verdict) {
    if incoming.is_end_stream() {
        return (Body::new(Nothing), Verdict::default());
    }
    let verdict = Verdict(Some(Arc::default()));
    let left = bytes_max.unwrap_or(u64::MAX);
    let body = RequestBody { incoming, left, idle, alarm: None, moved: None, verdict: verdict.clone() };
    (Body::new(body), verdict)
}

/// A request's body with its limits. The alarm exists only once the body has made somebody wait.
struct RequestBody {
    incoming: Incoming,
    left: u64,
    idle: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    /// When the wait that is under way began.
    moved: Option<Instant>,
    verdict: Verdict,
}

impl RequestBody {
    fn cut(&self, why: u8, code: Code) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.verdict.set(why);
        Poll::Ready(Some(Err(cut(code).into())))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.moved = None;
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return this.cut(TOO_LARGE, call::HTTP_BODY_TOO_LARGE),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let begun = *this.moved.get_or_insert_with(Instant::now);
                let due = begun + this.idle;
                let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                // An alarm that was set for an earlier wait rings early; it is then set for this one.
                loop {
                    ready!(alarm.as_mut().poll(cx));
                    if Instant::now() >= due {
                        break;
                    }
                    alarm.as_mut().reset(due);
                }
                this.cut(IDLE, call::HTTP_BODY_IDLE)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What is sent back. The request counts as in flight until this is dropped, which is after its last byte was taken.
pub(crate) struct ResponseBody {
    content: Content,
    in_flight: Option<InFlight>,
    /// Whether it is a stream of events, which has no end of its own.
    is_events: bool,
}

enum Content {
    Guest(Body),
    Text(Option<Bytes>),
}

impl ResponseBody {
    pub(crate) fn guest(body: Body, in_flight: InFlight, is_events: bool) -> ResponseBody {
        ResponseBody { content: Content::Guest(body), in_flight: Some(in_flight), is_events }
    }

    pub(crate) fn text(text: Bytes) -> ResponseBody {
        ResponseBody { content: Content::Text(Some(text)), in_flight: None, is_events: false }
    }

    pub(crate) fn counted(mut self, in_flight: InFlight) -> ResponseBody {
        self.in_flight = Some(in_flight);
        self
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.content {
            Content::Guest(body) => Pin::new(body).poll_frame(cx),
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        };
        if self.is_events && frame.is_pending() && self.in_flight.as_ref().is_some_and(InFlight::is_draining)
        {
            // Events go on for ever: at a stop they end between two of them, and who listens comes back by itself.
            self.content = Content::Text(None);
            return Poll::Ready(None);
        }
        if let Some(in_flight) = &self.in_flight {
            in_flight.note(matches!(frame, Poll::Ready(Some(_))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Guest(body) => body.is_end_stream(),
            Content::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Guest(body) => body.size_hint(),
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}
