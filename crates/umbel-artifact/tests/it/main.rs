//! Images in registries: a real one, and one that lies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod liar;
mod lies;
mod real;

use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use umbel_artifact::oci::{Client, Credentials, Found, OciError, Settings, Times};
use umbel_artifact::{Artifact, ArtifactError, Store};
use umbel_core::reference::{Image, Location, Reference};

/// A store in a folder of its own.
struct Kit {
    store: Arc<Store>,
    folder: TempDir,
}

impl Kit {
    fn new() -> Kit {
        let folder = tempfile::tempdir().unwrap();
        Kit { store: Arc::new(Store::open(folder.path().join("store")).unwrap()), folder }
    }

    /// Pulls as a host does.
    async fn pull(
        &self,
        client: &Client,
        image: &Image,
        credentials: Option<&Credentials>,
    ) -> Result<(Found, Artifact), OciError> {
        let found = client.find(image, credentials).await?;
        let layer = &found.described.layer;
        let incoming = self.store.begin()?;
        let incoming = client.fetch(image, credentials, &layer.digest, Some(layer.size), incoming).await?;
        let (artifact, ()) = self.store.complete(incoming, |_| Ok::<(), ArtifactError>(()))?;
        self.store.remember(&found.kept())?;
        Ok((found, artifact))
    }

    /// Whether nothing was kept, whole or not.
    fn is_empty(&self) -> bool {
        let count = |folder: &str| std::fs::read_dir(self.store.folder().join(folder)).unwrap().count();
        ["sha256", "partial", "images"].into_iter().all(|folder| count(folder) == 0)
    }
}

fn image(text: &str) -> Image {
    match Reference::new(text).unwrap().location() {
        Location::Oci(image) => image.clone(),
        other => panic!("{text} is {other:?}"),
    }
}

/// A client that asks these registries over plain HTTP, and does not wait for long.
fn client(insecure: &[&str]) -> Client {
    Client::new(settings(insecure)).unwrap()
}

fn settings(insecure: &[&str]) -> Settings {
    let times = Times { backoff: Duration::from_millis(5), ..Times::default() };
    Settings { insecure: insecure.iter().map(ToString::to_string).collect(), times, ..Settings::default() }
}

/// The code of a failure, without what it says.
fn code<T: std::fmt::Debug>(outcome: Result<T, OciError>) -> &'static str {
    umbel_core::Coded::code(&outcome.unwrap_err()).entry().name
}

/// Bytes that begin as a component does, and differ by seed.
fn wasm(bytes: usize, seed: u8) -> Vec<u8> {
    let mut all = b"\0asm\x0d\0\x01\0".to_vec();
    let mut state = u64::from(seed) + 1;
    all.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(bytes),
    );
    all
}
