//! What an image says of itself: index, manifest, config. Pure.

use super::DOCUMENT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use umbel_core::digest::Digest;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// What we can read, for the head of a request.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The layer of the CNCF's wasm artifacts, which `wash push` makes of components since 0.29.
pub(super) const WASM: &str = "application/wasm";
/// Its config.
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The layer that older tools of wasmCloud make of components.
const WASM_1X: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
const WASM_CONTENT: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// The layer of provider archives.
pub(super) const PAR: &str = "application/vnd.wasmcloud.provider.archive.layer.v1+par";
/// Its config, an empty object.
pub(super) const PAR_CONFIG: &str = "application/vnd.wasmcloud.provider.archive.config";
/// What hosts of wasmCloud 1.x take for an archive too, and container images are made of.
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// What the artifact of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component or core module.
    Component,
    /// A provider archive.
    Provider,
}

impl Kind {
    /// What layers of a media type are.
    fn of(media_type: &str) -> Option<Kind> {
        match media_type {
            WASM | WASM_1X | WASM_CONTENT => Some(Kind::Component),
            PAR | TAR => Some(Kind::Provider),
            _ => None,
        }
    }
}

/// An operating system and a CPU, in the words of images: `linux/amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `wasip2`.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`, `wasm`.
    #[serde(default)]
    pub architecture: String,
}

impl Default for Platform {
    /// This machine.
    fn default() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Platform { os: std::env::consts::OS.into(), architecture: architecture.into() }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Platform, String> {
        match text.split_once('/') {
            Some((os, architecture)) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Platform { os: os.into(), architecture: architecture.into() })
            }
            _ => Err("a platform is OS/ARCHITECTURE, such as linux/amd64".into()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// What an image refers to by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// What its bytes are.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What it is for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// The manifest that is pushed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    pub(super) media_type: &'static str,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// An image for one platform, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What the artifact is.
    pub kind: Kind,
    /// The artifact.
    pub layer: Descriptor,
    /// What is said of the image in a form of its own.
    pub config: Descriptor,
    /// What is said of it for people.
    pub annotations: BTreeMap<String, String>,
}

/// What a tag or a digest of a manifest stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// An image for each platform.
    Index(Vec<Descriptor>),
    /// One image.
    Image(Box<Described>),
}

/// Both forms. What has the fields of both is read differently by different readers, and refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// Why a manifest is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is none.
    Malformed(String),
    /// It has no artifact of ours.
    NotOurs(String),
}

/// Reads an index or a manifest.
pub(super) fn read(bytes: &[u8]) -> Result<Document, Unusable> {
    let malformed = |reason: &str| Unusable::Malformed(reason.into());
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| Unusable::Malformed(error.to_string()))?;
    if raw.schema_version != 2 {
        return Err(Unusable::Malformed(format!("it is of version {}, not 2", raw.schema_version)));
    }
    let says = |media_types: [&str; 2]| raw.media_type.as_deref().is_none_or(|it| media_types.contains(&it));
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) if says([INDEX, DOCKER_INDEX]) => Ok(Document::Index(manifests)),
        (None, Some(config), Some(layers)) if says([MANIFEST, DOCKER_MANIFEST]) => {
            if config.size > DOCUMENT_BYTES_MAX {
                return Err(malformed("its config is too large"));
            }
            let (kind, layer) = artifact(layers)?;
            Ok(Document::Image(Box::new(Described {
                kind,
                layer,
                config,
                annotations: raw.annotations.unwrap_or_default(),
            })))
        }
        (Some(_), _, _) if raw.media_type.is_none() => {
            Err(malformed("it is an index and a manifest at once"))
        }
        _ => Err(malformed("its parts are not those of its media type")),
    }
}

/// The one layer that is of use.
fn artifact(layers: Vec<Descriptor>) -> Result<(Kind, Descriptor), Unusable> {
    let media_types: Vec<String> = layers.iter().map(|layer| format!("`{}`", layer.media_type)).collect();
    let not_ours = |what: &str| Err(Unusable::NotOurs(what.into()));
    let mut ours = layers.into_iter().filter_map(|layer| Some((Kind::of(&layer.media_type)?, layer)));
    match (ours.next(), ours.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => not_ours("it has several artifacts"),
        (None, _) if media_types.is_empty() => not_ours("it has no layers"),
        (None, _) => {
            not_ours(&format!("its layers are {}", media_types[..media_types.len().min(4)].join(", ")))
        }
    }
}

/// Whether bytes that are of no use otherwise say that they are an index.
pub(super) fn is_index(media_type: &str) -> bool {
    [INDEX, DOCKER_INDEX].contains(&media_type)
}

/// The image for a platform: that very one, or WebAssembly, which runs on all, or the only one if it is for none in particular.
pub(super) fn choose<'a>(manifests: &'a [Descriptor], platform: &Platform) -> Option<&'a Descriptor> {
    // Statements about other entries are listed beside them, for no platform that there is.
    let is_image = |it: &&Descriptor| [MANIFEST, DOCKER_MANIFEST].contains(&it.media_type.as_str());
    let images: Vec<&Descriptor> = manifests.iter().filter(is_image).collect();
    let with = |fits: &dyn Fn(&Platform) -> bool| {
        images.iter().copied().find(|image| image.platform.as_ref().is_some_and(fits))
    };
    with(&|it| it == platform).or_else(|| with(&|it| it.architecture == "wasm")).or_else(|| match *images {
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    })
}

/// What a config of the CNCF's layout says that a component imports and exports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct World {
    /// What it exports.
    #[serde(default)]
    pub exports: Vec<String>,
    /// What it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The world that it was built for.
    #[serde(default)]
    pub target: Option<String>,
}

/// The config of the CNCF's layout, which is pushed with components.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WasmConfig {
    pub(super) created: String,
    pub(super) author: Option<String>,
    pub(super) architecture: &'static str,
    pub(super) os: &'static str,
    pub(super) layer_digests: Vec<Digest>,
    pub(super) component: Option<World>,
}

/// Reads what a config says; one of another layout says nothing.
pub(super) fn world(config: &Descriptor, bytes: &[u8]) -> Option<World> {
    #[derive(Deserialize)]
    struct Read {
        component: Option<World>,
    }
    if config.media_type != WASM_CONFIG {
        return None;
    }
    serde_json::from_slice::<Read>(bytes).ok()?.component
}

#[cfg(test)]
mod tests;
