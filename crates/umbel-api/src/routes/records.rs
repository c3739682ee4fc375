//! Logs and events: what is kept, and what comes.

use super::{Answer, Doc, Shared};
use crate::cursor::Cursor;
use crate::document::{EventEntry, EventList, LogEntry, LogList, SpyEntry};
use crate::extract::Query;
use crate::follow::{EventFeed, LogFeed, LogFilter, SpyFeed, SpyFilter, event_history, sse};
use crate::problem::Problems;
use crate::query::{EVENTS_DEFAULT, EVENTS_MAX, EventQuery, LogQuery, SpyQuery};
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

/// Log lines that are kept, oldest first.
#[utoipa::path(get, path = "/v1/logs", tag = "records", params(LogQuery), responses((status = 200, body = LogList)))]
pub(crate) async fn list_logs(State(service): Shared, Query(query): Query<LogQuery>) -> Answer<LogList> {
    let filter = LogFilter::new(query)?;
    Ok(Doc(LogList { items: filter.history(&service).await? }))
}

/// Log lines that are kept, then those to come.
///
/// Server-sent events: `log` with a log line; `lost` where lines are missing because the reader was too slow; `problem` with a
/// failure before the stream ends early. Comments keep a silent stream alive.
#[utoipa::path(get, path = "/v1/logs/stream", tag = "records", params(LogQuery),
    responses((status = 200, content_type = "text/event-stream", body = LogEntry)))]
pub(crate) async fn follow_logs(
    State(service): Shared,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problems> {
    let filter = LogFilter::new(query)?;
    let stop = service.stop.clone();
    Ok(sse(LogFeed::open(service, filter).await?, stop))
}

/// Events that are kept, oldest first.
#[utoipa::path(get, path = "/v1/events", tag = "records", params(EventQuery),
    responses((status = 200, body = EventList)))]
pub(crate) async fn list_events(
    State(service): Shared,
    Query(query): Query<EventQuery>,
) -> Answer<EventList> {
    let since = query.since.as_deref().map(Cursor::parse).transpose()?;
    let history = event_history(&service, since, limit(&query)).await?;
    Ok(Doc(EventList { items: history.entries, lost: history.lost }))
}

/// Events that are kept, then those to come.
///
/// Server-sent events: `event` with an event, its `id` a cursor; `lost` where events are missing that can no longer be had;
/// `problem` with a failure before the stream ends early. A client that comes back with `Last-Event-ID`, or with `since`, goes
/// on where it was.
#[utoipa::path(get, path = "/v1/events/stream", tag = "records",
    params(EventQuery, ("Last-Event-ID" = Option<String>, Header, description = "A cursor; goes before `since`.")),
    responses((status = 200, content_type = "text/event-stream", body = EventEntry)))]
pub(crate) async fn follow_events(
    State(service): Shared,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Problems> {
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let since = resumed.or(query.since.as_deref()).map(Cursor::parse).transpose()?;
    let stop = service.stop.clone();
    Ok(sse(EventFeed::open(service, since, limit(&query)).await?, stop))
}

/// Messages of the lattice as they come, decoded. Nothing secret is in them.
///
/// Server-sent events: `spy` with a message; `lost` where messages are missing because the reader was too slow; `problem` with a failure
/// before the stream ends early. Calls between components of one host do not travel over the lattice and are not seen.
#[utoipa::path(get, path = "/v1/spy", tag = "records", params(SpyQuery),
    responses((status = 200, content_type = "text/event-stream", body = SpyEntry)))]
pub(crate) async fn spy(State(service): Shared, Query(query): Query<SpyQuery>) -> Result<Response, Problems> {
    let filter = SpyFilter::new(query)?;
    let stop = service.stop.clone();
    Ok(sse(SpyFeed::open(&service, filter).await?, stop))
}

fn limit(query: &EventQuery) -> usize {
    query.limit.unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX) as usize
}
