use crate::bed::{Bed, PATIENCE, echo, handler, parse, read_until, says, text};
use bytes::Bytes;
use futures::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use umbel_builtin::http_server::Limits;
use umbel_provider::http::{Body, HeaderMap, Response};

/// An echo whose progress can be seen from outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_pass_through_bounded_memory() {
    const TOTAL: u64 = 100 << 20;
    let passed = Arc::new(AtomicU64::new(0));
    let counter = passed.clone();
    let bed = Bed::serving(
        Limits::default(),
        handler(move |request| {
            let counter = counter.clone();
            async move {
                let frames = request.into_body().into_data_stream().map(move |piece| {
                    let piece = piece?;
                    counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Ok(Frame::data(piece))
                });
                Ok(Response::new(Body::new(StreamBody::new(frames))))
            }
        }),
    )
    .await;
    let (mut reader, mut writer) = bed.connect().await.into_split();
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {TOTAL}\r\nConnection: close\r\n\r\n"
    );
    let writing = async move {
        writer.write_all(head.as_bytes()).await.expect("the head");
        let block = vec![b'x'; 64 << 10];
        for _ in 0..TOTAL / block.len() as u64 {
            writer.write_all(&block).await.expect("the body");
            counter.fetch_add(block.len() as u64, Ordering::Relaxed);
        }
        writer
    };
    let reading = async {
        let (mut total, mut buffer) = (0u64, vec![0; 256 << 10]);
        // Nothing is read until the sender is stuck: back-pressure reaches through the server, so that it holds little.
        let mut before = u64::MAX;
        while sent.load(Ordering::Relaxed) != before {
            before = sent.load(Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        assert!(before < TOTAL / 2, "the sender was not held back: {before}");
        loop {
            match reader.read(&mut buffer).await.expect("the answer") {
                0 => break,
                read => total += read as u64,
            }
        }
        total
    };
    let (_writer, total) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.expect("in time");
    assert!(total > TOTAL && passed.load(Ordering::Relaxed) == TOTAL, "{total}");
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            let body = request.into_body().collect().await.expect("the body");
            let trailer = body.trailers().and_then(|t| t.get("x-sum")).cloned();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-back", trailer.expect("the request's trailer"));
            let frames = [Ok(Frame::data(body.to_bytes())), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
            response.headers_mut().insert("trailer", "x-back".parse().expect("a value"));
            Ok(response)
        }),
    )
    .await;
    let answer = bed
        .raw(
            "POST / HTTP/1.1\r\nHost: app.localhost\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n",
        )
        .await;
    assert!(answer.contains("hello world") && answer.ends_with("0\r\nx-back: 42\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn the_first_frame_is_not_held_back() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|_| async {
            let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            Ok(Response::new(Body::new(StreamBody::new(first.chain(futures::stream::pending())))))
        }),
    )
    .await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.expect("written");
    assert!(read_until(&mut stream, "first").await.contains("transfer-encoding: chunked"));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let whole = handler(|request| async {
        Ok(text(request.into_body().collect().await.expect("a body").to_bytes()))
    });
    let bed = Bed::serving(Limits::default(), whole).await;
    let mut stream = bed.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("written");
    read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"body").await.expect("written");
    read_until(&mut stream, "\r\n\r\nbody").await;
}

#[tokio::test]
async fn a_refused_body_is_not_asked_for() {
    let bed = Bed::serving(Limits { body_bytes_max: Some(10), ..Limits::default() }, echo()).await;
    let head = "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n";
    let answer = bed.raw(head).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn head_has_no_body_and_the_length_of_get() {
    let bed = Bed::serving(Limits::default(), says("seven!!")).await;
    let answer = bed.raw("HEAD / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: 7\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|_| async {
            let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err("the guest trapped".into())];
            Ok(Response::new(Body::new(StreamBody::new(futures::stream::iter(frames)))))
        }),
    )
    .await;
    let answer = bed.raw("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn headers_about_the_connection_are_the_servers() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|_| async {
            let mut response = text("x");
            for (name, value) in
                [("connection", "close"), ("transfer-encoding", "gzip"), ("upgrade", "h2c"), ("x-mine", "1")]
            {
                response.headers_mut().insert(name, value.parse().expect("a value"));
            }
            Ok(response)
        }),
    )
    .await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.expect("written");
    let answer = read_until(&mut stream, "\r\n\r\nx").await;
    assert!(answer.contains("x-mine: 1"), "{answer}");
    for name in ["connection:", "transfer-encoding:", "upgrade:"] {
        assert!(!answer.contains(name), "{answer}");
    }
    assert_eq!(parse(&answer).0, 200);
}
