use super::{BodyWatch, Pieces, Watched};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::{Arc, Mutex};
use wasmtime_wasi_http::Error;

/// What a guest's driver was told of the end.
#[derive(Default)]
struct Told(Mutex<Vec<&'static str>>);

impl BodyWatch for Told {
    fn progressed(&self) {}

    fn ended(&self) {
        self.0.lock().expect("no test panics with it").push("ended");
    }

    fn abandoned(&self) {
        self.0.lock().expect("no test panics with it").push("abandoned");
    }

    fn is_broken(&self) -> bool {
        false
    }
}

/// What is told when a body of two pieces of five bytes, whose end does not show, is dropped after so many frames.
fn told(length: Option<u64>, frames: usize) -> Vec<&'static str> {
    let piece = || Ok::<_, Error>(Frame::data(Bytes::from_static(b"piece")));
    let pieces = futures::stream::iter([piece(), piece()]).chain(futures::stream::pending());
    let watch = Arc::<Told>::default();
    let mut body = Watched::body(Pieces::of(StreamBody::new(pieces).boxed_unsync()), watch.clone(), length);
    for _ in 0..frames {
        body.frame().now_or_never().expect("it is there").expect("a frame").expect("no error");
    }
    drop(body);
    watch.0.lock().expect("no test panics with it").clone()
}

#[test]
fn a_body_ends_with_its_announced_length_and_is_abandoned_before() {
    let cases: [(&str, Option<u64>, usize, &[&str]); 6] = [
        ("all that was announced", Some(10), 2, &["ended"]),
        ("half of what was announced", Some(10), 1, &["abandoned"]),
        ("nothing, of what was announced", Some(10), 0, &["abandoned"]),
        ("the answer to a HEAD", Some(0), 0, &["ended"]),
        ("chunks without an end", None, 2, &["abandoned"]),
        ("more than was announced", Some(7), 2, &["ended"]),
    ];
    for (what, length, frames, expect) in cases {
        assert_eq!(told(length, frames), expect, "{what}");
    }
}
