//! Whoever listens hears requests and answers in their order, and calls with their hops.

use crate::bed::{name, nats, spawn};
use crate::wrpc::{Store, catalog, links, outgoing};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use umbel_lattice::spy::{Heard, Hop, Kind, Listener, Seen, Spy};
use umbel_lattice::wrpc::{Client, ClientLimits, Lent, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, LatticeError};
use umbel_testkit::NatsServer;

const SOON: Duration = Duration::from_secs(30);

/// Hears until the answer or the result of something has been heard.
async fn heard_until(listener: &mut Listener, spy: &mut Spy, hop: Hop) -> Vec<Seen> {
    let mut all = Vec::new();
    while all.last().is_none_or(|seen: &Seen| seen.hop != hop) {
        match tokio::time::timeout(SOON, listener.next(spy)).await.expect("it comes soon") {
            Some(Heard::Message(at_us, message)) => {
                // A connection says things to itself.
                all.extend(Some(spy.see(at_us, &message)).filter(|seen| seen.kind != Kind::Other));
            }
            other => panic!("{other:?} instead of a message"),
        }
    }
    all
}

async fn check(lattice: Arc<dyn Lattice>, ears: Arc<dyn Lattice>) {
    let kinds = BTreeSet::from([Kind::Calls, Kind::Control]);
    let mut listener = Listener::start(&*ears, &kinds).await.expect("it listens");
    let mut spy = Spy::new(name(), 0);

    let ping = "wasmbus.ctl.v1.default.host.ping";
    let mut host = lattice.subscribe(ping).await.expect("subscribed");
    let answering = async {
        let request = host.next().await.expect("a request");
        lattice.respond(&request, Bytes::from_static(br#"{"success":true,"message":""}"#)).await
    };
    let asking = lattice.request(ping, Bytes::new(), SOON);
    let (answered, asked) = futures::future::join(answering, asking).await;
    answered.and(asked.map(drop)).expect("it is answered");
    let seen = heard_until(&mut listener, &mut spy, Hop::Answer).await;
    let told: Vec<(Kind, Hop, &str)> = seen.iter().map(|seen| (seen.kind, seen.hop, &*seen.what)).collect();
    let expected = [(Kind::Control, Hop::Request, "host.ping"), (Kind::Control, Hop::Answer, "host.ping")];
    assert_eq!(told, expected);
    assert_eq!((seen[1].ok, seen[1].took_us.is_some()), (Some(true), true));

    let catalog = catalog();
    let served = catalog.clone();
    let spec = ServerSpec {
        id: "kv".into(),
        catalog: Arc::new(move || served.clone()),
        serve: Arc::new(Store::default()),
        links: links(),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits::default(),
    };
    let _server = Server::start(lattice.clone(), spawn(), spec).await.expect("it serves");
    let limits = ClientLimits::default();
    let client = Client::new(lattice, spawn(), Lent::new(), limits).await.expect("a client");
    let function = catalog.outgoing("t:t/store", None, "nothing").expect("a function");
    client.call(&outgoing(SOON), &function, vec![1_u64.into()]).await.expect("it is served");
    let seen = heard_until(&mut listener, &mut spy, Hop::Result).await;
    let told: Vec<(Hop, Option<&str>)> = seen.iter().map(|seen| (seen.hop, seen.to.as_deref())).collect();
    assert_eq!(
        (told[0], told.len()),
        ((Hop::Request, Some("kv")), 2),
        "a call of plain values is two messages"
    );
    assert!(seen.iter().all(|seen| seen.kind == Kind::Calls && seen.what.contains("nothing")), "{seen:?}");
    assert_eq!(seen[0].from, seen[1].to, "the result goes back to whoever called");
}

#[tokio::test]
async fn requests_and_calls_are_heard_in_one_process() {
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name()));
    check(lattice.clone(), lattice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_calls_are_heard_over_nats() {
    let server = NatsServer::start("").expect("a nats-server");
    check(Arc::new(nats(&server.url()).await), Arc::new(nats(&server.url()).await)).await;
}

#[tokio::test]
async fn in_one_process_listening_changes_nothing() {
    let lattice = InProcess::ephemeral(name());
    let _listener = Listener::start(&lattice, &Kind::ALL.into()).await.expect("it listens");
    for subject in ["wasmbus.ctl.v1.default.host.get.N1", "default.kv.wrpc.0.0.1.a:b/c.d"] {
        let refused = lattice.request(subject, Bytes::new(), SOON).await.expect_err("nobody is there");
        assert!(matches!(refused, LatticeError::NoResponders { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_only_what_is_listened_to_loses_its_refusals() {
    let server = NatsServer::start("").expect("a nats-server");
    let (lattice, ears) = (nats(&server.url()).await, nats(&server.url()).await);
    let _listener =
        Listener::start(&ears, &BTreeSet::from([Kind::Events, Kind::Calls])).await.expect("it listens");
    let subject = "wasmbus.ctl.v1.default.host.get.N1";
    let refused = lattice.request(subject, Bytes::new(), SOON).await.expect_err("nobody is there");
    assert!(matches!(refused, LatticeError::NoResponders { .. }), "{refused}");
    let late = lattice.request("default.kv.wrpc.0.0.1.a:b/c.d", Bytes::new(), Duration::from_millis(200));
    let late = late.await.expect_err("nobody answers");
    assert!(
        matches!(late, LatticeError::Timeout { .. }),
        "the server takes the listener for one who may answer: {late}"
    );
}
