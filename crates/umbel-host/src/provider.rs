//! The child that runs one provider: starts it, keeps its links current, stops it with a deadline.

use crate::component_provider::{self, ComponentProvider};
use crate::process::{self, ProcessProvider, Program};
use crate::shared::{COALESCE, HostTargets, Shared};
use crate::tables::Tables;
use arc_swap::ArcSwapOption;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::event::{Fact, ProviderStartFailed, ProviderStarted, ProviderStopped};
use umbel_core::id::ProviderId;
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_lattice::control::{PartState, ProviderKind, StartProvider};
use umbel_provider::{Factory, Health, Provider, StartContext};
use umbel_supervisor::{ChildContext, ChildSpec, Intensity, Restart};
use umbel_wit::InterfaceName;

/// The id of the providers' supervisor.
pub const BRANCH: &str = "providers";
/// How soon a link that a provider did not take is offered again.
const RETRY: Duration = Duration::from_secs(5);

/// What providers are made by.
#[derive(Clone)]
pub enum Maker {
    /// Code of this host.
    Builtin(Arc<dyn Factory>),
    /// A process; of a builtin, with what makes it.
    Process(Program, Option<Arc<dyn Factory>>),
    /// A component: the order says which.
    Component,
}

impl Maker {
    /// How its providers run.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Maker::Builtin(_) => ProviderKind::Builtin,
            Maker::Process(..) => ProviderKind::Process,
            Maker::Component => ProviderKind::Component,
        }
    }

    fn is(&self, other: &Maker) -> bool {
        match (self, other) {
            (Maker::Builtin(a), Maker::Builtin(b)) => a.name() == b.name(),
            (Maker::Process(a, _), Maker::Process(b, _)) => a == b,
            // Its image is replaced while it serves.
            (Maker::Component, Maker::Component) => true,
            _ => false,
        }
    }

    /// Whether its providers serve the import. What an archive or a component serves is known when it runs.
    fn serves(&self, import: &str) -> bool {
        match self {
            Maker::Builtin(factory) | Maker::Process(_, Some(factory)) => serves(&**factory, import),
            Maker::Process(_, None) | Maker::Component => !is_inward(import),
        }
    }
}

/// One provider id.
pub struct ProviderSlot {
    /// The id.
    pub id: ProviderId,
    /// What should run.
    pub desired: watch::Sender<Arc<StartProvider>>,
    maker: Maker,
    running: ArcSwapOption<Arc<dyn Provider>>,
    process: ArcSwapOption<ProcessProvider>,
    component: ArcSwapOption<ComponentProvider>,
    // Written by the provider's task alone; read by inventory.
    status: Mutex<(PartState, Option<Problem>)>,
    // The links that it was offered last, and why it did not take them.
    offered: Mutex<HashMap<LinkKey, (ResolvedLink, Option<Problem>)>>,
}

/// Whether a provider has taken a link.
pub enum Taken {
    /// As it is now.
    Yes,
    /// It was not offered yet, or is another one by now.
    NotYet,
    /// It cannot be.
    Refused(Problem),
}

impl ProviderSlot {
    /// A provider that is not started yet.
    pub fn new(order: StartProvider, maker: Maker) -> ProviderSlot {
        ProviderSlot {
            id: order.provider_id.clone(),
            desired: watch::Sender::new(Arc::new(order)),
            maker,
            running: ArcSwapOption::empty(),
            process: ArcSwapOption::empty(),
            component: ArcSwapOption::empty(),
            status: Mutex::new((PartState::Starting, None)),
            offered: Mutex::default(),
        }
    }

    /// The newest order.
    pub fn order(&self) -> Arc<StartProvider> {
        self.desired.borrow().clone()
    }

    /// Whether providers of this make are what runs here.
    pub fn is_made_by(&self, maker: &Maker) -> bool {
        self.maker.is(maker)
    }

    /// How it runs.
    pub fn kind(&self) -> ProviderKind {
        self.maker.kind()
    }

    /// Its process, while it has one.
    pub fn process(&self) -> Option<Arc<ProcessProvider>> {
        self.process.load_full()
    }

    /// What it is as a component, while it runs as one.
    pub fn component(&self) -> Option<Arc<ComponentProvider>> {
        self.component.load_full()
    }

    /// Whether it serves the import, or providers of its kind do.
    pub fn serves(&self, import: &str) -> bool {
        self.component().map_or_else(|| self.maker.serves(import), |component| component.serves(import))
    }

    /// The provider, while it runs.
    pub fn running(&self) -> Option<Arc<dyn Provider>> {
        self.running.load().as_ref().map(|p| (**p).clone())
    }

    /// Its state, and why.
    pub fn status(&self) -> (PartState, Option<Problem>) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has taken the link as it is now.
    pub fn has_taken(&self, link: &ResolvedLink) -> Taken {
        match self.offered().get(&link.link.key()) {
            Some((offered, None)) if offered == link => Taken::Yes,
            Some((offered, Some(problem))) if offered == link => Taken::Refused(problem.clone()),
            _ => Taken::NotYet,
        }
    }

    /// Why it did not take the link, if it was offered it and did not.
    pub fn refusal(&self, key: &LinkKey) -> Option<Problem> {
        self.offered().get(key).and_then(|(_, problem)| problem.clone())
    }

    fn offered(&self) -> MutexGuard<'_, HashMap<LinkKey, (ResolvedLink, Option<Problem>)>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: PartState, problem: Option<Problem>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = (state, problem);
    }
}

/// Interfaces that providers call and do not serve, whatever package they are of.
const INWARD: [&str; 3] = ["incoming-handler", "handler", "run"];

/// Whether providers of the factory serve the import. What they bring calls of is among their contracts too.
pub fn serves(factory: &dyn Factory, import: &str) -> bool {
    !is_inward(import) && factory.contracts().iter().any(|contract| contract.covers(import))
}

pub(crate) fn is_inward(import: &str) -> bool {
    INWARD.contains(&InterfaceName::new(import).interface())
}

/// The child of one provider.
pub fn child(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> ChildSpec {
    let (shared, drain) = (shared.clone(), shared.config.drain);
    let (id, slot) = (slot.id.to_string(), slot.clone());
    ChildSpec::task(id, move |cx| run(shared.clone(), slot.clone(), cx))
        .kind("provider")
        .restart(Restart::Permanent)
        // Its own, so that one provider that keeps failing does not use up the tolerance for the others.
        .intensity(Intensity::new(5, Duration::from_secs(300)))
        .ready_at_once()
        .shutdown(drain + Duration::from_secs(2))
}

async fn run(shared: Arc<Shared>, slot: Arc<ProviderSlot>, cx: ChildContext) -> Result<(), Problem> {
    let mut tables = shared.tables.subscribe();
    let mut parts = shared.parts.subscribe();
    let mut desired = slot.desired.subscribe();
    shared.caught_up().await;
    let start = start_context(&shared, &slot);
    let config = start.config.clone();
    let provider = match make(&shared, &slot, start, &cx).await {
        Ok(provider) => provider,
        Err(problem) => {
            slot.set(PartState::Failed, Some(problem.clone()));
            shared.parts_changed();
            shared.tell(&Fact::ProviderStartFailed(start_failed(&shared, &slot.order(), &problem))).await;
            return Err(problem);
        }
    };
    slot.running.store(Some(Arc::new(provider.clone())));
    let mut links = Links { provider, known: BTreeMap::new(), config };
    let mut is_told = false;
    loop {
        // Noted as seen before it is looked at: what changes meanwhile is followed by the next round.
        parts.borrow_and_update();
        let order = desired.borrow_and_update().clone();
        let now = tables.borrow_and_update().clone();
        let serving = links.provider.clone();
        let next = tokio::select! {
            next = replaced(&shared, &slot, &order) => next,
            () = cx.stop.requested() => break,
            problem = serving.ended() => {
                lost(&shared, &slot, &problem).await;
                return Err(problem);
            }
        };
        if let Some(next) = next {
            // It is told all of its links.
            links = Links { provider: next, known: BTreeMap::new(), config: links.config };
        }
        let late = links.follow(&shared, &slot, &order, &now, &cx).await;
        if !is_told {
            is_told = true;
            shared.parts_changed();
            shared.tell(&Fact::ProviderStarted(started(&shared, &order))).await;
        }
        let next = async {
            // One round for a thousand links or components that come within a moment.
            tokio::time::sleep(COALESCE).await;
            let goes_on = tokio::select! {
                changed = tables.changed() => changed.is_ok(),
                changed = parts.changed() => changed.is_ok(),
                changed = desired.changed() => changed.is_ok(),
                () = tokio::time::sleep(RETRY), if late => true,
            };
            shared.caught_up().await;
            goes_on
        };
        let provider = links.provider.clone();
        tokio::select! {
            goes_on = next => if !goes_on { break },
            () = cx.stop.requested() => break,
            problem = provider.ended() => {
                lost(&shared, &slot, &problem).await;
                return Err(problem);
            }
        }
    }
    finish(&shared, &slot, &*links.provider).await;
    Ok(())
}

/// Lets the provider drain, and shows that it is stopped.
async fn finish(shared: &Shared, slot: &ProviderSlot, provider: &dyn Provider) {
    slot.set(PartState::Draining, None);
    provider.stop(shared.config.drain).await;
    slot.running.store(None);
    slot.process.store(None);
    slot.component.store(None);
    slot.set(PartState::Stopped, None);
    shared.tell(&Fact::ProviderStopped(stopped(shared, &slot.order()))).await;
}

/// Makes the provider.
async fn make(
    shared: &Arc<Shared>,
    slot: &ProviderSlot,
    start: StartContext,
    cx: &ChildContext,
) -> Result<Arc<dyn Provider>, Problem> {
    let program = match &slot.maker {
        Maker::Builtin(factory) => return factory.start(start).await,
        Maker::Process(program, _) => program,
        Maker::Component => {
            let started = tokio::select! {
                started = component_provider::start(shared, slot.order(), start.folder) => Arc::new(started?),
                () = cx.stop.requested() => return Err(stopped_at_start()),
            };
            slot.component.store(Some(started.clone()));
            return Ok(started);
        }
    };
    let application = slot.order().application.clone();
    let started = tokio::select! {
        started = process::start(shared, program, application, start) => started?,
        () = cx.stop.requested() => return Err(stopped_at_start()),
    };
    let started = Arc::new(started);
    slot.process.store(Some(started.clone()));
    Ok(started)
}

fn stopped_at_start() -> Problem {
    Problem::new(umbel_core::code::host::PROVIDER_EXITED, "it was stopped while it started")
}

/// What has taken the provider's place, because the order asks for another image, or the same one otherwise.
async fn replaced(
    shared: &Arc<Shared>,
    slot: &ProviderSlot,
    order: &Arc<StartProvider>,
) -> Option<Arc<dyn Provider>> {
    let folder = shared.state.join("providers").join(slot.id.as_str());
    let next = slot.component()?.follow(shared, order, &folder).await?;
    let provider: Arc<dyn Provider> = next.clone();
    slot.component.store(Some(next));
    slot.running.store(Some(Arc::new(provider.clone())));
    Some(provider)
}

/// The provider has ended by itself: whoever calls it is told so until it runs again.
async fn lost(shared: &Arc<Shared>, slot: &ProviderSlot, problem: &Problem) {
    slot.running.store(None);
    slot.process.store(None);
    slot.component.store(None);
    slot.offered().clear();
    slot.set(PartState::Failed, Some(problem.clone()));
    shared.parts_changed();
    let mut stopped = stopped(shared, &slot.order());
    stopped.reason = problem.to_string();
    shared.tell(&Fact::ProviderStopped(stopped)).await;
}

fn start_context(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> StartContext {
    StartContext {
        id: slot.id.clone(),
        config: shared.tables.borrow().merged(&slot.order().config),
        targets: Arc::new(HostTargets { shared: shared.clone(), provider: slot.clone() }),
        folder: shared.state.join("providers").join(slot.id.as_str()),
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
        order: &StartProvider,
        tables: &Tables,
        cx: &ChildContext,
    ) -> bool {
        let mut problem = None;
        let config = tables.merged(&order.config);
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
            tables.links_with(slot.id.as_str()).into_iter().map(offer).collect();
        let gone: Vec<LinkKey> = self.known.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        let new = wanted.into_iter().filter(|(key, offer)| self.known.get(key) != Some(offer)).collect();
        // New ones first: a link that only gets another name serves all the while.
        let mut refused = self.put(new).await;
        let frees = !gone.is_empty() && !refused.is_empty();
        for key in gone {
            match self.provider.del_link(&key).await {
                Ok(()) => drop(self.known.remove(&key)),
                Err(p) => problem = Some(p),
            }
        }
        if frees {
            // What is gone may have been in the way.
            refused = self.put(refused.into_iter().map(|(key, offer, _)| (key, offer)).collect()).await;
        }
        {
            let mut offered = slot.offered();
            offered.clear();
            let taken = self.known.values().map(|offer| (offer.link.link.key(), (offer.link.clone(), None)));
            offered.extend(taken);
            let refused = refused.iter();
            offered
                .extend(refused.map(|(key, offer, p)| (key.clone(), (offer.link.clone(), Some(p.clone())))));
        }
        problem = refused.into_iter().map(|(_, _, p)| p).next_back().or(problem);
        if let Health::Unhealthy(unwell) = self.provider.health() {
            problem = problem.or(Some(unwell));
        }
        if let Some(problem) = &problem {
            tracing::warn!(provider = %slot.id, %problem, "a link or config was not taken; it is offered again");
        }
        let endpoints: Vec<String> = self.provider.endpoints().into_iter().map(|e| e.url).collect();
        cx.detail.set(endpoints.join(" "));
        let state = if shared.check_open().is_ok() { PartState::Running } else { PartState::Draining };
        slot.set(state, problem.clone());
        problem.is_some()
    }

    /// Offers links; returns those that were not taken.
    async fn put(&mut self, offers: Vec<(LinkKey, Offer)>) -> Vec<(LinkKey, Offer, Problem)> {
        let mut refused = Vec::new();
        for (key, offer) in offers {
            match self.provider.put_link(offer.link.clone()).await {
                Ok(()) => drop(self.known.insert(key, offer)),
                Err(problem) => refused.push((key, offer, problem)),
            }
        }
        refused
    }
}

fn started(shared: &Shared, order: &StartProvider) -> ProviderStarted {
    ProviderStarted {
        annotations: order.annotations.clone().unwrap_or_default(),
        claims: None,
        host_id: shared.id.to_string(),
        image_ref: order.provider_ref.clone(),
        instance_id: None,
        link_name: None,
        provider_id: order.provider_id.to_string(),
        public_key: None,
    }
}

fn start_failed(shared: &Shared, order: &StartProvider, problem: &Problem) -> ProviderStartFailed {
    ProviderStartFailed {
        error: problem.to_string(),
        host_id: shared.id.to_string(),
        link_name: umbel_core::link::DEFAULT_LINK_NAME.into(),
        provider_id: order.provider_id.to_string(),
        provider_ref: order.provider_ref.clone(),
    }
}

fn stopped(shared: &Shared, order: &StartProvider) -> ProviderStopped {
    ProviderStopped {
        annotations: order.annotations.clone().unwrap_or_default(),
        host_id: shared.id.to_string(),
        instance_id: order.provider_id.to_string(),
        link_name: umbel_core::link::DEFAULT_LINK_NAME.into(),
        provider_id: order.provider_id.to_string(),
        public_key: order.provider_id.to_string(),
        reason: "stop".into(),
    }
}
