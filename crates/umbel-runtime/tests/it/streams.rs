//! `stream<u8>` over links: both directions, slow ends, ends that go.

use crate::rig::{Rig, Subject, guest_path, subject};
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::Target;

async fn pair(rig: &Arc<Rig>, limits: Limits) -> (Subject, Subject) {
    let user = subject(rig, "pipe-user", Limits::default()).await;
    let server = rig.subject(&guest_path("pipe-server"), InstanceMode::Fresh, limits).await;
    user.outside.link("umbel:test/pipe", "default", Target::Component(server.component.clone()));
    (user, server)
}

#[tokio::test]
async fn bytes_come_through_in_order_and_whole() {
    let rig = Rig::shared();
    let (user, server) = pair(&rig, Limits::default()).await;
    for bytes in [0u64, 1, 255, 65_536, 65_537, 1 << 20, 5_000_001] {
        for way in ["give", "echo"] {
            let said = user.get(&format!("/{way}?bytes={bytes}")).await;
            let said = said.unwrap_or_else(|error| panic!("{way} of {bytes}: {error}"));
            assert_eq!(said, format!("{bytes} bytes, 0 of them wrong"), "{way}");
        }
        let said = user.get(&format!("/take?bytes={bytes}")).await.expect("it answers");
        assert_eq!(said, format!("{bytes} bytes"));
    }
    user.at_rest().await;
    server.at_rest().await;
}

#[tokio::test]
async fn a_stream_is_never_held_whole() {
    let rig = Rig::shared();
    let (user, server) = pair(&rig, Limits::default()).await;
    let bytes = 256u64 << 20;
    let said = user.get(&format!("/give?bytes={bytes}")).await.expect("it answers");
    assert_eq!(said, format!("{bytes} bytes, 0 of them wrong"));
    let held = user.usage().memory_bytes_max_seen.max(server.usage().memory_bytes_max_seen);
    assert!(held < 8 << 20, "{held} bytes of the guests' memory");
    user.at_rest().await;
    server.at_rest().await;
}

#[tokio::test]
async fn a_reader_that_stops_ends_its_producer() {
    let rig = Rig::shared();
    let (user, server) = pair(&rig, Limits::default()).await;
    let said = user.get("/drop?bytes=1000000000").await.expect("it answers");
    assert!(said.ends_with("bytes, 0 of them wrong"), "{said}");
    user.at_rest().await;
    server.at_rest().await;
}

#[tokio::test]
async fn a_producer_that_traps_ends_the_call_that_reads_and_says_so() {
    let rig = Rig::shared();
    let (user, server) = pair(&rig, Limits::default()).await;
    assert_eq!(user.code("/break-off?bytes=100000").await, "UM0551", "what came must not look whole");
    assert_eq!(server.usage().traps, 1);
    // The next call has nothing to do with it.
    assert_eq!(user.get("/give?bytes=3").await.expect("it answers"), "3 bytes, 0 of them wrong");
    user.at_rest().await;
    server.at_rest().await;
}

#[tokio::test]
async fn a_stream_that_goes_on_may_last_longer_than_a_call() {
    let rig = Rig::shared();
    let (user, server) = pair(&rig, Limits { call_ms_max: 50, ..Limits::default() }).await;
    let (bytes, begun) = (512u64 << 20, Instant::now());
    let said = user.get(&format!("/give?bytes={bytes}")).await.expect("it answers");
    assert_eq!(said, format!("{bytes} bytes, 0 of them wrong"));
    assert!(begun.elapsed() > Duration::from_millis(100), "it was too short to show anything");
    user.at_rest().await;
    server.at_rest().await;
}
