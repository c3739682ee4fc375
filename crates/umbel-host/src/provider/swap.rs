//! One provider takes the place of another while calls go on.
//!
//! ```text
//!  beside:   start new ─▶ links ─▶ healthy ─▶ calls go to it ─▶ the old one ends when it is idle
//!  in turn:  calls wait ─▶ the old one is idle, ends ─▶ start new ─▶ links ─▶ healthy ─▶ calls go on
//! ```
//!
//! Beside is better: nobody waits. In turn is how it must be where the two cannot run at once: they open the same file, or both would
//! bring the same calls to components. A new one that does not start, is not well or refuses a link that the old one had changes nothing:
//! the old one goes on, in turn after it was started again.

use super::links::{Links, Told};
use super::run::{make, put_maker, start_context};
use super::way::Serving;
use super::{Body, Maker, Ordered, ProviderSlot};
use crate::component_provider;
use crate::given;
use crate::logs::Trial;
use crate::process;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_lattice::control::{ProviderKind, StartProvider};
use umbel_provider::Health;
use umbel_supervisor::ChildContext;

/// How long calls of a provider that ends in turn may go on while others wait.
const CALLS_MAX: Duration = Duration::from_secs(5);
/// How long resources of it are waited for when no call uses them.
const RESOURCES_MAX: Duration = Duration::from_millis(500);
/// How long a provider that is not taken has for its end.
const REJECTED: Duration = Duration::from_secs(1);

/// How one takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Both run for a while.
    Beside,
    /// The old one ends before the new one starts, and calls wait meanwhile.
    InTurn(Why),
}

/// Why they cannot run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Both open the same data.
    SameData,
    /// Both would bring calls to components.
    BringsCalls,
    /// One of them hears its calls on the lattice itself, as providers of wasmCloud 1.x do: both would hear them.
    HearsItself,
    /// It is the same one, started again.
    Same,
}

/// How a provider of `new` takes the place of one of `old` with the links of this moment.
pub fn manner(shared: &Shared, slot: &ProviderSlot, old: &Maker, new: &Maker) -> Manner {
    if old.is(new) {
        return Manner::InTurn(Why::Same);
    }
    if old.opens_the_data_of(new) {
        return Manner::InTurn(Why::SameData);
    }
    if !shared.tables.borrow().links_of(slot.id.as_str()).is_empty() {
        return Manner::InTurn(Why::BringsCalls);
    }
    if hears_itself(shared, new) || slot.process().is_some_and(|process| process.is_plain()) {
        return Manner::InTurn(Why::HearsItself);
    }
    Manner::Beside
}

/// Whether it may be a provider of wasmCloud 1.x: what is in an archive is known only when it runs.
fn hears_itself(shared: &Shared, maker: &Maker) -> bool {
    shared.lattice.is_shared() && matches!(maker, Maker::Process(_, None))
}

/// What a change came to.
pub(super) enum Changed {
    /// The new one serves.
    Done(Links),
    /// The old one goes on as it was.
    Kept(Links, Problem),
    /// Neither runs.
    Lost(Problem),
}

/// Puts a provider of the order's make in the place of the one that runs.
pub(super) async fn change(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    ordered: &Ordered,
    old: Links,
    cx: &ChildContext,
) -> Changed {
    let manner = manner(shared, slot, &slot.maker.load(), &ordered.maker);
    let begun = Instant::now();
    tracing::info!(provider = %slot.id, ?manner, to = ordered.order.provider_ref, "a provider is replaced");
    let changed = match manner {
        Manner::Beside => beside(shared, slot, ordered, old, cx).await,
        Manner::InTurn(_) => in_turn(shared, slot, ordered, old, cx).await,
    };
    // What hears its calls itself is known as such by now.
    shared.exports.show(shared, slot.id.as_str());
    match &changed {
        Changed::Done(_) => {
            tracing::info!(provider = %slot.id, took = ?begun.elapsed(), "another provider serves");
        }
        Changed::Kept(_, problem) | Changed::Lost(problem) => {
            tracing::warn!(provider = %slot.id, %problem, "a provider was not replaced");
        }
    }
    changed
}

async fn beside(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    ordered: &Ordered,
    old: Links,
    cx: &ChildContext,
) -> Changed {
    let new = match ready(shared, slot, &ordered.maker, &ordered.order, &old, cx).await {
        Ok(new) => new,
        Err(problem) => {
            return Changed::Kept(old, refused(slot, &slot.ordered().order.provider_ref, &problem));
        }
    };
    put_maker(shared, slot, &ordered.maker);
    let new = new.lead(slot);
    if let Some(before) = new.1 {
        let drain = shared.config.drain;
        // Not a task of this provider: its successor may end before it has answered.
        shared.retiring.spawn(retire(before, drain));
    }
    Changed::Done(new.0)
}

/// Ends one that calls do not lead to any more, as soon as it is idle.
async fn retire(before: Arc<Serving>, drain: Duration) {
    let begun = Instant::now();
    before.idle(drain, drain).await;
    before.end();
    before.provider.stop(drain.saturating_sub(begun.elapsed()).max(REJECTED)).await;
}

async fn in_turn(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    ordered: &Ordered,
    old: Links,
    cx: &ChildContext,
) -> Changed {
    // What can fail is tried while the old one serves.
    let prepared = match &*ordered.maker {
        Maker::Builtin(_) => Ok(()),
        Maker::Process(plan, _) => process::prepare(shared, plan).await,
        Maker::Component(plan) => component_provider::prepare(shared, plan).await.map(drop),
    };
    if let Err(problem) = prepared {
        return Changed::Kept(old, refused(slot, &slot.ordered().order.provider_ref, &problem));
    }
    let before = slot.way.hold();
    let begun = Instant::now();
    if let Some(before) = &before {
        before.idle(CALLS_MAX, RESOURCES_MAX).await;
        before.end();
    }
    // Others wait, and not for ever.
    let left = CALLS_MAX.saturating_sub(begun.elapsed()).max(REJECTED);
    old.provider.stop(left.min(shared.config.drain)).await;
    slot.set_body(Body::Code);
    if hears_itself(shared, &ordered.maker) {
        shared.exports.hide(shared, slot.id.as_str()).await;
    }
    let failure = match ready(shared, slot, &ordered.maker, &ordered.order, &old, cx).await {
        Ok(new) => {
            put_maker(shared, slot, &ordered.maker);
            return Changed::Done(new.lead(slot).0);
        }
        Err(problem) => refused(slot, &slot.ordered().order.provider_ref, &problem),
    };
    let (maker, order) = (slot.maker.load_full(), slot.served.load_full());
    let order = order.as_ref().unwrap_or(&ordered.order);
    match again(shared, slot, &maker, order, cx).await {
        Ok(again) => Changed::Kept(again.lead(slot).0, failure),
        Err(problem) => {
            slot.way.close();
            Changed::Lost(problem)
        }
    }
}

/// A provider that is ready, and not called yet.
struct Ready {
    links: Links,
    body: Body,
    trial: Arc<Trial>,
}

impl Ready {
    /// Leads calls to it. Returns who served until now.
    fn lead(self, slot: &ProviderSlot) -> (Links, Option<Arc<Serving>>) {
        self.trial.over();
        let before = slot.lead_to(self.links.provider.clone(), self.body);
        (self.links, before)
    }
}

/// Starts a provider and tells it all links. It must be well, and take those that the old one had taken.
async fn ready(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    maker: &Maker,
    order: &Arc<StartProvider>,
    old: &Links,
    cx: &ChildContext,
) -> Result<Ready, Problem> {
    let (new, told) = begun(shared, slot, maker, order, Trial::begun(), cx).await?;
    let against = told.against(old).map(|(key, problem)| match key {
        Some(key) => about_link(problem, &key.source_id),
        None => problem.clone(),
    });
    let unwell = match new.links.provider.health() {
        Health::Healthy => None,
        Health::Unhealthy(problem) => Some(problem),
    };
    match against.or(unwell) {
        Some(problem) => {
            new.links.provider.stop(REJECTED).await;
            Err(problem)
        }
        None => Ok(new),
    }
}

/// Starts the old one again. Whatever it refuses now is shown as always.
async fn again(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    maker: &Maker,
    order: &Arc<StartProvider>,
    cx: &ChildContext,
) -> Result<Ready, Problem> {
    let (old, told) = begun(shared, slot, maker, order, Arc::default(), cx).await?;
    old.links.show(shared, slot, told, cx);
    Ok(old)
}

/// Starts a provider and tells it all links.
async fn begun(
    shared: &Arc<Shared>,
    slot: &Arc<ProviderSlot>,
    maker: &Maker,
    order: &Arc<StartProvider>,
    trial: Arc<Trial>,
    cx: &ChildContext,
) -> Result<(Ready, Told), Problem> {
    let start = start_context(shared, slot, given::settings(shared, order).await?);
    let settings = start.settings.clone();
    let (provider, body) = make(shared, order, maker, start, trial.clone(), cx).await?;
    let mut links = Links::new(provider, settings);
    let tables = shared.tables.borrow().clone();
    let told = links.tell(shared, slot, order, &tables).await;
    Ok((Ready { links, body, trial }, told))
}

fn about_link(problem: &Problem, source: &str) -> Problem {
    let mut problem = problem.clone();
    problem.message = format!("the link of `{source}`: {}", problem.message);
    problem
}

/// The old one stays, and why.
pub(super) fn refused(slot: &ProviderSlot, new: &str, problem: &Problem) -> Problem {
    let message = format!("`{}` was not replaced by `{new}`: {}", slot.id, problem.message);
    let mut refusal = Problem::new(code::SWAP_REFUSED, message).with_help(problem.help.clone());
    refusal = refusal.with_cause(problem.to_string());
    refusal
}

/// How a provider runs, in a word.
pub fn word(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Builtin => "builtin",
        ProviderKind::Process => "process",
        ProviderKind::Component => "component",
    }
}
