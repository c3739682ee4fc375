//! Providers that are components: one instance each, which serves what the component exports to all who are linked to it, and keeps what it
//! knows from call to call.
//!
//! ```text
//! importer ──link──▶ Door ──▶ Component (resident) ──▶ its own Door ──▶ its own links
//!                                 │                         └── its config, its log
//!                                 └── /data: the provider's folder, which outlives it
//! ```
//!
//! When a call ends the instance, the provider has ended: its supervisor starts it again, as it does others.

use crate::component::{Loaded, load_image, open_grants};
use crate::door::{Bindings, Door, Importer};
use crate::fetch::blocking;
use crate::logs::Trial;
use crate::provider::is_inward;
use crate::shared::Shared;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use umbel_core::code::{guest, host as code};
use umbel_core::grants::Grants;
use umbel_core::id::{ComponentId, ProviderId};
use umbel_core::limits::{InstanceMode, Limits};
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::StartProvider;
use umbel_provider::Provider;
use umbel_runtime::{Budget, Component, Image, Resident, Usage, Uses};
use umbel_wit::{InterfaceName, Serve};

/// Where a component finds the folder that every provider has.
pub const DATA: &str = "/data";

/// What decides what runs: another plan is another provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    reference: String,
    digest: Option<String>,
    limits: Option<Limits>,
    grants: Option<Grants>,
    application: Option<String>,
}

impl Plan {
    /// What the order says of it.
    pub fn of(order: &StartProvider) -> Plan {
        Plan {
            reference: order.provider_ref.clone(),
            digest: order.digest.clone(),
            limits: order.limits.clone(),
            grants: order.grants.clone(),
            application: order.application.clone(),
        }
    }
}

/// A provider that is a component, while it runs.
pub struct ComponentProvider {
    id: ProviderId,
    host: Weak<Shared>,
    resident: Resident,
    budget: Arc<Budget>,
    bindings: Arc<ArcSwap<Bindings>>,
    /// What it runs, by its bytes.
    pub digest: String,
    // The newest order. Changed by the provider's task alone.
    order: Mutex<Arc<StartProvider>>,
}

impl std::fmt::Debug for ComponentProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentProvider").field("id", &self.id).field("digest", &self.digest).finish()
    }
}

/// Starts the provider: its instance is there when this returns.
///
/// # Errors
/// Its bytes are no component that exports a contract, a grant cannot be given, or the instance cannot be made.
pub async fn start(
    shared: &Arc<Shared>,
    plan: &Plan,
    order: Arc<StartProvider>,
    folder: PathBuf,
    trial: Arc<Trial>,
) -> Result<ComponentProvider, Problem> {
    let id = &order.provider_id;
    // Whatever is a provider's id is one of a component as well.
    let own = ComponentId::new(id.as_str()).map_err(|error| Problem::from(&error))?;
    let granted = open_grants(shared, id.as_str(), plan.grants.clone()).await?;
    let granted = granted.with_own(own_folder(folder).await?, DATA);
    let Loaded { image, digest, .. } = load(shared, plan).await?;
    let mut limits = plan.limits.clone().unwrap_or_default();
    limits.instances_max = 1;
    let budget = Budget::new(id.as_str(), limits);
    let bindings = Arc::<ArcSwap<Bindings>>::default();
    let door = Door {
        id: own,
        application: order.application.clone(),
        bindings: bindings.clone(),
        image: image.clone(),
        host: Arc::downgrade(shared),
        logs: shared.logs.clone(),
        trial,
    };
    shared.fetch_secrets(importer(&order)).await;
    shared.bind_to(&bindings, importer(&order));
    let engine = shared.images.engine();
    let mode = InstanceMode::Fresh;
    let component = Component::new(engine, id.as_str(), image, mode, budget.clone(), Arc::new(door), granted);
    // On the data path, because what the guest does at its start is its own business.
    let begun = shared.cores.run(shared.cores.quietest(), move || Resident::start(component)).await;
    let resident = begun.map_err(|error| Problem::from(&error))?;
    let resident = resident.map_err(|error| Problem::from(&error as &dyn Coded))?;
    Ok(ComponentProvider {
        id: id.clone(),
        host: Arc::downgrade(shared),
        resident,
        budget,
        bindings,
        digest,
        order: Mutex::new(order),
    })
}

/// Makes sure that its bytes are there, compiled and a provider, without starting it.
pub async fn prepare(shared: &Arc<Shared>, plan: &Plan) -> Result<Arc<Image>, Problem> {
    Ok(load(shared, plan).await?.image)
}

async fn load(shared: &Arc<Shared>, plan: &Plan) -> Result<Loaded, Problem> {
    let loaded = load_image(shared, plan.reference.clone(), plan.digest.clone(), || ()).await?;
    if loaded.image.contracts().all(|(name, _)| is_inward(&name.to_string())) {
        let exports = loaded.image.exports().join(", ");
        let text = format!("`{}` exports {exports}, and no contract", plan.reference);
        return Err(Problem::new(code::NO_CONTRACT, text));
    }
    Ok(loaded)
}

/// Makes the provider's folder, for the host's user alone, and opens it.
async fn own_folder(folder: PathBuf) -> Result<umbel_runtime::OwnFolder, Problem> {
    blocking(move || {
        let failed = |error: std::io::Error| {
            let text = format!("the folder `{}` of the provider cannot be used", folder.display());
            Problem::new(guest::GRANT_UNUSABLE, text).with_cause(error.to_string())
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        umbel_runtime::OwnFolder::open(&folder).map_err(failed)
    })
    .await
}

fn importer(order: &StartProvider) -> Importer<'_> {
    Importer {
        id: order.provider_id.as_str(),
        application: order.application.as_deref(),
        config: &order.config,
    }
}

impl ComponentProvider {
    /// What calls go to.
    pub fn component(&self) -> &Component {
        self.resident.component()
    }

    /// What it runs.
    pub fn image(&self) -> &Arc<Image> {
        self.component().image()
    }

    /// What it has used since it was started.
    pub fn usage(&self) -> Usage {
        self.budget.usage()
    }

    /// Its budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether it serves the import.
    pub fn serves(&self, import: &str) -> bool {
        let name = InterfaceName::new(import);
        !is_inward(import) && self.image().contracts().any(|(export, _)| export.serves(&name))
    }

    /// Its config of this moment.
    pub fn config(&self) -> Values {
        self.bindings.load().config().clone()
    }

    /// Its links and config of this moment.
    pub fn bindings(&self) -> Arc<Bindings> {
        self.bindings.load_full()
    }

    /// Fetches the secrets that it and its own links name.
    pub async fn fetch_secrets(&self, shared: &Shared) {
        let order = self.order().clone();
        shared.fetch_secrets(importer(&order)).await;
    }

    /// How long a call takes over one of its own links, in nanoseconds, if there were any.
    pub fn call_ns(&self, link: &LinkKey) -> Option<u64> {
        self.bindings.load().call_ns(link)
    }

    /// Whether one of its own links leads there.
    pub fn leads_to(&self, id: &str) -> bool {
        self.bindings.load().lead_to(id)
    }

    /// Resolves its own links and its config anew.
    pub fn bind(&self, shared: &Shared) {
        let order = self.order().clone();
        shared.bind_to(&self.bindings, importer(&order));
    }

    /// Notes the newest order, for what it names of configs.
    pub fn is_ordered(&self, shared: &Shared, order: &Arc<StartProvider>) {
        let before = std::mem::replace(&mut *self.order(), order.clone());
        if before.config != order.config {
            self.bind(shared);
        }
    }

    fn order(&self) -> std::sync::MutexGuard<'_, Arc<StartProvider>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls and resources of it.
    pub fn uses(&self) -> &Uses {
        self.resident.uses()
    }

    /// What of a link's contract it does not export, if that is all of it.
    fn lacks(&self, link: &ResolvedLink) -> Option<Problem> {
        let contract = &link.link.contract;
        let mut exports = self.image().contracts().map(|(name, _)| name.to_string());
        if exports.any(|export| contract.covers(&export)) {
            return None;
        }
        let exports = self.image().exports().join(", ");
        let text = format!("{} is to serve `{contract}`, and exports {exports}", self.id);
        Some(Problem::new(guest::CONTRACT_MISMATCH, text))
    }
}

#[async_trait]
impl Provider for ComponentProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        if link.link.target == self.id.as_str() {
            return self.lacks(&link).map_or(Ok(()), Err);
        }
        self.del_link(&link.link.key()).await
    }

    /// Its own links are found at every call; all there is to do is to look them up anew.
    async fn del_link(&self, _: &LinkKey) -> Result<(), Problem> {
        if let Some(shared) = self.host.upgrade() {
            self.bind(&shared);
        }
        Ok(())
    }

    async fn put_config(&self, _: Values) -> Result<(), Problem> {
        if let Some(shared) = self.host.upgrade() {
            self.bind(&shared);
        }
        Ok(())
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(self.component().clone()))
    }

    async fn ended(&self) -> Problem {
        self.resident.failed().await
    }

    async fn stop(&self, deadline: Duration) {
        self.resident.stop(deadline).await;
    }
}
