//! The task that runs one provider: starts it, keeps its links current, has another take its place, stops it.

use super::links::Links;
use super::swap::{self, Changed};
use super::{BRANCH, Body, Maker, Ordered, ProviderSlot, told, way};
use crate::logs::Trial;
use crate::shared::{COALESCE, HostTargets, Shared};
use crate::{component_provider, given, process};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::event::Fact;
use umbel_core::settings::{Settings, hide};
use umbel_lattice::control::{PartState, ProviderKind, StartProvider};
use umbel_provider::{Provider, StartContext};
use umbel_supervisor::{ChildContext, ChildSpec, Intensity, Restart};

/// How soon a link that a provider did not take is offered again.
const RETRY: Duration = Duration::from_secs(5);

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
    let mut secrets = shared.given.changes();
    shared.caught_up().await;
    let mut links = start(&shared, &slot, &cx).await?;
    let mut turn = slot.moved.borrow().0;
    let mut is_told = false;
    loop {
        // Noted as seen before it is looked at: what changes meanwhile is followed by the next round.
        parts.borrow_and_update();
        secrets.borrow_and_update();
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
        if slot.not_moved().is_none() {
            // What is followed without a change of what runs, such as another config, is part of what goes on.
            slot.served.store(Some(wanted.order.clone()));
        }
        if let Some(component) = slot.component() {
            component.is_ordered(&shared, &slot.runs());
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
                changed = secrets.changed() => changed.is_ok(),
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
    leave(&shared, &slot, &links).await;
    Ok(())
}

/// Ends the provider, because it was asked to stop.
async fn leave(shared: &Arc<Shared>, slot: &ProviderSlot, links: &Links) {
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
    slot.set_body(Body::Code);
    slot.set(PartState::Stopped, by_hand.then(|| way::stopped(&slot.id)));
    shared.tell(&Fact::ProviderStopped(told::stopped(shared, slot, "stop"))).await;
}

/// What the provider is started as.
struct Begun {
    wanted: Ordered,
    order: Arc<StartProvider>,
    settings: Settings,
    // Whether that is what ran before, because what is ordered has failed beside it.
    is_kept: bool,
}

/// What is to be started, with all that it is to be told: what is missing of that is waited for, and shown meanwhile.
async fn begin(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>, cx: &ChildContext) -> Result<Begun, Problem> {
    let (mut given, mut tables) = (shared.given.changes(), shared.tables.subscribe());
    let mut ordered = slot.ordered.subscribe();
    loop {
        given.borrow_and_update();
        tables.borrow_and_update();
        let wanted = ordered.borrow_and_update().clone();
        // What is ordered has failed beside what ran: that is what is started again.
        let kept = slot.served.load_full().filter(|_| slot.not_moved().is_some());
        let (is_kept, order) = (kept.is_some(), kept.unwrap_or_else(|| wanted.order.clone()));
        match given::settings(shared, &order).await {
            Ok(settings) => return Ok(Begun { wanted, order, settings, is_kept }),
            Err(problem) => {
                slot.set(PartState::Starting, Some(problem));
                shared.parts_changed();
            }
        }
        tokio::select! {
            _ = given.changed() => {}
            _ = tables.changed() => {}
            _ = ordered.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
            () = cx.stop.requested() => return Err(stopped()),
        }
    }
}

fn stopped() -> Problem {
    Problem::new(umbel_core::code::host::PROVIDER_EXITED, "it was stopped while it started")
}

/// Starts the provider and leads calls to it.
async fn start(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>, cx: &ChildContext) -> Result<Links, Problem> {
    let Begun { wanted, order, settings, is_kept } = begin(shared, slot, cx).await?;
    if !is_kept {
        put_maker(shared, slot, &wanted.maker);
    }
    let maker = slot.maker();
    let context = start_context(shared, slot, settings);
    match make(shared, &order, &maker, context.clone(), Arc::default(), cx).await {
        Ok((provider, body)) => {
            slot.lead_to(provider.clone(), body);
            if !is_kept {
                slot.served.store(Some(wanted.order));
                slot.moved.send_replace((wanted.turn, None));
            }
            Ok(Links::new(provider, context.settings))
        }
        Err(problem) => {
            slot.way.close();
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

/// Notes what makes what runs from now on. Restarts of what another made are not those of this one.
pub(super) fn put_maker(shared: &Shared, slot: &ProviderSlot, maker: &Arc<Maker>) {
    if !slot.maker.load().is(maker) {
        let tree = shared.root().map(|root| root.tree());
        let node = tree.as_ref().and_then(|tree| tree.find(&[BRANCH, slot.id.as_str()]));
        slot.restarts_before.store(node.map_or(0, |node| node.restarts), Relaxed);
    }
    slot.maker.store(maker.clone());
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

/// A provider, and what it is besides.
pub(super) type Made = (Arc<dyn Provider>, Body);

/// Makes a provider.
pub(super) async fn make(
    shared: &Arc<Shared>,
    order: &Arc<StartProvider>,
    maker: &Maker,
    start: Start,
    trial: Arc<Trial>,
    cx: &ChildContext,
) -> Result<Made, Problem> {
    let Start { context, settings } = start;
    let secrets = settings.secrets.clone();
    let made = async {
        if maker.kind() != ProviderKind::Process {
            process::forgo(shared, &order.provider_id).await?;
        }
        Ok::<Made, Problem>(match maker {
            Maker::Builtin(factory) => (factory.start(context).await?, Body::Code),
            Maker::Process(plan, _) => {
                let application = order.application.clone();
                let process =
                    Arc::new(process::start(shared, plan, application, (context, settings), trial).await?);
                (process.clone(), Body::Process(process))
            }
            Maker::Component(plan) => {
                let folder = context.folder;
                let component = component_provider::start(shared, plan, order.clone(), folder, trial).await?;
                let component = Arc::new(component);
                (component.clone(), Body::Component(component))
            }
        })
    };
    tokio::select! {
        made = made => made.map_err(|problem| hide(problem, &secrets)),
        () = cx.stop.requested() => Err(stopped()),
    }
}

/// The provider has ended by itself: whoever calls it is told so until it runs again.
async fn lost(shared: &Arc<Shared>, slot: &ProviderSlot, problem: &Problem) {
    slot.way.close();
    slot.set_body(Body::Code);
    slot.offered().clear();
    slot.set(PartState::Failed, Some(problem.clone()));
    shared.parts_changed();
    shared.tell(&Fact::ProviderStopped(told::stopped(shared, slot, &problem.to_string()))).await;
}

/// What a provider is started with.
#[derive(Clone)]
pub(super) struct Start {
    context: StartContext,
    pub(super) settings: Settings,
}

pub(super) fn start_context(shared: &Arc<Shared>, slot: &Arc<ProviderSlot>, settings: Settings) -> Start {
    let context = StartContext {
        id: slot.id.clone(),
        config: settings.all(),
        secrets: settings.secrets.clone(),
        targets: Arc::new(HostTargets { shared: shared.clone(), provider: slot.clone() }),
        folder: shared.state.join("providers").join(slot.id.as_str()),
    };
    Start { context, settings }
}
