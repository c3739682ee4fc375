//! How an application is, from what it wants and what is there. Pure.

use crate::desired::Desired;
use crate::hold;
use crate::plan::{Plan, Step, config_subject, link_subject, part_subject};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use umbel_core::Problem;
use umbel_core::code::manager as code;
use umbel_core::id::HostId;
use umbel_core::link::Link;
use umbel_lattice::control::{Endpoint, LinkTrouble, PartState};
use umbel_lattice::wadm::{PartKind, PartStatus, ScalerStatus, Status, StatusInfo, StatusType};
use umbel_manifest::{PartKind as Kind, Scale};

/// The builtin that serves HTTP. Others, and hosts of wasmCloud 1.x, do not show addresses.
const HTTP_SERVER: &str = "builtin:http-server";

/// Problems of earlier steps by the subject of the step.
pub type Failures = BTreeMap<String, Problem>;

/// The status of an application.
pub fn status(desired: &Desired, world: &World, plan: &Plan, failures: &Failures) -> Status {
    let mut view = Viewer { desired, world, plan, failures, status: Status::default() };
    view.status.generation = Some(desired.generation);
    match &desired.version {
        None => view.undeployed(),
        Some(version) => {
            view.status.version.clone_from(version);
            view.parts();
            view.links();
            view.configs();
            view.summary();
        }
    }
    view.status
}

struct Viewer<'a> {
    desired: &'a Desired,
    world: &'a World,
    plan: &'a Plan,
    failures: &'a Failures,
    status: Status,
}

/// What a host tells about a part.
#[derive(Default)]
struct Seen {
    state: PartState,
    problem: Option<Problem>,
    instances: Option<u32>,
    is_moving: bool,
    by_hand: Option<String>,
    endpoints: Vec<Endpoint>,
}

impl Seen {
    /// What is told of the part, if it is not as it should be.
    fn message(&self, name: &str) -> String {
        match &self.problem {
            Some(problem) => problem.message.clone(),
            None if self.is_moving => format!("another is about to take the place of `{name}`"),
            None => self.state.to_string(),
        }
    }
}

/// How far a link or config is.
struct Done {
    /// It is there as it is wanted.
    is_done: bool,
    /// Whoever is to follow it has done so.
    is_followed: bool,
    /// Why it does not serve.
    problem: Option<Problem>,
}

impl Viewer<'_> {
    fn undeployed(&mut self) {
        let left = self.plan.steps.len();
        self.status.problems = self.failures.values().cloned().collect();
        self.status.status = if left == 0 {
            info(StatusType::Undeployed, "")
        } else if let Some(problem) = self.status.problems.first() {
            info(StatusType::Reconciling, &problem.message)
        } else {
            info(StatusType::Reconciling, &format!("{left} things are still to be taken away"))
        };
    }

    fn parts(&mut self) {
        let wanted: BTreeSet<String> = self.plan.steps.iter().map(Step::subject).collect();
        let mut endpoints: BTreeSet<String> = BTreeSet::new();
        for part in &self.desired.parts {
            let placement = self.plan.placements.get(&part.id).cloned().unwrap_or_default();
            let mut worst = StatusType::Deployed;
            let mut message = String::new();
            let mut add = |this: &mut Self, host: Option<&HostId>, seen: Seen, kind: StatusType| {
                if severity(kind) > severity(worst) {
                    worst = kind;
                    message = seen.message(&part.name);
                }
                endpoints.extend(seen.endpoints.iter().map(|endpoint| endpoint.url.clone()));
                this.status.parts.push(PartStatus {
                    name: part.name.clone(),
                    id: part.id.clone(),
                    kind: if part.kind == Kind::Component { PartKind::Component } else { PartKind::Provider },
                    state: seen.state,
                    image: Some(part.reference.clone()),
                    host_id: host.cloned(),
                    instances: seen.instances,
                    problem: seen.problem,
                    serving: None,
                    by_hand: seen.by_hand,
                    endpoints: seen.endpoints,
                });
            };
            for host in placement.keys() {
                let subject = part_subject(host, &part.id);
                let (seen, kind) =
                    self.seen_on(part.kind, &part.id, host, &subject, wanted.contains(&subject));
                let problem = self.plan.problems.get(&part.name).cloned();
                let kind = if problem.is_some() { StatusType::Failed } else { kind };
                add(self, Some(host), Seen { problem: problem.or(seen.problem), ..seen }, kind);
            }
            let is_none_wanted = matches!(
                &part.scale,
                Scale::Spread { instances: 0, .. } | Scale::Daemon { instances: 0, .. }
            );
            if placement.is_empty() && !is_none_wanted {
                let problem = self.plan.problems.get(&part.name).cloned();
                let seen = Seen { problem, ..Seen::default() };
                add(self, None, seen, StatusType::Waiting);
            }
            self.scaler(&part.id, &part.scale, worst, &message);
        }
        self.status.urls = endpoints.into_iter().collect();
        for (name, problem) in &self.desired.missing {
            self.status.scalers.push(scaler(
                name,
                "SpreadScaler",
                name,
                StatusType::Waiting,
                &problem.message,
            ));
        }
    }

    /// What the host tells about the part, and what follows from it.
    fn seen_on(
        &self,
        kind: Kind,
        id: &str,
        host: &HostId,
        subject: &str,
        has_step: bool,
    ) -> (Seen, StatusType) {
        let seen = self.world.hosts.get(host).and_then(|inventory| match kind {
            Kind::Component => inventory.component(id).map(|view| Seen {
                state: view.state,
                problem: view.problem.clone(),
                instances: Some(view.max_instances),
                ..Seen::default()
            }),
            Kind::Provider => inventory.provider(id).map(|view| Seen {
                state: view.state,
                problem: view.problem.clone(),
                instances: None,
                is_moving: view.is_moving,
                by_hand: view.by_hand.as_ref().map(ToString::to_string),
                endpoints: view.endpoints.clone(),
            }),
        });
        let failure = self.failures.get(subject).filter(|_| has_step).cloned();
        let Some(mut seen) = seen else {
            let state = if failure.is_some() { PartState::Failed } else { PartState::Starting };
            let kind = failure_kind(failure.as_ref());
            return (Seen { state, problem: failure, ..Seen::default() }, kind);
        };
        let kind = match seen.state {
            // A provider that runs but did not take a link, such as one whose address another application has.
            PartState::Running if kind == Kind::Provider && seen.problem.is_some() => {
                failure_kind(seen.problem.as_ref())
            }
            PartState::Running if seen.is_moving => StatusType::Reconciling,
            PartState::Running | PartState::Completed | PartState::Unknown => StatusType::Deployed,
            // Somebody has stopped it, and nothing that is under way will start it.
            PartState::Stopped if seen.by_hand.is_some() && !has_step => StatusType::Unhealthy,
            PartState::Starting | PartState::Compiling | PartState::Draining | PartState::Stopped => {
                StatusType::Reconciling
            }
            PartState::BackingOff | PartState::CrashLoop => StatusType::Unhealthy,
            PartState::Failed => StatusType::Failed,
        };
        if severity(kind) >= severity(StatusType::Unhealthy) && seen.problem.is_none() {
            let message = format!("`{id}` is in the state `{}`", seen.state);
            seen.problem = Some(Problem::new(code::PART_NOT_RUNNING, message));
        }
        if !has_step {
            return (seen, kind);
        }
        let step_kind = failure_kind(failure.as_ref());
        let kind = if severity(step_kind) > severity(kind) { step_kind } else { kind };
        // The host's own words for the same failure have its causes, too.
        let same = seen.problem.take_if(|told| failure.as_ref().is_some_and(|known| known.code == told.code));
        (Seen { problem: same.or(failure).or(seen.problem.take()), ..seen }, kind)
    }

    fn scaler(&mut self, id: &str, scale: &Scale, kind: StatusType, message: &str) {
        let name = if matches!(scale, Scale::Daemon { .. }) { "DaemonScaler" } else { "SpreadScaler" };
        let message = if kind == StatusType::Deployed { "" } else { message };
        self.status.scalers.push(scaler(id, name, id, kind, message));
    }

    fn links(&mut self) {
        let to_put: BTreeSet<String> = self.plan.steps.iter().map(Step::subject).collect();
        for link in &self.desired.links {
            let subject = link_subject(&link.key());
            let contract = format!("{}:{}", link.contract.namespace, link.contract.package);
            let name = format!("{} -({contract})-> {}", link.source_id, link.target);
            let is_done = !to_put.contains(&subject);
            // What is to be put is another link than the one that is there.
            let trouble = self.trouble(link).filter(|_| is_done);
            let is_followed = is_done && trouble.is_none() && self.is_followed(link);
            let problem = trouble.and_then(|trouble| trouble.problem.clone());
            let done = Done { is_done, is_followed, problem };
            self.made(&name, &subject, PartKind::Link, "LinkScaler", done);
        }
    }

    fn configs(&mut self) {
        let to_put: BTreeSet<String> = self.plan.steps.iter().map(Step::subject).collect();
        for name in self.desired.configs.keys() {
            let subject = config_subject(name);
            let is_done = !to_put.contains(&subject);
            let done = Done { is_done, is_followed: is_done, problem: None };
            self.made(name, &subject, PartKind::Config, "ConfigScaler", done);
        }
    }

    /// What a host says of a link that does not serve.
    fn trouble(&self, link: &Link) -> Option<&LinkTrouble> {
        let key = link.key();
        let mut troubles = self.world.hosts.values().flat_map(|inventory| &inventory.links_in_trouble);
        troubles.find(|trouble| trouble.key == key)
    }

    /// Whether whoever is to follow the link has done so. A server of HTTP is told of it and shows the address a moment later; until then
    /// it answers that nobody is there.
    fn is_followed(&self, link: &Link) -> bool {
        if (link.contract.namespace.as_str(), link.contract.package.as_str()) != ("wasi", "http") {
            return true;
        }
        let providers = self.world.hosts.values().flat_map(|inventory| &inventory.providers);
        let mut servers = providers.filter(|view| {
            view.id.as_str() == link.source_id
                && view.image_ref == HTTP_SERVER
                && view.state == PartState::Running
                && view.problem.is_none()
        });
        servers.all(|view| view.endpoints.iter().any(|endpoint| endpoint.component == link.target))
    }

    /// A link or config: it is there, or is to be put, or something stands in its way.
    fn made(
        &mut self,
        name: &str,
        subject: &str,
        kind: PartKind,
        scaler_kind: &str,
        Done { is_done, is_followed, problem }: Done,
    ) {
        let has_step = !is_done;
        let in_the_way = self.plan.problems.get(subject).cloned().or(problem);
        let failure = self.failures.get(subject).filter(|_| has_step).cloned();
        let (state, status) = match (&in_the_way, is_followed) {
            (Some(_), _) => (PartState::Failed, StatusType::Failed),
            (None, false) => (PartState::Starting, failure_kind(failure.as_ref())),
            (None, true) => (PartState::Running, StatusType::Deployed),
        };
        let problem = in_the_way.or(failure);
        let message = problem.as_ref().map_or_else(String::new, |problem| problem.message.clone());
        self.status.scalers.push(scaler(subject, scaler_kind, name, status, &message));
        self.status.parts.push(PartStatus {
            name: name.to_owned(),
            id: subject.to_owned(),
            kind,
            state,
            image: None,
            host_id: None,
            instances: None,
            problem,
            serving: None,
            by_hand: None,
            endpoints: Vec::new(),
        });
    }

    /// The worst of everything, and everything that is wrong.
    fn summary(&mut self) {
        let missing = self.desired.missing.iter().map(|(_, problem)| problem.clone());
        self.status.problems =
            self.status.parts.iter().filter_map(|part| part.problem.clone()).chain(missing).collect();
        let worst = self
            .status
            .scalers
            .iter()
            .map(|scaler| &scaler.status)
            .max_by_key(|info| (severity(info.kind), !info.message.is_empty()));
        let is_surplus_left = !self.plan.steps.is_empty();
        let parted = hold::part(self.desired, self.world, self.plan, self.failures);
        let awaited = parted.awaited.join("`, `");
        let mut status = match worst {
            Some(worst) if severity(worst.kind) > severity(StatusType::Deployed) => worst.clone(),
            _ if !awaited.is_empty() => {
                info(StatusType::Reconciling, &format!("`{awaited}` is not yet as it was ordered"))
            }
            _ if is_surplus_left => {
                info(StatusType::Reconciling, "something of an earlier version is still there")
            }
            _ => info(StatusType::Deployed, ""),
        };
        if !awaited.is_empty() && !parted.later.is_empty() {
            let separator = if status.message.is_empty() { "" } else { "; " };
            status.message =
                format!("{}{separator}what ran before goes on until `{awaited}` runs", status.message);
        }
        self.status.status = status;
    }
}

/// A step that failed makes the application fail, unless trying again can help.
fn failure_kind(failure: Option<&Problem>) -> StatusType {
    match failure {
        Some(problem) if !problem.kind.is_retryable() => StatusType::Failed,
        _ => StatusType::Reconciling,
    }
}

/// The order in which the parts' words become the application's.
fn severity(kind: StatusType) -> u8 {
    match kind {
        StatusType::Undeployed | StatusType::Deployed => 0,
        StatusType::Reconciling => 1,
        StatusType::Waiting => 2,
        StatusType::Unhealthy => 3,
        StatusType::Failed => 4,
    }
}

fn info(kind: StatusType, message: &str) -> StatusInfo {
    StatusInfo { kind, message: message.to_owned() }
}

fn scaler(id: &str, kind: &str, name: &str, status: StatusType, message: &str) -> ScalerStatus {
    ScalerStatus {
        id: id.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        status: info(status, message),
    }
}
