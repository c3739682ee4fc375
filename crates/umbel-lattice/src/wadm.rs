//! Application requests: the JSON of wadm (`facts/wasmcloud.md` §4.7) with our extension fields, and a client for them.
//!
//! The manager serves them on [`crate::subjects::wadm`]; extension fields have defaults and are left out when they have them.

use crate::control::client::parse_answer;
use crate::control::pages::request_whole;
use crate::control::{ControlError, Endpoint, PartState};
use crate::message::to_json;
use crate::subjects::wadm as subject;
use crate::{Lattice, LatticeError, Message};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use takeover::Takeover;
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::id::HostId;

mod takeover;

pub use takeover::{LEADER_KEY, STATE_BUCKET};

/// Header of a `put` that says what the manifest is written in.
pub const CONTENT_TYPE: &str = "Content-Type";
/// A manifest in JSON.
pub const JSON: &str = "application/json";
/// A manifest in YAML.
pub const YAML: &str = "application/yaml";
/// Extension header of a `put`: the name of the file, for messages about it.
pub const FILE_NAME: &str = "Umbel-File-Name";

/// What became of a `put`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PutResult {
    /// The application is new.
    Created,
    /// It has one more version.
    NewVersion,
    /// The manifest was not stored.
    Error,
}

/// The answer to a `put`; the request is the manifest itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutReply {
    /// What became of it.
    pub result: PutResult,
    /// How many versions there are now.
    #[serde(default)]
    pub total_versions: usize,
    /// The version that was stored.
    #[serde(default)]
    pub current_version: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The application.
    #[serde(default)]
    pub name: String,
    /// Extension: the manifest is that of `current_version`, so that nothing was stored. wadm has no word for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// Extension: everything that is wrong with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// Names a version; nothing, or an empty payload, is the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRequest {
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What became of a `deploy`, `undeploy` or `rollback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployResult {
    /// It is desired now; the status tells how far it is.
    Acknowledged,
    /// There is no such application or version.
    NotFound,
    /// It was refused.
    Error,
}

/// The answer to a `deploy` (asked with [`VersionRequest`]), an `undeploy` or a `rollback` (asked with nothing).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReply {
    /// What became of it.
    pub result: DeployResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The application.
    #[serde(default)]
    pub name: String,
    /// The version; always there, as wadm's is.
    #[serde(default)]
    pub version: Option<String>,
    /// Extension: why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What became of a `get`, `versions` or `get` of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GetResult {
    /// Here it is.
    Success,
    /// There is no such application or version.
    NotFound,
    /// It failed.
    Error,
}

/// The answer to a `get` (asked with [`VersionRequest`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GetReply {
    /// What became of it.
    pub result: GetResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The manifest, with its version in `metadata.annotations.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
    /// Extension: why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// The answer to `versions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsReply {
    /// What became of it.
    pub result: GetResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The versions, oldest first.
    #[serde(default)]
    pub versions: Vec<VersionInfo>,
    /// Extension: why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One version of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its name.
    pub version: String,
    /// Whether it is the one that is desired.
    pub deployed: bool,
    /// Extension: when it was stored, in ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_unix_ms: Option<u64>,
}

/// What became of a `del`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DelResult {
    /// It is gone.
    Deleted,
    /// There was none.
    #[serde(alias = "noop")]
    NotFound,
    /// It failed.
    Error,
}

/// The answer to a `del` (asked with [`VersionRequest`]; no version is all of them).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelReply {
    /// What became of it.
    pub result: DelResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Whether it was deployed and is being undeployed.
    #[serde(default)]
    pub undeploy: bool,
    /// Extension: why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// How an application is, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusType {
    /// It is not desired.
    #[default]
    Undeployed,
    /// It is on its way.
    Reconciling,
    /// Everything that is desired runs.
    Deployed,
    /// It cannot be.
    Failed,
    /// Something that it needs is missing, e.g. a host.
    Waiting,
    /// It runs, but not well.
    Unhealthy,
}

/// A status in one word, with a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// The word.
    #[serde(rename = "type")]
    pub kind: StatusType,
    /// The text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How one scaler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalerStatus {
    /// Its id.
    pub id: String,
    /// `SpreadScaler`, `DaemonScaler`, `LinkScaler`, `ConfigScaler`.
    pub kind: String,
    /// What it scales.
    pub name: String,
    /// How it is.
    pub status: StatusInfo,
}

/// How an application is. The fields from `parts` on are extensions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In one word.
    pub status: StatusInfo,
    /// By scaler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scalers: Vec<ScalerStatus>,
    /// The version; wadm leaves it empty.
    #[serde(default)]
    pub version: String,
    /// By component; wadm leaves it empty.
    #[serde(default)]
    pub components: Vec<Value>,
    /// By part: what runs where, and how it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartStatus>,
    /// Where the application answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The plan's generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The version that a rollback goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// What a part of an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// A component.
    Component,
    /// A provider.
    Provider,
    /// A link.
    Link,
    /// A config.
    Config,
}

/// One part of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartStatus {
    /// The name in the manifest.
    pub name: String,
    /// The id on the lattice.
    pub id: String,
    /// What it is.
    pub kind: PartKind,
    /// How it is.
    pub state: PartState,
    /// What runs, or is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// Calls that may run at once, all hosts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The version that goes on serving because the desired one cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<String>,
    /// What was changed of it by hand, until the next deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
    /// Where its components can be reached through it, or where it can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// What became of a `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusResult {
    /// Here it is.
    Ok,
    /// There is no such application.
    NotFound,
    /// It failed.
    Error,
}

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// What became of it.
    pub result: StatusResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Extension: why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One application in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// The newest version.
    pub version: String,
    /// The description in its manifest.
    #[serde(default)]
    pub description: Option<String>,
    /// The version that is desired.
    #[serde(default)]
    pub deployed_version: Option<String>,
    /// How it is.
    #[serde(default)]
    pub detailed_status: Status,
    /// How it is, in one word.
    pub status: StatusType,
    /// And a text.
    #[serde(default)]
    pub status_message: String,
}

/// The answer to a `get` without a name; `list` answers with the bare array of `models`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListReply {
    /// What became of it.
    pub result: GetResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The applications.
    #[serde(default)]
    pub models: Vec<Summary>,
}

/// The answer to a `digests`: an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestsReply {
    /// What became of it. Only after `success` are these all digests.
    pub result: GetResult,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// What the versions of all applications refer to: `sha256:…`, each once.
    #[serde(default)]
    pub digests: Vec<String>,
}

/// A client of the application requests. Answers are returned as they are: `result` says whether they are what was asked for.
#[derive(Clone, Debug)]
pub struct Client {
    lattice: Arc<dyn Lattice>,
    timeout: Duration,
    takeover: Arc<Takeover>,
}

impl Client {
    /// A client whose every request has this deadline.
    pub fn new(lattice: Arc<dyn Lattice>, timeout: Duration) -> Client {
        Client { lattice, timeout, takeover: Arc::default() }
    }

    /// Stores a manifest, in [`JSON`] or [`YAML`]; `file_name` is for messages about it.
    pub async fn put(
        &self,
        manifest: Bytes,
        content_type: &str,
        file_name: &str,
    ) -> Result<PutReply, ControlError> {
        let message = Message::new(subject::put(self.lattice.name()), manifest)
            .with_header(CONTENT_TYPE, content_type)
            .with_header(FILE_NAME, file_name);
        self.ask(message).await
    }

    /// All applications.
    pub async fn list(&self) -> Result<Vec<Summary>, ControlError> {
        self.ask(Message::new(subject::list(self.lattice.name()), Bytes::new())).await
    }

    /// A manifest: of the version, or the newest.
    pub async fn get(&self, name: &str, version: Option<&str>) -> Result<GetReply, ControlError> {
        self.ask(Message::new(subject::get(self.lattice.name(), name), at(version))).await
    }

    /// Deletes a version, or the application.
    pub async fn del(&self, name: &str, version: Option<&str>) -> Result<DelReply, ControlError> {
        self.ask(Message::new(subject::del(self.lattice.name(), name), at(version))).await
    }

    /// The versions of an application.
    pub async fn versions(&self, name: &str) -> Result<VersionsReply, ControlError> {
        self.ask(Message::new(subject::versions(self.lattice.name(), name), Bytes::new())).await
    }

    /// Deploys a version, or the newest.
    pub async fn deploy(&self, name: &str, version: Option<&str>) -> Result<DeployReply, ControlError> {
        self.ask(Message::new(subject::deploy(self.lattice.name(), name), at(version))).await
    }

    /// Deploys the version that was deployed before this one. An extension: wadm does not know it.
    pub async fn rollback(&self, name: &str) -> Result<DeployReply, ControlError> {
        self.ask(Message::new(subject::rollback(self.lattice.name(), name), Bytes::new())).await
    }

    /// Undeploys an application.
    pub async fn undeploy(&self, name: &str) -> Result<DeployReply, ControlError> {
        self.ask(Message::new(subject::undeploy(self.lattice.name(), name), Bytes::new())).await
    }

    /// How an application is.
    pub async fn status(&self, name: &str) -> Result<StatusReply, ControlError> {
        self.ask(Message::new(subject::status(self.lattice.name(), name), Bytes::new())).await
    }

    /// Which artifacts the versions of all applications refer to. An extension: wadm does not know it.
    pub async fn digests(&self) -> Result<DigestsReply, ControlError> {
        self.ask(Message::new(subject::digests(self.lattice.name()), Bytes::new())).await
    }

    /// Where hosts share the lattice, whoever manages may just be gone. Then nobody answers until another takes over, which is waited for if
    /// one can; and what was asked of the one that went is lost, which is asked again if it only reads.
    async fn ask<T: DeserializeOwned>(&self, message: Message) -> Result<T, ControlError> {
        let (subject, begun) = (message.subject.clone(), Instant::now());
        let is_shared = self.lattice.is_shared();
        let is_read = READS.iter().any(|verb| subject.contains(verb));
        loop {
            let left = self.timeout.saturating_sub(begun.elapsed());
            let attempt = if is_shared && is_read { left.min(READ_MAX) } else { left };
            match request_whole(&*self.lattice, message.clone(), attempt).await {
                Err(error @ LatticeError::NoResponders { .. }) if is_shared => {
                    let wait_max = self.takeover.wait_max(&*self.lattice).await.min(self.timeout);
                    if begun.elapsed() >= wait_max {
                        return Err(error.into());
                    }
                    tokio::time::sleep(takeover::LOOK_EVERY).await;
                }
                Err(LatticeError::Timeout { .. }) if attempt < left => {}
                reply => return parse_answer(&subject, &reply?),
            }
        }
    }
}

/// Requests that change nothing.
const READS: [&str; 5] = [".model.list", ".model.get", ".model.versions", ".model.status", ".model.digests"];
/// How long one attempt to read may take.
const READ_MAX: Duration = Duration::from_secs(4);

fn at(version: Option<&str>) -> Bytes {
    match version {
        Some(version) => to_json(&VersionRequest { version: Some(version.to_string()) }),
        None => Bytes::new(),
    }
}
