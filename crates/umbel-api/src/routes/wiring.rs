//! Links and configs.

use super::{Answer, Doc, Shared};
use crate::convert;
use crate::document::{Config, ConfigList, Done, Link, LinkExplanation, LinkList, PutLink};
use crate::extract::{Json, Name, Query};
use crate::problem::{ProblemView, Problems};
use crate::query::{ExplainQuery, LinkQuery};
use crate::service::problem;
use axum::extract::State;
use std::collections::BTreeMap;
use umbel_core::code::api;
use umbel_core::link::{DEFAULT_LINK_NAME, LinkKey};
use umbel_lattice::extension::ExplainRequest;

/// All links.
#[utoipa::path(get, path = "/v1/links", tag = "wiring", responses((status = 200, body = LinkList)))]
pub(crate) async fn list_links(State(service): Shared) -> Answer<LinkList> {
    let mut items: Vec<Link> = service.control.links().await?.into_iter().map(convert::link).collect();
    items.sort_by(|a, b| {
        (&a.source_id, &a.wit_package, &a.name).cmp(&(&b.source_id, &b.wit_package, &b.name))
    });
    Ok(Doc(LinkList { items }))
}

/// Why the links of a component or provider work, or do not: who serves each import, how far it is, and what would mend what is wrong.
#[utoipa::path(get, path = "/v1/links/explain", tag = "wiring", params(ExplainQuery),
    responses((status = 200, body = LinkExplanation), (status = 404, body = ProblemView)))]
pub(crate) async fn explain_links(
    State(service): Shared,
    Query(query): Query<ExplainQuery>,
) -> Answer<LinkExplanation> {
    let ExplainQuery { source_id, contract, name } = query;
    let host = service.host_of_part(&source_id).await?;
    let request = ExplainRequest { source: source_id, contract, name };
    Ok(Doc(convert::explained(service.control.explain_links(&host, &request).await?)))
}

/// Puts a link; one with the same source, name and package is replaced. A link whose two ends run and do not have the same contract is
/// refused; that an end does not run yet is only warned of.
#[utoipa::path(put, path = "/v1/links", tag = "wiring", request_body = PutLink,
    responses((status = 200, body = Done), (status = 400, body = ProblemView), (status = 409, body = ProblemView)))]
pub(crate) async fn put_link(State(service): Shared, Json(link): Json<PutLink>) -> Answer<Done> {
    let link = convert::put_link(link)?;
    let warnings = service.check_link(&link).await?;
    service.control.put_link(&link).await?;
    let message = format!("{} is linked to {} for {}", link.source_id, link.target, link.contract);
    Ok(Doc(Done { message, warnings }))
}

/// Deletes a link; none there is no failure.
#[utoipa::path(delete, path = "/v1/links", tag = "wiring", params(LinkQuery), responses((status = 200, body = Done)))]
pub(crate) async fn delete_link(State(service): Shared, Query(query): Query<LinkQuery>) -> Answer<Done> {
    let key = LinkKey {
        source_id: query.source_id,
        name: query.name.unwrap_or_else(|| DEFAULT_LINK_NAME.into()),
        wit_namespace: query.wit_namespace,
        wit_package: query.wit_package,
    };
    service.control.del_link(&key).await?;
    let LinkKey { source_id, name, wit_namespace, wit_package } = key;
    let message = format!("the link `{name}` of {source_id} for {wit_namespace}:{wit_package} is deleted");
    Ok(Doc(Done::new(message)))
}

/// The names of all configs.
#[utoipa::path(get, path = "/v1/configs", tag = "wiring", responses((status = 200, body = ConfigList)))]
pub(crate) async fn list_configs(State(service): Shared) -> Answer<ConfigList> {
    // wasmCloud 1.x has no request that lists configs; the bucket that keeps them is a part of its protocol.
    let bucket = service.lattice.bucket(&format!("CONFIGDATA_{}", service.lattice.name())).await?;
    let entries = bucket.entries("").await?;
    Ok(Doc(ConfigList { items: entries.into_iter().map(|entry| entry.key).collect() }))
}

/// One config.
#[utoipa::path(get, path = "/v1/configs/{name}", tag = "wiring", params(("name" = String, Path)),
    responses((status = 200, body = Config), (status = 404, body = ProblemView)))]
pub(crate) async fn get_config(State(service): Shared, Name(name): Name) -> Answer<Config> {
    check_config_name(&name)?;
    match service.control.get_config(&name).await? {
        Some(values) => Ok(Doc(Config { name, values })),
        None => Err(problem(api::NO_SUCH_NAME, format!("there is no config `{name}`"))),
    }
}

/// Puts a config, whatever was there.
#[utoipa::path(put, path = "/v1/configs/{name}", tag = "wiring", params(("name" = String, Path)),
    request_body = BTreeMap<String, String>, responses((status = 200, body = Config)))]
pub(crate) async fn put_config(
    State(service): Shared,
    Name(name): Name,
    Json(values): Json<BTreeMap<String, String>>,
) -> Answer<Config> {
    check_config_name(&name)?;
    service.control.put_config(&name, &values).await?;
    Ok(Doc(Config { name, values }))
}

/// Deletes a config; none there is no failure.
#[utoipa::path(delete, path = "/v1/configs/{name}", tag = "wiring", params(("name" = String, Path)),
    responses((status = 200, body = Done)))]
pub(crate) async fn delete_config(State(service): Shared, Name(name): Name) -> Answer<Done> {
    check_config_name(&name)?;
    service.control.del_config(&name).await?;
    Ok(Doc(Done::new(format!("the config `{name}` is deleted"))))
}

/// The name becomes a part of a subject and the key of an entry.
fn check_config_name(name: &str) -> Result<(), Problems> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if name.is_empty() || name.len() > 256 || dots || !name.bytes().all(is_fine) {
        let message = format!("`{}` is not the name of a config", name.escape_debug());
        return Err(problem(api::BAD_REQUEST, message));
    }
    Ok(())
}
