use super::*;
use std::net::TcpListener;

/// What the client makes of these bytes.
fn answer_to(bytes: &[u8]) -> io::Result<Answer> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
        });
        get(address, "localhost", "/")
    })
}

#[test]
fn reads_every_framing() {
    let cases: [(&[u8], &str); 3] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi rest", "hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ];
    for (bytes, expected) in cases {
        assert_eq!(answer_to(bytes).unwrap().text(), expected);
    }
}

#[test]
fn reads_chunks_and_trailers() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n4;x=y\r\n you\r\n0\r\nX-Sum: 6\r\n\r\n";
    let answer = answer_to(bytes).unwrap();
    assert_eq!((answer.text().as_str(), answer.status), ("hi you", 200));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
}

#[test]
fn reads_a_head_and_leaves_the_rest() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connection = Connection::open(listener.local_addr().unwrap(), "localhost").unwrap();
    listener
        .accept()
        .unwrap()
        .0
        .write_all(b"HTTP/1.1 206 Partial\r\ncontent-length: 5\r\n\r\nhello")
        .unwrap();
    let head = connection.receive_head().unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (206, Some("5"), 0));
    let mut body = String::new();
    connection.read_to_string(&mut body).unwrap();
    assert_eq!(body, "hello");
}

#[test]
fn refuses_what_breaks_off() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi", b"nonsense\r\n\r\n"] {
        assert!(answer_to(bytes).is_err(), "{bytes:?}");
    }
}
