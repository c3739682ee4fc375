//! The child that runs one component: loads what is desired, puts it into the slot, replaces it without losing a call.

use crate::door::{Bindings, Door, Importer};
use crate::fetch::{Fetched, blocking, fetch};
use crate::shared::Shared;
use crate::slot::{Revision, Slot, limits_of};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::guest;
use umbel_core::event::{ComponentScaleFailed, ComponentScaled, Fact};
use umbel_core::grants::Grants;
use umbel_core::limits::RestartMode;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{PartState, Scale};
use umbel_runtime::{Around, Budget, Component, Granted, Image};
use umbel_supervisor::{Backoff, ChildContext, ChildSpec, Intensity, Restart};

/// The id of the components' supervisor.
pub const BRANCH: &str = "components";
/// What calls that are ended get to notice it; less than what the supervisor waits beyond the drain.
const END_GRACE: Duration = Duration::from_millis(1_500);

/// Between finding a component and asking its budget.
const FOUND_GRACE: Duration = Duration::from_millis(2);

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
pub(crate) struct Loaded {
    pub image: Arc<Image>,
    pub digest: String,
    claims: Option<umbel_core::event::ComponentClaims>,
    public_key: Option<String>,
}

/// Follows the orders of the slot until it is stopped. What it does now and then is boxed: a host has thousands of these that wait, and
/// each would hold room for the largest of them.
async fn run(shared: Arc<Shared>, slot: Arc<Slot>, cx: ChildContext) -> Result<(), Problem> {
    let mut desired = slot.desired.subscribe();
    // What runs to its end goes on until what takes its place is loaded.
    let mut command = Command::none();
    loop {
        let want = desired.borrow_and_update().clone();
        // The same order, sent again, does not run a command twice.
        if !command.is_of(&want) {
            let load = async {
                let loaded = load(&shared, &slot, &want).await;
                shared.caught_up().await;
                loaded
            };
            let mut load = Box::pin(load);
            let loaded = loop {
                tokio::select! {
                    loaded = &mut load => break loaded,
                    ended = command.ended() => ended.note(&slot, &cx)?,
                    () = cx.stop.requested() => return Box::pin(finish(&shared, &slot, command)).await,
                }
            };
            drop(load);
            // An order that came while this one was worked on; the same, sent again, has its answer in this.
            let is_newest = *desired.borrow_and_update() == want;
            match loaded {
                Ok((loaded, granted)) => {
                    command = Command::none();
                    let revision = Box::pin(install(&shared, &slot, &want, loaded, granted, &cx)).await;
                    if is_newest && revision.component.image().world().is_command() {
                        command = Command::of(&shared, &revision);
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
        }
        loop {
            tokio::select! {
                changed = desired.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Box::pin(finish(&shared, &slot, command)).await,
                },
                ended = command.ended() => ended.note(&slot, &cx)?,
                () = cx.stop.requested() => return Box::pin(finish(&shared, &slot, command)).await,
            }
        }
    }
}

async fn load(shared: &Arc<Shared>, slot: &Slot, want: &Scale) -> Result<(Loaded, Granted), Problem> {
    if slot.current.load().is_none() {
        slot.update(|s| s.state = PartState::Starting);
    }
    let granted = open_grants(shared, want.component_id.as_str(), want.grants.clone()).await?;
    let compiles = || {
        if slot.current.load().is_none() {
            slot.update(|s| s.state = PartState::Compiling);
        }
    };
    let loaded = load_image(shared, want.component_ref.clone(), want.digest.clone(), compiles).await?;
    Ok((loaded, granted))
}

/// The image that a reference names; `compiles` is told that it takes a while.
pub(crate) async fn load_image(
    shared: &Arc<Shared>,
    reference: String,
    digest: Option<String>,
    compiles: impl FnOnce(),
) -> Result<Loaded, Problem> {
    let Fetched { artifact, claims } = fetch(shared, reference.clone(), digest).await?;
    let digest = artifact.digest.to_string();
    if !shared.images.is_compiled(&digest) {
        compiles();
    }
    let image = shared
        .images
        .load(&digest, &artifact.path, &reference)
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

/// Opens the folders that it is granted, or tells all problems at once. One that goes later is missed by the guest alone.
pub(crate) async fn open_grants(
    shared: &Shared,
    id: &str,
    grants: Option<Grants>,
) -> Result<Granted, Problem> {
    let Some(grants) = grants else { return Ok(Granted::default()) };
    let id = id.to_string();
    let around =
        Around { closed: shared.state.path().to_path_buf(), writable: writable_folders(shared, &grants) };
    blocking(move || {
        Granted::open(grants, around).map_err(|causes| {
            let message = format!("{id} cannot be given {} of its folders", causes.len());
            Problem::new(guest::GRANT_UNUSABLE, message).with_cause(causes.join("; "))
        })
    })
    .await
}

/// The folders that components of this host may write to, also those of the order that is followed.
fn writable_folders(shared: &Shared, own: &Grants) -> Vec<PathBuf> {
    let orders: Vec<_> = shared.slots.all().values().map(|slot| slot.desired.borrow().clone()).collect();
    let providers: Vec<_> = shared.providers.all().values().map(|slot| slot.order()).collect();
    let of_providers = providers.iter().filter_map(|order| order.grants.as_ref());
    let all = orders.iter().filter_map(|order| order.grants.as_ref()).chain(of_providers).chain([own]);
    let folders = all.flat_map(|grants| &grants.folders).filter(|folder| folder.writable);
    let folders = folders.map(|folder| PathBuf::from(&folder.path));
    // Providers that are components write to folders of their own.
    folders.chain([shared.state.join("providers")]).collect()
}

/// Puts the new revision into the slot: from this moment calls go there. The old one drains.
async fn install(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    want: &Arc<Scale>,
    loaded: Loaded,
    granted: Granted,
    cx: &ChildContext,
) -> Arc<Revision> {
    let mut limits = limits_of(want, shared.config.wasmcloud.execution_max);
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
        trial: Arc::default(),
    };
    let component = Component::new(
        shared.images.engine(),
        slot.id.as_str(),
        loaded.image,
        want.instance_mode.unwrap_or_default(),
        budget,
        Arc::new(door),
        granted,
    );
    let revision = Arc::new(Revision { component, order: want.clone(), bindings });
    shared.fetch_secrets(Importer::of(&revision.order)).await;
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
    shared.parts_changed();
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

/// A command or service of one revision. Dropping it ends the guest.
struct Command {
    order: Option<Arc<Scale>>,
    // Nothing once its end was told.
    run: Option<BoxFuture<'static, Result<(), Problem>>>,
}

/// How a command has ended.
struct Ended {
    restart: RestartMode,
    result: Result<(), Problem>,
}

impl Command {
    fn none() -> Command {
        Command { order: None, run: None }
    }

    /// Starts it, on the data path: here a busy one would keep the tree waiting.
    fn of(shared: &Arc<Shared>, revision: &Revision) -> Command {
        let (cores, component) = (shared.cores.clone(), revision.component.clone());
        let run = async move {
            let run = cores.run(cores.quietest(), move || async move { component.run().await });
            let result = run.await.map_err(|e| Problem::from(&e))?;
            result.map_err(|e| Problem::from(&e as &dyn Coded))
        };
        Command { order: Some(revision.order.clone()), run: Some(Box::pin(run)) }
    }

    fn is_of(&self, order: &Scale) -> bool {
        self.order.as_deref() == Some(order)
    }

    /// Its end, once; never, if nothing runs. Cancel-safe.
    async fn ended(&mut self) -> Ended {
        let (Some(run), Some(order)) = (&mut self.run, &self.order) else {
            return std::future::pending().await;
        };
        let result = run.await;
        let restart = order.restart.unwrap_or_default();
        self.run = None;
        Ended { restart, result }
    }
}

impl Ended {
    /// Shows it. A failure is the supervisor's to repeat; after success the slot waits for another order.
    fn note(self, slot: &Slot, cx: &ChildContext) -> Result<(), Problem> {
        let problem = match (self.result, self.restart) {
            (Ok(()), RestartMode::Always) => {
                Problem::new(guest::SERVICE_ENDED, format!("{} ended, and is a service", slot.id))
            }
            (Ok(()), _) => {
                slot.update(|s| s.state = PartState::Completed);
                cx.detail.set("completed");
                return Ok(());
            }
            (Err(problem), _) => problem,
        };
        slot.update(|s| {
            s.state = PartState::Failed;
            s.problem = Some(problem.clone());
        });
        if self.restart == RestartMode::Never {
            cx.detail.set(format!("failed: {problem}"));
            return Ok(());
        }
        slot.current.store(None);
        Err(problem)
    }
}

/// Refuses new calls, lets those in flight finish within the host's drain time, and leaves.
async fn finish(shared: &Shared, slot: &Slot, command: Command) -> Result<(), Problem> {
    slot.update(|s| s.state = PartState::Draining);
    slot.current.store(None);
    shared.parts_changed();
    drop(command);
    // Whoever has just found what ran has yet to ask its budget.
    tokio::time::sleep(FOUND_GRACE).await;
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
