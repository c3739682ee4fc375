//! The streams: whole, resumable, and honest about what is missing.

use crate::fake::{Fake, log_line, numbered};
use std::time::Duration;
use umbel_api::client::{EventStream, Followed, LogStream};
use umbel_api::document::Lost;
use umbel_api::query::{EventQuery, LogQuery, SpyQuery};
use umbel_core::code::api;
use umbel_core::id::ComponentId;
use umbel_lattice::subjects;

const SOON: Duration = Duration::from_secs(10);

/// The next entry of the stream: the number of an event, or what is lost.
async fn next(stream: &mut EventStream) -> Result<(u64, String), Lost> {
    match tokio::time::timeout(SOON, stream.next()).await.expect("no entry").unwrap().unwrap() {
        Followed::Item(entry) => Ok((entry.event.data["n"].as_u64().unwrap(), entry.cursor)),
        Followed::Lost(lost) => Err(lost),
    }
}

async fn next_numbers(stream: &mut EventStream, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(next(stream).await.unwrap().0);
    }
    numbers
}

fn lost(count: Option<u64>, reason: &str) -> Lost {
    Lost { host_id: Some("NHOST".into()), count, reason: reason.into() }
}

#[tokio::test]
async fn a_stream_has_what_was_and_what_comes_once_each() {
    let fake = Fake::start().await;
    for seq in 1..=3 {
        fake.event(seq, false).await;
    }
    let mut stream = fake.client().follow_events(&EventQuery::default()).await.unwrap();
    assert_eq!(next_numbers(&mut stream, 3).await, [1, 2, 3]);
    fake.publish(&subjects::umbel::events(fake.lattice.name()), &numbered(3)).await;
    fake.event(4, true).await;
    assert_eq!(next(&mut stream).await, Ok((4, "NHOST:4".into())));
}

#[tokio::test]
async fn a_hole_in_what_comes_is_filled_from_what_is_kept() {
    let fake = Fake::start().await;
    fake.event(1, false).await;
    let mut stream = fake.client().follow_events(&EventQuery::default()).await.unwrap();
    assert_eq!(next_numbers(&mut stream, 1).await, [1]);
    for seq in 2..=5 {
        fake.event(seq, seq == 5).await;
    }
    assert_eq!(next_numbers(&mut stream, 4).await, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_reader_resumes_where_it_was_and_is_told_what_is_gone() {
    let fake = Fake::start().await;
    for seq in 5..=9 {
        fake.event(seq, false).await;
    }
    let follow = async |since: &str| {
        let query = EventQuery { since: Some(since.into()), limit: None };
        fake.client().follow_events(&query).await.unwrap()
    };
    assert_eq!(next_numbers(&mut follow("NHOST:7").await, 2).await, [8, 9]);
    assert_eq!(next_numbers(&mut follow("").await, 5).await, [5, 6, 7, 8, 9]);

    let mut expired = follow("NHOST:2").await;
    assert_eq!(next(&mut expired).await, Err(lost(Some(2), "expired")));
    assert_eq!(next_numbers(&mut expired, 5).await, [5, 6, 7, 8, 9]);

    let mut restarted = follow("NHOST:70").await;
    assert_eq!(next(&mut restarted).await, Err(lost(None, "restarted")));
    assert_eq!(next_numbers(&mut restarted, 5).await, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn what_is_kept_nowhere_is_told_as_lost() {
    let fake = Fake::start().await;
    fake.event(1, false).await;
    let mut stream = fake.client().follow_events(&EventQuery::default()).await.unwrap();
    assert_eq!(next_numbers(&mut stream, 1).await, [1]);
    fake.event(6, true).await;
    assert_eq!(next(&mut stream).await, Err(lost(Some(4), "expired")));
    assert_eq!(next_numbers(&mut stream, 1).await, [6]);
}

#[tokio::test]
async fn many_events_come_in_pages() {
    let fake = Fake::start().await;
    for seq in 1..=2_500 {
        fake.memory.lock().unwrap().events.push(numbered(seq));
    }
    let query = EventQuery { since: Some("NHOST:1".into()), limit: Some(10_000) };
    let list = fake.client().events(&query).await.unwrap();
    assert_eq!(list.items.len(), 2_499);
    assert!(list.lost.is_empty());
    let newest = fake.client().events(&EventQuery { since: None, limit: Some(2) }).await.unwrap();
    assert_eq!(newest.items.last().unwrap().cursor, "NHOST:2500");
}

async fn next_line(stream: &mut LogStream) -> u64 {
    match tokio::time::timeout(SOON, stream.next()).await.expect("no line").unwrap().unwrap() {
        Followed::Item(entry) => entry.seq,
        Followed::Lost(lost) => panic!("{lost:?}"),
    }
}

#[tokio::test]
async fn logs_are_filtered_and_followed_without_repeats() {
    let fake = Fake::start().await;
    for seq in 1..=4 {
        let level = if seq % 2 == 0 { "error" } else { "info" };
        let component = if seq <= 2 { "a" } else { "b" };
        fake.memory.lock().unwrap().logs.push(log_line(seq, component, level));
    }
    let seqs = async |query: LogQuery| {
        let list = fake.client().logs(&query).await.unwrap();
        list.items.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(LogQuery::default()).await, [1, 2, 3, 4]);
    assert_eq!(seqs(LogQuery { limit: Some(1), ..LogQuery::default() }).await, [4]);
    assert_eq!(seqs(LogQuery { limit: Some(0), ..LogQuery::default() }).await, [0; 0]);
    assert_eq!(seqs(LogQuery { component: Some("a".into()), ..LogQuery::default() }).await, [1, 2]);
    assert_eq!(seqs(LogQuery { level: Some("warn".into()), ..LogQuery::default() }).await, [2, 4]);
    assert_eq!(seqs(LogQuery { application: Some("other".into()), ..LogQuery::default() }).await, [0; 0]);
    assert_eq!(seqs(LogQuery { since_unix_ms: Some(1_003), ..LogQuery::default() }).await, [3, 4]);

    let query = LogQuery { level: Some("warn".into()), ..LogQuery::default() };
    let mut stream = fake.client().follow_logs(&query).await.unwrap();
    assert_eq!((next_line(&mut stream).await, next_line(&mut stream).await), (2, 4));
    for (seq, level) in [(4, "error"), (5, "info"), (6, "critical")] {
        let line = log_line(seq, "b", level);
        let subject = subjects::umbel::log(fake.lattice.name(), &ComponentId::new("b").unwrap());
        fake.publish(&subject, &line).await;
    }
    assert_eq!(next_line(&mut stream).await, 6);
}

#[tokio::test]
async fn streams_end_when_the_platform_stops() {
    let fake = Fake::start().await;
    let mut events = fake.client().follow_events(&EventQuery::default()).await.unwrap();
    let mut logs = fake.client().follow_logs(&LogQuery::default()).await.unwrap();
    fake.tree.shutdown().await;
    assert_eq!(tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap(), None);
    assert_eq!(tokio::time::timeout(SOON, logs.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn messages_of_the_lattice_are_followed() {
    let fake = Fake::start().await;
    let query = SpyQuery { only: Some("control".into()), bytes: Some(8), ..SpyQuery::default() };
    let mut stream = fake.client().spy(&query).await.unwrap();
    fake.client().hosts().await.unwrap();
    for hop in ["request", "answer"] {
        let next = tokio::time::timeout(SOON, stream.next()).await.expect("no entry").unwrap();
        let Some(Followed::Item(entry)) = next else { panic!("{next:?}") };
        assert_eq!((&*entry.kind, &*entry.what, &*entry.hop), ("control", "host.ping", hop));
        assert!(entry.unix_us > 1_700_000_000_000_000 && entry.line.contains("host.ping"), "{entry:?}");
        assert_eq!((entry.took_us.is_some(), entry.hex), (hop == "answer", None));
    }
    let wrong = SpyQuery { only: Some("control,nonsense".into()), ..SpyQuery::default() };
    let refused = fake.client().spy(&wrong).await.unwrap_err();
    assert_eq!(refused.first.code, api::BAD_REQUEST);
    assert!(refused.first.help.contains("calls, control, events"), "{refused:?}");
}
