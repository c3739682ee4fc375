//! How fast the keyvalue provider is on this machine's disk, through the interface that components call.
//!
//! `cargo run --release -p umbel-builtin --example keyvalue [FOLDER]`

use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_builtin::keyvalue::Keyvalue;
use umbel_core::id::ProviderId;
use umbel_core::link::Values;
use umbel_provider::http::Handler;
use umbel_provider::{Factory, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::serve::Link;
use umbel_wit::{Call, Resource, Serve, Value};

const KEYS: u64 = 10_000;
const READS: u64 = 300_000;
const WRITE_FOR: Duration = Duration::from_secs(5);

struct Nobody;

impl Targets for Nobody {
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, _: &str) -> Option<String> {
        None
    }
}

#[derive(Clone)]
struct Guest {
    server: Arc<dyn Serve>,
    link: Arc<Link>,
    names: Arc<[Arc<str>; 4]>,
}

const OPEN: usize = 1;
const GET: usize = 2;
const SET: usize = 3;

impl Guest {
    async fn call(&self, function: usize, args: Vec<Value>) -> Value {
        let (link, interface, function) =
            (self.link.clone(), self.names[0].clone(), self.names[function].clone());
        let call = Call { link, interface, version: None, function, args, patience: None };
        match self.server.call(call).await {
            Ok(Some(Value::Result(Ok(value)))) => value.map_or(Value::Bool(true), |value| *value),
            other => panic!("{other:?}"),
        }
    }

    async fn set(&self, bucket: &Resource, key: String, value: Bytes) {
        self.call(SET, vec![Value::Borrow(bucket.clone()), key.into(), Value::Bytes(value)]).await;
    }

    async fn get(&self, bucket: &Resource, key: String) {
        self.call(GET, vec![Value::Borrow(bucket.clone()), key.into()]).await;
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&times, percent));
    println!("{what}: p50 {p50:.2} µs, p99 {p99:.2} µs, longest {max:.0} µs");
}

async fn read(guest: &Guest, bucket: &Resource, what: &str) {
    let mut times = Vec::new();
    for n in 0..READS {
        let key = format!("key/{}", (n * 7_919) % KEYS);
        let begun = Instant::now();
        guest.get(bucket, key).await;
        times.push(begun.elapsed());
    }
    show(what, times);
}

/// Writes from so many tasks; their number per second, and how long each took.
async fn write(guest: &Guest, bucket: &Resource, writers: u64) {
    let begun = Instant::now();
    let tasks = (0..writers).map(|task| async move {
        let mut times = Vec::new();
        for n in 0.. {
            if begun.elapsed() >= WRITE_FOR {
                break;
            }
            let key = format!("key/{}", (n * 31 + task * 7_919) % KEYS);
            let each = Instant::now();
            guest.set(bucket, key, Bytes::from_static(&[7; 100])).await;
            times.push(each.elapsed());
        }
        times
    });
    let times: Vec<Duration> = futures::future::join_all(tasks).await.concat();
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    show(&format!("durable writes of 100 bytes, {writers} at once, {rate:.0}/s"), times);
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let cx = StartContext {
        id: ProviderId::new("keyvalue").expect("an id"),
        config: Values::new(),
        secrets: Default::default(),
        targets: Arc::new(Nobody),
        folder: folder.path().join("keyvalue"),
    };
    let cores = Cores::start(1, "bench").expect("threads");
    let provider = Keyvalue::new(cores).start(cx).await.expect("it starts");
    let names = ["wasi:keyvalue/store", "open", "[method]bucket.get", "[method]bucket.set"].map(Into::into);
    let guest =
        Guest { server: provider.serve().expect("it serves"), link: Arc::default(), names: Arc::new(names) };
    let Value::Own(bucket) = guest.call(OPEN, vec!["bench".into()]).await else { panic!("a bucket") };
    let fill = (0..KEYS).map(|n| guest.set(&bucket, format!("key/{n}"), Bytes::from_static(&[7; 100])));
    futures::future::join_all(fill).await;

    read(&guest, &bucket, "reads of 100 bytes").await;
    for writers in [1, 8, 32, 128] {
        write(&guest, &bucket, writers).await;
    }
    let reading = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (guest, bucket) = (guest.clone(), bucket.clone());
        // A thread of its own, as a component's call has.
        let runtime = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            runtime.block_on(read(&guest, &bucket, "reads while 32 write"));
        });
        read.await.expect("it reads");
    };
    futures::join!(write(&guest, &bucket, 32), reading);
    provider.stop(Duration::from_secs(10)).await;
}
