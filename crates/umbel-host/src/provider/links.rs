//! What a provider has been told: its links and its config, kept as they are now.

use super::ProviderSlot;
use crate::given;
use crate::shared::Shared;
use crate::tables::Tables;
use std::collections::BTreeMap;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::link::{LinkKey, ResolvedLink};
use umbel_core::settings::{Settings, hide};
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
    settings: Settings,
}

/// What came of telling it.
pub(super) struct Told {
    refused: Vec<(LinkKey, Offer, Problem)>,
    problem: Option<Problem>,
}

impl Links {
    /// A provider that was started with the settings, and knows no links.
    pub(super) fn new(provider: Arc<dyn Provider>, settings: Settings) -> Links {
        Links { provider, known: BTreeMap::new(), settings }
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
        match given::settings(shared, order).await {
            Ok(settings) if settings == self.settings => {}
            Ok(settings) => match self.provider.put_settings(settings.clone()).await {
                Ok(()) => self.settings = settings,
                Err(p) => problem = Some(hide(p, &settings.secrets)),
            },
            Err(p) => problem = Some(p),
        }
        let offer = |link: ResolvedLink| {
            let target = shared.slot(&link.link.target);
            let application = target.and_then(|slot| slot.desired.borrow().application.clone());
            (link.link.key(), Offer { link, application })
        };
        let wanted: BTreeMap<LinkKey, Offer> =
            tables.links_with(slot.id.as_str()).into_iter().map(offer).collect();
        let gone: Vec<LinkKey> = self.known.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        let (wanted, without) = with_secrets(shared, order, wanted).await;
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
        refused.extend(without);
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
                Err(problem) => {
                    let of_link = [&offer.link.source_secrets, &offer.link.target_secrets];
                    let all = of_link.into_iter().chain([&self.settings.secrets]);
                    let problem = all.fold(problem, hide);
                    refused.push((key, offer, problem));
                }
            }
        }
        refused
    }
}

/// The links with the secrets that they name, and those whose secrets cannot be had.
async fn with_secrets(
    shared: &Shared,
    order: &StartProvider,
    offers: BTreeMap<LinkKey, Offer>,
) -> (Vec<(LinkKey, Offer)>, Vec<(LinkKey, Offer, Problem)>) {
    let owner = given::owner_of(order);
    let (mut whole, mut without) = (Vec::new(), Vec::new());
    for (key, mut offer) in offers {
        let link = &offer.link.link;
        let source = given::fetch(shared, &link.source_config, &owner).await;
        let target = given::fetch(shared, &link.target_config, &owner).await;
        match source.and_then(|source| Ok((source, target?))) {
            Ok((source, target)) => {
                (offer.link.source_secrets, offer.link.target_secrets) = (source, target);
                whole.push((key, offer));
            }
            Err(problem) => without.push((key, offer, problem)),
        }
    }
    (whole, without)
}

impl Told {
    /// The refusal of a link that another one has taken, or whatever else keeps it from taking the other's place.
    pub(super) fn against(&self, before: &Links) -> Option<(Option<&LinkKey>, &Problem)> {
        let refused = self.refused.iter().find(|(key, ..)| before.known.contains_key(key));
        let refused = refused.map(|(key, _, problem)| (Some(key), problem));
        refused.or_else(|| self.problem.as_ref().map(|problem| (None, problem)))
    }
}
