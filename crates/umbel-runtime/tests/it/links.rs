//! Calls from component to component, and to servers of the host.

use crate::rig::{Rig, Subject};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::{guest, host};
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::{Stream, Target};
use umbel_wit::{Call, Serve, Value};

/// A core module with memory and an allocator that only grows.
pub(crate) const ALLOCATOR: &str = r#"
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func $realloc (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $at) (local.get $new)))
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
            (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $new) (i32.const 65536)))))))
        (local.get $at))
"#;

/// Exports `test:links/ops@1.2.0`.
pub(crate) fn server() -> String {
    format!(
        r#"(component
            (core module $m {ALLOCATOR}
                (func (export "echo") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16))
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
                (global $count (mut i32) (i32.const 0))
                (func (export "count") (result i32)
                    (global.set $count (i32.add (global.get $count) (i32.const 1)))
                    (global.get $count))
                (func (export "same") (param i32) (result i32) (local.get 0))
                (func (export "fail") unreachable)
                (func (export "try") (result i32) unreachable)
                (func (export "spin") (loop $l (br $l))))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $mem))
            (alias core export $i "realloc" (core func $realloc))
            (func $echo (param "b" (list u8)) (result (list u8))
                (canon lift (core func $i "echo") (memory $mem) (realloc (core func $realloc))))
            (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
            (func $count (result u32) (canon lift (core func $i "count")))
            (func $same (param "all" {EVERYTHING}) (result {EVERYTHING})
                (canon lift (core func $i "same") (memory $mem) (realloc (core func $realloc))))
            (func $fail (canon lift (core func $i "fail")))
            (func $try (result (result (error string)))
                (canon lift (core func $i "try") (memory $mem) (realloc (core func $realloc))))
            (func $spin (canon lift (core func $i "spin")))
            (instance $ops
                (export "echo" (func $echo)) (export "add" (func $add)) (export "count" (func $count))
                (export "same" (func $same)) (export "fail" (func $fail)) (export "try" (func $try))
                (export "spin" (func $spin)))
            (export "test:links/ops@1.2.0" (instance $ops)))"#
    )
}

/// A parameter that takes more than 16 flat values and so lies in memory, where it can be given back as it is.
const EVERYTHING: &str = r#"(tuple
    bool s8 u8 s16 u16 s32 u32 s64 u64 float32 float64 char string
    (list u8) (list u16) (list (tuple u8 u64)) (option string) (option u8) (option u8)
    (result u64 (error string)) (result u64 (error string)) (result)
    (list (option (list string))))"#;

/// Imports `test:links/ops@1.0.0`, and exports the same functions, which call the imported ones.
pub(crate) fn importer() -> String {
    format!(
        r#"(component
            (import "test:links/ops@1.0.0" (instance $ops
                (export "echo" (func (param "b" (list u8)) (result (list u8))))
                (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
                (export "count" (func (result u32)))
                (export "same" (func (param "all" {EVERYTHING}) (result {EVERYTHING})))
                (export "fail" (func))
                (export "try" (func (result (result (error string)))))
                (export "spin" (func))))
            (core module $libc {ALLOCATOR})
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $mem))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $echo (canon lower (func $ops "echo") (memory $mem) (realloc (core func $realloc))))
            (core func $add (canon lower (func $ops "add")))
            (core func $count (canon lower (func $ops "count")))
            (core func $same (canon lower (func $ops "same") (memory $mem) (realloc (core func $realloc))))
            (core func $fail (canon lower (func $ops "fail")))
            (core func $try (canon lower (func $ops "try") (memory $mem) (realloc (core func $realloc))))
            (core func $spin (canon lower (func $ops "spin")))
            (core module $m
                (import "ops" "echo" (func $echo (param i32 i32 i32)))
                (import "ops" "add" (func $add (param i32 i32) (result i32)))
                (import "ops" "count" (func $count (result i32)))
                (import "ops" "same" (func $same (param i32 i32)))
                (import "ops" "fail" (func $fail))
                (import "ops" "try" (func $try (param i32)))
                (import "ops" "spin" (func $spin))
                (func (export "echo") (param i32 i32) (result i32)
                    (call $echo (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16))
                (func (export "add") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
                (func (export "count") (result i32) (drop (call $count)) (call $count))
                (func (export "same") (param i32) (result i32)
                    (call $same (local.get 0) (i32.const 2048)) (i32.const 2048))
                (func (export "fail") (call $fail))
                (func (export "try") (result i32) (call $try (i32.const 32)) (i32.const 32))
                (func (export "spin") (call $spin)))
            (core instance $i (instantiate $m (with "ops" (instance
                (export "echo" (func $echo)) (export "add" (func $add)) (export "count" (func $count))
                (export "same" (func $same)) (export "fail" (func $fail)) (export "try" (func $try))
                (export "spin" (func $spin))))))
            (func $echo2 (param "b" (list u8)) (result (list u8))
                (canon lift (core func $i "echo") (memory $mem) (realloc (core func $realloc))))
            (func $add2 (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
            (func $count2 (result u32) (canon lift (core func $i "count")))
            (func $same2 (param "all" {EVERYTHING}) (result {EVERYTHING})
                (canon lift (core func $i "same") (memory $mem) (realloc (core func $realloc))))
            (func $fail2 (canon lift (core func $i "fail")))
            (func $try2 (result (result (error string)))
                (canon lift (core func $i "try") (memory $mem) (realloc (core func $realloc))))
            (func $spin2 (canon lift (core func $i "spin")))
            (instance $out
                (export "echo" (func $echo2)) (export "add" (func $add2)) (export "count" (func $count2))
                (export "same" (func $same2)) (export "fail" (func $fail2)) (export "try" (func $try2))
                (export "spin" (func $spin2)))
            (export "test:links/ops@1.0.0" (instance $out)))"#
    )
}

struct Pair {
    importer: Subject,
    server: Subject,
    _rig: Arc<Rig>,
}

impl Pair {
    async fn new(mode: InstanceMode, limits: Limits) -> Pair {
        let rig = Rig::shared();
        let file = crate::rig::wat(&server());
        let server = rig.subject(file.path(), mode, limits).await;
        let importer = rig.wat(&importer(), Limits::default()).await;
        importer.outside.link("test:links/ops", "default", Target::Component(server.component.clone()));
        Pair { importer, server, _rig: rig }
    }

    async fn plain() -> Pair {
        Pair::new(InstanceMode::Fresh, Limits::default()).await
    }

    async fn call(&self, function: &str, args: Vec<Value>) -> Result<Option<Value>, Problem> {
        self.importer.component.call(call("test:links/ops", function, args)).await
    }
}

pub(crate) fn call(interface: &str, function: &str, args: Vec<Value>) -> Call {
    Call {
        link: Arc::default(),
        interface: interface.into(),
        version: None,
        function: function.into(),
        args,
        patience: None,
    }
}

fn everything() -> Value {
    let strings = |list: &[&str]| Value::List(list.iter().map(|s| Value::from(*s)).collect());
    Value::Tuple(vec![
        Value::Bool(true),
        Value::S8(-8),
        Value::U8(200),
        Value::S16(-30_000),
        Value::U16(60_000),
        Value::S32(-2_000_000_000),
        Value::U32(4_000_000_000),
        Value::S64(i64::MIN),
        Value::U64(u64::MAX),
        Value::F32(1.5),
        Value::F64(-0.1),
        Value::Char('🌾'),
        Value::from("Dolde"),
        Value::bytes(vec![0, 255, 7]),
        Value::List(vec![Value::U16(1), Value::U16(65_535)]),
        Value::List((1..4).map(|n| Value::Tuple(vec![Value::U8(n), Value::U64(2)])).collect()),
        Value::some(Value::from("")),
        Value::some(Value::U8(9)),
        Value::none(),
        Value::ok(Value::U64(1 << 40)),
        Value::err(Value::from("no")),
        Value::Result(Err(None)),
        Value::List(vec![Value::none(), Value::some(strings(&["a", "b"]))]),
    ])
}

#[tokio::test]
async fn values_of_every_kind_cross_a_link_and_come_back() {
    let pair = Pair::plain().await;
    let back = pair.call("same", vec![everything()]).await.expect("it answers").expect("a value");
    assert_eq!(format!("{back:?}"), format!("{:?}", everything()));
    let sum = pair.call("add", vec![Value::U32(40), Value::U32(2)]).await.expect("it answers");
    assert!(matches!(sum, Some(Value::U32(42))), "{sum:?}");
    let big: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let back = pair.call("echo", vec![Value::bytes(big.clone())]).await.expect("it answers");
    assert!(matches!(back, Some(Value::Bytes(bytes)) if bytes == big));
}

#[tokio::test]
async fn each_call_has_an_instance_of_its_own_unless_they_are_reused() {
    let fresh = Pair::plain().await;
    let count = fresh.call("count", vec![]).await.expect("it answers");
    assert!(matches!(count, Some(Value::U32(1))), "both calls of it found a fresh instance: {count:?}");
    let kept = Pair::new(InstanceMode::Reuse, Limits::default()).await;
    let count = kept.call("count", vec![]).await.expect("it answers");
    assert!(matches!(count, Some(Value::U32(2))), "the second call found the first one's: {count:?}");
    assert_eq!(kept.server.usage().calls, 2);
    fresh.server.at_rest().await;
}

#[tokio::test]
async fn a_trap_of_the_server_is_an_error_of_the_importer_and_poisons_neither() {
    let pair = Pair::plain().await;
    let problem = pair.call("fail", vec![]).await.expect_err("the server traps");
    assert_eq!(problem.code, guest::TRAPPED, "{problem}");
    assert!(problem.message.contains("subject"), "{problem}");
    // The contract has a place for the error: the importer gets it as a value and goes on.
    let value = pair.call("try", vec![]).await.expect("the importer answers").expect("a result");
    let text = format!("{value:?}");
    assert!(text.contains("unreachable"), "{text}");
    assert_eq!((pair.server.usage().traps, pair.importer.usage().traps), (2, 0));
    assert!(pair.importer.outside.said(Stream::Host).contains("UM0551"), "the importer's log says why");
    pair.call("add", vec![Value::U32(1), Value::U32(1)]).await.expect("both still serve");
}

#[tokio::test]
async fn the_servers_deadline_and_the_importers_both_hold() {
    let short = |ms| Limits { call_ms_max: ms, ..Limits::default() };
    let pair = Pair::new(InstanceMode::Fresh, short(50)).await;
    let problem = pair.call("spin", vec![]).await.expect_err("it never answers");
    assert_eq!(problem.code, guest::CALL_TIMEOUT, "{problem}");
    pair.server.at_rest().await;
    pair.importer.at_rest().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_servers_call() {
    let pair = Pair::plain().await;
    let gone = tokio::time::timeout(Duration::from_millis(50), pair.call("spin", vec![])).await;
    assert!(gone.is_err(), "it spins for ever");
    pair.server.at_rest().await;
    pair.importer.at_rest().await;
}

#[tokio::test]
async fn the_servers_time_is_booked_to_the_server() {
    let pair = Pair::new(InstanceMode::Fresh, Limits { call_ms_max: 200, ..Limits::default() }).await;
    pair.call("spin", vec![]).await.expect_err("it never answers");
    let (server, importer) = (pair.server.usage().cpu_us, pair.importer.usage().cpu_us);
    assert!(server > 50_000, "it spun: {server}");
    assert!(importer < server / 2, "the importer only waited: {importer} of {server}");
}

#[tokio::test]
async fn a_link_leads_elsewhere_from_the_next_call_on() {
    let pair = Pair::plain().await;
    pair.call("add", vec![Value::U32(1), Value::U32(1)]).await.expect("the first link");
    let other = Arc::new(Answering::default());
    pair.importer.outside.link("test:links/ops", "default", Target::Server(other.clone(), Arc::default()));
    let sum = pair.call("add", vec![Value::U32(1), Value::U32(1)]).await.expect("the second link");
    assert!(matches!(sum, Some(Value::U32(7))), "{sum:?}");
    assert_eq!(other.calls.load(SeqCst), 1);
    pair.importer.outside.links.lock().expect("no test panics with it").clear();
    let problem = pair.call("add", vec![Value::U32(1), Value::U32(1)]).await.expect_err("no link");
    assert_eq!(problem.code, guest::UNLINKED);
    assert_eq!(problem.help, "umbel link put subject TARGET test:links/ops");
}

#[tokio::test]
async fn a_ring_ends_at_the_limit_of_depth() {
    let rig = Rig::shared();
    let ring = rig.wat(&importer(), Limits { instances_max: 200, ..Limits::default() }).await;
    ring.outside.link("test:links/ops", "default", Target::Component(ring.component.clone()));
    let problem = ring
        .component
        .call(call("test:links/ops", "add", vec![Value::U32(1), Value::U32(1)]))
        .await
        .expect_err("it calls itself");
    assert_eq!(problem.code, guest::CALL_DEPTH, "{problem}");
    ring.outside.links.lock().expect("no test panics with it").clear();
    ring.at_rest().await;
}

#[tokio::test]
async fn a_server_that_breaks_its_contract_is_found_out() {
    let pair = Pair::plain().await;
    let wrong = Arc::new(Answering { wrong: true, ..Answering::default() });
    pair.importer.outside.link("test:links/ops", "default", Target::Server(wrong, Arc::default()));
    let problem = pair.call("add", vec![Value::U32(1), Value::U32(1)]).await.expect_err("a string is no u32");
    assert_eq!(problem.code, guest::CONTRACT_MISMATCH, "{problem}");
    assert!(
        problem.message.contains("with a string where"),
        "what it is, and nothing of what is in it: {problem}"
    );
    let problem = pair.call("missing", vec![]).await.expect_err("there is no such function");
    assert_eq!(problem.code, guest::UNSUPPORTED_CALL);
}

/// A server that somebody has stopped.
struct Stopped;

impl Serve for Stopped {
    fn call(&self, _: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let problem = Problem::new(host::PROVIDER_STOPPED, "somebody stopped it").with_help("start it again");
        futures::future::ready(Err(problem)).boxed()
    }
}

#[tokio::test]
async fn what_was_stopped_by_hand_is_not_the_importers_to_handle() {
    let pair = Pair::plain().await;
    pair.importer.outside.link(
        "test:links/ops",
        "default",
        Target::Server(Arc::new(Stopped), Arc::default()),
    );
    // Its contract has a place for errors.
    let problem = pair.call("try", vec![]).await.expect_err("the call ends");
    assert_eq!((problem.code, problem.kind.http_status()), (host::PROVIDER_STOPPED, 503));
    assert_eq!(problem.help, "start it again");
}

/// A server of the host.
#[derive(Default)]
struct Answering {
    calls: AtomicUsize,
    wrong: bool,
}

impl Serve for Answering {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        self.calls.fetch_add(1, SeqCst);
        let wrong = self.wrong;
        async move {
            Ok(match &*call.function {
                _ if wrong => Some(Value::from("wrong")),
                "add" => Some(Value::U32(7)),
                _ => None,
            })
        }
        .boxed()
    }
}
