use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A server that answers the given number of requests on each of its connections and then closes it.
fn serve(listener: &TcpListener, per_connection: usize, status: &str, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::yield_now();
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        for _ in 0..per_connection {
            let mut request = [0; 1024];
            if stream.read(&mut request).unwrap_or(0) == 0 {
                break;
            }
            let answer = match status {
                "cut line" => "HTTP/1.1 2".to_owned(),
                "cut body" => "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab".to_owned(),
                "cut chunk" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_owned(),
                "nothing" => String::new(),
                status => format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"),
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }
}

fn outcome(per_connection: usize, status: &str) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let load = Load {
        address: listener.local_addr().unwrap(),
        host: "localhost".to_owned(),
        path: "/".to_owned(),
        rate: 1_000.0,
        connections: 1,
        duration: Duration::from_millis(50),
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, per_connection, status, &stop));
        let outcome = load.run(&AtomicBool::new(false));
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

#[test]
fn asks_as_often_as_it_should() {
    let outcome = outcome(usize::MAX, "200 OK");
    assert_eq!((outcome.succeeded, outcome.failed, outcome.resent), (50, 0, 0), "{:?}", outcome.examples);
    assert_eq!(outcome.latencies.len(), 50);
    assert!(outcome.quantile(0.5) <= outcome.quantile(0.99));
}

#[test]
fn a_kept_connection_may_be_closed() {
    let outcome = outcome(10, "200 OK");
    assert_eq!((outcome.succeeded, outcome.failed, outcome.resent), (50, 0, 4), "{:?}", outcome.examples);
}

#[test]
fn a_cut_answer_is_told_apart_from_one_that_did_not_begin() {
    for cut in ["cut line", "cut body", "cut chunk"] {
        let outcome = outcome(1, cut);
        let counts = (outcome.failed, outcome.cut, outcome.unanswered);
        assert_eq!(counts, (50, 50, 0), "{cut}: {:?}", outcome.examples);
        assert!(outcome.examples[0].starts_with("an answer was cut"), "{cut}: {:?}", outcome.examples);
    }
    for (status, unanswered) in [("nothing", 50), ("503 Service Unavailable", 0)] {
        let outcome = outcome(1, status);
        assert_eq!((outcome.failed, outcome.cut, outcome.unanswered), (50, 0, unanswered), "{status}");
    }
}

#[test]
fn failures_are_counted_and_shown() {
    let outcome = outcome(usize::MAX, "503 Service Unavailable");
    assert_eq!((outcome.succeeded, outcome.failed), (0, 50));
    assert_eq!(outcome.examples.len(), EXAMPLES_MAX);
    assert!(outcome.examples[0].starts_with("503"));
}
