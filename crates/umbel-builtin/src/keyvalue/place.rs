//! Where a bucket stands in the file: under whoever it belongs to.

use super::config::Target;
use super::error::KeyvalueError;
use std::sync::Arc;

/// Longest name of a bucket, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// A bucket. Neither an application's name nor a component's id has a `/`, so no two owners share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `app/NAME`, `component/ID` or `shared`.
    pub(crate) owner: Arc<str>,
    /// `OWNER/BUCKET`.
    pub(crate) bucket: Arc<str>,
}

impl Place {
    /// The bucket that `name` means to a component, over a link with that config.
    pub(crate) fn new(
        target: &Target,
        application: Option<&str>,
        component: &str,
        name: &str,
    ) -> Result<Place, KeyvalueError> {
        let name = target.bucket.as_deref().unwrap_or(name);
        if name.len() > NAME_BYTES_MAX {
            return Err(KeyvalueError::BucketName { bytes: name.len() });
        }
        let owner = owner(target, application, component);
        let bucket = format!("{owner}/{name}").into();
        Ok(Place { owner: owner.into(), bucket })
    }
}

/// Who owns the buckets that are opened over a link with that config.
pub(crate) fn owner(target: &Target, application: Option<&str>, component: &str) -> String {
    match application {
        _ if target.shared => "shared".to_string(),
        Some(application) => format!("app/{application}"),
        None => format!("component/{component}"),
    }
}
