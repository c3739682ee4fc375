//! `secrets`: serves `wasmcloud:secrets` from one sealed file.
//!
//! ```text
//!  `umbel secret put` ──▶ Secrets::put ──▶ entries ──sealed with the key──▶ secrets.sealed   (XChaCha20-Poly1305, replaced whole)
//!  component ── store.get(name) ──▶ a handle ── reveal.reveal ──▶ the value
//! ```
//!
//! **Who may read what.** A secret belongs to an application and is read by its components alone, or it is shared and read over links
//! that say `scope: shared`. A component without an application has secrets of its own. `names: A,B` in a link's config allows no
//! others. What a component may not read is, to it, not there.
//!
//! **Where a value is.** In the sealed file; in memory, in buffers that are wiped when they are let go of; and in what `reveal` hands
//! to the component. Not in errors, `Debug`, logs, events, arguments or environments: there is no function that prints one. Whoever can
//! read the process's memory or a core file of it can read the secrets, so the host is to make itself undumpable.
//!
//! **The key** is 64 hexadecimal digits in a file of its own that nobody else may read, made at the first use; or it comes from whatever
//! implements [`Keys`]. A key that is missing is never replaced while there are sealed secrets.
//!
//! Read in this order: [`error`], [`key`], [`secret`], `config`, `seal`, `vault`, `serve`, `contract` (what every implementation has to pass).

#[cfg(feature = "contract-tests")]
pub mod contract;
pub mod error;
pub mod key;
pub mod secret;

mod config;
mod seal;
mod serve;
mod vault;

pub use error::SecretsError;
pub use key::{Key, KeyFile, Keys};
pub use secret::{Scope, Secret};

use async_trait::async_trait;
use config::Target;
use serve::Server;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_core::settings::SecretValue;
use umbel_core::{Clock, Problem, SystemClock};
use umbel_provider::secrets::{Found, Keeper, Kept, Owner};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_wit::{Interface, InterfaceName, Serve};
use vault::Vault;
use zeroize::Zeroizing;

/// The factory of secrets providers, and the secrets of this host: all its providers serve the same ones.
pub struct Secrets {
    folder: PathBuf,
    keys: Box<dyn Keys>,
    // Opened at the first use.
    vault: Mutex<Option<Arc<Vault>>>,
}

impl Secrets {
    /// The secrets in a folder, which is made when the first one is put. Nothing is read before it is needed.
    pub fn new(folder: impl Into<PathBuf>, keys: impl Keys) -> Secrets {
        Secrets { folder: folder.into(), keys: Box::new(keys), vault: Mutex::default() }
    }

    /// Keeps a secret, in place of the one that has the name. It is durable when this returns; links see it at their next `get`.
    /// Returns its version. Blocks for an fsync.
    pub fn put(&self, scope: &Scope, name: &str, secret: Secret) -> Result<u64, SecretsError> {
        let now = u64::try_from(SystemClock.unix_time().as_millis()).unwrap_or(u64::MAX);
        self.vault()?.put(scope, name, secret, now)
    }

    /// Deletes a secret. What has it already keeps it. Blocks for an fsync.
    pub fn del(&self, scope: &Scope, name: &str) -> Result<(), SecretsError> {
        self.vault()?.del(scope, name)
    }

    /// Whose secrets there are, and their names.
    pub fn list(&self) -> Result<Vec<(Scope, String)>, SecretsError> {
        Ok(self.vault()?.list())
    }

    fn vault(&self) -> Result<Arc<Vault>, SecretsError> {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = &*vault {
            return Ok(vault.clone());
        }
        let opened = Arc::new(Vault::open(&self.folder, &*self.keys)?);
        *vault = Some(opened.clone());
        Ok(opened)
    }
}

#[async_trait]
impl Factory for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasmcloud", "secrets", &["store", "reveal"])]
    }

    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        let packages = [include_str!("secrets.wit"), include_str!("secrets1.wit")];
        umbel_wit::package::interfaces(&packages).expect("the packages are WIT")
    }

    fn keeper(&self) -> Option<&dyn Keeper> {
        Some(self)
    }

    fn opens_its_data_alone(&self) -> bool {
        true
    }

    fn runs_apart(&self) -> bool {
        false
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        config::check_provider(&cx.config).map_err(|error| Problem::from(&error))?;
        let vault = self.vault().map_err(|error| Problem::from(&error))?;
        Ok(Arc::new(SecretsProvider { server: Arc::new(Server::new(vault)) }))
    }
}

impl Keeper for Secrets {
    fn put(
        &self,
        owner: &Owner,
        name: &str,
        value: Zeroizing<Vec<u8>>,
        is_text: bool,
    ) -> Result<u64, Problem> {
        let secret = match std::str::from_utf8(&value) {
            Ok(text) if is_text => Secret::from(text.to_string()),
            _ => Secret::Bytes(value),
        };
        Secrets::put(self, &scope(owner), name, secret).map_err(|error| Problem::from(&error))
    }

    fn get(&self, owner: &Owner, name: &str) -> Result<Option<Found>, Problem> {
        let vault = self.vault().map_err(|error| Problem::from(&error))?;
        Ok(vault.entry(scope(owner), name.to_string()).map(|(secret, version)| {
            let value = match &*secret {
                Secret::String(text) => SecretValue::String(text.to_string()),
                Secret::Bytes(bytes) => SecretValue::Bytes(bytes.to_vec()),
            };
            Found { value, version }
        }))
    }

    fn del(&self, owner: &Owner, name: &str) -> Result<(), Problem> {
        Secrets::del(self, &scope(owner), name).map_err(|error| Problem::from(&error))
    }

    fn list(&self) -> Result<Vec<Kept>, Problem> {
        let vault = self.vault().map_err(|error| Problem::from(&error))?;
        let kept = |(scope, name, version, put_unix_ms)| {
            let owner = match scope {
                Scope::Application(name) => Owner::Application(name),
                Scope::Component(id) => Owner::Component(id),
                Scope::Shared => Owner::Shared,
            };
            Kept { owner, name, version, put_unix_ms }
        };
        Ok(vault.notes().into_iter().map(kept).collect())
    }
}

fn scope(owner: &Owner) -> Scope {
    match owner {
        Owner::Application(name) => Scope::Application(name.clone()),
        Owner::Component(id) => Scope::Component(id.clone()),
        Owner::Shared => Scope::Shared,
    }
}

/// One secrets provider.
struct SecretsProvider {
    server: Arc<Server>,
}

#[async_trait]
impl Provider for SecretsProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        // Calls bring the values along; here they are only checked, so that a wrong one is told where it is written.
        Target::read(&link.target_settings()).map(drop).map_err(|error| Problem::from(&error))
    }

    async fn del_link(&self, _: &LinkKey) -> Result<(), Problem> {
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        config::check_provider(&config).map_err(|error| Problem::from(&error))
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(self.server.clone())
    }

    async fn stop(&self, _: Duration) {}
}
