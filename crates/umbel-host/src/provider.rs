//! The child that runs one provider: starts it, keeps its links current, stops it with a deadline.

use crate::shared::{HostTargets, Shared};
use crate::tables::Tables;
use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::event::{Fact, ProviderStartFailed, ProviderStarted, ProviderStopped};
use umbel_core::id::ProviderId;
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_lattice::control::{PartState, StartProvider};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::{ChildContext, ChildSpec, Intensity, Restart};

/// The id of the providers' supervisor.
pub const BRANCH: &str = "providers";
/// How soon a link that a provider did not take is offered again.
const RETRY: Duration = Duration::from_secs(5);

/// One provider id.
pub struct ProviderSlot {
    /// What was ordered.
    pub order: StartProvider,
    factory: Arc<dyn Factory>,
    running: ArcSwapOption<Arc<dyn Provider>>,
    // Written by the provider's task alone; read by inventory.
    status: Mutex<(PartState, Option<Problem>)>,
}

impl ProviderSlot {
    /// A provider that is not started yet.
    pub fn new(order: StartProvider, factory: Arc<dyn Factory>) -> ProviderSlot {
        ProviderSlot {
            order,
            factory,
            running: ArcSwapOption::empty(),
            status: Mutex::new((PartState::Starting, None)),
        }
    }

    /// The provider, while it runs.
    pub fn running(&self) -> Option<Arc<dyn Provider>> {
        self.running.load().as_ref().map(|p| (**p).clone())
    }

    /// Its state, and why.
    pub fn status(&self) -> (PartState, Option<Problem>) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: PartState, problem: Option<Problem>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = (state, problem);
    }
}

/// The child of one provider.
pub fn child(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> ChildSpec {
    let (shared, drain) = (shared.clone(), shared.config.drain);
    let (id, slot) = (slot.order.provider_id.to_string(), slot.clone());
    ChildSpec::task(id, move |cx| run(shared.clone(), slot.clone(), cx))
        .kind("provider")
        .restart(Restart::Permanent)
        // Its own, so that one provider that keeps failing does not use up the tolerance for the others.
        .intensity(Intensity::new(5, Duration::from_secs(300)))
        .ready_at_once()
        .shutdown(drain + Duration::from_secs(2))
}

async fn run(shared: Arc<Shared>, slot: Arc<ProviderSlot>, cx: ChildContext) -> Result<(), Problem> {
    let id = slot.order.provider_id.clone();
    let mut tables = shared.tables.subscribe();
    let mut components = shared.components.subscribe();
    let config = tables.borrow_and_update().merged(&slot.order.config);
    let start = StartContext {
        id: id.clone(),
        config: config.clone(),
        targets: Arc::new(HostTargets {
            shared: shared.clone(),
            application: slot.order.application.clone(),
        }),
        folder: shared.state.join("providers").join(id.as_str()),
    };
    let provider = match slot.factory.start(start).await {
        Ok(provider) => provider,
        Err(problem) => {
            slot.set(PartState::Failed, Some(problem.clone()));
            shared.tell(&Fact::ProviderStartFailed(start_failed(&shared, &slot, &problem))).await;
            return Err(problem);
        }
    };
    slot.running.store(Some(Arc::new(provider.clone())));
    slot.set(PartState::Running, None);
    rebind_all(&shared);
    shared.tell(&Fact::ProviderStarted(started(&shared, &slot))).await;
    let mut links = Links { provider, known: BTreeMap::new(), config };
    let first = tables.borrow_and_update().clone();
    let mut late = links.follow(&shared, &slot, &first, &cx).await;
    loop {
        tokio::select! {
            changed = tables.changed() => if changed.is_err() { break },
            changed = components.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(RETRY), if late => {}
            () = cx.stop.requested() => break,
        }
        let now = tables.borrow_and_update().clone();
        late = links.follow(&shared, &slot, &now, &cx).await;
    }
    slot.set(PartState::Draining, None);
    links.provider.stop(shared.config.drain).await;
    slot.running.store(None);
    slot.set(PartState::Stopped, None);
    shared.tell(&Fact::ProviderStopped(stopped(&shared, &slot))).await;
    Ok(())
}

/// Components whose links point at the provider find it from now on.
fn rebind_all(shared: &Shared) {
    for slot in shared.slots.load_full().values() {
        shared.bind(slot);
    }
}

/// A link as a provider was told it. The target's application is part of it, because default host names come from there.
#[derive(PartialEq)]
struct Offer {
    link: ResolvedLink,
    application: Option<String>,
}

/// What a provider has been told.
struct Links {
    provider: Arc<dyn Provider>,
    known: BTreeMap<LinkKey, Offer>,
    config: Values,
}

impl Links {
    /// Tells the provider what differs from what it knows. Returns whether something is to be tried again later.
    async fn follow(
        &mut self,
        shared: &Shared,
        slot: &ProviderSlot,
        tables: &Tables,
        cx: &ChildContext,
    ) -> bool {
        let id: &ProviderId = &slot.order.provider_id;
        let mut problem = None;
        let config = tables.merged(&slot.order.config);
        if config != self.config {
            match self.provider.put_config(config.clone()).await {
                Ok(()) => self.config = config,
                Err(p) => problem = Some(p),
            }
        }
        let offer = |link: ResolvedLink| {
            let target = shared.slot(&link.link.target);
            let application = target.and_then(|slot| slot.desired.borrow().application.clone());
            (link.link.key(), Offer { link, application })
        };
        let wanted: BTreeMap<LinkKey, Offer> =
            tables.links_with(id.as_str()).into_iter().map(offer).collect();
        let gone: Vec<LinkKey> = self.known.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        for key in gone {
            match self.provider.del_link(&key).await {
                Ok(()) => drop(self.known.remove(&key)),
                Err(p) => problem = Some(p),
            }
        }
        for (key, offer) in wanted {
            if self.known.get(&key) == Some(&offer) {
                continue;
            }
            match self.provider.put_link(offer.link.clone()).await {
                Ok(()) => drop(self.known.insert(key, offer)),
                Err(p) => problem = Some(p),
            }
        }
        if let Some(problem) = &problem {
            tracing::warn!(provider = %id, %problem, "a link or config was not taken; it is offered again");
        }
        let endpoints: Vec<String> = self.provider.endpoints().into_iter().map(|e| e.url).collect();
        cx.detail.set(endpoints.join(" "));
        let state = if shared.check_open().is_ok() { PartState::Running } else { PartState::Draining };
        slot.set(state, problem.clone());
        problem.is_some()
    }
}

fn started(shared: &Shared, slot: &ProviderSlot) -> ProviderStarted {
    ProviderStarted {
        annotations: slot.order.annotations.clone().unwrap_or_default(),
        claims: None,
        host_id: shared.id.to_string(),
        image_ref: slot.order.provider_ref.clone(),
        instance_id: None,
        link_name: None,
        provider_id: slot.order.provider_id.to_string(),
        public_key: None,
    }
}

fn start_failed(shared: &Shared, slot: &ProviderSlot, problem: &Problem) -> ProviderStartFailed {
    ProviderStartFailed {
        error: problem.to_string(),
        host_id: shared.id.to_string(),
        link_name: umbel_core::link::DEFAULT_LINK_NAME.into(),
        provider_id: slot.order.provider_id.to_string(),
        provider_ref: slot.order.provider_ref.clone(),
    }
}

fn stopped(shared: &Shared, slot: &ProviderSlot) -> ProviderStopped {
    ProviderStopped {
        annotations: slot.order.annotations.clone().unwrap_or_default(),
        host_id: shared.id.to_string(),
        instance_id: slot.order.provider_id.to_string(),
        link_name: umbel_core::link::DEFAULT_LINK_NAME.into(),
        provider_id: slot.order.provider_id.to_string(),
        public_key: slot.order.provider_id.to_string(),
        reason: "stop".into(),
    }
}
