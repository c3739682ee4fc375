//! One provider of the host: its slot, which every call and every order goes to, and what makes it.
//!
//! Read in this order: here the slot · `run` its task · [`way`] who serves its calls · `links` what it has been told · [`swap`] how another
//! takes its place · [`hand`] what is changed by hand · `look` what that would do · `told` the events.

pub mod hand;
mod links;
mod look;
mod run;
pub mod swap;
mod told;
pub mod way;

pub use run::child;
pub use told::given_up;

use crate::component_provider::{ComponentProvider, Plan};
use crate::process::{self, ProcessProvider};
use crate::shared::{Served, Shared};
use arc_swap::{ArcSwap, ArcSwapOption};
use hand::Hand;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{LinkKey, ResolvedLink};
use umbel_lattice::control::{PartState, ProviderKind, StartProvider};
use umbel_lattice::extension::provider::Made;
use umbel_provider::{Factory, Provider};
use umbel_wit::{InterfaceName, Serve};
use way::{Serving, Way};

/// The id of the providers' supervisor.
pub const BRANCH: &str = "providers";

/// What providers are made by.
#[derive(Clone)]
pub enum Maker {
    /// Code of this host.
    Builtin(Arc<dyn Factory>),
    /// A process; of a builtin, with what makes it.
    Process(process::Plan, Option<Arc<dyn Factory>>),
    /// A component, with its budget and its rights.
    Component(Arc<Plan>),
}

/// What a provider is besides, while it runs.
#[derive(Default)]
pub enum Body {
    /// Code of this host.
    #[default]
    Code,
    /// A process.
    Process(Arc<ProcessProvider>),
    /// A component.
    Component(Arc<ComponentProvider>),
}

impl Maker {
    /// How its providers run.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Maker::Builtin(_) => ProviderKind::Builtin,
            Maker::Process(..) => ProviderKind::Process,
            Maker::Component(_) => ProviderKind::Component,
        }
    }

    /// Whether the other makes the same.
    pub fn is(&self, other: &Maker) -> bool {
        match (self, other) {
            (Maker::Builtin(a), Maker::Builtin(b)) => a.name() == b.name(),
            (Maker::Process(a, _), Maker::Process(b, _)) => a == b,
            (Maker::Component(a), Maker::Component(b)) => a == b,
            _ => false,
        }
    }

    /// Whether a provider of it cannot run beside one of the other, because both open the data of one id.
    pub fn opens_the_data_of(&self, other: &Maker) -> bool {
        match (self.factory(), other.factory()) {
            (Some(a), Some(b)) => a.name() == b.name() && a.opens_its_data_alone(),
            // Components of one id have one folder.
            (None, None) => matches!((self, other), (Maker::Component(_), Maker::Component(_))),
            _ => false,
        }
    }

    /// What makes them, if it is a builtin.
    pub fn factory(&self) -> Option<&Arc<dyn Factory>> {
        match self {
            Maker::Builtin(factory) | Maker::Process(_, Some(factory)) => Some(factory),
            Maker::Process(_, None) | Maker::Component(_) => None,
        }
    }

    /// Whether its providers serve the import. What an archive or a component serves is known when it runs.
    pub fn serves(&self, import: &str) -> bool {
        match self {
            Maker::Builtin(factory) | Maker::Process(_, Some(factory)) => serves(&**factory, import),
            Maker::Process(_, None) | Maker::Component(_) => !is_inward(import),
        }
    }
}

/// What is to run, and what makes it.
#[derive(Clone)]
pub struct Ordered {
    /// The order. What is changed by hand is in it.
    pub order: Arc<StartProvider>,
    /// Its maker.
    pub maker: Arc<Maker>,
    /// Grows whenever something else is to run.
    pub turn: u64,
    /// The last turn in which what runs was to start anew.
    pub renewal: u64,
}

/// One provider id.
pub struct ProviderSlot {
    /// The id.
    pub id: ProviderId,
    ordered: watch::Sender<Ordered>,
    /// The way to the provider, while it runs.
    pub way: Way,
    /// The same, for calls.
    pub calls: Arc<dyn Serve>,
    /// What was changed by hand.
    pub hand: ArcSwapOption<Hand>,
    // What runs, or is started; not yet what is ordered.
    maker: ArcSwap<Maker>,
    served: ArcSwapOption<StartProvider>,
    body: ArcSwap<Body>,
    // The last turn that was taken, and why it failed.
    moved: watch::Sender<(u64, Option<Problem>)>,
    // Written by the provider's task alone; read by inventory.
    status: Mutex<(PartState, Option<Problem>)>,
    // Restarts of those that were here before what runs.
    restarts_before: AtomicU32,
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
        let (id, maker) = (order.provider_id.clone(), Arc::new(maker));
        let way = Way::new(id.clone());
        ProviderSlot {
            calls: Arc::new(way.clone()),
            way,
            id,
            ordered: watch::Sender::new(Ordered {
                order: Arc::new(order),
                maker: maker.clone(),
                turn: 1,
                renewal: 0,
            }),
            hand: ArcSwapOption::empty(),
            maker: ArcSwap::new(maker),
            served: ArcSwapOption::empty(),
            body: ArcSwap::default(),
            moved: watch::Sender::new((0, None)),
            status: Mutex::new((PartState::Starting, None)),
            restarts_before: AtomicU32::new(0),
            offered: Mutex::default(),
        }
    }

    /// The newest order.
    pub fn order(&self) -> Arc<StartProvider> {
        self.ordered.borrow().order.clone()
    }

    /// The newest order, and what makes it.
    pub fn ordered(&self) -> Ordered {
        self.ordered.borrow().clone()
    }

    /// Gives it another order. One of another make takes the place of what runs. Returns the turn, if it is another.
    pub fn set_order(&self, order: StartProvider, maker: Maker) -> Option<u64> {
        let (mut turn, is_refused) = (None, self.not_moved().is_some());
        self.ordered.send_modify(|ordered| {
            // What was refused is tried again by a later deploy.
            let is_later = order.generation > ordered.order.generation;
            if !ordered.maker.is(&maker) || (is_later && is_refused) {
                ordered.turn += 1;
                turn = Some(ordered.turn);
            }
            (ordered.order, ordered.maker) = (Arc::new(order), Arc::new(maker));
        });
        turn
    }

    /// Has what runs start anew, in turn. Returns the turn.
    pub fn renew(&self) -> u64 {
        let mut turn = 0;
        self.ordered.send_modify(|ordered| {
            ordered.turn += 1;
            ordered.renewal = ordered.turn;
            turn = ordered.turn;
        });
        turn
    }

    /// Takes an order back that came to nothing, unless there is a newer one. What was ordered before is not tried again: it runs, or has
    /// been refused, and why is shown on.
    pub fn take_back(&self, turn: u64, before: Ordered, refused: Option<Problem>) {
        self.ordered.send_if_modified(|ordered| {
            let is_it = ordered.turn == turn;
            if is_it {
                (ordered.order, ordered.maker) = (before.order, before.maker);
                self.moved.send_replace((turn, refused));
            }
            is_it
        });
    }

    /// Waits until the turn is taken, and says why it failed if it did.
    pub async fn moved(&self, turn: u64) -> Result<(), Problem> {
        let mut moved = self.moved.subscribe();
        match moved.wait_for(|(last, _)| *last >= turn).await.as_deref() {
            Ok((last, Some(problem))) if *last == turn => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// Why what is ordered has not taken the place of what runs.
    fn not_moved(&self) -> Option<Problem> {
        let turn = self.ordered.borrow().turn;
        let (last, problem) = self.moved.borrow().clone();
        let is_other = !self.maker.load().is(&self.ordered.borrow().maker);
        problem.filter(|_| last == turn && is_other)
    }

    /// The order of what runs, or is started: the newest one, unless that was refused or has not taken its place yet.
    pub fn runs(&self) -> Arc<StartProvider> {
        let served = self.served.load_full().filter(|_| self.is_behind() || self.not_moved().is_some());
        served.unwrap_or_else(|| self.order())
    }

    /// Whether another provider is about to take the place of what runs, also while neither serves.
    pub fn is_moving(&self) -> bool {
        self.is_behind() && self.status().0 == PartState::Running
    }

    /// What is about to take the place of what runs, if that is something else.
    pub fn coming(&self) -> Option<Made> {
        let Ordered { order, maker, .. } = self.ordered();
        let is_other = self.is_moving() && !self.maker.load().is(&maker);
        is_other.then(|| Made { kind: maker.kind(), reference: order.provider_ref.clone() })
    }

    /// Whether a turn is not taken yet.
    fn is_behind(&self) -> bool {
        self.ordered.borrow().turn > self.moved.borrow().0
    }

    /// How often what serves was started again, of so many restarts of all that had its id.
    pub fn restarts(&self, of_all: u32) -> u32 {
        of_all.saturating_sub(self.restarts_before.load(Relaxed))
    }

    /// What makes what runs, or is started.
    pub fn maker(&self) -> Arc<Maker> {
        self.maker.load_full()
    }

    /// How it runs.
    pub fn kind(&self) -> ProviderKind {
        self.maker.load().kind()
    }

    /// Its process, while it has one.
    pub fn process(&self) -> Option<Arc<ProcessProvider>> {
        match &**self.body.load() {
            Body::Process(process) => Some(process.clone()),
            _ => None,
        }
    }

    /// What it is as a component, while it runs as one.
    pub fn component(&self) -> Option<Arc<ComponentProvider>> {
        match &**self.body.load() {
            Body::Component(component) => Some(component.clone()),
            _ => None,
        }
    }

    /// What it serves, with its types; nothing of one that does not say. Of a component, its image knows.
    pub fn interfaces(&self, shared: &Shared) -> Served {
        match (self.process(), self.maker.load().factory()) {
            (Some(process), _) if !process.interfaces().is_empty() => process.interfaces().into(),
            (_, Some(factory)) => shared.contracts.of(&**factory),
            _ => Served::default(),
        }
    }

    /// Lets go of what it ran as: one that did not end in time ends with this.
    pub fn end(&self) {
        self.set_body(Body::Code);
    }

    /// Leads calls to the provider. Returns who served until now.
    fn lead_to(&self, provider: Arc<dyn Provider>, body: Body) -> Option<Arc<Serving>> {
        self.set_body(body);
        self.way.lead_to(provider, &self.body.load())
    }

    fn set_body(&self, body: Body) {
        self.body.store(Arc::new(body));
    }

    /// Whether it serves the import, or providers of its kind do.
    pub fn serves(&self, import: &str) -> bool {
        match self.component() {
            Some(component) => component.serves(import),
            None => self.maker.load().serves(import),
        }
    }

    /// The provider, while it runs.
    pub fn running(&self) -> Option<Arc<dyn Provider>> {
        self.way.now().map(|serving| serving.provider.clone())
    }

    /// Its state, and why; of one that runs, why it was not replaced.
    pub fn status(&self) -> (PartState, Option<Problem>) {
        let (state, problem) = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match state {
            PartState::Running => (state, problem.or_else(|| self.not_moved())),
            _ => (state, problem),
        }
    }

    /// Whether it has taken the link as it is now.
    pub fn has_taken(&self, link: &ResolvedLink) -> Taken {
        match self.offered().get(&link.link.key()) {
            Some((offered, None)) if is_same(offered, link) => Taken::Yes,
            Some((offered, Some(problem))) if is_same(offered, link) => Taken::Refused(problem.clone()),
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

    pub(crate) fn set(&self, state: PartState, problem: Option<Problem>) {
        let problem = problem.map(|problem| problem.of_provider(self.id.as_str()));
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = (state, problem);
    }
}

/// Whether both are the same link with the same values; secrets are not looked at.
fn is_same(offered: &ResolvedLink, link: &ResolvedLink) -> bool {
    let of = |resolved: &ResolvedLink| {
        (resolved.link.clone(), resolved.source_values.clone(), resolved.target_values.clone())
    };
    of(offered) == of(link)
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
