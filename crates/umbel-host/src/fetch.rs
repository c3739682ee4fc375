//! From a reference to bytes in the store, refused where they can be no component.
//!
//! With a digest it is what is stored under that; a host that lacks it reads the file of the reference, if that is still the same, or takes
//! the bytes from another host ([`crate::artifacts`]).
//!
//! A bad file may be as large as the store takes: its beginning and the heads of its sections are looked at before anything is
//! stored, and never is more of it in memory than a buffer. What is in a registry is [`crate::registries`]' business.

use crate::shared::Shared;
use crate::{artifacts, registries};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use umbel_artifact::{Artifact, Store};
use umbel_core::claims::{ClaimsError, Component, Token, verify_wasm};
use umbel_core::code::{Code, artifact as code};
use umbel_core::digest::Digest;
use umbel_core::reference::{Image, Location, Reference};
use umbel_core::{Coded, Problem};
use umbel_runtime::inspect;

/// Bytes in the store, and the claims that they carry.
pub struct Fetched {
    /// Where they are.
    pub artifact: Artifact,
    /// Good at this moment, if there are any.
    pub claims: Option<Token<Component>>,
}

/// Gets what the reference names into the store; with a digest, the bytes of that, wherever they are.
pub async fn fetch(
    shared: &Arc<Shared>,
    reference: String,
    digest: Option<String>,
) -> Result<Fetched, Problem> {
    let (named, clock) = (reference.clone(), shared.clock.clone());
    let accept = move |file: &mut File| look(file, &named, clock.unix_time());
    let (artifact, claims) = obtain(shared, &reference, digest, accept).await?;
    Ok(Fetched { artifact, claims })
}

/// The same for bytes of any kind that `accept` takes.
pub async fn obtain<T, F>(
    shared: &Shared,
    reference: &str,
    digest: Option<String>,
    accept: F,
) -> Result<(Artifact, T), Problem>
where
    T: Send + 'static,
    F: Fn(&mut File) -> Result<T, Problem> + Clone + Send + 'static,
{
    let digest = digest.map(|digest| Digest::new(digest).map_err(problem)).transpose()?;
    if let Some(image) = image_of(reference) {
        return registries::artifact(shared, &image, digest, accept).await;
    }
    let reference = Reference::new(reference).map_err(problem)?;
    let store = shared.store.clone();
    let digest = match (digest, reference.location()) {
        (Some(digest), _) => digest,
        (None, Location::Digest(digest)) => *digest,
        _ => return blocking(move || store.resolve(&reference, accept)).await,
    };
    let turn = shared.registries.turn(&digest);
    let _turn = turn.lock().await;
    let missing = match stored(&store, &digest, accept.clone()).await? {
        Ok(stored) => return Ok(stored),
        Err(missing) => missing,
    };
    again(shared, &reference, &digest, missing, accept).await
}

/// What is stored under a digest; as a value, the problem of what is not stored, or not as it was.
pub(crate) async fn stored<T, F>(
    store: &Arc<Store>,
    digest: &Digest,
    accept: F,
) -> Result<Result<(Artifact, T), Problem>, Problem>
where
    T: Send + 'static,
    F: FnOnce(&mut File) -> Result<T, Problem> + Send + 'static,
{
    let (store, digest) = (store.clone(), *digest);
    blocking(move || match store.check(&digest, accept) {
        Err(missing) if [code::DIGEST_UNKNOWN, code::BLOB_DAMAGED].contains(&missing.code) => {
            Ok(Err(missing))
        }
        stored => stored.map(Ok),
    })
    .await
}

/// A file that cannot give any bytes.
const NO_FILE: [Code; 4] =
    [code::FILE_NOT_FOUND, code::NOT_A_FILE, code::FILE_UNREADABLE, code::ARTIFACT_TOO_LARGE];

/// Bytes that this host lacks: from the file of the reference if it still has them, else from another host.
async fn again<T, F>(
    shared: &Shared,
    reference: &Reference,
    digest: &Digest,
    missing: Problem,
    accept: F,
) -> Result<(Artifact, T), Problem>
where
    T: Send + 'static,
    F: FnOnce(&mut File) -> Result<T, Problem> + Clone + Send + 'static,
{
    let mut problem = missing;
    if let Location::File(path) = reference.location() {
        let (store, path, digest, accept) = (shared.store.clone(), path.clone(), *digest, accept.clone());
        match blocking(move || store.put_as(&path, &digest, accept)).await {
            Err(changed) if changed.code == code::FILE_CHANGED => problem = changed,
            Err(no_file) if NO_FILE.contains(&no_file.code) => problem = problem.with_cause(no_file.message),
            put => return put,
        }
    }
    if !shared.lattice.is_shared() {
        return Err(problem);
    }
    match artifacts::take(&shared.lattice, &shared.store, digest, accept).await {
        Ok(Some(taken)) => Ok(taken),
        Ok(None) => Err(problem.with_cause("no other host of the lattice has it")),
        Err(error) => Err(error),
    }
}

/// The image that a reference names, if it does.
pub fn image_of(reference: &str) -> Option<Image> {
    match Reference::new(reference).ok()?.location() {
        Location::Oci(image) => Some(image.clone()),
        _ => None,
    }
}

fn look(file: &mut File, what: &str, unix_time: Duration) -> Result<Option<Token<Component>>, Problem> {
    let mut head = Vec::new();
    let read = file.take(inspect::HEAD_BYTES as u64).read_to_end(&mut head);
    let of_file = |error: ClaimsError| {
        let problem = problem(error);
        Problem { message: format!("{what}: {}", problem.message), ..problem }
    };
    read.map_err(|error| of_file(ClaimsError::Unreadable { kind: error.kind() }))?;
    inspect::peek(what, &head).map_err(problem)?;
    verify_wasm(file, unix_time).map_err(of_file)
}

fn problem(error: impl Coded) -> Problem {
    Problem::from(&error)
}

/// Runs work that waits for the disk on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => {
            Err(Problem::new(umbel_core::code::host::WORKER_UNAVAILABLE, "a part of the host panicked")
                .with_cause(join.to_string()))
        }
    }
}
