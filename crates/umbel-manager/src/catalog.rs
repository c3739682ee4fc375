//! Versions, read once: the parsed manifest of every version in use, and what an application wants by it.

use crate::desired::{Desired, DesiredPart};
use crate::error::ManagerError;
use crate::store::{AppRecord, Store, VersionRecord};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use umbel_core::id::AppName;
use umbel_lattice::control::ComponentView;
use umbel_manifest::{Application, Part, Source};

/// So many versions are kept parsed.
const CACHE_MAX: usize = 4_096;

/// A version with its manifest parsed.
#[derive(Debug)]
pub struct Version {
    /// As stored.
    pub record: VersionRecord,
    /// As parsed.
    pub application: Application,
}

/// Reads versions through a cache: a version never changes, so what was read stays true until its application is gone.
pub struct Catalog {
    store: Store,
    /// By the keys under which versions are stored; no two versions ever have the same.
    cache: Mutex<HashMap<String, Arc<Version>>>,
}

impl Catalog {
    /// A catalog of the store.
    pub fn new(store: Store) -> Catalog {
        Catalog { store, cache: Mutex::default() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A version of an application.
    pub async fn version(&self, app: &AppRecord, version: &str) -> Result<Arc<Version>, ManagerError> {
        let missing =
            || ManagerError::VersionNotFound { name: app.name.to_string(), version: version.to_owned() };
        let meta = app.version(version).ok_or_else(missing)?;
        if let Some(known) = self.lock().get(&meta.key) {
            return Ok(known.clone());
        }
        let record = self.store.version(&app.name, meta).await?.ok_or_else(missing)?;
        let application = umbel_manifest::parse(&record.file, record.manifest.as_bytes())
            .map_err(|problems| ManagerError::Manifest { problems })?;
        let read = Arc::new(Version { record, application });
        let mut cache = self.lock();
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(meta.key.clone(), read.clone());
        Ok(read)
    }

    /// What the application wants.
    pub async fn desired(&self, record: &AppRecord) -> Result<Desired, ManagerError> {
        let owned = self.store.owned(&record.name).await?;
        let Some(version) = record.deployed.as_ref().filter(|_| !record.deleted) else {
            return Ok(Desired::nothing(record.name.clone(), record.generation, owned));
        };
        let version = self.version(record, version).await?;
        let shared = self.shared(&version.application).await?;
        let find = |app: &AppName, part: &Part| shared.get(app).and_then(|other| shared_id(other, part));
        Ok(Desired::of(&version.application, &version.record, record.generation, owned, &find))
    }

    /// The version that a component still is while it cannot become the wanted one; none if it is the wanted one.
    pub async fn serving(
        &self,
        record: &AppRecord,
        wanted: &DesiredPart,
        view: &ComponentView,
    ) -> Option<String> {
        let is_pinned = view.digest.is_some() && wanted.digest.is_some();
        let is_it = |reference: &str, digest: &Option<String>| {
            if is_pinned { *digest == view.digest } else { reference == view.image_ref }
        };
        if is_it(&wanted.reference, &wanted.digest) {
            return None;
        }
        for name in record.history.iter().rev().filter(|name| record.has(name)) {
            let Ok(version) = self.version(record, name).await else { continue };
            let source = version.application.part(&wanted.name).map(|part| &part.source);
            let Some(Source::Image(image)) = source else { continue };
            if version.record.pins.get(image).is_some_and(|pin| is_it(&pin.reference, &pin.digest)) {
                return Some(name.clone());
            }
        }
        None
    }

    /// The deployed versions of the applications that `application` takes parts of.
    async fn shared(
        &self,
        application: &Application,
    ) -> Result<BTreeMap<AppName, Arc<Version>>, ManagerError> {
        let mut shared = BTreeMap::new();
        for part in &application.parts {
            let Source::Shared { application: other, .. } = &part.source else { continue };
            if shared.contains_key(other) {
                continue;
            }
            let Some(record) = self.store.app(other).await? else { continue };
            if let Some(version) = &record.deployed {
                shared.insert(other.clone(), self.version(&record, version).await?);
            }
        }
        Ok(shared)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Version>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id that the other application gives the part, if it shares it.
fn shared_id(other: &Version, part: &Part) -> Option<String> {
    let Source::Shared { part: name, .. } = &part.source else { return None };
    let found = other.application.part(name).filter(|found| found.kind == part.kind)?;
    (other.application.is_shared() && matches!(found.source, Source::Image(_))).then(|| found.id.clone())
}
