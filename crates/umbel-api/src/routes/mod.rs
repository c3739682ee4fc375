//! What can be asked. Each handler translates one request; its attribute is its entry in the OpenAPI document.

mod applications;
mod call;
mod platform;
mod providers;
mod records;
mod secrets;
mod wiring;

pub(crate) mod docs {
    //! The handlers that the OpenAPI document lists.
    pub(crate) use super::applications::*;
    pub(crate) use super::call::*;
    pub(crate) use super::platform::*;
    pub(crate) use super::providers::*;
    pub(crate) use super::records::*;
    pub(crate) use super::secrets::*;
    pub(crate) use super::wiring::*;
}

use crate::document::Document;
use crate::problem::{Problems, json};
use crate::serve::patience;
use crate::service::{Service, problem};
use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use http::{Method, StatusCode};
use std::sync::Arc;
use umbel_core::code::api;

/// What handlers share.
pub(crate) type Shared = axum::extract::State<Arc<Service>>;

/// What a handler gives.
pub(crate) type Answer<D> = Result<Doc<D>, Problems>;

/// A document as an answer.
pub(crate) struct Doc<D>(pub(crate) D);

impl<D: Document> IntoResponse for Doc<D> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0.to_json())
    }
}

/// The routes, and a list of them to compare with the OpenAPI document.
struct Table {
    router: Router<Arc<Service>>,
    listed: Vec<(Method, &'static str)>,
}

impl Table {
    fn add<H, T>(mut self, method: Method, path: &'static str, handler: H) -> Table
    where
        H: Handler<T, Arc<Service>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the methods below are all known");
        self.router = self.router.route(path, on(filter, handler));
        self.listed.push((method, path));
        self
    }
}

fn empty() -> Table {
    Table { router: Router::new(), listed: Vec::new() }
}

/// Routes that answer at once.
fn quick() -> Table {
    empty()
        .add(Method::GET, "/v1/version", platform::version)
        .add(Method::GET, "/v1/health", platform::health)
        .add(Method::GET, "/v1/openapi.json", platform::openapi)
        .add(Method::GET, "/v1/hosts", platform::hosts)
        .add(Method::GET, "/v1/tree", platform::tree)
        .add(Method::GET, "/v1/components", platform::components)
        .add(Method::GET, "/v1/providers", platform::providers)
        .add(Method::GET, "/v1/providers/{name}", providers::get_provider)
        .add(Method::POST, "/v1/providers/{name}/swap", providers::swap_provider)
        .add(Method::POST, "/v1/providers/{name}/stop", providers::stop_provider)
        .add(Method::POST, "/v1/providers/{name}/start", providers::start_provider)
        .add(Method::POST, "/v1/providers/{name}/restart", providers::restart_provider)
        .add(Method::GET, "/v1/usage", platform::usage)
        .add(Method::POST, "/v1/inspect", platform::inspect)
        .add(Method::POST, "/v1/wit", call::wit)
        .add(Method::POST, "/v1/call", call::call)
        .add(Method::POST, "/v1/drain", platform::drain)
        .add(Method::POST, "/v1/shutdown", platform::shutdown)
        .add(Method::GET, "/v1/applications", applications::list_applications)
        .add(Method::PUT, "/v1/applications", applications::put_application)
        .add(Method::POST, "/v1/preview", applications::preview_application)
        .add(Method::GET, "/v1/applications/{name}", applications::get_application)
        .add(Method::DELETE, "/v1/applications/{name}", applications::delete_application)
        .add(Method::GET, "/v1/applications/{name}/manifest", applications::get_manifest)
        .add(Method::GET, "/v1/applications/{name}/versions", applications::list_versions)
        .add(Method::GET, "/v1/applications/{name}/status", applications::application_status)
        .add(Method::POST, "/v1/applications/{name}/deploy", applications::deploy)
        .add(Method::POST, "/v1/applications/{name}/undeploy", applications::undeploy)
        .add(Method::POST, "/v1/applications/{name}/rollback", applications::rollback)
        .add(Method::GET, "/v1/links", wiring::list_links)
        .add(Method::GET, "/v1/links/explain", wiring::explain_links)
        .add(Method::PUT, "/v1/links", wiring::put_link)
        .add(Method::DELETE, "/v1/links", wiring::delete_link)
        .add(Method::GET, "/v1/configs", wiring::list_configs)
        .add(Method::GET, "/v1/configs/{name}", wiring::get_config)
        .add(Method::PUT, "/v1/configs/{name}", wiring::put_config)
        .add(Method::DELETE, "/v1/configs/{name}", wiring::delete_config)
        .add(Method::GET, "/v1/secrets", secrets::list_secrets)
        .add(Method::PUT, "/v1/secrets/{name}", secrets::put_secret)
        .add(Method::DELETE, "/v1/secrets/{name}", secrets::delete_secret)
        .add(Method::GET, "/v1/logs", records::list_logs)
        .add(Method::GET, "/v1/events", records::list_events)
}

/// Routes whose answers go on.
fn streams() -> Table {
    empty()
        .add(Method::GET, "/v1/logs/stream", records::follow_logs)
        .add(Method::GET, "/v1/events/stream", records::follow_events)
        .add(Method::GET, "/v1/spy", records::spy)
}

/// Everything, for both listeners.
pub(crate) fn router(service: Arc<Service>) -> Router {
    quick()
        .router
        .layer(from_fn(in_time))
        .merge(streams().router)
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(service)
}

/// Every route, to compare with the OpenAPI document.
#[cfg(test)]
pub(crate) fn listed() -> Vec<(Method, &'static str)> {
    let mut listed = quick().listed;
    listed.extend(streams().listed);
    listed
}

async fn in_time(request: Request, next: Next) -> Response {
    let patience = patience(request.uri().path());
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem(api::REQUEST_TIMEOUT, format!("no answer within {} s", patience.as_secs()))
            .into_response(),
    }
}

async fn no_such_route(request: Request) -> Problems {
    problem(api::NO_SUCH_ROUTE, format!("there is nothing at `{}`", request.uri().path().escape_debug()))
}

async fn method_not_allowed(request: Request) -> Problems {
    let path = request.uri().path().escape_debug().to_string();
    problem(api::METHOD_NOT_ALLOWED, format!("`{path}` does not answer {}", request.method()))
}

#[cfg(test)]
mod tests;
