//! What the blobstore costs: one large object in, copied, and out again, and many small ones.
//!
//! ```text
//! cargo run --release -p umbel-builtin --example blobs -- 1024 16        # 1 GiB in pieces of 16 KiB
//! ```

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use umbel_builtin::blobstore::Blobstore;
use umbel_core::id::ProviderId;
use umbel_core::link::Values;
use umbel_provider::http::Handler;
use umbel_provider::{Factory, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::value::Output;
use umbel_wit::{Call, Link, Resource, Serve, Value};

/// The allocator of the shipped binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SMALL: u64 = 500;

struct Nobody;

impl Targets for Nobody {
    fn http(&self, _component: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, _component: &str, _interface: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, _component: &str) -> Option<String> {
        None
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (mib, piece_kib) = (number(1024), number(16));
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    let cores = Cores::start(1, "core").expect("a thread of the data path");
    let (done, end) = std::sync::mpsc::sync_channel(1);
    let path = folder.path().to_owned();
    let measure = move || async move {
        measure(&path, mib << 20, piece_kib << 10).await;
        done.send(()).expect("the main thread waits");
    };
    cores.spawn(0, measure).expect("it is taken");
    end.recv().expect("it was measured");
}

async fn measure(folder: &Path, size: usize, piece: usize) {
    let cx = StartContext {
        id: ProviderId::new("blobs").expect("an id"),
        config: Values::new(),
        secrets: Default::default(),
        targets: Arc::new(Nobody),
        folder: folder.join("root"),
    };
    let provider = Blobstore::new().start(cx).await.expect("it starts");
    let guest = Guest(provider.serve().expect("it serves"));
    let container = own(guest.call("blobstore/create-container", vec!["box".into()]).await);

    let plain = Instant::now();
    plain_file(&folder.join("plain"), size, piece);
    report("a plain file, fsync at its end", size, plain);

    let before = memory_kib();
    let write = Instant::now();
    put(&guest, &container, "large", size, piece).await;
    report("write", size, write);

    let copy = Instant::now();
    let id = |object: &str| Value::Record(vec!["box".into(), object.into()]);
    guest.call("blobstore/copy-object", vec![id("large"), id("copy")]).await;
    println!("{:>34} {:8.2} ms", "copy", copy.elapsed().as_secs_f64() * 1e3);

    for _ in 0..2 {
        let read = Instant::now();
        get(&guest, &container, "copy", size).await;
        report("read, from the page cache", size, read);
    }
    println!("{:>34} {:8.1} MiB", "peak memory above the start", (memory_kib() - before) as f64 / 1024.0);

    let small = Instant::now();
    for number in 0..SMALL {
        put(&guest, &container, &format!("small {number}"), 100, 100).await;
    }
    println!(
        "{:>34} {:8.0} /s",
        "small objects, one after another",
        SMALL as f64 / small.elapsed().as_secs_f64()
    );
    let small = Instant::now();
    let names = futures::stream::iter((0..SMALL * 4).map(|number| format!("small {number}")));
    names.for_each_concurrent(32, async |name| put(&guest, &container, &name, 100, 100).await).await;
    println!(
        "{:>34} {:8.0} /s",
        "small objects, 32 at once",
        SMALL as f64 * 4.0 / small.elapsed().as_secs_f64()
    );
    let small = Instant::now();
    for number in 0..SMALL {
        get(&guest, &container, &format!("small {number}"), 100).await;
    }
    println!(
        "{:>34} {:8.0} µs",
        "read of a small object",
        small.elapsed().as_secs_f64() * 1e6 / SMALL as f64
    );
}

fn plain_file(path: &Path, size: usize, piece: usize) {
    let mut file = std::fs::File::create(path).expect("a file");
    let bytes = vec![7; piece];
    for _ in 0..size / piece {
        file.write_all(&bytes).expect("written");
    }
    file.sync_all().expect("synced");
    std::fs::remove_file(path).expect("removed");
}

async fn put(guest: &Guest, container: &Resource, name: &str, size: usize, piece: usize) {
    let value = own(guest.call("types/[static]outgoing-value.new-outgoing-value", vec![]).await);
    let borrow = || Value::Borrow(value.clone());
    let body = guest.call("types/[method]outgoing-value.outgoing-value-write-body", vec![borrow()]).await;
    let Value::Output(Output(mut stream)) = body else { panic!("{body:?} is not an output-stream") };
    let args = vec![Value::Borrow(container.clone()), name.into(), borrow()];
    guest.call("container/[method]container.write-data", args).await;
    for _ in 0..size / piece {
        // As a host does that takes bytes out of a guest's memory.
        stream.send(Bytes::from(vec![7; piece])).await.expect("taken");
    }
    drop(stream);
    guest.call("types/[static]outgoing-value.finish", vec![Value::Own(value)]).await;
}

async fn get(guest: &Guest, container: &Resource, name: &str, size: usize) {
    let args = vec![Value::Borrow(container.clone()), name.into(), Value::U64(0), Value::U64(u64::MAX)];
    let value = own(guest.call("container/[method]container.get-data", args).await);
    let function = "types/[static]incoming-value.incoming-value-consume-async";
    let stream = guest.call(function, vec![Value::Own(value)]).await;
    let Value::Input(input) = stream else { panic!("{stream:?} is not an input-stream") };
    let mut stream = input.into_stream();
    let mut count = 0;
    while let Some(bytes) = stream.next().await {
        count += bytes.expect("read").len();
    }
    assert_eq!(count, size);
}

struct Guest(Arc<dyn Serve>);

impl Guest {
    /// What a function answers, without its `ok`.
    async fn call(&self, function: &str, args: Vec<Value>) -> Value {
        let (interface, function) = function.split_once('/').expect("interface/function");
        let call = Call {
            link: Arc::new(Link::default()),
            interface: format!("wasi:blobstore/{interface}").into(),
            version: None,
            function: function.into(),
            args,
            patience: None,
        };
        match self.0.call(call).await.expect("it is served").expect("it has a result") {
            Value::Result(Ok(value)) => value.map_or_else(|| Value::Tuple(vec![]), |value| *value),
            Value::Result(Err(error)) => panic!("{function}: {error:?}"),
            value => value,
        }
    }
}

fn own(value: Value) -> Resource {
    match value {
        Value::Own(resource) => resource,
        other => panic!("{other:?} is not a resource"),
    }
}

/// The most memory that this process ever had.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("there is a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn report(what: &str, size: usize, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what:>34} {:8.0} MB/s", size as f64 / 1e6 / seconds);
}
