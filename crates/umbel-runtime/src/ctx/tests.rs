use super::*;
use crate::answer::Outbox;
use crate::body::Body;
use crate::{Config, Engine};
use futures::future::BoxFuture;
use std::sync::atomic::AtomicU64;
use umbel_core::Problem;

/// Nothing is outside.
struct Nowhere;

impl HostCalls for Nowhere {
    fn http_send(
        &self,
        _: http::Request<Body>,
        _: calls::SendOptions,
        _: calls::Within,
    ) -> BoxFuture<'static, std::result::Result<http::Response<Body>, Problem>> {
        unreachable!("no guest runs")
    }

    fn config_get(&self, _: &str) -> Option<String> {
        None
    }

    fn config_all(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn log(&self, _: calls::Level, _: calls::Stream, _: &str, _: &str) {}

    fn target(
        &self,
        _: &umbel_wit::InterfaceName,
        _: &str,
        _: Option<&str>,
    ) -> std::result::Result<calls::Target, Problem> {
        Err(Problem::new(umbel_core::code::guest::UNLINKED, "nothing is linked here"))
    }
}

const PAGE: usize = 64 << 10;

#[test]
fn growth_that_is_refused_and_growth_that_fails_are_told_apart() {
    let limits = Limits { memory_bytes_max: 2 * PAGE as u64, ..Limits::default() };
    let budget = Budget::new("subject", limits);
    let shared = Arc::new(Shared {
        id: "subject".into(),
        budget: budget.clone(),
        calls: Arc::new(Nowhere),
        granted: Granted::default(),
        heavy_until: AtomicU64::new(0),
    });
    let engine = Engine::new(&Config { instances_max: 1, ..Config::new("unused") }).expect("an engine");
    let call = Call::new(&engine, &shared, 0, Outbox::closed(), None).expect("it is part of none");
    let ctx = || Ctx::new(&shared, &call);

    let mut refused = ctx();
    assert!(refused.memory_growing(0, 2 * PAGE, None).expect("no trap"));
    assert_eq!(refused.growth, Growth::Granted);
    assert!(!refused.memory_growing(2 * PAGE, 3 * PAGE, None).expect("no trap"));
    assert_eq!(refused.growth, Growth::Refused);

    let mut failed = ctx();
    assert!(failed.memory_growing(0, PAGE, None).expect("no trap"));
    let booked = budget.usage().memory_bytes;
    // The memory's own type forbids it: nothing was booked for that, and nothing is taken back.
    failed.memory_grow_failed(wasmtime::Error::msg("exceeds the type's limits")).expect("no trap");
    assert_eq!(failed.growth, Growth::Granted);
    failed.memory_grow_failed(std::io::Error::from(std::io::ErrorKind::OutOfMemory).into()).expect("no trap");
    assert!(
        matches!(&failed.growth, Growth::Failed(reason) if reason.contains("memory")),
        "{:?}",
        failed.growth
    );
    assert_eq!(budget.usage().memory_bytes, booked);

    drop((refused, failed));
    assert_eq!(budget.usage().memory_bytes, 0);
}
