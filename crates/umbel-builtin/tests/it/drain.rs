use crate::bed::{Bed, PATIENCE, handler, read_to_end, read_until, says, text, wait_for};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use rustix::process::{Resource, Rlimit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use umbel_builtin::http_server::{Config, Limits};
use umbel_provider::http::{Body, BodyError};
use umbel_supervisor::cores::Cores;

#[tokio::test]
async fn stop_waits_for_requests_and_closes_what_is_idle() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = gate.clone();
    let bed = Bed::serving(
        Limits::default(),
        handler(move |_| {
            let gate = gate.clone();
            async move {
                gate.notified().await;
                Ok(text("finished"))
            }
        }),
    )
    .await;
    let mut idle = bed.connect().await;
    let mut busy = bed.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    wait_for("the request runs", || bed.server.stats().routes[0].in_flight == 1).await;
    let server = bed.server.clone();
    let stopping = async move { server.stop(PATIENCE).await };
    let watching = async {
        read_to_end(&mut idle).await;
        opened.notify_one();
        let answer = read_to_end(&mut busy).await;
        assert!(answer.ends_with("finished") && answer.contains("connection: close"), "{answer}");
    };
    tokio::join!(stopping, watching);
    let refused = TcpStream::connect(("127.0.0.1", bed.port)).await;
    assert!(refused.is_err(), "nobody listens any more");
    assert!(bed.server.bind().await.is_err(), "a stopped server stays stopped");
}

#[tokio::test]
async fn streams_of_events_end_at_a_stop_and_others_are_waited_for() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, BodyError>>();
            sender.unbounded_send(Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))).unwrap();
            let kind = if request.uri().path() == "/events" {
                "text/event-stream; charset=utf-8"
            } else {
                "text/plain"
            };
            // It never says that it is over.
            std::mem::forget(sender);
            let body = Body::new(StreamBody::new(receiver));
            Ok(http::Response::builder().header("content-type", kind).body(body).unwrap())
        }),
    )
    .await;
    let mut events = bed.connect().await;
    let mut other = bed.connect().await;
    events.write_all(b"GET /events HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    other.write_all(b"GET /other HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    read_until(&mut events, "data: 1").await;
    read_until(&mut other, "data: 1").await;
    let server = bed.server.clone();
    let stopping = async move { server.stop(Duration::from_secs(2)).await };
    let watching = async {
        let rest = read_to_end(&mut events).await;
        assert!(rest.ends_with("0\r\n\r\n"), "it ends as an answer does: {rest:?}");
        assert_eq!(bed.server.stats().connections_cut, 0);
        let rest = read_to_end(&mut other).await;
        assert!(!rest.ends_with("0\r\n\r\n"), "it was cut: {rest:?}");
    };
    tokio::join!(stopping, watching);
}

#[tokio::test]
async fn whoever_waits_to_be_accepted_at_a_stop_is_answered() {
    const WAITING: usize = 1_000;
    let (own, enough) = (Resource::Nofile, Some(2 * WAITING as u64 + 500));
    let files = rustix::process::getrlimit(own);
    if files.current.is_some_and(|now| Some(now) < enough) {
        rustix::process::setrlimit(own, Rlimit { current: enough, ..files }).unwrap();
    }
    let cores = Cores::start(1, "test").unwrap();
    // What has come is answered even by connections that are told to close before they have looked.
    let linger = Duration::from_millis(1);
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), drain_linger: linger, ..Config::default() };
    let bed = Bed::on(config, cores.clone()).await;
    bed.add("default", "app", says("x"), &[]).await.unwrap();
    // Nothing is accepted while the only core is held.
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let is_held = Arc::new(AtomicBool::new(false));
    let holds = is_held.clone();
    let hold = move || async move {
        holds.store(true, Ordering::Release);
        let _ = held.recv();
    };
    cores.spawn(0, hold).unwrap();
    wait_for("the core is held", || is_held.load(Ordering::Acquire)).await;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut stream = bed.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    let server = bed.server.clone();
    let stopping = async move { server.stop(PATIENCE).await };
    let reading = async {
        release.send(()).unwrap();
        let mut answered = 0;
        for stream in &mut waiting {
            answered += usize::from(read_to_end(stream).await.ends_with("\r\n\r\nx"));
        }
        answered
    };
    assert_eq!(tokio::join!(stopping, reading).1, WAITING);
}

#[tokio::test]
async fn at_the_deadline_what_is_left_is_cut() {
    let bed = Bed::serving(Limits::default(), handler(|_| std::future::pending())).await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    wait_for("the request runs", || bed.server.stats().routes[0].in_flight == 1).await;
    bed.server.stop(Duration::from_millis(50)).await;
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(bed.server.stats().connections.iter().sum::<u64>(), 0);
}

/// What a client saw of a stopping server.
enum Seen {
    Answer { closes: bool },
    Nothing,
}

async fn ask(stream: &mut TcpStream) -> Seen {
    if stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.is_err() {
        return Seen::Nothing;
    }
    let (mut answer, mut piece) = (String::new(), [0; 1024]);
    while !answer.ends_with("\r\n\r\nx") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => {
                assert!(answer.is_empty(), "half an answer: {answer}");
                return Seen::Nothing;
            }
            Ok(read) => answer.push_str(&String::from_utf8_lossy(&piece[..read])),
        }
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Seen::Answer { closes: answer.contains("connection: close") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_under_load_loses_no_request() {
    let bed = Arc::new(Bed::serving(Limits::default(), says("x")).await);
    let done = Arc::new(AtomicUsize::new(0));
    let stopped = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (bed, done, stopped) = (bed.clone(), done.clone(), stopped.clone());
        clients.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", bed.port)).await else { return };
                let mut answered = 0;
                loop {
                    match ask(&mut stream).await {
                        Seen::Answer { closes: false } => answered += 1,
                        Seen::Answer { closes: true } => break,
                        // A connection that was never taken in; the listener was already closing.
                        Seen::Nothing if answered == 0 && stopped.load(Ordering::Acquire) => return,
                        Seen::Nothing => panic!("a request was lost after {answered} answers"),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    wait_for("there is load", || done.load(Ordering::Relaxed) > 500).await;
    stopped.store(true, Ordering::Release);
    bed.server.stop(PATIENCE).await;
    while let Some(client) = clients.join_next().await {
        client.expect("no client has lost a request");
    }
}

#[tokio::test]
async fn a_provider_that_stops_takes_only_its_own_links() {
    let bed = Bed::serving(Limits::default(), says("one")).await;
    let mut open = bed.connect().await;
    open.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    read_until(&mut open, "\r\n\r\none").await;
    bed.provider.stop(PATIENCE).await;
    open.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    assert!(read_until(&mut open, "UM0502").await.starts_with("HTTP/1.1 404"));
    assert!(bed.provider.put_link(crate::bed::link("x", "app-default", &[])).await.is_err());
    let again = Bed::provider(&bed.server, &bed.components).await;
    again.put_link(crate::bed::link("x", "app-default", &[])).await.unwrap();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "one".into()));
}
