//! Applications: their manifests, versions and what is deployed.

use super::{Answer, Doc, Shared};
use crate::convert;
use crate::diff;
use crate::document::{
    Application, ApplicationList, ApplicationStatus, ApplicationVersion, DeployRequest, Deployed, Done,
    Manifest, Preview, Put, VersionList,
};
use crate::extract::{Json, Name, Payload, Query};
use crate::problem::{ProblemView, Problems};
use crate::query::{FileQuery, VersionQuery};
use crate::service::{Service, checked, deployed, failed, managed, no_version, not_found, problem, refused};
use axum::extract::State;
use http::{HeaderMap, header};
use serde_json::Value;
use umbel_core::code::api;
use umbel_core::id::AppName;
use umbel_lattice::wadm::{self, DelResult, GetResult, PutResult, StatusResult};

/// The name to show in problems when the request gives none.
const FILE_NAME_DEFAULT: &str = "manifest.yaml";

/// All applications.
#[utoipa::path(get, path = "/v1/applications", tag = "applications", responses((status = 200, body = ApplicationList)))]
pub(crate) async fn list_applications(State(service): Shared) -> Answer<ApplicationList> {
    Ok(Doc(ApplicationList { items: applications(&service).await? }))
}

/// One application.
#[utoipa::path(get, path = "/v1/applications/{name}", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = Application), (status = 404, body = ProblemView)))]
pub(crate) async fn get_application(State(service): Shared, Name(name): Name) -> Answer<Application> {
    let name = checked(AppName::new(name))?;
    let found =
        applications(&service).await?.into_iter().find(|application| application.name == name.as_str());
    found.map(Doc).ok_or_else(|| not_found(&name).into())
}

async fn applications(service: &Service) -> Result<Vec<Application>, Problems> {
    let mut items: Vec<_> =
        managed(service.applications.list().await)?.into_iter().map(convert::application).collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(items)
}

/// Puts a manifest: a new version of the application that it names. It is kept, and not deployed yet.
#[utoipa::path(put, path = "/v1/applications", tag = "applications", params(FileQuery),
    request_body(content((String = "application/yaml"), (Value = "application/json")), description = "An OAM application"),
    responses((status = 200, body = Put), (status = 400, body = ProblemView, description = "All problems of the manifest")))]
pub(crate) async fn put_application(
    State(service): Shared,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    Payload(manifest): Payload,
) -> Answer<Put> {
    let media_type = media_type(&headers)?;
    let file = file_name(query);
    let reply = managed(service.applications.put(manifest, media_type, &file).await)?;
    let result = match reply.result {
        PutResult::NewVersion if reply.unchanged => "unchanged",
        PutResult::Created => "created",
        PutResult::NewVersion => "new-version",
        PutResult::Error => return Err(refused(reply.problems, failed(reply.message))),
    };
    Ok(Doc(Put {
        name: reply.name,
        result: result.into(),
        version: reply.current_version,
        versions: reply.total_versions,
    }))
}

/// What putting a manifest and deploying it would change, compared with the newest version.
#[utoipa::path(post, path = "/v1/preview", tag = "applications", params(FileQuery),
    request_body(content((String = "application/yaml"), (Value = "application/json")), description = "An OAM application"),
    responses((status = 200, body = Preview), (status = 400, body = ProblemView, description = "All problems of the manifest")))]
pub(crate) async fn preview_application(
    State(service): Shared,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    Payload(manifest): Payload,
) -> Answer<Preview> {
    media_type(&headers)?;
    let application = umbel_manifest::parse(&file_name(query), &manifest)
        .map_err(|problems| refused(problems, failed("the manifest is refused without a reason".into())))?;
    let current = managed(service.applications.get(application.name.as_str(), None).await)?;
    let (against, old) = match current.manifest.filter(|_| current.result == GetResult::Success) {
        Some(old) => (Some(version_of(&old)), canonical(old)),
        None => (None, Value::Null),
    };
    let changes = diff::changes(&old, &diff::without_version(application.to_json()));
    let mut undone = Vec::new();
    if against.is_some() {
        let status = managed(service.applications.status(application.name.as_str()).await)?;
        let parts = status.status.map(|status| status.parts).unwrap_or_default();
        undone.extend(
            parts.into_iter().filter_map(|part| Some(format!("{} was {}", part.name, part.by_hand?))),
        );
    }
    Ok(Doc(Preview { name: application.name.to_string(), against, changes, undone }))
}

/// A stored manifest in the form in which ours are written, so that only what differs in meaning differs.
fn canonical(stored: Value) -> Value {
    let text = stored.to_string();
    let manifest =
        umbel_manifest::parse("stored", text.as_bytes()).map_or(stored, |application| application.to_json());
    diff::without_version(manifest)
}

fn version_of(manifest: &Value) -> String {
    let version = manifest.pointer("/metadata/annotations/version").and_then(Value::as_str);
    version.unwrap_or_default().to_string()
}

fn file_name(query: FileQuery) -> String {
    // The name goes into a header of a lattice message, which is one line of text.
    let name = query.file.unwrap_or_else(|| FILE_NAME_DEFAULT.into());
    name.chars().filter(|c| !c.is_control()).take(512).collect()
}

/// YAML unless the request says JSON; anything else is refused rather than guessed.
fn media_type(headers: &HeaderMap) -> Result<&'static str, Problems> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(wadm::YAML) };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(wadm::JSON),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/plain" | "" => Ok(wadm::YAML),
        other => Err(problem(
            api::BAD_REQUEST,
            format!("a manifest is application/yaml or application/json, not `{}`", other.escape_debug()),
        )),
    }
}

/// Undeploys the application and forgets its versions.
#[utoipa::path(delete, path = "/v1/applications/{name}", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ProblemView)))]
pub(crate) async fn delete_application(State(service): Shared, Name(name): Name) -> Answer<Done> {
    let name = checked(AppName::new(name))?;
    let reply = managed(service.applications.del(name.as_str(), None).await)?;
    match reply.result {
        DelResult::Deleted => Ok(Doc(Done::new(format!("the application `{name}` is deleted")))),
        DelResult::NotFound => Err(refused(reply.problems, not_found(&name))),
        DelResult::Error => Err(refused(reply.problems, failed(reply.message))),
    }
}

/// The manifest of a version, or of the newest.
#[utoipa::path(get, path = "/v1/applications/{name}/manifest", tag = "applications",
    params(("name" = String, Path), VersionQuery),
    responses((status = 200, body = Manifest), (status = 404, body = ProblemView)))]
pub(crate) async fn get_manifest(
    State(service): Shared,
    Name(name): Name,
    Query(query): Query<VersionQuery>,
) -> Answer<Manifest> {
    let name = checked(AppName::new(name))?;
    let reply = managed(service.applications.get(name.as_str(), query.version.as_deref()).await)?;
    match (reply.result, reply.manifest) {
        (GetResult::Success, Some(manifest)) => {
            Ok(Doc(Manifest { name: name.to_string(), version: version_of(&manifest), manifest }))
        }
        (GetResult::NotFound, _) => {
            let problem =
                query.version.map_or_else(|| not_found(&name), |version| no_version(&name, &version));
            Err(refused(reply.problems, problem))
        }
        _ => Err(refused(reply.problems, failed(reply.message))),
    }
}

/// The versions of an application, oldest first.
#[utoipa::path(get, path = "/v1/applications/{name}/versions", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = VersionList), (status = 404, body = ProblemView)))]
pub(crate) async fn list_versions(State(service): Shared, Name(name): Name) -> Answer<VersionList> {
    let name = checked(AppName::new(name))?;
    let versions = service.versions(&name).await?.into_iter();
    let items = versions.map(|info| ApplicationVersion {
        version: info.version,
        created_unix_ms: info.created_unix_ms,
        deployed: info.deployed,
    });
    Ok(Doc(VersionList { name: name.to_string(), items: items.collect() }))
}

/// How an application is, part by part.
#[utoipa::path(get, path = "/v1/applications/{name}/status", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = ApplicationStatus), (status = 404, body = ProblemView)))]
pub(crate) async fn application_status(
    State(service): Shared,
    Name(name): Name,
) -> Answer<ApplicationStatus> {
    let name = checked(AppName::new(name))?;
    let reply = managed(service.applications.status(name.as_str()).await)?;
    match (reply.result, reply.status) {
        (StatusResult::Ok, Some(status)) => Ok(Doc(convert::status(name.as_str(), status))),
        (StatusResult::NotFound, _) => Err(refused(reply.problems, not_found(&name))),
        _ => Err(refused(reply.problems, failed(reply.message))),
    }
}

/// Deploys a version, or the newest.
#[utoipa::path(post, path = "/v1/applications/{name}/deploy", tag = "applications", params(("name" = String, Path)),
    request_body = Option<DeployRequest>,
    responses((status = 200, body = Deployed), (status = 404, body = ProblemView)))]
pub(crate) async fn deploy(
    State(service): Shared,
    Name(name): Name,
    Json(request): Json<Option<DeployRequest>>,
) -> Answer<Deployed> {
    let name = checked(AppName::new(name))?;
    let version = request.unwrap_or_default().version;
    Ok(Doc(service.deploy(&name, version.as_deref()).await?))
}

/// Stops what the application runs; its versions are kept.
#[utoipa::path(post, path = "/v1/applications/{name}/undeploy", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = Deployed), (status = 404, body = ProblemView)))]
pub(crate) async fn undeploy(State(service): Shared, Name(name): Name) -> Answer<Deployed> {
    let name = checked(AppName::new(name))?;
    let reply = managed(service.applications.undeploy(name.as_str()).await)?;
    let answer = deployed(&name, None, reply)?;
    Ok(Doc(Deployed { version: None, ..answer }))
}

/// Deploys an older version: the named one, or the one that was deployed before this one.
#[utoipa::path(post, path = "/v1/applications/{name}/rollback", tag = "applications", params(("name" = String, Path)),
    request_body = Option<DeployRequest>,
    responses((status = 200, body = Deployed), (status = 404, body = ProblemView), (status = 409, body = ProblemView)))]
pub(crate) async fn rollback(
    State(service): Shared,
    Name(name): Name,
    Json(request): Json<Option<DeployRequest>>,
) -> Answer<Deployed> {
    let name = checked(AppName::new(name))?;
    Ok(Doc(match request.unwrap_or_default().version {
        Some(version) => service.deploy(&name, Some(&version)).await?,
        // Which one that is, the manager knows: it keeps the order of deploys, and the list of versions has that of puts.
        None => deployed(&name, None, managed(service.applications.rollback(name.as_str()).await)?)?,
    }))
}
