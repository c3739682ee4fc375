//! From a reference to bytes in the store, refused where they can be no component.
//!
//! A bad file may be as large as the store takes: its beginning and the heads of its sections are looked at before anything is
//! stored, and never is more of it in memory than a buffer. What is in a registry is [`crate::registries`]' business.

use crate::registries;
use crate::shared::Shared;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use umbel_artifact::Artifact;
use umbel_core::claims::{ClaimsError, Component, Token, verify_wasm};
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

/// Gets what the reference names into the store; with a digest, what is stored under that.
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
    let (store, reference) = (shared.store.clone(), reference.to_string());
    blocking(move || match digest {
        Some(digest) => store.check(&digest, accept),
        None => store.resolve(&Reference::new(&reference).map_err(problem)?, accept),
    })
    .await
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
