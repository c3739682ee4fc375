//! Calls by hand, and what there is to call.

use super::{Answer, Doc, Shared};
use crate::document::{CallRequest, CallResult, Wit, WitRequest};
use crate::extract::Json;
use crate::problem::ProblemView;
use crate::serve::{CALL_TIMEOUT, INSPECT_TIMEOUT};
use crate::service::{checked, problem};
use axum::extract::State;
use std::time::Duration;
use umbel_core::code::api;
use umbel_core::id::ComponentId;
use umbel_lattice::extension::{self, CallArgs};

/// How long a call may take when the request does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long it may take at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// The interfaces of a component that runs, or of an artifact, as WIT. Nothing is run.
#[utoipa::path(post, path = "/v1/wit", tag = "platform", request_body = WitRequest,
    responses((status = 200, body = Wit), (status = 404, body = ProblemView)))]
pub(crate) async fn wit(State(service): Shared, Json(request): Json<WitRequest>) -> Answer<Wit> {
    let (host, request) = match (request.component, request.reference) {
        (Some(id), None) => {
            let id = checked(ComponentId::new(&id))?;
            (service.host_of(id.as_str()).await?, extension::WitRequest::Component(id))
        }
        (None, Some(reference)) => {
            let host = service.some_hosts().await?.into_iter().next();
            let host = host.ok_or_else(|| problem(api::NO_HOST, "no host answers"))?;
            (host.id, extension::WitRequest::Reference(reference))
        }
        _ => return Err(problem(api::BAD_REQUEST, "name a `component` or a `reference`, one of them")),
    };
    let control = service.control.with_timeout(INSPECT_TIMEOUT - Duration::from_secs(10));
    let extension::WitReply { digest, wit } = control.wit(&host, &request).await?;
    Ok(Doc(Wit { digest, wit }))
}

/// Calls a function that a component exports.
///
/// The answer is 200 also when the function's own `result` is an `err`: `is_err` says so. A trap or a limit is a failure.
#[utoipa::path(post, path = "/v1/call", tag = "platform", request_body = CallRequest,
    responses((status = 200, body = CallResult), (status = 404, body = ProblemView), (status = 502, body = ProblemView)))]
pub(crate) async fn call(State(service): Shared, Json(request): Json<CallRequest>) -> Answer<CallResult> {
    let args = match (request.args, request.wave) {
        (Some(_), Some(_)) => return Err(problem(api::BAD_REQUEST, "arguments are either `args` or `wave`")),
        (Some(args), None) => CallArgs::Json(args),
        (None, wave) => CallArgs::Wave(wave.unwrap_or_default()),
    };
    let timeout = request.timeout_ms.map_or(TIMEOUT_DEFAULT, Duration::from_millis).min(TIMEOUT_MAX);
    let component = checked(ComponentId::new(&request.component))?;
    let host = service.host_of(component.as_str()).await?;
    let request = extension::CallRequest {
        component,
        function: request.function,
        args,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
    };
    // The host's own deadline comes first: its answer says more.
    let control = service.control.with_timeout((timeout + Duration::from_secs(5)).min(CALL_TIMEOUT));
    let reply = control.call(&host, &request).await?;
    Ok(Doc(CallResult {
        component: request.component.to_string(),
        function: reply.function,
        result: reply.result,
        wave: reply.wave,
        is_err: reply.is_err,
        took_us: reply.took_us,
    }))
}
