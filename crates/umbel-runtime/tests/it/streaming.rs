//! Bodies: streamed both ways, with trailers, and ended when one side goes away.

use crate::rig::{Rig, any, empty, request, subject};
use bytes::Bytes;
use futures::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::body::{Body, BodyError};
use umbel_testkit::wait_for;

type Sender = tokio::sync::mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

/// A body that is fed while it is read.
fn fed() -> (Sender, Body) {
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    let frames = futures::stream::poll_fn(move |cx| rx.poll_recv(cx));
    (tx, StreamBody::new(frames).boxed_unsync())
}

/// A body that never ends.
pub(crate) fn endless() -> Body {
    let piece = Bytes::from_static(&[7; 16 << 10]);
    let frames = futures::stream::repeat_with(move || Ok::<_, BodyError>(Frame::data(piece.clone())));
    StreamBody::new(frames).boxed_unsync()
}

#[tokio::test]
async fn a_large_body_is_echoed_piece_by_piece_with_its_trailers() {
    let rig = Rig::shared();
    for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
        let subject = rig.subject(&any("echo"), mode, Limits::default()).await;
        let (feed, body) = fed();
        let response = subject.component.http(request("/", body)).await.expect("the head comes first");
        let mut answer = response.into_body();
        for number in 0..100u8 {
            // The next piece is sent when this one is back: nothing waits for the end of the body.
            let piece = Bytes::from(vec![number; 64 << 10]);
            feed.send(Ok(Frame::data(piece.clone()))).await.expect("the guest reads");
            let mut back = Vec::new();
            while back.len() < piece.len() {
                let frame = answer.frame().await.expect("a frame").expect("no error");
                back.extend_from_slice(&frame.into_data().expect("data"));
            }
            assert!(back == piece, "piece {number}");
        }
        let trailers: http::HeaderMap =
            [(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("42"))]
                .into_iter()
                .collect();
        feed.send(Ok(Frame::trailers(trailers))).await.expect("the guest reads");
        drop(feed);
        let last = answer.frame().await.expect("a frame").expect("no error");
        assert_eq!(last.into_trailers().expect("trailers")["x-sum"], "42");
        assert!(answer.frame().await.is_none());
        wait_for("the call is over", || subject.usage().calls_in_flight == 0).await;
        assert!(subject.usage().memory_bytes_max_seen < 4 << 20, "{:?}", subject.usage());
        assert_eq!(subject.usage().traps, 0);
    }
}

#[tokio::test]
async fn a_request_body_that_breaks_off_breaks_the_answer_off() {
    let rig = Rig::shared();
    let subject = subject(&rig, "echo", Limits::default()).await;
    let (feed, body) = fed();
    let response = subject.component.http(request("/", body)).await.expect("the head comes first");
    feed.send(Ok(Frame::data(Bytes::from_static(b"half")))).await.expect("the guest reads");
    feed.send(Err("the connection is gone".into())).await.expect("the guest reads");
    drop(feed);
    response.into_body().collect().await.expect_err("it does not look whole");
    subject.at_rest().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_guest() {
    let rig = Rig::shared();
    let limits = Limits { call_ms_max: 0, ..Limits::default() };
    for frames in [0, 3] {
        let subject = subject(&rig, "echo", limits.clone()).await;
        let response = subject.component.http(request("/", endless())).await.expect("the head comes first");
        let mut body = response.into_body();
        for _ in 0..frames {
            body.frame().await.expect("a frame").expect("no error");
        }
        assert_eq!(subject.usage().calls_in_flight, 1);
        drop(body);
        subject.at_rest().await;
    }
}

#[tokio::test]
async fn a_reader_that_stands_still_is_given_its_time_and_no_more() {
    let rig = Rig::shared();
    let subject = subject(&rig, "echo", Limits { call_ms_max: 60, ..Limits::default() }).await;
    let response = subject.component.http(request("/", endless())).await.expect("the head comes first");
    let mut body = response.into_body();
    // Progress moves the deadline on: this takes several times as long as one call may stand still.
    for _ in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        body.frame().await.expect("a frame").expect("no error");
    }
    subject.at_rest().await;
    let rest: Vec<_> = body.into_data_stream().collect().await;
    assert!(rest.last().is_some_and(Result::is_err), "what was cut off does not look whole");
    assert_eq!(subject.usage().traps, 1);
}

#[tokio::test]
async fn a_body_that_is_never_read_holds_nobody_up() {
    let rig = Rig::shared();
    for body in [empty(), endless()] {
        let subject = subject(&rig, "unread", Limits::default()).await;
        let response = subject.component.http(request("/", body)).await.expect("it answers");
        assert_eq!(crate::rig::text(response).await, "unread\n");
        subject.at_rest().await;
    }
}
