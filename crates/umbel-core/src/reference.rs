//! References: where the bytes of a component or provider are.
//!
//! ```text
//! ./hello.wasm   target/hello.wasm   /srv/hello.wasm   file:///srv/hello.wasm   file:hello.wasm      a file
//! builtin:http-server                                                           a provider that Umbel ships
//! oci://HOST/NAME:TAG   HOST/NAME:TAG   HOST/NAME@sha256:…                      an image in a registry
//! sha256:…                                                                      what the artifact store already has
//! ```
//!
//! A reference keeps the exact text that it was made of: wadm matches events by it (`facts/wasmcloud.md` §4.7). A plain text
//! is a file when it begins with `/`, `./`, `../` or `~/`, is `.` or `..`, or ends in `.wasm`, `.wat`, `.par` or `.par.gz`;
//! otherwise it is an image. `oci://` and `file:` settle what this rule guesses wrong.

use crate::code::{Code, identity};
use crate::digest::Digest;
use crate::error::Coded;
use crate::id::shown;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest text of a reference, in bytes; Linux has no longer paths.
pub const REFERENCE_BYTES_MAX: usize = 4096;

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a reference: {reason}")]
pub struct ReferenceError {
    /// What was given, shortened.
    pub text: String,
    /// The rule it breaks.
    pub reason: &'static str,
}

impl Coded for ReferenceError {
    fn code(&self) -> Code {
        identity::INVALID_REFERENCE
    }
}

/// Where an artifact is, with the text that said so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    text: Arc<str>,
    location: Location,
}

/// The meaning of a reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A file, as it was written: it may be relative.
    File(PathBuf),
    /// An image in a registry.
    Oci(Image),
    /// A provider that Umbel ships, by its name.
    Builtin(String),
    /// Bytes that the artifact store has.
    Digest(Digest),
}

/// An image in a registry: `HOST[:PORT]/NAME[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Host name and port of the registry; `None` when the text names none.
    pub registry: Option<String>,
    /// The repository, e.g. `team/hello`.
    pub repository: String,
    /// The tag, if there is one.
    pub tag: Option<String>,
    /// The digest of the manifest, if the image is pinned.
    pub digest: Option<Digest>,
}

impl Image {
    /// The last part of the repository: `http-server` of `HOST/wasmcloud/http-server:0.23.2`.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

impl Reference {
    /// Parses a reference.
    pub fn new(text: impl AsRef<str>) -> Result<Reference, ReferenceError> {
        let text = text.as_ref();
        let location = parse(text).map_err(|reason| ReferenceError { text: shown(text), reason })?;
        Ok(Reference { text: text.into(), location })
    }

    /// A reference to a file. A path that is not UTF-8 cannot travel in a message and is refused.
    pub fn file(path: &Path) -> Result<Reference, ReferenceError> {
        let lossy = || shown(&path.to_string_lossy());
        let text =
            path.to_str().ok_or_else(|| ReferenceError { text: lossy(), reason: "the path is not UTF-8" })?;
        Reference::new(format!("file://{text}"))
    }

    /// The exact text that it was made of.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The path, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::File(path) => Some(path),
            _ => None,
        }
    }

    /// The name of the builtin, if it is one.
    pub fn builtin(&self) -> Option<&str> {
        match &self.location {
            Location::Builtin(name) => Some(name),
            _ => None,
        }
    }

    /// The reference that means the same wherever the process that reads it was started: a relative file is looked for under
    /// `base`. Everything else stays as it is.
    pub fn under(&self, base: &Path) -> Result<Reference, ReferenceError> {
        match &self.location {
            Location::File(path) if path.is_relative() => {
                let plain: PathBuf =
                    path.components().filter(|c| *c != std::path::Component::CurDir).collect();
                Reference::file(&base.join(plain))
            }
            _ => Ok(self.clone()),
        }
    }
}

fn parse(text: &str) -> Result<Location, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > REFERENCE_BYTES_MAX {
        return Err("it is longer than 4096 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if text.trim() != text {
        return Err("it has spaces at an end");
    }
    if text.starts_with("sha256:") {
        return Digest::new(text)
            .map(Location::Digest)
            .map_err(|_| "`sha256:` needs 64 characters of 0-9 and a-f");
    }
    if let Some(name) = text.strip_prefix("builtin:") {
        return crate::id::AppName::new(name)
            .map(|name| Location::Builtin(name.into()))
            .map_err(|_| "`builtin:` needs a name of a-z, 0-9 and -");
    }
    if let Some(path) = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")) {
        return file(path);
    }
    if let Some(image) = text.strip_prefix("oci://") {
        return image_of(image).map(Location::Oci);
    }
    if text.contains("://") {
        return Err("only `file:`, `oci:` and `builtin:` are known; download it and name the file");
    }
    if looks_like_file(text) { file(text) } else { image_of(text).map(Location::Oci) }
}

fn looks_like_file(text: &str) -> bool {
    matches!(text, "." | "..")
        || ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start))
        || [".wasm", ".wat", ".par", ".par.gz"].iter().any(|end| text.ends_with(end))
}

fn file(path: &str) -> Result<Location, &'static str> {
    if path.is_empty() {
        return Err("it names no file");
    }
    if path.starts_with("~/") {
        return Err("`~` is only known to shells; write the whole path");
    }
    Ok(Location::File(PathBuf::from(path)))
}

fn image_of(text: &str) -> Result<Image, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(Digest::new(digest).map_err(|_| "`@` needs `sha256:` and 64 digits")?))
        }
        None => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        // A colon before the last slash is that of the registry's port.
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag is not usable; if it is a file, write `./` before it");
    }
    let (registry, repository) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
        _ => (None, path),
    };
    if registry.is_some_and(|host| !is_registry(host)) {
        return Err("the registry is not a host name; if it is a file, write `./` before it");
    }
    if repository.is_empty() || repository.len() > 255 || !repository.split('/').all(is_repository_part) {
        return Err("it is neither a file nor an image; if it is a file, write `./` before it");
    }
    Ok(Image {
        registry: registry.map(Into::into),
        repository: repository.into(),
        tag: tag.map(Into::into),
        digest,
    })
}

fn is_tag(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-'])
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_repository_part(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(allowed)
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;
    fn try_from(text: String) -> Result<Reference, ReferenceError> {
        Reference::new(text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.text.to_string()
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::new(text)
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
