//! The contract: every route and document, as OpenAPI 3.1.

use crate::document as doc;
use crate::problem::{PROBLEM_TYPE, ProblemView, SpanView};
use crate::routes::docs;
use serde_json::{Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Umbel",
        version = "1",
        description = "The control API of an Umbel platform. Every answer is JSON with its type in `$type`; failures are \
                       `Problem`s with a status by their kind. Within `v1` fields and routes are only added.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    paths(
        docs::version, docs::health, docs::openapi, docs::hosts, docs::tree, docs::components, docs::providers, docs::usage,
        docs::get_provider, docs::swap_provider, docs::stop_provider, docs::start_provider, docs::restart_provider,
        docs::inspect, docs::wit, docs::call, docs::drain, docs::shutdown,
        docs::list_applications, docs::put_application, docs::preview_application, docs::get_application,
        docs::delete_application, docs::get_manifest, docs::list_versions, docs::application_status, docs::deploy,
        docs::undeploy, docs::rollback,
        docs::list_links, docs::explain_links, docs::put_link, docs::delete_link, docs::list_configs, docs::get_config, docs::put_config,
        docs::delete_config,
        docs::list_secrets, docs::put_secret, docs::delete_secret,
        docs::list_logs, docs::follow_logs, docs::list_events, docs::follow_events, docs::spy,
    ),
    components(schemas(ProblemView, SpanView, doc::Lost)),
    tags(
        (name = "platform", description = "The platform and what runs in it"),
        (name = "applications", description = "Applications, their versions and what is deployed"),
        (name = "wiring", description = "Links and configs"),
        (name = "secrets", description = "What components may know and nobody else"),
        (name = "records", description = "Logs, events and messages"),
    ),
)]
struct Contract;

/// The OpenAPI document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    let mut contract = Contract::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The text of `api.token` in the state folder. Over the unix socket no token is needed.",
        ))
        .build();
    contract.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    contract.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    // What follows is easier to say of the JSON than of the builders' types.
    let mut json = serde_json::to_value(&contract).expect("an OpenAPI document is JSON");
    for (schema, kind) in doc::ALL.iter().chain(&[("Problem", PROBLEM_TYPE)]) {
        if let Some(schema) = json.pointer_mut(&format!("/components/schemas/{schema}")) {
            add_type(schema, kind);
        }
    }
    let paths = json.pointer_mut("/paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, operations) in paths {
        for (_, operation) in operations.as_object_mut().into_iter().flatten() {
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                add_failures(responses);
            }
        }
    }
    json
}

/// Says in a schema what its `$type` is. It is not required, because entries of lists go without.
fn add_type(schema: &mut Value, kind: &str) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("$type".into(), json!({"type": "string", "const": kind}));
    }
}

/// Every operation can fail; what the handlers list themselves says why.
fn add_failures(responses: &mut serde_json::Map<String, Value>) {
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    for (status, why) in [
        ("401", "Over TCP: no token, or a wrong one"),
        ("403", "Over TCP: the request does not come from this machine"),
        ("default", "A failure; its kind decides the status"),
    ] {
        responses.entry(status).or_insert_with(|| json!({"description": why, "content": content}));
    }
}

#[cfg(test)]
mod tests;
