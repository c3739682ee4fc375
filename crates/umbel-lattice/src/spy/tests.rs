use super::{Hop, Kind, Seen, Spy};
use crate::Message;
use crate::wrpc::{PEER, SOURCE};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use umbel_core::id::LatticeName;

/// A message as it was recorded from wasmCloud 1.9.2, wash and wadm.
#[derive(Deserialize)]
struct Recorded {
    at_us: u64,
    subject: String,
    reply: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    text: String,
    b64: Option<String>,
}

impl Recorded {
    fn message(self) -> Message {
        let payload = match self.b64 {
            Some(text) => data_encoding::BASE64.decode(text.as_bytes()).expect("base64"),
            None => self.text.into_bytes(),
        };
        let mut message = Message { reply: self.reply, ..Message::new(self.subject, payload) };
        self.headers.into_iter().for_each(|(name, value)| message.headers.append(name, value));
        message
    }
}

fn spy(bytes_max: usize) -> Spy {
    Spy::new(LatticeName::new("default").expect("a name"), bytes_max)
}

#[test]
fn recorded_traffic_reads_as_it_did() {
    let lines = include_str!("../../tests/vectors/spy.jsonl").lines();
    let (mut spy, mut text) = (spy(24), String::new());
    for line in lines {
        let recorded: Recorded = serde_json::from_str(line).expect("JSON");
        let at_us = recorded.at_us;
        text.push_str(&format!("{:>10.3} {}\n", at_us as f64 / 1_000.0, spy.see(at_us, &recorded.message())));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/spy.golden");
    if std::env::var_os("UMBEL_BLESS").is_some() {
        std::fs::write(path, &text).expect("it can be written");
    }
    let kept = std::fs::read_to_string(path).expect("it is there");
    let differ = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == text,
        "bless it with UMBEL_BLESS=1 if that is meant; the first that differs: {differ:#?}"
    );
}

fn asked(spy: &mut Spy, subject: &str, payload: &str) -> Seen {
    spy.see(1_000, &Message::new(subject, payload.to_string()).with_reply("_INBOX.a.1"))
}

#[test]
fn an_answer_belongs_to_its_request_and_has_the_time_between() {
    let mut spy = spy(0);
    let seen =
        asked(&mut spy, "wasmbus.ctl.v1.default.component.scale.N1", r#"{"component_id":"hello","count":0}"#);
    assert_eq!(
        (seen.kind, seen.hop, &*seen.what, seen.to.as_deref()),
        (Kind::Control, Hop::Request, "component.scale", Some("N1"))
    );
    assert!(seen.is_about("hello") && seen.is_about("N1") && !seen.is_about("hell"));
    let answer = Message::new("_INBOX.a.1", r#"{"success":false,"message":"no"}"#);
    let seen = spy.see(1_450, &answer);
    assert_eq!((seen.hop, &*seen.what, seen.from.as_deref()), (Hop::Answer, "component.scale", Some("N1")));
    assert_eq!((seen.ok, seen.took_us, seen.facts["message"].as_str()), (Some(false), Some(450), "no"));
    spy.forget();
    assert_eq!(spy.see(2_000, &answer).kind, Kind::Other, "its request was forgotten");
}

#[test]
fn a_request_that_nobody_serves_is_told() {
    let mut spy = spy(0);
    asked(&mut spy, "default.kv.wrpc.0.0.1.wasi:keyvalue/store@0.2.0-draft.get", "x");
    let seen = spy.see(1_100, &Message::new("_INBOX.a.1", "").with_header("Status", "503"));
    assert_eq!(
        (seen.ok, seen.facts["said"].as_str(), seen.from.as_deref()),
        (Some(false), "nobody answers", Some("kv"))
    );
}

#[test]
fn the_hops_of_a_call_are_told_apart() {
    let mut spy = spy(4);
    let call = Message::new("default.kv.wrpc.0.0.1.wasi:blobstore/container.get-data", "abcdef");
    let seen = spy.see(10, &call.with_header(SOURCE, "shop").with_reply("_INBOX.c.7"));
    assert_eq!(
        (seen.kind, seen.from.as_deref(), seen.to.as_deref()),
        (Kind::Calls, Some("shop"), Some("kv"))
    );
    assert_eq!(
        (seen.what.as_str(), seen.hex.as_deref()),
        ("wasi:blobstore/container.get-data", Some("61626364"))
    );
    let mut check = |message: Message, hop: Hop, from: &str| {
        let seen = spy.see(20, &message);
        assert_eq!(
            (seen.hop, seen.from.as_deref(), seen.took_us),
            (hop, Some(from), Some(10)),
            "{message:?}"
        );
    };
    check(Message::new("_INBOX.c.7", "").with_reply("_INBOX.s.3"), Hop::Accept, "kv");
    check(Message::new("_INBOX.s.3.params", ""), Hop::Params, "shop");
    check(Message::new("_INBOX.s.3.params.0.0", "x"), Hop::Stream, "shop");
    check(Message::new("_INBOX.c.7.results", "x"), Hop::Result, "kv");
    check(Message::new("_INBOX.c.7.results.0", "x"), Hop::Stream, "kv");
    check(Message::new("_INBOX.s.3.credit.results.0", "17"), Hop::Flow, "shop");
    check(Message::new("_INBOX.c.7", "x").with_header(PEER, "1024"), Hop::Result, "kv");
}

#[test]
fn nothing_secret_is_told_of_any_message_or_its_answer() {
    const SECRET: &str = "hunter2";
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let subjects = [
        "wasmbus.ctl.v1.default.registry.put",
        "wasmbus.ctl.v1.default.config.put.SECRET_hunter2",
        "wasmbus.ctl.v1.default.config.get.plain",
        "wasmbus.ctl.v1.default.component.scale.N1",
        "wasmbus.cfg.default.req",
        "wasmbus.rpc.default.kv.linkdefs.put",
        "wasmbus.rpc.default.kv.config.update",
        "umbel.v1.default.host.N1.secret.put",
        "umbel.v1.default.host.N1.secret.list",
        "wadm.api.default.model.put",
        "wadm.cmd.default",
        "$KV.CONFIGDATA_default.SECRET_hunter2",
        "$KV.CONFIGDATA_default.plain",
        "$JS.API.DIRECT.GET.KV_CONFIGDATA_default.$KV.CONFIGDATA_default.SECRET_hunter2",
        "wasmcloud.secrets.v1alpha1.vault.get",
        "default.vault.wrpc.0.0.1.wasmcloud:secrets/store@0.1.0-draft.get",
        "_INBOX.unknown.1",
    ];
    let payloads = [
        r#"{"host":{"username":"hunter2","password":"hunter2"},"k":"hunter2","hunter2":{"token":"hunter2"}}"#.to_string(),
        r#"{"name":"x","source_config":{"url":"hunter2"},"source_secrets":[1,2],"grants":{"env":{"A":"hunter2"}}}"#.into(),
        r#"{"registryCredentials":{"a":{"password":"hunter2"}},"response":{"key":"hunter2"},"config":{"a":"hunter2"}}"#.into(),
        SECRET.to_string(),
    ];
    for subject in subjects {
        for payload in &payloads {
            let mut spy = spy(1_000);
            let message = Message::new(subject, payload.clone()).with_header("Umbel-Secret", SECRET);
            let answer =
                Message::new("_INBOX.a.1", payload.clone()).with_header("Server-Response-Xkey", SECRET);
            for message in [message.with_reply("_INBOX.a.1"), answer] {
                let seen = spy.see(1, &message);
                let told = format!("{seen} {}", seen.subject);
                assert!(!told.contains(SECRET) && !told.contains(&hex), "{subject}: {told}");
                assert_eq!(seen.bytes, payload.len());
            }
        }
    }
    let sealed = Message::new("team.vault.ask", SECRET).with_header("WasmCloud-Host-Xkey", "X");
    assert_eq!(spy(1_000).see(1, &sealed).hex, None, "it says so itself");
    let reference = r#"{"component_ref":"https://user:hunter2@example.test/a.wasm"}"#;
    let seen = asked(&mut spy(0), "wasmbus.ctl.v1.default.component.scale.N1", reference);
    assert_eq!(seen.facts["component_ref"], "https://…@example.test/a.wasm");
}

#[test]
fn requests_that_nobody_answers_are_not_kept_for_ever() {
    let mut spy = spy(0);
    let request =
        |n: u64| Message::new("umbel.v1.default.host.N1.tree", "").with_reply(format!("_INBOX.a.{n}"));
    for n in 0..50_000 {
        spy.see(n, &request(n));
    }
    assert!(spy.pending.len() <= 10_000, "{}", spy.pending.len());
    assert_eq!(spy.see(50_000, &Message::new("_INBOX.a.49999", "{}")).what, "tree");
    assert_eq!(spy.see(50_001, &Message::new("_INBOX.a.1", "{}")).kind, Kind::Other);
    spy.see(4_000_000_000, &request(60_000));
    assert_eq!(spy.pending.len(), 1, "the others are too old");
}

proptest! {
    #[test]
    fn any_traffic_is_told_on_one_line(
        messages in prop::collection::vec(("[a-z$_.>*]{0,40}|wasmbus\\.(ctl\\.v1|evt|rpc)\\.default\\.[a-z.]{0,20}|default\\.[a-z.]{0,9}wrpc\\.0\\.0\\.1\\.[a-z.]{0,9}", prop::option::of("_INBOX\\.[ab]"), prop::collection::vec(any::<u8>(), 0..60)), 0..20)
    ) {
        let mut spy = spy(16);
        for (at, (subject, reply, payload)) in messages.into_iter().enumerate() {
            let seen = spy.see(at as u64, &Message { subject, reply, ..Message::new("", payload) });
            prop_assert!(!seen.to_string().contains('\n'));
        }
    }
}
