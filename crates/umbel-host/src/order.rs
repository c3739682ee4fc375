//! Orders about parts: components and providers are started, changed and stopped here. The work itself is done by their children.

use crate::component;
use crate::error::HostError;
use crate::parts::{Order, check_generation};
use crate::process::Program;
use crate::provider::hand::{self, Hand};
use crate::provider::{self, Maker, ProviderSlot};
use crate::shared::Shared;
use crate::slot::Slot;
use std::sync::Arc;
use umbel_core::event::{ComponentScaled, Fact};
use umbel_core::id::HostId;
use umbel_core::limits::Isolation;
use umbel_core::reference::{Location, Reference};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{Scale, StartProvider, StopProvider, Update};
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
    maker_of(shared, &order)?;
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
        hand.apply(&mut order);
    }
    let maker = maker_of(shared, &order)?;
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
    let generation = order.generation.or(now.generation);
    shared.providers.bury(id, Order { application: now.application.as_deref(), generation });
    shared.parts_changed();
    Ok(format!("provider {id} is stopped"))
}

/// What a reference means: an archive, or a builtin by its name or because it stands in for an image of that name.
pub fn maker_of(shared: &Shared, order: &StartProvider) -> Result<Maker, Problem> {
    let reference = &order.provider_ref;
    let parsed = Reference::new(reference).map_err(problem)?;
    let name = match parsed.location() {
        Location::Builtin(name) => name.to_string(),
        Location::Oci(image) => image.name().to_string(),
        Location::File(path) if is_archive(path) => {
            return Ok(Maker::Process(Program::Archive(reference.clone()), None));
        }
        Location::File(_) | Location::Digest(_) => {
            return Err(problem(HostError::Archive { reference: reference.clone() }));
        }
    };
    let found = shared.factories.iter().find(|f| f.name() == name).cloned();
    let factory = found.ok_or_else(|| problem(HostError::UnknownBuiltin { reference: reference.clone() }))?;
    Ok(match order.isolation {
        Some(Isolation::Process) => Maker::Process(Program::Builtin(factory.name()), Some(factory)),
        None => Maker::Builtin(factory),
    })
}

fn is_archive(path: &std::path::Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".par") || name.ends_with(".par.gz")
}

fn problem(error: impl Coded) -> Problem {
    Problem::from(&error)
}
