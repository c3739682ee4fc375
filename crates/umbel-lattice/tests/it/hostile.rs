//! What somebody may send who means no good, or speaks something else: coded errors, and everything goes on.

use crate::bed::{Bed, spawn};
use crate::wrpc::{Store, catalog, links, outgoing};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Coded;
use umbel_core::code::lattice as code;
use umbel_core::link::{Link, LinkKey, Values};
use umbel_lattice::control::{
    ComponentAuction, Host, Inventory, LabelKey, LabelValue, ProviderAuction, RegistryAnswer, RegistryPut,
    RegistryQuery, Scale, StartProvider, StopHost, StopProvider, Update, parse_request,
};
use umbel_lattice::wrpc::{Client, ClientLimits, Lent, Server, ServerLimits, ServerSpec};
use umbel_lattice::{Lattice, Message, wadm};
use umbel_wit::Value;

const SOON: Duration = Duration::from_secs(20);

fn refused<T: DeserializeOwned>(payload: &Bytes) -> bool {
    match parse_request::<T>(&Message::new("some.subject", payload.clone())) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code(), code::BAD_REQUEST);
            true
        }
    }
}

/// Reads the payload as every request that there is; how many refuse it.
fn refused_by(payload: &Bytes) -> usize {
    let all = [
        refused::<Scale>,
        refused::<Update>,
        refused::<StartProvider>,
        refused::<StopProvider>,
        refused::<StopHost>,
        refused::<ComponentAuction>,
        refused::<ProviderAuction>,
        refused::<LabelKey>,
        refused::<LabelValue>,
        refused::<RegistryPut>,
        refused::<RegistryQuery>,
        refused::<RegistryAnswer>,
        refused::<Link>,
        refused::<LinkKey>,
        refused::<Values>,
        refused::<Host>,
        refused::<Inventory>,
        refused::<wadm::VersionRequest>,
    ];
    all.iter().filter(|refused| refused(payload)).count()
}

/// JSON that was recorded, with a few bytes of it changed, taken out or put in.
fn spoiled() -> impl Strategy<Value = Bytes> {
    let recorded: Vec<&str> = include_str!("../data/wasmcloud-1.9.2.jsonl").lines().collect();
    let changes = vec((any::<proptest::sample::Index>(), 0..3_u8, any::<u8>()), 0..4);
    (proptest::sample::select(recorded), changes).prop_map(|(line, changes)| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let mut bytes = row["json"].to_string().into_bytes();
        for (index, kind, byte) in changes {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes.into()
    })
}

proptest! {
    #[test]
    fn no_json_is_worse_than_refused(payload in spoiled()) {
        prop_assert!(refused_by(&payload) > 0, "no payload is every message");
    }

    #[test]
    fn no_bytes_are_worse_than_refused(payload in vec(any::<u8>(), 1..64)) {
        refused_by(&payload.into());
    }
}

/// Where somebody may send something to a server, `S` being where it hears of its calls.
const TO_SERVER: [&str; 8] = [
    "default.kv.wrpc.0.0.1.t:t/store@0.2.0-draft.open",
    "default.kv.wrpc.0.0.1.t:t/store@0.2.0-draft.upper",
    "default.kv.wrpc.0.0.1.t:t/store@0.2.0-draft.[method]bucket.get",
    "default.kv.wrpc.0.0.1.no.such.thing",
    "default.kv.umbel.v1.drop",
    "default.kv.umbel.v1.cancel",
    "S.params",
    "S.params.0",
];

/// Where somebody may answer a client, below where it hears of the call.
const TO_CLIENT: [&str; 6] = ["", ".results", ".results.0", ".credit.params.0", ".done.outputs.0", ".stop.x"];

fn payloads(places: usize) -> impl Strategy<Value = Vec<(usize, Vec<u8>, bool)>> {
    vec((0..places, vec(any::<u8>(), 0..24), any::<bool>()), 1..12)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(SOON, future).await.expect("it hangs") })
}

async fn serve(lattice: Arc<dyn Lattice>) -> Server {
    let catalog = catalog();
    let spec = ServerSpec {
        id: "kv".into(),
        catalog: Arc::new(move || catalog.clone()),
        serve: Arc::new(Store::default()),
        links: links(),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits { call_max: Duration::from_millis(20), ..ServerLimits::default() },
    };
    Server::start(lattice, spawn(), spec).await.expect("it serves")
}

/// Sends everything; the first acceptance says where `S` is.
async fn attack(lattice: &Arc<dyn Lattice>, messages: Vec<(usize, Vec<u8>, bool)>) {
    let mut inbox = lattice.subscribe("_INBOX.evil.>").await.expect("subscribe");
    // A call that waits for the rest of its params.
    let waits =
        Message::new(TO_SERVER[0], vec![]).with_reply("_INBOX.evil.c.0").with_header("source-id", "app");
    lattice.publish(waits).await.expect("publish");
    let accepted = inbox.next().await.expect("an acceptance");
    let line = accepted.reply.expect("where to go on");
    for (place, payload, is_ours) in messages {
        let subject = TO_SERVER[place].replace("S.", &format!("{line}."));
        let mut message =
            Message::new(subject, payload).with_reply("_INBOX.evil.c.1").with_header("source-id", "app");
        if is_ours {
            message = message.with_header("umbel-wrpc", "1").with_header("umbel-timeout-ms", "x");
        }
        lattice.publish(message).await.expect("publish");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_server_outlives_whatever_is_sent_to_it(messages in payloads(TO_SERVER.len())) {
        run(async {
            let bed = Bed::new();
            let server = serve(bed.lattice.clone()).await;
            attack(&bed.lattice, messages).await;
            let client = Client::new(bed.lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await;
            let open = catalog().outgoing("t:t/store", None, "open").expect("a function");
            let answer = client.expect("a client").call(&outgoing(SOON), &open, vec!["b".into()]).await;
            assert!(matches!(answer, Ok(Some(Value::Result(Ok(_))))), "{answer:?}");
            // Nothing of the attack stays: its calls have a deadline too.
            while server.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    #[test]
    fn a_client_outlives_whatever_it_is_answered(messages in payloads(TO_CLIENT.len())) {
        run(async {
            let bed = Bed::new();
            let mut calls = bed.lattice.subscribe("default.kv.wrpc.0.0.1.>").await.expect("subscribe");
            let client = Client::new(bed.lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await;
            let client = client.expect("a client");
            let answering = async {
                let call = calls.next().await.expect("a call");
                let inbox = call.reply.expect("where to answer");
                for (place, payload, is_ours) in messages {
                    let mut message = Message::new(format!("{inbox}{}", TO_CLIENT[place]), payload).with_reply("nowhere");
                    if is_ours {
                        message = message.with_header("umbel-wrpc", "x");
                    }
                    bed.lattice.publish(message).await.expect("publish");
                }
            };
            let open = catalog().outgoing("t:t/store", None, "open").expect("a function");
            let short = outgoing(Duration::from_millis(20));
            let (answer, ()) = futures::future::join(client.call(&short, &open, vec!["b".into()]), answering).await;
            if let Err(problem) = answer {
                assert!(!problem.message.is_empty());
            }
            assert_eq!(client.calls(), 0, "nothing is left of it");
        });
    }
}

/// The same over a server: what others say there is theirs to say.
#[tokio::test]
async fn strangers_of_the_same_server_harm_nobody() {
    let bed = Bed::over_nats().await;
    let stranger = bed.other().await;
    let server = serve(bed.other().await).await;
    let messages = (0..TO_SERVER.len()).flat_map(|place| {
        [vec![], vec![0xff; 20], b"\x01x".to_vec()].map(|payload| (place, payload, place % 2 == 0))
    });
    attack(&stranger, messages.collect()).await;
    let client = Client::new(bed.lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await;
    let open = catalog().outgoing("t:t/store", None, "open").expect("a function");
    let client = client.expect("a client");
    let answer = client.call(&outgoing(SOON), &open, vec!["b".into()]).await;
    assert!(matches!(answer, Ok(Some(Value::Result(Ok(_))))), "{answer:?}");
    umbel_testkit::wait_for("the end of the strange calls", || server.calls() == 0).await;
}
