//! What anybody on the lattice may send to a host that runs: every control subject with every kind of payload, calls that are cut or make no sense,
//! subjects and versions that nobody knows. Each is answered with a code or not at all, within its time, and the host goes on.

use crate::bed::{Bed, component, name, text};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::{Code, lattice as code};
use umbel_core::id::HostId;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{CtlResponse, PartState, Scale, StartProvider};
use umbel_lattice::subjects::{ctl, umbel};
use umbel_lattice::wrpc::{Client, ClientLimits, Lent, Outgoing};
use umbel_lattice::{InProcess, Lattice, LatticeError, Message, Nats, NatsSpec, Spawn};
use umbel_provider::http::wire;
use umbel_testkit::NatsServer;

/// Longer than whatever is refused may take on a loaded machine.
const SOON: Duration = Duration::from_secs(20);
/// How many payloads each test sends.
const CASES: u32 = 400;

fn spawn() -> Spawn {
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |task| {
        // A test's tasks end with its runtime.
        let _detached = runtime.spawn(task);
    })
}

async fn nats(server: &NatsServer) -> Arc<dyn Lattice> {
    let spec = NatsSpec::parse(&server.url()).expect("an address");
    Arc::new(Nats::connect(&spec, name(), spawn()).await.expect("a connection"))
}

/// Every subject that a host serves, but those that end it whatever they carry.
fn subjects(host: &HostId) -> Vec<String> {
    let lattice = &name();
    let id = &ctl::host_stop(lattice, host);
    let ours = [
        "tree",
        "artifact.pin",
        "inspect",
        "secret.put",
        "secret.del",
        "secret.list",
        "usage",
        "link.explain",
        "link.check",
        "provider.show",
        "provider.swap",
        "provider.stop",
        "provider.start",
        "provider.restart",
        "wit",
        "call",
        "logs",
        "events",
        "nothing",
        "provider.nothing",
        "",
    ];
    let host_any = umbel::host_any(lattice, host);
    let ours = ours.map(|what| host_any.replace('>', if what.is_empty() { "x.y.z" } else { what }));
    let theirs = [
        ctl::host_ping(lattice),
        ctl::host_get(lattice, host),
        id.replace(".stop.", ".nothing."),
        ctl::component_scale(lattice, host),
        ctl::component_update(lattice, host),
        ctl::component_scale(lattice, host).replace(".scale.", ".nothing."),
        ctl::provider_start(lattice, host),
        ctl::provider_stop(lattice, host),
        ctl::label_put(lattice, host),
        ctl::label_del(lattice, host),
        ctl::component_auction(lattice),
        ctl::provider_auction(lattice),
        ctl::link_put(lattice),
        ctl::link_get(lattice),
        ctl::link_del(lattice),
        ctl::link_any(lattice).replace('*', "nothing"),
        ctl::claims_get(lattice),
        ctl::config_put(lattice, "c"),
        ctl::config_get(lattice, "c"),
        ctl::config_del(lattice, "c"),
        ctl::config_any(lattice).replace('>', "nothing.at.all"),
        ctl::registry_put(lattice),
    ];
    theirs.into_iter().chain(ours).collect()
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        (1_000_usize..60_000).prop_map(|length| Value::from("y".repeat(length))),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

/// What is almost right: one field of a good request is another value, or missing.
fn almost() -> impl Strategy<Value = Value> {
    // None of them is this host's, so that none of them does anything.
    let other = HostId::new("NOTHER").expect("an id");
    let requests = vec![
        json!(Scale::new(other.clone(), component("c"), "file:///none.wasm", 1)),
        json!(StartProvider::new(other, crate::bed::provider_id("p"), "builtin:none")),
        json!({"component_ref": "x", "component_id": "c", "constraints": {}}),
        json!({"provider_ref": "x", "provider_id": "p", "constraints": {}}),
        json!({"source_id": "a", "target": "b", "name": "default", "wit_namespace": "x", "wit_package": "y", "interfaces": ["z"]}),
        json!({"key": "k", "value": "v"}),
        json!({"reference": "file:///dev/null", "is_provider": false}),
        json!({"provider": "p"}),
        json!({"host_id": "NOTHER", "timeout": 1}),
    ];
    (proptest::sample::select(requests), any::<proptest::sample::Index>(), proptest::option::of(value()))
        .prop_map(|(mut request, index, value)| {
            let fields = request.as_object_mut().expect("an object");
            let field = index.get(&fields.keys().cloned().collect::<Vec<_>>()).clone();
            match value {
                Some(value) => drop(fields.insert(field, value)),
                None => drop(fields.remove(&field)),
            }
            request
        })
}

/// Bytes that somebody may send: of no kind, JSON of any kind, cut, deep, huge.
fn payload() -> impl Strategy<Value = Bytes> {
    let text = |value: Value| value.to_string();
    prop_oneof![
        2 => vec(any::<u8>(), 0..256).prop_map(Bytes::from),
        4 => value().prop_map(move |value| Bytes::from(text(value))),
        6 => almost().prop_map(move |value| Bytes::from(text(value))),
        2 => (almost(), any::<proptest::sample::Index>()).prop_map(move |(value, index)| {
            let text = text(value);
            Bytes::copy_from_slice(&text.as_bytes()[..index.index(text.len())])
        }),
        1 => (1_usize..200_000, proptest::sample::select(vec!["[", "{\"a\":", "[[{\"b\":"]))
            .prop_map(|(depth, open)| Bytes::from(open.repeat(depth.min(900_000 / open.len())))),
        1 => (1_usize..900_000).prop_map(|length| Bytes::from(format!("{{\"key\":\"{}\"}}", "k".repeat(length)))),
    ]
}

/// Sends everything, and sees that each is answered as it should be.
fn attack(runtime: &tokio::runtime::Runtime, attacker: &Arc<dyn Lattice>, host: &HostId) {
    let subjects = subjects(host);
    let strategy = (proptest::sample::select(subjects), payload());
    let config =
        Config { cases: CASES, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..Config::default() };
    let sent = TestRunner::new(config).run(&strategy, |(subject, payload)| {
        runtime.block_on(async {
            let patience = if subject.ends_with(".auction") { Duration::from_millis(5) } else { SOON };
            match attacker.request(&subject, payload, patience).await {
                Ok(answer) => {
                    let answer: CtlResponse<Value> = serde_json::from_slice(&answer.payload)
                        .map_err(|error| fail(&subject, &error.to_string()))?;
                    let is_told = answer.success
                        || answer.message == "unsupported subject"
                        || answer.problem.as_ref().is_some_and(|problem| !problem.help.is_empty());
                    prop_assert!(is_told, "{subject}: {answer:?}");
                }
                // Who cannot bid says nothing.
                Err(LatticeError::Timeout { .. }) if subject.ends_with(".auction") => {}
                Err(error) => return Err(fail(&subject, &error.to_string())),
            }
            Ok(())
        })
    });
    sent.unwrap_or_else(|error| panic!("{error}"));
}

fn fail(subject: &str, why: &str) -> TestCaseError {
    TestCaseError::fail(format!("{subject}: {why}"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A host on the lattice with a component that answers.
async fn host(lattice: Arc<dyn Lattice>) -> Bed {
    let bed = Bed::start_in(Arc::new(tempfile::tempdir().expect("a folder")), lattice, |_| ()).await;
    bed.run("hello", &umbel_testkit::example("hello")).await;
    bed
}

/// Whatever was sent, it runs and answers, and shows no more than what was started.
async fn is_well(bed: &Bed) {
    let view = bed.view("hello").await.expect("it runs");
    assert_eq!(view.state, PartState::Running);
    assert_eq!(bed.get("hello", "/").await.expect("an answer"), "Hello from Umbel!\n");
    let inventory = bed.inventory().await;
    assert_eq!((inventory.components.len(), inventory.providers.len()), (1, 0));
}

#[test]
fn control_messages_of_any_kind_are_answered_with_a_code() {
    let runtime = runtime();
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name()));
    let bed = runtime.block_on(host(lattice.clone()));
    attack(&runtime, &lattice, bed.host.id());
    runtime.block_on(async {
        is_well(&bed).await;
        bed.stop().await;
    });
}

#[test]
fn control_messages_of_any_kind_over_a_server_are_answered_with_a_code() {
    let server = NatsServer::start("").expect("a nats-server");
    let runtime = runtime();
    let (bed, attacker) = runtime.block_on(async { (host(nats(&server).await).await, nats(&server).await) });
    attack(&runtime, &attacker, bed.host.id());
    runtime.block_on(async {
        is_well(&bed).await;
        bed.stop().await;
    });
}

/// Where somebody may send something that a component hears.
const CALLS: [&str; 7] = [
    "default.hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle",
    "default.hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.nothing",
    "default.hello.wrpc.0.0.1.wasi:http/incoming-handler@0.2.12.handle",
    "default.hello.wrpc.0.0.1.x",
    "default.hello.umbel.v1.cancel",
    "default.hello.umbel.v1.drop",
    "default.hello.umbel.v1.nothing",
];

/// Frames: of no kind; lengths that lie; what is good, cut or with a byte changed.
fn frame() -> impl Strategy<Value = Bytes> {
    // GET / of no headers, as the recorded one begins.
    let good: &[u8] = &[0, 0, 0, 1, 47, 0, 0, 0, 0, 0];
    prop_oneof![
        4 => vec(any::<u8>(), 0..64).prop_map(Bytes::from),
        2 => (0..good.len()).prop_map(|at| Bytes::from_static(good).slice(..at)),
        2 => (0..good.len(), any::<u8>()).prop_map(|(at, byte)| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            Bytes::from(bytes)
        }),
        2 => (vec(Just(0xff_u8), 1..9), vec(any::<u8>(), 0..32)).prop_map(|(length, rest)| [length, vec![0x0f], rest].concat().into()),
        1 => (1_usize..900_000, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length])),
    ]
}

#[test]
fn calls_of_any_kind_are_answered_and_the_component_goes_on() {
    let server = NatsServer::start("").expect("a nats-server");
    let runtime = runtime();
    let (bed, attacker, caller) = runtime.block_on(async {
        let caller = Client::new(nats(&server).await, spawn(), Lent::new(), ClientLimits::default());
        let (bed, attacker) = (host(nats(&server).await).await, nats(&server).await);
        (bed, attacker, caller.await.expect("a client"))
    });
    let headers = [
        "source-id",
        "target-id",
        "link-name",
        "umbel-wrpc",
        "umbel-timeout-ms",
        "umbel-more",
        "umbel-application",
    ];
    let header = (proptest::sample::select(headers.to_vec()), "[ -~]{0,40}");
    let strategy = (proptest::sample::select(CALLS.to_vec()), frame(), vec(header, 0..4), any::<bool>());
    let config =
        Config { cases: CASES, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..Config::default() };
    let sent = TestRunner::new(config).run(&strategy, |(subject, payload, headers, is_answered)| {
        runtime.block_on(async {
            let mut message = Message::new(subject, payload);
            for (header, value) in headers {
                message = message.with_header(header, value.trim().to_owned());
            }
            if is_answered {
                message = message.with_reply(format!("{}.0", attacker.inbox()));
            }
            attacker.publish(message).await.map_err(|error| fail(subject, &error.to_string()))
        })
    });
    sent.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(async {
        // A caller that says who it is not is told no more than anybody: there is no link of such a name.
        for source in ["hello-http", "nobody", "\u{1b}[31m", "x".repeat(2_000).as_str()] {
            let called = Outgoing { source: source.to_owned(), ..outgoing() };
            let request = http::Request::builder().uri("http://hello.localhost/").body(crate::bed::empty());
            let answer = wire::handle(&caller, &called, request.expect("a request")).await;
            match answer {
                Ok(answer) => assert_eq!(text(answer).await, "Hello from Umbel!\n"),
                Err(problem) => assert_eq!(problem.code, code::INVALID_HEADER, "{source}: {problem:?}"),
            }
        }
        is_well(&bed).await;
        bed.stop().await;
    });
}

fn outgoing() -> Outgoing {
    Outgoing {
        target: "hello".into(),
        source: "app".into(),
        link: "default".into(),
        application: None,
        patience: Some(SOON),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_and_what_is_too_long_fails_at_once_with_a_code() {
    let server = NatsServer::start("").expect("a nats-server");
    let bed = host(nats(&server).await).await;
    let stranger = nats(&server).await;
    // Another lattice, other versions of the protocols, another host.
    let others = [
        "wasmbus.ctl.v1.other.host.ping",
        "wasmbus.ctl.v2.default.host.ping",
        "wasmbus.ctl.default.ping.hosts",
        "umbel.v2.default.host.x.tree",
        "default.hello.wrpc.0.0.2.wrpc:http/incoming-handler@0.1.0.handle",
        "default.hello.wrpc.0.1.0.x.y",
        "other.hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle",
        "wasmbus.ctl.v1.default.component.scale.NOTHER",
    ];
    for subject in others {
        let error = stranger.request(subject, Bytes::new(), SOON).await.expect_err("nobody is there");
        assert_eq!(error.code(), code::NO_RESPONDERS, "{subject}: {error}");
    }
    let long = Bytes::from(vec![b'x'; stranger.payload_bytes_max() + 1]);
    let subject = ctl::config_put(&name(), "c");
    let error = stranger.request(&subject, long, SOON).await.expect_err("it is too long");
    assert_eq!(error.code(), code::MESSAGE_TOO_LARGE, "{error}");
    // It fits into a message, and with its headers not into an entry.
    let value = "v".repeat(stranger.payload_bytes_max() - 64);
    let body = Bytes::from(format!("{{\"k\":\"{value}\"}}"));
    let answer = stranger.request(&subject, body, SOON).await.expect("an answer");
    assert_eq!(refusal(&answer), Some(code::MESSAGE_TOO_LARGE));
    is_well(&bed).await;
    bed.stop().await;
}

fn refusal(answer: &Message) -> Option<Code> {
    let answer: CtlResponse<Value> = serde_json::from_slice(&answer.payload).expect("JSON");
    answer.problem.map(|problem: Problem| problem.code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_somebody_else_has_spoiled_is_told_and_what_runs_goes_on() {
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name()));
    let bed = host(lattice.clone()).await;
    let links = lattice.bucket("LATTICEDATA_default").await.expect("a bucket");
    let configs = lattice.bucket("CONFIGDATA_default").await.expect("a bucket");
    for spoiled in [&b"{"[..], b"[]", b"\xff\xfe", b"{\"links\":[{}]}", b"null"] {
        links.put("COMPONENT_spoiled", Bytes::copy_from_slice(spoiled)).await.expect("put");
        links.put("no.such.kind", Bytes::copy_from_slice(spoiled)).await.expect("put");
        configs.put("spoiled", Bytes::copy_from_slice(spoiled)).await.expect("put");
        let subject = ctl::config_get(&name(), "spoiled");
        let answer = lattice.request(&subject, Bytes::new(), SOON).await.expect("an answer");
        assert!(refusal(&answer).is_some(), "{spoiled:?}: {answer:?}");
        // Links of others are there all the same, or it is said which record cannot be read.
        if let Err(error) = bed.client.links().await {
            assert!(error.to_string().contains("COMPONENT_spoiled"), "{spoiled:?}: {error}");
        }
        bed.client.put_link(&crate::bed::link("hello", "other", &["outgoing-handler"])).await.expect("put");
        is_well(&bed).await;
    }
    bed.stop().await;
}
