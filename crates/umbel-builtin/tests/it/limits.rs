use crate::bed::{Bed, echo, handler, parse, read_to_end, read_until, says, text, wait_for};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use umbel_builtin::http_server::Limits;
use umbel_provider::http::{Body, Response};

fn quick() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        body_idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_slow_head_ends_with_408() {
    let bed = Bed::serving(quick(), says("x")).await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.loc").await.unwrap();
    let (status, body) = parse(&read_to_end(&mut stream).await);
    assert!(status == 408 && body.contains("UM0516"), "{status} {body}");
}

#[tokio::test]
async fn drops_of_a_head_do_not_prolong_it() {
    let bed = Bed::serving(quick(), says("x")).await;
    let (mut reader, mut writer) = bed.connect().await.into_split();
    let drip = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if writer.write_all(b"X").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let (ended, _) = tokio::join!(drip, reader.read_to_end(&mut answer));
    ended.expect("the server ends the connection");
}

#[tokio::test]
async fn a_silent_or_idle_connection_is_closed() {
    let bed = Bed::serving(quick(), says("x")).await;
    let mut silent = bed.connect().await;
    read_to_end(&mut silent).await;
    let mut idle = bed.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut idle).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(parse(&answer).0, 200);
}

#[tokio::test]
async fn a_long_answer_is_not_idle() {
    let bed = Bed::serving(
        quick(),
        handler(|_| async {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            Ok(text("late"))
        }),
    )
    .await;
    assert_eq!(bed.get("app.localhost", "/").await, (200, "late".into()));
}

#[tokio::test]
async fn heads_that_are_too_large_get_431() {
    let bed = Bed::serving(Limits::default(), says("x")).await;
    let get = |headers: String| {
        format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{headers}Connection: close\r\n\r\n")
    };
    for (headers, expect) in [
        (format!("X: {}\r\n", "a".repeat(60 << 10)), 200),
        (format!("X: {}\r\n", "a".repeat(70 << 10)), 431),
        (format!("X: {}\r\n", "a".repeat(1 << 20)), 431),
        ("X: y\r\n".repeat(98), 200),
        ("X: y\r\n".repeat(99), 431),
        ("X: y\r\n".repeat(5000), 431),
    ] {
        let answer = bed.raw(get(headers.clone())).await;
        assert_eq!(parse(&answer).0, expect, "{} bytes: {:.200}", headers.len(), answer);
    }
    let long_uri = format!("GET /{} HTTP/1.1\r\nHost: app.localhost\r\n\r\n", "a".repeat(70 << 10));
    assert_eq!(parse(&bed.raw(long_uri).await).0, 431);
}

#[tokio::test]
async fn bodies_that_are_too_large_get_413() {
    let limits = Limits { body_bytes_max: Some(1000), ..Limits::default() };
    let collecting = handler(|request| async move {
        match request.into_body().collect().await {
            Ok(body) => Ok(text(format!("{} bytes", body.to_bytes().len()))),
            Err(error) => {
                Err(umbel_core::Problem::new(umbel_core::code::call::HTTP_BAD_RESPONSE, error.to_string()))
            }
        }
    });
    let bed = Bed::serving(limits, collecting).await;
    let post =
        |rest: String| format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n{rest}");
    let sized = |n: usize| post(format!("Content-Length: {n}\r\n\r\n{}", "x".repeat(n)));
    let chunked =
        |n: usize| post(format!("Transfer-Encoding: chunked\r\n\r\n{n:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(n)));
    assert_eq!(parse(&bed.raw(sized(1000)).await), (200, "1000 bytes".into()));
    assert_eq!(parse(&bed.raw(chunked(1000)).await).0, 200);
    for request in [sized(1001), chunked(1001)] {
        let (status, body) = parse(&bed.raw(request).await);
        assert!(status == 413 && body.contains("UM0507"), "{status} {body}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut() {
    let bed = Bed::serving(
        quick(),
        handler(|request| async move {
            let error = request.into_body().collect().await.expect_err("the body never ends");
            Err(umbel_core::Problem::new(umbel_core::code::call::HTTP_BAD_RESPONSE, error.to_string()))
        }),
    )
    .await;
    let (status, body) =
        parse(&bed.raw("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\nabc").await);
    assert!(status == 408 && body.contains("UM0508"), "{status} {body}");
}

/// Tells when it is dropped.
struct Canary(Arc<AtomicBool>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let bed = Bed::serving(
        quick(),
        handler(move |_| {
            let canary = Canary(flag.clone());
            async move {
                let endless = futures::stream::repeat_with(move || {
                    let _ = &canary;
                    Ok(http_body::Frame::data(bytes::Bytes::from_static(&[0; 16384])))
                });
                Ok(Response::new(Body::new(http_body_util::StreamBody::new(endless))))
            }
        }),
    )
    .await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    wait_for("the answer is given up", || dropped.load(Ordering::Acquire)).await;
    drop(stream);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call() {
    let (started, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begun, flag) = (started.clone(), dropped.clone());
    let bed = Bed::serving(
        Limits::default(),
        handler(move |_| {
            begun.store(true, Ordering::Release);
            let canary = Canary(flag.clone());
            async move {
                let _canary = canary;
                std::future::pending().await
            }
        }),
    )
    .await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
    wait_for("the call runs", || started.load(Ordering::Acquire)).await;
    assert_eq!(bed.server.stats().routes[0].in_flight, 1);
    drop(stream);
    wait_for("the call is cancelled", || dropped.load(Ordering::Acquire)).await;
    wait_for("it is counted", || bed.server.stats().routes[0].statuses[0] == 1).await;
}

#[tokio::test]
async fn connections_are_limited() {
    let bed = Bed::serving(Limits { connections_max: 3, ..Limits::default() }, says("x")).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = bed.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
        read_until(&mut stream, "\r\n\r\nx").await;
        held.push(stream);
    }
    let mut refused = bed.connect().await;
    let (status, body) = parse(&read_to_end(&mut refused).await);
    assert!(status == 503 && body.contains("UM0511"), "{status} {body}");
    assert_eq!(bed.server.stats().connections_refused, 1);
    drop(held);
    wait_for("places are free", || bed.server.stats().connections.iter().sum::<u64>() == 0).await;
    assert_eq!(bed.get("app.localhost", "/").await.0, 200);
}

#[tokio::test]
async fn an_upgrade_is_answered_as_a_plain_request() {
    let bed = Bed::serving(Limits::default(), echo()).await;
    let answer = bed
        .raw("GET / HTTP/1.1\r\nHost: app.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n")
        .await;
    assert_eq!(parse(&answer).0, 200, "{answer}");
    assert!(!answer.to_lowercase().contains("upgrade"), "{answer}");
}
