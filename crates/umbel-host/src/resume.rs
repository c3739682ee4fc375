//! What tools of wasmCloud have ordered here, kept for a start after a kill.
//!
//! They order once and believe what they have heard: wadm notices only after more than a minute that a host which was killed and is back
//! has nothing any more (`facts/wasmcloud.md` finding 5). So a host that was killed takes up again what ran. One that was stopped in order
//! has said so, and starts with nothing; and so does one that was away for long, because others have taken over by then. Orders with a
//! generation are left out: whoever gives them looks by itself what there is.
//!
//! The file is `DIR/orders.json`. It is written after an order was taken, and it need not survive a loss of power: the whole host is anew then.

use crate::fetch::blocking;
use crate::order;
use crate::shared::{COALESCE, Shared};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use umbel_core::Problem;
use umbel_lattice::control::{Scale, StartProvider};
use umbel_supervisor::ChildContext;

/// How long a host may have been away. The reaper of wadm, and a heartbeat or two.
const AWAY_MAX: Duration = Duration::from_secs(120);
/// How often the file says that the host is there.
const TOUCH_EVERY: Duration = Duration::from_secs(10);
/// Longest file, in bytes.
const BYTES_MAX: u64 = 64 << 20;

/// What was ordered.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Orders {
    components: Vec<Scale>,
    providers: Vec<StartProvider>,
}

/// The child that takes up again what ran, and keeps what runs.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let path = shared.state.join("orders.json");
    if let Some(orders) = left(&shared, &path).await {
        take_up(&shared, orders).await;
    }
    cx.ready.notify();
    let mut parts = shared.parts.subscribe();
    let mut kept = Orders::default();
    loop {
        parts.borrow_and_update();
        let now = given(&shared);
        if now != kept {
            write(&path, &now).await;
            kept = now;
        } else {
            touch(&shared, &path).await;
        }
        tokio::select! {
            () = cx.stop.requested() => break,
            changed = parts.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(TOUCH_EVERY) => {}
        }
        // A thousand orders in a row are a few files, not a thousand.
        tokio::time::sleep(COALESCE).await;
    }
    // Whoever was stopped in order starts with nothing.
    let _ = blocking(move || Ok(std::fs::remove_file(path))).await;
    Ok(())
}

/// What runs and was ordered without a generation.
fn given(shared: &Shared) -> Orders {
    let (slots, providers) = (shared.slots.all(), shared.providers.all());
    let components = slots.values().map(|slot| slot.desired.borrow().as_ref().clone());
    let mut components: Vec<Scale> = components.filter(|order| order.generation.is_none()).collect();
    let providers = providers.values().map(|slot| slot.order().as_ref().clone());
    let mut providers: Vec<StartProvider> = providers.filter(|order| order.generation.is_none()).collect();
    components.sort_by(|a, b| a.component_id.cmp(&b.component_id));
    providers.sort_by(|a, b| a.provider_id.cmp(&b.provider_id));
    Orders { components, providers }
}

/// What a host that was killed has left, if that is not too long ago. A file that cannot be read is told and counts as none.
async fn left(shared: &Shared, path: &Path) -> Option<Orders> {
    let (path, now) = (path.to_path_buf(), UNIX_EPOCH + shared.clock.unix_time());
    let read = blocking(move || {
        let Ok(metadata) = std::fs::metadata(&path) else { return Ok(None) };
        let age = metadata.modified().ok().and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age > AWAY_MAX) || metadata.len() > BYTES_MAX {
            return Ok(None);
        }
        let orders = std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<Orders>(&bytes));
        if let Some(Err(error)) = &orders {
            tracing::error!(path = %path.display(), %error, "what ran before cannot be read");
        }
        Ok(orders.and_then(Result::ok))
    });
    read.await.ok().flatten()
}

async fn take_up(shared: &Arc<Shared>, orders: Orders) {
    let count = orders.components.len() + orders.providers.len();
    if count == 0 {
        return;
    }
    tracing::info!(count, "this host was killed: what ran is taken up again");
    shared.caught_up().await;
    for mut start in orders.providers {
        start.host_id = shared.id.clone();
        let id = start.provider_id.clone();
        if let Err(problem) = order::start_provider(shared, start).await {
            tracing::warn!(provider = %id, %problem, "a provider was not taken up again");
        }
    }
    for mut scale in orders.components {
        scale.host_id = shared.id.clone();
        let id = scale.component_id.clone();
        if let Err(problem) = order::set_component(shared, scale).await {
            tracing::warn!(component = %id, %problem, "a component was not taken up again");
        }
    }
}

/// Writes the file whole.
async fn write(path: &Path, orders: &Orders) {
    let bytes = serde_json::to_vec(orders).expect("orders are plain JSON data");
    let path = path.to_path_buf();
    let written = blocking(move || Ok(replace(&path, &bytes))).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "what runs cannot be kept for a start after a kill");
    }
}

fn replace(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    let scratch = path.with_extension("json.tmp");
    std::fs::write(&scratch, bytes)?;
    std::fs::rename(&scratch, path)
}

async fn touch(shared: &Shared, path: &Path) {
    let (path, now) = (path.to_path_buf(), UNIX_EPOCH + shared.clock.unix_time());
    // Without it the orders are too old sooner; nothing more.
    let _ = blocking(move || {
        let touched = std::fs::File::options().append(true).open(&path);
        Ok(touched.and_then(|file| file.set_modified(now)))
    })
    .await;
}
