//! Stores a manifest as a version: parses it, pins what its images mean now, and tells whether anything is new.

use crate::catalog::{Catalog, Version};
use crate::error::ManagerError;
use crate::observe::Observer;
use crate::store::{AppRecord, Pin, VERSIONS_MAX, VersionMeta, VersionRecord};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::id::{HostId, new_ulid};
use umbel_core::reference::{Location, Reference};
use umbel_core::{Clock, Problem};
use umbel_lattice::control::{Client, ControlError};
use umbel_lattice::wadm::{PutReply, PutResult};
use umbel_manifest::{Application, PartKind, Source};

/// Images fetched at once for one manifest.
const PINS_AT_ONCE: usize = 8;

/// How long a host may take to find out what an image means. It fetches only files then, not what is in registries.
const PIN_TIME_MAX: Duration = Duration::from_secs(18);

/// How long a put waits for a second host to keep an artifact too.
const KEEP_TIME_MAX: Duration = Duration::from_secs(2);

/// How often a put that met another one is tried again.
const ATTEMPTS_MAX: usize = 3;

/// Stores manifests.
pub struct Putter {
    /// Where to.
    pub catalog: Arc<Catalog>,
    /// Who fetches images.
    pub client: Client,
    /// Which hosts there are.
    pub observer: Arc<Observer>,
    /// Stamps versions.
    pub clock: Arc<dyn Clock>,
}

impl Putter {
    /// Stores a manifest. `file` is its name; if that is an absolute path, relative images are looked for beside it.
    pub async fn put(&self, file: &str, text: &[u8]) -> Result<PutReply, ManagerError> {
        let application =
            umbel_manifest::parse(file, text).map_err(|problems| ManagerError::Manifest { problems })?;
        let pins = self.pins(file, &application).await?;
        for _ in 0..ATTEMPTS_MAX {
            match self.put_once(file, text, &application, &pins).await {
                // Somebody else has stored a version of this name meanwhile: it may be the same.
                Err(ManagerError::VersionExists { .. }) => {}
                other => return other,
            }
        }
        self.put_once(file, text, &application, &pins).await
    }

    async fn put_once(
        &self,
        file: &str,
        text: &[u8],
        application: &Application,
        pins: &BTreeMap<String, Pin>,
    ) -> Result<PutReply, ManagerError> {
        let name = &application.name;
        let store = self.catalog.store();
        let before = store
            .app(name)
            .await?
            .filter(|record| !record.deleted)
            .unwrap_or_else(|| AppRecord::new(name.clone()));
        let version = match self.same_or_new(&before, application, pins).await? {
            Decision::Same(version) => {
                return Ok(reply(&before, &version, None));
            }
            Decision::New(version) => version,
        };
        let record = VersionRecord {
            version: version.clone(),
            named: application.version().map(str::to_owned),
            manifest: String::from_utf8_lossy(text).into_owned(),
            file: file.to_owned(),
            created_unix_ms: u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX),
            pins: pins.clone(),
        };
        let key = new_ulid(self.clock.unix_time());
        let meta = VersionMeta { version: version.clone(), created_unix_ms: record.created_unix_ms, key };
        store.put_version(name, &meta, &record).await?;
        let (after, (is_first, dropped)) = match store.change(name, |app| add_version(app, &meta)).await {
            Ok(changed) => changed,
            Err(error) => {
                store.del_version(name, &meta).await?;
                return Err(error);
            }
        };
        for meta in dropped {
            store.del_version(name, &meta).await?;
        }
        let result = if is_first { PutResult::Created } else { PutResult::NewVersion };
        Ok(reply(&after, &version, Some(result)))
    }

    /// Finds a version of the same content, or the name of a new one.
    ///
    /// A manifest that names its version keeps it when only the content behind an image changes: that becomes `v1+2`.
    async fn same_or_new(
        &self,
        app: &AppRecord,
        application: &Application,
        pins: &BTreeMap<String, Pin>,
    ) -> Result<Decision, ManagerError> {
        let Some(named) = application.version() else {
            if let Some(newest) = app.newest() {
                let known = self.catalog.version(app, &newest.version).await?;
                if known.application == *application && known.record.pins == *pins {
                    return Ok(Decision::Same(newest.version.clone()));
                }
            }
            return Ok(Decision::New(new_ulid(self.clock.unix_time())));
        };
        let mut count = 0;
        for meta in app.versions.iter().rev() {
            if meta.version != named && !meta.version.starts_with(&format!("{named}+")) {
                continue;
            }
            let known: Arc<Version> = self.catalog.version(app, &meta.version).await?;
            if known.record.named.as_deref() != Some(named) {
                continue;
            }
            if known.application != *application {
                return Err(ManagerError::VersionExists {
                    name: app.name.to_string(),
                    version: named.to_owned(),
                });
            }
            if known.record.pins == *pins {
                return Ok(Decision::Same(meta.version.clone()));
            }
            count += 1;
        }
        let mut version = if count == 0 { named.to_owned() } else { format!("{named}+{}", count + 1) };
        while app.has(&version) {
            count += 1;
            version = format!("{named}+{}", count + 1);
        }
        Ok(Decision::New(version))
    }

    /// What every image of the manifest means now.
    async fn pins(
        &self,
        file: &str,
        application: &Application,
    ) -> Result<BTreeMap<String, Pin>, ManagerError> {
        let mut pins = BTreeMap::new();
        let mut problems = Vec::new();
        let mut to_fetch: BTreeMap<String, (String, bool)> = BTreeMap::new();
        for part in &application.parts {
            let Source::Image(image) = &part.source else { continue };
            match resolve(file, image) {
                Ok(reference) if is_kept(part.kind, &reference) => {
                    // What is a component as well is one, whatever stands in for a provider of its name.
                    let is_provider = part.kind == PartKind::Provider;
                    let (_, only) = to_fetch
                        .entry(image.clone())
                        .or_insert_with(|| (reference.as_str().to_owned(), is_provider));
                    *only &= is_provider;
                }
                Ok(reference) => {
                    let pin = Pin { reference: reference.as_str().to_owned(), digest: None, size: None };
                    pins.insert(image.clone(), pin);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(ManagerError::Manifest { problems });
        }
        if to_fetch.is_empty() {
            return Ok(pins);
        }
        let hosts = self.observer.hosts().await?;
        if hosts.is_empty() {
            return Err(ManagerError::NoHost { name: application.name.to_string() });
        }
        let hosts: Arc<[HostId]> = hosts.into();
        let client = self.client.with_timeout(PIN_TIME_MAX);
        let fetches = to_fetch.into_iter().map(|(image, (reference, is_provider))| {
            let (client, hosts) = (client.clone(), hosts.clone());
            async move { (image, pin(client, hosts, reference, is_provider).await) }
        });
        let fetched: Vec<_> = futures::stream::iter(fetches).buffer_unordered(PINS_AT_ONCE).collect().await;
        for (image, fetched) in fetched {
            match fetched {
                Ok(pin) => drop(pins.insert(image, pin)),
                Err(error) => problems.push(Problem::from(error)),
            }
        }
        if problems.is_empty() { Ok(pins) } else { Err(ManagerError::Manifest { problems }) }
    }
}

/// Whether what the reference means now is to be known: all components, what is in registries, and providers that say by their names
/// that they are components.
fn is_kept(kind: PartKind, reference: &Reference) -> bool {
    match kind {
        PartKind::Component => reference.builtin().is_none(),
        PartKind::Provider => match reference.location() {
            Location::File(path) => path.extension().is_some_and(|extension| extension == "wasm"),
            Location::Digest(_) | Location::Oci(_) => true,
            Location::Builtin(_) => false,
        },
    }
}

/// Asks one host after the other what the image means, and to keep it. Hosts that know no pins leave it unpinned.
async fn pin(
    client: Client,
    hosts: Arc<[HostId]>,
    reference: String,
    is_provider: bool,
) -> Result<Pin, ControlError> {
    let mut failure = None;
    for host in hosts.iter() {
        match client.pin_artifact(host, &reference, is_provider).await {
            Ok(pinned) => {
                if let Some(digest) = &pinned.digest {
                    keep_twice(&client, &hosts, host, &reference, digest).await;
                }
                return Ok(Pin { reference, digest: pinned.digest, size: pinned.size });
            }
            Err(error) if is_unsupported(&error) => {}
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Pin { reference, digest: None, size: None }),
    }
}

/// Asks one more host to keep the bytes of a file: when the first one is lost, they are not. Nobody waits long for that, and it goes on all
/// the same.
async fn keep_twice(client: &Client, hosts: &[HostId], first: &HostId, reference: &str, digest: &str) {
    let is_file = |reference: &Reference| matches!(reference.location(), Location::File(_));
    if !Reference::new(reference).as_ref().is_ok_and(is_file) {
        return;
    }
    let client = client.with_timeout(KEEP_TIME_MAX);
    for host in hosts.iter().filter(|host| *host != first) {
        match client.keep_artifact(host, reference, digest).await {
            Ok(_) => return,
            Err(error) if is_unsupported(&error) => {}
            Err(error) => {
                tracing::debug!(%error, %host, digest, "the artifact is not kept on a second host yet");
                return;
            }
        }
    }
}

enum Decision {
    Same(String),
    New(String),
}

/// A host of wasmCloud 1.x has nobody on our subjects.
fn is_unsupported(error: &ControlError) -> bool {
    match error {
        ControlError::Lattice(umbel_lattice::LatticeError::NoResponders { .. }) => true,
        ControlError::Refused { problem } => problem.message == "unsupported subject",
        _ => false,
    }
}

/// The reference that hosts are given: a relative file is one beside the manifest.
fn resolve(file: &str, image: &str) -> Result<Reference, Problem> {
    let reference = Reference::new(image).map_err(|error| Problem::from(&error))?;
    let folder = Path::new(file).parent().filter(|folder| folder.is_absolute());
    match folder {
        Some(folder) => reference.under(folder).map_err(|error| Problem::from(&error)),
        None => Ok(reference),
    }
}

/// Lists the version. Answers whether it is the first of a new application, and which versions had to go for it.
fn add_version(app: &mut AppRecord, meta: &VersionMeta) -> Result<(bool, Vec<VersionMeta>), ManagerError> {
    if app.deleted {
        // The generation stays, so that what is left of the deleted one is older than what comes.
        *app = AppRecord { generation: app.generation, ..AppRecord::new(app.name.clone()) };
    }
    let is_first = app.versions.is_empty();
    if app.has(&meta.version) {
        return Err(ManagerError::VersionExists {
            name: app.name.to_string(),
            version: meta.version.clone(),
        });
    }
    let mut dropped = Vec::new();
    while app.versions.len() >= VERSIONS_MAX {
        let is_free = |meta: &VersionMeta| {
            app.deployed.as_ref() != Some(&meta.version) && !app.history.contains(&meta.version)
        };
        let Some(oldest) = app.versions.iter().position(is_free) else {
            return Err(ManagerError::TooManyVersions {
                name: app.name.to_string(),
                versions: app.versions.len(),
            });
        };
        dropped.push(app.versions.remove(oldest));
    }
    app.versions.push(meta.clone());
    Ok((is_first, dropped))
}

/// What a put answers; no result means that the manifest was there already.
fn reply(app: &AppRecord, version: &str, result: Option<PutResult>) -> PutReply {
    let message = match result {
        None => format!("`{}` has this content already, as version {version}", app.name),
        Some(PutResult::Created) => format!("created `{}`, version {version}", app.name),
        Some(_) => format!("stored version {version} of `{}`", app.name),
    };
    PutReply {
        result: result.unwrap_or(PutResult::NewVersion),
        total_versions: app.versions.len(),
        current_version: version.to_owned(),
        message,
        name: app.name.to_string(),
        unchanged: result.is_none(),
        problems: Vec::new(),
    }
}
