//! The heartbeat: the inventory at intervals, and the host's first and last words.

use crate::inventory::inventory;
use crate::shared::Shared;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::event::{Fact, HostStarted, HostStopped};
use umbel_supervisor::ChildContext;

/// The child that beats.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    shared
        .tell(&Fact::HostStarted(HostStarted {
            friendly_name: shared.config.friendly_name.clone(),
            labels: shared.labels.load().as_ref().clone(),
            uptime_seconds: 0,
            version: env!("CARGO_PKG_VERSION").into(),
        }))
        .await;
    cx.ready.notify();
    let mut beat = tokio::time::interval(shared.config.heartbeat);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = cx.stop.requested() => break,
        }
        let body = serde_json::to_value(inventory(&shared)).expect("an inventory is plain JSON data");
        shared.tell(&Fact::HostHeartbeat(body)).await;
    }
    shared.tell(&Fact::HostStopped(HostStopped { labels: shared.labels.load().as_ref().clone() })).await;
    Ok(())
}

/// The child that drops kept instances which have been idle for too long.
pub async fn trim(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let mut tick = tokio::time::interval(umbel_runtime::component::WARM_IDLE_MAX / 2);
    cx.ready.notify();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = cx.stop.requested() => return Ok(()),
        }
        for slot in shared.slots.all().values() {
            if let Some(revision) = slot.current.load_full() {
                revision.component.trim();
            }
        }
    }
}
