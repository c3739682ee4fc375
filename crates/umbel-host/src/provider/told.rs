//! The events of a provider.

use super::ProviderSlot;
use super::swap::word;
use crate::shared::Shared;
use umbel_core::Problem;
use umbel_core::code::host::PROVIDER_GIVEN_UP;
use umbel_core::event::{ProviderDeed, ProviderStartFailed, ProviderStarted, ProviderStopped};
use umbel_core::link::DEFAULT_LINK_NAME;
use umbel_lattice::control::StartProvider;

pub(super) fn started(shared: &Shared, slot: &ProviderSlot) -> ProviderStarted {
    let order = slot.order();
    ProviderStarted {
        annotations: order.annotations.clone().unwrap_or_default(),
        claims: None,
        host_id: shared.id.to_string(),
        image_ref: image_ref(&order),
        instance_id: None,
        link_name: None,
        provider_id: order.provider_id.to_string(),
        public_key: None,
    }
}

/// What tools wait for: wadm for the very reference that it gave, `wash` for that of host 1.9.2, which has lost its scheme.
fn image_ref(order: &StartProvider) -> String {
    let is_wadms = order.annotations.as_ref().is_some_and(|found| found.contains_key(MANAGED_BY));
    match order.provider_ref.strip_prefix("file://") {
        Some(path) if !is_wadms => path.to_string(),
        _ => order.provider_ref.clone(),
    }
}

/// The annotation of what wadm, or our manager, has ordered.
const MANAGED_BY: &str = "wasmcloud.dev/managed-by";

pub(super) fn start_failed(shared: &Shared, slot: &ProviderSlot, problem: &Problem) -> ProviderStartFailed {
    let order = slot.order();
    ProviderStartFailed {
        error: problem.to_string(),
        host_id: shared.id.to_string(),
        link_name: DEFAULT_LINK_NAME.into(),
        provider_id: order.provider_id.to_string(),
        provider_ref: order.provider_ref.clone(),
    }
}

pub(super) fn stopped(shared: &Shared, slot: &ProviderSlot, reason: &str) -> ProviderStopped {
    let order = slot.order();
    ProviderStopped {
        annotations: order.annotations.clone().unwrap_or_default(),
        host_id: shared.id.to_string(),
        instance_id: order.provider_id.to_string(),
        link_name: DEFAULT_LINK_NAME.into(),
        provider_id: order.provider_id.to_string(),
        public_key: order.provider_id.to_string(),
        reason: reason.into(),
    }
}

/// It was changed by hand, and is what it is now.
pub(super) fn deed(shared: &Shared, slot: &ProviderSlot, instead_of: Option<String>) -> ProviderDeed {
    let order = slot.order();
    ProviderDeed {
        application: order.application.clone(),
        host_id: shared.id.to_string(),
        image_ref: order.provider_ref.clone(),
        instead_of,
        kind: word(slot.kind()).into(),
        provider_id: order.provider_id.to_string(),
    }
}

/// Its supervisor starts it no more.
pub fn given_up(shared: &Shared, slot: &ProviderSlot) -> ProviderStartFailed {
    let why = slot.status().1.map(|problem| problem.to_string()).unwrap_or_default();
    let message = format!("`{}` is given up: {why}", slot.id);
    start_failed(shared, slot, &Problem::new(PROVIDER_GIVEN_UP, message).of_provider(slot.id.as_str()))
}
