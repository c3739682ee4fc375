use super::*;

#[track_caller]
fn check(text: &str, expect: &[(&str, &str)]) {
    let expect: Vec<Frame> =
        expect.iter().map(|(event, data)| Frame { event: (*event).into(), data: (*data).into() }).collect();
    // However the bytes are cut, the events are the same.
    for size in 1..=text.len() {
        let mut parser = Parser::default();
        let mut frames = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            frames.extend(parser.push(chunk).unwrap());
        }
        assert_eq!(frames, expect, "in pieces of {size}");
    }
}

#[test]
fn events_are_read_however_they_are_cut() {
    check("event: log\nid: 4\ndata: {}\n\n", &[("log", "{}")]);
    check("event:log\r\ndata:a\r\ndata: b\r\n\r\n", &[("log", "a\nb")]);
    check(": keep-alive\n\n: again\n\n", &[]);
    check("event: log\ndata: ü\n\nevent: lost\ndata: 2\n\nevent: cut", &[("log", "ü"), ("lost", "2")]);
    check("data\n\n", &[("", "")]);
}

#[test]
fn an_endless_event_is_refused() {
    let mut parser = Parser::default();
    let mut outcome = Ok(Vec::new());
    for _ in 0..=EVENT_BYTES_MAX >> 10 {
        outcome = parser.push(&[b'x'; 1024]);
    }
    assert_eq!(outcome.unwrap_err().code, api::ANSWER_UNREADABLE);
}
