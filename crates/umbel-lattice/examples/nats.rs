//! What a request and a call cost over a nats-server, beside the bare request of its client, one after another and many at once; and
//! what entries cost in its JetStream.
//!
//! `cargo run --release -p umbel-lattice --example nats [CALLS]` (the server: `cargo xtask servers`). Both ends have a connection, a
//! thread and a runtime of their own, as two hosts have.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::Problem;
use umbel_core::id::LatticeName;
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{Lattice, Nats, NatsSpec, Spawn};
use umbel_testkit::NatsServer;
use umbel_wit::{Call, Link, Serve, Value};

const WIT: &str =
    "package bench:bench@1.0.0; interface echo { get: func(key: string) -> result<option<list<u8>>>; }";
const LONG: Duration = Duration::from_secs(30);

struct Echo(Bytes);

impl Serve for Echo {
    fn call(&self, _: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let value = Value::ok(Value::some(Value::Bytes(self.0.clone())));
        Box::pin(async move { Ok(Some(value)) })
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn spawn() -> Spawn {
    let handle = tokio::runtime::Handle::current();
    Arc::new(move |task| {
        let _detached = handle.spawn(task);
    })
}

fn catalog() -> Arc<Catalog> {
    let all = umbel_wit::package::interfaces(&[WIT]).expect("it is WIT");
    Arc::new(Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface)))))
}

async fn join(url: &str) -> Arc<Nats> {
    let spec = NatsSpec::parse(url).expect("an address");
    let name = LatticeName::new("default").expect("a name");
    Arc::new(Nats::connect(&spec, name, spawn()).await.expect("a connection"))
}

/// Answers bare requests, requests of the lattice, and calls.
async fn answer(url: String) {
    let bare = async_nats::connect(&url).await.expect("a connection");
    let mut requests = bare.subscribe("bench.bare").await.expect("subscribe");
    let lattice = join(&url).await;
    let mut plain = lattice.subscribe("bench.plain").await.expect("subscribe");
    let catalog = catalog();
    let spec = ServerSpec {
        id: "echo".into(),
        catalog: Arc::new(move || catalog.clone()),
        serve: Arc::new(Echo(vec![7; 100].into())),
        links: Arc::new(|_| Ok(Arc::new(Link::default()))),
        lent: Lent::new(),
        group: Some("echo".into()),
        is_quick: true,
        limits: ServerLimits::default(),
    };
    let _server = Server::start(lattice.clone(), spawn(), spec).await.expect("it serves");
    let answer = Bytes::from(vec![7; 100]);
    let bare = async {
        while let Some(request) = requests.next().await {
            bare.publish(request.reply.expect("a request"), answer.clone()).await.expect("publish");
        }
    };
    let plain = async {
        while let Some(request) = plain.next().await {
            lattice.respond(&request, answer.clone()).await.expect("respond");
        }
    };
    futures::join!(bare, plain);
}

async fn measure<F: Future<Output = ()>>(name: &str, calls: usize, once: impl Fn() -> F) {
    let mut times = Vec::with_capacity(calls);
    for round in 0..calls + 500 {
        let begun = Instant::now();
        once().await;
        if round >= 500 {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_nanos() as f64 / 1e3;
    let begun = Instant::now();
    let many = (0..64).map(|_| async {
        for _ in 0..calls / 64 {
            once().await;
        }
    });
    futures::future::join_all(many).await;
    let rate = (calls / 64 * 64) as f64 / begun.elapsed().as_secs_f64();
    println!("{name:24} p50 {:6.1} µs   p99 {:7.1} µs   64 at once {rate:7.0}/s", at(0.5), at(0.99));
}

async fn ask(url: String, calls: usize) {
    let bare = async_nats::connect(&url).await.expect("a connection");
    let lattice = join(&url).await;
    let client = Client::new(lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await;
    let (client, catalog) = (client.expect("a client"), catalog());
    let signature = catalog.outgoing("bench:bench/echo", None, "get").expect("it is there");
    let outgoing = Outgoing {
        target: "echo".into(),
        source: "bench".into(),
        link: "default".into(),
        application: None,
        patience: Some(LONG),
    };
    while client.call(&outgoing, &signature, vec!["a-key".into()]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Interleaved, so that a busy machine is busy for all of them.
    for _ in 0..3 {
        measure("bare request", calls, || async {
            bare.request("bench.bare", "a-key".into()).await.expect("an answer");
        })
        .await;
        measure("request of the lattice", calls, || async {
            lattice.request("bench.plain", "a-key".into(), LONG).await.expect("an answer");
        })
        .await;
        measure("call (wRPC)", calls, || async {
            client.call(&outgoing, &signature, vec!["a-key".into()]).await.expect("a value");
        })
        .await;
    }
}

/// Writes are on the disk when they are answered; 64 at once share what the server does for each.
async fn keep(url: String, calls: usize) {
    let lattice = join(&url).await;
    let bucket = lattice.bucket("bench").await.expect("a bucket");
    for number in 0..1_000 {
        bucket.put(&format!("k{number}"), vec![7; 100].into()).await.expect("put");
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    for _ in 0..2 {
        measure("put", calls / 2, || async {
            let key = format!("k{}", next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1_000);
            bucket.put(&key, vec![7; 100].into()).await.expect("put");
        })
        .await;
    }
    measure("get", calls, || async { drop(bucket.get("k").await.expect("get")) }).await;
    measure("1,001 entries", 200, || async { drop(bucket.entries("").await.expect("entries")) }).await;
}

fn main() {
    let calls = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let server = NatsServer::start("").expect("a nats-server");
    let url = server.url();
    #[expect(clippy::disallowed_methods, reason = "it ends with the program")]
    let _answering = std::thread::spawn(move || runtime().block_on(answer(url)));
    runtime().block_on(async {
        ask(server.url(), calls).await;
        keep(server.url(), calls).await;
    });
}
