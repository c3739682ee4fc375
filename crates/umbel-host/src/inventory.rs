//! What runs here, as wasmCloud 1.x shows it and with what is ours beside it.

use crate::door::HTTP_OUTGOING;
use crate::provider::ProviderSlot;
use crate::shared::Shared;
use crate::slot::{Revision, Slot};
use std::collections::BTreeMap;
use umbel_lattice::control::{
    ComponentView, Endpoint, Host, Inventory, PartState, ProcessView, ProviderView, Usage,
};
use umbel_supervisor::{State, Tree};

/// The inventory of this moment.
pub fn inventory(shared: &Shared) -> Inventory {
    let tree = shared.root().map(|root| root.tree());
    let nodes = |branch: &str| -> BTreeMap<&str, &Tree> {
        let Some(node) = tree.as_ref().and_then(|tree| tree.find(&[branch])) else {
            return BTreeMap::new();
        };
        node.children.iter().map(|child| (child.id.as_str(), &**child)).collect()
    };
    let component_nodes = nodes(crate::component::BRANCH);
    let slots = shared.slots.all();
    let mut components: Vec<ComponentView> =
        slots.values().map(|slot| component(slot, component_nodes.get(slot.id.as_str()).copied())).collect();
    components.sort_by(|a, b| a.id.cmp(&b.id));
    let provider_nodes = nodes(crate::provider::BRANCH);
    let slots = shared.providers.all();
    let mut providers: Vec<ProviderView> =
        slots.values().map(|slot| provider(slot, provider_nodes.get(slot.id.as_str()).copied())).collect();
    providers.sort_by(|a, b| a.id.cmp(&b.id));
    let host = host(shared);
    Inventory {
        components,
        providers,
        links_in_trouble: crate::trouble::links(shared),
        host_id: host.id,
        friendly_name: host.friendly_name,
        labels: host.labels,
        version: host.version,
        uptime_human: host.uptime_human,
        uptime_seconds: host.uptime_seconds,
    }
}

/// The answer to a ping.
pub fn host(shared: &Shared) -> Host {
    let uptime = shared.uptime().as_secs();
    Host {
        rpc_host: shared.lattice.address(),
        ctl_host: shared.lattice.address(),
        friendly_name: shared.config.friendly_name.clone(),
        id: shared.id.clone(),
        labels: shared.labels.load().as_ref().clone(),
        lattice: shared.config.lattice.clone(),
        js_domain: shared.lattice.js_domain(),
        uptime_human: human(uptime),
        uptime_seconds: uptime,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn human(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, s) => format!("{h}h {m}m {s}s"),
        (d, h, m, s) => format!("{d}d {h}h {m}m {s}s"),
    }
}

/// The supervisor knows better than the child when the child is down.
fn seen(own: PartState, node: Option<&Tree>) -> PartState {
    match node.map(|node| node.state) {
        Some(State::CrashLoop) => PartState::CrashLoop,
        Some(State::BackingOff { .. }) => PartState::BackingOff,
        _ => own,
    }
}

fn component(slot: &Slot, node: Option<&Tree>) -> ComponentView {
    let order = slot.desired.borrow().clone();
    let status = slot.status();
    let mut view = ComponentView::new(slot.id.clone(), status.image_ref, order.count);
    view.annotations = order.annotations.clone();
    view.name = status.claims.as_ref().and_then(|c| c.name.clone());
    view.revision = status.claims.as_ref().and_then(|c| c.revision).unwrap_or(0);
    view.state = seen(status.state, node);
    view.problem = status.problem;
    view.digest = status.digest;
    view.generation = order.generation;
    view.application = order.application.clone();
    view.limits_set = status.budget.as_ref().map(|b| b.limits().clone());
    view.usage = usage(slot);
    if let Some(revision) = slot.current.load().as_ref() {
        view.generation_serving = revision.order.generation;
        let image = revision.component.image();
        view.imports = image.imports().to_vec();
        view.exports = image.exports().to_vec();
        view.unlinked = unlinked(revision);
    }
    view
}

/// Imports that need a link and have none.
fn unlinked(revision: &Revision) -> Vec<String> {
    let (image, bindings) = (revision.component.image(), revision.bindings.load());
    let outgoing = |import: &&String| HTTP_OUTGOING.contains(&import.split('@').next().unwrap_or(import));
    image
        .needs_link()
        .iter()
        .chain(image.imports().iter().filter(outgoing))
        .filter(|import| !bindings.serves(import))
        .cloned()
        .collect()
}

/// What it has used, over all its budgets.
pub(crate) fn usage(slot: &Slot) -> Usage {
    used(slot.usage())
}

/// Counters of the runtime, as the lattice has them.
pub(crate) fn used(used: umbel_runtime::Usage) -> Usage {
    Usage {
        calls: used.calls,
        calls_in_flight: used.calls_in_flight,
        calls_waiting: used.calls_waiting,
        refused: used.refused,
        traps: used.traps,
        cpu_us: used.cpu_us,
        cpu_background_us: used.cpu_background_us,
        memory_bytes: used.memory_bytes,
        memory_bytes_max_seen: used.memory_bytes_max_seen,
        log_bytes: used.log_bytes,
        log_bytes_dropped: used.log_bytes_dropped,
        cpu_throttled: used.cpu_throttled,
        memory_refused: used.memory_refused,
    }
}

/// One provider, with what the supervisor knows of it.
pub(crate) fn provider(slot: &ProviderSlot, node: Option<&Tree>) -> ProviderView {
    let (own, problem) = slot.status();
    let order = slot.order();
    let mut view = ProviderView::new(slot.id.clone(), slot.runs().provider_ref.clone());
    view.annotations = order.annotations.clone();
    view.kind = Some(slot.kind());
    if let Some(process) = slot.process() {
        let load = process.load();
        view.name = process.claims.as_ref().and_then(|claims| claims.name.clone());
        view.process = Some(ProcessView {
            pid: process.pid(),
            memory_bytes: load.memory_bytes,
            cpu_us: u64::try_from(load.cpu.as_micros()).unwrap_or(u64::MAX),
            processes: u32::try_from(load.processes).unwrap_or(u32::MAX),
        });
    }
    view.state = seen(own, node);
    view.restarts = slot.restarts(node.map_or(0, |node| node.restarts));
    view.is_moving = slot.is_moving();
    view.coming = slot.coming();
    view.by_hand = slot.hand.load().as_ref().map(|hand| hand.view());
    view.problem = problem;
    view.application = order.application.clone();
    view.generation = order.generation;
    if let Some(provider) = slot.running() {
        let endpoint = |e: umbel_provider::Endpoint| Endpoint { component: e.component, url: e.url };
        view.endpoints = provider.endpoints().into_iter().map(endpoint).collect();
    }
    view
}
