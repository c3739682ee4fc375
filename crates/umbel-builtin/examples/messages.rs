//! How many messages a second go from a publisher to one trivial handler, and how long a request takes.
//!
//! `cargo run --release -p umbel-builtin --example messages`

use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use umbel_builtin::messaging::Messaging;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, ResolvedLink, Values};
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Link, Serve, Value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MESSAGES: u64 = 2_000_000;
const REQUESTS: u64 = 200_000;
const BODY: &[u8] = &[b'x'; 100];

/// A component that counts, and replies where a reply is awaited.
#[derive(Clone, Default)]
struct Handler {
    heard: Arc<AtomicU64>,
    serve: Arc<OnceLock<Arc<dyn Serve>>>,
}

impl Serve for Handler {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        self.heard.fetch_add(1, Relaxed);
        let serve = self.serve.get().cloned();
        Box::pin(async move {
            if let (Some(Value::Record(fields)), Some(serve)) = (call.args.into_iter().next(), serve)
                && let Some(Value::Option(Some(reply_to))) = fields.into_iter().nth(2)
                && let Value::String(subject) = *reply_to
            {
                serve.call(publish(&link(), &subject)).await?;
            }
            Ok(Some(Value::unit()))
        })
    }
}

struct Components(Handler);

impl Targets for Components {
    fn http(&self, _: &str) -> Option<Arc<dyn umbel_provider::http::Handler>> {
        None
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(self.0.clone()))
    }

    fn application_of(&self, _: &str) -> Option<String> {
        Some("app".into())
    }
}

fn link() -> Arc<Link> {
    static LINK: OnceLock<Arc<Link>> = OnceLock::new();
    let new = || Link { source_id: "publisher".into(), application: Some("app".into()), ..Link::default() };
    LINK.get_or_init(|| Arc::new(new())).clone()
}

fn call(link: &Arc<Link>, function: &str, args: Vec<Value>) -> Call {
    Call {
        link: link.clone(),
        interface: "wasmcloud:messaging/consumer".into(),
        version: None,
        function: function.into(),
        args,
        patience: None,
    }
}

fn publish(link: &Arc<Link>, subject: &str) -> Call {
    call(link, "publish", vec![Value::Record(vec![subject.into(), Value::bytes(BODY), Value::none()])])
}

fn subscription(config: &[(&str, &str)]) -> ResolvedLink {
    ResolvedLink::new(
        umbel_core::link::Link {
            source_id: "messaging".into(),
            target: "handler".into(),
            name: "default".into(),
            contract: Contract::new("wasmcloud", "messaging", &["handler"]),
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        config.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect(),
        Values::new(),
    )
}

/// Publishes on a core, as a guest does, and slows down when the subscriber is full.
async fn flood(serve: Arc<dyn Serve>) -> u64 {
    let (link, mut refused) = (link(), 0);
    let mut sent = 0;
    while sent < MESSAGES {
        match serve.call(publish(&link, "bench.a")).await {
            Ok(Some(Value::Result(Ok(_)))) => sent += 1,
            _ => {
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    refused
}

async fn ask(serve: Arc<dyn Serve>) -> Vec<Duration> {
    let link = link();
    let mut took = Vec::new();
    for _ in 0..REQUESTS {
        let args = vec!["bench.a".into(), Value::bytes(BODY), 10_000_u32.into()];
        let start = Instant::now();
        let reply = serve.call(call(&link, "request", args)).await;
        assert!(matches!(reply, Ok(Some(Value::Result(Ok(_))))), "no reply: {reply:?}");
        took.push(start.elapsed());
    }
    took.sort_unstable();
    took
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = Cores::start(count, "bench").expect("threads");
        let handler = Handler::default();
        let cx = StartContext {
            id: ProviderId::new("messaging").expect("an id"),
            config: Values::new(),
            secrets: Default::default(),
            targets: Arc::new(Components(handler.clone())),
            folder: PathBuf::new(),
        };
        let provider: Arc<dyn Provider> = Messaging::new(cores.clone()).start(cx).await.expect("it starts");
        let serve = provider.serve().expect("it serves");
        let _ = handler.serve.set(serve.clone());
        for concurrency in ["1", "16"] {
            let config = [("subscriptions", "bench.*"), ("concurrency", concurrency)];
            provider.put_link(subscription(&config)).await.expect("a good link");
            let (before, start) = (handler.heard.load(Relaxed), Instant::now());
            let flooding = serve.clone();
            let refused = cores.run(0, move || flood(flooding)).await.expect("it ends");
            while handler.heard.load(Relaxed) - before < MESSAGES {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let each = start.elapsed().as_secs_f64() / MESSAGES as f64;
            println!(
                "concurrency {concurrency:>2}: {:>9.0} messages/s, {:.0} ns each, refused and sent again {refused}",
                1.0 / each,
                each * 1e9
            );
            let asking = serve.clone();
            let took = cores.run(0, move || ask(asking)).await.expect("it ends");
            let at = |part: f64| took[(took.len() as f64 * part) as usize].as_nanos();
            println!("concurrency {concurrency:>2}: request and reply p50 {} ns, p99 {} ns", at(0.5), at(0.99));
        }
    });
}
