//! The child that runs one provider: starts it, keeps its links current, puts another in its place, stops it with a deadline.
//!
//! Read in this order: here the provider's slot and its task · [`way`] who serves its calls · `links` what it has been told · [`swap`] how
//! another takes its place · [`hand`] what is changed by hand · `told` the events.

pub mod hand;
mod links;
pub mod swap;
mod told;
pub mod way;

use crate::process::{self, ProcessProvider, Program};
use crate::shared::{COALESCE, HostTargets, Shared};
use arc_swap::{ArcSwap, ArcSwapOption};
use hand::Hand;
use links::Links;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use swap::Changed;
use tokio::sync::watch;
pub use told::given_up;
use umbel_core::Problem;
use umbel_core::event::Fact;
use umbel_core::id::ProviderId;
use umbel_core::link::{LinkKey, ResolvedLink};
use umbel_lattice::control::{PartState, ProviderKind, StartProvider};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::{ChildContext, ChildSpec, Intensity, Restart};
use umbel_wit::{InterfaceName, Serve};
use way::Way;

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
}

impl Maker {
    /// How its providers run.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Maker::Builtin(_) => ProviderKind::Builtin,
            Maker::Process(..) => ProviderKind::Process,
        }
    }

    /// Whether the other makes the same.
    pub fn is(&self, other: &Maker) -> bool {
        match (self, other) {
            (Maker::Builtin(a), Maker::Builtin(b)) => a.name() == b.name(),
            (Maker::Process(a, _), Maker::Process(b, _)) => a == b,
            _ => false,
        }
    }

    /// Whether a provider of it cannot run beside one of the other, because both open the data of one id.
    pub fn opens_the_data_of(&self, other: &Maker) -> bool {
        match (self.factory(), other.factory()) {
            (Some(a), Some(b)) => a.name() == b.name() && a.opens_its_data_alone(),
            _ => false,
        }
    }

    /// What makes them, if it is a builtin.
    pub fn factory(&self) -> Option<&Arc<dyn Factory>> {
        match self {
            Maker::Builtin(factory) | Maker::Process(_, Some(factory)) => Some(factory),
            Maker::Process(_, None) => None,
        }
    }

    /// Whether its providers serve the import. What an archive serves is known when it runs.
    pub fn serves(&self, import: &str) -> bool {
        match self {
            Maker::Builtin(factory) | Maker::Process(_, Some(factory)) => serves(&**factory, import),
            Maker::Process(_, None) => !is_inward(import),
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
    process: ArcSwapOption<ProcessProvider>,
    // The last turn that was taken, and why it failed.
    moved: watch::Sender<(u64, Option<Problem>)>,
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
            process: ArcSwapOption::empty(),
            moved: watch::Sender::new((0, None)),
            status: Mutex::new((PartState::Starting, None)),
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

    /// Takes an order back that came to nothing, unless there is a newer one.
    pub fn take_back(&self, turn: u64, before: Ordered) {
        self.ordered.send_if_modified(|ordered| {
            let is_it = ordered.turn == turn;
            if is_it {
                ordered.turn += 1;
                (ordered.order, ordered.maker) = (before.order, before.maker);
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

    /// The order of what runs, or is started: the newest one, unless that was refused.
    pub fn runs(&self) -> Arc<StartProvider> {
        let served = self.served.load_full().filter(|_| self.not_moved().is_some());
        served.unwrap_or_else(|| self.order())
    }

    /// Whether another provider is about to take the place of what runs.
    pub fn is_moving(&self) -> bool {
        self.running().is_some() && self.ordered.borrow().turn > self.moved.borrow().0
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
        self.process.load_full()
    }

    /// Whether providers of its kind serve the import.
    pub fn serves(&self, import: &str) -> bool {
        self.maker.load().serves(import)
    }

    /// The provider, while it runs.
    pub fn running(&self) -> Option<Arc<dyn Provider>> {
        self.way.now().map(|serving| serving.provider.clone())
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

    pub(crate) fn set(&self, state: PartState, problem: Option<Problem>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = (state, problem);
    }
}

/// Interfaces that providers call and do not serve, whatever package they are of.
const INWARD: [&str; 3] = ["incoming-handler", "handler", "run"];

/// Whether providers of the factory serve the import. What they bring calls of is among their contracts too.
pub fn serves(factory: &dyn Factory, import: &str) -> bool {
    !is_inward(import) && factory.contracts().iter().any(|contract| contract.covers(import))
}

fn is_inward(import: &str) -> bool {
    INWARD.contains(&InterfaceName::new(import).interface())
}

/// The child of one provider.
pub fn child(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>) -> ChildSpec {
    let (shared, drain) = (shared.clone(), shared.config.drain);
    let (id, slot) = (slot.id.to_string(), slot.clone());
    ChildSpec::task(id, move |cx| run(shared.clone(), slot.clone(), cx))
        .kind("provider")
        .restart(Restart::Permanent)
        // Its own, so that one provider that keeps failing does not use up the tolerance for the others. The fifth end is the last.
        .intensity(Intensity::new(4, Duration::from_secs(300)))
        .ready_at_once()
        .shutdown(drain + Duration::from_secs(2))
}

async fn run(shared: Arc<Shared>, slot: Arc<ProviderSlot>, cx: ChildContext) -> Result<(), Problem> {
    let mut tables = shared.tables.subscribe();
    let mut parts = shared.parts.subscribe();
    let mut ordered = slot.ordered.subscribe();
    shared.caught_up().await;
    let mut links = start(&shared, &slot, &cx).await?;
    let mut turn = slot.moved.borrow().0;
    let mut is_told = false;
    loop {
        // Noted as seen before it is looked at: what changes meanwhile is followed by the next round.
        parts.borrow_and_update();
        let wanted = ordered.borrow_and_update().clone();
        if wanted.turn != turn {
            let is_other = wanted.renewal > turn || !slot.maker.load().is(&wanted.maker);
            turn = wanted.turn;
            if is_other {
                links = change(&shared, &slot, &wanted, links, &cx).await?;
            } else {
                slot.moved.send_replace((turn, None));
            }
        }
        let now = tables.borrow_and_update().clone();
        let late = links.follow(&shared, &slot, &slot.runs(), &now, &cx).await;
        if !is_told {
            is_told = true;
            shared.parts_changed();
            shared.tell(&Fact::ProviderStarted(told::started(&shared, &slot))).await;
        }
        let next = async {
            // One round for a thousand links or components that come within a moment.
            tokio::time::sleep(COALESCE).await;
            let goes_on = tokio::select! {
                changed = tables.changed() => changed.is_ok(),
                changed = parts.changed() => changed.is_ok(),
                changed = ordered.changed() => changed.is_ok(),
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
    slot.set(PartState::Draining, None);
    let by_hand = slot.hand.load().as_ref().is_some_and(|hand| hand.is_stopped);
    if by_hand {
        // Calls from now on are told at once that somebody does not want them served.
        slot.way.stop();
    }
    links.provider.stop(shared.config.drain).await;
    if !by_hand {
        slot.way.close();
    }
    slot.process.store(None);
    slot.set(PartState::Stopped, by_hand.then(|| way::stopped(&slot.id)));
    shared.tell(&Fact::ProviderStopped(told::stopped(&shared, &slot, "stop"))).await;
    Ok(())
}

/// Starts the provider and leads calls to it.
async fn start(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>, cx: &ChildContext) -> Result<Links, Problem> {
    let wanted = slot.ordered();
    if slot.not_moved().is_none() {
        // Otherwise what is ordered has failed beside what ran: that is what is started again.
        slot.maker.store(wanted.maker.clone());
    }
    let maker = slot.maker();
    let context = start_context(shared, slot, &wanted.order);
    let config = context.config.clone();
    match make(shared, slot, &maker, context, cx).await {
        Ok((provider, process)) => {
            slot.process.store(process);
            slot.way.lead_to(provider.clone());
            if slot.not_moved().is_none() {
                slot.served.store(Some(wanted.order));
                slot.moved.send_replace((wanted.turn, None));
            }
            Ok(Links::new(provider, config))
        }
        Err(problem) => {
            slot.set(PartState::Failed, Some(problem.clone()));
            slot.moved.send_if_modified(|moved| {
                let is_new = moved.0 < wanted.turn;
                if is_new {
                    *moved = (wanted.turn, Some(problem.clone()));
                }
                is_new
            });
            shared.parts_changed();
            shared.tell(&Fact::ProviderStartFailed(told::start_failed(shared, slot, &problem))).await;
            Err(problem)
        }
    }
}

/// Puts what is ordered in the place of what runs.
async fn change(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    wanted: &Ordered,
    links: Links,
    cx: &ChildContext,
) -> Result<Links, Problem> {
    let (links, problem) = match swap::change(shared, slot, wanted, links, cx).await {
        Changed::Done(links) => {
            slot.served.store(Some(wanted.order.clone()));
            shared.tell(&Fact::ProviderStarted(told::started(shared, slot))).await;
            (links, None)
        }
        Changed::Kept(links, problem) => {
            shared.tell(&Fact::ProviderStartFailed(told::start_failed(shared, slot, &problem))).await;
            (links, Some(problem))
        }
        Changed::Lost(problem) => {
            slot.moved.send_replace((wanted.turn, Some(problem.clone())));
            lost(shared, slot, &problem).await;
            return Err(problem);
        }
    };
    slot.moved.send_replace((wanted.turn, problem));
    shared.parts_changed();
    Ok(links)
}

/// A provider, and its process if it has one.
type Made = (Arc<dyn Provider>, Option<Arc<ProcessProvider>>);

/// Makes a provider.
async fn make(
    shared: &Arc<Shared>,
    slot: &ProviderSlot,
    maker: &Maker,
    start: StartContext,
    cx: &ChildContext,
) -> Result<Made, Problem> {
    let program = match maker {
        Maker::Builtin(factory) => return Ok((factory.start(start).await?, None)),
        Maker::Process(program, _) => program,
    };
    let application = slot.order().application.clone();
    let started = tokio::select! {
        started = process::start(shared, program, application, start) => started?,
        () = cx.stop.requested() => {
            return Err(Problem::new(umbel_core::code::host::PROVIDER_EXITED, "it was stopped while it started"));
        }
    };
    let started = Arc::new(started);
    Ok((started.clone(), Some(started)))
}

/// The provider has ended by itself: whoever calls it is told so until it runs again.
async fn lost(shared: &Arc<Shared>, slot: &ProviderSlot, problem: &Problem) {
    slot.way.close();
    slot.process.store(None);
    slot.offered().clear();
    slot.set(PartState::Failed, Some(problem.clone()));
    shared.parts_changed();
    shared.tell(&Fact::ProviderStopped(told::stopped(shared, slot, &problem.to_string()))).await;
}

fn start_context(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>, order: &StartProvider) -> StartContext {
    StartContext {
        id: slot.id.clone(),
        config: shared.tables.borrow().merged(&order.config),
        targets: Arc::new(HostTargets { shared: shared.clone(), provider: slot.clone() }),
        folder: shared.state.join("providers").join(slot.id.as_str()),
    }
}
