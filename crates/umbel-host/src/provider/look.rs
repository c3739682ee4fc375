//! What putting another provider in the place of one would do. A swap looks first as well: what a look finds in the way is what the swap fails
//! with.

use super::swap::{Manner, Why, manner, refused, word};
use super::{Maker, ProviderSlot, way};
use crate::door;
use crate::explain::compare;
use crate::shared::Shared;
use crate::{component_provider, process};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::{guest, host as code};
use umbel_core::link::Link;
use umbel_lattice::control::StartProvider;
use umbel_lattice::extension::provider::{Made, SwapLink, SwapView};
use umbel_runtime::Image;

/// What putting a provider of the maker in its place would do.
pub(super) async fn look(
    shared: &Arc<Shared>,
    slot: &ProviderSlot,
    order: &StartProvider,
    maker: &Maker,
) -> SwapView {
    let old = slot.maker();
    let manner = manner(shared, slot, &old, maker);
    let mut in_the_way = in_the_way(slot, &old, manner);
    let mut new = New { order, maker, image: None };
    if in_the_way.is_none() {
        match inside(shared, maker).await {
            Ok(image) => new.image = image,
            Err(problem) => in_the_way = Some(refused(slot, &order.provider_ref, &problem)),
        }
    }
    let tables = shared.tables.borrow().clone();
    let resolved = tables.links_with(slot.id.as_str());
    let links: Vec<SwapLink> =
        resolved.into_iter().map(|resolved| moves(shared, slot, resolved.link, &new)).collect();
    let in_the_way = in_the_way.or_else(|| links.iter().find_map(|link| link.problem.clone()));
    SwapView {
        provider: slot.id.clone(),
        from: Made { kind: old.kind(), reference: slot.runs().provider_ref.clone() },
        to: Made { kind: maker.kind(), reference: order.provider_ref.clone() },
        beside: manner == Manner::Beside,
        notes: notes(maker, manner, &links),
        links,
        config: tables.merged(&order.config).into_keys().collect(),
        problem: in_the_way,
    }
}

/// What is in the way whatever the new one is like.
fn in_the_way(slot: &ProviderSlot, old: &Maker, manner: Manner) -> Option<Problem> {
    if slot.hand.load().as_ref().is_some_and(|hand| hand.is_stopped) {
        return Some(way::stopped(&slot.id));
    }
    (manner == Manner::InTurn(Why::Same)).then(|| {
        let runs = slot.runs();
        let message = format!("`{}` is `{}` ({}) already", slot.id, runs.provider_ref, word(old.kind()));
        let help = format!("`umbel provider restart {}` starts it anew", slot.id);
        Problem::new(code::SWAP_REFUSED, message).with_help(help)
    })
}

/// Looks into what it would run, as far as that goes without running it. Of a component, what that is.
async fn inside(shared: &Arc<Shared>, maker: &Maker) -> Result<Option<Arc<Image>>, Problem> {
    match maker {
        Maker::Builtin(_) => Ok(None),
        Maker::Process(plan, _) => process::prepare(shared, plan).await.map(|()| None),
        Maker::Component(plan) => component_provider::prepare(shared, plan).await.map(Some),
    }
}

/// What is to take the place.
struct New<'a> {
    order: &'a StartProvider,
    maker: &'a Maker,
    /// Of a component, what it is; nothing if that cannot be known.
    image: Option<Arc<Image>>,
}

fn notes(new: &Maker, manner: Manner, links: &[SwapLink]) -> Vec<String> {
    let mut notes = Vec::new();
    match manner {
        Manner::Beside => {
            notes.push("calls go to the new one when it is ready; the old one ends when it is idle".into());
        }
        Manner::InTurn(Why::SameData) => notes.push(
            "both open the same data, which only one can: calls wait while the old one ends and the new one starts".into(),
        ),
        Manner::InTurn(Why::BringsCalls) => notes.push(
            "it brings calls to components, which must not come twice: the old one ends before the new one starts".into(),
        ),
        Manner::InTurn(Why::HearsItself) => notes.push(
            "one of them may hear its calls on the lattice itself, where both would hear them: the old one ends before the new one starts".into(),
        ),
        Manner::InTurn(Why::Same) => {}
    }
    if manner != Manner::InTurn(Why::SameData) {
        notes.push("data is not copied: the new one serves what it finds in its own store".into());
    }
    if new.factory().is_none() && links.iter().any(|link| !link.is_compared) {
        notes.push(
            "what the new one serves is known when it runs; if it refuses a link, the old one stays".into(),
        );
    }
    notes
}

/// Whether the link can go to the new one.
fn moves(shared: &Shared, slot: &ProviderSlot, link: Link, new: &New<'_>) -> SwapLink {
    let (problem, is_compared) = match fits(shared, slot, &link, new) {
        Ok(is_compared) => (None, is_compared),
        Err(problem) => (Some(problem), false),
    };
    SwapLink { link, problem, is_compared }
}

fn fits(shared: &Shared, slot: &ProviderSlot, link: &Link, new: &New<'_>) -> Result<bool, Problem> {
    let New { order, maker, image } = new;
    if let Some(image) = image {
        return component_fits(shared, slot, link, order, image);
    }
    let Some(factory) = maker.factory() else { return Ok(false) };
    let contract = &link.contract;
    let names =
        contract.interfaces.iter().map(|name| format!("{}:{}/{name}", contract.namespace, contract.package));
    if link.source_id == slot.id.as_str() {
        // What it calls of the component.
        let has = |name: &String| factory.contracts().iter().any(|contract| contract.covers(name));
        return match names.clone().find(|name| !has(name)) {
            Some(name) => Err(mismatch(format!("`{}` brings no calls of `{name}`", order.provider_ref))),
            None => Ok(true),
        };
    }
    if let Some(name) = names.clone().find(|name| !maker.serves(name)) {
        return Err(mismatch(format!(
            "`{}` does not serve `{name}`, which {} is linked for",
            order.provider_ref, link.source_id
        )));
    }
    let importer = shared.slot(&link.source_id).and_then(|slot| slot.current.load_full());
    let Some(importer) = importer else { return Ok(false) };
    let image = importer.component.image();
    let served = shared.contracts.of(&**factory);
    let server = format!("`{}`", order.provider_ref);
    let mut is_compared = true;
    for import in image.needs_link().iter().filter(|import| contract.covers(import)) {
        let Some(wanted) = image.imported(import) else { continue };
        is_compared &= compare((&link.source_id, import, wanted), (&server, &served))?;
    }
    Ok(is_compared)
}

fn mismatch(text: String) -> Problem {
    Problem::new(guest::CONTRACT_MISMATCH, text)
        .with_help("choose a provider of the same contract: `umbel explain capabilities`")
}

/// The same for a component: what it exports is known, and calls nobody by itself.
fn component_fits(
    shared: &Shared,
    slot: &ProviderSlot,
    link: &Link,
    order: &StartProvider,
    image: &Image,
) -> Result<bool, Problem> {
    let contract = &link.contract;
    if link.source_id == slot.id.as_str() {
        // A link of the old one that this one does not need does no harm.
        return Ok(false);
    }
    if !image.contracts().any(|(export, _)| contract.covers(&export.to_string())) {
        let exports = image.exports().join(", ");
        let text = format!("`{}` is to serve `{contract}`, and exports {exports}", order.provider_ref);
        return Err(mismatch(text));
    }
    let Some(importer) = shared.image_of(&link.source_id) else { return Ok(false) };
    let (wants, has) = ((link.source_id.as_str(), &*importer), (order.provider_ref.as_str(), image));
    door::mismatch(wants, has, |name| contract.covers(name)).map_or(Ok(true), Err)
}
