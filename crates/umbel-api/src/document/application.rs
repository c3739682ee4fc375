//! Applications and their versions.

use serde::{Deserialize, Serialize};
use umbel_core::Problem;
use utoipa::ToSchema;

/// An application and how it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// What its manifest says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The newest version.
    pub version: String,
    /// The version that is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_version: Option<String>,
    /// `undeployed`, `reconciling`, `deployed`, `failed`, `waiting` or `unhealthy`.
    pub status: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Addresses under which it answers.
    pub urls: Vec<String>,
}

/// The applications of the lattice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationList {
    /// By name.
    pub items: Vec<Application>,
}

/// How an application is, part by part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationStatus {
    /// Its name.
    pub name: String,
    /// The version that the status is of.
    pub version: String,
    /// `undeployed`, `reconciling`, `deployed`, `failed`, `waiting` or `unhealthy`.
    pub status: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// Addresses under which it answers.
    pub urls: Vec<String>,
    /// The version that a rollback goes to: the one that was deployed before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<crate::problem::ProblemView>)]
    pub problems: Vec<Problem>,
}

/// One part of an application: what the manager keeps as the manifest wants it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// The name in the manifest.
    pub name: String,
    /// Its id on the lattice.
    pub id: String,
    /// `component`, `provider`, `link` or `config`.
    pub kind: String,
    /// `starting`, `compiling`, `running`, `backing-off`, `draining`, `completed`, `stopped`, `crash-loop`, `failed`, `unknown`.
    pub state: String,
    /// What runs, or is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// Calls that may run at the same moment, all hosts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances_max: Option<u32>,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
    /// The version that goes on serving because the desired one cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_version: Option<String>,
    /// What was changed of it by hand, until the application is deployed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// One version of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationVersion {
    /// The version, as the manifest gave it or as it was made.
    pub version: String,
    /// When it was put, in milliseconds since 1970, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_unix_ms: Option<u64>,
    /// Whether it is the deployed one.
    pub deployed: bool,
}

/// The versions of an application, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionList {
    /// The application.
    pub name: String,
    /// Oldest first.
    pub items: Vec<ApplicationVersion>,
}

/// A manifest as it was put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// The application.
    pub name: String,
    /// The version.
    pub version: String,
    /// The OAM document.
    #[schema(value_type = Object)]
    pub manifest: serde_json::Value,
}

/// The answer to a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Put {
    /// The application.
    pub name: String,
    /// `created`, `new-version`, or `unchanged` when this very manifest is kept already.
    pub result: String,
    /// The version that this manifest has.
    pub version: String,
    /// How many versions are kept.
    pub versions: usize,
}

/// What deploying a manifest would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The application.
    pub name: String,
    /// The version to compare with: the newest one that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// The differences, by path. Empty: nothing would change.
    pub changes: Vec<Change>,
    /// What was changed by hand, which a deploy would undo, by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
}

/// One difference between two manifests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Where, e.g. `components/hello/properties/image`.
    pub path: String,
    /// What is there now; absent when it would be added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub old: Option<serde_json::Value>,
    /// What would be there; absent when it would be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub new: Option<serde_json::Value>,
}

/// Which version to deploy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeployRequest {
    /// The version; the newest when absent, and for a rollback the one that was deployed before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A change of what is deployed was accepted; the platform works on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The application.
    pub name: String,
    /// The version that is deployed now; absent after an undeploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the manager said.
    pub message: String,
}
