//! The links of a provider process, for calls that come and go.

use crate::wire::InterfaceLinkDefinition;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::link::LinkKey;
use umbel_wit::Link;

/// The links that the host has told.
#[derive(Default)]
pub(super) struct Links {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// Of components to this provider, by component.
    inward: HashMap<String, Vec<Inward>>,
    /// All of them.
    all: HashMap<LinkKey, InterfaceLinkDefinition>,
}

struct Inward {
    name: String,
    package: String,
    link: Arc<Link>,
}

impl Links {
    /// The link is there, or has changed. Returns what it was before.
    pub(super) fn put(
        &self,
        definition: InterfaceLinkDefinition,
        provider: &str,
    ) -> Option<InterfaceLinkDefinition> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if definition.target == provider {
            let package = format!("{}:{}", definition.wit_namespace, definition.wit_package);
            let link = Arc::new(Link {
                source_id: definition.source_id.clone(),
                name: definition.name.clone(),
                application: definition.application().map(str::to_string),
                values: definition.resolved().target_settings(),
            });
            let of_source = known.inward.entry(definition.source_id.clone()).or_default();
            of_source.retain(|inward| inward.name != definition.name || inward.package != package);
            of_source.push(Inward { name: definition.name.clone(), package, link });
        }
        known.all.insert(definition.key(), definition)
    }

    /// The link is gone.
    pub(super) fn del(&self, key: &LinkKey) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.all.remove(key);
        let package = format!("{}:{}", key.wit_namespace, key.wit_package);
        if let Some(of_source) = known.inward.get_mut(&key.source_id) {
            of_source.retain(|inward| inward.name != key.name || inward.package != package);
            if of_source.is_empty() {
                known.inward.remove(&key.source_id);
            }
        }
    }

    /// All of them, without their configs.
    pub(super) fn bare(&self) -> Vec<InterfaceLinkDefinition> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.all.values().map(InterfaceLinkDefinition::bare).collect()
    }

    /// The link that a component calls over.
    pub(super) fn inward(&self, source: &str, name: &str, interface: &str) -> Result<Arc<Link>, Problem> {
        let package = interface.split_once('/').map_or(interface, |(package, _)| package);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_source = known.inward.get(source).into_iter().flatten();
        let found = of_source.find(|inward| inward.name == name && inward.package == package);
        found.map(|inward| inward.link.clone()).ok_or_else(|| {
            let message = format!("no link `{name}` to `{package}` leads from `{source}` to this provider");
            Problem::new(guest::UNLINKED, message)
        })
    }

    /// The name of a link from this provider to the component that carries the interface.
    pub(super) fn outward(&self, provider: &str, component: &str, interface: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let leads = |d: &&InterfaceLinkDefinition| {
            d.source_id == provider && d.target == component && d.resolved().link.contract.covers(interface)
        };
        known.all.values().find(leads).map(|definition| definition.name.clone())
    }

    /// The application of a component that a link joins with this provider.
    pub(super) fn application_of(&self, component: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_component =
            known.all.values().filter(|d| d.source_id == component || d.target == component);
        of_component.find_map(|definition| definition.application().map(str::to_string))
    }
}
