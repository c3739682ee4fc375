//! One provider: what there is to know of it, and what is done to it by hand.

use super::{Answer, Doc, Shared};
use crate::convert;
use crate::document::{Done, ProviderDetails, ProviderSwapList, SwapProvider};
use crate::extract::{Json, Name};
use crate::problem::ProblemView;
use crate::serve::PROVIDER_TIMEOUT;
use crate::service::problem;
use axum::extract::State;
use std::time::Duration;
use umbel_core::code::api;
use umbel_core::id::ProviderId;
use umbel_core::limits::Isolation;
use umbel_lattice::control::Client;
use umbel_lattice::extension::provider::SwapRequest;

/// All that there is to tell of a provider.
#[utoipa::path(get, path = "/v1/providers/{name}", tag = "platform", params(("name" = String, Path)),
    responses((status = 200, body = ProviderDetails), (status = 404, body = ProblemView)))]
pub(crate) async fn get_provider(State(service): Shared, Name(name): Name) -> Answer<ProviderDetails> {
    let id = checked(&name)?;
    let hosts = service.hosts_of_provider(&name).await?;
    let shown = service.control.show_provider(&hosts[0], &id).await?;
    Ok(Doc(convert::provider_details(shown, hosts[0].as_str())))
}

/// Puts another provider in the place of one that runs, on every host that runs it; calls go on meanwhile. Nothing changes where the new
/// one does not start or refuses a link. It holds until the provider's application is deployed again.
#[utoipa::path(post, path = "/v1/providers/{name}/swap", tag = "platform", params(("name" = String, Path)),
    request_body = SwapProvider,
    responses((status = 200, body = ProviderSwapList), (status = 404, body = ProblemView), (status = 409, body = ProblemView)))]
pub(crate) async fn swap_provider(
    State(service): Shared,
    Name(name): Name,
    Json(swap): Json<SwapProvider>,
) -> Answer<ProviderSwapList> {
    let isolation = match swap.isolation.as_deref() {
        None => None,
        Some("process") => Some(Isolation::Process),
        Some(other) => {
            let message = format!("`{}` is not an isolation: process", other.escape_debug());
            return Err(problem(api::BAD_REQUEST, message));
        }
    };
    let provider = checked(&name)?;
    let hosts = service.hosts_of_provider(&name).await?;
    let control = patient(&service.control);
    let mut request = SwapRequest { provider, reference: swap.reference, isolation, dry_run: true };
    let mut items = Vec::with_capacity(hosts.len());
    // All of them are looked at before the first one changes.
    for host in &hosts {
        let view = control.swap_provider(host, &request).await?;
        if let Some(problem) = view.problem.clone().filter(|_| !swap.dry_run) {
            return Err(problem.into());
        }
        items.push(convert::provider_swap(view, host.as_str()));
    }
    if !swap.dry_run {
        request.dry_run = false;
        for host in &hosts {
            control.swap_provider(host, &request).await?;
        }
    }
    Ok(Doc(ProviderSwapList { items }))
}

/// Stops a provider: calls of it fail, until it is started again or its application is deployed again.
#[utoipa::path(post, path = "/v1/providers/{name}/stop", tag = "platform", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ProblemView)))]
pub(crate) async fn stop_provider(State(service): Shared, Name(name): Name) -> Answer<Done> {
    let id = checked(&name)?;
    let mut said = String::new();
    for host in service.hosts_of_provider(&name).await? {
        said = patient(&service.control).hold_provider(&host, &id).await?;
    }
    Ok(Doc(Done::new(said)))
}

/// Starts a provider that was stopped, or that was given up.
#[utoipa::path(post, path = "/v1/providers/{name}/start", tag = "platform", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ProblemView)))]
pub(crate) async fn start_provider(State(service): Shared, Name(name): Name) -> Answer<Done> {
    let id = checked(&name)?;
    let mut said = String::new();
    for host in service.hosts_of_provider(&name).await? {
        said = patient(&service.control).release_provider(&host, &id).await?;
    }
    Ok(Doc(Done::new(said)))
}

/// Drains a provider and starts it anew; calls wait meanwhile.
#[utoipa::path(post, path = "/v1/providers/{name}/restart", tag = "platform", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ProblemView)))]
pub(crate) async fn restart_provider(State(service): Shared, Name(name): Name) -> Answer<Done> {
    let id = checked(&name)?;
    let mut said = String::new();
    for host in service.hosts_of_provider(&name).await? {
        said = patient(&service.control).restart_provider(&host, &id).await?;
    }
    Ok(Doc(Done::new(said)))
}

fn checked(name: &str) -> Result<ProviderId, crate::problem::Problems> {
    crate::service::checked(ProviderId::new(name))
}

/// What drains and starts takes longer than a look.
fn patient(control: &Client) -> Client {
    control.with_timeout(PROVIDER_TIMEOUT.saturating_sub(Duration::from_secs(5)))
}
