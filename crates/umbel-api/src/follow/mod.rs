//! Streams: what is kept, then what comes, without a hole that nobody mentions.
//!
//! A reader is subscribed before what is kept is read, so nothing falls between. What cannot be had any more is told as an
//! explicit `lost` entry: a client that sees none has seen everything.

mod events;
mod logs;
mod spy;

pub(crate) use events::{EventFeed, history as event_history};
pub(crate) use logs::{LogFeed, LogFilter};
pub use spy::{SpyFeed, SpyFilter};

use crate::document::{Document, EventEntry, LogEntry, Lost, SpyEntry};
use crate::problem::Problems;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use umbel_supervisor::Stop;

/// Between two comments on a silent stream, so that both sides notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Log(LogEntry),
    Event(EventEntry),
    Spy(Box<SpyEntry>),
    Lost(Lost),
    /// The stream cannot go on.
    Problem(Problems),
}

/// Where entries come from.
pub(crate) trait Feed: Send + 'static {
    /// The next entry; `None` at the end. Cancel-safe in so far as a cancelled feed is not used again.
    fn next(&mut self) -> impl Future<Output = Option<Entry>> + Send;
}

/// The feed as server-sent events, until it ends or the platform stops.
pub(crate) fn sse<F: Feed>(feed: F, stop: Stop) -> Response {
    let entries = stream::unfold(Some(feed), move |feed| {
        let stop = stop.clone();
        async move {
            let mut feed = feed?;
            let entry = tokio::select! {
                () = stop.requested() => return None,
                entry = feed.next() => entry?,
            };
            let rest = (!matches!(entry, Entry::Problem(_))).then_some(feed);
            Some((Ok::<Event, Infallible>(frame(&entry)), rest))
        }
    });
    Sse::new(entries).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn frame(entry: &Entry) -> Event {
    let (name, data) = match entry {
        Entry::Log(entry) => ("log", entry.to_json()),
        Entry::Event(entry) => {
            return Event::default().event("event").id(&entry.cursor).data(entry.to_json().to_string());
        }
        Entry::Spy(entry) => ("spy", entry.to_json()),
        Entry::Lost(lost) => ("lost", lost.to_json()),
        Entry::Problem(problems) => ("problem", problems.to_json()),
    };
    Event::default().event(name).data(data.to_string())
}
