//! The platform and what runs in it.

use super::{Answer, Doc, Shared};
use crate::convert;
use crate::document::{
    ComponentList, Done, Health, HostList, InspectRequest, Inspection, ProviderList, ShutdownRequest, Tree,
    TreeList, UsageList, Version,
};
use crate::extract::Json;
use crate::problem::{ProblemView, Problems};
use crate::serve::INSPECT_TIMEOUT;
use crate::service::problem;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::api;

/// What answers.
#[utoipa::path(get, path = "/v1/version", tag = "platform", responses((status = 200, body = Version)))]
pub(crate) async fn version(State(service): Shared) -> Doc<Version> {
    Doc(Version {
        version: service.version.clone(),
        api: "v1".into(),
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
    })
}

/// Whether the platform can work.
///
/// The answer is 200 as long as the API itself works; `status` says more.
#[utoipa::path(get, path = "/v1/health", tag = "platform", responses((status = 200, body = Health)))]
pub(crate) async fn health(State(service): Shared) -> Doc<Health> {
    let (hosts, problems) = match service.some_hosts().await {
        Ok(hosts) => (hosts.len(), Vec::new()),
        Err(problem) => (0, vec![problem]),
    };
    let status = if problems.is_empty() { "ok" } else { "degraded" };
    Doc(Health {
        status: status.into(),
        lattice: service.lattice.name().to_string(),
        pid: std::process::id(),
        hosts,
        problems,
    })
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "platform",
    responses((status = 200, body = serde_json::Value, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi() -> Response {
    crate::problem::json(StatusCode::OK, crate::openapi::document())
}

/// The hosts of the lattice and what runs in them.
#[utoipa::path(get, path = "/v1/hosts", tag = "platform", responses((status = 200, body = HostList)))]
pub(crate) async fn hosts(State(service): Shared) -> Answer<HostList> {
    Ok(Doc(HostList { items: service.inventories().await? }))
}

/// The supervision trees.
#[utoipa::path(get, path = "/v1/tree", tag = "platform", responses((status = 200, body = TreeList)))]
pub(crate) async fn tree(State(service): Shared) -> Answer<TreeList> {
    let mut items = Vec::new();
    for host in service.some_hosts().await? {
        let tree = service.control.tree(&host.id).await?;
        let tree: umbel_supervisor::Tree = serde_json::from_value(tree).map_err(|error| {
            Problem::new(
                api::ANSWER_UNREADABLE,
                format!("the tree of the host `{}` is not understood", host.id),
            )
            .with_cause(error.to_string())
        })?;
        items.push(Tree { host_id: host.id.to_string(), root: convert::tree(&tree) });
    }
    Ok(Doc(TreeList { items }))
}

/// The components of all hosts.
#[utoipa::path(get, path = "/v1/components", tag = "platform", responses((status = 200, body = ComponentList)))]
pub(crate) async fn components(State(service): Shared) -> Answer<ComponentList> {
    let hosts = service.inventories().await?;
    Ok(Doc(ComponentList { items: hosts.into_iter().flat_map(|host| host.components).collect() }))
}

/// What components and the process of each host have used: counters, of which whoever reads twice makes rates.
#[utoipa::path(get, path = "/v1/usage", tag = "platform", responses((status = 200, body = UsageList)))]
pub(crate) async fn usage(State(service): Shared) -> Answer<UsageList> {
    let mut items = Vec::new();
    for host in service.some_hosts().await? {
        let report = service.control.usage(&host.id).await?;
        items.push(convert::host_usage(host.id.to_string(), report));
    }
    Ok(Doc(UsageList { items }))
}

/// The providers of all hosts.
#[utoipa::path(get, path = "/v1/providers", tag = "platform", responses((status = 200, body = ProviderList)))]
pub(crate) async fn providers(State(service): Shared) -> Answer<ProviderList> {
    let hosts = service.inventories().await?;
    Ok(Doc(ProviderList { items: hosts.into_iter().flat_map(|host| host.providers).collect() }))
}

/// What an artifact is, without running it. Files are read by a host, so paths are the host's and absolute.
#[utoipa::path(post, path = "/v1/inspect", tag = "platform", request_body = InspectRequest,
    responses((status = 200, body = Inspection), (status = 404, body = ProblemView)))]
pub(crate) async fn inspect(
    State(service): Shared,
    Json(request): Json<InspectRequest>,
) -> Answer<Inspection> {
    let hosts = service.some_hosts().await?;
    let Some(host) = hosts.first() else { return Err(problem(api::NO_HOST, "no host answers")) };
    let control = service.control.with_timeout(INSPECT_TIMEOUT - Duration::from_secs(10));
    let inspect = control.inspect(&host.id, &request.reference).await?;
    Ok(Doc(convert::inspection(request.reference, inspect)))
}

/// Makes all hosts take no new work and finish what is under way.
#[utoipa::path(post, path = "/v1/drain", tag = "platform", responses((status = 200, body = Done)))]
pub(crate) async fn drain(State(service): Shared) -> Answer<Done> {
    let hosts = service.some_hosts().await?;
    for host in &hosts {
        service.control.drain(&host.id).await?;
    }
    Ok(Doc(Done::new(format!("{} of {} hosts drain", hosts.len(), hosts.len()))))
}

/// Stops the platform: it answers, drains and ends. Applications stay deployed and run again when it is started again.
#[utoipa::path(post, path = "/v1/shutdown", tag = "platform", request_body = Option<ShutdownRequest>,
    responses((status = 200, body = Done)))]
pub(crate) async fn shutdown(
    State(service): Shared,
    Json(request): Json<Option<ShutdownRequest>>,
) -> Result<Doc<Done>, Problems> {
    let reason = request.unwrap_or_default().reason.unwrap_or_else(|| "asked over the API".into());
    (service.shutdown)(&reason);
    Ok(Doc(Done::new("the platform stops")))
}
