//! Calls by hand.

use super::{Answer, Doc, Shared};
use crate::document::{CallRequest, CallResult};
use crate::extract::Json;
use crate::problem::ProblemView;
use crate::serve::CALL_TIMEOUT;
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
