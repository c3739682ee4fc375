//! Calls that were recorded from wasmCloud 1.9.2 (`tests/vectors/wrpc.json`): our server answers its clients as its own did, and our
//! client its servers.

use crate::bed::{Bed, spawn};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{Lattice, Message, Subscription};
use umbel_wit::value::{Input, Later};
use umbel_wit::{Call, Link, Serve, Value};

const SOON: Duration = Duration::from_secs(20);

const WIT: &str = "
    package wrpc:http@0.1.0;
    interface incoming-handler {
      variant method { get, head, post, put, delete, connect, options, trace, patch, other(string) }
      variant scheme { http, https, other(string) }
      record request {
        body: stream<u8>, trailers: future<option<list<tuple<string, list<list<u8>>>>>>, method: method, path-with-query: option<string>,
        scheme: option<scheme>, authority: option<string>, headers: list<tuple<string, list<list<u8>>>>,
      }
      record response { body: stream<u8>, trailers: future<option<list<tuple<string, list<list<u8>>>>>>, status: u16, headers: list<tuple<string, list<list<u8>>>> }
      handle: async func(request: request) -> result<response, string>;
    }";
const KEYVALUE: &str = "
    package wrpc:keyvalue@0.2.0-draft;
    interface atomics {
      variant error { no-such-store, access-denied, other(string) }
      increment: func(bucket: string, key: string, delta: u64) -> result<u64, error>;
    }";

#[derive(Deserialize)]
struct Vectors {
    flows: Vec<Flow>,
}

#[derive(Deserialize)]
struct Flow {
    name: String,
    messages: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    from: String,
    on: String,
    #[serde(default)]
    reply: Option<String>,
    payload: String,
}

impl Recorded {
    fn payload(&self) -> Bytes {
        data_encoding::HEXLOWER.decode(self.payload.as_bytes()).expect("hex").into()
    }
}

fn flow(name: &str) -> Flow {
    let all: Vectors = serde_json::from_str(include_str!("../vectors/wrpc.json")).expect("JSON");
    all.flows.into_iter().find(|flow| flow.name == name).expect("it was recorded")
}

fn catalog() -> Arc<Catalog> {
    let all = umbel_wit::package::interfaces(&[WIT, KEYVALUE]).expect("it is WIT");
    Arc::new(Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface)))))
}

fn whole(text: &'static str) -> Input {
    Input::new(futures::stream::iter([Ok(Bytes::from(text))]).boxed())
}

fn no_trailers() -> Value {
    Value::Later(Later::new(async { Ok(Value::none()) }))
}

async fn read(input: Input) -> String {
    let all: Vec<Bytes> = input.into_stream().map(|bytes| bytes.expect("whole")).collect().await;
    String::from_utf8(all.concat()).expect("text")
}

/// What the recorded provider and component did.
struct Original;

impl Serve for Original {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        async move {
            let mut args = call.args.into_iter();
            if &*call.function == "increment" {
                assert_eq!(
                    format!("{:?}", args.collect::<Vec<_>>()),
                    r#"[String("default"), String("counter"), U64(1)]"#
                );
                return Ok(Some(Value::ok(Value::U64(1_669))));
            }
            let Some(Value::Record(fields)) = args.next() else { panic!("a request") };
            let mut fields = fields.into_iter();
            let Some(Value::Stream(body)) = fields.next() else { panic!("a body") };
            let Some(Value::Later(trailers)) = fields.next() else { panic!("trailers") };
            let trailers = trailers.into_future().await.expect("a value");
            let trailers = std::iter::once(trailers);
            let rest: Vec<String> = trailers.chain(fields).map(|field| format!("{field:?}")).collect();
            let body = read(body).await;
            match &*body {
                "" => {
                    assert_eq!((&*rest[1], &*rest[2]), ("Variant(0, None)", r#"Option(Some(String("/")))"#))
                }
                body => {
                    assert_eq!(body, "some body data");
                    assert_eq!(
                        (&*rest[1], &*rest[2]),
                        ("Variant(2, None)", r#"Option(Some(String("/p?q=1")))"#)
                    );
                }
            }
            assert_eq!(rest[4], r#"Option(Some(String("127.0.0.1:18000")))"#);
            let response = vec![
                Value::Stream(whole("Hello from Rust!\n")),
                no_trailers(),
                Value::U16(200),
                Value::List(vec![]),
            ];
            Ok(Some(Value::ok(Value::Record(response))))
        }
        .boxed()
    }
}

async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(SOON, subscription.next()).await.expect("a message comes").expect("it goes on")
}

/// Plays the recorded client; returns what the server said, in order, by subjects below `C`.
async fn as_client(lattice: &Arc<dyn Lattice>, flow: &Flow, answers: usize) -> Vec<(String, Bytes)> {
    let mut inbox = lattice.subscribe("_INBOX.recorded.>").await.expect("subscribe");
    let mut said = Vec::new();
    let mut server = String::new();
    for recorded in flow.messages.iter().filter(|recorded| recorded.from == "client") {
        let subject = recorded.on.replacen('S', &server, usize::from(recorded.on.starts_with("S.")));
        let mut message = Message::new(subject, recorded.payload());
        let is_call = recorded.reply.is_some();
        if is_call {
            message = message.with_reply("_INBOX.recorded.1").with_header("source-id", "kvc");
        }
        lattice.publish(message).await.expect("publish");
        if is_call {
            let accepted = next(&mut inbox).await;
            assert_eq!((&*accepted.subject, accepted.payload.len()), ("_INBOX.recorded.1", 0));
            server = accepted.reply.expect("where to go on");
        }
    }
    for _ in 0..answers {
        let message = next(&mut inbox).await;
        said.push((message.subject.replacen("_INBOX.recorded.1", "C", 1), message.payload));
    }
    said
}

async fn server(bed: &Bed, id: &str) -> Server {
    let catalog = catalog();
    let spec = ServerSpec {
        id: id.into(),
        catalog: Arc::new(move || catalog.clone()),
        serve: Arc::new(Original),
        links: Arc::new(|_| Ok(Arc::new(Link::default()))),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits::default(),
    };
    Server::start(bed.lattice.clone(), spawn(), spec).await.expect("it serves")
}

/// What the recorded server said on the channel, put together.
fn recorded_on(flow: &Flow, channel: &str) -> Vec<u8> {
    let on = flow.messages.iter().filter(|m| m.from == "server" && m.on == channel);
    on.flat_map(|m| m.payload()).collect()
}

async fn bed(is_nats: bool) -> Bed {
    if is_nats { Bed::over_nats().await } else { Bed::new() }
}

#[tokio::test]
async fn a_recorded_client_gets_the_recorded_answer() {
    answers_as_recorded(false).await;
}

#[tokio::test]
async fn a_recorded_client_gets_the_recorded_answer_over_nats() {
    answers_as_recorded(true).await;
}

async fn answers_as_recorded(is_nats: bool) {
    for (name, id, channels) in [
        ("increment", "kv", &["C.results"][..]),
        ("get", "hello", &["C.results", "C.results.0.0", "C.results.0.1"]),
        ("post", "hello", &["C.results", "C.results.0.0", "C.results.0.1"]),
    ] {
        let bed = bed(is_nats).await;
        let _server = server(&bed, id).await;
        let flow = flow(name);
        // The result and its end; a body, its end, trailers, and the closing of three channels.
        let said = as_client(&bed.other().await, &flow, if channels.len() == 1 { 2 } else { 8 }).await;
        for channel in channels {
            let ours: Vec<u8> =
                said.iter().filter(|(on, _)| on == channel).flat_map(|(_, bytes)| bytes.to_vec()).collect();
            assert_eq!(ours, recorded_on(&flow, channel), "{name} {channel}");
            let last = said.iter().rfind(|(on, _)| on == channel).expect("it was used");
            assert!(last.1.is_empty(), "{name}: {channel} is closed");
        }
    }
}

/// Plays the recorded server.
async fn as_server(lattice: Arc<dyn Lattice>, flow: Flow) {
    let mut calls = lattice.subscribe(&flow.messages[0].on).await.expect("subscribe");
    let mut inbox = lattice.subscribe("_INBOX.recorded.>").await.expect("subscribe");
    let call = next(&mut calls).await;
    assert_eq!(call.payload, flow.messages[0].payload(), "{}: the same bytes", flow.name);
    let client = call.reply.expect("where to answer");
    for recorded in flow.messages.iter().filter(|recorded| recorded.from == "server") {
        let mut message = Message::new(recorded.on.replacen('C', &client, 1), recorded.payload());
        message.reply = recorded.reply.as_ref().map(|_| "_INBOX.recorded.2".into());
        lattice.publish(message).await.expect("publish");
        if recorded.reply.is_some() {
            // The original waits for the end of the params, and closes nothing before.
            assert_eq!(next(&mut inbox).await.subject, "_INBOX.recorded.2.params");
        }
    }
}

async fn call(bed: &Bed, target: &str, interface: &str, function: &str, args: Vec<Value>) -> Value {
    let client = Client::new(bed.lattice.clone(), spawn(), Lent::new(), ClientLimits::default())
        .await
        .expect("a client");
    let outgoing = Outgoing {
        target: target.into(),
        source: "kvc".into(),
        link: "default".into(),
        application: None,
        patience: Some(SOON),
    };
    let signature = catalog().outgoing(interface, Some(&version(interface)), function).expect("a function");
    client.call(&outgoing, &signature, args).await.expect("a result").expect("one")
}

fn version(interface: &str) -> semver::Version {
    if interface.contains("http") {
        semver::Version::new(0, 1, 0)
    } else {
        "0.2.0-draft".parse().expect("a version")
    }
}

#[tokio::test]
async fn a_recorded_server_is_understood() {
    understands_as_recorded(false).await;
}

#[tokio::test]
async fn a_recorded_server_is_understood_over_nats() {
    understands_as_recorded(true).await;
}

async fn understands_as_recorded(is_nats: bool) {
    let bed = bed(is_nats).await;
    let playing = as_server(bed.other().await, flow("increment"));
    let args = vec!["default".into(), "counter".into(), 1_u64.into()];
    let calling = call(&bed, "kv", "wrpc:keyvalue/atomics", "increment", args);
    let ((), value) = futures::future::join(playing, calling).await;
    assert_eq!(format!("{value:?}"), "Result(Ok(Some(U64(1669))))");

    let playing = as_server(bed.other().await, flow("get"));
    let text = |text: &str| Value::some(Value::String(text.into()));
    let header = |name: &str, value: &'static str| {
        Value::Tuple(vec![name.into(), Value::List(vec![Value::bytes(value.as_bytes())])])
    };
    let request = Value::Record(vec![
        Value::Stream(whole("")),
        no_trailers(),
        Value::Variant(0, None),
        text("/"),
        Value::some(Value::Variant(0, None)),
        text("127.0.0.1:18000"),
        Value::List(vec![
            header("host", "127.0.0.1:18000"),
            header("user-agent", "curl/7.88.1"),
            header("accept", "*/*"),
        ]),
    ]);
    let calling = call(&bed, "hello", "wrpc:http/incoming-handler", "handle", vec![request]);
    let ((), value) = futures::future::join(playing, calling).await;
    let Value::Result(Ok(Some(response))) = value else { panic!("{value:?}") };
    let Value::Record(fields) = *response else { panic!("a response") };
    let mut fields = fields.into_iter();
    let Some(Value::Stream(body)) = fields.next() else { panic!("a body") };
    assert_eq!(read(body).await, "Hello from Rust!\n");
    let Some(Value::Later(trailers)) = fields.next() else { panic!("trailers") };
    assert!(matches!(trailers.into_future().await.expect("a value"), Value::Option(None)));
    assert!(matches!(fields.next(), Some(Value::U16(200))));
}
