//! What a call of a provider over a unix socket costs: `get(string) -> result<option<list<u8>>>`, one after another.
//!
//! `cargo run --release -p umbel-lattice --example wire [CALLS]`. Host and provider have a thread and a runtime each, so that each call
//! wakes the other twice, as with two processes; `apart` gives the caller a third one, as the data path of a host has.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::Problem;
use umbel_core::id::LatticeName;
use umbel_lattice::unix::{DoorSpec, Gate, Open, connect};
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, Message, Spawn};
use umbel_wit::{Call, Link, Serve, Value};

const WIT: &str =
    "package bench:bench@1.0.0; interface echo { get: func(key: string) -> result<option<list<u8>>>; }";

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

fn spawn(handle: tokio::runtime::Handle) -> Spawn {
    Arc::new(move |task| {
        let _detached = handle.spawn(task);
    })
}

fn thread(work: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "it ends with the program")]
    std::thread::spawn(work)
}

fn catalog() -> Arc<Catalog> {
    let all = umbel_wit::package::interfaces(&[WIT]).expect("it is WIT");
    Arc::new(Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface)))))
}

async fn provide(path: std::path::PathBuf, token: String) {
    let spawn = spawn(tokio::runtime::Handle::current());
    let unix = connect(&path, "echo", &token, &spawn).await.expect("a connection");
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
    let _server = Server::start(Arc::new(unix), spawn, spec).await.expect("it serves");
    std::future::pending::<()>().await;
}

async fn measure(client: Client, calls: usize, name: &str) {
    let catalog = catalog();
    let signature = catalog.outgoing("bench:bench/echo", None, "get").expect("it is there");
    let outgoing = Outgoing {
        target: "echo".into(),
        source: "bench".into(),
        link: "default".into(),
        application: None,
        patience: Some(Duration::from_secs(30)),
    };
    let mut times = Vec::with_capacity(calls);
    for round in 0..calls + 1_000 {
        let begun = Instant::now();
        client.call(&outgoing, &signature, vec!["a-key".into()]).await.expect("a value");
        if round >= 1_000 {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_nanos() as f64 / 1e3;
    println!("{name:30} p50 {:6.1} µs   p90 {:6.1} µs   p99 {:6.1} µs", at(0.5), at(0.9), at(0.99));
    let begun = Instant::now();
    let many = (0..64).map(|_| async {
        for _ in 0..calls / 64 {
            client.call(&outgoing, &signature, vec!["a-key".into()]).await.expect("a value");
        }
    });
    futures::future::join_all(many).await;
    println!("{name:30} 64 at once: {:.0} calls/s", (calls / 64 * 64) as f64 / begun.elapsed().as_secs_f64());
}

fn main() {
    let calls = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let folder = tempfile::tempdir().expect("a folder");
    let host = runtime();
    let lattice: Arc<dyn Lattice> =
        Arc::new(InProcess::ephemeral(LatticeName::new("default").expect("a name")));
    let spawn = spawn(host.handle().clone());
    let _entered = host.enter();
    let gate = Gate::open(lattice.clone(), &folder.path().join("gate"), spawn.clone()).expect("a gate");
    let (door, token) = gate.expect(DoorSpec { id: "echo".into(), confine: Arc::new(Open) });
    let (path, token) = (gate.path().to_path_buf(), token.reveal().to_string());
    let _provider = thread(move || runtime().block_on(provide(path, token)));
    let client = host.block_on(async {
        door.connected().await.expect("it connects");
        let client = Client::new(lattice.clone(), spawn, Lent::new(), ClientLimits::default())
            .await
            .expect("a client");
        let anybody = || Message::new("default.echo.wrpc.0.0.1.x", "").with_reply("nowhere");
        while lattice.publish_request(anybody()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client
    });
    host.block_on(measure(client.clone(), calls, "host and provider"));
    drop(_entered);
    let apart = thread(move || runtime().block_on(measure(client, calls, "caller, host and provider")));
    host.block_on(async {
        while !apart.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    apart.join().expect("it ends well");
}
