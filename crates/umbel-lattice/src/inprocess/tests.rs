use super::*;
use crate::contract::{Factory, keyvalue, messages};
use futures::FutureExt;
use std::time::Instant;

const LONG: Duration = Duration::from_secs(20);

fn ephemeral() -> InProcess {
    InProcess::ephemeral(LatticeName::new("default").expect("a name"))
}

struct Ephemeral;

#[async_trait]
impl Factory for Ephemeral {
    async fn fresh(&self) -> Arc<dyn Lattice> {
        Arc::new(ephemeral())
    }

    async fn reopen(&self, _: Arc<dyn Lattice>) -> Arc<dyn Lattice> {
        panic!("what is ephemeral cannot be opened again")
    }
}

#[tokio::test]
async fn the_ephemeral_lattice_behaves_as_the_durable_one() {
    messages::closing_ends_everything(&Ephemeral).await;
    keyvalue::what_is_put_is_there(&Ephemeral).await;
    keyvalue::create_needs_absence(&Ephemeral).await;
    keyvalue::update_needs_the_revision(&Ephemeral).await;
    keyvalue::delete_can_need_the_revision(&Ephemeral).await;
    keyvalue::racing_increments_lose_nothing(&Ephemeral).await;
    keyvalue::a_watch_is_in_order_and_complete(&Ephemeral).await;
    keyvalue::a_watch_resumes(&Ephemeral).await;
}

// The contract allows a timeout here, because not every engine can tell observers from others. This one can.
#[tokio::test]
async fn observers_do_not_hide_that_nobody_answers() {
    let lattice = ephemeral();
    let _spies =
        (lattice.observe(">").await.expect("observe"), lattice.observe("a.*").await.expect("observe"));
    let asked = Instant::now();
    let error = lattice.request("a.b", Bytes::new(), LONG).await.expect_err("nobody answers");
    assert!(matches!(error, LatticeError::NoResponders { .. }), "{error}");
    assert!(asked.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_responder_with_a_full_queue_is_said_at_once() {
    let lattice = ephemeral();
    let options = SubscribeOptions { queue_len_max: 1, ..SubscribeOptions::default() };
    let mut busy = lattice.subscribe_with("a", options).await.expect("subscribe");
    lattice.publish(Message::new("a", "fills it")).await.expect("publish");
    let error = lattice.request("a", Bytes::new(), LONG).await.expect_err("it is full");
    assert!(matches!(error, LatticeError::Busy { .. }), "{error}");
    assert_eq!(busy.lost(), 1);
    assert!(busy.try_next().is_some());
}

#[tokio::test]
async fn request_all_ends_when_all_have_answered() {
    let lattice = ephemeral();
    let mut host = lattice.subscribe("ping").await.expect("subscribe");
    let _spy = lattice.observe(">").await.expect("observe");
    let asked = Instant::now();
    let serve = async {
        let request = host.next().await.expect("a request");
        lattice.respond(&request, "pong".into()).await.expect("respond");
    };
    let (answers, ()) = futures::join!(lattice.request_all("ping", Bytes::new(), LONG), serve);
    assert_eq!(answers.expect("answers").len(), 1);
    assert!(asked.elapsed() < LONG / 2);
}

#[tokio::test]
async fn nothing_is_left_of_those_who_left() {
    let lattice = ephemeral();
    let empty = || lattice.inner.table.read().unwrap_or_else(PoisonError::into_inner).is_empty();
    let subscription = lattice.subscribe("a.*.>").await.expect("subscribe");
    assert!(!empty());
    drop(subscription);
    assert!(empty());
    // A request leaves no inbox behind, answered, refused or abandoned.
    let mut host = lattice.subscribe("a").await.expect("subscribe");
    let abandoned = lattice.request("a", Bytes::new(), LONG).now_or_never();
    assert!(abandoned.is_none());
    let serve = async {
        for _ in 0..2 {
            let request = host.next().await.expect("a request");
            lattice.respond(&request, Bytes::new()).await.expect("respond");
        }
    };
    let (answer, ()) = futures::join!(lattice.request("a", Bytes::new(), LONG), serve);
    answer.expect("an answer");
    lattice.request("nobody", Bytes::new(), LONG).await.expect_err("nobody answers");
    drop(host);
    assert!(empty());
}

#[tokio::test]
async fn a_subscription_outlives_its_lattice_and_ends() {
    let lattice = ephemeral();
    let mut subscription = lattice.subscribe("a").await.expect("subscribe");
    lattice.publish(Message::new("a", "last words")).await.expect("publish");
    lattice.close().await;
    drop(lattice);
    assert_eq!(subscription.next().await.expect("what was queued is still there").payload, "last words");
    assert!(subscription.next().await.is_none());
}
