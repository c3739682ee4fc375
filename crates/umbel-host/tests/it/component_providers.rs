//! Providers that are components: what they hold, what ends them, and what they are linked to themselves.

use crate::bed::{Bed, code, file, provider_id, text, until, values};
use std::path::Path;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::guest as codes;
use umbel_core::grants::{Folder, Grants};
use umbel_core::limits::{Isolation, Limits};
use umbel_core::link::{Contract, Link};
use umbel_lattice::control::{PartState, ProviderKind, ProviderView, StartProvider, StopProvider};
use umbel_lattice::extension::{ExplainRequest, PathKind};
use umbel_testkit::{example, guest};
use umbel_wit::{Call, Serve, Value};

fn start(bed: &Bed, id: &str, image: &Path) -> StartProvider {
    let image = image.to_str().expect("paths of the repository are text");
    StartProvider::new(bed.host.id().clone(), provider_id(id), image)
}

async fn running(bed: &Bed, id: &str) -> ProviderView {
    until("the provider runs", async || {
        bed.provider(id).await.filter(|view| view.state == PartState::Running && view.problem.is_none())
    })
    .await
}

async fn keyvalue(bed: &Bed, id: &str, change: impl FnOnce(&mut StartProvider)) {
    let mut order = start(bed, id, &guest("keyvalue-component"));
    change(&mut order);
    bed.client.start_provider(&order).await.expect("the order is taken");
    running(bed, id).await;
}

fn link(source: &str, target: &str) -> Link {
    let contract = Contract::new("wasi", "keyvalue", &["store", "atomics"]);
    Link { contract, ..crate::bed::link(source, target, &[]) }
}

/// A component that counts in the key-value store of that id.
async fn counter(bed: &Bed, id: &str, store: &str) {
    bed.client.put_link(&link(id, store)).await.expect("a link");
    bed.run(id, &example("counter")).await;
}

async fn count(bed: &Bed, id: &str, path: &str) -> Result<u32, (u16, String)> {
    let answer = bed.call(id, path).await.map_err(|problem| (0, problem.to_string()))?;
    let (status, text) = (answer.status().as_u16(), text(answer).await);
    if status == 200 { Ok(text.trim().parse().expect("a number")) } else { Err((status, text)) }
}

fn server(bed: &Bed, id: &str) -> Option<Arc<dyn Serve>> {
    bed.host.0.provider(id)?.running()?.serve()
}

async fn call(server: &dyn Serve, function: &str, args: Vec<Value>) -> Result<Value, Problem> {
    let call = Call {
        link: Arc::default(),
        interface: "wasi:keyvalue/store".into(),
        version: Some("0.2.0-draft".parse().expect("a version")),
        function: function.into(),
        args,
        patience: None,
    };
    Ok(server.call(call).await?.expect("each has a result"))
}

/// Fills a bucket until the provider has no memory left.
async fn exhaust(bed: &Bed, id: &str) -> Problem {
    let server = server(bed, id).expect("it runs");
    let opened = match call(&*server, "open", vec!["much".into()]).await {
        Ok(opened) => opened,
        // It is more than there is memory for, as it is.
        Err(problem) => return problem,
    };
    let Value::Result(Ok(Some(bucket))) = opened else { panic!("{opened:?}") };
    let Value::Own(bucket) = *bucket else { panic!("{bucket:?}") };
    for n in 0..1_000 {
        let args = vec![Value::Borrow(bucket.clone()), format!("{n}").into(), Value::bytes(vec![7; 900_000])];
        if let Err(problem) = call(&*server, "[method]bucket.set", args).await {
            return problem;
        }
    }
    panic!("it takes what it is given");
}

fn stop(bed: &Bed, id: &str) -> StopProvider {
    StopProvider { host_id: bed.host.id().clone(), provider_id: provider_id(id), generation: None }
}

#[tokio::test]
async fn what_one_importer_wrote_the_other_reads_and_a_restart_keeps_it() {
    let bed = Bed::start().await;
    keyvalue(&bed, "kv", |_| ()).await;
    counter(&bed, "one", "kv").await;
    counter(&bed, "two", "kv").await;
    assert_eq!(count(&bed, "one", "/a").await, Ok(1));
    assert_eq!(count(&bed, "two", "/a").await, Ok(2));
    let view = running(&bed, "kv").await;
    assert_eq!(view.kind, Some(ProviderKind::Component));
    let request = ExplainRequest { source: "one".into(), ..ExplainRequest::default() };
    let explained = bed.client.explain_links(bed.host.id(), &request).await.unwrap();
    let path = explained.links.iter().find(|link| link.import.starts_with("wasi:keyvalue/store")).unwrap();
    assert!(matches!(path.path, Some(PathKind::ResidentInstance { calls }) if calls > 4), "{path:?}");

    bed.client.stop_provider(&stop(&bed, "kv")).await.unwrap();
    assert!(count(&bed, "one", "/a").await.is_err(), "nobody serves it");
    keyvalue(&bed, "kv", |_| ()).await;
    let counted = until("it counts on", async || count(&bed, "one", "/a").await.ok()).await;
    assert_eq!(counted, 3);
}

#[tokio::test]
async fn one_that_uses_up_its_memory_is_started_again_and_its_callers_are_told() {
    let bed = Bed::start().await;
    keyvalue(&bed, "kv", |order| {
        order.limits = Some(Limits { memory_bytes_max: 16 << 20, ..Limits::default() });
    })
    .await;
    counter(&bed, "counter", "kv").await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(1));
    let problem = exhaust(&bed, "kv").await;
    assert_eq!(problem.code, codes::MEMORY_LIMIT, "{problem}");
    let counted = until("it counts on", async || count(&bed, "counter", "/a").await.ok()).await;
    assert_eq!(counted, 2, "what is on the disk is there");
}

#[tokio::test]
async fn one_that_keeps_failing_is_given_up_and_revived_by_an_order() {
    let bed = Bed::start().await;
    let small = Limits { memory_bytes_max: 16 << 20, ..Limits::default() };
    keyvalue(&bed, "kv", |order| order.limits = Some(small.clone())).await;
    counter(&bed, "counter", "kv").await;
    let view = loop {
        // Filled anew each time, until there is nobody to fill.
        let fill = async {
            if server(&bed, "kv").is_some() {
                exhaust(&bed, "kv").await;
            }
        };
        fill.await;
        let view = until("it is up or down", async || {
            let view = bed.provider("kv").await?;
            let is_settled = view.state == PartState::CrashLoop || server(&bed, "kv").is_some();
            is_settled.then_some(view)
        });
        let view = view.await;
        if view.state == PartState::CrashLoop {
            break view;
        }
    };
    assert!(view.problem.is_some());
    let (status, text) = count(&bed, "counter", "/a").await.expect_err("nobody serves it");
    assert!(status == 503 && text.contains("UM0566"), "{text}");
    std::fs::remove_dir_all(bed.folder.path().join("state/providers/kv")).expect("its folder");
    keyvalue(&bed, "kv", |order| order.limits = Some(Limits::default())).await;
    let counted = until("it counts again", async || count(&bed, "counter", "/a").await.ok()).await;
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn another_order_replaces_it_without_losing_a_call() {
    let bed = Bed::start().await;
    keyvalue(&bed, "kv", |order| order.generation = Some(1)).await;
    counter(&bed, "counter", "kv").await;
    let mut last = 0;
    for generation in 2..6 {
        let other = Limits { memory_bytes_max: (64 + generation) << 20, ..Limits::default() };
        let mut order = start(&bed, "kv", &guest("keyvalue-component"));
        (order.generation, order.limits) = (Some(generation), Some(other.clone()));
        bed.client.start_provider(&order).await.expect("the order is taken");
        until("it runs by the new order", async || {
            let counted = count(&bed, "counter", "/a").await.expect("no call is lost");
            assert_eq!(counted, last + 1);
            last = counted;
            let provider = bed.host.0.provider("kv")?.component()?;
            (provider.budget().limits().memory_bytes_max == other.memory_bytes_max).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_followed_leaves_what_runs() {
    let bed = Bed::start().await;
    keyvalue(&bed, "kv", |order| order.generation = Some(1)).await;
    counter(&bed, "counter", "kv").await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(1));
    let mut order = start(&bed, "kv", &file(&bed, "broken.wasm", b"\0asm rubbish"));
    order.generation = Some(2);
    bed.client.start_provider(&order).await.expect("the order is taken");
    until("the problem shows", async || bed.provider("kv").await.filter(|view| view.problem.is_some())).await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(2));
    order.provider_ref = guest("keyvalue-component").display().to_string();
    order.generation = Some(3);
    bed.client.start_provider(&order).await.expect("the order is taken");
    running(&bed, "kv").await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(3));
}

#[tokio::test]
async fn what_it_is_is_told_by_its_bytes() {
    let bed = Bed::start().await;
    // A name says nothing.
    let bytes = std::fs::read(guest("keyvalue-component")).unwrap();
    let named = file(&bed, "store.bin", &bytes);
    bed.client.start_provider(&start(&bed, "named", &named)).await.unwrap();
    assert_eq!(running(&bed, "named").await.kind, Some(ProviderKind::Component));
    let neither = start(&bed, "neither", &file(&bed, "neither.txt", b"some text"));
    assert_eq!(code(bed.client.start_provider(&neither).await), "UM0814");
    let isolated = StartProvider { isolation: Some(Isolation::Process), ..start(&bed, "isolated", &named) };
    assert_eq!(code(bed.client.start_provider(&isolated).await), "UM0823");
    let mut builtin = start(&bed, "builtin", Path::new("builtin:fake"));
    builtin.limits = Some(Limits::default());
    assert_eq!(code(bed.client.start_provider(&builtin).await), "UM0823");
}

#[tokio::test]
async fn what_cannot_serve_is_told_why() {
    let bed = Bed::start().await;
    let failed = async |id: &str, image: &Path| {
        bed.client.start_provider(&start(&bed, id, image)).await.expect("the order is taken");
        let view = until("it fails", async || bed.provider(id).await.filter(|view| view.problem.is_some()));
        view.await.problem.expect("there is one").code.to_string()
    };
    assert_eq!(failed("http", &example("hello")).await, "UM0822");
    let module =
        file(&bed, "old.wasm", &wat::parse_str("(module (import \"wasmbus\" \"x\" (func)))").unwrap());
    assert_eq!(failed("actor", &module).await, "UM0404");
    let mut order = start(&bed, "granted", &guest("keyvalue-component"));
    let folder = Folder { path: "/nowhere/at/all".into(), at: "/more".into(), writable: false };
    order.grants = Some(Grants { folders: vec![folder], ..Grants::default() });
    bed.client.start_provider(&order).await.expect("the order is taken");
    let view =
        until("it fails", async || bed.provider("granted").await.filter(|view| view.problem.is_some()));
    assert_eq!(view.await.problem.expect("there is one").code, codes::GRANT_UNUSABLE);
}

#[tokio::test]
async fn a_link_of_another_contract_is_refused() {
    let bed = Bed::start().await;
    keyvalue(&bed, "kv", |_| ()).await;
    let contract = Contract::new("wasi", "blobstore", &["blobstore"]);
    let wrong = Link { contract, ..link("counter", "kv") };
    bed.client.put_link(&wrong).await.expect("links may come before what they are of");
    let trouble = until("the refusal shows", async || {
        let troubles = bed.inventory().await.links_in_trouble;
        troubles.into_iter().find(|trouble| trouble.problem.is_some())
    })
    .await;
    let problem = trouble.problem.expect("there is one");
    assert!(problem.code == codes::CONTRACT_MISMATCH && problem.message.contains("exports"), "{problem}");

    // Of the same name, with other types.
    let other = r#"(component
        (core module $m (func (export "open") (param i32 i32) (result i32) i32.const 0)
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 64))
        (core instance $i (instantiate $m))
        (alias core export $i "memory" (core memory $mem))
        (alias core export $i "realloc" (core func $realloc))
        (func $open (param "identifier" string) (result u32)
            (canon lift (core func $i "open") (memory $mem) (realloc (core func $realloc))))
        (instance $store (export "open" (func $open)))
        (export "wasi:keyvalue/store@0.2.0-draft" (instance $store))
        (export "wasi:keyvalue/atomics@0.2.0-draft" (instance $store)))"#;
    let image = file(&bed, "other.wasm", &wat::parse_str(other).unwrap());
    bed.client.start_provider(&start(&bed, "other", &image)).await.unwrap();
    running(&bed, "other").await;
    counter(&bed, "misled", "other").await;
    let answer = bed.call("misled", "/a").await;
    assert_eq!(answer.expect_err("the call is refused").code, codes::CONTRACT_MISMATCH);
    until("the trouble shows", async || {
        let troubles = bed.inventory().await.links_in_trouble;
        let is_told = |problem: &Problem| problem.code == codes::CONTRACT_MISMATCH;
        troubles
            .iter()
            .any(|trouble| trouble.key.source_id == "misled" && trouble.problem.as_ref().is_some_and(is_told))
            .then_some(())
    })
    .await;
}

/// A provider that serves `open` of `wasi:keyvalue/store` and nothing else by asking its own link for the number of `test:up/number`.
fn onward() -> Vec<u8> {
    let component = r#"(component
        (import "test:up/number" (instance $up (export "next" (func (result u32)))))
        (core func $next (canon lower (func $up "next")))
        (core module $m (import "up" "next" (func $next (result i32)))
            (func (export "next") (result i32) (i32.add (call $next) (i32.const 100))))
        (core instance $i (instantiate $m (with "up" (instance (export "next" (func $next))))))
        (func $out (result u32) (canon lift (core func $i "next")))
        (instance $number (export "next" (func $out)))
        (export "test:down/number" (instance $number)))"#;
    wat::parse_str(component).expect("a component")
}

/// Counts, as `test:up/number`.
fn counts() -> Vec<u8> {
    let component = r#"(component
        (core module $m (global $n (mut i32) (i32.const 0))
            (func (export "next") (result i32)
                (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))
        (core instance $i (instantiate $m))
        (func $next (result u32) (canon lift (core func $i "next")))
        (instance $number (export "next" (func $next)))
        (export "test:up/number" (instance $number)))"#;
    wat::parse_str(component).expect("a component")
}

#[tokio::test]
async fn its_own_links_lead_onward() {
    let bed = Bed::start().await;
    let (up, down) = (file(&bed, "up.wasm", &counts()), file(&bed, "down.wasm", &onward()));
    bed.client.start_provider(&start(&bed, "up", &up)).await.unwrap();
    bed.client.start_provider(&start(&bed, "down", &down)).await.unwrap();
    running(&bed, "down").await;
    let next = async || {
        let call = Call {
            link: Arc::default(),
            interface: "test:down/number".into(),
            version: None,
            function: "next".into(),
            args: vec![],
            patience: None,
        };
        server(&bed, "down").expect("it runs").call(call).await
    };
    // A call without a link ends the instance; it comes back.
    assert_eq!(next().await.expect_err("it has no link").code, codes::UNLINKED);
    let contract = Contract::new("test", "up", &["number"]);
    let onward = Link { contract, ..link("down", "up") };
    assert_eq!(bed.client.check_link(bed.host.id(), &onward).await.unwrap().warnings, [""; 0]);
    bed.client.put_link(&onward).await.unwrap();
    running(&bed, "down").await;
    until("the link leads on", async || {
        server(&bed, "down")?;
        matches!(next().await, Ok(Some(Value::U32(number))) if number > 100).then_some(())
    })
    .await;
    // What is linked to it keeps its own count.
    let first = next().await.expect("an answer");
    let second = next().await.expect("an answer");
    let (Some(Value::U32(first)), Some(Value::U32(second))) = (first, second) else { panic!("two numbers") };
    assert_eq!(second, first + 1);
    let request = ExplainRequest { source: "down".into(), ..ExplainRequest::default() };
    let explained = bed.client.explain_links(bed.host.id(), &request).await.unwrap();
    assert!(explained.links.iter().any(|link| link.import == "test:up/number" && link.path.is_some()));
}

#[tokio::test]
async fn a_change_of_its_config_reaches_it_while_it_serves() {
    let bed = Bed::start().await;
    bed.client.put_config("kv", &values(&[("durability", "disk")])).await.unwrap();
    keyvalue(&bed, "kv", |order| order.config = vec!["kv".into()]).await;
    counter(&bed, "counter", "kv").await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(1));
    let before = bed.host.0.provider("kv").unwrap().component().unwrap();
    bed.client.put_config("kv", &values(&[("durability", "process")])).await.unwrap();
    until("it is there", async || {
        let provider = bed.host.0.provider("kv")?.component()?;
        (provider.config().get("durability")? == "process").then_some(())
    })
    .await;
    assert_eq!(count(&bed, "counter", "/a").await, Ok(2));
    let after = bed.host.0.provider("kv").unwrap().component().unwrap();
    assert!(Arc::ptr_eq(&before, &after), "it is the same instance");
}
