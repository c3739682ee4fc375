//! The typed client of the API, over the unix socket or over TCP with the token. The command line uses this and nothing else.
//!
//! Each request has a connection of its own: requests are few and local, and nothing has to be kept alive or cleaned up.

mod connection;
mod stream;

pub use stream::{EventStream, Followed, LogStream, SpyStream};

use crate::document::{self as doc, Document};
use crate::folder::StateFolder;
use crate::problem::Problems;
use crate::query::{EventQuery, ExplainQuery, LinkQuery, LogQuery, SecretQuery, SpyQuery, encode_segment};
use bytes::Bytes;
use connection::Reply;
use http::Method;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::api;
use zeroize::Zeroizing;

/// Until a connection stands: it is local, so anything longer means that nobody accepts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer is there: a little longer than the server's own deadline, whose answer says more.
const ANSWER_GRACE: Duration = Duration::from_secs(10);
/// The largest answer that is taken, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How the API is reached.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// The unix socket of a state folder.
    Unix(PathBuf),
    /// Loopback TCP with the token.
    Tcp(SocketAddr, crate::guard::Token),
}

/// A client of one platform.
#[derive(Debug, Clone)]
pub struct Client {
    address: Address,
}

/// What a request carries.
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

/// The form of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFormat {
    /// YAML, of which JSON is a part.
    Yaml,
    /// JSON.
    Json,
}

impl ManifestFormat {
    /// By the name of the file.
    pub fn of(file_name: &str) -> ManifestFormat {
        if file_name.to_ascii_lowercase().ends_with(".json") {
            ManifestFormat::Json
        } else {
            ManifestFormat::Yaml
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            ManifestFormat::Yaml => "application/yaml",
            ManifestFormat::Json => "application/json",
        }
    }
}

/// Text, in which failures may be several: a manifest's are reported all at once.
pub type Result<T> = std::result::Result<T, Problems>;

impl Client {
    /// A client over the unix socket of a state folder.
    pub fn unix(folder: &StateFolder) -> std::result::Result<Client, Problem> {
        folder.check_socket_path()?;
        Ok(Client { address: Address::Unix(folder.socket()) })
    }

    /// A client over TCP.
    pub fn tcp(address: SocketAddr, token: crate::guard::Token) -> Client {
        Client { address: Address::Tcp(address, token) }
    }

    /// What answers.
    pub async fn version(&self) -> Result<doc::Version> {
        self.get("/v1/version").await
    }

    /// Whether the platform can work.
    pub async fn health(&self) -> Result<doc::Health> {
        self.get("/v1/health").await
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        let bytes = self.answer(Method::GET, "/v1/openapi.json", None).await?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    /// The hosts and what runs in them.
    pub async fn hosts(&self) -> Result<doc::HostList> {
        self.get("/v1/hosts").await
    }

    /// The supervision trees.
    pub async fn tree(&self) -> Result<doc::TreeList> {
        self.get("/v1/tree").await
    }

    /// All components.
    pub async fn components(&self) -> Result<doc::ComponentList> {
        self.get("/v1/components").await
    }

    /// What components and hosts have used.
    pub async fn usage(&self) -> Result<doc::UsageList> {
        self.get("/v1/usage").await
    }

    /// All providers.
    pub async fn providers(&self) -> Result<doc::ProviderList> {
        self.get("/v1/providers").await
    }

    /// All that there is to tell of a provider.
    pub async fn provider(&self, id: &str) -> Result<doc::ProviderDetails> {
        self.get(&provider_path(id, "")).await
    }

    /// Puts another provider in the place of one that runs, or looks what that would do.
    pub async fn swap_provider(&self, id: &str, swap: &doc::SwapProvider) -> Result<doc::ProviderSwapList> {
        self.post(&provider_path(id, "/swap"), swap).await
    }

    /// Stops a provider.
    pub async fn stop_provider(&self, id: &str) -> Result<doc::Done> {
        self.post(&provider_path(id, "/stop"), &()).await
    }

    /// Starts a provider that was stopped.
    pub async fn start_provider(&self, id: &str) -> Result<doc::Done> {
        self.post(&provider_path(id, "/start"), &()).await
    }

    /// Starts a provider anew.
    pub async fn restart_provider(&self, id: &str) -> Result<doc::Done> {
        self.post(&provider_path(id, "/restart"), &()).await
    }

    /// All applications.
    pub async fn applications(&self) -> Result<doc::ApplicationList> {
        self.get("/v1/applications").await
    }

    /// One application.
    pub async fn application(&self, name: &str) -> Result<doc::Application> {
        self.get(&application_path(name, "")).await
    }

    /// How it is, part by part.
    pub async fn application_status(&self, name: &str) -> Result<doc::ApplicationStatus> {
        self.get(&application_path(name, "/status")).await
    }

    /// Its versions.
    pub async fn application_versions(&self, name: &str) -> Result<doc::VersionList> {
        self.get(&application_path(name, "/versions")).await
    }

    /// The manifest of a version, or of the newest.
    pub async fn application_manifest(&self, name: &str, version: Option<&str>) -> Result<doc::Manifest> {
        let query =
            version.map(|version| format!("?version={}", encode_segment(version))).unwrap_or_default();
        self.get(&application_path(name, &format!("/manifest{query}"))).await
    }

    /// Puts a manifest: a new version of its application, which is not deployed yet.
    pub async fn put_application(
        &self,
        manifest: Bytes,
        format: ManifestFormat,
        file: &str,
    ) -> Result<doc::Put> {
        let path = format!("/v1/applications?file={}", encode_segment(file));
        self.send(Method::PUT, &path, Some(Body { content_type: format.content_type(), bytes: manifest }))
            .await
    }

    /// What putting and deploying a manifest would change.
    pub async fn preview_application(
        &self,
        manifest: Bytes,
        format: ManifestFormat,
        file: &str,
    ) -> Result<doc::Preview> {
        let path = format!("/v1/preview?file={}", encode_segment(file));
        self.send(Method::POST, &path, Some(Body { content_type: format.content_type(), bytes: manifest }))
            .await
    }

    /// Deploys a version, or the newest.
    pub async fn deploy(&self, name: &str, version: Option<&str>) -> Result<doc::Deployed> {
        self.post(&application_path(name, "/deploy"), &deploy_request(version)).await
    }

    /// Stops what the application runs; its versions are kept.
    pub async fn undeploy(&self, name: &str) -> Result<doc::Deployed> {
        self.post(&application_path(name, "/undeploy"), &()).await
    }

    /// Deploys an older version: the one that was deployed before this one unless said.
    pub async fn rollback(&self, name: &str, version: Option<&str>) -> Result<doc::Deployed> {
        self.post(&application_path(name, "/rollback"), &deploy_request(version)).await
    }

    /// Undeploys the application and forgets its versions.
    pub async fn delete_application(&self, name: &str) -> Result<doc::Done> {
        self.send(Method::DELETE, &application_path(name, ""), None).await
    }

    /// All links.
    pub async fn links(&self) -> Result<doc::LinkList> {
        self.get("/v1/links").await
    }

    /// Why the links of a component or provider work, or do not.
    pub async fn explain_links(&self, query: &ExplainQuery) -> Result<doc::LinkExplanation> {
        self.get(&format!("/v1/links/explain?{}", query.encode())).await
    }

    /// Puts a link.
    pub async fn put_link(&self, link: &doc::PutLink) -> Result<doc::Done> {
        self.send(Method::PUT, "/v1/links", Some(json_body(link))).await
    }

    /// Deletes a link.
    pub async fn delete_link(&self, link: &LinkQuery) -> Result<doc::Done> {
        self.send(Method::DELETE, &format!("/v1/links?{}", link.encode()), None).await
    }

    /// The names of all configs.
    pub async fn configs(&self) -> Result<doc::ConfigList> {
        self.get("/v1/configs").await
    }

    /// One config.
    pub async fn config(&self, name: &str) -> Result<doc::Config> {
        self.get(&format!("/v1/configs/{}", encode_segment(name))).await
    }

    /// The names of all secrets.
    pub async fn secrets(&self) -> Result<doc::SecretList> {
        self.get("/v1/secrets").await
    }

    /// Keeps a secret. The value is wiped when it has been sent.
    pub async fn put_secret(
        &self,
        name: &str,
        query: &SecretQuery,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<doc::Done> {
        let body = Body { content_type: "application/octet-stream", bytes: Bytes::from_owner(value) };
        self.send(Method::PUT, &secret_path(name, query), Some(body)).await
    }

    /// Deletes a secret.
    pub async fn delete_secret(&self, name: &str, query: &SecretQuery) -> Result<doc::Done> {
        self.send(Method::DELETE, &secret_path(name, query), None).await
    }

    /// Log lines that are kept.
    pub async fn logs(&self, query: &LogQuery) -> Result<doc::LogList> {
        self.get(&format!("/v1/logs?{}", query.encode())).await
    }

    /// Log lines that are kept, then those to come.
    pub async fn follow_logs(&self, query: &LogQuery) -> Result<LogStream> {
        let reply = self.open(&format!("/v1/logs/stream?{}", query.encode())).await?;
        Ok(LogStream::new(reply))
    }

    /// Events that are kept.
    pub async fn events(&self, query: &EventQuery) -> Result<doc::EventList> {
        self.get(&format!("/v1/events?{}", query.encode())).await
    }

    /// Events that are kept, then those to come.
    pub async fn follow_events(&self, query: &EventQuery) -> Result<EventStream> {
        let reply = self.open(&format!("/v1/events/stream?{}", query.encode())).await?;
        Ok(EventStream::new(reply))
    }

    /// Messages of the lattice, from now on.
    pub async fn spy(&self, query: &SpyQuery) -> Result<SpyStream> {
        let reply = self.open(&format!("/v1/spy?{}", query.encode())).await?;
        Ok(SpyStream::new(reply))
    }

    /// What an artifact is.
    pub async fn inspect(&self, reference: &str) -> Result<doc::Inspection> {
        self.post("/v1/inspect", &doc::InspectRequest { reference: reference.into() }).await
    }

    /// The interfaces of a component that runs, or of an artifact, as WIT.
    pub async fn wit(&self, request: &doc::WitRequest) -> Result<doc::Wit> {
        self.post("/v1/wit", request).await
    }

    /// Calls a function that a component exports.
    pub async fn call(&self, request: &doc::CallRequest) -> Result<doc::CallResult> {
        self.post("/v1/call", request).await
    }

    /// Makes the hosts take no new work.
    pub async fn drain(&self) -> Result<doc::Done> {
        self.post("/v1/drain", &()).await
    }

    /// Asks the platform to stop; it answers, drains and ends.
    pub async fn shutdown(&self, reason: &str) -> Result<doc::Done> {
        self.post("/v1/shutdown", &doc::ShutdownRequest { reason: Some(reason.into()) }).await
    }

    async fn get<T: Document>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None).await
    }

    async fn post<T: Document>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send(Method::POST, path, Some(json_body(body))).await
    }

    async fn send<T: Document>(&self, method: Method, path: &str, body: Option<Body>) -> Result<T> {
        let bytes = self.answer(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    /// The bytes of a successful answer; a failure is its problem.
    async fn answer(&self, method: Method, path: &str, body: Option<Body>) -> Result<Bytes> {
        let exchange = async {
            let mut reply = connection::request(&self.address, method, path, body, CONNECT_TIMEOUT).await?;
            let bytes = reply.collect(ANSWER_BYTES_MAX).await?;
            Ok::<_, Problem>((reply.status, bytes))
        };
        let patience = crate::serve::patience(path) + ANSWER_GRACE;
        let (status, bytes) = match tokio::time::timeout(patience, exchange).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Problem::new(api::REQUEST_TIMEOUT, no_answer(patience)).into()),
        };
        if status.is_success() { Ok(bytes) } else { Err(failure(status, &bytes)) }
    }

    /// Opens a stream.
    async fn open(&self, path: &str) -> Result<Reply> {
        let asked = connection::request(&self.address, Method::GET, path, None, CONNECT_TIMEOUT);
        let patience = crate::serve::patience(path) + ANSWER_GRACE;
        let mut reply = match tokio::time::timeout(patience, asked).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Problem::new(api::REQUEST_TIMEOUT, no_answer(patience)).into()),
        };
        if reply.status.is_success() {
            return Ok(reply);
        }
        let bytes = reply.collect(ANSWER_BYTES_MAX).await?;
        Err(failure(reply.status, &bytes))
    }
}

fn application_path(name: &str, rest: &str) -> String {
    format!("/v1/applications/{}{rest}", encode_segment(name))
}

fn provider_path(id: &str, rest: &str) -> String {
    format!("/v1/providers/{}{rest}", encode_segment(id))
}

fn secret_path(name: &str, query: &SecretQuery) -> String {
    format!("/v1/secrets/{}?{}", encode_segment(name), query.encode())
}

fn deploy_request(version: Option<&str>) -> doc::DeployRequest {
    doc::DeployRequest { version: version.map(str::to_string) }
}

fn json_body(value: &impl Serialize) -> Body {
    let bytes = serde_json::to_vec(value).expect("plain data with string keys is JSON");
    Body { content_type: "application/json", bytes: bytes.into() }
}

fn no_answer(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs())
}

/// The problem that an answer other than success carries.
fn failure(status: http::StatusCode, bytes: &[u8]) -> Problems {
    Problems::from_json(bytes).unwrap_or_else(|| {
        Problem::new(api::ANSWER_UNREADABLE, format!("the platform answered {status} without a problem"))
            .into()
    })
}

fn unreadable(error: &serde_json::Error) -> Problems {
    Problem::new(api::ANSWER_UNREADABLE, "the answer does not have the expected form")
        .with_cause(error.to_string())
        .into()
}
