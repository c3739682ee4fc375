//! Answers that are longer than a message of the server: our own clients read them whole, others are told.

use crate::bed::nats;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;
use umbel_core::code::lattice as code;
use umbel_core::link::{Contract, Distance, Link};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{Client, CtlResponse, Pages, links_body};
use umbel_lattice::subjects::ctl;
use umbel_lattice::{Lattice, LatticeError, Message};
use umbel_testkit::{NatsServer, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// Of the server of these tests: small, so that few links are more than fits.
const PAYLOAD_BYTES: usize = 16 << 10;

fn links(count: usize) -> Vec<Link> {
    let link = |number: usize| Link {
        source_id: format!("app-{number}"),
        target: "app-store".into(),
        name: "default".into(),
        contract: Contract {
            namespace: "wasi".into(),
            package: "keyvalue".into(),
            interfaces: vec!["store".into()],
        },
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    };
    (0..count).map(link).collect()
}

/// Somebody who answers with so many links, and how often it handed out pages to the end.
struct Answerer {
    _server: NatsServer,
    asker: Arc<dyn Lattice>,
    /// Answers whose pages are kept.
    kept: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

async fn answerer(count: usize) -> Answerer {
    let server = NatsServer::start(&format!("max_payload: {PAYLOAD_BYTES}")).expect("a nats-server");
    let lattice: Arc<dyn Lattice> = Arc::new(nats(&server.url()).await);
    let asker: Arc<dyn Lattice> = Arc::new(nats(&server.url()).await);
    let mut requests = lattice.subscribe(&ctl::link_any(lattice.name())).await.expect("subscribe");
    let (kept, pages, mut tasks) = (Arc::new(AtomicUsize::new(0)), Pages::default(), JoinSet::new());
    let counted = kept.clone();
    tasks.spawn(async move {
        let mut handing = JoinSet::new();
        while let Some(request) = requests.next().await {
            let body = CtlResponse::with(links_body(&links(count))).to_bytes();
            match pages.respond(&lattice, &request, body).await {
                Ok(Some(rest)) => {
                    let kept = counted.clone();
                    kept.fetch_add(1, SeqCst);
                    handing.spawn(async move {
                        rest.hand_out().await;
                        kept.fetch_sub(1, SeqCst);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    let problem = Problem::from(&error as &dyn Coded);
                    let refused = CtlResponse::<()>::refused(problem).to_bytes();
                    lattice.respond(&request, refused).await.expect("it fits");
                }
            }
        }
    });
    Answerer { _server: server, asker, kept, _tasks: tasks }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_links_come_whole() {
    let answerer = answerer(20_000).await;
    let client = Client::new(answerer.asker.clone(), SOON);
    // Several at once, each of its own answer.
    let (first, second) = tokio::join!(client.links(), client.links());
    assert_eq!(first.expect("links"), links(20_000));
    assert_eq!(second.expect("links"), links(20_000));
    wait_for("nothing to be kept any more", || answerer.kept.load(SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fits_is_one_message() {
    let answerer = answerer(3).await;
    let client = Client::new(answerer.asker.clone(), SOON);
    assert_eq!(client.links().await.expect("links"), links(3));
    assert_eq!(answerer.kept.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_pages_is_told_at_once_that_it_does_not_fit() {
    let answerer = answerer(1_000).await;
    let subject = ctl::link_get(answerer.asker.name());
    let answer = answerer.asker.request(&subject, Bytes::new(), SOON).await.expect("an answer");
    let answer: CtlResponse<()> = serde_json::from_slice(&answer.payload).expect("JSON");
    let problem = answer.problem.expect("why not");
    assert!(!answer.success && problem.code == code::MESSAGE_TOO_LARGE, "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_the_first_page_only_holds_nothing_for_long() {
    let answerer = answerer(1_000).await;
    let subject = ctl::link_get(answerer.asker.name());
    let asks = || Message::new(subject.clone(), Bytes::new()).with_header("Umbel-Pages", "1");
    let mut busy = None;
    for _ in 0..100 {
        let answer = answerer.asker.request_message(asks(), SOON).await.expect("an answer");
        if answer.headers.get("Umbel-More").is_none() {
            busy = Some(serde_json::from_slice::<CtlResponse<()>>(&answer.payload).expect("JSON"));
            break;
        }
        // Pages that do not exist are not answered, and harm nobody.
        let more = answer.headers.get("Umbel-More").expect("where").to_owned();
        for odd in ["0", "-1", "99999999999999999999999", "x", ""] {
            answerer.asker.publish(Message::new(more.clone(), odd)).await.expect("publish");
        }
    }
    let problem = busy.expect("there is a limit").problem.expect("why not");
    assert_eq!(problem.code, code::RESPONDER_BUSY);
    wait_for("all to be let go", || answerer.kept.load(SeqCst) == 0).await;
    let client = Client::new(answerer.asker.clone(), SOON);
    assert_eq!(client.links().await.expect("links").len(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_pages_and_goes_costs_the_deadline_and_no_more() {
    let mut answerer = answerer(1_000).await;
    let subject = ctl::link_get(answerer.asker.name());
    let mut liars = answerer.asker.subscribe(&subject).await.expect("subscribe");
    answerer._tasks.abort_all();
    wait_for("it to be gone", || answerer._tasks.try_join_next().is_some()).await;
    let client = Client::new(answerer.asker.clone(), Duration::from_millis(500));
    let lying = async {
        let request = liars.next().await.expect("a request");
        let reply = request.reply.expect("where to");
        let lie = Message::new(reply, "{")
            .with_header("Umbel-Page", "1/3")
            .with_header("Umbel-More", "_INBOX.nobody");
        answerer.asker.publish(lie).await.expect("publish");
    };
    let (asked, ()) = tokio::join!(client.links(), lying);
    let error = asked.expect_err("there is no more of it");
    let umbel_lattice::control::ControlError::Lattice(LatticeError::Timeout { .. }) = error else {
        panic!("{error:?}");
    };
}
