//! What is changed of a provider by hand: another in its place, a stop, a start, a fresh start.
//!
//! It holds until somebody changes it back or the provider's application is deployed again: a later deploy has a greater generation than
//! the one that the change was made in. It is kept with the links, so that it holds over a restart of the host too.

use super::look::look;
use super::{BRANCH, Body, ProviderSlot, child, told, way};
use crate::error::HostError;
use crate::inventory;
use crate::order::{self, maker_of, wake};
use crate::provider::Taken;
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::host as code;
use umbel_core::event::Deed;
use umbel_core::id::ProviderId;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{PartState, StartProvider};
use umbel_lattice::extension::provider::{
    ByHand, ProviderLink, ProviderShow, SwapRequest, SwapView, Swapped,
};
use umbel_provider::Health;
use umbel_supervisor::{State, SupervisorError};

/// How long somebody waits for a provider that was asked to change. Its work goes on.
const WAIT_MAX: Duration = Duration::from_secs(50);

/// What was changed by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// What runs in the place of what was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Swapped>,
    /// Whether it is stopped.
    #[serde(default)]
    pub is_stopped: bool,
    /// The application that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The generation that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl Hand {
    fn is_nothing(&self) -> bool {
        self.swapped.is_none() && !self.is_stopped
    }

    /// Whether the order is of the deploy that the change was made in, or of none.
    fn holds_for(&self, order: &StartProvider) -> bool {
        self.application == order.application
            && match (self.generation, order.generation) {
                (Some(made_in), Some(now)) => now <= made_in,
                _ => true,
            }
    }

    /// What the order comes to with it.
    pub async fn apply(&self, shared: &Shared, order: &mut StartProvider) {
        if let Some(swapped) = &self.swapped {
            order::put_instead(shared, order, &swapped.reference, swapped.isolation).await;
        }
    }

    /// As it is shown.
    pub fn view(&self) -> ByHand {
        ByHand { swapped: self.swapped.clone(), is_stopped: self.is_stopped }
    }
}

/// What holds for the order of what was changed by hand. What does not hold any more is forgotten.
pub async fn of(shared: &Shared, order: &StartProvider) -> Result<Option<Hand>, Problem> {
    let key = key(shared, &order.provider_id);
    let Some(hand) = shared.records().hand::<Hand>(&key).await.map_err(problem)? else { return Ok(None) };
    if hand.holds_for(order) {
        return Ok(Some(hand));
    }
    shared.records().set_hand::<Hand>(&key, None).await.map_err(problem)?;
    Ok(None)
}

/// It is of no provider that there is.
pub async fn forget(shared: &Shared, id: &ProviderId) -> Result<(), Problem> {
    shared.records().set_hand::<Hand>(&key(shared, id), None).await.map_err(problem)
}

/// Ids may have characters that keys may not.
fn key(shared: &Shared, id: &ProviderId) -> String {
    let digest = umbel_core::digest::Digest::of(id.as_str().as_bytes()).hex();
    format!("{}.provider.{}", shared.id, &digest[..32])
}

async fn keep(shared: &Shared, slot: &ProviderSlot, hand: Hand) -> Result<(), Problem> {
    let kept = (!hand.is_nothing()).then_some(&hand);
    shared.records().set_hand(&key(shared, &slot.id), kept).await.map_err(problem)?;
    slot.hand.store(kept.cloned().map(Arc::new));
    Ok(())
}

fn now(slot: &ProviderSlot) -> Hand {
    let order = slot.order();
    let hand = slot.hand.load_full().map(|hand| (*hand).clone()).unwrap_or_default();
    Hand { application: order.application.clone(), generation: order.generation, ..hand }
}

fn find(shared: &Shared, id: &ProviderId) -> Result<Arc<ProviderSlot>, Problem> {
    shared.provider(id.as_str()).ok_or_else(|| problem(HostError::UnknownProvider { id: id.to_string() }))
}

/// Puts another in its place, or looks what that would do.
pub async fn swap(shared: &Arc<Shared>, request: SwapRequest) -> Result<SwapView, Problem> {
    let _turn = shared.providers.turn(request.provider.as_str()).await;
    shared.check_open().map_err(problem)?;
    shared.caught_up().await;
    let slot = find(shared, &request.provider)?;
    if slot.is_moving() {
        // What it came to is seen by whoever asked for it.
        let _ = moved(&slot, slot.ordered().turn).await;
    }
    let before = slot.ordered();
    let mut order = (*before.order).clone();
    order::put_instead(shared, &mut order, &request.reference, request.isolation).await;
    let maker = maker_of(shared, &order).await?;
    let view = look(shared, &slot, &order, &maker).await;
    if request.dry_run {
        return Ok(view);
    }
    if let Some(problem) = view.problem {
        return Err(problem);
    }
    let branch = shared.branch(BRANCH).map_err(problem)?;
    // Kept first: what then happens, and takes long, or is cut off by the end of the host, is what was asked for.
    let hand_before = now(&slot);
    let mut hand = hand_before.clone();
    let manifest = hand.swapped.take().map(|swapped| (swapped.instead_of, swapped.instead_isolation));
    let manifest = manifest.unwrap_or_else(|| (before.order.provider_ref.clone(), before.order.isolation));
    let is_back = manifest == (request.reference.clone(), request.isolation);
    hand.swapped = (!is_back).then_some(Swapped {
        instead_of: manifest.0,
        instead_isolation: manifest.1,
        reference: request.reference,
        isolation: request.isolation,
    });
    keep(shared, &slot, hand).await?;
    let refused_before = slot.not_moved();
    let Some(turn) = slot.set_order(order, maker) else { return Ok(view) };
    wake(&branch, slot.id.as_str()).await;
    match moved(&slot, turn).await {
        Err(problem) if problem.code != code::PROVIDER_MOVES => {
            slot.take_back(turn, before, refused_before);
            keep(shared, &slot, hand_before).await?;
            Err(problem)
        }
        Err(problem) => Err(problem),
        Ok(()) => {
            let deed = told::deed(shared, &slot, Some(view.from.reference.clone()));
            shared.tell_by_hand(&Deed::ProviderSwapped(deed)).await;
            Ok(view)
        }
    }
}

async fn moved(slot: &ProviderSlot, turn: u64) -> Result<(), Problem> {
    match tokio::time::timeout(WAIT_MAX, slot.moved(turn)).await {
        Ok(moved) => moved,
        Err(_) => {
            let message = format!("`{}` has not changed within {WAIT_MAX:?}, and goes on doing so", slot.id);
            Err(Problem::new(code::PROVIDER_MOVES, message).of_provider(slot.id.as_str()))
        }
    }
}

/// Stops it, until it is started by hand or by a later deploy.
pub async fn stop(shared: &Arc<Shared>, id: &ProviderId) -> Result<String, Problem> {
    let _turn = shared.providers.turn(id.as_str()).await;
    let slot = find(shared, id)?;
    keep(shared, &slot, Hand { is_stopped: true, ..now(&slot) }).await?;
    let branch = shared.branch(BRANCH).map_err(problem)?;
    match branch.stop_child(id.as_str()).await {
        // It was stopped before, and not started since.
        Ok(()) | Err(SupervisorError::Unknown { .. }) => {}
        Err(error) => return Err(problem(error)),
    }
    rest(&slot);
    shared.parts_changed();
    shared.tell_by_hand(&Deed::ProviderStopped(told::deed(shared, &slot, None))).await;
    Ok(format!("provider {id} is stopped; a later deploy or `umbel provider start {id}` starts it again"))
}

/// It does not run, because somebody does not want it to.
pub fn rest(slot: &ProviderSlot) {
    slot.way.stop();
    // One that did not end in time ends with this.
    slot.set_body(Body::Code);
    slot.set(PartState::Stopped, Some(way::stopped(&slot.id)));
}

/// Starts one that is stopped, or has been given up. One that runs goes on.
pub async fn start(shared: &Arc<Shared>, id: &ProviderId) -> Result<String, Problem> {
    let _turn = shared.providers.turn(id.as_str()).await;
    shared.check_open().map_err(problem)?;
    let slot = find(shared, id)?;
    if slot.running().is_some() {
        return Ok(format!("provider {id} runs already"));
    }
    keep(shared, &slot, Hand { is_stopped: false, ..now(&slot) }).await?;
    begin(shared, &slot).await?;
    shared.tell_by_hand(&Deed::ProviderStarted(told::deed(shared, &slot, None))).await;
    Ok(format!("provider {id} runs"))
}

/// Starts it anew: calls wait meanwhile.
pub async fn restart(shared: &Arc<Shared>, id: &ProviderId) -> Result<String, Problem> {
    let _turn = shared.providers.turn(id.as_str()).await;
    shared.check_open().map_err(problem)?;
    let slot = find(shared, id)?;
    if slot.hand.load().as_ref().is_some_and(|hand| hand.is_stopped) {
        return Err(way::stopped(id));
    }
    begin(shared, &slot).await?;
    shared.tell_by_hand(&Deed::ProviderRestarted(told::deed(shared, &slot, None))).await;
    Ok(format!("provider {id} was started anew"))
}

/// Has it start, anew if it runs, and waits until it serves.
async fn begin(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> Result<(), Problem> {
    let turn = slot.renew();
    release(shared, slot).await?;
    moved(slot, turn).await
}

/// Lets the supervisor run it.
pub async fn release(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> Result<(), Problem> {
    let branch = shared.branch(BRANCH).map_err(problem)?;
    if slot.status().0 == PartState::Stopped {
        slot.way.close();
        slot.set(PartState::Starting, None);
    }
    match branch.revive_child(slot.id.as_str()).await {
        Ok(()) => Ok(()),
        Err(SupervisorError::Unknown { .. }) => branch.add_child(child(shared, slot)).await.map_err(problem),
        Err(error) => Err(problem(error)),
    }
}

/// All that there is to tell of it.
pub async fn show(shared: &Arc<Shared>, id: &ProviderId) -> Result<ProviderShow, Problem> {
    shared.caught_up().await;
    let slot = find(shared, id)?;
    let tree = shared.root().map(|root| root.tree());
    let node = tree.as_ref().and_then(|tree| tree.find(&[BRANCH, id.as_str()]));
    let tables = shared.tables.borrow().clone();
    let links = tables.links_with(id.as_str()).into_iter().map(|resolved| {
        let (is_taken, problem) = match slot.has_taken(&resolved) {
            Taken::Yes => (slot.running().is_some(), None),
            Taken::NotYet => (false, None),
            Taken::Refused(problem) => (false, Some(problem)),
        };
        ProviderLink { link: resolved.link, is_taken, problem }
    });
    let health = slot.running().map(|provider| provider.health());
    let process = slot.process();
    let claims = process.as_ref().and_then(|process| process.claims.as_ref());
    Ok(ProviderShow {
        links: links.collect(),
        config: tables.merged(&slot.order().config).into_keys().collect(),
        secrets: tables.secret_names(&slot.order().config),
        is_healthy: matches!(health, Some(Health::Healthy)),
        health: match health {
            Some(Health::Unhealthy(problem)) => Some(problem),
            _ => None,
        },
        last_exit: node.and_then(|node| node.last_exit.clone()),
        retry_in_ms: node.and_then(|node| match node.state {
            State::BackingOff { retry_in_ms } => Some(retry_in_ms),
            _ => None,
        }),
        folder: shared.state.join("providers").join(id.as_str()).display().to_string(),
        claims: claims.and_then(|claims| serde_json::to_value(claims).ok()),
        view: inventory::provider(&slot, node),
    })
}

fn problem(error: impl Coded) -> Problem {
    Problem::from(&error)
}
