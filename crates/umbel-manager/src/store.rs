//! Desired state, durable: applications, all their versions, and what each application has made.
//!
//! One bucket. `app.{name}` is changed by compare-and-swap only, and every deploy and undeploy counts its generation up.
//! `version.{name}.{key}` is written once, before its application lists it, under a key that nothing else has. `owned.{name}`
//! names the links and configs that the application made: they carry no annotations, so this record is what tells ours from
//! foreign ones; it is written before they are made. `floor` is the highest generation of applications that are gone: what
//! comes after them must be newer to hosts that had not heard of their end.

use crate::error::ManagerError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use umbel_core::id::AppName;
use umbel_core::link::LinkKey;
use umbel_lattice::{Bucket, Lattice, LatticeError};

/// The bucket of applications.
pub const BUCKET: &str = umbel_lattice::wadm::STATE_BUCKET;
/// Versions kept per application.
pub const VERSIONS_MAX: usize = 1_000;
/// Deployed versions remembered for rollbacks.
pub const HISTORY_MAX: usize = 100;
const FLOOR: &str = "floor";
const APP: &str = "app.";
/// How often a change is tried again when somebody else was faster.
const ATTEMPTS_MAX: usize = 32;

/// An application: which versions it has, and which one is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    /// Its name.
    pub name: AppName,
    /// Counted up by every deploy and undeploy.
    pub generation: u64,
    /// The version that is desired; none after an undeploy.
    #[serde(default)]
    pub deployed: Option<String>,
    /// Versions that were deployed before, the latest last.
    #[serde(default)]
    pub history: Vec<String>,
    /// All versions, the oldest first.
    #[serde(default)]
    pub versions: Vec<VersionMeta>,
    /// It is deleted as soon as nothing of it is left.
    #[serde(default)]
    pub deleted: bool,
}

impl AppRecord {
    /// An application without versions.
    pub fn new(name: AppName) -> AppRecord {
        AppRecord {
            name,
            generation: 0,
            deployed: None,
            history: Vec::new(),
            versions: Vec::new(),
            deleted: false,
        }
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&VersionMeta> {
        self.versions.last()
    }

    /// The version of that name.
    pub fn version(&self, version: &str) -> Option<&VersionMeta> {
        self.versions.iter().find(|meta| meta.version == version)
    }

    /// Whether there is such a version.
    pub fn has(&self, version: &str) -> bool {
        self.version(version).is_some()
    }

    /// Desires another version, or none. The one before is what a rollback goes to, unless it has failed.
    pub fn desire(&mut self, version: Option<String>, has_failed: bool) {
        if let Some(before) = self.deployed.take()
            && Some(&before) != version.as_ref()
            && !has_failed
        {
            self.history.push(before);
            let surplus = self.history.len().saturating_sub(HISTORY_MAX);
            self.history.drain(..surplus);
        }
        self.deployed = version;
        self.generation += 1;
    }

    /// The version that a rollback goes to: the last one that was deployed before this one and had not failed.
    pub fn previous(&self) -> Option<&String> {
        let is_there = |version: &&String| self.has(version) && self.deployed.as_ref() != Some(*version);
        self.history.iter().rev().find(is_there)
    }

    /// Desires what was deployed before; that step of the history is used up.
    pub fn roll_back(&mut self) -> Option<String> {
        let version = self.previous()?.clone();
        let step = self.history.iter().rposition(|other| *other == version)?;
        self.history.truncate(step);
        self.deployed = Some(version.clone());
        self.generation += 1;
        Some(version)
    }
}

/// What is told about a version without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionMeta {
    /// Its name.
    pub version: String,
    /// When it was put, in ms since 1970.
    pub created_unix_ms: u64,
    /// Under which key it is stored.
    pub key: String,
}

/// One version of an application. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Its name.
    pub version: String,
    /// The name that the manifest says itself, without what was added to tell contents apart.
    #[serde(default)]
    pub named: Option<String>,
    /// The manifest, exactly as it was put.
    pub manifest: String,
    /// The name of its file.
    pub file: String,
    /// When it was put, in ms since 1970.
    pub created_unix_ms: u64,
    /// What each image reference of the manifest meant then.
    pub pins: BTreeMap<String, Pin>,
}

/// What an image reference meant when the manifest was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The reference that hosts are given; relative paths are made absolute.
    pub reference: String,
    /// `sha256:…` of the bytes. Builtins have none, and hosts that cannot pin give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// Links and configs that an application has made, or is about to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Names of configs.
    #[serde(default)]
    pub configs: BTreeSet<String>,
    /// Keys of links.
    #[serde(default)]
    pub links: BTreeSet<LinkKey>,
}

impl Owned {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.configs.is_empty() && self.links.is_empty()
    }
}

/// Desired state. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    bucket: Arc<dyn Bucket>,
}

impl Store {
    /// Opens the store of a lattice.
    pub async fn open(lattice: &Arc<dyn Lattice>) -> Result<Store, ManagerError> {
        Ok(Store { bucket: lattice.bucket(BUCKET).await? })
    }

    /// All applications, by name. What cannot be read is the error of that application, and no other's.
    pub async fn apps(&self) -> Result<Vec<(AppName, Result<AppRecord, ManagerError>)>, ManagerError> {
        let entries = self.bucket.entries(APP).await?;
        let named = entries.iter().filter_map(|entry| {
            let name = AppName::new(entry.key.strip_prefix(APP)?);
            // Nothing can be done about an application that cannot be named.
            let name =
                name.inspect_err(|error| tracing::warn!(key = entry.key, %error, "an entry is ignored"));
            Some((name.ok()?, read(&entry.key, &entry.value)))
        });
        Ok(named.collect())
    }

    /// One application.
    pub async fn app(&self, name: &AppName) -> Result<Option<AppRecord>, ManagerError> {
        self.read(&app_key(name)).await
    }

    /// One application, or the error that there is none.
    pub async fn existing(&self, name: &AppName) -> Result<AppRecord, ManagerError> {
        let record = self.app(name).await?.filter(|record| !record.deleted);
        record.ok_or_else(|| ManagerError::ApplicationNotFound { name: name.to_string() })
    }

    /// Changes an application, or makes it, if nobody else has meanwhile; else `change` is called again on what is there now.
    pub async fn change<T>(
        &self,
        name: &AppName,
        change: impl Fn(&mut AppRecord) -> Result<T, ManagerError>,
    ) -> Result<(AppRecord, T), ManagerError> {
        let key = app_key(name);
        for _ in 0..ATTEMPTS_MAX {
            let entry = self.bucket.get(&key).await?;
            let mut record = match &entry {
                Some(entry) => read(&key, &entry.value)?,
                None => AppRecord { generation: self.floor().await?, ..AppRecord::new(name.clone()) },
            };
            let before = record.clone();
            let result = change(&mut record)?;
            if entry.is_some() && record == before {
                return Ok((record, result));
            }
            let value = json(&record);
            let written = match entry {
                Some(entry) => self.bucket.update(&key, value, entry.revision).await,
                None => self.bucket.create(&key, value).await,
            };
            match written {
                Ok(_) => return Ok((record, result)),
                Err(LatticeError::WrongRevision { .. } | LatticeError::KeyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ManagerError::Contended { name: name.to_string() })
    }

    /// Puts the record of an application that is to be deleted in the place of one that cannot be read. `generation` has to be
    /// higher than that of the old one; if this is not the first time, the floor is.
    pub async fn bury(&self, name: &AppName, generation: u64) -> Result<(), ManagerError> {
        let key = app_key(name);
        let Some(entry) = self.bucket.get(&key).await? else { return Ok(()) };
        if read::<AppRecord>(&key, &entry.value).is_ok() {
            return Ok(());
        }
        let generation = generation.max(self.floor().await?.saturating_add(1));
        let record = AppRecord { generation, deleted: true, ..AppRecord::new(name.clone()) };
        match self.bucket.update(&key, json(&record), entry.revision).await {
            // Somebody else has put something there meanwhile.
            Ok(_) | Err(LatticeError::WrongRevision { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a deleted application for good, unless it was put again meanwhile.
    pub async fn forget(&self, name: &AppName) -> Result<(), ManagerError> {
        let key = app_key(name);
        let Some(entry) = self.bucket.get(&key).await? else { return Ok(()) };
        let record: AppRecord = read(&key, &entry.value)?;
        if !record.deleted {
            return Ok(());
        }
        self.raise_floor(record.generation).await?;
        // Read before the record goes, and deleted by revision: what a put writes meanwhile has another one and stays.
        let versions = self.bucket.entries(&format!("version.{name}.")).await?;
        self.bucket.delete(&owned_key(name), None).await?;
        match self.bucket.delete(&key, Some(entry.revision)).await {
            Ok(()) => {}
            Err(LatticeError::WrongRevision { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for entry in versions {
            match self.bucket.delete(&entry.key, Some(entry.revision)).await {
                Ok(()) | Err(LatticeError::WrongRevision { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What generations of new applications begin with.
    async fn floor(&self) -> Result<u64, ManagerError> {
        Ok(self.read(FLOOR).await?.unwrap_or_default())
    }

    async fn raise_floor(&self, generation: u64) -> Result<(), ManagerError> {
        for _ in 0..ATTEMPTS_MAX {
            let entry = self.bucket.get(FLOOR).await?;
            let written = match &entry {
                Some(entry) if read::<u64>(FLOOR, &entry.value)? >= generation => return Ok(()),
                Some(entry) => self.bucket.update(FLOOR, json(&generation), entry.revision).await,
                None => self.bucket.create(FLOOR, json(&generation)).await,
            };
            match written {
                Ok(_) => return Ok(()),
                Err(LatticeError::WrongRevision { .. } | LatticeError::KeyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ManagerError::Contended { name: FLOOR.to_owned() })
    }

    /// One version.
    pub async fn version(
        &self,
        name: &AppName,
        meta: &VersionMeta,
    ) -> Result<Option<VersionRecord>, ManagerError> {
        self.read(&version_key(name, &meta.key)).await
    }

    /// The digests that versions refer to, whether an application lists them yet or not.
    pub async fn digests(&self) -> Result<BTreeSet<String>, ManagerError> {
        let mut digests = BTreeSet::new();
        for entry in self.bucket.entries("version.").await? {
            let version: VersionRecord = read(&entry.key, &entry.value)?;
            digests.extend(version.pins.into_values().filter_map(|pin| pin.digest));
        }
        Ok(digests)
    }

    /// Writes a version. It is not there for readers before its application lists it.
    pub async fn put_version(
        &self,
        name: &AppName,
        meta: &VersionMeta,
        record: &VersionRecord,
    ) -> Result<(), ManagerError> {
        self.bucket.create(&version_key(name, &meta.key), json(record)).await?;
        Ok(())
    }

    /// Deletes a version that no application lists any more, or that none came to list.
    pub async fn del_version(&self, name: &AppName, meta: &VersionMeta) -> Result<(), ManagerError> {
        Ok(self.bucket.delete(&version_key(name, &meta.key), None).await?)
    }

    /// What the application has made.
    pub async fn owned(&self, name: &AppName) -> Result<Owned, ManagerError> {
        Ok(self.read(&owned_key(name)).await?.unwrap_or_default())
    }

    /// Remembers what the application has made, or is about to make.
    pub async fn put_owned(&self, name: &AppName, owned: &Owned) -> Result<(), ManagerError> {
        if owned.is_empty() {
            self.bucket.delete(&owned_key(name), None).await?;
        } else {
            self.bucket.put(&owned_key(name), json(owned)).await?;
        }
        Ok(())
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ManagerError> {
        match self.bucket.get(key).await? {
            Some(entry) => read(key, &entry.value).map(Some),
            None => Ok(None),
        }
    }
}

fn app_key(name: &AppName) -> String {
    format!("{APP}{name}")
}

fn owned_key(name: &AppName) -> String {
    format!("owned.{name}")
}

fn version_key(name: &AppName, key: &str) -> String {
    format!("version.{name}.{key}")
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, ManagerError> {
    serde_json::from_slice(value)
        .map_err(|source| ManagerError::BadRecord { key: key.to_owned(), source: Arc::new(source) })
}

fn json<T: Serialize>(value: &T) -> bytes::Bytes {
    serde_json::to_vec(value).expect("records are structs with string keys").into()
}
