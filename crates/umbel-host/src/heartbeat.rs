//! The heartbeat: the inventory at intervals, and the host's first and last words.

use crate::inventory::inventory;
use crate::provider;
use crate::shared::Shared;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::event::{Fact, HostStarted, HostStopped};
use umbel_lattice::control::Inventory;
use umbel_supervisor::{ChildContext, State, Tree};

/// Room for what an event has beside its data.
const ENVELOPE_BYTES: usize = 1 << 10;

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
    let mut providers = cx.supervisor.child(provider::BRANCH).map(|branch| branch.watch());
    let mut given_up = BTreeSet::new();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = cx.stop.requested() => break,
            Some(tree) = newer(&mut providers) => {
                tell_given_up(&shared, &tree, &mut given_up).await;
                continue;
            }
        }
        shared.tell(&Fact::HostHeartbeat(body(&shared))).await;
    }
    shared.tell(&Fact::HostStopped(HostStopped { labels: shared.labels.load().as_ref().clone() })).await;
    Ok(())
}

/// What a beat tells: all of the inventory, or what tools of wasmCloud know of it if that is more than a message carries.
fn body(shared: &Shared) -> Value {
    let inventory = inventory(shared);
    let json =
        |inventory: &Inventory| serde_json::to_value(inventory).expect("an inventory is plain JSON data");
    let full = json(&inventory);
    if full.to_string().len() + ENVELOPE_BYTES <= shared.lattice.payload_bytes_max() {
        return full;
    }
    json(&inventory.plain())
}

/// The next snapshot of the providers' supervisor; none any more when that is gone.
async fn newer(providers: &mut Option<watch::Receiver<Arc<Tree>>>) -> Option<Arc<Tree>> {
    let tree = providers.as_mut()?;
    if tree.changed().await.is_err() {
        *providers = None;
        return None;
    }
    Some(tree.borrow_and_update().clone())
}

/// Tells of each provider that its supervisor has given up, once: nobody else knows that it will not be tried again.
async fn tell_given_up(shared: &Shared, tree: &Tree, known: &mut BTreeSet<String>) {
    let in_loop = tree.children.iter().filter(|child| child.state == State::CrashLoop);
    let now: BTreeSet<String> = in_loop.map(|child| child.id.clone()).collect();
    for id in now.difference(known) {
        if let Some(slot) = shared.provider(id) {
            shared.tell(&Fact::ProviderStartFailed(provider::given_up(shared, &slot))).await;
        }
    }
    *known = now;
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
