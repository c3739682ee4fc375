//! What a provider has been told: its links and its config, kept as they are now.

use super::ProviderSlot;
use crate::shared::Shared;
use crate::tables::Tables;
use std::collections::BTreeMap;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_lattice::control::{PartState, StartProvider};
use umbel_provider::{Health, Provider};
use umbel_supervisor::ChildContext;

/// A link as a provider was told it. The target's application is part of it, because default host names come from there.
#[derive(PartialEq)]
pub(super) struct Offer {
    pub(super) link: ResolvedLink,
    application: Option<String>,
}

/// What a provider has been told.
pub(super) struct Links {
    pub(super) provider: Arc<dyn Provider>,
    known: BTreeMap<LinkKey, Offer>,
    config: Values,
}

/// What came of telling it.
pub(super) struct Told {
    refused: Vec<(LinkKey, Offer, Problem)>,
    problem: Option<Problem>,
}

impl Links {
    /// A provider that was started with the config, and knows no links.
    pub(super) fn new(provider: Arc<dyn Provider>, config: Values) -> Links {
        Links { provider, known: BTreeMap::new(), config }
    }

    /// Tells the provider what differs from what it knows, and shows what came of it. Returns whether something is to be tried again later.
    pub(super) async fn follow(
        &mut self,
        shared: &Shared,
        slot: &ProviderSlot,
        order: &StartProvider,
        tables: &Tables,
        cx: &ChildContext,
    ) -> bool {
        let told = self.tell(shared, slot, order, tables).await;
        self.show(shared, slot, told, cx)
    }

    /// Tells the provider what differs from what it knows.
    pub(super) async fn tell(
        &mut self,
        shared: &Shared,
        slot: &ProviderSlot,
        order: &StartProvider,
        tables: &Tables,
    ) -> Told {
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
        Told { refused, problem }
    }

    /// Shows what came of telling it. Returns whether something is to be tried again later.
    pub(super) fn show(&self, shared: &Shared, slot: &ProviderSlot, told: Told, cx: &ChildContext) -> bool {
        let Told { refused, mut problem } = told;
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
        let is_late = problem.is_some();
        slot.set(state, problem);
        is_late
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

impl Told {
    /// The refusal of a link that another one has taken, or whatever else keeps it from taking the other's place.
    pub(super) fn against(&self, before: &Links) -> Option<(Option<&LinkKey>, &Problem)> {
        let refused = self.refused.iter().find(|(key, ..)| before.known.contains_key(key));
        let refused = refused.map(|(key, _, problem)| (Some(key), problem));
        refused.or_else(|| self.problem.as_ref().map(|problem| (None, problem)))
    }
}
