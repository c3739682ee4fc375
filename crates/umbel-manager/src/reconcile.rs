//! Brings one application nearer to what it wants, once: read, plan, do.

use crate::catalog::Catalog;
use crate::error::ManagerError;
use crate::execute::execute;
use crate::hold;
use crate::observe::Observer;
use crate::plan::{Step, plan};
use crate::status::{Failures, status};
use crate::store::AppRecord;
use crate::task::Options;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::id::AppName;
use umbel_core::{Clock, Problem};
use umbel_lattice::control::Client;
use umbel_lattice::wadm::Status;

/// What reconciling needs.
pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) client: Client,
    pub(crate) observer: Arc<Observer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
}

/// What is remembered of an application between two rounds. It may be lost: it only keeps us from asking too often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) generation: u64,
    /// Steps that were accepted, and whose effect may not show yet.
    sent: BTreeMap<String, (Step, Instant)>,
    failures: BTreeMap<String, Failure>,
    /// Failures of reading desired state in a row.
    broken: u32,
}

#[derive(Debug, Clone)]
struct Failure {
    problem: Problem,
    attempts: u32,
    retry_at: Instant,
}

/// What came of a round.
pub(crate) struct Outcome {
    pub(crate) name: AppName,
    pub(crate) memory: Memory,
    pub(crate) status: Option<Status>,
    /// What is wrong with the application as a whole.
    pub(crate) problem: Option<Problem>,
    /// When to look again; none when all is as wanted.
    pub(crate) again_in: Option<Duration>,
    /// Nothing of the application is left.
    pub(crate) is_gone: bool,
}

impl Memory {
    pub(crate) fn failures(&self) -> Failures {
        self.failures.iter().map(|(subject, failure)| (subject.clone(), failure.problem.clone())).collect()
    }

    /// A step failed, at once or later.
    pub(crate) fn fail(&mut self, subject: String, problem: Problem, now: Instant, options: &Options) {
        self.sent.remove(&subject);
        let attempts = self.failures.get(&subject).map_or(0, |failure| failure.attempts) + 1;
        let retry_at = now + options.backoff(attempts);
        self.failures.insert(subject, Failure { problem, attempts, retry_at });
    }

    /// The steps to do now; the others were just done, or failed a moment ago.
    fn due(&self, steps: &[Step], now: Instant, options: &Options) -> Vec<Step> {
        let is_due = |step: &&Step| {
            let subject = step.subject();
            let was_sent = self
                .sent
                .get(&subject)
                .is_some_and(|(sent, at)| sent == *step && now.duration_since(*at) < options.resend_after);
            let waits = self.failures.get(&subject).is_some_and(|failure| failure.retry_at > now);
            !was_sent && !waits
        };
        steps.iter().filter(is_due).cloned().collect()
    }

    /// Forgets what no step is planned for any more: it has happened, or is no longer wanted.
    fn settle(&mut self, steps: &[Step]) {
        let open: BTreeSet<String> = steps.iter().map(Step::subject).collect();
        self.sent.retain(|subject, _| open.contains(subject));
        self.failures.retain(|subject, _| open.contains(subject));
    }

    /// When the next of the steps that wait may be done.
    fn next_due(&self, now: Instant, options: &Options) -> Option<Duration> {
        let retries = self.failures.values().map(|failure| failure.retry_at);
        let resends = self.sent.values().map(|(_, at)| *at + options.resend_after);
        retries.chain(resends).min().map(|at| at.saturating_duration_since(now).max(options.coalesce))
    }
}

/// One round for one application.
pub(crate) async fn reconcile(
    shared: Arc<Shared>,
    name: AppName,
    mut memory: Memory,
    world: World,
) -> Outcome {
    let result = round(&shared, &name, &mut memory, &world).await;
    let mut outcome = Outcome { name, memory, status: None, problem: None, again_in: None, is_gone: false };
    match result {
        Ok(Round { status, again_in, is_gone }) => {
            outcome.memory.broken = 0;
            outcome.status = status;
            outcome.again_in = again_in;
            outcome.is_gone = is_gone;
        }
        Err(error) => {
            outcome.memory.broken += 1;
            outcome.again_in = Some(shared.options.backoff(outcome.memory.broken));
            tracing::warn!(application = %outcome.name, %error, "the application could not be reconciled");
            outcome.problem = error.problems().into_iter().next();
        }
    }
    outcome
}

struct Round {
    status: Option<Status>,
    again_in: Option<Duration>,
    is_gone: bool,
}

async fn round(
    shared: &Shared,
    name: &AppName,
    memory: &mut Memory,
    world: &World,
) -> Result<Round, ManagerError> {
    let store = shared.catalog.store();
    let Some(record) = store.app(name).await? else {
        return Ok(Round { status: None, again_in: None, is_gone: true });
    };
    if memory.generation != record.generation {
        // A deploy or undeploy is a reason to try everything again at once.
        *memory = Memory { generation: record.generation, ..Memory::default() };
    }
    let desired = shared.catalog.desired(&record).await?;
    let world = shared.observer.with_configs(&desired, world).await?;
    let plan = plan(&desired, &world);
    memory.settle(&plan.steps);
    if plan.owned != desired.owned {
        store.put_owned(name, &plan.owned).await?;
    }
    if record.deleted && plan.steps.is_empty() && plan.owned.is_empty() && !world.hosts.is_empty() {
        store.forget(name).await?;
        return Ok(Round { status: None, again_in: None, is_gone: true });
    }
    let parted = hold::part(&desired, &world, &plan, &memory.failures());
    let due = memory.due(&parted.now, shared.clock.now(), &shared.options);
    let did_something = !due.is_empty() && is_current(shared, &record).await?;
    if did_something {
        let done = execute(&shared.client, due, shared.options.steps_at_once).await;
        // Whoever asks for the status after the next deploy must not be told of what was just taken away.
        shared.observer.forget_recent().await;
        let now = shared.clock.now();
        for done in done {
            let subject = done.step.subject();
            match done.result {
                Ok(()) => {
                    memory.failures.remove(&subject);
                    memory.sent.insert(subject, (done.step, now));
                }
                Err(problem) => {
                    tracing::info!(application = %name, step = subject, %problem, "a step failed");
                    memory.fail(subject, problem, now, &shared.options);
                }
            }
        }
    }
    let status = status(&desired, &world, &plan, &memory.failures());
    let again_in = match (did_something, plan.steps.is_empty()) {
        (true, _) => Some(shared.options.coalesce),
        (false, false) => {
            // Events tell when what others wait for runs; they can be lost. Nothing tells when a provider has followed a link.
            let options = &shared.options;
            let soon = if parted.awaited.is_empty() { options.coalesce * 10 } else { options.resend_after };
            let waits = (!parted.later.is_empty()).then_some(soon);
            memory.next_due(shared.clock.now(), &shared.options).into_iter().chain(waits).min()
        }
        // What was ordered is done, and what follows it is not: events tell, and can be lost.
        (false, true) => (status.status.kind == umbel_lattice::wadm::StatusType::Reconciling)
            .then_some(shared.options.resend_after),
    };
    Ok(Round { status: Some(status), again_in, is_gone: false })
}

/// Whether the record is still the one that was planned for. The hosts refuse older generations too; this keeps us from
/// asking them.
async fn is_current(shared: &Shared, record: &AppRecord) -> Result<bool, ManagerError> {
    let now = shared.catalog.store().app(&record.name).await?;
    Ok(now.is_some_and(|now| now.generation == record.generation))
}
