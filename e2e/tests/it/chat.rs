//! The chat rooms of `examples/chat`: answers that go on, messages between components, and texts that want to be more than text.

use crate::{ask, running};
use serde_json::{Value, json};
use std::io::Read;
use umbel_testkit::Platform;
use umbel_testkit::http::Connection;
use umbel_testkit::wait::block_until;

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Says something; the status.
fn say(platform: &Platform, room: &str, name: &str, text: &str) -> u16 {
    let body = format!("name={}&text={}", escape(name), escape(text));
    ask(platform, "chat", "POST", &format!("/rooms/{room}"), Some(body.as_bytes())).status
}

/// Somebody who listens: a request whose answer goes on.
struct Listener {
    connection: Connection,
    /// What came and was not looked at yet.
    heard: String,
}

impl Listener {
    fn new(platform: &Platform, room: &str, last_event_id: Option<u64>) -> Listener {
        let mut connection = Connection::open(platform.address, "chat.localhost").unwrap();
        let last = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET /rooms/{room}/events HTTP/1.1\r\nhost: chat.localhost\r\n{last}\r\n");
        connection.send(head.as_bytes()).unwrap();
        let head = connection.receive_head().unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        let mut listener = Listener { connection, heard: String::new() };
        assert_eq!(listener.block(), "retry: 1000");
        listener
    }

    /// The next lines up to an empty one.
    fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.heard.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.heard = rest;
                return block;
            }
            let mut size = String::new();
            while !size.ends_with("\r\n") {
                let mut byte = [0];
                self.connection.read_exact(&mut byte).unwrap();
                size.push(byte[0].into());
            }
            let mut piece = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
            self.connection.read_exact(&mut piece).unwrap();
            piece.truncate(piece.len() - 2);
            self.heard.push_str(&String::from_utf8(piece).unwrap());
        }
    }

    /// The next message: its id, who said it, and what.
    fn hear(&mut self) -> (u64, String, String) {
        let block = self.block();
        let (id, data) = block.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
        (id, data["name"].as_str().unwrap().into(), data["text"].as_str().unwrap().into())
    }
}

fn message(id: u64, name: &str, text: &str) -> (u64, String, String) {
    (id, name.into(), text.into())
}

#[test]
fn what_one_says_all_in_the_room_hear() {
    let mut platform = running("chat");
    let (mut one, mut other) = (Listener::new(&platform, "tea", None), Listener::new(&platform, "tea", None));
    let mut elsewhere = Listener::new(&platform, "coffee", None);
    let odd = "\"quoted\"\\ <b>&amp;\n\nid: 7\ndata: é🦀 \u{1} 'x'";
    assert_eq!(say(&platform, "tea", "Ada", "Hello"), 202);
    for listener in [&mut one, &mut other] {
        assert_eq!(listener.hear(), message(1, "Ada", "Hello"));
    }
    assert_eq!(say(&platform, "tea", "Bob <i>", odd), 202);
    for listener in [&mut one, &mut other] {
        assert_eq!(listener.hear(), message(2, "Bob <i>", odd));
    }
    assert_eq!(say(&platform, "coffee", "Cy", "Nobody here?"), 202);
    assert_eq!(elsewhere.hear(), message(1, "Cy", "Nobody here?"), "rooms do not hear each other");

    // Who comes late hears what was said, and who comes again what was said since.
    assert_eq!(Listener::new(&platform, "tea", None).hear(), message(1, "Ada", "Hello"));
    assert_eq!(Listener::new(&platform, "tea", Some(1)).hear(), message(2, "Bob <i>", odd));

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    block_until("it answers", || platform.get("chat", "/").unwrap().status == 200);
    let mut again = Listener::new(&platform, "tea", Some(1));
    assert_eq!(again.hear(), message(2, "Bob <i>", odd));
    assert_eq!(say(&platform, "tea", "Ada", "Still here"), 202);
    assert_eq!(again.hear(), message(3, "Ada", "Still here"));
}

#[test]
fn all_hear_everything_in_the_same_order() {
    let platform = running("chat");
    let mut listeners: Vec<Listener> = (0..3).map(|_| Listener::new(&platform, "crowd", None)).collect();
    std::thread::scope(|scope| {
        for speaker in 0..6 {
            let platform = &platform;
            scope.spawn(move || {
                (0..20).for_each(|n| {
                    assert_eq!(say(platform, "crowd", &format!("{speaker}"), &format!("{n}")), 202);
                });
            });
        }
    });
    let mut heard: Vec<Vec<_>> =
        listeners.iter_mut().map(|listener| (0..120).map(|_| listener.hear()).collect()).collect();
    assert!(heard.iter().all(|other| *other == heard[0]));
    assert_eq!(heard[0].iter().map(|(id, ..)| *id).collect::<Vec<_>>(), (1..=120).collect::<Vec<_>>());
    // Each speaker's words are there once, and nothing else.
    let mut said: Vec<(String, String)> =
        heard.swap_remove(0).into_iter().map(|(_, name, text)| (name, text)).collect();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), 120);
}

#[test]
fn what_is_said_stays_text_in_the_page() {
    let platform = running("chat");
    let attack = "</li><script>alert('x')</script><img src=x onerror=\"alert(1)\">";
    assert_eq!(say(&platform, "tea", "<script>", attack), 202);
    let page = || platform.get("chat", "/rooms/tea").unwrap();
    block_until("it is written down", || page().text().contains("<li>"));
    let answer = page();
    let text = answer.text();
    assert_eq!(text.matches("<script").count(), 1, "the site's own: {text}");
    assert!(
        !text.contains("<img") && text.contains("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;"),
        "{text}"
    );
    assert!(text.contains("<b>&lt;script&gt;</b>"), "{text}");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for (path, media_type) in [("/chat.js", "text/javascript"), ("/chat.css", "text/css")] {
        let file = platform.get("chat", path).unwrap();
        assert!(file.status == 200 && file.header("content-type").unwrap().starts_with(media_type));
    }

    let asked = platform.get("chat", "/?room=%3Cb%3Etea").unwrap();
    assert_eq!((asked.status, asked.header("location")), (303, Some("/rooms/btea")));
    for room in ["a.b", "a%20b", "%3Cb%3E", "*", "%3E", &"n".repeat(41), "a/b", ""] {
        assert_eq!(platform.get("chat", &format!("/rooms/{room}")).unwrap().status, 404, "{room}");
        assert_eq!(say(&platform, room, "Ada", "Hello"), 404, "{room}");
    }
    for (name, text, status) in [
        ("", "Hello", 400),
        ("Ada", " \n", 400),
        ("Ada\nBob", "Hello", 400),
        (&"n".repeat(41), "Hello", 400),
        ("Ada", &"n".repeat(2_001), 400),
        ("Ada", &"n".repeat(10_000), 413),
    ] {
        assert_eq!(say(&platform, "tea", name, text), status, "{name} {text}");
    }
    assert_eq!(ask(&platform, "chat", "DELETE", "/rooms/tea", None).status, 405);
}

#[test]
fn a_quiet_stream_is_kept_and_ends_with_its_listener() {
    let platform = running("chat");
    let busy = || {
        let ps = platform.json(&["ps"]).unwrap();
        let rooms = ps["components"].as_array().unwrap().iter().find(|part| part["id"] == "chat-rooms");
        rooms.unwrap()["usage"]["calls_in_flight"].clone()
    };
    let mut listener = Listener::new(&platform, "tea", None);
    assert_eq!(busy(), json!(1));
    assert_eq!(listener.block(), ":", "a comment, after 10 s");
    assert_eq!(say(&platform, "tea", "Ada", "Still there?"), 202);
    assert_eq!(listener.hear(), message(1, "Ada", "Still there?"));
    drop(listener);
    block_until("nobody listens", || busy() == json!(0));
}
