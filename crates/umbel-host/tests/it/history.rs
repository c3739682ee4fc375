//! What the host remembers: log lines and events, with numbers that go on.

use crate::bed::{Bed, component, until};
use std::io::Write;
use umbel_core::limits::Limits;
use umbel_lattice::extension::{EventsRequest, LogLine, LogsRequest, NumberedEvent};
use umbel_lattice::subjects;
use umbel_testkit::guest;

fn logs_of(id: &str) -> LogsRequest {
    LogsRequest { component: Some(component(id)), limit: 0, ..LogsRequest::default() }
}

async fn flood(bed: &Bed, id: &str, lines: u32) {
    let answer = bed.get(id, &format!("/?lines={lines}&size=60")).await.expect("the guest answers");
    assert_eq!(answer, format!("{lines} lines\n"));
}

#[tokio::test]
async fn log_lines_are_numbered_kept_and_published() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("flood", &guest("logflood"));
    scale.application = Some("demo".into());
    bed.run_scale(&scale).await;
    bed.run("quiet", &guest("wasi-user")).await;
    let subject = subjects::umbel::log(&crate::bed::name(), &component("flood"));
    let mut published = bed.client.lattice().observe(&subject).await.unwrap();
    flood(&bed, "flood", 5).await;
    bed.get("quiet", "/").await.unwrap();
    let host = bed.host.id().clone();
    let lines = until("all lines are kept", async || {
        let lines = bed.client.logs(&host, &logs_of("flood")).await.unwrap();
        (lines.len() == 15).then_some(lines)
    })
    .await;
    assert!(lines.windows(2).all(|two| two[0].seq < two[1].seq));
    for line in &lines {
        assert_eq!((line.component.as_str(), line.application.as_deref()), ("flood", Some("demo")));
        assert!(line.message.contains("\\u{1b}[2J") && !line.message.contains('\x1b'), "{line:?}");
        assert!(line.unix_ms > 0);
    }
    let of = |stream: &str| lines.iter().filter(|l| l.stream == stream).count();
    assert_eq!((of("stdout"), of("stderr"), of("logging")), (5, 5, 5));
    let mut seen = Vec::new();
    while seen.len() < 15 {
        let message = published.next().await.expect("the lattice is up");
        seen.push(serde_json::from_slice::<LogLine>(&message.payload).unwrap());
    }
    assert_eq!(seen, lines);

    let resume = LogsRequest { since_seq: Some(lines[11].seq), ..logs_of("flood") };
    assert_eq!(bed.client.logs(&host, &resume).await.unwrap(), lines[12..]);
    let newest = LogsRequest { limit: 2, ..logs_of("flood") };
    assert_eq!(bed.client.logs(&host, &newest).await.unwrap(), lines[13..]);
    let of_app = LogsRequest { application: Some("demo".into()), limit: 100, ..LogsRequest::default() };
    assert_eq!(bed.client.logs(&host, &of_app).await.unwrap(), lines);
    let all = LogsRequest { limit: 100, ..LogsRequest::default() };
    assert!(bed.client.logs(&host, &all).await.unwrap().len() > lines.len());
}

#[tokio::test]
async fn only_so_many_log_lines_are_kept() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("flood", &guest("logflood"));
    scale.limits = Some(Limits { log_bytes_per_s_max: 100 << 20, ..Limits::default() });
    bed.run_scale(&scale).await;
    let host = bed.host.id().clone();
    for _ in 0..4 {
        flood(&bed, "flood", 200).await;
    }
    let lines = until("the newest line is there", async || {
        let lines = bed.client.logs(&host, &logs_of("flood")).await.unwrap();
        (lines.len() == 1_000 && lines.last()?.message.contains("line 199 ")).then_some(lines)
    })
    .await;
    assert!(lines.windows(2).all(|two| two[0].seq < two[1].seq));
    assert!(lines[0].dropped_before >= Some(1_000), "{:?}", lines[0]);
    assert!(lines[1..].iter().all(|line| line.dropped_before.is_none()), "said once");
    assert_eq!(bed.view("flood").await.unwrap().usage.log_bytes_dropped, 0);
}

#[tokio::test]
async fn events_are_numbered_and_can_be_resumed() {
    let bed = Bed::start().await;
    let host = bed.host.id().clone();
    for n in 0..5 {
        bed.client.put_label(&host, "n", &n.to_string()).await.unwrap();
    }
    let all = until("all events are kept", async || {
        let reply = bed.client.events(&host, &EventsRequest { since_seq: Some(0), limit: 0 }).await.unwrap();
        let labels = reply.events.iter().filter(|e| e.event.name() == "labels_changed").count();
        (labels == 5).then_some(reply)
    })
    .await;
    let numbers: Vec<u64> = all.events.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "without a gap");
    assert_eq!(all.oldest_seq, 1);
    assert_eq!(all.events[0].event.name(), "host_started");
    assert!(all.events.iter().all(|e| e.event.name() != "host_heartbeat"));
    let since = numbers[numbers.len() - 3];
    let rest = bed.client.events(&host, &EventsRequest { since_seq: Some(since), limit: 0 }).await.unwrap();
    assert_eq!(rest.events, all.events[all.events.len() - 2..]);
    let page = bed.client.events(&host, &EventsRequest { since_seq: Some(0), limit: 2 }).await.unwrap();
    assert_eq!(page.events, all.events[..2], "a page begins where it was asked to");
    let newest = bed.client.events(&host, &EventsRequest { since_seq: None, limit: 2 }).await.unwrap();
    assert_eq!(newest.events, all.events[all.events.len() - 2..]);
}

#[tokio::test]
async fn the_event_log_goes_on_over_restarts_and_damage() {
    let bed = Bed::start().await;
    let host = bed.host.id().clone();
    bed.client.put_label(&host, "ä", "ö").await.unwrap();
    let (folder, lattice) = bed.stop().await;
    let path = folder.path().join("state/events.jsonl");
    let read = || -> Vec<NumberedEvent> {
        let bytes = std::fs::read(&path).unwrap();
        bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    };
    let before = read();
    let last = before.last().unwrap().seq;
    assert!(last >= 2, "the host's beginning and the label: {before:?}");

    // A crash in the middle of a line, and within a character of it.
    let mut line = serde_json::to_vec(&before[1]).unwrap();
    let cut = line.iter().position(|b| *b >= 0x80).expect("a character of two bytes") + 1;
    line.truncate(cut);
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&line).unwrap();

    for _ in 0..2 {
        let bed = Bed::start_in(folder.clone(), lattice.clone(), |_| ()).await;
        let known = before.len();
        until("old and new events are there", async || {
            let reply =
                bed.client.events(&host, &EventsRequest { since_seq: Some(0), limit: 0 }).await.unwrap();
            (reply.events.len() > known && reply.events[..known] == before[..]).then_some(())
        })
        .await;
        bed.stop().await;
    }
    let after = read();
    let numbers: Vec<u64> = after.iter().map(|e| e.seq).collect();
    assert_eq!(
        numbers,
        (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "numbers go on and none is given twice"
    );
    assert_eq!(after.iter().filter(|e| e.event.name() == "host_started").count(), 3);
    assert_eq!(after.iter().filter(|e| e.event.name() == "host_stopped").count(), 3);
}

#[tokio::test]
async fn a_full_event_log_is_moved_aside_and_still_known() {
    let bed = Bed::start().await;
    let host = bed.host.id().clone();
    let (folder, lattice) = bed.stop().await;
    let path = folder.path().join("state/events.jsonl");
    let text = std::fs::read(&path).unwrap();
    let line = text.split(|b| *b == b'\n').find(|line| !line.is_empty()).unwrap();
    let mut event: NumberedEvent = serde_json::from_slice(line).unwrap();
    event.event.data["padding"] = "x".repeat(4 << 10).into();
    let mut full = Vec::new();
    for seq in 1.. {
        event.seq = seq;
        full.extend(serde_json::to_vec(&event).unwrap());
        full.push(b'\n');
        if full.len() > (8 << 20) - (4 << 10) {
            break;
        }
    }
    let last = event.seq;
    std::fs::write(&path, full).unwrap();
    for round in 0..2 {
        let bed = Bed::start_in(folder.clone(), lattice.clone(), |_| ()).await;
        bed.client.put_label(&host, "long", &"y".repeat(8 << 10)).await.unwrap();
        until("the label is the newest", async || {
            let ask = EventsRequest { since_seq: Some(last), limit: 0 };
            let reply = bed.client.events(&host, &ask).await.unwrap();
            let numbers: Vec<u64> = reply.events.iter().map(|e| e.seq).collect();
            assert_eq!(numbers, (last + 1..=last + numbers.len() as u64).collect::<Vec<_>>());
            assert_eq!(reply.oldest_seq, 1);
            (reply.events.last()?.event.name() == "labels_changed" && numbers.len() > round * 3).then_some(())
        })
        .await;
        bed.stop().await;
        assert!(path.with_extension("jsonl.1").is_file());
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20, "the file began anew");
    }
}
