use crate::bed::{Bed, PATIENCE, echo, handler, says, text, wait_for};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use umbel_builtin::http_server::Limits;
use umbel_provider::http::{Body, HeaderMap};

/// A client, and the task that drives it.
async fn client(bed: &Bed) -> (SendRequest<Body>, tokio::task::JoinSet<()>) {
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(bed.connect().await)).await.expect("HTTP/2");
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move { drop(connection.await) });
    (sender, task)
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::new(Empty::<Bytes>::new().map_err(|e| match e {}))).expect("a request")
}

#[tokio::test]
async fn prior_knowledge_is_recognised_and_routed_by_authority() {
    let bed = Bed::serving(Limits::default(), says("two")).await;
    let (mut sender, _task) = client(&bed).await;
    for (url, expect) in
        [("http://app.localhost/", 200), ("http://127.0.0.1:1/", 200), ("http://no.localhost/", 404)]
    {
        let response = sender.send_request(get(url)).await.expect("an answer");
        assert_eq!(response.status(), expect, "{url}");
    }
    let mut other = get("http://app.localhost/");
    other.headers_mut().insert("host", "evil.example".parse().expect("a value"));
    assert_eq!(sender.send_request(other).await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn streams_run_side_by_side_with_bodies_and_trailers() {
    let bed = Bed::serving(Limits::default(), echo()).await;
    let (sender, _task) = client(&bed).await;
    let calls = (0..50u8).map(|number| {
        let mut sender = sender.clone();
        async move {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", u16::from(number).into());
            let data = Bytes::from(vec![number; 100_000]);
            let frames = [Ok(Frame::data(data.clone())), Ok(Frame::trailers(trailers.clone()))];
            let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
            let request = Request::post("http://app.localhost/").body(body).expect("a request");
            sender.ready().await.expect("ready");
            let answer = sender.send_request(request).await.expect("an answer").into_body().collect().await;
            let answer = answer.expect("a whole body");
            assert_eq!(answer.trailers(), Some(&trailers));
            assert_eq!(answer.to_bytes(), data);
        }
    });
    tokio::time::timeout(PATIENCE, futures::future::join_all(calls)).await.expect("in time");
}

#[tokio::test]
async fn stop_says_goodbye_and_finishes_streams() {
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
    let (mut sender, _task) = client(&bed).await;
    let call = sender.send_request(get("http://app.localhost/"));
    let stop = async {
        wait_for("the request runs", || bed.server.stats().routes[0].in_flight == 1).await;
        let server = bed.server.clone();
        let stopping = async move { server.stop(PATIENCE).await };
        let release = async { opened.notify_one() };
        tokio::join!(stopping, release);
    };
    let (answer, ()) = tokio::join!(call, stop);
    let body = answer.expect("an answer").into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "finished");
}

struct Canary(Arc<AtomicBool>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn a_reset_stream_cancels_its_call_and_no_other() {
    let (started, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begun, flag) = (started.clone(), dropped.clone());
    let bed = Bed::serving(
        Limits::default(),
        handler(move |request| {
            let hangs = request.uri().path() == "/hang";
            begun.fetch_or(hangs, Ordering::AcqRel);
            let canary = hangs.then(|| Canary(flag.clone()));
            async move {
                if let Some(_canary) = canary {
                    std::future::pending::<()>().await;
                }
                Ok(text("fine"))
            }
        }),
    )
    .await;
    let (mut sender, _task) = client(&bed).await;
    {
        let hanging = sender.send_request(get("http://app.localhost/hang"));
        let begin = wait_for("the call runs", || started.load(Ordering::Acquire));
        futures::pin_mut!(hanging, begin);
        futures::future::select(hanging, begin).await;
    }
    wait_for("the call is cancelled", || dropped.load(Ordering::Acquire)).await;
    assert_eq!(sender.send_request(get("http://app.localhost/")).await.expect("an answer").status(), 200);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

/// HPACK: `:method GET`, `:scheme http`, `:path /`, `:authority a`.
const HEADERS: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

/// Opening and resetting streams without end (CVE-2023-44487), and headers without end (CVE-2024-27316), end the connection.
#[tokio::test]
async fn floods_end_the_connection() {
    let bed = Bed::serving(Limits::default(), handler(|_| std::future::pending())).await;
    let reset = |stream: u32| [frame(1, 5, stream, HEADERS), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    let resets: Vec<u8> = (0..20_000u32).flat_map(|n| reset(2 * n + 1)).collect();
    let endless = [
        frame(1, 0, 1, HEADERS),
        (0..20_000).flat_map(|_| frame(9, 0, 1, &[0x40, 1, b'x', 1, b'y'])).collect(),
    ]
    .concat();
    for (what, flood) in [("rapid reset", resets), ("continuation", endless)] {
        let mut stream = bed.connect().await;
        stream.write_all(&opening()).await.expect("written");
        let (mut reader, mut writer) = stream.split();
        let writing = async { drop(writer.write_all(&flood).await) };
        let mut sink = Vec::new();
        let reading = async {
            let _ = reader.read_to_end(&mut sink).await;
        };
        let ended = tokio::time::timeout(PATIENCE, async { tokio::join!(writing, reading) }).await;
        assert!(ended.is_ok(), "{what}: the connection goes on");
    }
    let mut other = bed.connect().await;
    other
        .write_all(b"GET / HTTP/1.1\r\nHost: no.localhost\r\nConnection: close\r\n\r\n")
        .await
        .expect("written");
    assert!(crate::bed::read_to_end(&mut other).await.starts_with("HTTP/1.1 404"), "the server lives");
}

/// A client that opens no window for its answer, but answers pings and has other streams that go on, does not hold the answer for
/// longer than the pause that a body may make; nor does it lose the other streams.
#[tokio::test]
async fn a_stream_whose_window_stays_closed_ends_and_no_other() {
    let limits = Limits { body_idle_timeout: Duration::from_millis(300), ..Limits::default() };
    let (dropped, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
    let (flag, opened) = (dropped.clone(), gate.clone());
    let bed = Bed::serving(
        limits,
        handler(move |request| {
            let (canary, gate) = (Canary(flag.clone()), gate.clone());
            async move {
                if request.uri().path() != "/endless" {
                    // Neither is held against the client: it has taken all that there is.
                    gate.notified().await;
                    return Ok(text("late"));
                }
                let endless = futures::stream::repeat_with(move || {
                    let _ = &canary;
                    Ok(Frame::data(Bytes::from_static(&[0; 1_000])))
                });
                Ok(umbel_provider::http::Response::new(Body::new(StreamBody::new(endless))))
            }
        }),
    )
    .await;
    let (mut sender, _task) = client(&bed).await;
    let (mut waiting, mut waiting_too) = (sender.clone(), sender.clone());
    let patient = waiting.send_request(get("http://app.localhost/"));
    let patient_too = waiting_too.send_request(get("http://app.localhost/"));
    let stalled = async {
        let answer = sender.send_request(get("http://app.localhost/endless")).await.expect("a head");
        wait_for("the answer is given up", || dropped.load(Ordering::Acquire)).await;
        assert_eq!(bed.server.stats().connections.iter().sum::<u64>(), 1, "the connection goes on");
        let read = answer.into_body().collect().await;
        opened.notify_waiters();
        assert!(read.is_err(), "the client is told");
    };
    let (first, second, ()) = tokio::join!(patient, patient_too, stalled);
    for answer in [first, second] {
        let body = answer.expect("an answer").into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, "late");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(300),
        head_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let bed = Bed::serving(limits, says("x")).await;
    let mut stream = bed.connect().await;
    stream.write_all(&opening()).await.expect("written");
    let mut sink = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut sink)).await;
    assert!(ended.is_ok(), "an idle connection goes on");
}
