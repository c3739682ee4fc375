//! Calls that come back to where they began.

use crate::links::call;
use crate::rig::{Rig, Subject, subject};
use umbel_core::code::guest;
use umbel_core::limits::Limits;
use umbel_core::{Coded, Problem};
use umbel_runtime::calls::{Stream, Target};
use umbel_wit::{Serve, Value};

/// Imports and exports `test:ring/hop`: computes for some ms and hops on, until no hop is left.
const HOP: &str = r#"(component
    (import "test:ring/hop" (instance $next (export "hop" (func (param "n" u32) (result u32)))))
    (core func $hop (canon lower (func $next "hop")))
    (core module $m
        (import "next" "hop" (func $next (param i32) (result i32)))
        (func (export "hop") (param i32) (result i32)
            (local $left i32)
            (local.set $left (i32.const 10000000))
            (loop $l
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $l (local.get $left)))
            (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
            (i32.add (i32.const 1) (call $next (i32.sub (local.get 0) (i32.const 1))))))
    (core instance $i (instantiate $m (with "next" (instance (export "hop" (func $hop))))))
    (func $out (param "n" u32) (result u32) (canon lift (core func $i "hop")))
    (instance $out (export "hop" (func $out)))
    (export "test:ring/hop" (instance $out)))"#;

/// A ring of two.
async fn ring(rig: &Rig, limits: Limits) -> (Subject, Subject) {
    let (one, two) = (rig.wat(HOP, limits).await, rig.wat(HOP, Limits::default()).await);
    one.outside.link("test:ring/hop", "default", Target::Component(two.component.clone()));
    two.outside.link("test:ring/hop", "default", Target::Component(one.component.clone()));
    (one, two)
}

async fn hop(subject: &Subject, hops: u32) -> Result<u32, Problem> {
    match subject.component.call(call("test:ring/hop", "hop", vec![hops.into()])).await? {
        Some(Value::U32(made)) => Ok(made),
        other => panic!("a number was to come: {other:?}"),
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_an_instance_that_waits_for_it() {
    let rig = Rig::shared();
    let (one, two) = ring(&rig, Limits { instances_max: 1, ..Limits::default() }).await;
    assert_eq!(hop(&one, 1).await.expect("it comes back to none"), 1);
    let problem = hop(&one, 2).await.expect_err("the only instance waits");
    assert_eq!(problem.code, guest::INSTANCES_RING, "{problem}");
    assert!(problem.help.contains("instances"), "it says what to do: {}", problem.help);
    assert_eq!((one.usage().refused, one.usage().traps, two.usage().traps), (1, 0, 0));
    one.at_rest().await;
    two.at_rest().await;
}

#[tokio::test]
async fn many_calls_that_come_back_end_and_none_waits_for_its_deadline() {
    let rig = Rig::new(|config| config.instances_max = 1_000);
    let (one, two) = ring(&rig, Limits::default()).await;
    let all = futures::future::join_all((0..150).map(|_| hop(&one, 2))).await;
    let refused = all.iter().filter(|result| match result {
        Ok(hops) => *hops != 2,
        Err(problem) => {
            assert_eq!(problem.code, guest::INSTANCES_RING, "{problem}");
            true
        }
    });
    assert!(refused.count() > 0, "they were not at once, and so show nothing");
    one.at_rest().await;
    two.at_rest().await;
    assert_eq!(hop(&one, 2).await.expect("there is room again"), 2);
}

/// Sends what it is asked on to `http://next`.
async fn sender(rig: &Rig) -> Subject {
    let limits = Limits { outbound_hosts: vec!["next".into()], ..Limits::default() };
    subject(rig, "outgoing-p3", limits).await
}

#[tokio::test]
async fn a_component_of_wasi_0_3_calls_the_http_of_another() {
    let rig = Rig::shared();
    let sender = sender(&rig).await;
    for name in ["hello-p3", "hello", "slow-p3", "slow"] {
        let server = subject(&rig, name, Limits::default()).await;
        *sender.outside.http.lock().expect("no test panics with it") = Some(server.component.clone());
        let said = sender.get("/?ms=20").await.expect("it answers");
        assert_eq!(said, "status 200\n", "{name}");
        server.at_rest().await;
    }
    let server = subject(&rig, "trap-p3", Limits::default()).await;
    *sender.outside.http.lock().expect("no test panics with it") = Some(server.component.clone());
    let said = sender.get("/").await.expect("the trap is the other one's");
    assert!(said.starts_with("error ") && said.contains("UM0551"), "{said}");
    sender.at_rest().await;
}

#[tokio::test]
async fn a_request_within_a_call_ends_no_later_than_the_call() {
    let rig = Rig::shared();
    let limits = Limits { outbound_hosts: vec!["next".into()], call_ms_max: 100, ..Limits::default() };
    let sender = subject(&rig, "outgoing-p3", limits).await;
    let server = subject(&rig, "slow-p3", Limits::default()).await;
    *sender.outside.http.lock().expect("no test panics with it") = Some(server.component.clone());
    // Whichever of the two notices first says so.
    let ended = match sender.get("/?ms=20000").await {
        Ok(said) => said,
        Err(error) => error.code().to_string(),
    };
    assert!(ended.contains("UM0552") || ended.contains("Timeout"), "{ended}");
    server.at_rest().await;
}

#[tokio::test]
async fn a_ring_of_http_ends_at_the_limit_of_depth() {
    let rig = Rig::shared();
    let ring = sender(&rig).await;
    *ring.outside.http.lock().expect("no test panics with it") = Some(ring.component.clone());
    assert_eq!(ring.get("/").await.expect("it answers"), "status 200\n");
    let said = ring.outside.said(Stream::Host);
    assert!(said.contains("UM0572"), "the innermost is told why: {said}");
    assert_eq!((ring.usage().calls, ring.usage().traps), (33, 0));
    ring.at_rest().await;
    *ring.outside.http.lock().expect("no test panics with it") = None;
}
