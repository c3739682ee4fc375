//! Images in registries: what they mean at this moment, and their bytes in the store.
//!
//! ```text
//!  image ──look up──▶ Kept { artifact, kind } ──▶ Store::remember        a tag may mean something else next time
//!    │                      │
//!    └── registry away ─────┤ what it meant last                         so that a restart needs no registry
//!                           ▼
//!                      artifact stored? ──no──▶ fetched by its digest ──▶ Store
//! ```
//!
//! Credentials that messages bring are kept in memory and never written down; they go before those that the host was started with.

use crate::artifacts;
use crate::fetch::{blocking, stored};
use crate::shared::Shared;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use umbel_artifact::oci::{Client, Credentials, Kept, Keychain, Kind, Settings};
use umbel_artifact::{Artifact, ArtifactError};
use umbel_core::Problem;
use umbel_core::digest::Digest;
use umbel_core::reference::Image;
use umbel_lattice::control::{self, RegistryPut};

/// An order is looked at more than once; within this time an image is looked up once for it.
const FRESH_MAX: Duration = Duration::from_secs(10);
/// Images whose meaning is known for that long.
const FRESH_IMAGES_MAX: usize = 1_000;
/// How long whoever keeps the lattice's credentials may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a host is started with for registries.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How they are asked.
    pub settings: Settings,
    /// Who the host is there.
    pub credentials: Keychain,
    /// Whether it asks the lattice for credentials when it starts.
    pub config_service: bool,
}

/// The registries of one host.
pub struct Registries {
    client: Client,
    given: Keychain,
    told: Mutex<Keychain>,
    fresh: Mutex<HashMap<Image, (Instant, Kept)>>,
    // Held by whoever fetches an artifact: who needs the same one waits, and finds it stored.
    turns: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
}

impl Registries {
    /// Reads the files of authorities.
    pub fn new(config: &Config) -> Result<Registries, Problem> {
        Ok(Registries {
            client: Client::new(config.settings.clone())?,
            given: config.credentials.clone(),
            told: Mutex::default(),
            fresh: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Takes credentials that somebody sent. Entries that are not whole are left out. Returns how many were taken.
    pub fn take(&self, put: &RegistryPut) -> usize {
        let mut told = locked(&self.told);
        let mut taken = 0;
        for (registry, it) in put {
            let (user, password) = (it.username.as_deref(), it.password.as_deref());
            if let Some(credentials) = Credentials::of(user, password, it.token.as_deref()) {
                told.insert(registry, credentials);
                taken += 1;
            }
        }
        taken
    }

    fn credentials(&self, image: &Image) -> Option<Credentials> {
        locked(&self.told).find(image).or_else(|| self.given.find(image)).cloned()
    }

    /// Held by whoever gets the bytes of a digest: the next one finds them stored.
    pub(crate) fn turn(&self, artifact: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = locked(&self.turns);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(artifact).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(*artifact, Arc::downgrade(&turn));
        turn
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole after every statement that changes it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks whoever keeps the lattice's credentials, if that is wanted. A host without them starts all the same.
pub async fn ask(shared: &Shared) {
    if !shared.config.registries.config_service {
        return;
    }
    let labels = shared.labels.load_full();
    match control::Client::new(shared.lattice.clone(), ANSWER_MAX).registries(&labels).await {
        Ok(put) => {
            let registries = shared.registries.take(&put);
            tracing::info!(registries, "credentials of registries came from the lattice");
        }
        Err(error) => tracing::warn!(%error, "nobody on the lattice gave credentials of registries"),
    }
}

/// What an image means at this moment; if its registry is away, what it meant when it was last looked up.
pub async fn look_up(shared: &Shared, image: &Image) -> Result<Kept, Problem> {
    let registries = &shared.registries;
    // A digest means the same for ever.
    if image.digest.is_some()
        && let Some(kept) = remembered(shared, image).await?
    {
        return Ok(kept);
    }
    let name = &image.repository;
    if image.digest.is_none() && image.tag.as_deref().is_none_or(|tag| tag == "latest") {
        tracing::warn!(image = %name, "`latest` is another image whenever somebody pushes one: write a version");
    }
    let credentials = registries.credentials(image);
    let found = match registries.client.find(image, credentials.as_ref()).await {
        Ok(found) => found,
        Err(error) if error.is_away() => {
            let Some(kept) = remembered(shared, image).await? else { return Err(error.into()) };
            tracing::warn!(%error, image = %kept.image, artifact = %kept.artifact, "the registry is away: the image is what it was");
            return Ok(kept);
        }
        Err(error) => return Err(error.into()),
    };
    let kept = found.kept();
    let (store, keep) = (shared.store.clone(), kept.clone());
    blocking(move || Ok(store.remember(&keep)?)).await?;
    let mut fresh = locked(&registries.fresh);
    fresh.retain(|_, (since, _)| since.elapsed() < FRESH_MAX);
    if fresh.len() < FRESH_IMAGES_MAX {
        fresh.insert(image.clone(), (Instant::now(), kept.clone()));
    }
    Ok(kept)
}

/// The same for one of several looks at one order.
async fn meaning(shared: &Shared, image: &Image) -> Result<Kept, Problem> {
    let fresh = locked(&shared.registries.fresh).get(image).cloned();
    match fresh {
        Some((since, kept)) if since.elapsed() < FRESH_MAX => Ok(kept),
        _ => look_up(shared, image).await,
    }
}

async fn remembered(shared: &Shared, image: &Image) -> Result<Option<Kept>, Problem> {
    let (store, image) = (shared.store.clone(), image.clone());
    blocking(move || Ok(store.remembered(&image))).await
}

/// What the artifact of an image is, by its bytes if they are here. With a digest it is that of an artifact, whatever the tag means.
pub async fn kind(shared: &Shared, image: &Image, artifact: Option<&Digest>) -> Result<Kind, Problem> {
    let Some(artifact) = artifact else { return Ok(meaning(shared, image).await?.kind) };
    let (store, digest) = (shared.store.clone(), *artifact);
    let head = move |file: &mut File| {
        use std::io::Read;
        let mut magic = [0; 4];
        Ok::<bool, ArtifactError>(file.read_exact(&mut magic).is_ok() && &magic == b"\0asm")
    };
    match blocking(move || Ok(store.check(&digest, head).map(|(_, is_wasm)| is_wasm))).await? {
        Ok(true) => return Ok(Kind::Component),
        Ok(false) => return Ok(Kind::Provider),
        Err(ArtifactError::UnknownDigest { .. } | ArtifactError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match remembered(shared, image).await? {
        Some(kept) if kept.artifact == *artifact => Ok(kept.kind),
        // Another host has looked it up.
        _ => Ok(meaning(shared, image).await?.kind),
    }
}

/// The artifact of an image in the store, if `accept` takes its bytes. With a digest it is that one, whatever the tag means by now.
pub async fn artifact<T, F>(
    shared: &Shared,
    image: &Image,
    digest: Option<Digest>,
    accept: F,
) -> Result<(Artifact, T), Problem>
where
    T: Send + 'static,
    F: Fn(&mut File) -> Result<T, Problem> + Clone + Send + 'static,
{
    let (artifact, size) = match digest {
        Some(digest) => (digest, None),
        None => {
            let kept = meaning(shared, image).await?;
            (kept.artifact, Some(kept.size))
        }
    };
    let registries = &shared.registries;
    let turn = registries.turn(&artifact);
    let _turn = turn.lock().await;
    if let Ok(stored) = stored(&shared.store, &artifact, accept.clone()).await? {
        return Ok(stored);
    }
    let store = shared.store.clone();
    let incoming = blocking(move || Ok(store.begin()?)).await?;
    let credentials = registries.credentials(image);
    let incoming = match registries.client.fetch(image, credentials.as_ref(), &artifact, size, incoming).await
    {
        Ok(incoming) => incoming,
        Err(away) if away.is_away() && shared.lattice.is_shared() => {
            let taken = artifacts::take(&shared.lattice, &shared.store, &artifact, accept).await?;
            return taken.ok_or_else(|| away.into());
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(image = %image.repository, %artifact, bytes = incoming.size(), "an image was pulled");
    let store = shared.store.clone();
    blocking(move || store.complete(incoming, accept)).await
}

/// The artifacts of images that are ordered here without saying a digest: they are to stay.
pub async fn ordered(shared: &Arc<Shared>) -> Result<Vec<Digest>, Problem> {
    let components = shared.slots.all();
    let components = components.values().map(|slot| slot.desired.borrow().component_ref.clone());
    let providers = shared.providers.all();
    let providers = providers.values().map(|slot| slot.order().provider_ref.clone());
    let references: Vec<String> = components.chain(providers).collect();
    let store = shared.store.clone();
    blocking(move || {
        let images = references.iter().filter_map(|reference| crate::fetch::image_of(reference));
        Ok(images.filter_map(|image| Some(store.remembered(&image)?.artifact)).collect())
    })
    .await
}
