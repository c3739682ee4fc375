//! Secrets: their names come out, their values only go in.

use super::{Answer, Doc, Shared};
use crate::document::{Done, Secret, SecretList};
use crate::extract::{Name, Payload, Query};
use crate::problem::{ProblemView, Problems};
use crate::query::SecretQuery;
use crate::service::problem;
use axum::extract::State;
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_core::id::HostId;
use umbel_lattice::extension::{SecretKey, SecretOwner, SecretPut, SecretView};
use zeroize::{Zeroize, Zeroizing};

/// The names of all secrets, with their versions. There is no route that answers a value.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", responses((status = 200, body = SecretList)))]
pub(crate) async fn list_secrets(State(service): Shared) -> Answer<SecretList> {
    let mut items = Vec::new();
    for host in service.some_hosts().await? {
        items.extend(service.control.secrets(&host.id).await?.into_iter().map(secret));
    }
    Ok(Doc(SecretList { items }))
}

fn secret(view: SecretView) -> Secret {
    let (scope, owner) = match view.owner {
        SecretOwner::Application(name) => ("application", Some(name)),
        SecretOwner::Component(id) => ("component", Some(id)),
        SecretOwner::Shared => ("shared", None),
    };
    Secret {
        name: view.name,
        scope: scope.into(),
        owner,
        version: view.version,
        put_unix_ms: view.put_unix_ms,
    }
}

/// Keeps a secret, in place of the one that has the name. The body is the value as it is, 64 KiB at most.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path), SecretQuery),
    request_body(content = String, content_type = "application/octet-stream", description = "The value"),
    responses((status = 200, body = Done), (status = 400, body = ProblemView)))]
pub(crate) async fn put_secret(
    State(service): Shared,
    Query(query): Query<SecretQuery>,
    Name(name): Name,
    Payload(body): Payload,
) -> Answer<Done> {
    let value = Zeroizing::new(body.to_vec());
    // The buffer that it came in is wiped where nothing else is in it.
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
    let is_text = match query.kind.as_deref() {
        None | Some("text") => true,
        Some("bytes") => false,
        Some(_) => return Err(problem(api::BAD_REQUEST, "the kind of a secret is `text` or `bytes`")),
    };
    let put = SecretPut { key: SecretKey { owner: owner(query)?, name }, is_text };
    let message = service.control.put_secret(&some_host(&service).await?, &put, value).await?;
    Ok(Doc(Done::new(message)))
}

/// Deletes a secret. Components that hold it keep it.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path), SecretQuery),
    responses((status = 200, body = Done), (status = 404, body = ProblemView)))]
pub(crate) async fn delete_secret(
    State(service): Shared,
    Query(query): Query<SecretQuery>,
    Name(name): Name,
) -> Answer<Done> {
    let key = SecretKey { owner: owner(query)?, name };
    let message = service.control.del_secret(&some_host(&service).await?, &key).await?;
    Ok(Doc(Done::new(message)))
}

/// Exactly one owner is named: a secret that everybody can read is nobody's oversight.
fn owner(query: SecretQuery) -> Result<SecretOwner, Problems> {
    match (query.application, query.component, query.shared.unwrap_or_default()) {
        (Some(name), None, false) => Ok(SecretOwner::Application(name)),
        (None, Some(id), false) => Ok(SecretOwner::Component(id)),
        (None, None, true) => Ok(SecretOwner::Shared),
        _ => Err(problem(api::BAD_REQUEST, "name one of `application`, `component` and `shared=true`")),
    }
}

async fn some_host(service: &crate::service::Service) -> Result<HostId, Problem> {
    let first = service.some_hosts().await?.into_iter().next().map(|host| host.id);
    first.ok_or_else(|| Problem::new(api::NO_HOST, "no host answers"))
}
