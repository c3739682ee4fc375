//! Secrets as they are given to what runs here: those that orders and links refer to, read where they are kept.
//!
//! ```text
//!  manifest ─▶ config `SECRET_…` {name, backend, key, …} ─▶ order, link ─▶ fetch ─▶ Keeper of this host
//!                                                                           │
//!                    provider: at its start, with its links, anew when one is put ◀─┘
//! ```
//!
//! What was fetched is kept for those who cannot wait: the links of components, which are resolved anew in one step. A value is in memory
//! alone, and wiped when it is let go of.

pub mod serve;

use crate::fetch::blocking;
use crate::shared::Shared;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::code::secrets as code;
use umbel_core::link::Values;
use umbel_core::settings::{SecretValue, Secrets, Settings, is_secret};
use umbel_lattice::control::StartProvider;
use umbel_provider::Factory;
use umbel_provider::secrets::{Found, Owner};

/// The backend that is the host itself; a reference that names none means it too.
pub const OWN: &str = "umbel";

/// What was fetched.
#[derive(Default)]
pub struct Given {
    known: Mutex<BTreeMap<Ask, (String, SecretValue)>>,
    changed: watch::Sender<u64>,
}

/// Who asks for what: the same reference may mean another secret for somebody else.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    config: String,
    owner: Owner,
}

/// Whose secrets a provider is given.
pub fn owner_of(order: &StartProvider) -> Owner {
    owner(order.application.as_deref(), order.provider_id.as_str())
}

/// Whose secrets a part is given: its application's, or its own.
pub fn owner(application: Option<&str>, id: &str) -> Owner {
    match application {
        Some(name) => Owner::Application(name.to_string()),
        None => Owner::Component(id.to_string()),
    }
}

impl Given {
    /// Changes whenever a secret is put or deleted on this host.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Somebody has put or deleted a secret.
    pub fn has_changed(&self) {
        self.changed.send_modify(|number| *number += 1);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Ask, (String, SecretValue)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the secrets that were fetched, without waiting.
    pub fn fetched(&self, names: &[String], owner: &Owner) -> Secrets {
        if !names.iter().any(|name| is_secret(name)) {
            return Secrets::new();
        }
        let known = self.known();
        let asks = names.iter().map(|name| Ask { config: name.clone(), owner: owner.clone() });
        asks.filter_map(|ask| known.get(&ask).cloned()).collect()
    }

    /// Lets go of what nothing refers to any more.
    pub fn trim(&self, is_there: impl Fn(&str) -> bool) {
        self.known().retain(|ask, _| is_there(&ask.config));
    }
}

/// The secrets among the configs, as they are kept now.
///
/// Errors: the first that cannot be had, and why.
pub async fn fetch(shared: &Shared, names: &[String], owner: &Owner) -> Result<Secrets, Problem> {
    let mut secrets = Secrets::new();
    for config in names.iter().filter(|name| is_secret(name)) {
        let values = shared.tables.borrow().config(config).cloned();
        let ask = Ask { config: config.clone(), owner: owner.clone() };
        match one(shared, config, values, owner).await {
            Ok(found) => {
                let (name, value) = found.clone();
                secrets.insert(name, value);
                shared.given.known().insert(ask, found);
            }
            Err(problem) => {
                // Nobody goes on with what is no longer kept.
                shared.given.known().remove(&ask);
                return Err(problem);
            }
        }
    }
    Ok(secrets)
}

/// All that a provider of the order is configured with.
pub async fn settings(shared: &Shared, order: &StartProvider) -> Result<Settings, Problem> {
    let values = shared.tables.borrow().merged(&order.config);
    let secrets = fetch(shared, &order.config, &owner_of(order)).await?;
    Ok(Settings { values, secrets })
}

/// What a config says of a secret.
struct Reference {
    /// What who is given it calls it.
    name: String,
    backend: String,
    key: String,
    field: Option<String>,
    version: Option<String>,
    /// Whose it is, where that is said.
    application: Option<String>,
}

impl Reference {
    fn read(config: &str, values: Option<Values>) -> Result<Reference, Problem> {
        let wrong =
            |why: &str| Problem::new(code::REFERENCE, format!("`{config}` refers to no secret: {why}"));
        let mut values = values.ok_or_else(|| wrong("there is no such config"))?;
        let mut take = |key: &str| values.remove(key).filter(|value| !value.is_empty());
        let name = take("name").ok_or_else(|| wrong("it has no `name`"))?;
        let key = take("key").ok_or_else(|| wrong("it has no `key`"))?;
        Ok(Reference {
            name,
            key,
            backend: take("backend").unwrap_or_else(|| OWN.to_string()),
            field: take("field"),
            version: take("version"),
            application: take("application"),
        })
    }

    /// Of what is kept, what is meant.
    fn pick(&self, owner: &Owner, found: Option<Found>) -> Result<SecretValue, Problem> {
        let Some(Found { value, version }) = found else {
            let (whose, option) = match owner {
                Owner::Application(name) => {
                    (format!("the application `{name}`"), format!(" --application {name}"))
                }
                Owner::Component(id) => (format!("`{id}`"), format!(" --component {id}")),
                Owner::Shared => ("all".to_string(), " --shared".to_string()),
            };
            let text = format!("no secret `{}` of {whose} is kept on this host", self.key);
            let help = format!("umbel secret put {}{option}", self.key);
            return Err(Problem::new(code::NOT_KEPT, text).with_help(help));
        };
        if let Some(wanted) = self.version.as_ref().filter(|wanted| **wanted != version.to_string()) {
            let text =
                format!("version {wanted} of the secret `{}` is asked for, and it is {version}", self.key);
            return Err(Problem::new(code::NOT_KEPT, text));
        }
        match &self.field {
            None => Ok(value),
            Some(field) => self.field(field, &value),
        }
    }

    fn field(&self, field: &str, value: &SecretValue) -> Result<SecretValue, Problem> {
        let wrong = |why: &str| Problem::new(code::REFERENCE, format!("the secret `{}` {why}", self.key));
        let text = match value {
            SecretValue::String(text) => text.as_bytes(),
            SecretValue::Bytes(bytes) => bytes,
        };
        // What is wrong with it is not told: the message would repeat it.
        let mut read: BTreeMap<String, String> = serde_json::from_slice(text)
            .map_err(|_| wrong("is no JSON object of strings, so it has no fields"))?;
        let picked = read.remove(field).map(SecretValue::String);
        drop(read.into_values().map(SecretValue::String).collect::<Vec<_>>());
        picked.ok_or_else(|| wrong(&format!("has no field `{field}`")))
    }
}

async fn one(
    shared: &Shared,
    config: &str,
    values: Option<Values>,
    asker: &Owner,
) -> Result<(String, SecretValue), Problem> {
    let reference = Reference::read(config, values)?;
    let owner = match &reference.application {
        Some(name) => Owner::Application(name.clone()),
        None => asker.clone(),
    };
    if reference.backend != OWN {
        let text = format!(
            "the secret `{}` is kept by `{}`, which this host does not reach",
            reference.key, reference.backend
        );
        return Err(Problem::new(code::BACKEND, text));
    }
    let is_keeper = |factory: &&Arc<dyn Factory>| factory.keeper().is_some();
    let factory = shared.factories.iter().find(is_keeper).cloned();
    let (whose, key) = (owner.clone(), reference.key.clone());
    let found = blocking(move || match factory.as_ref().and_then(|factory| factory.keeper()) {
        Some(keeper) => keeper.get(&whose, &key),
        None => {
            Err(Problem::new(umbel_core::code::host::NO_KEEPER, "no builtin of this build keeps secrets"))
        }
    })
    .await?;
    let value = reference.pick(&owner, found)?;
    Ok((reference.name, value))
}

#[cfg(test)]
mod tests;
