//! What to do: a pure function from what an application wants and what is there to steps.
//!
//! Doing the steps and planning again gives no steps. Only what carries the application's annotation, or is in its record of
//! what it made, is ever changed or taken away.
//!
//! ```text
//! PutConfig ▶ StartProvider ▶ Start/Scale/UpdateComponent ▶ PutLink ▶ DelLink ▶ StopComponent ▶ StopProvider ▶ DelConfig
//! ```
//!
//! Which of them have to wait until others have had their effect is decided by [`crate::hold`].

use crate::desired::{Annotations, Desired, DesiredPart, is_ours};
use crate::place::{Placement, Site, beside, place};
use crate::store::Owned;
use crate::world::{HostView, World};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::host::SWAP_REFUSED;
use umbel_core::code::manager as code;
use umbel_core::id::{AppName, ComponentId, HostId, ProviderId};
use umbel_core::link::{Distance, Link, LinkKey, Values};
use umbel_lattice::control::{PartState, Scale, StartProvider, StopProvider};
use umbel_manifest::{PartKind, Scale as Scaling};

/// One thing to do. Doing it twice is the same as doing it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Makes or changes a config.
    PutConfig {
        /// Its name.
        name: String,
        /// Its values.
        values: Values,
    },
    /// Starts a provider.
    StartProvider(StartProvider),
    /// Gives a provider another config, image or annotations. It serves all the while, unless the host says that it cannot.
    ChangeProvider(StartProvider),
    /// Tells a provider that is as wanted already that it is part of the newest deploy: what is changed of it by hand from then on was
    /// changed after that.
    RenewProvider(StartProvider),
    /// Changes one on hosts that cannot change a provider: it is stopped and started anew.
    ReplaceProvider(StartProvider),
    /// Starts a component.
    StartComponent(Scale),
    /// Changes the number of a component's instances.
    ScaleComponent(Scale),
    /// Replaces a component by one of another image, config or budget: new instances first, then the old ones drain.
    UpdateComponent(Scale),
    /// Makes or changes a link.
    PutLink(Link),
    /// Takes a link away.
    DelLink(LinkKey),
    /// Stops a component.
    StopComponent(Scale),
    /// Stops a provider.
    StopProvider(StopProvider),
    /// Takes a config away.
    DelConfig {
        /// Its name.
        name: String,
    },
}

impl Step {
    /// When it is done: all steps of one phase before those of the next.
    pub fn phase(&self) -> u8 {
        match self {
            Step::PutConfig { .. } => 0,
            Step::StartProvider(_)
            | Step::ChangeProvider(_)
            | Step::RenewProvider(_)
            | Step::ReplaceProvider(_) => 1,
            Step::StartComponent(_) | Step::ScaleComponent(_) | Step::UpdateComponent(_) => 2,
            Step::PutLink(_) => 3,
            Step::DelLink(_) => 4,
            Step::StopComponent(_) => 5,
            Step::StopProvider(_) => 6,
            Step::DelConfig { .. } => 7,
        }
    }

    /// What it is about; two steps about the same thing are about its present and its future.
    pub fn subject(&self) -> String {
        match self {
            Step::PutConfig { name, .. } | Step::DelConfig { name } => config_subject(name),
            Step::StartProvider(start) | Step::ChangeProvider(start) | Step::ReplaceProvider(start) => {
                part_subject(&start.host_id, start.provider_id.as_str())
            }
            // Nothing waits for it: what is about the provider itself is another step's.
            Step::RenewProvider(start) => format!("deploy of {} on {}", start.provider_id, start.host_id),
            Step::StopProvider(stop) => part_subject(&stop.host_id, stop.provider_id.as_str()),
            Step::StartComponent(scale)
            | Step::ScaleComponent(scale)
            | Step::UpdateComponent(scale)
            | Step::StopComponent(scale) => part_subject(&scale.host_id, scale.component_id.as_str()),
            Step::PutLink(link) => link_subject(&link.key()),
            Step::DelLink(key) => link_subject(key),
        }
    }

    /// The id of the component or provider that it starts or stops.
    pub fn part_id(&self) -> Option<&str> {
        match self {
            Step::StartProvider(start) | Step::ChangeProvider(start) | Step::ReplaceProvider(start) => {
                Some(start.provider_id.as_str())
            }
            Step::StopProvider(stop) => Some(stop.provider_id.as_str()),
            Step::StartComponent(scale)
            | Step::ScaleComponent(scale)
            | Step::UpdateComponent(scale)
            | Step::StopComponent(scale) => Some(scale.component_id.as_str()),
            _ => None,
        }
    }
}

/// The subject of steps about a part on a host.
pub fn part_subject(host: &HostId, id: &str) -> String {
    format!("part {id} on {host}")
}

/// The subject of steps about a link.
pub fn link_subject(key: &LinkKey) -> String {
    format!("link {} {}:{} of {}", key.name, key.wit_namespace, key.wit_package, key.source_id)
}

/// The subject of steps about a config.
pub fn config_subject(name: &str) -> String {
    format!("config {name}")
}

/// What to do, and what cannot be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In the order in which they are done.
    pub steps: Vec<Step>,
    /// What stands in the way, by the name of a part, or the subject of a link or config.
    pub problems: BTreeMap<String, Problem>,
    /// Where each part is to be, by its id.
    pub placements: BTreeMap<String, Placement>,
    /// What must be recorded as the application's own before the steps are done.
    pub owned: Owned,
}

/// Plans one application.
pub fn plan(desired: &Desired, world: &World) -> Plan {
    let mut planner = Planner { desired, world, plan: Plan::default() };
    for (name, problem) in &desired.missing {
        planner.plan.problems.insert(name.clone(), problem.clone());
    }
    planner.configs();
    planner.parts();
    planner.surplus_parts();
    planner.links();
    let mut plan = planner.plan;
    plan.steps.sort_by_cached_key(|step| (step.phase(), step.subject()));
    plan
}

struct Planner<'a> {
    desired: &'a Desired,
    world: &'a World,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn configs(&mut self) {
        for (name, values) in &self.desired.configs {
            let is_owned = self.desired.owned.configs.contains(name);
            match self.world.configs.get(name) {
                None if is_owned => drop(self.plan.owned.configs.insert(name.clone())),
                None => {}
                Some(Some(found)) if !is_owned && found != values => {
                    let message = format!("the config `{name}` exists with other values");
                    let problem = Problem::new(code::CONFIG_TAKEN, message);
                    self.plan.problems.insert(config_subject(name), problem);
                }
                Some(Some(_)) if !is_owned => {}
                Some(found) => {
                    self.plan.owned.configs.insert(name.clone());
                    if found.as_ref() != Some(values) {
                        self.plan.steps.push(Step::PutConfig { name: name.clone(), values: values.clone() });
                    }
                }
            }
        }
        let made = self.desired.owned.configs.iter();
        for name in made.filter(|name| !self.desired.configs.contains_key(*name)) {
            if !matches!(self.world.configs.get(name), Some(None)) {
                self.plan.owned.configs.insert(name.clone());
                self.plan.steps.push(Step::DelConfig { name: name.clone() });
            }
        }
    }

    fn parts(&mut self) {
        let mut crowd = Crowd::of(self.world, &self.desired.name);
        let parts: Vec<&DesiredPart> = self.in_order();
        for part in parts {
            let sites = self.sites(part, &crowd);
            let beside = self.importers_here(part).filter(|_| part.scale == Scaling::Single);
            let (placement, unmatched) = match beside {
                Some(hosts) => (beside_of(part, &hosts), Vec::new()),
                None => place(&part.id, part.kind, &part.scale, part.limits.as_ref(), &sites),
            };
            self.check_placed(part, &unmatched);
            for (host, count) in &placement {
                if !sites.get(host).is_some_and(|site| site.has_part) {
                    crowd.add(host);
                }
                match part.kind {
                    PartKind::Component => self.component(part, host, *count),
                    PartKind::Provider => self.provider(part, host),
                }
            }
            self.plan.placements.insert(part.id.clone(), placement);
        }
        self.check_together();
    }

    /// Parts that others have local links to come after those, whose hosts are theirs.
    fn in_order(&self) -> Vec<&'a DesiredPart> {
        let desired = self.desired;
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        let (mut order, mut left): (Vec<&DesiredPart>, Vec<&DesiredPart>) =
            (Vec::new(), desired.parts.iter().collect());
        while !left.is_empty() {
            let waits = |part: &&DesiredPart| {
                let mut importers = importers(desired, part);
                part.scale == Scaling::Single && importers.any(|importer| !placed.contains(importer))
            };
            let (later, mut now): (Vec<&DesiredPart>, Vec<&DesiredPart>) =
                left.iter().partition(|part| waits(part));
            let mut later = later;
            if now.is_empty() {
                // They wait for one another in a circle: somewhere it begins.
                now.push(later.remove(0));
            }
            placed.extend(now.iter().map(|part| part.id.as_str()));
            order.append(&mut now);
            left = later;
        }
        order
    }

    /// The hosts of what has a local link to the part, if anything has.
    fn importers_here(&self, part: &DesiredPart) -> Option<BTreeSet<HostId>> {
        let mut importers = importers(self.desired, part).peekable();
        importers.peek()?;
        let hosts = importers.filter_map(|importer| self.plan.placements.get(importer)).flatten();
        let hosts: BTreeSet<HostId> = hosts.map(|(host, _)| host.clone()).collect();
        // In a circle nobody is placed yet.
        (!hosts.is_empty()).then_some(hosts)
    }

    fn check_placed(&mut self, part: &DesiredPart, unmatched: &[&str]) {
        let problem = if self.world.hosts.is_empty() {
            Problem::new(code::NO_HOST, format!("no host answers that could run `{}`", part.name))
        } else if !unmatched.is_empty() {
            let message =
                format!("no host has the labels of `{}` for `{}`", unmatched.join("`, `"), part.name);
            Problem::new(code::NO_HOST_MATCHES, message)
        } else {
            return;
        };
        self.plan.problems.insert(part.name.clone(), problem);
    }

    /// Local links whose ends are not together.
    fn check_together(&mut self) {
        for part in &self.desired.parts {
            let Some(placement) = self.plan.placements.get(&part.id) else { continue };
            if let Some(importer) = self.torn_apart(part, placement) {
                let message = format!(
                    "`{importer}` has a local link to `{}`, which its scaler does not put on every host of `{importer}`",
                    part.name
                );
                let problem = Problem::new(code::LOCAL_LINK_APART, message);
                self.plan.problems.entry(part.name.clone()).or_insert(problem);
            }
        }
    }

    /// Who has a local link to the part, and is on a host where the part is not.
    fn torn_apart(&self, part: &DesiredPart, placement: &Placement) -> Option<&'a str> {
        importers(self.desired, part).find(|importer| {
            let hosts = self.plan.placements.get(*importer);
            hosts.is_some_and(|hosts| hosts.keys().any(|host| !placement.contains_key(host)))
        })
    }

    fn sites(&self, part: &DesiredPart, crowd: &Crowd) -> BTreeMap<HostId, Site> {
        let site = |(host, inventory): (&HostId, &Arc<HostView>)| {
            let annotations = match part.kind {
                PartKind::Component => inventory.component(&part.id).map(|view| view.annotations.as_ref()),
                PartKind::Provider => inventory.provider(&part.id).map(|view| view.annotations.as_ref()),
            };
            let has_part = annotations.is_some_and(|found| is_ours(found, &self.desired.name));
            let (load, kin) = crowd.on(host);
            (host.clone(), Site { labels: inventory.labels.clone(), load, has_part, kin })
        };
        self.world.hosts.iter().map(site).collect()
    }

    fn component(&mut self, part: &DesiredPart, host: &HostId, count: u32) {
        let Ok(id) = ComponentId::new(&part.id) else { return };
        let mut scale = Scale::new(host.clone(), id, part.reference.clone(), count);
        scale.config = part.config.clone();
        scale.allow_update = true;
        scale.annotations = Some(part.annotations.clone());
        scale.limits = part.limits.clone();
        scale.instance_mode = part.instance;
        scale.grants = part.grants.clone();
        scale.restart = part.restart;
        scale.digest = part.digest.clone();
        scale.generation = Some(self.desired.generation);
        scale.application = Some(self.desired.name.to_string());
        let found = self.world.hosts[host].component(&part.id);
        let Some(view) = found else {
            self.plan.steps.push(Step::StartComponent(scale));
            return;
        };
        if !is_ours(view.annotations.as_ref(), &self.desired.name) {
            self.id_taken(part, host);
            return;
        }
        let is_as_wanted = view.annotations.as_ref() == Some(&part.annotations)
            && view.image_ref == part.reference
            && (view.digest.is_none() || part.digest.is_none() || view.digest == part.digest);
        if !is_as_wanted || self.is_to_be_retried(view.state, view.generation) {
            self.plan.steps.push(Step::UpdateComponent(scale));
        } else if view.max_instances != count {
            self.plan.steps.push(Step::ScaleComponent(scale));
        }
    }

    fn provider(&mut self, part: &DesiredPart, host: &HostId) {
        let Ok(id) = ProviderId::new(&part.id) else { return };
        let mut start = StartProvider::new(host.clone(), id, part.reference.clone());
        start.config = part.config.clone();
        start.annotations = Some(part.annotations.clone());
        start.generation = Some(self.desired.generation);
        start.application = Some(self.desired.name.to_string());
        start.isolation = part.isolation;
        start.limits = part.limits.clone();
        start.grants = part.grants.clone();
        start.containment = part.containment;
        start.digest = part.digest.clone();
        let found = self.world.hosts[host].provider(&part.id);
        let Some(view) = found else {
            self.plan.steps.push(Step::StartProvider(start));
            return;
        };
        if !is_ours(view.annotations.as_ref(), &self.desired.name) {
            self.id_taken(part, host);
            return;
        }
        // The reference that hosts of wasmCloud 1.x show may have lost its scheme; our annotation tells whether it changed.
        let is_as_wanted = view.annotations.as_ref() == Some(&part.annotations);
        // What was changed by hand holds until a deploy.
        let is_newer = view.generation.is_some_and(|generation| generation < self.desired.generation);
        let is_undone = view.by_hand.is_some() && is_newer;
        // It runs, and is not what was ordered.
        let is_refused =
            is_newer && view.problem.as_ref().is_some_and(|problem| problem.code == SWAP_REFUSED);
        if !is_as_wanted || is_undone || is_refused || self.is_to_be_retried(view.state, view.generation) {
            // Hosts of wasmCloud 1.x tell no generation, and take a start of what runs for done.
            let can_change = view.generation.is_some();
            let step = if can_change { Step::ChangeProvider } else { Step::ReplaceProvider };
            self.plan.steps.push(step(start));
        } else if is_newer {
            self.plan.steps.push(Step::RenewProvider(start));
        }
    }

    /// A deploy is a reason to try again what had failed before it.
    fn is_to_be_retried(&self, state: PartState, generation: Option<u64>) -> bool {
        matches!(state, PartState::Failed | PartState::CrashLoop)
            && generation.is_some_and(|generation| generation < self.desired.generation)
    }

    fn id_taken(&mut self, part: &DesiredPart, host: &HostId) {
        let message = format!("something else runs on {host} as `{}`, the id of `{}`", part.id, part.name);
        self.plan.problems.insert(part.name.clone(), Problem::new(code::ID_TAKEN, message));
    }

    /// Stops what is ours and has no place any more.
    fn surplus_parts(&mut self) {
        let name = &self.desired.name;
        let ours = |annotations: Option<&Annotations>| is_ours(annotations, name);
        let mut steps = Vec::new();
        let wanted: HashSet<_> =
            self.desired.parts.iter().map(|part| (part.id.as_str(), part.kind)).collect();
        for (host, inventory) in self.world.hosts.iter() {
            let is_wanted = |id: &str, kind: PartKind| {
                wanted.contains(&(id, kind))
                    && self.plan.placements.get(id).is_some_and(|placement| placement.contains_key(host))
            };
            for view in inventory.components.iter().filter(|view| ours(view.annotations.as_ref())) {
                if !is_wanted(view.id.as_str(), PartKind::Component) {
                    let mut scale = Scale::new(host.clone(), view.id.clone(), view.image_ref.clone(), 0);
                    scale.annotations = view.annotations.clone();
                    scale.generation = Some(self.desired.generation);
                    scale.application = Some(name.to_string());
                    steps.push(Step::StopComponent(scale));
                }
            }
            for view in inventory.providers.iter().filter(|view| ours(view.annotations.as_ref())) {
                if !is_wanted(view.id.as_str(), PartKind::Provider) {
                    let stop = StopProvider {
                        host_id: host.clone(),
                        provider_id: view.id.clone(),
                        generation: Some(self.desired.generation),
                    };
                    steps.push(Step::StopProvider(stop));
                }
            }
        }
        self.plan.steps.extend(steps);
    }

    fn links(&mut self) {
        let Some(links) = &self.world.links else {
            self.plan.owned.links.clone_from(&self.desired.owned.links);
            return;
        };
        if self.desired.links.is_empty() && self.desired.owned.links.is_empty() {
            return;
        }
        let found: BTreeMap<LinkKey, &Link> = links.iter().map(|link| (link.key(), link)).collect();
        let mut wanted: BTreeMap<LinkKey, &Link> = BTreeMap::new();
        for link in &self.desired.links {
            let key = link.key();
            let is_owned = self.desired.owned.links.contains(&key);
            match found.get(&key) {
                Some(there) if !is_owned && *there != link => {
                    let message = format!("another link is in the way: it goes to `{}`", there.target);
                    let problem = Problem::new(code::LINK_TAKEN, message);
                    self.plan.problems.insert(link_subject(&key), problem);
                }
                Some(_) if !is_owned => {}
                there => {
                    if there.copied() != Some(link) {
                        self.plan.steps.push(Step::PutLink(link.clone()));
                    }
                    self.plan.owned.links.insert(key.clone());
                }
            }
            wanted.insert(key, link);
        }
        for key in self.desired.owned.links.iter().filter(|key| !wanted.contains_key(*key)) {
            if found.contains_key(key) {
                self.plan.owned.links.insert(key.clone());
                self.plan.steps.push(Step::DelLink(key.clone()));
            }
        }
    }
}

/// Who has a local link to the part.
fn importers<'d>(desired: &'d Desired, part: &DesiredPart) -> impl Iterator<Item = &'d str> {
    let id = part.id.clone();
    let is_local =
        move |link: &&Link| link.distance == Distance::Local && link.target == id && link.source_id != id;
    let known = |source: &&str| desired.parts.iter().any(|part| part.id == *source);
    desired.links.iter().filter(is_local).map(|link| link.source_id.as_str()).filter(known)
}

fn beside_of(part: &DesiredPart, hosts: &BTreeSet<HostId>) -> Placement {
    beside(part.kind, part.limits.as_ref(), hosts)
}

/// How many parts are on each host: of all applications, and of this one.
struct Crowd(BTreeMap<HostId, (usize, usize)>);

impl Crowd {
    fn of(world: &World, name: &AppName) -> Crowd {
        let ours = |annotations: Option<&Annotations>| usize::from(is_ours(annotations, name));
        let on = |inventory: &HostView| {
            let components = inventory.components.iter().map(|view| ours(view.annotations.as_ref()));
            let providers = inventory.providers.iter().map(|view| ours(view.annotations.as_ref()));
            let kin: usize = components.chain(providers).sum();
            (inventory.components.len() + inventory.providers.len(), kin)
        };
        Crowd(world.hosts.iter().map(|(host, inventory)| (host.clone(), on(inventory))).collect())
    }

    fn on(&self, host: &HostId) -> (usize, usize) {
        self.0.get(host).copied().unwrap_or_default()
    }

    fn add(&mut self, host: &HostId) {
        if let Some((load, kin)) = self.0.get_mut(host) {
            (*load, *kin) = (*load + 1, *kin + 1);
        }
    }
}
