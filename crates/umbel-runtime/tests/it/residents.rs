//! Residents: one instance for all calls, what it survives, and what it does not.

use crate::links::{call, importer, server};
use crate::rig::{Outside, Rig, Subject, wat};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::Target;
use umbel_runtime::{Budget, Component, Granted, Resident};
use umbel_wit::{Call, Serve, Value};

const OPS: &str = "test:links/ops";

async fn resident(rig: &Rig, text: &str, id: &str, limits: Limits) -> (Resident, Arc<Outside>) {
    let (file, outside) = (wat(text), Arc::<Outside>::default());
    let image = rig.image(file.path()).await;
    let budget = Budget::new(id, limits);
    let (engine, calls) = (rig.images.engine(), outside.clone());
    let component = Component::new(engine, id, image, InstanceMode::Fresh, budget, calls, Granted::default());
    (Resident::start(component).await.expect("an instance"), outside)
}

fn limits(call_ms_max: u64) -> Limits {
    Limits { instances_max: 1, call_ms_max, ..Limits::default() }
}

async fn importer_of(rig: &Rig, resident: &Resident, limits: Limits) -> Subject {
    let importer = rig.wat(&importer(), limits).await;
    importer.outside.link(OPS, "default", Target::Component(resident.component().clone()));
    importer
}

async fn count(server: &Component) -> Result<u32, Problem> {
    match server.call(call(OPS, "count", vec![])).await? {
        Some(Value::U32(count)) => Ok(count),
        other => panic!("`count` returned {other:?}"),
    }
}

/// Serves `count`, when it is let.
struct Waits {
    inside: AtomicUsize,
    let_go: Semaphore,
}

impl Waits {
    fn new() -> Arc<Waits> {
        Arc::new(Waits { inside: AtomicUsize::new(0), let_go: Semaphore::new(0) })
    }
}

struct Waiting(Arc<Waits>);

impl Serve for Waiting {
    fn call(&self, _: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let waits = self.0.clone();
        async move {
            waits.inside.fetch_add(1, SeqCst);
            waits.let_go.acquire().await.expect("it is never closed").forget();
            Ok(Some(Value::U32(1)))
        }
        .boxed()
    }
}

/// A resident that counts how often it was called, by asking a server that waits.
async fn waiting(rig: &Rig, id: &str) -> (Resident, Arc<Waits>) {
    let (resident, outside) = resident(rig, &importer(), id, limits(60_000)).await;
    let waits = Waits::new();
    outside.link(OPS, "default", Target::Server(Arc::new(Waiting(waits.clone())), Arc::default()));
    (resident, waits)
}

async fn is_inside(waits: &Waits, calls: usize) {
    umbel_testkit::wait_for("the call waits", || waits.inside.load(SeqCst) == calls).await;
}

#[tokio::test]
async fn all_importers_find_what_the_others_left() {
    let rig = Rig::shared();
    let (resident, _) = resident(&rig, &server(), "counts", limits(5_000)).await;
    let (one, two) = (
        importer_of(&rig, &resident, Limits::default()).await,
        importer_of(&rig, &resident, Limits::default()).await,
    );
    // Each call of an importer makes two.
    assert_eq!(count(&one.component).await, Ok(2));
    assert_eq!(count(&two.component).await, Ok(4));
    assert_eq!(count(resident.component()).await, Ok(5));
    let all = (0..50).map(|_| count(&one.component));
    let mut seen: Vec<u32> =
        futures::future::join_all(all).await.into_iter().map(|count| count.expect("it counts")).collect();
    seen.dedup();
    assert_eq!(seen.len(), 50, "no two see the same: {seen:?}");
    assert_eq!(count(resident.component()).await, Ok(106));
    assert_eq!(resident.component().usage().calls, 107, "one for the instance");
}

#[tokio::test]
async fn a_trap_fails_the_resident_and_whoever_comes_later_is_told() {
    let rig = Rig::shared();
    let (resident, _) = resident(&rig, &server(), "traps", limits(5_000)).await;
    let importer = importer_of(&rig, &resident, Limits::default()).await;
    assert!(resident.failed().now_or_never().is_none());
    let error = importer.component.call(call(OPS, "fail", vec![])).await.expect_err("it traps");
    assert_eq!(error.code, guest::TRAPPED, "{error}");
    let failed = resident.failed().await;
    assert_eq!(failed.code, guest::TRAPPED, "{failed}");
    let error = count(&importer.component).await.expect_err("there is no instance");
    assert_eq!(error.code, guest::NOT_RUNNING, "{error}");
    // What the contract can say is said by the contract.
    let told = importer.component.call(call(OPS, "try", vec![])).await;
    assert!(matches!(told, Ok(Some(Value::Result(Err(Some(_)))))), "{told:?}");
}

#[tokio::test]
async fn a_call_that_takes_too_long_fails_the_resident_by_its_own_limit() {
    let rig = Rig::shared();
    let (resident, _) = resident(&rig, &server(), "spins", limits(300)).await;
    let error = resident.component().call(call(OPS, "spin", vec![])).await.expect_err("it never ends");
    assert_eq!(error.code, guest::CALL_TIMEOUT, "{error}");
    assert_eq!(resident.failed().await.code, guest::CALL_TIMEOUT);
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_take_the_instance_along() {
    let rig = Rig::shared();
    let (resident, waits) = waiting(&rig, "patient").await;
    let hasty = importer_of(&rig, &resident, limits(100)).await;
    let error = count(&hasty.component).await.expect_err("it has no time");
    assert_eq!(error.code, guest::CALL_TIMEOUT, "{error}");
    // One that goes away.
    waits.let_go.add_permits(2);
    is_inside(&waits, 2).await;
    let gone = begun(&resident, &waits, 3).await;
    drop(gone);
    waits.let_go.add_permits(4);
    assert_eq!(count(resident.component()).await, Ok(1));
    assert!(resident.failed().now_or_never().is_none(), "it serves on");
}

/// Begins a call, and drives it until that many have got to the server.
async fn begun(resident: &Resident, waits: &Waits, calls: usize) -> Calling {
    let mut calling = resident.component().call(call(OPS, "count", vec![]));
    while waits.inside.load(SeqCst) < calls {
        assert!(futures::poll!(&mut calling).is_pending(), "it waits for its turn, and then for the server");
        tokio::task::yield_now().await;
    }
    calling
}

type Calling = BoxFuture<'static, Result<Option<Value>, Problem>>;

#[tokio::test]
async fn it_is_idle_when_no_call_is_left() {
    let rig = Rig::shared();
    let (resident, waits) = waiting(&rig, "idles").await;
    assert!(resident.uses().idle(Duration::ZERO, Duration::ZERO).await);
    let calling = begun(&resident, &waits, 1).await;
    assert!(!resident.uses().idle(Duration::from_millis(20), Duration::ZERO).await, "a call is under way");
    let idle = resident.uses().idle(Duration::from_secs(30), Duration::ZERO);
    waits.let_go.add_permits(2);
    let (answer, is_idle) = tokio::join!(calling, idle);
    assert!(answer.is_ok() && is_idle, "{answer:?}");
}

#[tokio::test]
async fn one_that_stops_finishes_what_is_there_and_takes_nothing_new() {
    let rig = Rig::shared();
    let (resident, waits) = waiting(&rig, "stops").await;
    let calling = begun(&resident, &waits, 1).await;
    let mut stop = Box::pin(resident.stop(Duration::from_secs(30)));
    assert!(futures::poll!(&mut stop).is_pending());
    waits.let_go.add_permits(2);
    let (answer, ()) = tokio::join!(calling, stop);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(count(resident.component()).await.expect_err("it is gone").code, guest::STOPPING);
    assert_eq!(resident.component().usage().memory_bytes, 0);
    assert!(resident.failed().now_or_never().is_none());
}

#[tokio::test]
async fn one_that_does_not_stop_is_ended() {
    let rig = Rig::shared();
    let (resident, waits) = waiting(&rig, "stays").await;
    let calling = begun(&resident, &waits, 1).await;
    let (answer, ()) = tokio::join!(calling, resident.stop(Duration::from_millis(10)));
    let error = answer.expect_err("it was ended");
    assert_eq!(error.code, guest::STOPPING, "{error}");
}

#[tokio::test]
async fn what_does_not_fit_the_contract_does_not_reach_the_instance() {
    let rig = Rig::shared();
    let (resident, _) = resident(&rig, &server(), "strict", limits(5_000)).await;
    for (function, args) in
        [("add", vec![]), ("add", vec![Value::U32(1), Value::from("2")]), ("echo", vec![Value::U8(1)])]
    {
        let error = resident.component().call(call(OPS, function, args)).await.expect_err(function);
        assert_eq!(error.code, guest::CONTRACT_MISMATCH, "{error}");
    }
    let error = resident.component().call(call(OPS, "close", vec![])).await.expect_err("no function");
    assert_eq!(error.code, guest::UNSUPPORTED_CALL, "{error}");
    assert_eq!(count(resident.component()).await, Ok(1));
}

#[tokio::test]
async fn one_that_calls_itself_is_told_so_at_once() {
    let rig = Rig::shared();
    let (resident, outside) = resident(&rig, &importer(), "ring", limits(30_000)).await;
    outside.link(OPS, "default", Target::Component(resident.component().clone()));
    let error = count(resident.component()).await.expect_err("it is its own server");
    assert_eq!(error.code, guest::INSTANCES_RING, "{error}");
    outside.links.lock().expect("no test panics with it").clear();
}

#[tokio::test]
async fn one_that_is_held_is_not_idle_before_the_call_that_found_it_has_ended() {
    let rig = Rig::shared();
    let (resident, _) = resident(&rig, &server(), "held", limits(5_000)).await;
    let importer = importer_of(&rig, &resident, Limits::default()).await;
    // Found, and then long on its way: it has not come to wait for its turn.
    let (on_its_way, arrives) = tokio::sync::oneshot::channel();
    let held = Target::Held(resident.component().clone(), resident.uses().call());
    let later = async move { Ok(arrives.await.map_or(held, |()| panic!("it is only dropped"))) };
    importer.outside.link(OPS, "default", Target::Later(later.boxed()));
    let mut calling = importer.component.call(call(OPS, "add", vec![Value::U32(1), Value::U32(2)]));
    assert!(futures::poll!(&mut calling).is_pending());
    assert!(!resident.uses().idle(Duration::from_millis(20), Duration::ZERO).await);
    drop::<tokio::sync::oneshot::Sender<()>>(on_its_way);
    let idle = resident.uses().idle(Duration::from_secs(30), Duration::ZERO);
    let (answer, is_idle) = tokio::join!(calling, idle);
    assert!(answer.is_ok() && is_idle, "{answer:?}");
}

#[tokio::test]
async fn two_that_call_one_another_are_told_so_at_once_also_when_one_was_waited_for() {
    let rig = Rig::shared();
    let (one, to_two) = resident(&rig, &importer(), "one", limits(60_000)).await;
    let (two, to_one) = resident(&rig, &importer(), "two", limits(60_000)).await;
    for is_waited_for in [false, true] {
        to_two.link(OPS, "default", Target::Component(two.component().clone()));
        let back = Target::Component(one.component().clone());
        let later = async move {
            tokio::task::yield_now().await;
            Ok(back)
        };
        let back = Target::Component(one.component().clone());
        to_one.link(OPS, "default", if is_waited_for { Target::Later(later.boxed()) } else { back });
        let begun = std::time::Instant::now();
        let told = one.component().call(call(OPS, "try", vec![])).await;
        let Ok(Some(Value::Result(Err(Some(told))))) = told else { panic!("it leads back: {told:?}") };
        assert!(format!("{told:?}").contains(&guest::INSTANCES_RING.to_string()), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not wait for its deadline");
        assert!(one.failed().now_or_never().is_none() && two.failed().now_or_never().is_none());
    }
    to_two.links.lock().expect("no test panics with it").clear();
    to_one.links.lock().expect("no test panics with it").clear();
}
