//! From a reference to what it means, and from that to its bytes.

use super::credentials::Credentials;
use super::error::{OciError, Part};
use super::image::{self, ACCEPT, Described, Document, Kind, Platform, Unusable, World};
use super::session::{Right, Session};
use super::{Client, DOCUMENT_BYTES_MAX, blocking};
use crate::{Incoming, source};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use umbel_core::digest::Digest;
use umbel_core::reference::Image;

/// What is gathered before it is written, bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Attempts in a row that bring no byte.
const FRUITLESS_MAX: u32 = 3;

/// What a reference means at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The image, with all that was left out: `HOST/NAME:TAG`.
    pub image: String,
    /// The index that it was chosen from, if there is one.
    pub index: Option<Digest>,
    /// The platforms of that.
    pub platforms: Vec<Platform>,
    /// The manifest.
    pub manifest: Digest,
    /// What that says.
    pub described: Described,
    /// What the config says that the component imports and exports, if it says so.
    pub world: Option<World>,
}

/// What is kept of it, so that it means the same without the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The image: `HOST/NAME:TAG`.
    pub image: String,
    /// The manifest.
    pub manifest: Digest,
    /// The artifact.
    pub artifact: Digest,
    /// Its bytes.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
}

impl Found {
    /// What is to be kept of it.
    pub fn kept(&self) -> Kept {
        let Described { kind, layer, .. } = &self.described;
        let (image, manifest) = (self.image.clone(), self.manifest);
        Kept { image, manifest, artifact: layer.digest, size: layer.size, kind: *kind }
    }
}

/// An image with all that may be left out, as one text for each meaning: `HOST/NAME:TAG` or `HOST/NAME@sha256:…`.
pub(crate) fn canonical(image: &Image) -> String {
    let registry = image.registry.as_deref().unwrap_or_default().to_ascii_lowercase();
    format!("{registry}/{}{}", image.repository, version(image))
}

/// A digest says it all: a tag beside one means nothing.
fn version(image: &Image) -> String {
    match (&image.digest, &image.tag) {
        (Some(digest), _) => format!("@{digest}"),
        (None, tag) => format!(":{}", tag.as_deref().unwrap_or("latest")),
    }
}

impl Client {
    /// Asks what an image is; its artifact is not fetched. Index, manifest and config are checked against their digests.
    ///
    /// # Errors
    /// All of [`OciError`] but those of layers and files.
    pub async fn find(&self, image: &Image, credentials: Option<&Credentials>) -> Result<Found, OciError> {
        let mut session = Session::new(self, image, credentials, Right::Pull)?;
        let (host, after) = (session.host(), self.settings.times.look);
        match tokio::time::timeout(after, self.find_unlimited(&mut session, image)).await {
            Ok(found) => found,
            Err(_) => Err(OciError::Timeout { host, what: "say what the image is", after }),
        }
    }

    async fn find_unlimited(&self, session: &mut Session<'_>, image: &Image) -> Result<Found, OciError> {
        let name = canonical(image);
        let asked = match (&image.digest, &image.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".into()),
        };
        let (digest, bytes) = manifest(session, &asked, image.digest).await?;
        let (index, platforms, manifest, described) = match read(&name, &bytes)? {
            Document::Image(described) => (None, Vec::new(), digest, described),
            Document::Index(list) => {
                let platforms: Vec<Platform> = list.iter().filter_map(|it| it.platform.clone()).collect();
                let platform = &self.settings.platform;
                let chosen = image::choose(&list, platform).ok_or_else(|| OciError::NoPlatform {
                    image: name.clone(),
                    platform: platform.to_string(),
                    found: listed(&platforms),
                })?;
                let (manifest, bytes) =
                    manifest_of(session, &chosen.digest.to_string(), Some(chosen.digest), Part::Manifest)
                        .await?;
                let Document::Image(described) = read(&name, &bytes)? else {
                    let reason = "an index in an index leads nowhere".into();
                    return Err(OciError::Malformed { image: name, reason });
                };
                (Some(digest), platforms, manifest, described)
            }
        };
        let config = document(session, &described).await?;
        let world = image::world(&described.config, &config);
        Ok(Found { image: name, index, platforms, manifest, described: *described, world })
    }

    /// Fetches an artifact of the repository by its digest, whatever its tags mean by now. A connection that breaks is made again and
    /// goes on where it was. What comes back has these very bytes.
    ///
    /// # Errors
    /// All of [`OciError`]; what came is gone then.
    pub async fn fetch(
        &self,
        image: &Image,
        credentials: Option<&Credentials>,
        artifact: &Digest,
        size: Option<u64>,
        incoming: Incoming,
    ) -> Result<Incoming, OciError> {
        if size.is_some_and(|size| size > incoming.bytes_max()) {
            return Err(source::too_large(None, incoming.bytes_max()).into());
        }
        let mut session = Session::new(self, image, credentials, Right::Pull)?;
        let (host, after) = (session.host(), self.settings.times.layer);
        let mut writer = Writer { incoming: Some(incoming), piece: BytesMut::new() };
        let mut layer = Layer { session: &mut session, artifact, size };
        match tokio::time::timeout(after, layer.fetch(&mut writer, self)).await {
            Ok(fetched) => fetched?,
            Err(_) => return Err(OciError::Timeout { host, what: "send the whole artifact", after }),
        }
        let incoming = writer.finish().await?;
        match incoming.digest() {
            found if found == *artifact => Ok(incoming),
            found => Err(OciError::Mismatch { host, part: Part::Layer, expected: *artifact, found }),
        }
    }
}

fn listed(platforms: &[Platform]) -> String {
    match platforms {
        [] => "no platform".into(),
        some => some.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn read(image: &str, bytes: &[u8]) -> Result<Document, OciError> {
    image::read(bytes).map_err(|unusable| match unusable {
        Unusable::Malformed(reason) => OciError::Malformed { image: image.into(), reason },
        Unusable::NotOurs(found) => OciError::NotOurs { image: image.into(), found },
    })
}

/// What a tag or digest stands for.
async fn manifest(
    session: &mut Session<'_>,
    asked: &str,
    expected: Option<Digest>,
) -> Result<(Digest, Bytes), OciError> {
    manifest_of(session, asked, expected, Part::Index).await
}

async fn manifest_of(
    session: &mut Session<'_>,
    asked: &str,
    expected: Option<Digest>,
    part: Part,
) -> Result<(Digest, Bytes), OciError> {
    let url = session.url(&format!("manifests/{asked}"));
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
    let mut answer = session.ask(Method::GET, &url, &headers).await?;
    if answer.status() != 200 {
        let what = if asked.starts_with("sha256:") { format!("@{asked}") } else { format!(":{asked}") };
        return Err(session.failed(&mut answer, &what).await);
    }
    // What was asked for may be either; which one it is, is only believed where it does not matter.
    let is_index = answer.header("content-type").is_some_and(image::is_index);
    let part = if part == Part::Index && !is_index { Part::Manifest } else { part };
    let said = answer.header("docker-content-digest").and_then(|text| Digest::new(text).ok());
    let bytes = answer.all(DOCUMENT_BYTES_MAX).await?;
    let found = Digest::of(&bytes);
    match expected.or(said) {
        Some(expected) if expected != found => {
            Err(OciError::Mismatch { host: session.host(), part, expected, found })
        }
        _ => Ok((found, bytes)),
    }
}

/// The config of an image.
async fn document(session: &mut Session<'_>, described: &Described) -> Result<Bytes, OciError> {
    let config = &described.config;
    let url = session.url(&format!("blobs/{}", config.digest));
    let mut answer = session.ask(Method::GET, &url, &HeaderMap::new()).await?;
    if answer.status() != 200 {
        return Err(session.failed(&mut answer, &format!("@{}", config.digest)).await);
    }
    let bytes = answer.all(DOCUMENT_BYTES_MAX).await?;
    let (host, part) = (session.host(), Part::Config);
    match Digest::of(&bytes) {
        found if found != config.digest => {
            Err(OciError::Mismatch { host, part, expected: config.digest, found })
        }
        _ if bytes.len() as u64 != config.size => Err(OciError::Size { host, part, expected: config.size }),
        _ => Ok(bytes),
    }
}

/// An artifact that is fetched.
struct Layer<'a, 's> {
    session: &'a mut Session<'s>,
    artifact: &'a Digest,
    size: Option<u64>,
}

impl Layer<'_, '_> {
    async fn fetch(&mut self, writer: &mut Writer, client: &Client) -> Result<(), OciError> {
        let mut fruitless = 0;
        loop {
            let before = writer.size();
            let Err(error) = self.take(writer).await else { return Ok(()) };
            if !error.is_away() {
                return Err(error);
            }
            fruitless = if writer.size() > before { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS_MAX {
                return Err(error);
            }
            let (bytes, host) = (writer.size(), self.session.host());
            tracing::debug!(%error, bytes, host, "an artifact goes on where its connection broke");
            tokio::time::sleep(client.settings.times.backoff).await;
        }
    }

    /// Takes what is missing, as far as the connection lasts.
    async fn take(&mut self, writer: &mut Writer) -> Result<(), OciError> {
        let from = writer.size();
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(RANGE, HeaderValue::from_str(&format!("bytes={from}-")).expect("digits are fine"));
        }
        let url = self.session.url(&format!("blobs/{}", self.artifact));
        let mut answer = self.session.ask(Method::GET, &url, &headers).await?;
        let range = answer.head.headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let is_rest = range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        match answer.status() {
            // It cannot go on in the middle.
            200 => writer.restart().await?,
            206 if is_rest => {}
            206 | 416 => {
                writer.restart().await?;
                return Err(OciError::Refused { host: self.session.host(), status: 500, said: None });
            }
            _ => return Err(self.session.failed(&mut answer, &format!("@{}", self.artifact)).await),
        }
        let told = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
        let told = told.map(|told| writer.size() + told);
        let (host, part) = (self.session.host(), Part::Layer);
        while let Some(bytes) = answer.next().await? {
            writer.push(bytes).await?;
            if let Some(expected) = self.size.filter(|size| writer.size() > *size) {
                return Err(OciError::Size { host, part, expected });
            }
        }
        match self.size.or(told) {
            Some(expected) if writer.size() < expected && told.is_some_and(|told| told < expected) => {
                Err(OciError::Size { host, part, expected })
            }
            Some(expected) if writer.size() < expected => Err(OciError::Unreachable {
                host,
                source: "the connection ended before the artifact did".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// Gathers what comes and has it written on a thread that may wait for the disk.
struct Writer {
    /// Away only while it is written, or after that has failed.
    incoming: Option<Incoming>,
    piece: BytesMut,
}

impl Writer {
    /// What has come, written or not.
    fn size(&self) -> u64 {
        self.incoming.as_ref().map_or(0, Incoming::size) + self.piece.len() as u64
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), OciError> {
        self.piece.extend_from_slice(&bytes);
        if self.piece.len() < PIECE_BYTES {
            return Ok(());
        }
        self.write(|incoming, piece| incoming.write(&piece)).await
    }

    async fn restart(&mut self) -> Result<(), OciError> {
        if self.size() == 0 {
            return Ok(());
        }
        self.write(|incoming, _| incoming.restart()).await
    }

    async fn finish(mut self) -> Result<Incoming, OciError> {
        self.write(|incoming, piece| incoming.write(&piece)).await?;
        Ok(self.incoming.expect("it has been written"))
    }

    async fn write(
        &mut self,
        work: impl FnOnce(&mut Incoming, Bytes) -> Result<(), crate::ArtifactError> + Send + 'static,
    ) -> Result<(), OciError> {
        let mut incoming = self.incoming.take().expect("nothing is written after a failure");
        let piece = self.piece.split().freeze();
        let written = blocking(move || -> Result<Incoming, OciError> {
            work(&mut incoming, piece)?;
            Ok(incoming)
        });
        self.incoming = Some(written.await?);
        Ok(())
    }
}
