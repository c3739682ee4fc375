//! Lattice messages as documents of the API.

use crate::document as doc;
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_core::link::{Contract, DEFAULT_LINK_NAME, Distance, Link};
use umbel_lattice::control::{ComponentView, Inventory, ProviderKind, ProviderView, Usage};
use umbel_lattice::extension::provider::{Made, ProviderLink, ProviderShow, SwapLink, SwapView};
use umbel_lattice::extension::{
    self, ComponentInspect, Explained, LinkView, LogLine, PathKind, Target, TargetKind, UsageReport,
};
use umbel_lattice::wadm::{PartKind, PartStatus, Status, StatusType, Summary};
use umbel_supervisor::{State, Tree};

pub(crate) fn host(inventory: Inventory) -> doc::Host {
    let id = inventory.host_id.to_string();
    doc::Host {
        name: inventory.friendly_name,
        version: inventory.version,
        labels: inventory.labels,
        uptime_s: inventory.uptime_seconds,
        components: inventory.components.into_iter().map(|view| component(view, &id)).collect(),
        providers: inventory.providers.into_iter().map(|view| provider(view, &id)).collect(),
        id,
    }
}

fn component(view: ComponentView, host_id: &str) -> doc::Component {
    doc::Component {
        id: view.id.to_string(),
        name: view.name,
        application: view.application,
        host_id: host_id.into(),
        reference: view.image_ref,
        digest: view.digest,
        state: view.state.to_string(),
        problem: view.problem,
        instances_max: view.max_instances,
        generation: view.generation,
        limits: view.limits_set,
        usage: usage(&view.usage),
        imports: view.imports,
        exports: view.exports,
        unlinked: view.unlinked,
    }
}

fn usage(usage: &Usage) -> doc::Usage {
    doc::Usage {
        calls: usage.calls,
        calls_in_flight: usage.calls_in_flight,
        calls_waiting: usage.calls_waiting,
        refused: usage.refused,
        traps: usage.traps,
        cpu_us: usage.cpu_us,
        cpu_background_us: usage.cpu_background_us,
        memory_bytes: usage.memory_bytes,
        memory_bytes_max_seen: usage.memory_bytes_max_seen,
        log_bytes: usage.log_bytes,
        log_bytes_dropped: usage.log_bytes_dropped,
        cpu_throttled: usage.cpu_throttled,
        memory_refused: usage.memory_refused,
    }
}

pub(crate) fn host_usage(host_id: String, report: UsageReport) -> doc::HostUsage {
    let component = |used: extension::ComponentUsage| doc::ComponentUsage {
        id: used.id.to_string(),
        application: used.application,
        state: used.state.to_string(),
        limits: used.limits,
        usage: usage(&used.usage),
    };
    let threads = |group: extension::ThreadsUse| doc::ThreadsUse {
        group: group.group,
        threads: group.threads,
        cpu_us: group.cpu_us,
        waited_us: group.waited_us,
    };
    doc::HostUsage {
        host_id,
        pid: report.pid,
        at_us: report.at_us,
        components: report.components.into_iter().map(component).collect(),
        cpu_us: report.cpu_us,
        threads: report.threads.into_iter().map(threads).collect(),
        memory: doc::MemoryUse {
            resident_bytes: report.memory.resident_bytes,
            instances_bytes: report.memory.instances_bytes,
            code_bytes: report.memory.code_bytes,
            rest_bytes: report.memory.rest_bytes,
        },
    }
}

fn provider(view: ProviderView, host_id: &str) -> doc::Provider {
    let kind = provider_kind(view.kind);
    let endpoints = view.endpoints.into_iter();
    doc::Provider {
        id: view.id.to_string(),
        name: view.name,
        application: view.application,
        host_id: host_id.into(),
        reference: view.image_ref,
        kind: kind.into(),
        state: view.state.to_string(),
        problem: view.problem,
        endpoints: endpoints.map(|e| doc::Endpoint { component: e.component, url: e.url }).collect(),
        restarts: view.restarts,
        coming: view.coming.map(made),
        by_hand: view.by_hand.map(|by_hand| by_hand.to_string()),
        process: view.process.map(|process| doc::ProviderProcess {
            pid: process.pid,
            memory_bytes: process.memory_bytes,
            cpu_us: process.cpu_us,
            processes: process.processes,
        }),
    }
}

fn made(made: Made) -> doc::ProviderMade {
    doc::ProviderMade { kind: provider_kind(Some(made.kind)).into(), reference: made.reference }
}

pub(crate) fn provider_details(shown: ProviderShow, host_id: &str) -> doc::ProviderDetails {
    let link = |taken: ProviderLink| doc::ProviderLink {
        link: link(taken.link),
        taken: taken.is_taken,
        problem: taken.problem,
    };
    doc::ProviderDetails {
        provider: provider(shown.view, host_id),
        links: shown.links.into_iter().map(link).collect(),
        config: shown.config,
        secrets: shown.secrets,
        healthy: shown.is_healthy,
        health: shown.health,
        last_exit: shown.last_exit,
        retry_in_ms: shown.retry_in_ms,
        folder: shown.folder,
        claims: shown.claims,
    }
}

pub(crate) fn provider_swap(view: SwapView, host_id: &str) -> doc::ProviderSwap {
    let link = |moved: SwapLink| doc::SwapLink {
        link: link(moved.link),
        compared: moved.is_compared,
        problem: moved.problem,
    };
    doc::ProviderSwap {
        id: view.provider.to_string(),
        host_id: host_id.into(),
        from: made(view.from),
        to: made(view.to),
        manner: if view.beside { "beside" } else { "in-turn" }.into(),
        links: view.links.into_iter().map(link).collect(),
        config: view.config,
        notes: view.notes,
        problem: view.problem,
    }
}

fn provider_kind(kind: Option<ProviderKind>) -> &'static str {
    match kind {
        Some(ProviderKind::Builtin) => "builtin",
        Some(ProviderKind::Component) => "component",
        // Hosts that are not ours do not say, and theirs are processes.
        Some(ProviderKind::Process) | None => "process",
    }
}

pub(crate) fn tree(tree: &Tree) -> doc::TreeNode {
    let (state, retry_in_ms) = match tree.state {
        State::Starting => ("starting", None),
        State::Running => ("running", None),
        State::BackingOff { retry_in_ms } => ("backing-off", Some(retry_in_ms)),
        State::CrashLoop => ("crash-loop", None),
        State::Stopping => ("stopping", None),
        State::Stopped => ("stopped", None),
        State::Completed => ("completed", None),
    };
    doc::TreeNode {
        id: tree.id.clone(),
        kind: tree.kind.clone(),
        state: state.into(),
        retry_in_ms,
        restarts: tree.restarts,
        since_unix_ms: tree.since_unix_ms,
        last_exit: tree.last_exit.clone(),
        detail: tree.detail.clone(),
        children: tree.children.iter().map(|child| self::tree(child)).collect(),
    }
}

pub(crate) fn status_word(kind: StatusType) -> String {
    match kind {
        StatusType::Undeployed => "undeployed",
        StatusType::Reconciling => "reconciling",
        StatusType::Deployed => "deployed",
        StatusType::Failed => "failed",
        StatusType::Waiting => "waiting",
        StatusType::Unhealthy => "unhealthy",
    }
    .into()
}

pub(crate) fn application(summary: Summary) -> doc::Application {
    doc::Application {
        name: summary.name,
        description: summary.description.filter(|text| !text.is_empty()),
        version: summary.version,
        deployed_version: summary.deployed_version.filter(|text| !text.is_empty()),
        status: status_word(summary.status),
        message: Some(summary.status_message).filter(|text| !text.is_empty()),
        urls: summary.detailed_status.urls,
    }
}

pub(crate) fn status(name: &str, status: Status) -> doc::ApplicationStatus {
    doc::ApplicationStatus {
        name: name.into(),
        version: status.version,
        status: status_word(status.status.kind),
        message: Some(status.status.message).filter(|text| !text.is_empty()),
        parts: status.parts.into_iter().map(part).collect(),
        urls: status.urls,
        previous_version: status.previous,
        problems: status.problems,
    }
}

fn part(part: PartStatus) -> doc::Part {
    let kind = match part.kind {
        PartKind::Component => "component",
        PartKind::Provider => "provider",
        PartKind::Link => "link",
        PartKind::Config => "config",
    };
    doc::Part {
        name: part.name,
        id: part.id,
        kind: kind.into(),
        state: part.state.to_string(),
        reference: part.image,
        host_id: part.host_id.map(|id| id.to_string()),
        instances_max: part.instances,
        problem: part.problem,
        serving_version: part.serving,
        by_hand: part.by_hand,
    }
}

pub(crate) fn link(link: Link) -> doc::Link {
    doc::Link {
        source_id: link.source_id,
        target: link.target,
        name: link.name,
        wit_namespace: link.contract.namespace,
        wit_package: link.contract.package,
        interfaces: link.contract.interfaces,
        source_config: link.source_config,
        target_config: link.target_config,
        distance: distance(link.distance),
    }
}

fn distance(distance: Distance) -> String {
    match distance {
        Distance::Local => "local",
        Distance::Any => "any",
        Distance::Remote => "remote",
    }
    .into()
}

pub(crate) fn explained(explained: Explained) -> doc::LinkExplanation {
    doc::LinkExplanation {
        source_id: explained.source,
        state: explained.state.to_string(),
        by_host: explained.by_host,
        links: explained.links.into_iter().map(explained_link).collect(),
    }
}

fn explained_link(view: LinkView) -> doc::ExplainedLink {
    let (path, target_calls) = match view.path {
        None => (None, None),
        Some(PathKind::Direct) => (Some("direct".into()), None),
        Some(PathKind::Process) => (Some("process".into()), None),
        Some(PathKind::FreshInstance { calls }) => (Some("fresh-instance".into()), Some(calls)),
        Some(PathKind::ResidentInstance { calls }) => (Some("resident-instance".into()), Some(calls)),
        Some(PathKind::ReusedInstance { calls }) => (Some("reused-instance".into()), Some(calls)),
    };
    doc::ExplainedLink {
        import: view.import,
        name: view.name,
        works: view.problem.is_none() && path.is_some(),
        target: view.target.map(link_target),
        path,
        target_calls,
        call_us: view.call_ns.map(|ns| ns as f64 / 1e3),
        problem: view.problem,
        note: view.note,
    }
}

fn link_target(target: Target) -> doc::LinkTarget {
    let kind = match target.kind {
        TargetKind::Component => "component",
        TargetKind::Provider => provider_kind(target.provider),
        TargetKind::Unknown => "unknown",
    };
    doc::LinkTarget {
        id: target.id,
        kind: kind.into(),
        reference: target.reference,
        state: target.state.to_string(),
        distance_asked: distance(target.distance),
        distance: target.is_local.then(|| "local".into()),
    }
}

pub(crate) fn put_link(link: doc::PutLink) -> Result<Link, Problem> {
    let distance = match link.distance.as_deref() {
        None | Some("any") => Distance::Any,
        Some("local") => Distance::Local,
        Some("remote") => Distance::Remote,
        Some(other) => {
            let message = format!("`{}` is not a distance: local, any or remote", other.escape_debug());
            return Err(Problem::new(api::BAD_REQUEST, message));
        }
    };
    if link.interfaces.is_empty() {
        return Err(Problem::new(api::BAD_REQUEST, "a link needs at least one interface"));
    }
    Ok(Link {
        source_id: link.source_id,
        target: link.target,
        name: link.name.unwrap_or_else(|| DEFAULT_LINK_NAME.into()),
        contract: Contract {
            namespace: link.wit_namespace,
            package: link.wit_package,
            interfaces: link.interfaces,
        },
        source_config: link.source_config,
        target_config: link.target_config,
        distance,
    })
}

pub(crate) fn log(line: LogLine) -> doc::LogEntry {
    doc::LogEntry {
        seq: line.seq,
        unix_ms: line.unix_ms,
        component: line.component.to_string(),
        application: line.application,
        level: line.level,
        stream: line.stream,
        context: line.context,
        message: line.message,
        dropped_before: line.dropped_before,
    }
}

pub(crate) fn inspection(reference: String, inspect: ComponentInspect) -> doc::Inspection {
    doc::Inspection {
        reference,
        kind: inspect.kind,
        size: inspect.size,
        digest: inspect.digest,
        imports: inspect.imports,
        exports: inspect.exports,
        needs: inspect
            .needs
            .into_iter()
            .map(|need| doc::Need { import: need.import, by_host: need.by_host, served_by: need.served_by })
            .collect(),
        claims: inspect.claims,
    }
}
