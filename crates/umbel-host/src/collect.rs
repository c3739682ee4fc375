//! Makes place on the disk: artifacts that nothing refers to any more go, and compiled code beyond its limit.
//!
//! What runs or is to run here stays, what a version of an application refers to, and what was asked for lately: between fetching
//! an artifact and writing down who needs it there may be one collection, not two. Of archives, the programs that were unpacked from
//! them stay as long as a provider that is ordered or runs is made of them. Whoever keeps versions is asked over the
//! lattice; when nobody answers, no artifact is removed.

use crate::fetch::blocking;
use crate::inventory::inventory;
use crate::process;
use crate::registries;
use crate::shared::Shared;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use umbel_core::digest::Digest;
use umbel_core::{Coded, Problem};
use umbel_lattice::wadm::{Client, GetResult};
use umbel_supervisor::ChildContext;

/// How long whoever keeps versions may take to look through them.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The child that collects.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let versions = Client::new(shared.lattice.clone(), ANSWER_MAX);
    let every = shared.config.collect;
    let mut tick = tokio::time::interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    cx.ready.notify();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = cx.stop.requested() => return Ok(()),
        }
        tokio::select! {
            () = collect(&shared, &versions) => {}
            () = cx.stop.requested() => return Ok(()),
        }
    }
}

async fn collect(shared: &Arc<Shared>, versions: &Client) {
    match keep(shared, versions).await {
        Ok(keep) => {
            let store = shared.store.clone();
            match blocking(move || Ok(store.collect(&keep)?)).await {
                Ok(collected) if collected.blobs == 0 => {}
                Ok(collected) => {
                    let (artifacts, bytes) = (collected.blobs, collected.bytes);
                    tracing::info!(artifacts, bytes, "artifacts that nothing refers to were removed");
                }
                Err(problem) => {
                    tracing::warn!(%problem, causes = ?problem.causes, "artifacts were not collected")
                }
            }
        }
        Err(reason) => tracing::debug!(reason, "artifacts are not collected"),
    }
    match process::collect(shared).await {
        Ok(0) => {}
        Ok(executables) => {
            tracing::info!(executables, "programs of archives that no provider needs were removed")
        }
        Err(problem) => {
            tracing::warn!(%problem, causes = ?problem.causes, "programs of archives were not collected")
        }
    }
    let images = shared.images.clone();
    match blocking(move || images.trim_code().map_err(|e| Problem::from(&e as &dyn Coded))).await {
        Ok(trimmed) if trimmed.components == 0 => {}
        Ok(trimmed) => {
            let (components, bytes) = (trimmed.components, trimmed.bytes);
            tracing::info!(components, bytes, "compiled code beyond the limit was removed");
        }
        Err(problem) => tracing::warn!(%problem, causes = ?problem.causes, "compiled code was not trimmed"),
    }
}

/// What must stay, or why that is not known.
async fn keep(shared: &Arc<Shared>, versions: &Client) -> Result<HashSet<Digest>, String> {
    let reply = versions.digests().await.map_err(|error| error.to_string())?;
    if reply.result != GetResult::Success {
        return Err(reply.message);
    }
    let mut keep = HashSet::new();
    for digest in reply.digests {
        // One that is not understood may be of what is stored all the same.
        keep.insert(Digest::new(digest).map_err(|error| error.to_string())?);
    }
    let running = inventory(shared).components.into_iter().filter_map(|component| component.digest);
    keep.extend(running.filter_map(|digest| Digest::new(digest).ok()));
    let providers = shared.providers.all();
    let providers = providers.values().filter_map(|slot| Some(slot.component()?.digest.clone()));
    keep.extend(providers.filter_map(|digest| Digest::new(digest).ok()));
    keep.extend(registries::ordered(shared).await.map_err(|problem| problem.to_string())?);
    Ok(keep)
}
