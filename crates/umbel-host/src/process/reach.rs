//! What a provider process reaches of its host: components that it calls, their types and their links.

use crate::shared::Shared;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::id::ProviderId;
use umbel_lattice::wrpc::Catalog;
use umbel_runtime::Image;
use umbel_wit::{Call, InterfaceName, Serve, Value};

/// A component that processes call: whichever revision of it runs.
pub(super) struct Called {
    pub(super) shared: Weak<Shared>,
    pub(super) component: String,
}

impl Serve for Called {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let shared = self.shared.upgrade();
        let slot = shared.as_ref().and_then(|shared| shared.slot(&self.component));
        let there = || {
            let shared = shared.as_ref()?;
            let types = types(shared);
            let name =
                InterfaceName { unversioned: call.interface.to_string(), version: call.version.clone() };
            let interface = types(&call.interface, call.version.as_ref())?;
            Some(shared.elsewhere.as_ref()?.serve(&self.component, [(name, interface)]))
        };
        let serve = match slot {
            Some(slot) => Some(slot as Arc<dyn Serve>),
            None => there(),
        };
        let component = self.component.clone();
        Box::pin(async move {
            match serve {
                Some(serve) => serve.call(call).await,
                None => {
                    Err(Problem::new(guest::NOT_RUNNING, format!("`{component}` does not run on this host")))
                }
            }
        })
    }
}

/// The types of what the component exports, as of the revision that runs.
pub(super) fn catalog_of(
    shared: &Arc<Shared>,
    component: &str,
) -> Arc<dyn Fn() -> Arc<Catalog> + Send + Sync> {
    let (shared, component) = (Arc::downgrade(shared), component.to_string());
    let known: Mutex<(Weak<Image>, Arc<Catalog>)> = Mutex::default();
    Arc::new(move || {
        let slot = shared.upgrade().and_then(|shared| shared.slot(&component));
        let Some(revision) = slot.and_then(|slot| slot.current.load_full()) else { return Arc::default() };
        let image = revision.component.image();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.0.ptr_eq(&Arc::downgrade(image)) {
            let contracts = image.contracts();
            let named = contracts.map(|(name, interface)| (name.clone(), Arc::new(interface.clone())));
            *known = (Arc::downgrade(image), Arc::new(Catalog::new(named)));
        }
        known.1.clone()
    })
}

/// The link that a call of a process comes over.
pub(crate) fn links_of(shared: &Arc<Shared>, component: &str) -> umbel_lattice::wrpc::Links {
    let (shared, component) = (Arc::downgrade(shared), component.to_string());
    Arc::new(move |caller| {
        let values = shared.upgrade().and_then(|shared| {
            let tables = shared.tables.borrow().clone();
            let is_it = |link: &&umbel_core::link::Link| {
                link.name == caller.link && link.target == component && link.contract.covers(caller.interface)
            };
            let link = tables.links_of(caller.source).iter().find(is_it)?;
            Some(tables.merged(&link.target_config))
        });
        let values = values.unwrap_or_default();
        Ok(Arc::new(umbel_wit::Link {
            source_id: caller.source.into(),
            name: caller.link.into(),
            application: None,
            values,
        }))
    })
}

/// Components that the provider may call: those that a link of its leads to.
pub(super) fn may_call(shared: &Arc<Shared>, id: &ProviderId) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
    let (shared, id) = (Arc::downgrade(shared), id.clone());
    Arc::new(move |component| {
        let Some(shared) = shared.upgrade() else { return false };
        let tables = shared.tables.borrow().clone();
        tables.links_of(id.as_str()).iter().any(|link| link.target == component)
    })
}

/// The types of a contract, as a component of this host has them.
pub(super) fn types(shared: &Arc<Shared>) -> umbel_provider::remote::Types {
    let shared = Arc::downgrade(shared);
    Arc::new(move |interface, version| {
        let wanted = match version {
            Some(version) => format!("{interface}@{version}"),
            None => interface.to_string(),
        };
        let shared = shared.upgrade()?;
        let (slots, providers) = (shared.slots.all(), shared.providers.all());
        let ids = slots.keys().chain(providers.keys());
        let mut images = ids.filter_map(|id| shared.image_of(id));
        images.find_map(|image| image.imported(&wanted).cloned().map(Arc::new))
    })
}

pub(super) fn application_of(shared: &Arc<Shared>) -> umbel_provider::remote::ApplicationOf {
    let shared = Arc::downgrade(shared);
    Arc::new(move |component| {
        let slot = shared.upgrade()?.slot(component)?;
        slot.desired.borrow().application.clone()
    })
}
