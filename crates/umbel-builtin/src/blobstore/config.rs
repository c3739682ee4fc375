//! What a blobstore is told, by the provider's config and by a link's target config, which overrides it.

use super::error::BlobError;
use super::name::NAME_BYTES_MAX;
use std::path::PathBuf;
use umbel_core::link::Values;

/// The validated settings of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `root`: the folder that holds everything, absolute. Default: the provider's own.
    pub root: Option<PathBuf>,
    /// `space`: the name of a space that all links with that name share. Default: each application has its own.
    pub space: Option<String>,
    /// `object_bytes_max`: bytes of one object. Default 16 GiB.
    pub object_bytes_max: u64,
    /// `free_bytes_min`: an object is refused when the file system would have fewer bytes left. Default 64 MiB.
    pub free_bytes_min: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { root: None, space: None, object_bytes_max: 16 << 30, free_bytes_min: 64 << 20 }
    }
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors.
    pub fn read(provider: &Values, link: &Values) -> Result<Settings, BlobError> {
        let mut settings = Settings::default();
        for (key, value) in provider.iter().chain(link) {
            settings.set(key, value.trim())?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BlobError> {
        match key {
            // Manifests of wasmCloud 1.x have it in either case.
            "root" | "ROOT" => {
                let root = PathBuf::from(value);
                if !root.is_absolute() {
                    return Err(wrong(key, value, "a path from the root on"));
                }
                self.root = Some(root);
            }
            "space" => {
                if value.is_empty() || value.len() > NAME_BYTES_MAX {
                    return Err(wrong(key, value, "a name"));
                }
                self.space = Some(value.to_string());
            }
            "object_bytes_max" => self.object_bytes_max = number(key, value)?,
            "free_bytes_min" => self.free_bytes_min = number(key, value)?,
            _ => {
                let key = key.chars().take(60).collect();
                return Err(BlobError::BadConfig { key, reason: "this key is not known".into() });
            }
        }
        Ok(())
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> BlobError {
    let value: String = value.chars().take(60).flat_map(char::escape_debug).collect();
    BlobError::BadConfig { key: key.into(), reason: format!("`{value}` is not {expected}") }
}

fn number(key: &str, value: &str) -> Result<u64, BlobError> {
    value.parse().map_err(|_| wrong(key, value, "a number of bytes"))
}

#[cfg(test)]
mod tests;
