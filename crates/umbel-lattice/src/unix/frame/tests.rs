use super::{Frame, SHARED_BYTES};
use crate::{Headers, Message};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use umbel_core::Problem;
use umbel_core::code::wire;

fn written(frame: Frame) -> BytesMut {
    let mut out = Vec::new();
    let rest = frame.write(&mut out);
    let mut all = BytesMut::from(&out[..]);
    if let Some(rest) = rest {
        all.extend_from_slice(&rest);
    }
    all
}

fn messages() -> impl Strategy<Value = Message> {
    let text = "[a-z.é]{0,40}";
    let headers = prop::collection::vec((text, text), 0..4);
    let length = prop_oneof![0_usize..200, SHARED_BYTES - 1..SHARED_BYTES + 2];
    (text, prop::option::of(text), headers, length).prop_map(|(subject, reply, pairs, length)| {
        let mut headers = Headers::default();
        pairs.into_iter().for_each(|(name, value)| headers.append(name, value));
        Message { subject, reply, headers, payload: Bytes::from(vec![7; length]) }
    })
}

fn frames() -> impl Strategy<Value = Frame> {
    let text = "[a-z.é]{0,40}";
    let problem = text.prop_map(|why| Problem::new(wire::WIRE_BROKEN, why));
    prop_oneof![
        (any::<u64>(), text, text).prop_map(|(version, id, token)| Frame::Hello { version, id, token }),
        (any::<bool>(), messages()).prop_map(|(is_request, message)| Frame::Publish { is_request, message }),
        (any::<u64>(), text, prop::option::of(text), any::<bool>()).prop_map(
            |(sid, pattern, group, is_observer)| Frame::Subscribe { sid, pattern, group, is_observer }
        ),
        any::<u64>().prop_map(|sid| Frame::Unsubscribe { sid }),
        (any::<u64>(), text, text, any::<u64>()).prop_map(|(version, lattice, inbox, payload_bytes_max)| {
            Frame::Welcome { payload_bytes_max, version, lattice, inbox }
        }),
        problem.clone().prop_map(|problem| Frame::Refused { problem }),
        (any::<u64>(), messages()).prop_map(|(sid, message)| Frame::Deliver { sid, message }),
        any::<u64>().prop_map(|sid| Frame::Subscribed { sid }),
        any::<u64>().prop_map(|sid| Frame::Interrupted { sid }),
        (any::<u64>(), problem.clone()).prop_map(|(sid, problem)| Frame::NotSubscribed { sid, problem }),
        (text, any::<u64>()).prop_map(|(reply, status)| Frame::Status { reply, status }),
        (text, problem.clone()).prop_map(|(subject, problem)| Frame::Denied { subject, problem }),
        problem.prop_map(|problem| Frame::Closing { problem }),
    ]
}

/// A frame as text, to be compared.
fn shown(frame: &Frame) -> String {
    format!("{frame:?}")
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in prop::collection::vec(frames(), 1..4), cut in any::<prop::sample::Index>()) {
        let before: Vec<String> = all.iter().map(shown).collect();
        let mut bytes = BytesMut::new();
        all.into_iter().for_each(|frame| bytes.extend_from_slice(&written(frame)));
        // It may come in two parts, cut anywhere.
        let late = bytes.split_off(cut.index(bytes.len()));
        let mut after = Vec::new();
        for part in [None, Some(late)] {
            if let Some(part) = part {
                bytes.extend_from_slice(&part);
            }
            while let Some(frame) = Frame::take(&mut bytes).expect("whole frames") {
                after.push(shown(&frame));
            }
        }
        prop_assert_eq!(before, after);
    }

    #[test]
    fn rubbish_is_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let length = u32::try_from(bytes.len()).expect("short").to_le_bytes();
        let mut framed = BytesMut::from(&[&length[..], &bytes].concat()[..]);
        let _ = Frame::take(&mut framed);
        let _ = Frame::take(&mut BytesMut::from(&bytes[..]));
    }
}
