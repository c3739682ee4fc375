use crate::bed::{Bed, handler, parse, says, text};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use umbel_builtin::http_server::Limits;

/// Every text is one request that two servers may read differently, followed by one that must never be seen as such.
#[tokio::test]
async fn ambiguous_requests_get_400_and_a_closed_connection() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let bed = Bed::serving(
        Limits::default(),
        handler(move |request| {
            if request.uri().path() == "/smuggled" {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            async { Ok(text("answered")) }
        }),
    )
    .await;
    let second = "GET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0,0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: app.localhost\n\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: app.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nno colon\r\n\r\n",
        "GET  /  HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: app.localhost\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n",
    ] {
        let answer = bed.raw(format!("{head}{second}")).await;
        assert_eq!(parse(&answer).0, 400, "{head:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer:?}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0, "nothing was smuggled");
    assert!(bed.get("app.localhost", "/").await.1.contains("answered"));
}

#[tokio::test]
async fn the_answer_says_what_was_wrong() {
    let bed = Bed::serving(Limits::default(), says("x")).await;
    let (status, body) = parse(&bed.raw("GET / HTTP/1.1\nHost: app.localhost\n\n").await);
    assert_eq!(status, 400);
    assert!(body.starts_with("UM0512: ") && body.contains("bare line feed"), "{body}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move { Ok(text(request.uri().path().to_string())) }),
    )
    .await;
    let mut requests = String::new();
    for number in 0..50 {
        requests.push_str(&format!(
            "POST /{number} HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nabc"
        ));
    }
    requests.push_str("GET /end HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n");
    let answer = bed.raw(requests).await;
    let bodies: Vec<&str> =
        answer.split("\r\n\r\n").skip(1).map(|b| b.split("HTTP/1.1").next().unwrap()).collect();
    let expect: Vec<String> = (0..50).map(|n| format!("/{n}")).chain(["/end".to_string()]).collect();
    assert_eq!(bodies, expect);
}
