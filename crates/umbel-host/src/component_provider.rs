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
use crate::provider::is_inward;
use crate::shared::Shared;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use umbel_core::code::{guest, host as code};
use umbel_core::id::{ComponentId, ProviderId};
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::StartProvider;
use umbel_provider::{Health, Provider};
use umbel_runtime::{Budget, Component, Image, Resident, Usage};
use umbel_wit::{InterfaceName, Serve};

/// Where a component finds the folder that every provider has.
pub const DATA: &str = "/data";

/// A provider that is a component, while it runs.
pub struct ComponentProvider {
    id: ProviderId,
    host: Weak<Shared>,
    resident: Resident,
    budget: Arc<Budget>,
    bindings: Arc<ArcSwap<Bindings>>,
    /// What it runs, by its bytes.
    pub digest: String,
    // The newest order that was looked at, and why it could not be followed. Changed by the provider's task alone.
    order: Mutex<(Arc<StartProvider>, Option<Problem>)>,
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
    order: Arc<StartProvider>,
    folder: PathBuf,
) -> Result<ComponentProvider, Problem> {
    let id = &order.provider_id;
    // Whatever is a provider's id is one of a component as well.
    let own = ComponentId::new(id.as_str()).map_err(|error| Problem::from(&error))?;
    let granted = open_grants(shared, id.as_str(), order.grants.clone()).await?;
    let granted = granted.with_own(own_folder(folder).await?, DATA);
    let reference = order.provider_ref.clone();
    let Loaded { image, digest, .. } = load_image(shared, reference, order.digest.clone(), || ()).await?;
    if image.contracts().all(|(name, _)| is_inward(&name.to_string())) {
        let exports = image.exports().join(", ");
        let text = format!("`{}` exports {exports}, and no contract", order.provider_ref);
        return Err(Problem::new(code::NO_CONTRACT, text));
    }
    let mut limits = order.limits.clone().unwrap_or_default();
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
    };
    shared.bind_to(&bindings, importer(&order));
    let engine = shared.images.engine();
    let mode = umbel_core::limits::InstanceMode::Fresh;
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
        order: Mutex::new((order, None)),
    })
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

/// Whether what runs by the one order is not what the other asks for.
fn differ(old: &StartProvider, new: &StartProvider) -> bool {
    old.provider_ref != new.provider_ref
        || old.digest != new.digest
        || old.limits != new.limits
        || old.grants != new.grants
        || old.application != new.application
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

    /// Whether one of its own links leads there.
    pub fn leads_to(&self, id: &str) -> bool {
        self.bindings.load().lead_to(id)
    }

    /// Resolves its own links and its config anew.
    pub fn bind(&self, shared: &Shared) {
        let order = self.order().0.clone();
        shared.bind_to(&self.bindings, importer(&order));
    }

    /// Follows a newer order: what has to run otherwise is started, and takes over from this one. Nothing if this one goes on, also
    /// because the order cannot be followed; then it says so as its health.
    pub async fn follow(
        &self,
        shared: &Arc<Shared>,
        order: &Arc<StartProvider>,
        folder: &Path,
    ) -> Option<Arc<ComponentProvider>> {
        let (last, problem) = self.order().clone();
        if !differ(&last, order) {
            // Only what is looked up by its name each time: the config.
            *self.order() = (order.clone(), problem);
            return None;
        }
        match start(shared, order.clone(), folder.to_path_buf()).await {
            Ok(next) => {
                self.resident.hand_over(&next.resident, shared.config.drain).await;
                Some(Arc::new(next))
            }
            Err(problem) => {
                let looked_at = if problem.kind.is_retryable() { last } else { order.clone() };
                *self.order() = (looked_at, Some(problem));
                None
            }
        }
    }

    fn order(&self) -> std::sync::MutexGuard<'_, (Arc<StartProvider>, Option<Problem>)> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn health(&self) -> Health {
        self.order().1.clone().map_or(Health::Healthy, Health::Unhealthy)
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
