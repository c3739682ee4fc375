//! Secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret without its value, which nothing answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// `application`, `component` or `shared`.
    pub scope: String,
    /// The application or component that may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How often it was put.
    pub version: u64,
    /// When it was put, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_unix_ms: Option<u64>,
}

/// All secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// By owner and name.
    pub items: Vec<Secret>,
}
