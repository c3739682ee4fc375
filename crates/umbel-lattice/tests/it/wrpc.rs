//! Calls over the lattice: inside one process, over a unix socket, and between two connections to a nats-server.

use crate::bed::{Bed, spawn};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use umbel_core::Problem;
use umbel_core::code::{guest, lattice, wire};
use umbel_lattice::Lattice;
use umbel_lattice::unix::Door;
use umbel_lattice::wrpc::{
    Caller, Catalog, Client, ClientLimits, Lent, Links, Outgoing, Server, ServerLimits, ServerSpec,
};
use umbel_wit::value::{Input, Items, Output};
use umbel_wit::{Call, Link, Resource, Serve, Value};

const WIT: &str = "
    package t:t@0.2.0-draft;
    interface store {
      resource bucket { get: func(key: string) -> option<string>; }
      open: func(name: string) -> result<bucket, string>;
      fail: func();
      fall: func();
      wait: func();
      echo: func(bytes: list<u8>) -> list<u8>;
      upper: async func(text: stream<u8>) -> stream<u8>;
      count: async func(text: stream<u8>) -> u64;
      numbers: async func(numbers: stream<u64>) -> stream<string>;
      ticks: async func(ticks: stream) -> u64;
      nothing: func(n: u64);
    }
    interface sink { use wasi:io/streams@0.2.0.{output-stream}; write: func() -> output-stream; written: func() -> u64; }
    interface watcher { use store.{bucket}; on-set: func(bucket: bucket, key: string) -> option<string>; }";
const IO: &str = "package wasi:io@0.2.0; interface streams { resource output-stream {} }";
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn catalog() -> Arc<Catalog> {
    let all = umbel_wit::package::interfaces(&[IO, WIT]).expect("it is WIT");
    Arc::new(Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface)))))
}

/// A bucket of the server; counts those that are there.
struct Bucket {
    name: String,
    there: Arc<AtomicUsize>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.there.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) there: Arc<AtomicUsize>,
    pub(crate) waiting: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    go: Arc<Notify>,
    written: Arc<Mutex<Vec<u8>>>,
    patience: Arc<Mutex<Option<Duration>>>,
}

struct Count(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

fn upper(input: Input) -> Input {
    let big = |bytes: Result<Bytes, Problem>| bytes.map(|bytes| bytes.to_ascii_uppercase().into());
    Input::new(input.into_stream().map(big).boxed())
}

impl Serve for Store {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        *self.patience.lock().expect("nobody panicked") = call.patience;
        let (there, waiting, ended) = (self.there.clone(), self.waiting.clone(), self.ended.clone());
        let (go, written) = (self.go.clone(), self.written.clone());
        Box::pin(async move {
            let function = call.function.clone();
            let mut args = call.args.into_iter();
            match (&*function, args.next()) {
                ("open", Some(Value::String(name))) if name.is_empty() => {
                    Ok(Some(Value::err("no name".into())))
                }
                ("open", Some(Value::String(name))) => {
                    there.fetch_add(1, Ordering::SeqCst);
                    Ok(Some(Value::ok(Value::Own(Resource::new(Bucket { name, there })))))
                }
                ("[method]bucket.get", Some(Value::Borrow(bucket))) => {
                    let bucket = bucket.get::<Bucket>().expect("ours");
                    Ok(Some(Value::some(format!("{} of {}", call.link.values["k"], bucket.name).into())))
                }
                ("fail", _) => Err(Problem::new(guest::HOST_MEMORY, "no memory")
                    .with_help("buy some")
                    .with_cause("deep")),
                ("fall", _) => panic!("it falls"),
                ("wait", _) => {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    let _count = Count(waiting, ended);
                    go.notified().await;
                    Ok(None)
                }
                ("echo", Some(bytes)) => Ok(Some(bytes)),
                ("upper", Some(Value::Stream(input))) => Ok(Some(Value::Stream(upper(input)))),
                ("count", Some(Value::Stream(input))) => {
                    let mut stream = input.into_stream();
                    let mut count = 0;
                    while let Some(bytes) = stream.next().await {
                        count += bytes?.len() as u64;
                    }
                    Ok(Some(count.into()))
                }
                ("numbers", Some(Value::Items(numbers))) => {
                    let text = |number| match number {
                        Ok(Value::U64(number)) => Ok(Value::from(number.to_string())),
                        Ok(other) => panic!("{other:?} is no number"),
                        Err(problem) => Err(problem),
                    };
                    Ok(Some(Value::Items(Items::new(numbers.into_stream().map(text).boxed()))))
                }
                ("write", None) => {
                    let (sender, mut receiver) = futures::channel::mpsc::channel::<Bytes>(1);
                    spawn()(Box::pin(async move {
                        while let Some(bytes) = receiver.next().await {
                            written.lock().expect("nobody panicked").extend_from_slice(&bytes);
                        }
                        go.notify_one();
                    }));
                    Ok(Some(Value::Output(Output(sender))))
                }
                ("on-set", Some(Value::Own(bucket))) => {
                    Ok(Some(Value::Option(Some(Box::new(Value::String(format!("{bucket:?}")))))))
                }
                ("written", None) => Ok(Some((written.lock().expect("nobody panicked").len() as u64).into())),
                ("nothing", _) => Ok(None),
                (function, arg) => panic!("`{function}` with {arg:?}"),
            }
        })
    }
}

pub(crate) fn links() -> Links {
    Arc::new(|caller| {
        let Caller { source, link: name, interface, .. } = *caller;
        if source == "stranger" {
            return Err(Problem::new(guest::UNLINKED, format!("no link `{name}` to `{interface}`")));
        }
        let values = [("k".to_string(), format!("{source}/{name}"))].into();
        Ok(Arc::new(Link {
            source_id: source.into(),
            name: name.into(),
            application: caller.application.map(str::to_string),
            values,
        }))
    })
}

pub(crate) fn outgoing(patience: Duration) -> Outgoing {
    Outgoing {
        target: "kv".into(),
        source: "app".into(),
        link: "default".into(),
        application: None,
        patience: Some(patience),
    }
}

/// Where the server is, seen from its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Here,
    Process,
    OtherHost,
    ProcessOfOtherHost,
}

impl At {
    fn is_process(self) -> bool {
        matches!(self, At::Process | At::ProcessOfOtherHost)
    }
}

/// A server and two clients in the host.
struct Line {
    bed: Bed,
    store: Arc<Store>,
    lent: Arc<Lent>,
    server: Server,
    client: Client,
    door: Option<Door>,
}

impl Line {
    async fn new(at: At) -> Line {
        let bed = match at {
            At::Here | At::Process => Bed::new(),
            At::OtherHost | At::ProcessOfOtherHost => Bed::over_nats().await,
        };
        let (lattice, door): (Arc<dyn Lattice>, _) = if at.is_process() {
            let (unix, door) = bed.open("kv").await;
            (unix, Some(door))
        } else {
            (bed.other().await, None)
        };
        let (store, lent) = (Arc::new(Store::default()), Lent::new());
        let catalog = catalog();
        let spec = ServerSpec {
            id: "kv".into(),
            catalog: Arc::new(move || catalog.clone()),
            serve: store.clone(),
            links: links(),
            lent: lent.clone(),
            group: Some("kv".into()),
            is_quick: at.is_process(),
            limits: ServerLimits { calls_max: 8, ..ServerLimits::default() },
        };
        let server = Server::start(lattice, spawn(), spec).await.expect("it serves");
        let client = Line::client(&bed).await;
        Line { bed, store, lent, server, client, door }
    }

    async fn all() -> [Line; 4] {
        [
            Line::new(At::Here).await,
            Line::new(At::Process).await,
            Line::new(At::OtherHost).await,
            Line::new(At::ProcessOfOtherHost).await,
        ]
    }

    async fn client(bed: &Bed) -> Client {
        let lattice = bed.other().await;
        Client::new(lattice, spawn(), Lent::new(), ClientLimits::default()).await.expect("a client")
    }

    async fn call(
        &self,
        interface: &str,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>, Problem> {
        call_of(&self.client, &outgoing(SOON), interface, function, args).await
    }

    async fn open(&self, client: &Client, name: &str) -> Result<Resource, Problem> {
        match call_of(client, &outgoing(SOON), "t:t/store", "open", vec![name.into()]).await? {
            Some(Value::Result(Ok(Some(value)))) => match *value {
                Value::Own(bucket) => Ok(bucket),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

async fn call_of(
    client: &Client,
    outgoing: &Outgoing,
    interface: &str,
    function: &str,
    args: Vec<Value>,
) -> Result<Option<Value>, Problem> {
    let signature = catalog().outgoing(interface, None, function).expect("a function");
    tokio::time::timeout(2 * SOON, client.call(outgoing, &signature, args)).await.expect("it hangs")
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::Option(Some(value))) => match *value {
            Value::String(text) => text,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn resources_live_at_the_server_until_they_are_dropped() {
    for line in Line::all().await {
        let bucket = line.open(&line.client, "b").await.expect("a bucket");
        let got = line
            .call("t:t/store", "[method]bucket.get", vec![Value::Borrow(bucket.clone()), "k".into()])
            .await;
        assert_eq!(text(got.expect("a value")), "app/default of b", "the link came along");
        assert_eq!((line.store.there.load(Ordering::SeqCst), line.lent.len()), (1, 1));
        drop(bucket);
        wait_for("the drop", || line.lent.is_empty() && line.store.there.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn a_resource_of_another_client_or_one_that_is_gone_is_not_known() {
    for line in Line::all().await {
        let other = Line::client(&line.bed).await;
        let theirs = line.open(&other, "b").await.expect("a bucket");
        let get = |bucket: &Resource| vec![Value::Borrow(bucket.clone()), "k".into()];
        let problem =
            line.call("t:t/store", "[method]bucket.get", get(&theirs)).await.expect_err("of another");
        assert_eq!(problem.code, wire::HANDLE_UNKNOWN, "{problem}");
        let ours = line.open(&line.client, "b").await.expect("a bucket");
        line.lent.forget_client(line.client.name());
        let problem = line.call("t:t/store", "[method]bucket.get", get(&ours)).await.expect_err("gone");
        assert_eq!(problem.code, wire::HANDLE_UNKNOWN, "{problem}");
    }
}

#[tokio::test]
async fn one_client_holds_so_many_resources_and_no_more() {
    let line = Line::new(At::Here).await;
    let mut all = Vec::new();
    for _ in 0..umbel_lattice::wrpc::handles::HANDLES_MAX {
        all.push(line.open(&line.client, "b").await.expect("a bucket"));
    }
    assert_eq!(line.open(&line.client, "b").await.expect_err("too many").code, wire::HANDLES_LIMIT);
    let other = Line::client(&line.bed).await;
    line.open(&other, "b").await.expect("another client has its own");
    all.clear();
    wait_for("the drops", || line.lent.len() <= 1).await;
    line.open(&line.client, "b").await.expect("room again");
}

#[tokio::test]
async fn what_a_server_cannot_say_in_its_result_travels_all_the_same() {
    for line in Line::all().await {
        let problem = line.call("t:t/store", "fail", vec![]).await.expect_err("it fails");
        assert_eq!((problem.code, &*problem.message), (guest::HOST_MEMORY, "no memory"));
        assert_eq!((&*problem.help, &problem.causes[..]), ("buy some", &["deep".to_string()][..]));
        let refused = line.call("t:t/store", "open", vec!["".into()]).await.expect("its own result");
        assert_eq!(format!("{refused:?}"), r#"Some(Result(Err(Some(String("no name")))))"#);
        assert!(line.call("t:t/store", "nothing", vec![7_u64.into()]).await.expect("nothing").is_none());
        let problem = line.call("t:t/store", "fall", vec![]).await.expect_err("it panics");
        assert_eq!(problem.code, guest::SERVER_FAILED);
        let stranger = Outgoing { source: "stranger".into(), ..outgoing(SOON) };
        let problem =
            call_of(&line.client, &stranger, "t:t/store", "fail", vec![]).await.expect_err("no link");
        assert_eq!(problem.code, guest::UNLINKED);
        assert_eq!(line.client.calls(), 0, "nothing is left of them");
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_told_apart() {
    let bed = Bed::new();
    let client = Line::client(&bed).await;
    let problem = call_of(&client, &outgoing(SOON), "t:t/store", "fail", vec![]).await.expect_err("nobody");
    assert_eq!(problem.code, lattice::NO_RESPONDERS);
    let (unix, _door) = bed.open("app").await;
    let far = Client::new(unix, spawn(), Lent::new(), ClientLimits::default()).await.expect("a client");
    let problem = call_of(&far, &outgoing(SOON), "t:t/store", "fail", vec![]).await.expect_err("nobody");
    assert_eq!(problem.code, lattice::NO_RESPONDERS, "over the socket too");
    let _silent = bed.lattice.subscribe("default.kv.wrpc.0.0.1.>").await.expect("subscribe");
    let short = outgoing(Duration::from_millis(50));
    let problem = call_of(&client, &short, "t:t/store", "fail", vec![]).await.expect_err("silence");
    assert_eq!(problem.code, guest::CALL_TIMEOUT);
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_call() {
    for line in Line::all().await {
        let short = outgoing(Duration::from_millis(200));
        let problem = call_of(&line.client, &short, "t:t/store", "wait", vec![]).await.expect_err("it waits");
        assert_eq!(problem.code, guest::CALL_TIMEOUT);
        wait_for("the end of the call", || line.server.calls() == 0).await;
        assert_eq!(line.store.ended.load(Ordering::SeqCst), 1);
        assert_eq!(*line.store.patience.lock().expect("nobody panicked"), Some(Duration::from_millis(200)));
        {
            let waiting = line.call("t:t/store", "wait", vec![]);
            tokio::pin!(waiting);
            tokio::select! {
                _ = &mut waiting => unreachable!("nobody lets it go"),
                () = wait_for("the call", || line.store.waiting.load(Ordering::SeqCst) == 1) => {}
            }
        }
        wait_for("the end of the call", || line.server.calls() == 0).await;
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_and_the_others_go_on() {
    for line in Line::all().await {
        let eight = futures::future::join_all((0..8).map(|_| line.call("t:t/store", "wait", vec![])));
        let ninth = async {
            wait_for("eight calls", || line.store.waiting.load(Ordering::SeqCst) == 8).await;
            let problem =
                line.call("t:t/store", "nothing", vec![1_u64.into()]).await.expect_err("one too many");
            assert_eq!(problem.code, wire::CALLS_LIMIT);
            line.store.go.notify_waiters();
        };
        let (all, ()) = futures::future::join(eight, ninth).await;
        all.into_iter().for_each(|result| assert!(result.expect("it ends well").is_none()));
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_calls_end_and_ends_the_rest() {
    let line = Line::new(At::Process).await;
    let waiting = line.call("t:t/store", "wait", vec![]);
    let stop = async {
        wait_for("the call", || line.store.waiting.load(Ordering::SeqCst) == 1).await;
        assert_eq!(line.server.drain(Duration::from_millis(50)).await, 1);
        line.call("t:t/store", "nothing", vec![1_u64.into()]).await.expect_err("it stops")
    };
    let (first, second) = futures::future::join(waiting, stop).await;
    // Who drains hears no new calls, so that others of its group get them.
    assert_eq!((first.expect_err("ended").code, second.code), (guest::STOPPING, lattice::NO_RESPONDERS));
}

#[tokio::test]
async fn a_process_that_goes_away_ends_the_calls_to_it() {
    let mut line = Line::new(At::Process).await;
    let door = line.door.take().expect("a process");
    let waiting = line.call("t:t/store", "wait", vec![]);
    let end = async {
        wait_for("the call", || line.store.waiting.load(Ordering::SeqCst) == 1).await;
        drop(door);
        line.client.lose(Problem::new(wire::CONNECTION_LOST, "the process has ended"));
    };
    let (first, ()) = futures::future::join(waiting, end).await;
    assert_eq!(first.expect_err("ended").code, wire::CONNECTION_LOST);
    wait_for("the end of the call in the process", || line.store.ended.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn what_does_not_fit_one_message_comes_in_several() {
    for line in Line::all().await {
        let big: Bytes = (0..20 << 20).map(|n: u32| (n % 251) as u8).collect::<Vec<u8>>().into();
        let back = line.call("t:t/store", "echo", vec![Value::Bytes(big.clone())]).await.expect("an echo");
        assert!(matches!(back, Some(Value::Bytes(bytes)) if bytes == big));
        let args = vec![Value::Bytes(vec![0; 65 << 20].into())];
        assert_eq!(line.call("t:t/store", "echo", args).await.expect_err("too much").code, wire::WIRE_LIMIT);
    }
}

fn endless(taken: Arc<AtomicUsize>) -> Input {
    let piece = Bytes::from(vec![b'a'; 10_000]);
    Input::new(
        futures::stream::repeat_with(move || {
            taken.fetch_add(piece.len(), Ordering::SeqCst);
            Ok(piece.clone())
        })
        .boxed(),
    )
}

fn pieces(count: usize) -> Input {
    Input::new(futures::stream::iter((0..count).map(|_| Ok(Bytes::from(vec![b'a'; 10_000])))).boxed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_both_ways() {
    for line in Line::all().await {
        let result =
            line.call("t:t/store", "upper", vec![Value::Stream(pieces(500))]).await.expect("a stream");
        let Some(Value::Stream(back)) = result else { panic!("{result:?}") };
        let all: Vec<_> = back.into_stream().map(|bytes| bytes.expect("whole")).collect().await;
        assert_eq!(all.iter().map(Bytes::len).sum::<usize>(), 5_000_000);
        assert!(all.iter().all(|bytes| bytes.iter().all(|byte| *byte == b'A')));
        let count = line.call("t:t/store", "count", vec![Value::Stream(pieces(3))]).await.expect("a number");
        assert!(matches!(count, Some(Value::U64(30_000))));
        wait_for("nothing is left", || line.client.calls() == 0 && line.server.calls() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_holds_its_writer_back_and_may_stop() {
    for line in Line::all().await {
        let taken = Arc::new(AtomicUsize::new(0));
        let args = vec![Value::Stream(endless(taken.clone()))];
        let result = line.call("t:t/store", "upper", args).await.expect("a stream");
        let Some(Value::Stream(back)) = result else { panic!("{result:?}") };
        let mut back = back.into_stream();
        back.next().await.expect("a piece").expect("whole");
        // It comes to rest: two windows of 256 KiB, and what is between.
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = taken.load(Ordering::SeqCst);
            assert!(now < 2_000_000, "{now} bytes are on their way");
            if now == std::mem::replace(&mut before, now) && now > 0 {
                break;
            }
        }
        drop(back);
        wait_for("the end of both streams", || line.client.calls() == 0 && line.server.calls() == 0).await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_tells_its_reader_why() {
    for line in Line::all().await {
        let broken =
            futures::stream::iter([Ok(Bytes::from("a")), Err(Problem::new(guest::TRAPPED, "it trapped"))]);
        let args = vec![Value::Stream(Input::new(broken.boxed()))];
        let problem = line.call("t:t/store", "count", args).await.expect_err("broken");
        assert_eq!((problem.code, &*problem.message), (guest::TRAPPED, "it trapped"));
    }
}

#[tokio::test]
async fn an_output_stream_takes_bytes_back_to_the_server() {
    for line in Line::all().await {
        let Some(Value::Output(mut output)) =
            line.call("t:t/sink", "write", vec![]).await.expect("an output")
        else {
            panic!("it is an output")
        };
        for _ in 0..100 {
            output.0.send(Bytes::from(vec![1; 10_000])).await.expect("room");
        }
        drop(output);
        tokio::time::timeout(SOON, line.store.go.notified()).await.expect("the end");
        assert_eq!(line.store.written.lock().expect("nobody panicked").len(), 1_000_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_streams_come_to_their_end_and_leave_nothing() {
    for line in Line::all().await {
        for round in 1..=20_u64 {
            let output = line.call("t:t/sink", "write", vec![]).await.expect("an output");
            let Some(Value::Output(mut output)) = output else { panic!("it is an output") };
            output.0.send(Bytes::from(vec![1; 1_000])).await.expect("room");
            drop(output);
            // The sink of this test takes the bytes in a task of its own.
            tokio::time::timeout(SOON, line.store.go.notified()).await.expect("the end");
            let count = line.call("t:t/sink", "written", vec![]).await.expect("a number");
            assert!(matches!(count, Some(Value::U64(count)) if count == round * 1_000), "{count:?}");
        }
        wait_for("nothing is left", || line.client.calls() == 0).await;
    }
}

#[tokio::test]
async fn streams_of_values_go_both_ways() {
    for line in Line::all().await {
        // One at a time at first, then more than the window takes; the texts are longer than one message.
        let numbers = (0..100_000_u64).map(|n| Ok(Value::U64(n * n * n)));
        let slowly = futures::stream::iter(numbers).then(|number| async {
            if matches!(number, Ok(Value::U64(0..1_000))) {
                tokio::task::yield_now().await;
            }
            number
        });
        let args = vec![Value::Items(Items::new(slowly.boxed()))];
        let Some(Value::Items(texts)) = line.call("t:t/store", "numbers", args).await.expect("a stream")
        else {
            panic!("they are values")
        };
        let texts: Vec<Value> = texts.into_stream().map(|text| text.expect("whole")).collect().await;
        assert_eq!(texts.len(), 100_000);
        for (text, n) in texts.iter().zip(0_u64..) {
            assert!(matches!(text, Value::String(text) if *text == (n * n * n).to_string()), "{n}: {text:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_values_that_breaks_says_why() {
    for line in Line::all().await {
        let broken = [Ok(Value::U64(7)), Err(Problem::new(guest::TRAPPED, "it trapped"))];
        let broken = futures::stream::iter(broken).then(|number| async {
            // Apart from the first: what is sent at once breaks at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
            number
        });
        let args = vec![Value::Items(Items::new(broken.boxed()))];
        let Some(Value::Items(texts)) = line.call("t:t/store", "numbers", args).await.expect("a stream")
        else {
            panic!("they are values")
        };
        let texts: Vec<_> = texts.into_stream().collect().await;
        assert!(matches!(&texts[..], [Ok(Value::String(text)), Err(_)] if text == "7"), "{texts:?}");
        let problem = texts.into_iter().find_map(Result::err).expect("a problem");
        assert_eq!((problem.code, &*problem.message), (guest::TRAPPED, "it trapped"));
    }
}

#[tokio::test]
async fn streams_of_nothing_are_refused_by_name() {
    let line = Line::new(At::Process).await;
    let problem =
        line.call("t:t/store", "ticks", vec![Value::Stream(pieces(1))]).await.expect_err("not carried");
    assert_eq!(problem.code, guest::NOT_CARRIED);
    assert!(problem.message.contains("stream"), "{problem}");
}

#[tokio::test]
async fn a_callee_is_lent_a_resource_and_calls_back_with_it() {
    // The provider calls a component with a bucket of its own; the component uses it over its link to the provider.
    let line = Line::new(At::Process).await;
    let (unix, _door) = line.bed.open("outward").await;
    let outward =
        Client::new(unix, spawn(), line.lent.clone(), ClientLimits::default()).await.expect("a client");
    let host = line.client.clone();
    let back = Arc::new(Watcher { host });
    let watcher_only = umbel_wit::package::interfaces(&[IO, WIT]).expect("it is WIT").into_iter();
    let watcher_only = watcher_only.filter(|(name, _)| name.interface() == "watcher");
    let catalog = Arc::new(Catalog::new(watcher_only.map(|(name, interface)| (name, Arc::new(interface)))));
    let spec = ServerSpec {
        id: "component".into(),
        catalog: Arc::new(move || catalog.clone()),
        serve: back,
        links: Arc::new(|_| Ok(Arc::new(Link::default()))),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits::default(),
    };
    let _component = Server::start(line.bed.lattice.clone(), spawn(), spec).await.expect("it serves");
    let there = line.store.there.clone();
    there.fetch_add(1, Ordering::SeqCst);
    let bucket = Value::Own(Resource::new(Bucket { name: "mine".into(), there: there.clone() }));
    let calling = Outgoing {
        target: "component".into(),
        source: "kv".into(),
        link: "default".into(),
        application: None,
        patience: Some(SOON),
    };
    let got = call_of(&outward, &calling, "t:t/watcher", "on-set", vec![bucket, "k".into()]).await;
    assert_eq!(text(got.expect("an answer")), "app/default of mine");
    wait_for("the drop", || line.lent.is_empty() && there.load(Ordering::SeqCst) == 0).await;
}

struct Watcher {
    host: Client,
}

impl Serve for Watcher {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let host = self.host.clone();
        Box::pin(async move {
            let mut args = call.args.into_iter();
            let (Some(Value::Own(bucket)), Some(key)) = (args.next(), args.next()) else {
                panic!("a bucket")
            };
            call_of(
                &host,
                &outgoing(SOON),
                "t:t/store",
                "[method]bucket.get",
                vec![Value::Borrow(bucket), key],
            )
            .await
        })
    }
}
