use super::{Framing, Violation};
use proptest::prelude::*;

fn run(text: &[u8], pieces: usize) -> Result<bool, Violation> {
    let mut framing = Framing::new(4096, 10);
    for piece in text.chunks(pieces.max(1)) {
        framing.feed(piece)?;
    }
    Ok(framing.is_between())
}

fn check(text: &str, expect: Result<bool, Violation>) {
    for pieces in [usize::MAX, 1, 2, 3, 7] {
        assert_eq!(run(text.as_bytes(), pieces), expect, "{text:?} in pieces of {pieces}");
    }
}

#[test]
fn well_formed_requests_end_where_they_end() {
    check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Ok(true));
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Ok(true));
    check("GET / HTTP/1.1\r\nHost: x\r\n", Ok(false));
    check("POST / HTTP/1.1\r\ncontent-LENGTH: \t5 \r\n\r\nhello", Ok(true));
    check("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", Ok(false));
    check("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", Ok(true));
    check(
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        Ok(true),
    );
    check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", Ok(false));
    check("GET / HTTP/1.1\r\nContent-Lengthy: x\r\nTransfer-Encodings: y\r\n\r\n", Ok(true));
}

#[test]
fn ambiguous_requests_are_refused() {
    for text in [
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\tfolded\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: v\n\r\n",
    ] {
        for pieces in [usize::MAX, 1, 3] {
            let got = run(text.as_bytes(), pieces);
            assert!(matches!(got, Err(Violation::Malformed(_))), "{text:?} in pieces of {pieces}: {got:?}");
        }
    }
}

#[test]
fn heads_and_trailers_are_limited() {
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(11));
    check(&many, Err(Violation::HeadTooLarge));
    check(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10)), Ok(true));
    check(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(4096)), Err(Violation::HeadTooLarge));
    check(&"\r\n".repeat(3000), Err(Violation::HeadTooLarge));
    let trailers =
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: {}", "a".repeat(5000));
    check(&trailers, Err(Violation::HeadTooLarge));
    let extension = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "a".repeat(300));
    check(&extension, Err(Violation::Malformed("a chunk's size line is too long")));
    // The limit is per head, not per connection.
    check(&"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000), Ok(true));
}

proptest! {
    #[test]
    fn pieces_do_not_matter(requests in proptest::collection::vec((0usize..3, 0usize..40, 1usize..9), 1..6), cut in 1usize..64) {
        let mut text = String::new();
        for (kind, size, chunk) in requests {
            let body = "x".repeat(size);
            match kind {
                0 => text.push_str("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
                1 => text.push_str(&format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n{body}")),
                _ => {
                    text.push_str("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for piece in body.as_bytes().chunks(chunk) {
                        text.push_str(&format!("{:x}\r\n{}\r\n", piece.len(), "x".repeat(piece.len())));
                    }
                    text.push_str("0\r\n\r\n");
                }
            }
        }
        prop_assert_eq!(run(text.as_bytes(), cut), Ok(true));
    }

    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
        let whole = run(&bytes, usize::MAX);
        prop_assert_eq!(run(&bytes, cut).is_ok(), whole.is_ok());
    }
}
