use super::*;
use bytes::Bytes;
use futures::future::join;
use umbel_core::id::LatticeName;
use umbel_lattice::wrpc::{Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, Message};

/// What was recorded of a component that calls `increment` over a link to a provider, both of wasmCloud 1.9.2.
const SUBJECT: &str = "default.kv.wrpc.0.0.1.wrpc:keyvalue/atomics@0.2.0-draft.increment";
const PARAMS: &[u8] = b"\x07default\x07counter\x01";
const RESULTS: &[u8] = b"\x00\x85\x0d";

const SOON: Duration = Duration::from_secs(20);

fn spawn() -> Spawn {
    // Tests end with their runtime.
    Arc::new(|task| drop(tokio::runtime::Handle::current().spawn(task)))
}

fn lattice() -> Arc<dyn Lattice> {
    Arc::new(InProcess::ephemeral(LatticeName::new("default").unwrap()))
}

fn call(interface: &str, function: &str, args: Vec<Value>) -> Call {
    let link = Link { source_id: "kvc".into(), name: "default".into(), ..Link::default() };
    Call {
        link: Arc::new(link),
        interface: interface.into(),
        version: Some(DRAFT.clone()),
        function: function.into(),
        args,
        patience: Some(SOON),
    }
}

/// Calls leave through a client.
struct There(Client);

impl Serve for There {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let client = self.0.clone();
        Box::pin(async move {
            let signature = catalog().outgoing(&call.interface, call.version.as_ref(), &call.function)?;
            let outgoing = Outgoing {
                target: "kv".into(),
                source: call.link.source_id.clone(),
                link: call.link.name.clone(),
                application: None,
                patience: call.patience,
            };
            client.call(&outgoing, &signature, call.args).await
        })
    }
}

/// A provider of `wasi:keyvalue` that knows one bucket.
struct Store;

struct Opened(String);

impl Serve for Store {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let mut args = umbel_wit::serve::Args::new(&call.function, call.args);
        let answer = match (&*call.interface, &*call.function) {
            ("wasi:keyvalue/store", "open") => match &*args.string().unwrap() {
                "default" => Value::ok(own(Opened("default".into()))),
                // `no-such-store`
                _ => Value::err(Value::Variant(0, None)),
            },
            ("wasi:keyvalue/atomics", "increment") => {
                assert_eq!(args.resource::<Opened>().unwrap().0, "default");
                assert_eq!((args.string().unwrap(), args.u64().unwrap()), ("counter".into(), 1));
                Value::ok(Value::U64(1_669))
            }
            other => panic!("{other:?}"),
        };
        Box::pin(async move { Ok(Some(answer)) })
    }
}

#[tokio::test]
async fn a_call_leaves_as_it_was_recorded() {
    let lattice = lattice();
    let mut heard = lattice.subscribe(SUBJECT).await.unwrap();
    let client = Client::new(lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await.unwrap();
    let speaks = Speaks::new(Arc::new(There(client)), spawn());
    let opened = speaks.call(call("wasi:keyvalue/store", "open", vec!["default".into()])).await.unwrap();
    let Some(Value::Result(Ok(Some(bucket)))) = opened else { panic!("a bucket") };
    let Value::Own(bucket) = *bucket else { panic!("a bucket") };
    let args = vec![Value::Borrow(bucket), "counter".into(), Value::U64(1)];
    let increment = speaks.call(call("wasi:keyvalue/atomics", "increment", args));
    let answer = async {
        let request = heard.next().await.unwrap();
        assert_eq!(request.payload, PARAMS);
        assert_eq!(request.headers.get("source-id"), Some("kvc"));
        assert_eq!(request.headers.get("link-name"), Some("default"));
        let client = request.reply.unwrap();
        let accept = Message::new(client.as_str(), Bytes::new()).with_reply("_INBOX.server");
        lattice.publish(accept).await.unwrap();
        for payload in [RESULTS, b""] {
            lattice.publish(Message::new(format!("{client}.results"), payload)).await.unwrap();
        }
    };
    let (answer, ()) = join(increment, answer).await;
    assert_eq!(format!("{:?}", answer.unwrap().unwrap()), "Result(Ok(Some(U64(1669))))");
}

#[tokio::test]
async fn a_call_is_answered_as_it_was_recorded() {
    let lattice = lattice();
    let served = InterfaceName::new("wasi:keyvalue/atomics@0.2.0-draft");
    let heard = Arc::new(Catalog::new(heard_as([&served])));
    let spec = ServerSpec {
        id: "kv".into(),
        catalog: Arc::new(move || heard.clone()),
        serve: Arc::new(Hears(Arc::new(Store))),
        links: Arc::new(|_| Ok(Arc::default())),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits::default(),
    };
    let _server = Server::start(lattice.clone(), spawn(), spec).await.unwrap();
    for (params, results) in [(PARAMS, RESULTS), (b"\x07another\x07counter\x01", b"\x01\x00")] {
        let mut client = lattice.subscribe("_INBOX.client.>").await.unwrap();
        let mut accepted = lattice.subscribe("_INBOX.client").await.unwrap();
        let request = Message::new(SUBJECT, params).with_reply("_INBOX.client");
        let request = request.with_header("source-id", "kvc").with_header("link-name", "default");
        lattice.publish(request).await.unwrap();
        let accept = accepted.next().await.unwrap();
        assert!(accept.payload.is_empty());
        let server = accept.reply.unwrap();
        lattice.publish(Message::new(format!("{server}.params"), Bytes::new())).await.unwrap();
        for payload in [results, b""] {
            let result = client.next().await.unwrap();
            assert_eq!((result.subject.as_str(), &*result.payload), ("_INBOX.client.results", payload));
        }
    }
}

#[test]
fn only_the_draft_that_wasmcloud_knows_is_spoken() {
    let names =
        ["wasi:keyvalue/store@0.2.0-draft2", "wasi:keyvalue/watcher@0.2.0-draft", "wasi:http/types@0.2.0"];
    assert!(heard_as(&names.map(InterfaceName::new)).is_empty());
    let names = ["wasi:keyvalue/store@0.2.0-draft", "wasi:blobstore/blobstore@0.2.0-draft"];
    let heard = heard_as(&names.map(InterfaceName::new));
    let heard: Vec<String> = heard.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(heard, ["wrpc:keyvalue/store@0.2.0-draft", "wrpc:blobstore/blobstore@0.2.0"]);
    assert!(is_spoken("wasi:keyvalue/store", None));
    assert!(!is_spoken("wasi:keyvalue/store", Some(&version("0.2.0-draft2"))));
}
