//! Pools, large and small, and machines where address space is short.

use crate::rig::{Here, Subject, Ticking, load};
use std::sync::Arc;
use umbel_core::code::runtime::SMALL_POOL;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::engine::Layout;
use umbel_runtime::{Config, Engine, Images};
use umbel_testkit::example;

/// Says hello on an engine of its own.
async fn hello(config: &Config) -> (Engine, usize) {
    let engine = Engine::new(config).expect("an engine");
    let worker = Arc::<Here>::default();
    let images = Images::new(engine.clone(), config, worker.clone()).expect("a cache");
    let _ticking = Ticking::of(&engine);
    for (name, style) in [("hello", "style: Plain"), ("hello-p3", "style: Concurrent")] {
        let image = load(&images, &example(name)).await.expect("it loads");
        let shown = format!("{image:?}");
        assert!(shown.contains(style), "its code is for the other engine: {shown}");
        let subject = Subject::new(&engine, image, InstanceMode::Fresh, Limits::default());
        assert_eq!(subject.get("/").await.expect("it answers"), "Hello from Umbel!\n");
    }
    (engine, worker.runs.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test]
async fn a_pool_that_fits_is_not_talked_about() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let config = Config { instances_max: 10, ..Config::new(folder.path()) };
    let (engine, _) = hello(&config).await;
    assert_eq!(engine.layout(), Layout::Pool(10));
    assert!(engine.shortfall().is_none());
}

#[tokio::test]
async fn a_pool_larger_than_the_machine_is_made_smaller_and_announced() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let config = Config { instances_max: 4_000_000, ..Config::new(folder.path()) };
    let (engine, _) = hello(&config).await;
    assert_ne!(engine.layout(), Layout::Pool(config.instances_max));
    let problem = engine.shortfall().expect("it is announced");
    assert_eq!(problem.code, SMALL_POOL);
    assert!(problem.message.contains("4000000"), "{problem}");
    assert!(problem.help.contains("ulimit -v"), "{}", problem.help);
}

const CHILD: &str = "UMBEL_TEST_CACHE";

/// Runs the test `in_little_address_space` below in a process with that limit on address space.
#[expect(clippy::disallowed_methods, reason = "a limit on address space is for a whole process")]
fn limited(cache: &std::path::Path, gib: u64) -> std::process::Output {
    let program = std::env::current_exe().expect("this binary");
    let test = "layouts::in_little_address_space";
    let script = format!("ulimit -v {} && exec \"$0\" --exact --ignored --nocapture {test}", gib << 20);
    std::process::Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .env(CHILD, cache)
        .output()
        .expect("a process")
}

#[tokio::test]
async fn without_address_space_for_a_pool_instances_are_made_on_demand() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let config = Config { instances_max: 10, ..Config::new(folder.path()) };
    // The same folder first by an engine with a pool: its code is of no use to the other layout, and the other way around.
    assert_eq!(hello(&config).await.1, 2);
    for (gib, says) in [
        (6, "layout OnDemand compiled 2"),
        (6, "layout OnDemand compiled 0"),
        (40, "layout Pool(2) compiled 0"),
    ] {
        let output = limited(folder.path(), gib);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(says), "{gib} GiB: {said}");
        assert!(said.contains("UM0412"), "it is announced: {said}");
    }
    assert_eq!(hello(&config).await.1, 0);
}

#[test]
#[ignore = "it is run by the test above, in a process of its own"]
fn in_little_address_space() {
    let Some(cache) = std::env::var_os(CHILD) else { return };
    let config = Config { instances_max: 10, ..Config::new(cache) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (engine, compiled) = runtime.block_on(hello(&config));
    println!("layout {:?} compiled {compiled}", engine.layout());
    println!("{}", engine.shortfall().map(ToString::to_string).unwrap_or_default());
}
