//! The child that runs one component: loads what is desired, puts it into the slot, replaces it without losing a call.

use crate::door::{Bindings, Door};
use crate::fetch::{Fetched, fetch};
use crate::shared::Shared;
use crate::slot::{Revision, Slot, limits_of};
use arc_swap::ArcSwap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::guest;
use umbel_core::event::{ComponentScaleFailed, ComponentScaled, Fact};
use umbel_core::limits::RestartMode;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{PartState, Scale};
use umbel_runtime::{Budget, Component, Image};
use umbel_supervisor::{Backoff, ChildContext, ChildSpec, Intensity, Restart};

/// The id of the components' supervisor.
pub const BRANCH: &str = "components";
/// What calls that are ended get to notice it; less than what the supervisor waits beyond the drain.
const END_GRACE: Duration = Duration::from_millis(1_500);

/// The child of one slot.
pub fn child(shared: &Arc<Shared>, slot: &Arc<Slot>) -> ChildSpec {
    let (shared, drain) = (shared.clone(), shared.config.drain);
    let (id, slot) = (slot.id.to_string(), slot.clone());
    ChildSpec::task(id, move |cx| run(shared.clone(), slot.clone(), cx))
        .kind("component")
        .restart(Restart::Transient)
        .backoff(Backoff::default())
        .intensity(Intensity::new(5, Duration::from_secs(300)))
        .ready_at_once()
        // Draining is ours to bound; the supervisor waits a little longer.
        .shutdown(drain + Duration::from_secs(2))
}

/// What was loaded for an order.
struct Loaded {
    image: Arc<Image>,
    digest: String,
    claims: Option<umbel_core::event::ComponentClaims>,
    public_key: Option<String>,
}

/// Follows the orders of the slot until it is stopped. What it does now and then is boxed: a host has thousands of these that wait, and
/// each would hold room for the largest of them.
async fn run(shared: Arc<Shared>, slot: Arc<Slot>, cx: ChildContext) -> Result<(), Problem> {
    let mut desired = slot.desired.subscribe();
    loop {
        let want = desired.borrow_and_update().clone();
        let load = async {
            let loaded = load(&shared, &slot, &want).await;
            shared.caught_up().await;
            loaded
        };
        let loaded = tokio::select! {
            loaded = Box::pin(load) => loaded,
            () = cx.stop.requested() => return Box::pin(finish(&shared, &slot)).await,
        };
        // The same order, sent again while it was worked on, has its answer in this.
        let is_newest = *desired.borrow_and_update() == want;
        match loaded {
            Ok(loaded) => {
                let revision = Box::pin(install(&shared, &slot, &want, loaded, &cx)).await;
                if is_newest && revision.component.image().world().is_command() {
                    match Box::pin(command(&shared, &slot, &revision, &cx, &mut desired)).await? {
                        After::Again => continue,
                        After::Ended => return Box::pin(finish(&shared, &slot)).await,
                    }
                }
            }
            Err(problem) => {
                Box::pin(refuse(&shared, &slot, &want, &problem, &cx)).await;
                // What a later try can mend is tried again by the supervisor; the rest waits for another order.
                if is_newest
                    && slot.current.load().is_none()
                    && (problem.kind.is_retryable() || problem.kind.is_ours())
                {
                    return Err(problem);
                }
            }
        }
        if !is_newest {
            continue;
        }
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return Box::pin(finish(&shared, &slot)).await },
            () = cx.stop.requested() => return Box::pin(finish(&shared, &slot)).await,
        }
    }
}

async fn load(shared: &Arc<Shared>, slot: &Slot, want: &Scale) -> Result<Loaded, Problem> {
    if slot.current.load().is_none() {
        slot.update(|s| s.state = PartState::Starting);
    }
    check_grants(shared, want)?;
    let Fetched { artifact, claims } = fetch(shared, want.component_ref.clone(), want.digest.clone()).await?;
    let digest = artifact.digest.to_string();
    if slot.current.load().is_none() && !shared.images.is_compiled(&digest) {
        slot.update(|s| s.state = PartState::Compiling);
    }
    let image = shared
        .images
        .load(&digest, &artifact.path, &want.component_ref)
        .await
        .map_err(|e| Problem::from(&e as &dyn Coded))?;
    let (claims, public_key) = match claims {
        Some(token) => {
            let shown = token.for_event(shared.clock.unix_time());
            (Some(shown), Some(token.claims().subject.to_string()))
        }
        None => (None, None),
    };
    Ok(Loaded { image, digest, claims, public_key })
}

/// Whether the folders that it is granted can be given now, all problems at once. One that goes later is missed by the guest alone.
fn check_grants(shared: &Shared, want: &Scale) -> Result<(), Problem> {
    let folders = want.grants.iter().flat_map(|grants| &grants.folders);
    let causes: Vec<String> = folders
        .filter_map(|folder| {
            Some(format!("`{}`: {}", folder.path, unusable(shared, Path::new(&folder.path))?))
        })
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    let message = format!("{} cannot be given {} of its folders", want.component_id, causes.len());
    Err(Problem::new(guest::GRANT_UNUSABLE, message).with_cause(causes.join("; ")))
}

/// Why a folder cannot be granted, if it cannot.
fn unusable(shared: &Shared, path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return Some("it is not absolute, and the manifest came without a folder of its own".into());
    }
    if let Err(error) = std::fs::read_dir(path) {
        return Some(error.to_string());
    }
    // Whoever has the platform's keys and secrets is the platform.
    let (folder, state) = (path.canonicalize().ok()?, shared.state.path().canonicalize().ok()?);
    let overlaps = state.starts_with(&folder) || folder.starts_with(&state);
    overlaps.then(|| "the platform's own state, with its keys and secrets, is in it".into())
}

/// Puts the new revision into the slot: from this moment calls go there. The old one drains.
async fn install(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    want: &Arc<Scale>,
    loaded: Loaded,
    cx: &ChildContext,
) -> Arc<Revision> {
    let mut limits = limits_of(want);
    // Half of the pool at most, whatever is asked for: the other half is for everybody else.
    limits.instances_max = limits.instances_max.min(shared.images.engine().instances_max_of(&loaded.image));
    let budget = slot.budget_for(&limits);
    let bindings = Arc::<ArcSwap<Bindings>>::default();
    let door = Door {
        id: slot.id.clone(),
        application: want.application.clone(),
        bindings: bindings.clone(),
        image: loaded.image.clone(),
        host: Arc::downgrade(shared),
        logs: shared.logs.clone(),
    };
    let component = Component::new(
        shared.images.engine(),
        slot.id.as_str(),
        loaded.image,
        want.instance_mode.unwrap_or_default(),
        budget,
        Arc::new(door),
        want.grants.clone().unwrap_or_default(),
    );
    let revision = Arc::new(Revision { component, order: want.clone(), bindings });
    shared.bind(&revision);
    // Calls in flight hold the old revision; its instances go with the last of them.
    slot.current.store(Some(revision.clone()));
    // What changed between the two steps was told to the old one.
    shared.bind(&revision);
    slot.update(|s| {
        s.state = PartState::Running;
        s.problem = None;
        s.image_ref = want.component_ref.clone();
        s.digest = Some(loaded.digest);
        s.claims = loaded.claims.clone();
        s.public_key = loaded.public_key.clone();
    });
    cx.detail.set(want.component_ref.clone());
    shared
        .tell(&Fact::ComponentScaled(ComponentScaled {
            annotations: want.annotations.clone().unwrap_or_default(),
            claims: loaded.claims,
            component_id: slot.id.to_string(),
            host_id: shared.id.to_string(),
            image_ref: want.component_ref.clone(),
            max_instances: want.count,
            public_key: loaded.public_key,
        }))
        .await;
    revision
}

/// The order cannot be followed: what runs goes on, and the reason is shown.
async fn refuse(shared: &Shared, slot: &Slot, want: &Scale, problem: &Problem, cx: &ChildContext) {
    slot.update(|s| {
        s.problem = Some(problem.clone());
        if slot.current.load().is_none() {
            s.state = PartState::Failed;
            s.image_ref = want.component_ref.clone();
            s.digest = want.digest.clone();
        }
    });
    cx.detail.set(problem.to_string());
    shared
        .tell(&Fact::ComponentScaleFailed(ComponentScaleFailed {
            annotations: want.annotations.clone().unwrap_or_default(),
            claims: None,
            component_id: slot.id.to_string(),
            error: problem.to_string(),
            host_id: shared.id.to_string(),
            image_ref: want.component_ref.clone(),
            max_instances: want.count,
            public_key: None,
        }))
        .await;
}

/// Waits until no call is under way; false at the deadline.
async fn idle(budgets: &[Arc<Budget>], deadline: Duration) -> bool {
    let all = futures::future::join_all(budgets.iter().map(|budget| budget.idle()));
    tokio::time::timeout(deadline, all).await.is_ok()
}

type Orders = tokio::sync::watch::Receiver<Arc<Scale>>;

enum After {
    /// Another order has come.
    Again,
    /// Stopped.
    Ended,
}

/// Runs a command to its end, on the data path: here a busy one would keep the tree waiting. A failure is the supervisor's to repeat;
/// after success the slot waits for another order.
async fn command(
    shared: &Shared,
    slot: &Slot,
    revision: &Revision,
    cx: &ChildContext,
    desired: &mut Orders,
) -> Result<After, Problem> {
    let (want, component) = (&revision.order, revision.component.clone());
    let restart = want.restart.unwrap_or_default();
    let run = shared.cores.run(shared.cores.quietest(), move || async move { component.run().await });
    let run = async {
        let result = run.await.map_err(|e| Problem::from(&e))?;
        result.map_err(|e| Problem::from(&e as &dyn Coded))
    };
    tokio::select! {
        result = run => match result {
            Ok(()) if restart == RestartMode::Always => {
                let problem = Problem::new(guest::SERVICE_ENDED, format!("{} ended, and is a service", slot.id));
                slot.update(|s| s.problem = Some(problem.clone()));
                slot.current.store(None);
                return Err(problem);
            }
            Ok(()) => slot.update(|s| s.state = PartState::Completed),
            Err(problem) if restart == RestartMode::Never => slot.update(|s| {
                s.state = PartState::Failed;
                s.problem = Some(problem);
            }),
            Err(problem) => {
                slot.update(|s| {
                    s.state = PartState::Failed;
                    s.problem = Some(problem.clone());
                });
                slot.current.store(None);
                return Err(problem);
            }
        },
        after = another(desired, want) => return Ok(after),
        () = cx.stop.requested() => return Ok(After::Ended),
    }
    tokio::select! {
        after = another(desired, want) => Ok(after),
        () = cx.stop.requested() => Ok(After::Ended),
    }
}

/// Waits for an order that differs: the same one, sent again, does not run a command twice.
async fn another(desired: &mut Orders, want: &Arc<Scale>) -> After {
    while desired.changed().await.is_ok() {
        if *desired.borrow_and_update() != *want {
            return After::Again;
        }
    }
    After::Ended
}

/// Refuses new calls, lets those in flight finish within the host's drain time, and leaves.
async fn finish(shared: &Shared, slot: &Slot) -> Result<(), Problem> {
    slot.update(|s| s.state = PartState::Draining);
    slot.current.store(None);
    let budgets: Vec<_> = slot.status().budgets().cloned().collect();
    for budget in &budgets {
        budget.stop();
    }
    if !idle(&budgets, shared.config.drain).await {
        tracing::warn!(component = %slot.id, "calls were still under way at the end of the drain");
        budgets.iter().for_each(|budget| budget.end());
        idle(&budgets, END_GRACE).await;
    }
    drop(budgets);
    slot.update(|s| {
        s.state = PartState::Stopped;
        s.retire();
    });
    Ok(())
}
