//! What has to wait: steps that take something away from what serves, while what is to take its place does not run yet.
//!
//! A host accepts an order at once and follows it later: it fetches, compiles, and may fail. Until inventory shows that every
//! part of the new version runs, what the old one has stays as it is; if a part never does, the old ones go on. What waits is
//! planned anew in each round, so nothing has to remember it. Pure.

use crate::desired::{Annotations, Desired, DesiredPart, is_ours};
use crate::plan::{Plan, Step, part_subject};
use crate::status::Failures;
use crate::world::World;
use std::collections::BTreeSet;
use umbel_core::id::HostId;
use umbel_core::link::{Link, LinkKey};
use umbel_lattice::control::{ComponentView, PartState};
use umbel_manifest::{PartKind, Scale};

/// The steps of a plan, parted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parted {
    /// May be done now.
    pub now: Vec<Step>,
    /// Wait for the parts that do not run yet.
    pub later: Vec<Step>,
    /// The names of those parts.
    pub awaited: Vec<String>,
}

/// Parts the steps of a plan into those that may be done now and those that have to wait. No stop waits for a link whose change failed.
pub fn part(desired: &Desired, world: &World, plan: &Plan, failures: &Failures) -> Parted {
    let planned = plan.steps.iter().filter(|step| step.phase() < 3).map(Step::subject).collect();
    let mut holder = Holder { desired, world, plan, failures, planned, awaited: Vec::new() };
    holder.awaited = desired.parts.iter().filter(|part| !holder.is_up(part)).collect();
    let (later, now) = plan.steps.iter().cloned().partition(|step| holder.has_to_wait(step));
    Parted { now, later, awaited: holder.awaited.iter().map(|part| part.name.clone()).collect() }
}

struct Holder<'a> {
    desired: &'a Desired,
    world: &'a World,
    plan: &'a Plan,
    failures: &'a Failures,
    /// Parts that are still to be ordered.
    planned: BTreeSet<String>,
    awaited: Vec<&'a DesiredPart>,
}

impl Holder<'_> {
    fn has_to_wait(&self, step: &Step) -> bool {
        match step {
            Step::PutLink(link) => self.would_turn_away(link),
            Step::DelLink(_) => self.is_incomplete(),
            Step::StopComponent(scale) => {
                let id = scale.component_id.as_str();
                self.is_still_needed(id, PartKind::Component) || self.is_still_asked(id)
            }
            // Not before what it leads to.
            Step::StopProvider(stop) => {
                let mut stops = self.plan.steps.iter().filter(|step| matches!(step, Step::StopComponent(_)));
                self.is_still_needed(stop.provider_id.as_str(), PartKind::Provider)
                    || stops.any(|step| self.has_to_wait(step))
            }
            // Parts and links that were not changed yet may name it.
            Step::DelConfig { .. } => {
                let others = |step: &Step| !matches!(step, Step::DelConfig { .. });
                self.is_incomplete() || self.plan.steps.iter().any(others)
            }
            _ => false,
        }
    }

    fn is_incomplete(&self) -> bool {
        !self.awaited.is_empty() || !self.desired.missing.is_empty()
    }

    /// Of a part that is wanted elsewhere, or not at all, only its own new places matter; one that the version does not have any
    /// more may be replaced by any of its parts.
    fn is_still_needed(&self, id: &str, kind: PartKind) -> bool {
        match self.desired.parts.iter().find(|part| part.id == id && part.kind == kind) {
            Some(part) => self.awaits(&part.id),
            None => self.is_incomplete(),
        }
    }

    /// Whether the link exists and serves as it is, and what it is to become is not there yet.
    fn would_turn_away(&self, link: &Link) -> bool {
        let Some(old) = self.existing(&link.key()) else { return false };
        let of_old_source = self.awaits(&link.source_id) && self.serves(&link.source_id);
        of_old_source || (self.awaits(&link.target) && self.serves(&old.target))
    }

    /// Whether a link leads there that is about to change, or a provider has not followed such a change yet: it would go on sending
    /// calls to what has stopped.
    fn is_still_asked(&self, id: &str) -> bool {
        let changed = |step: &Step| match step {
            Step::PutLink(link) => Some(link.key()),
            Step::DelLink(key) => Some(key.clone()),
            _ => None,
        };
        let leads_there = |key: LinkKey| self.existing(&key).is_some_and(|link| link.target == id);
        let steps = self.plan.steps.iter().filter(|step| !self.failures.contains_key(&step.subject()));
        steps.filter_map(changed).any(leads_there) || self.is_still_shown(id)
    }

    /// Whether a provider serves the component at an address, and has no link to it any more.
    fn is_still_shown(&self, id: &str) -> bool {
        let Some(links) = &self.world.links else { return false };
        let providers = self.world.hosts.values().flat_map(|inventory| &inventory.providers);
        providers
            .filter(|view| view.endpoints.iter().any(|endpoint| endpoint.component == id))
            .any(|view| !links.iter().any(|link| link.source_id == view.id.as_str() && link.target == id))
    }

    fn existing(&self, key: &LinkKey) -> Option<&Link> {
        self.world.links.as_ref()?.iter().find(|link| link.key() == *key)
    }

    fn awaits(&self, id: &str) -> bool {
        self.awaited.iter().any(|part| part.id == id)
    }

    /// Whether something runs under the id, of whatever version.
    fn serves(&self, id: &str) -> bool {
        self.world.hosts.values().any(|inventory| {
            inventory.component(id).is_some_and(|view| is_up(view.state))
                || inventory.provider(id).is_some_and(|view| is_up(view.state))
        })
    }

    /// Whether the part runs wherever it is to run, as its newest order says.
    fn is_up(&self, part: &DesiredPart) -> bool {
        let places = self.plan.placements.get(&part.id);
        let none_wanted =
            matches!(part.scale, Scale::Spread { instances: 0, .. } | Scale::Daemon { instances: 0, .. });
        match places {
            Some(places) if !places.is_empty() => places.keys().all(|host| self.is_up_on(part, host)),
            _ => none_wanted,
        }
    }

    fn is_up_on(&self, part: &DesiredPart, host: &HostId) -> bool {
        let Some(inventory) = self.world.hosts.get(host) else { return false };
        if self.planned.contains(&part_subject(host, &part.id)) {
            return false;
        }
        match part.kind {
            PartKind::Component => {
                let view = inventory.component(&part.id);
                view.is_some_and(|view| self.is_ours(&view.annotations) && is_up(view.state) && follows(view))
            }
            // The problem of a provider that runs is a link that it does not take: changing that link may be the cure.
            PartKind::Provider => {
                let view = inventory.provider(&part.id);
                view.is_some_and(|view| {
                    self.is_ours(&view.annotations) && is_up(view.state) && !view.is_moving
                })
            }
        }
    }

    fn is_ours(&self, annotations: &Option<Annotations>) -> bool {
        is_ours(annotations.as_ref(), &self.desired.name)
    }
}

/// Whether what runs is what was ordered last. Hosts of wasmCloud 1.x do not tell, and start before they answer.
fn follows(view: &ComponentView) -> bool {
    let is_newest = view.generation_serving.is_none_or(|serving| Some(serving) == view.generation);
    view.state != PartState::Running || (view.problem.is_none() && is_newest)
}

fn is_up(state: PartState) -> bool {
    matches!(state, PartState::Running | PartState::Completed | PartState::Unknown)
}
