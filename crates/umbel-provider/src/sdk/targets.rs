//! Components, as a provider process sees them.

use super::links::Links;
use crate::Targets;
use crate::http::Handler;
use futures::future::BoxFuture;
use std::sync::{Arc, PoisonError, RwLock};
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_lattice::wrpc::{Catalog, Client, Outgoing};
use umbel_wit::{Call, Serve, Value};

/// Finds components by the provider's links, and calls them over the lattice.
pub(super) struct Components {
    pub(super) id: String,
    pub(super) links: Arc<Links>,
    pub(super) client: Arc<Current>,
    pub(super) catalog: Arc<Catalog>,
}

/// The client of the connection that there is: another one after each time the process came back to a host.
pub(super) struct Current(RwLock<Client>);

impl Current {
    pub(super) fn new(client: Client) -> Current {
        Current(RwLock::new(client))
    }

    /// Calls go over the new client. Those under way end with the old one.
    pub(super) fn set(&self, client: Client) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), client);
        before.lose(Problem::new(wire::CONNECTION_LOST, "the host that was called is gone"));
    }

    fn get(&self) -> Client {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Targets for Components {
    /// HTTP handlers are not reached from a process of its own.
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>> {
        let link = self.links.outward(&self.id, component, interface)?;
        let export = Export {
            client: self.client.clone(),
            catalog: self.catalog.clone(),
            target: component.to_string(),
            source: self.id.clone(),
            link,
        };
        Some(Arc::new(export))
    }

    fn application_of(&self, component: &str) -> Option<String> {
        self.links.application_of(component)
    }
}

struct Export {
    client: Arc<Current>,
    catalog: Arc<Catalog>,
    target: String,
    source: String,
    link: String,
}

impl Serve for Export {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let signature = self.catalog.outgoing(&call.interface, call.version.as_ref(), &call.function);
        let client = self.client.get();
        let outgoing = Outgoing {
            target: self.target.clone(),
            source: self.source.clone(),
            link: self.link.clone(),
            application: None,
            patience: call.patience,
        };
        Box::pin(async move { client.call(&outgoing, &*signature?, call.args).await })
    }
}
