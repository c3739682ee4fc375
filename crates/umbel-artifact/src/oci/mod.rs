//! Images in registries: pulled and pushed over the distribution protocol of the OCI, v1.1.
//!
//! ```text
//!  HOST/NAME:TAG ─▶ index ─▶ manifest of the platform ─▶ config
//!                   (if any)       │                       (read and checked)
//!                                  └─▶ one layer: a component or a provider archive ─▶ Incoming ─▶ Store
//! ```
//!
//! Everything that is named by a digest is checked against it, each kind with a code of its own, and nothing is stored before. A layer
//! whose connection breaks goes on where it was. A [`Client`] speaks HTTP itself, one connection for each request: which addresses are
//! asked, where a redirect may lead and who is sent credentials are promises of ours, and the limits on what a registry may send hold
//! while it sends.
//!
//! Read in this order: [`Client`] · [`Settings`] · [`Keychain`] · [`Found`] · [`OciError`].

mod address;
mod connect;
mod credentials;
mod error;
mod exchange;
mod image;
mod pull;
mod push;
mod session;
mod settings;

pub use credentials::{Credentials, Keychain};
pub use error::{OciError, Part};
pub use image::{Described, Descriptor, Kind, Platform, World};
pub(crate) use pull::canonical;
pub use pull::{Found, Kept};
pub use push::{Pushed, Said};
pub use settings::{Settings, Times};

use crate::ArtifactError;
use rustls::ClientConfig;
use std::sync::Arc;

/// The largest manifest, index or config, bytes: what registries take.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Asks registries. It holds nothing but its settings.
#[derive(Debug, Clone)]
pub struct Client {
    settings: Arc<Settings>,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// Reads the files of authorities.
    ///
    /// # Errors
    /// [`OciError::Settings`] when one cannot be read or has no certificate.
    pub fn new(settings: Settings) -> Result<Client, OciError> {
        let tls = Arc::new(connect::tls(&settings)?);
        Ok(Client { settings: Arc::new(settings), tls })
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Runs work that waits for the disk on a thread for that.
async fn blocking<T: Send + 'static, E: From<ArtifactError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Work on the disk is cancelled when the runtime ends, and then nobody waits for it.
            Err(_) => std::future::pending().await,
        },
    }
}
