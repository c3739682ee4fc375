//! Orders about parts: components and providers are started, changed and stopped here. The work itself is done by their children.

use crate::component;
use crate::component_provider::Plan;
use crate::error::HostError;
use crate::fetch::blocking;
use crate::parts::{Order, check_generation};
use crate::process::{self, Program};
use crate::provider::hand::{self, Hand};
use crate::provider::{self, Maker, ProviderSlot};
use crate::registries;
use crate::shared::Shared;
use crate::slot::Slot;
use crate::wasmcloud::stand_in;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use umbel_artifact::oci::Kind;
use umbel_artifact::par;
use umbel_core::code::host as code;
use umbel_core::digest::Digest;
use umbel_core::event::{ComponentScaled, Fact};
use umbel_core::id::HostId;
use umbel_core::limits::{Isolation, Limits};
use umbel_core::reference::{Location, Reference};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{ProviderKind, Scale, StartProvider, StopProvider, Update};
use umbel_supervisor::{Handle, SupervisorError};

/// What the order's giver is told.
pub type Said = Result<String, Problem>;

/// Fails when the order is for another host.
pub fn check_host(shared: &Shared, given: &HostId) -> Result<(), HostError> {
    if *given == shared.id {
        return Ok(());
    }
    Err(HostError::WrongHost { given: given.to_string(), this: shared.id.to_string() })
}

/// Replaces the image of a component.
pub async fn update_component(shared: &Arc<Shared>, order: Update) -> Said {
    check_host(shared, &order.host_id).map_err(problem)?;
    let id = order.component_id.to_string();
    let slot = shared.slot(&id).ok_or_else(|| problem(HostError::UnknownComponent { id }))?;
    let mut next = slot.desired.borrow().as_ref().clone();
    next.component_ref = order.new_component_ref;
    next.digest = None;
    next.allow_update = true;
    if order.annotations.is_some() {
        next.annotations = order.annotations;
    }
    set_component(shared, next).await
}

/// Starts, changes or stops a component.
pub async fn set_component(shared: &Arc<Shared>, order: Scale) -> Said {
    check_host(shared, &order.host_id).map_err(problem)?;
    let id = order.component_id.clone();
    let _turn = shared.slots.turn(id.as_str()).await;
    let slot = shared.slot(id.as_str());
    let now = slot.as_ref().and_then(|slot| slot.desired.borrow().generation);
    check_generation(id.as_str(), now, order.generation).map_err(problem)?;
    match slot {
        Some(slot) if order.count == 0 => stop_component(shared, &slot, &order).await,
        None if order.count == 0 => {
            // Its start may come after it.
            shared.slots.check_gone(id.as_str(), of_scale(&order)).map_err(problem)?;
            shared.slots.bury(id.as_str(), of_scale(&order));
            Ok(format!("component {id} does not run here"))
        }
        Some(slot) => change_component(shared, &slot, order).await,
        None => start_component(shared, order).await,
    }
}

fn of_scale(order: &Scale) -> Order<'_> {
    Order { application: order.application.as_deref(), generation: order.generation }
}

async fn start_component(shared: &Arc<Shared>, order: Scale) -> Said {
    shared.check_open().map_err(problem)?;
    shared.slots.check_gone(order.component_id.as_str(), of_scale(&order)).map_err(problem)?;
    let branch = shared.branch(component::BRANCH).map_err(problem)?;
    let slot = Arc::new(Slot::new(order));
    let id = slot.id.as_str();
    shared.slots.add(id, &slot);
    let started = branch.add_child(component::child(shared, &slot)).await;
    if started.is_err() {
        shared.slots.remove(id);
    }
    shared.parts_changed();
    started.map(|()| format!("component {id} is being scaled")).map_err(problem)
}

async fn change_component(shared: &Arc<Shared>, slot: &Arc<Slot>, mut order: Scale) -> Said {
    shared.check_open().map_err(problem)?;
    let (id, now) = (slot.id.as_str(), slot.desired.borrow().clone());
    // wasmCloud leaves the image alone unless an update is allowed.
    if order.component_ref != now.component_ref && !order.allow_update {
        order.component_ref.clone_from(&now.component_ref);
        order.digest.clone_from(&now.digest);
    }
    order.generation = order.generation.or(now.generation);
    slot.desired.send_replace(Arc::new(order));
    wake(&shared.branch(component::BRANCH).map_err(problem)?, id).await;
    Ok(format!("component {id} is being scaled"))
}

async fn stop_component(shared: &Arc<Shared>, slot: &Arc<Slot>, order: &Scale) -> Said {
    let id = slot.id.as_str();
    let branch = shared.branch(component::BRANCH).map_err(problem)?;
    // Links that lead elsewhere by now are followed before what they led to goes.
    shared.caught_up().await;
    for source in shared.slots.all().values().filter_map(|slot| slot.current.load_full()) {
        if source.bindings.load().lead_to(id) {
            shared.bind(&source);
        }
    }
    for provider in shared.providers.all().values().filter_map(|slot| slot.component()) {
        if provider.leads_to(id) {
            provider.bind(shared);
        }
    }
    branch.remove_child(id).await.map_err(problem)?;
    let last = slot.desired.borrow().clone();
    let generation = order.generation.or(last.generation);
    shared.slots.bury(id, Order { application: last.application.as_deref(), generation });
    shared.parts_changed();
    let status = slot.status();
    shared
        .tell(&Fact::ComponentScaled(ComponentScaled {
            annotations: slot.annotations(),
            claims: status.claims,
            component_id: id.to_string(),
            host_id: shared.id.to_string(),
            image_ref: status.image_ref,
            max_instances: 0,
            public_key: status.public_key,
        }))
        .await;
    Ok(format!("component {id} is stopped"))
}

/// A new order revives a part that has given up. The supervisor decides whether it has: the snapshots of its tree are late, and a
/// part that gives up at this moment would never hear of the order.
pub async fn wake(branch: &Handle, id: &str) {
    // Its own failure, if it fails again, is shown by its status.
    let _ = branch.revive_child(id).await;
}

/// Starts a provider, or changes one that runs: its config, its annotations, its generation, what it is made of.
pub async fn start_provider(shared: &Arc<Shared>, mut order: StartProvider) -> Said {
    check_host(shared, &order.host_id).map_err(problem)?;
    maker_of(shared, &order).await?;
    let id = order.provider_id.clone();
    let _turn = shared.providers.turn(id.as_str()).await;
    shared.check_open().map_err(problem)?;
    let branch = shared.branch(provider::BRANCH).map_err(problem)?;
    let slot = shared.provider(id.as_str());
    if let Some(slot) = &slot {
        check_generation(id.as_str(), slot.order().generation, order.generation).map_err(problem)?;
    }
    let hand = hand::of(shared, &order).await?;
    if let Some(hand) = &hand {
        hand.apply(shared, &mut order).await;
    }
    let maker = maker_of(shared, &order).await?;
    if let Some(slot) = slot {
        return change_provider(shared, &slot, order, maker, hand).await;
    }
    let given = Order { application: order.application.as_deref(), generation: order.generation };
    shared.providers.check_gone(id.as_str(), given).map_err(problem)?;
    let slot = Arc::new(ProviderSlot::new(order, maker));
    let is_stopped = hand.as_ref().is_some_and(|hand| hand.is_stopped);
    slot.hand.store(hand.map(Arc::new));
    if is_stopped {
        hand::rest(&slot);
        shared.providers.add(id.as_str(), &slot);
        shared.parts_changed();
        return Ok(format!("provider {id} is stopped by hand"));
    }
    shared.providers.add(id.as_str(), &slot);
    let started = branch.add_child(provider::child(shared, &slot)).await;
    if started.is_err() {
        shared.providers.remove(id.as_str());
    }
    shared.parts_changed();
    started.map(|()| format!("successfully started provider {id}")).map_err(problem)
}

/// The provider goes on serving: its child hands it what is new. One of another make takes its place when it is ready.
async fn change_provider(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    mut order: StartProvider,
    maker: Maker,
    hand: Option<Hand>,
) -> Said {
    let (id, now) = (slot.id.as_str(), slot.order());
    // A plan may name another image; wasmCloud's tools are refused as they know it.
    if now.provider_ref != order.provider_ref && order.generation.is_none() {
        let (current, given) = (now.provider_ref.clone(), order.provider_ref);
        return Err(problem(HostError::ProviderExists { id: id.into(), current, given }));
    }
    order.generation = order.generation.or(now.generation);
    let is_new = *now != order;
    let is_stopped = hand.as_ref().is_some_and(|hand| hand.is_stopped);
    slot.hand.store(hand.map(Arc::new));
    slot.set_order(order, maker);
    if is_stopped {
        return Ok(format!("provider {id} is stopped by hand"));
    }
    hand::release(shared, slot).await?;
    Ok(if is_new { format!("provider {id} is being changed") } else { format!("provider {id} runs already") })
}

/// Stops a provider.
pub async fn stop_provider(shared: &Arc<Shared>, order: StopProvider) -> Said {
    check_host(shared, &order.host_id).map_err(problem)?;
    let id = order.provider_id.as_str();
    let _turn = shared.providers.turn(id).await;
    let Some(slot) = shared.provider(id) else {
        return Err(problem(HostError::UnknownProvider { id: id.into() }));
    };
    let now = slot.order();
    check_generation(id, now.generation, order.generation).map_err(problem)?;
    let branch = shared.branch(provider::BRANCH).map_err(problem)?;
    match branch.remove_child(id).await {
        // It was stopped by hand before it was started.
        Ok(()) | Err(SupervisorError::Unknown { .. }) => {}
        Err(error) => return Err(problem(error)),
    }
    hand::forget(shared, &slot.id).await?;
    slot.way.close();
    slot.end();
    let generation = order.generation.or(now.generation);
    shared.providers.bury(id, Order { application: now.application.as_deref(), generation });
    shared.parts_changed();
    Ok(format!("provider {id} is stopped"))
}

/// What a reference means: a component or an archive by its bytes, or a builtin by its name or because it stands in for an image.
pub async fn maker_of(shared: &Shared, order: &StartProvider) -> Result<Maker, Problem> {
    let maker = match artifact(shared, order).await? {
        Some(maker) => maker,
        None => builtin(shared, order)?,
    };
    let unfit = match maker.kind() {
        ProviderKind::Component => unfit_for_component(order),
        ProviderKind::Process => unfit_for_process(order),
        ProviderKind::Builtin => unfit_for_builtin(order),
    };
    match unfit {
        None => Ok(maker),
        Some(why) => Err(Problem::new(code::PROVIDER_PROPERTIES, format!("`{}` {why}", order.provider_ref))),
    }
}

fn unfit_for_builtin(order: &StartProvider) -> Option<String> {
    let is_said = order.limits.is_some() || order.grants.is_some() || order.containment.is_some();
    is_said.then(|| "is a builtin, which has no limits and grants of its own".into())
}

fn unfit_for_component(order: &StartProvider) -> Option<String> {
    let containment = order.containment.unwrap_or_default();
    let names = [
        ("isolation", order.isolation.is_some()),
        ("limits.pids", containment.pids_max.is_some()),
        ("sandbox", !containment.sandbox.is_none()),
    ];
    said(&names).map(|names| format!("is a component, which is kept apart already: it has no {names}"))
}

/// A limit that is as it is by default was not said.
fn unfit_for_process(order: &StartProvider) -> Option<String> {
    let (default, given) = (Limits::default(), order.limits.clone().unwrap_or_default());
    let of_whole = order.containment.unwrap_or_default();
    let is_memory = given.memory_bytes_max != default.memory_bytes_max;
    let names = [
        ("grants", order.grants.is_some()),
        ("limits.memory", is_memory && of_whole.memory_bytes_max.is_none()),
        ("limits.cpu", given.cpu_percent_max > 0 && of_whole.cpu_percent_max.is_none()),
        ("limits.call_time", given.call_ms_max != default.call_ms_max),
        ("limits.instances", given.instances_max != default.instances_max),
        ("limits.waiting", given.waiting_max != default.waiting_max),
        ("limits.log_rate", given.log_bytes_per_s_max != default.log_bytes_per_s_max),
        ("limits.outbound_hosts", !given.outbound_hosts.is_empty()),
    ];
    said(&names).map(|names| format!("is a process, which is not held by {names}"))
}

fn said(names: &[(&str, bool)]) -> Option<String> {
    let said: Vec<String> = names.iter().filter(|(_, is)| *is).map(|(name, _)| format!("`{name}`")).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a reference to bytes means.
async fn artifact(shared: &Shared, order: &StartProvider) -> Result<Option<Maker>, Problem> {
    let reference = &order.provider_ref;
    let parsed = Reference::new(reference).map_err(problem)?;
    let kind = match parsed.location() {
        Location::Builtin(_) => return Ok(None),
        Location::Oci(image) if stand_in(shared, image).is_some() => return Ok(None),
        Location::Oci(image) => {
            let digest =
                order.digest.as_ref().map(|digest| Digest::new(digest).map_err(problem)).transpose()?;
            match registries::kind(shared, image, digest.as_ref()).await? {
                Kind::Component => Ok(ProviderKind::Component),
                Kind::Provider => Ok(ProviderKind::Process),
            }
        }
        // Only components are kept by their digests.
        _ if order.digest.is_some() => return Ok(Some(component(order))),
        Location::Digest(_) => return Ok(Some(component(order))),
        Location::File(path) => {
            let path = path.to_path_buf();
            blocking(move || Ok(kind_of(&path))).await?
        }
    };
    match kind {
        Ok(ProviderKind::Component) => Ok(Some(component(order))),
        Ok(_) => Ok(Some(Maker::Process(plan(archive(order), order), None))),
        Err(what) => Err(problem(HostError::NoProvider { reference: reference.clone(), what })),
    }
}

fn archive(order: &StartProvider) -> Program {
    Program::Archive { reference: order.provider_ref.clone(), digest: order.digest.clone() }
}

fn plan(program: Program, order: &StartProvider) -> process::Plan {
    process::Plan { program, containment: order.containment.unwrap_or_default() }
}

fn component(order: &StartProvider) -> Maker {
    Maker::Component(Arc::new(Plan::of(order)))
}

/// Puts another reference into an order. What was said for what it named before is not said for this one, unless both are components.
pub async fn put_instead(
    shared: &Shared,
    order: &mut StartProvider,
    reference: &str,
    isolation: Option<Isolation>,
) {
    let was_process = kind_named(shared, order).await == Some(ProviderKind::Process);
    order.provider_ref = reference.into();
    (order.isolation, order.digest) = (isolation, None);
    match kind_named(shared, order).await {
        Some(ProviderKind::Component) if !was_process => {}
        Some(ProviderKind::Process) if was_process => {}
        _ => (order.limits, order.grants, order.containment) = (None, None, None),
    }
}

/// What kind of provider the order names, as far as that can be seen from here.
async fn kind_named(shared: &Shared, order: &StartProvider) -> Option<ProviderKind> {
    match (artifact(shared, order).await, order.isolation) {
        (Ok(Some(maker)), _) => Some(maker.kind()),
        (_, Some(Isolation::Process)) => Some(ProviderKind::Process),
        _ => None,
    }
}

/// What the file is by its first bytes; if it cannot be read, by its name: whoever starts it says what is wrong with it. Otherwise what it
/// is instead of a provider.
fn kind_of(path: &Path) -> Result<ProviderKind, String> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(par::HEAD_BYTES).read_to_end(&mut head));
    let name = path.to_string_lossy();
    let is_named_archive = name.ends_with(".par") || name.ends_with(".par.gz");
    match read {
        Ok(_) if head.starts_with(b"\0asm") => Ok(ProviderKind::Component),
        Ok(_) if par::is_archive(&head) => Ok(ProviderKind::Process),
        Err(error) if error.kind() == ErrorKind::IsADirectory => Err("it is a folder".into()),
        Err(_) if name.ends_with(".wasm") => Ok(ProviderKind::Component),
        _ if is_named_archive => Ok(ProviderKind::Process),
        Err(error) => Err(format!("it cannot be read ({error})")),
        Ok(_) => Err(instead(&head, &name)),
    }
}

/// What a file is that is neither a component nor an archive.
fn instead(head: &[u8], name: &str) -> String {
    match head {
        [] => "the file is empty".into(),
        [b'\x7f', b'E', b'L', b'F', ..] => {
            format!(
                "it is an executable; `umbel par create {name}.par.gz --binary {name}` makes an archive of it"
            )
        }
        _ if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) => {
            format!("it is text; if it is a manifest, `umbel deploy {name}` deploys it")
        }
        _ => "it is neither a component nor an archive".into(),
    }
}

/// What a reference to a builtin means.
fn builtin(shared: &Shared, order: &StartProvider) -> Result<Maker, Problem> {
    let reference = &order.provider_ref;
    let parsed = Reference::new(reference).map_err(problem)?;
    let found = match parsed.location() {
        Location::Builtin(name) => shared.factories.iter().find(|factory| factory.name() == name),
        Location::Oci(image) => stand_in(shared, image),
        Location::File(_) | Location::Digest(_) => {
            let what = "it is neither a component nor an archive".into();
            return Err(problem(HostError::NoProvider { reference: reference.clone(), what }));
        }
    };
    let factory = found.cloned().ok_or_else(|| {
        let known = shared.factories.iter().map(|factory| factory.name()).collect();
        problem(HostError::UnknownBuiltin { reference: reference.clone(), known })
    })?;
    Ok(match order.isolation {
        Some(Isolation::Process) if !factory.runs_apart() => {
            let text = format!(
                "`{reference}` serves the host itself, and cannot be a process: it has no `isolation`"
            );
            return Err(Problem::new(code::PROVIDER_PROPERTIES, text));
        }
        Some(Isolation::Process) => {
            Maker::Process(plan(Program::Builtin(factory.name()), order), Some(factory))
        }
        None => Maker::Builtin(factory),
    })
}

fn problem(error: impl Coded) -> Problem {
    Problem::from(&error)
}
