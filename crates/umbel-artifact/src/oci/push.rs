//! From a file to an image in a registry, as `wash push` makes them.

use super::credentials::Credentials;
use super::error::OciError;
use super::exchange::{Body, full};
use super::image::{
    Descriptor, Kind, MANIFEST, Manifest, PAR, PAR_CONFIG, WASM, WASM_CONFIG, WasmConfig, World,
};
use super::pull::canonical;
use super::session::{Right, Session};
use super::{Client, blocking};
use crate::{ARTIFACT_BYTES_MAX, par, source, store};
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;
use umbel_core::clock::rfc3339;
use umbel_core::digest::Digest;
use umbel_core::reference::Image;

/// What is read of a file at once, bytes.
const PIECE_BYTES: usize = 256 << 10;
/// The version byte and layer that tell a component from a core module.
const COMPONENT_LAYER: [u8; 4] = [0x0d, 0, 1, 0];

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The image: `HOST/NAME:TAG`.
    pub image: String,
    /// Its manifest.
    pub manifest: Digest,
    /// The artifact.
    pub layer: Descriptor,
    /// What it is.
    pub kind: Kind,
}

/// A file that can be pushed.
struct Artifact {
    file: File,
    kind: Kind,
    is_component: bool,
    layer: Descriptor,
}

impl Client {
    /// Pushes a component or a provider archive. What the registry has already is not sent again. `world` is what the component
    /// imports and exports, if that is known; `unix_time` is told as the time of its making.
    ///
    /// # Errors
    /// [`OciError`]; the tag is what it was then.
    pub async fn push(
        &self,
        image: &Image,
        credentials: Option<&Credentials>,
        path: &Path,
        said: Said,
    ) -> Result<Pushed, OciError> {
        let path = path.to_path_buf();
        let artifact = blocking(move || look(&path)).await?;
        let mut session = Session::new(self, image, credentials, Right::Push)?;
        let (host, after) = (session.host(), self.settings.times.layer);
        let pushing = push(&mut session, image, artifact, said);
        match tokio::time::timeout(after, pushing).await {
            Ok(pushed) => pushed,
            Err(_) => Err(OciError::Timeout { host, what: "take the whole artifact", after }),
        }
    }
}

/// What is said of an artifact beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// For people and tools, by key.
    pub annotations: BTreeMap<String, String>,
    /// What the component imports and exports.
    pub world: Option<World>,
    /// When it was made.
    pub unix_time: Duration,
}

fn look(path: &Path) -> Result<Artifact, OciError> {
    let mut file = source::open(path, ARTIFACT_BYTES_MAX)?;
    let unreadable = |error: io::Error| OciError::from(source::failed(path, error));
    let mut head = Vec::new();
    (&mut file).take(par::HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
    let (kind, media_type) = match () {
        () if head.starts_with(b"\0asm") => (Kind::Component, WASM),
        () if par::is_archive(&head) => (Kind::Provider, PAR),
        () => return Err(OciError::NotPushable { path: path.to_path_buf() }),
    };
    file.rewind().map_err(unreadable)?;
    let (digest, size) = store::measure(&mut file).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let layer = descriptor(media_type, digest, size);
    let is_component = head.get(4..8) == Some(&COMPONENT_LAYER);
    Ok(Artifact { file, kind, is_component, layer })
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.into(), digest, size, annotations: BTreeMap::new(), platform: None }
}

async fn push(
    session: &mut Session<'_>,
    image: &Image,
    artifact: Artifact,
    said: Said,
) -> Result<Pushed, OciError> {
    let (config, media_type) = match artifact.kind {
        Kind::Provider => (b"{}".to_vec(), PAR_CONFIG),
        Kind::Component => (wasm_config(&artifact, &said), WASM_CONFIG),
    };
    let config = Bytes::from(config);
    let described = descriptor(media_type, Digest::of(&config), config.len() as u64);
    let Artifact { file, kind, layer, .. } = artifact;
    let bytes = config.clone();
    blob(session, &described, || Ok(full(bytes))).await?;
    blob(session, &layer, || Ok(streamed(file))).await?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: described,
        layers: vec![layer.clone()],
        annotations: said.annotations,
    };
    let bytes = Bytes::from(serde_json::to_vec(&manifest).expect("a manifest is plain JSON data"));
    let digest = Digest::of(&bytes);
    let tag = image.tag.clone().unwrap_or_else(|| "latest".into());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MANIFEST));
    let url = session.url(&format!("manifests/{tag}"));
    let mut answer = session.send(&Method::PUT, &url, headers, full(bytes)).await?;
    match answer.status() {
        200 | 201 => {
            let image = canonical(&Image { digest: None, ..image.clone() });
            Ok(Pushed { image, manifest: digest, layer, kind })
        }
        _ => Err(session.failed(&mut answer, &format!(":{tag}")).await),
    }
}

fn wasm_config(artifact: &Artifact, said: &Said) -> Vec<u8> {
    let config = WasmConfig {
        created: rfc3339(said.unix_time),
        author: None,
        architecture: "wasm",
        os: if artifact.is_component { "wasip2" } else { "wasip1" },
        layer_digests: vec![artifact.layer.digest],
        component: artifact.is_component.then(|| said.world.clone().unwrap_or_default()),
    };
    serde_json::to_vec(&config).expect("a config is plain JSON data")
}

/// Puts a blob into the repository unless it is there.
async fn blob(
    session: &mut Session<'_>,
    blob: &Descriptor,
    body: impl FnOnce() -> Result<Body, OciError>,
) -> Result<(), OciError> {
    let there = session.url(&format!("blobs/{}", blob.digest));
    let mut answer = session.ask(Method::HEAD, &there, &HeaderMap::new()).await?;
    match answer.status() {
        200 => return Ok(()),
        404 => {}
        _ => return Err(session.failed(&mut answer, "").await),
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    let uploads = session.url("blobs/uploads/");
    let mut answer = session.ask(Method::POST, &uploads, &headers).await?;
    if answer.status() != 202 {
        return Err(session.failed(&mut answer, "").await);
    }
    let mut to = session.located(&answer)?;
    to.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
    let mut answer = session.send(&Method::PUT, &to, headers, body()?).await?;
    match answer.status() {
        201 | 204 => Ok(()),
        _ => Err(session.failed(&mut answer, "").await),
    }
}

/// A file's bytes, read on threads that may wait for the disk.
fn streamed(file: File) -> Body {
    let pieces = stream::try_unfold(file, |mut file| async move {
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece)?;
            piece.truncate(read);
            Ok::<_, io::Error>((Bytes::from(piece), file))
        });
        let (piece, file) = reading.await.map_err(io::Error::other)??;
        Ok((!piece.is_empty()).then(|| (Frame::data(piece), file)))
    });
    StreamBody::new(pieces).boxed_unsync()
}
