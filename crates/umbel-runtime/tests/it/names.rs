//! Several links to one contract: by which of them a call goes.

use crate::links::call;
use crate::rig::{Rig, Subject};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::Target;
use umbel_wit::{Call, Serve, Value};

/// Answers every call with its number.
struct Saying(u32);

impl Serve for Saying {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        assert_eq!(&*call.interface, "test:links/ops");
        let said = Value::U32(self.0);
        async move { Ok(Some(said)) }.boxed()
    }
}

/// Links to 1 by the default name, and to 2 by the name `second`.
fn link(subject: &Subject) {
    for (name, number) in [("default", 1), ("second", 2)] {
        let target = Target::Server(Arc::new(Saying(number)), Arc::default());
        subject.outside.link("test:links/ops", name, target);
    }
}

async fn ask(subject: &Subject, function: &str) -> Result<u32, Problem> {
    match subject.component.call(call("test:names/ask", function, vec![])).await? {
        Some(Value::U32(number)) => Ok(number),
        other => panic!("a number was to come: {other:?}"),
    }
}

/// Chooses the link `second` and calls, or calls as it is.
const CHOOSING: &str = r#"(component
    (import "wasmcloud:bus/lattice@1.0.0" (instance $bus
        (export "call-target-interface" (type $target (sub resource)))
        (export "[constructor]call-target-interface"
            (func (param "namespace" string) (param "package" string) (param "interface" string)
                (result (own $target))))
        (export "set-link-name" (func (param "name" string) (param "interfaces" (list (own $target)))))))
    (import "test:links/ops" (instance $ops (export "count" (func (result u32)))))
    (core module $libc (memory (export "memory") 1)
        (data (i32.const 0) "testlinksopssecond"))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $mem))
    (core func $of (canon lower (func $bus "[constructor]call-target-interface") (memory $mem)))
    (core func $choose (canon lower (func $bus "set-link-name") (memory $mem)))
    (core func $count (canon lower (func $ops "count")))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "host" "of" (func $of (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "host" "choose" (func $choose (param i32 i32 i32 i32)))
        (import "host" "count" (func $count (result i32)))
        (func (export "plain") (result i32) (call $count))
        (func (export "second") (result i32)
            (i32.store (i32.const 32) (call $of
                (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 5) (i32.const 9) (i32.const 3)))
            (call $choose (i32.const 12) (i32.const 6) (i32.const 32) (i32.const 1))
            (call $count)))
    (core instance $i (instantiate $m
        (with "libc" (instance $libc))
        (with "host" (instance
            (export "of" (func $of)) (export "choose" (func $choose)) (export "count" (func $count))))))
    (func $plain (result u32) (canon lift (core func $i "plain")))
    (func $second (result u32) (canon lift (core func $i "second")))
    (instance $ask (export "plain" (func $plain)) (export "second" (func $second)))
    (export "test:names/ask" (instance $ask)))"#;

#[tokio::test]
async fn a_guest_chooses_a_link_by_its_name_for_the_time_of_its_call() {
    let rig = Rig::shared();
    let file = crate::rig::wat(CHOOSING);
    for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
        let subject = rig.subject(file.path(), mode, Limits::default()).await;
        link(&subject);
        for (function, number) in [("plain", 1), ("second", 2), ("plain", 1), ("second", 2)] {
            assert_eq!(ask(&subject, function).await.expect("it answers"), number, "{function}");
        }
        subject.outside.links.lock().expect("no test panics with it").remove("test:links/ops second");
        let problem = ask(&subject, "second").await.expect_err("there is no such link");
        assert_eq!(problem.code, guest::UNLINKED, "{problem}");
    }
}

/// Imports the contract twice, once under a name of its own.
const TWICE: &str = r#"(component
    (import "test:links/ops" (instance $ops (export "count" (func (result u32)))))
    (import "second" (implements "test:links/ops") (instance $other (export "count" (func (result u32)))))
    (core func $count (canon lower (func $ops "count")))
    (core func $second (canon lower (func $other "count")))
    (core module $m
        (import "host" "count" (func $count (result i32)))
        (import "host" "second" (func $second (result i32)))
        (func (export "plain") (result i32) (call $count))
        (func (export "second") (result i32) (call $second)))
    (core instance $i (instantiate $m
        (with "host" (instance (export "count" (func $count)) (export "second" (func $second))))))
    (func $plain (result u32) (canon lift (core func $i "plain")))
    (func $then (result u32) (canon lift (core func $i "second")))
    (instance $ask (export "plain" (func $plain)) (export "second" (func $then)))
    (export "test:names/ask" (instance $ask)))"#;

#[tokio::test]
async fn an_import_with_a_name_of_its_own_goes_by_the_link_of_that_name() {
    let rig = Rig::shared();
    let subject = rig.wat(TWICE, Limits::default()).await;
    link(&subject);
    for (function, number) in [("plain", 1), ("second", 2), ("plain", 1)] {
        assert_eq!(ask(&subject, function).await.expect("it answers"), number, "{function}");
    }
}
