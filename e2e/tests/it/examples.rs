//! The examples, deployed by their manifests.

use crate::running;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use umbel_testkit::http::{self, Connection};

#[test]
fn hello_in_both_generations() {
    for name in ["hello", "hello-p3"] {
        let answer = running(name).get(name, "/").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from Umbel!\n"), "{name}");
    }
}

#[test]
fn echo_gives_back_what_it_gets_while_it_gets_it() {
    let platform = running("echo");
    let mut stream = TcpStream::connect(platform.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: echo.localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    // The end of the request is not sent before the beginning of the answer is there.
    for piece in ["first", "second"] {
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).unwrap();
        let mut seen = String::new();
        while !seen.contains(piece) {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).unwrap();
            assert!(count > 0, "closed after {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&some[..count]));
        }
    }
}

#[test]
fn echo_passes_large_bodies_and_trailers() {
    let platform = running("echo");
    let body: Vec<u8> =
        (0..8 << 20).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = TcpStream::connect(platform.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut reader = stream.try_clone().unwrap();
    // Whoever only writes and does not read is stopped by back-pressure, so both go on at once.
    let answer = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).unwrap();
            answer
        });
        let head = "POST / HTTP/1.1\r\nhost: echo.localhost\r\nconnection: close\r\nte: trailers\r\n\
                    trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for piece in body.chunks(100_000) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            stream.write_all(piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\nx-sum: 42\r\n\r\n").unwrap();
        reading.join().unwrap()
    });
    let answer = parse(&answer);
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} of {} bytes came back as they were sent", answer.body.len(), body.len());
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())]);
}

/// The answer in these bytes, read by the client that reads all others.
fn parse(bytes: &[u8]) -> http::Answer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    std::thread::scope(|scope| {
        let address = listener.local_addr().unwrap();
        scope.spawn(|| listener.accept().unwrap().0.write_all(bytes).unwrap());
        Connection::open(address, "").unwrap().receive().unwrap()
    })
}

#[test]
fn proxy_passes_on_what_another_server_says() {
    let platform = running("proxy");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /there?x=1 HTTP/1.1\r\n"));
            let answer =
                "HTTP/1.1 418 I'm a teapot\r\ncontent-type: text/tea\r\ncontent-length: 3\r\n\r\ntea";
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let answer = platform.get("proxy", &format!("/?url=http://127.0.0.1:{port}/there?x=1")).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (418, "tea"));
        assert_eq!(answer.header("content-type"), Some("text/tea"));
    });
}

#[test]
fn proxy_reaches_only_what_it_may() {
    let platform = running("proxy");
    let answer = platform.get("proxy", "/?url=http://forbidden.example/").unwrap();
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
    // Allowed, but nobody is there.
    let answer = platform.get("proxy", "/?url=http://127.0.0.1:1/").unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("ConnectionRefused"), "{}", answer.text());
}
