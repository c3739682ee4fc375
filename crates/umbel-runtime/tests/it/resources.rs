//! Resources over links: those that a component makes, and those that it is handed by others.

use crate::links::{ALLOCATOR, call};
use crate::rig::{Rig, Subject};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::Target;
use umbel_wit::{Call, Resource, Serve, Value};

/// Exports `test:kv/watcher`, and uses the bucket that it is handed.
fn watcher() -> String {
    format!(
        r#"(component
            (import "test:kv/store" (instance $store
                (export "bucket" (type $bucket (sub resource)))
                (export "[method]bucket.note"
                    (func (param "self" (borrow $bucket)) (param "key" string) (param "value" (list u8))))))
            (alias export $store "bucket" (type $bucket))
            (core module $libc {ALLOCATOR})
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $mem))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $note (canon lower (func $store "[method]bucket.note") (memory $mem)))
            (core func $drop (canon resource.drop $bucket))
            (core module $m
                (import "store" "note" (func $note (param i32 i32 i32 i32 i32)))
                (import "store" "drop" (func $drop (param i32)))
                (func $use (param i32 i32 i32 i32 i32)
                    (call $note (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))
                    (call $drop (local.get 0)))
                (export "on-set" (func $use))
                (export "look" (func $use)))
            (core instance $i (instantiate $m (with "store" (instance
                (export "note" (func $note)) (export "drop" (func $drop))))))
            (func $on-set (param "bucket" (own $bucket)) (param "key" string) (param "value" (list u8))
                (canon lift (core func $i "on-set") (memory $mem) (realloc (core func $realloc))))
            (func $look (param "bucket" (borrow $bucket)) (param "key" string) (param "value" (list u8))
                (canon lift (core func $i "look") (memory $mem) (realloc (core func $realloc))))
            (instance $watcher
                (export "bucket" (type $bucket)) (export "on-set" (func $on-set)) (export "look" (func $look)))
            (export "test:kv/watcher" (instance $watcher)))"#
    )
}

/// Exports `test:mq/incoming-handler`: fine with a message of five bytes.
fn handler() -> String {
    format!(
        r#"(component
            (import "test:mq/types" (instance $types
                (export "message" (type $message (sub resource)))
                (export "[method]message.data" (func (param "self" (borrow $message)) (result (list u8))))))
            (alias export $types "message" (type $message))
            (core module $libc {ALLOCATOR})
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $mem))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $data
                (canon lower (func $types "[method]message.data") (memory $mem) (realloc (core func $realloc))))
            (core func $drop (canon resource.drop $message))
            (core module $m
                (import "libc" "memory" (memory 1))
                (import "types" "data" (func $data (param i32 i32)))
                (import "types" "drop" (func $drop (param i32)))
                (func (export "handle") (param i32) (result i32)
                    (call $data (local.get 0) (i32.const 64))
                    (call $drop (local.get 0))
                    (i32.store (i32.const 32) (i32.ne (i32.load (i32.const 68)) (i32.const 5)))
                    (i32.store (i32.const 36) (i32.load (i32.const 64)))
                    (i32.store (i32.const 40) (i32.load (i32.const 68)))
                    (i32.const 32)))
            (core instance $i (instantiate $m
                (with "libc" (instance $libc))
                (with "types" (instance (export "data" (func $data)) (export "drop" (func $drop))))))
            (func $handle (param "message" (own $message)) (result (result (error string)))
                (canon lift (core func $i "handle") (memory $mem)))
            (instance $handler (export "message" (type $message)) (export "handle" (func $handle)))
            (export "test:mq/incoming-handler" (instance $handler)))"#
    )
}

/// What the host keeps for a resource of its own; counts when it is dropped.
struct Kept {
    name: &'static str,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

/// A server of the host with resources.
#[derive(Default)]
struct Keeper {
    dropped: Arc<AtomicUsize>,
    noted: Mutex<Vec<String>>,
}

impl Keeper {
    fn make(&self, name: &'static str) -> Resource {
        Resource::new(Kept { name, dropped: self.dropped.clone() })
    }

    fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }
}

impl Serve for Keeper {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let mut args = umbel_wit::serve::Args::new(&call.function, call.args);
        let answer = args.resource::<Kept>().map(|kept| match &*call.function {
            "[method]bucket.note" => {
                let key = args.string().expect("a key");
                let value = String::from_utf8(args.bytes().expect("a value").to_vec()).expect("text");
                let mut noted = self.noted.lock().expect("no test panics with it");
                noted.push(format!("{} {key}={value}", kept.name));
                None
            }
            _ => Some(Value::bytes(kept.name)),
        });
        async move { answer }.boxed()
    }
}

#[tokio::test]
async fn a_component_is_handed_a_resource_of_the_host_and_uses_it() {
    let rig = Rig::shared();
    let keeper = Arc::new(Keeper::default());
    let file = crate::rig::wat(&watcher());
    for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
        let subject = rig.subject(file.path(), mode, Limits::default()).await;
        subject.outside.link("test:kv/store", "default", Target::Server(keeper.clone(), Arc::default()));
        for (function, value) in [
            ("on-set", Value::Own(keeper.make("orders"))),
            ("look", Value::Borrow(keeper.make("orders"))),
            ("look", Value::Own(keeper.make("orders"))),
        ] {
            let args = vec![value, "order/1".into(), Value::bytes("new")];
            let answer = subject.component.call(call("test:kv/watcher", function, args)).await;
            assert!(answer.expect("it answers").is_none(), "it gives nothing");
        }
        assert_eq!(std::mem::take(&mut *keeper.noted.lock().expect("none")), ["orders order/1=new"; 3]);
        assert_eq!(keeper.dropped.swap(0, SeqCst), 3, "nothing is held after the calls");
        subject.component.trim();
    }
}

#[tokio::test]
async fn a_handler_of_messages_reads_the_one_that_it_is_given() {
    let rig = Rig::shared();
    let keeper = Arc::new(Keeper::default());
    let subject = rig.wat(&handler(), Limits::default()).await;
    subject.outside.link("test:mq/types", "default", Target::Server(keeper.clone(), Arc::default()));
    for (message, wanted) in [("hello", "Ok(None)"), ("bye", "bye")] {
        let args = vec![Value::Own(keeper.make(message))];
        let answer = subject.component.call(call("test:mq/incoming-handler", "handle", args)).await;
        let answer = format!("{:?}", answer.expect("it answers").expect("a result"));
        assert!(answer.contains(wanted), "{answer}");
    }
    assert_eq!(keeper.dropped(), 2);
    subject.at_rest().await;
}

/// Exports `test:kv/store`, whose buckets it makes itself; one is its number.
const STORE: &str = r#"(component
    (core module $m
        (import "bucket" "new" (func $new (param i32) (result i32)))
        (import "bucket" "rep" (func $rep (param i32) (result i32)))
        (import "bucket" "drop" (func $drop (param i32)))
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "open") (param i32) (result i32) (call $new (local.get 0)))
        (func (export "number") (param i32) (result i32)
            (i32.store (i32.const 0) (i32.const 0))
            (i32.store (i32.const 4) (local.get 0))
            (i32.const 0))
        (func (export "fail") (param i32) (result i32) unreachable)
        (func (export "spin") (param i32) (loop $l (br $l)))
        (func (export "merge") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "note") (param i32 i32 i32 i32 i32))
        (func (export "give") (param i32) (result i32)
            (local $n i32)
            (local.set $n (call $rep (local.get 0)))
            (call $drop (local.get 0))
            (local.get $n)))
    (core module $dropping
        (global $dropped (mut i32) (i32.const 0))
        (func (export "drop") (param i32)
            (global.set $dropped (i32.add (global.get $dropped) (local.get 0))))
        (func (export "dropped") (result i32) (global.get $dropped)))
    (core instance $d (instantiate $dropping))
    (type $b (resource (rep i32) (dtor (core func $d "drop"))))
    (core func $new (canon resource.new $b))
    (core func $rep (canon resource.rep $b))
    (core func $drop (canon resource.drop $b))
    (core instance $i (instantiate $m (with "bucket" (instance
        (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
    (alias core export $i "memory" (core memory $mem))
    (alias core export $i "realloc" (core func $realloc))
    (func $open (param "n" u32) (result (own $b)) (canon lift (core func $i "open")))
    (func $number (param "self" (borrow $b)) (result (result u32 (error string)))
        (canon lift (core func $i "number") (memory $mem)))
    (func $fail (param "self" (borrow $b)) (result (result u32 (error string)))
        (canon lift (core func $i "fail") (memory $mem)))
    (func $spin (param "self" (borrow $b)) (canon lift (core func $i "spin")))
    (func $note (param "self" (borrow $b)) (param "key" string) (param "value" (list u8))
        (canon lift (core func $i "note") (memory $mem) (realloc (core func $realloc))))
    (func $merge (param "a" (borrow $b)) (param "b" (borrow $b)) (result u32)
        (canon lift (core func $i "merge")))
    (func $give (param "b" (own $b)) (result u32) (canon lift (core func $i "give")))
    (func $dropped (result u32) (canon lift (core func $d "dropped")))
    (component $shim
        (import "bucket" (type $b (sub resource)))
        (import "f-open" (func $open (param "n" u32) (result (own $b))))
        (import "f-number" (func $number (param "self" (borrow $b)) (result (result u32 (error string)))))
        (import "f-fail" (func $fail (param "self" (borrow $b)) (result (result u32 (error string)))))
        (import "f-spin" (func $spin (param "self" (borrow $b))))
        (import "f-note"
            (func $note (param "self" (borrow $b)) (param "key" string) (param "value" (list u8))))
        (import "f-merge" (func $merge (param "a" (borrow $b)) (param "b" (borrow $b)) (result u32)))
        (import "f-give" (func $give (param "b" (own $b)) (result u32)))
        (import "f-dropped" (func $dropped (result u32)))
        (export $c "bucket" (type $b))
        (export "open" (func $open) (func (param "n" u32) (result (own $c))))
        (export "[method]bucket.number" (func $number)
            (func (param "self" (borrow $c)) (result (result u32 (error string)))))
        (export "[method]bucket.fail" (func $fail)
            (func (param "self" (borrow $c)) (result (result u32 (error string)))))
        (export "[method]bucket.spin" (func $spin) (func (param "self" (borrow $c))))
        (export "[method]bucket.note" (func $note)
            (func (param "self" (borrow $c)) (param "key" string) (param "value" (list u8))))
        (export "merge" (func $merge) (func (param "a" (borrow $c)) (param "b" (borrow $c)) (result u32)))
        (export "give" (func $give) (func (param "b" (own $c)) (result u32)))
        (export "dropped" (func $dropped)))
    (instance $store (instantiate $shim
        (with "bucket" (type $b)) (with "f-open" (func $open)) (with "f-number" (func $number))
        (with "f-fail" (func $fail)) (with "f-spin" (func $spin)) (with "f-note" (func $note))
        (with "f-merge" (func $merge)) (with "f-give" (func $give)) (with "f-dropped" (func $dropped))))
    (export "test:kv/store" (instance $store)))"#;

/// Opens buckets of `test:kv/store`, and passes them to `test:kv/watcher`. What its functions return is what the store says in the end.
const OPENER: &str = r#"(component
    (import "test:kv/store" (instance $store
        (export "bucket" (type $bucket (sub resource)))
        (export "open" (func (param "n" u32) (result (own $bucket))))
        (export "[method]bucket.number" (func (param "self" (borrow $bucket)) (result (result u32 (error string)))))
        (export "[method]bucket.fail" (func (param "self" (borrow $bucket)) (result (result u32 (error string)))))
        (export "give" (func (param "b" (own $bucket)) (result u32)))
        (export "dropped" (func (result u32)))))
    (alias export $store "bucket" (type $bucket))
    (import "test:kv/watcher" (instance $watcher
        (alias outer 1 $bucket (type $b))
        (export "bucket" (type $bucket (eq $b)))
        (export "on-set" (func (param "bucket" (own $bucket)) (param "key" string) (param "value" (list u8))))
        (export "look" (func (param "bucket" (borrow $bucket)) (param "key" string) (param "value" (list u8))))))
    (core module $libc
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $mem))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $open (canon lower (func $store "open")))
    (core func $number
        (canon lower (func $store "[method]bucket.number") (memory $mem) (realloc (core func $realloc))))
    (core func $fail
        (canon lower (func $store "[method]bucket.fail") (memory $mem) (realloc (core func $realloc))))
    (core func $give (canon lower (func $store "give")))
    (core func $dropped (canon lower (func $store "dropped")))
    (core func $on-set (canon lower (func $watcher "on-set") (memory $mem)))
    (core func $look (canon lower (func $watcher "look") (memory $mem)))
    (core func $drop (canon resource.drop $bucket))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "kv" "open" (func $open (param i32) (result i32)))
        (import "kv" "number" (func $number (param i32 i32)))
        (import "kv" "fail" (func $fail (param i32 i32)))
        (import "kv" "give" (func $give (param i32) (result i32)))
        (import "kv" "dropped" (func $dropped (result i32)))
        (import "kv" "on-set" (func $on-set (param i32 i32 i32 i32 i32)))
        (import "kv" "look" (func $look (param i32 i32 i32 i32 i32)))
        (import "kv" "drop" (func $drop (param i32)))
        (data (i32.const 512) "key")
        ;; Traps unless the bucket has the number; -1 for one whose number cannot be had.
        (func $expect (param $b i32) (param $n i32)
            (call $number (local.get $b) (i32.const 64))
            (if (i32.load8_u (i32.const 64))
                (then (if (i32.ne (local.get $n) (i32.const -1)) (then unreachable)))
                (else (if (i32.ne (local.get $n) (i32.load (i32.const 68))) (then unreachable)))))
        (func (export "lend") (result i32)
            (local $b i32)
            (local.set $b (call $open (i32.const 7)))
            (call $look (local.get $b) (i32.const 512) (i32.const 3) (i32.const 512) (i32.const 3))
            (call $expect (local.get $b) (i32.const 7))
            (call $on-set (local.get $b) (i32.const 512) (i32.const 3) (i32.const 512) (i32.const 3))
            (call $dropped))
        (func (export "stale") (result i32)
            (local $old i32) (local $new i32)
            (local.set $old (call $open (i32.const 1)))
            (call $fail (local.get $old) (i32.const 64))
            (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
            (local.set $new (call $open (i32.const 2)))
            (call $expect (local.get $old) (i32.const -1))
            (call $expect (local.get $new) (i32.const 2))
            (call $drop (local.get $old))
            (call $expect (local.get $new) (i32.const 2))
            (call $dropped))
        (func (export "lost") (result i32)
            (local $old i32) (local $new i32)
            (local.set $old (call $open (i32.const 1)))
            (call $fail (local.get $old) (i32.const 64))
            (call $drop (local.get $old))
            (local.set $new (call $open (i32.const 2)))
            (call $expect (local.get $new) (i32.const 2))
            (call $dropped))
        (func (export "gone") (result i32)
            (local $b i32)
            (local.set $b (call $open (i32.const 1)))
            (call $drop (local.get $b))
            (call $expect (local.get $b) (i32.const 1))
            (i32.const 0))
        (func (export "leak") (result i32)
            (loop $l (drop (call $open (i32.const 1))) (br $l))
            unreachable))
    (core instance $i (instantiate $m
        (with "libc" (instance $libc))
        (with "kv" (instance
            (export "open" (func $open)) (export "number" (func $number)) (export "fail" (func $fail))
            (export "give" (func $give)) (export "dropped" (func $dropped)) (export "on-set" (func $on-set))
            (export "look" (func $look)) (export "drop" (func $drop))))))
    (func $lend (result u32) (canon lift (core func $i "lend")))
    (func $stale (result u32) (canon lift (core func $i "stale")))
    (func $lost (result u32) (canon lift (core func $i "lost")))
    (func $gone (result u32) (canon lift (core func $i "gone")))
    (func $leak (result u32) (canon lift (core func $i "leak")))
    (instance $run
        (export "lend" (func $lend)) (export "stale" (func $stale)) (export "lost" (func $lost))
        (export "gone" (func $gone)) (export "leak" (func $leak)))
    (export "test:kv/run" (instance $run)))"#;

/// One that opens, one that makes buckets, and one that watches.
struct Three {
    opener: Subject,
    store: Subject,
    watcher: Subject,
    _rig: Arc<Rig>,
}

impl Three {
    async fn new() -> Three {
        Three::with(InstanceMode::Fresh, Limits::default()).await
    }

    /// With an opener of this mode, and a store of these limits.
    async fn with(mode: InstanceMode, limits: Limits) -> Three {
        let rig = Rig::shared();
        let store = rig.wat(STORE, limits).await;
        let watcher = rig.wat(&watcher(), Limits::default()).await;
        let file = crate::rig::wat(OPENER);
        let opener = rig.subject(file.path(), mode, Limits::default()).await;
        for (from, interface, to) in [
            (&opener, "test:kv/store", &store),
            (&opener, "test:kv/watcher", &watcher),
            (&watcher, "test:kv/store", &store),
        ] {
            from.outside.link(interface, "default", Target::Component(to.component.clone()));
        }
        Three { opener, store, watcher, _rig: rig }
    }

    async fn run(&self, function: &str) -> Result<u32, Problem> {
        match self.opener.component.call(call("test:kv/run", function, vec![])).await? {
            Some(Value::U32(number)) => Ok(number),
            other => panic!("a number was to come: {other:?}"),
        }
    }

    async fn at_rest(&self) {
        for subject in [&self.opener, &self.store, &self.watcher] {
            subject.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_resource_of_one_component_is_passed_to_another_which_calls_the_one_that_made_it() {
    let three = Three::new().await;
    assert_eq!(three.run("lend").await.expect("it answers"), 7, "the one that it gave away was dropped");
    assert_eq!(three.watcher.usage().calls, 2);
    three.at_rest().await;
}

#[tokio::test]
async fn what_no_contract_says_is_refused_and_lands_nowhere() {
    let three = Three::new().await;
    let keeper = Keeper::default();
    let number = |resource| call("test:kv/store", "[method]bucket.number", vec![Value::Borrow(resource)]);
    let problem = three.store.component.call(number(keeper.make("foreign"))).await.expect_err("not its own");
    assert_eq!(problem.code, guest::NOT_CARRIED, "{problem}");
    assert_eq!(three.store.usage().traps, 0, "the guest has nothing to do with it");
    let args = vec![Value::Own(keeper.make("one")), Value::Own(keeper.make("two")), Value::bytes("")];
    let problem = three.watcher.component.call(call("test:kv/watcher", "look", args)).await;
    assert_eq!(problem.expect_err("a key is text").code, guest::NOT_CARRIED);
    assert_eq!((keeper.dropped(), three.watcher.usage().traps), (3, 0));
    three.at_rest().await;
}

impl Three {
    async fn store(&self, function: &str, args: Vec<Value>) -> Result<Option<Value>, Problem> {
        self.store.component.call(call("test:kv/store", function, args)).await
    }

    /// A bucket in an instance of its own.
    async fn open(&self, n: u32) -> Resource {
        match self.store("open", vec![n.into()]).await.expect("it opens") {
            Some(Value::Own(bucket)) => bucket,
            other => panic!("a bucket was to come: {other:?}"),
        }
    }

    async fn number(&self, bucket: &Resource) -> Result<String, Problem> {
        let answer = self.store("[method]bucket.number", vec![Value::Borrow(bucket.clone())]).await?;
        Ok(format!("{:?}", answer.expect("a result")))
    }
}

#[tokio::test]
async fn after_a_trap_old_handles_reach_nothing_and_harm_nothing() {
    let three = Three::new().await;
    assert_eq!(three.run("stale").await.expect("it is told, and goes on"), 0, "the new bucket was dropped");
    assert_eq!(three.run("lost").await.expect("it goes on"), 0, "the new bucket was dropped");
    assert_eq!(three.store.usage().traps, 2, "only what was asked to trap did");
    three.at_rest().await;
}

#[tokio::test]
async fn a_resource_ends_with_the_instance_that_made_it() {
    let three = Three::new().await;
    let trapped = three.open(1).await;
    let problem = three.store("[method]bucket.fail", vec![Value::Borrow(trapped.clone())]).await;
    assert_eq!(problem.expect_err("it traps").code, guest::TRAPPED);
    let given_up = three.open(2).await;
    let spin = three.store("[method]bucket.spin", vec![Value::Borrow(given_up.clone())]);
    assert!(tokio::time::timeout(Duration::from_millis(50), spin).await.is_err(), "it spins for ever");
    let calls = three.store.usage().traps;
    for bucket in [trapped, given_up] {
        let problem = three.number(&bucket).await.expect_err("its instance is gone");
        assert_eq!(problem.code, guest::INSTANCE_ENDED, "{problem}");
        assert!(problem.message.contains("its instance has ended"), "{problem}");
    }
    assert_eq!(three.store.usage().traps, calls, "no instance was made to find that out");
    three.at_rest().await;
}

#[tokio::test]
async fn a_foreign_handle_is_refused_and_the_live_ones_go_on() {
    let three = Three::new().await;
    let (one, two) = (three.open(1).await, three.open(2).await);
    let both = vec![Value::Borrow(one.clone()), Value::Borrow(two.clone())];
    let problem = three.store("merge", both).await.expect_err("they are of two instances");
    assert_eq!(problem.code, guest::NOT_CARRIED, "{problem}");
    for (bucket, wanted) in [(&one, "U32(1)"), (&two, "U32(2)")] {
        let number = three.number(bucket).await.expect("it is still there");
        assert!(number.contains(wanted), "{number}");
    }
    let given = three.store("give", vec![Value::Own(one)]).await.expect("it takes it");
    assert!(matches!(given, Some(Value::U32(1))), "{given:?}");
    drop((given, two));
    three.at_rest().await;
}

#[tokio::test]
async fn a_dropped_handle_cannot_be_used_and_leaked_ones_end_at_the_limit() {
    let three = Three::new().await;
    let problem = three.run("gone").await.expect_err("it has no such handle");
    assert_eq!(problem.code, guest::TRAPPED, "{problem}");
    let problem = three.run("leak").await.expect_err("there is a limit");
    assert_eq!(problem.code, guest::TRAPPED, "{problem}");
    assert!(three.store.usage().calls > 10_000, "it came to the limit: {:?}", three.store.usage());
    assert_eq!(three.run("lend").await.expect("others go on"), 7);
    three.at_rest().await;
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_keeps_nobody_else_from_running() {
    let three = Three::with(InstanceMode::Fresh, Limits { instances_max: 2, ..Limits::default() }).await;
    let (one, two) = (three.open(1).await, three.open(2).await);
    let spin = three.store("[method]bucket.spin", vec![Value::Borrow(one.clone())]);
    let behind = three.number(&one);
    let (mut spin, mut behind) = (Box::pin(spin), Box::pin(behind));
    assert!(futures::poll!(&mut spin).is_pending() && futures::poll!(&mut behind).is_pending());
    let other = tokio::time::timeout(Duration::from_secs(20), three.number(&two)).await;
    assert!(other.expect("there is an instance for it").is_ok());
    drop((spin, behind));
    drop((one, two));
    three.at_rest().await;
}

#[tokio::test]
async fn instances_that_wait_for_their_importers_are_bounded() {
    let limits = Limits { instances_max: 2, waiting_max: 0, ..Limits::default() };
    let three = Three::with(InstanceMode::Fresh, limits).await;
    let (one, two) = (three.open(1).await, three.open(2).await);
    let problem = three.store("open", vec![3u32.into()]).await.expect_err("two are there");
    assert_eq!(problem.code, guest::INSTANCES_LIMIT, "{problem}");
    drop(one);
    assert!(three.number(&three.open(3).await).await.is_ok(), "one has gone");
    drop(two);
    three.at_rest().await;
}

#[tokio::test]
async fn a_kept_importer_holds_only_what_it_has_resources_of() {
    let three = Three::with(InstanceMode::Reuse, Limits::default()).await;
    for _ in 0..3 {
        assert_eq!(three.run("lend").await.expect("it answers"), 7);
        three.store.at_rest().await;
    }
}
