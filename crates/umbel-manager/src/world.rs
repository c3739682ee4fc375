//! What is there, as one look found it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;
use umbel_core::id::HostId;
use umbel_core::link::{Link, Values};
use umbel_lattice::control::{ComponentView, Inventory, ProviderView};

/// What is there. Cheap to clone but for the configs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// What runs on each host.
    pub hosts: Arc<BTreeMap<HostId, Arc<HostView>>>,
    /// All links; `None` when nobody could tell. Nothing is planned for links then.
    pub links: Option<Arc<Vec<Link>>>,
    /// The configs that were looked at; `None` is one that does not exist. Nothing is planned for those not looked at.
    pub configs: BTreeMap<String, Option<Values>>,
}

/// The inventory of a host, whose parts are found by id: an application asks for each of its parts among those of all applications.
#[derive(Debug, PartialEq)]
pub struct HostView {
    inventory: Inventory,
    components: HashMap<String, usize>,
    providers: HashMap<String, usize>,
}

impl HostView {
    /// The component of that id.
    pub fn component(&self, id: &str) -> Option<&ComponentView> {
        self.inventory.components.get(*self.components.get(id)?)
    }

    /// The provider of that id.
    pub fn provider(&self, id: &str) -> Option<&ProviderView> {
        self.inventory.providers.get(*self.providers.get(id)?)
    }
}

impl From<Inventory> for HostView {
    fn from(inventory: Inventory) -> HostView {
        let components = inventory.components.iter().map(|view| view.id.to_string());
        let components = components.zip(0..).collect();
        let providers = inventory.providers.iter().map(|view| view.id.to_string()).zip(0..).collect();
        HostView { inventory, components, providers }
    }
}

impl Deref for HostView {
    type Target = Inventory;

    fn deref(&self) -> &Inventory {
        &self.inventory
    }
}
