//! The one task that owns what is remembered about applications and drives them to what they want.
//!
//! It is activated by application requests, by events of hosts, and by a slow timer; whatever activates it, it looks at what
//! is there (level-triggered). Activations within a moment become one round. Each application is reconciled by a future of
//! its own, one at a time, so that a slow host of one does not keep the others waiting.

use crate::plan::part_subject;
use crate::reconcile::{Memory, Outcome, Shared, reconcile};
use crate::status::Failures;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use umbel_core::event::{Event, Fact};
use umbel_core::id::{AppName, HostId};
use umbel_core::link::Values;
use umbel_core::{Code, Problem, code::manager as code};
use umbel_lattice::wadm::{Status, StatusInfo};
use umbel_lattice::{Lattice, Message, Subscription};
use umbel_supervisor::{Ready, Stop};

/// How often, how many, how long.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Longest wait for an answer to a control request.
    pub request_timeout: Duration,
    /// Longest wait for an image to be fetched.
    pub fetch_timeout: Duration,
    /// Longest wait for hosts to tell that they are there.
    pub ping_wait: Duration,
    /// A host that is silent for less is taken to be as it was.
    pub host_grace: Duration,
    /// How often hosts are asked whether they are there, where a lattice has several. One that is silent twice is gone.
    pub roll_every: Duration,
    /// Activations within this time become one round.
    pub coalesce: Duration,
    /// The slow timer.
    pub tick: Duration,
    /// An accepted step whose effect does not show is sent again after this time.
    pub resend_after: Duration,
    /// The wait after the first failure of a step; it doubles with each further one.
    pub backoff_first: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// Applications reconciled at once.
    pub apps_at_once: usize,
    /// Requests under way for one application.
    pub steps_at_once: usize,
    /// Application requests answered at once; further ones wait in the queue of the subscription.
    pub requests_at_once: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            request_timeout: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(120),
            ping_wait: Duration::from_secs(1),
            host_grace: Duration::from_secs(30),
            roll_every: Duration::from_secs(1),
            coalesce: Duration::from_millis(10),
            tick: Duration::from_secs(15),
            resend_after: Duration::from_secs(5),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            apps_at_once: 64,
            steps_at_once: 64,
            requests_at_once: 256,
        }
    }
}

impl Options {
    /// The wait after the given number of failures.
    pub(crate) fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.backoff_first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        doubled.min(self.backoff_max)
    }
}

/// What the task has found, for whoever reads. Immutable.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By application.
    pub apps: BTreeMap<AppName, Arc<AppView>>,
}

/// What the task has found about an application.
#[derive(Debug, Clone, Default)]
pub struct AppView {
    /// The generation that it was found for.
    pub generation: u64,
    /// Steps that failed, by their subjects.
    pub failures: Failures,
    /// What is wrong with the application as a whole.
    pub problem: Option<Problem>,
}

/// Activates the task. Level-triggered: waking twice is waking once.
#[derive(Debug, Default)]
pub struct Wake {
    dirty: Mutex<Dirty>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Dirty {
    apps: BTreeSet<AppName>,
    all: bool,
}

impl Wake {
    /// Something about this application has changed.
    pub fn app(&self, name: AppName) {
        self.lock().apps.insert(name);
        self.rung.notify_one();
    }

    /// Something about all of them may have changed.
    pub fn all(&self) {
        self.lock().all = true;
        self.rung.notify_one();
    }

    fn take(&self) -> Dirty {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One application as the task holds it.
#[derive(Default)]
struct Slot {
    memory: Memory,
    is_dirty: bool,
    is_running: bool,
    again_at: Option<Instant>,
    /// Failures that events told while a round was running.
    told: Vec<(String, Problem)>,
    status: StatusInfo,
}

/// The task.
pub(crate) struct Task {
    shared: Arc<Shared>,
    lattice: Arc<dyn Lattice>,
    wake: Arc<Wake>,
    view: watch::Sender<Arc<View>>,
    apps: HashMap<AppName, Slot>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
    next_tick: Instant,
    /// Not to look at the lattice again before: looking may take half of the time at most.
    next_look: Instant,
    start: Start,
}

/// The time from the start until what ran before has been ordered again.
enum Start {
    /// The applications are not listed yet.
    New(Ready),
    /// These have not had their first round.
    Waits(Ready, BTreeSet<AppName>),
    /// It is over.
    Done,
}

impl Start {
    /// The applications are listed.
    fn listed<'a>(&mut self, names: impl Iterator<Item = &'a AppName>) {
        if let Start::New(ready) = self {
            *self = Start::Waits(ready.clone(), names.cloned().collect());
            self.end_if_over();
        }
    }

    /// An application has had a round.
    fn round(&mut self, name: &AppName) {
        if let Start::Waits(_, waiting) = self {
            waiting.remove(name);
            self.end_if_over();
        }
    }

    fn end_if_over(&mut self) {
        if let Start::Waits(ready, waiting) = self
            && waiting.is_empty()
        {
            ready.notify();
            *self = Start::Done;
        }
    }
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        lattice: Arc<dyn Lattice>,
        wake: Arc<Wake>,
        view: watch::Sender<Arc<View>>,
        ready: Ready,
    ) -> Task {
        let now = shared.clock.now();
        let running = FuturesUnordered::new();
        Task {
            shared,
            lattice,
            wake,
            view,
            apps: HashMap::new(),
            running,
            next_tick: now,
            next_look: now,
            start: Start::New(ready),
        }
    }

    /// Runs until `stop`, or until the lattice closes. Rounds under way are given up: they are done again after the next start.
    pub(crate) async fn run(mut self, mut events: Subscription, stop: &Stop) {
        loop {
            let wait = self.wait();
            tokio::select! {
                () = stop.requested() => return,
                () = self.wake.rung.notified() => {}
                () = tokio::time::sleep(wait) => {}
                event = events.next() => match event {
                    Some(message) => self.on_event(&message),
                    None => return,
                },
                Some(outcome) = self.running.next(), if !self.running.is_empty() => self.absorb(outcome).await,
            }
            while let Some(message) = events.try_next() {
                self.on_event(&message);
            }
            if let Err(problem) = self.mark().await {
                tracing::warn!(%problem, "applications could not be listed");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.start_rounds() => {}
            }
        }
    }

    /// How long nothing is to be done.
    fn wait(&self) -> Duration {
        let now = self.shared.clock.now();
        let again = self.apps.values().filter(|slot| !slot.is_running).filter_map(|slot| slot.again_at);
        again.min().map_or(self.next_tick, |at| at.min(self.next_tick)).saturating_duration_since(now)
    }

    /// Marks what is to be reconciled.
    async fn mark(&mut self) -> Result<(), Problem> {
        let now = self.shared.clock.now();
        let dirty = self.wake.take();
        for name in dirty.apps {
            self.apps.entry(name).or_default().is_dirty = true;
        }
        if dirty.all || now >= self.next_tick {
            self.next_tick = now + self.shared.options.tick;
            let records = self.shared.catalog.store().apps().await.map_err(|error| Problem::from(&error))?;
            for (name, _) in records {
                self.apps.entry(name).or_default().is_dirty = true;
            }
            self.start.listed(self.apps.keys());
        }
        for slot in self.apps.values_mut() {
            if slot.again_at.is_some_and(|at| at <= now) {
                slot.again_at = None;
                slot.is_dirty = true;
            }
        }
        Ok(())
    }

    /// Starts a round for what is dirty and does not run, of one look at the world.
    async fn start_rounds(&mut self) {
        let room = self.shared.options.apps_at_once.saturating_sub(self.running.len());
        let is_due = |slot: &Slot| slot.is_dirty && !slot.is_running;
        let mut names: Vec<AppName> =
            self.apps.iter().filter(|(_, slot)| is_due(slot)).map(|(name, _)| name.clone()).collect();
        if names.is_empty() || room == 0 {
            return;
        }
        names.sort();
        let began = self.shared.clock.now();
        if began < self.next_look {
            self.postpone(&names, self.next_look);
            return;
        }
        let world = self.shared.observer.world().await;
        let ended = self.shared.clock.now();
        self.next_look = ended + ended.duration_since(began).max(self.shared.options.coalesce);
        let world = match world {
            Ok(world) => world,
            Err(error) => {
                tracing::warn!(%error, "the lattice could not be looked at");
                self.postpone(&names, ended + self.shared.options.backoff_first);
                return;
            }
        };
        for name in names.into_iter().take(room) {
            let Some(slot) = self.apps.get_mut(&name) else { continue };
            slot.is_dirty = false;
            slot.is_running = true;
            // Whatever it was to be looked at again for is looked at now.
            slot.again_at = None;
            let memory = std::mem::take(&mut slot.memory);
            self.running.push(Box::pin(reconcile(self.shared.clone(), name, memory, world.clone())));
        }
    }

    fn postpone(&mut self, names: &[AppName], at: Instant) {
        for name in names {
            if let Some(slot) = self.apps.get_mut(name) {
                slot.is_dirty = false;
                slot.again_at = Some(at);
            }
        }
    }

    async fn absorb(&mut self, outcome: Outcome) {
        let name = outcome.name;
        let now = self.shared.clock.now();
        let Some(slot) = self.apps.get_mut(&name) else { return };
        slot.is_running = false;
        slot.memory = outcome.memory;
        // Events may have asked for another round while this one was under way: it did not see what they are about.
        let told = std::mem::take(&mut slot.told);
        let for_told = (!told.is_empty()).then_some(self.shared.options.coalesce);
        let again_in = outcome.again_in.into_iter().chain(for_told).min();
        slot.again_at = slot.again_at.into_iter().chain(again_in.map(|wait| now + wait)).min();
        for (subject, problem) in told {
            slot.memory.fail(subject, problem, now, &self.shared.options);
        }
        let view = AppView {
            generation: slot.memory.generation,
            failures: slot.memory.failures(),
            problem: outcome.problem,
        };
        let is_gone = outcome.is_gone && !slot.is_dirty;
        let changed = outcome.status.filter(|status| status.status != slot.status);
        if let Some(status) = &changed {
            slot.status = status.status.clone();
        }
        self.view.send_modify(|views| {
            let views = Arc::make_mut(views);
            if is_gone {
                views.apps.remove(&name);
            } else {
                views.apps.insert(name.clone(), Arc::new(view));
            }
        });
        if is_gone {
            self.apps.remove(&name);
        }
        self.start.round(&name);
        if let Some(status) = changed {
            publish(self.lattice.clone(), name, status).await;
        }
    }

    /// Marks the applications that an event is about. Whose it is stands in the annotations; what is about no application
    /// of ours marks nothing, and what is about hosts marks all.
    fn on_event(&mut self, message: &Message) {
        let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else { return };
        match event.fact() {
            Some(Fact::HostStarted(_) | Fact::LabelsChanged(_)) => self.mark_all(),
            Some(Fact::HostStopped(_)) => {
                if let Ok(host) = HostId::new(&event.source) {
                    self.shared.observer.forget(&host);
                }
                self.mark_all();
            }
            Some(Fact::ComponentScaled(data)) => self.mark_annotated(&data.annotations),
            Some(Fact::ProviderStarted(data)) => self.mark_annotated(&data.annotations),
            Some(Fact::ProviderStopped(data)) => self.mark_annotated(&data.annotations),
            Some(Fact::ComponentScaleFailed(data)) => {
                self.mark_annotated(&data.annotations);
                if let Some(name) = app_of(&data.annotations) {
                    self.on_failure(&name, &data.host_id, &data.component_id, &data.error);
                }
            }
            Some(Fact::ProviderStartFailed(data)) => {
                if let Some(name) = app_of_id(&data.provider_id) {
                    self.on_failure(&name, &data.host_id, &data.provider_id, &data.error);
                    self.mark_app(&name);
                }
            }
            Some(Fact::LinkdefDeleted(data)) => self.mark_id(&data.source_id),
            Some(Fact::ConfigDeleted(data)) => self.mark_id(&data.config_name),
            _ => {}
        }
    }

    /// A host tells that what it had accepted failed.
    fn on_failure(&mut self, name: &AppName, host: &str, id: &str, error: &str) {
        let Ok(host) = HostId::new(host) else { return };
        let Some(slot) = self.apps.get_mut(name) else { return };
        let subject = part_subject(&host, id);
        let problem = told_problem(error);
        if slot.is_running {
            slot.told.push((subject, problem));
        } else {
            slot.memory.fail(subject, problem, self.shared.clock.now(), &self.shared.options);
        }
    }

    fn mark_annotated(&mut self, annotations: &Values) {
        if let Some(name) = app_of(annotations) {
            self.mark_app(&name);
        }
    }

    fn mark_id(&mut self, id: &str) {
        if let Some(name) = app_of_id(id) {
            self.mark_app(&name);
        }
    }

    /// Marks an application for a moment later, so that a storm of events becomes one round.
    fn mark_app(&mut self, name: &AppName) {
        let at = self.shared.clock.now() + self.shared.options.coalesce;
        if let Some(slot) = self.apps.get_mut(name) {
            slot.again_at = Some(slot.again_at.map_or(at, |already| already.min(at)));
        }
    }

    /// Every application is looked at now, also those that the task has not met yet.
    fn mark_all(&mut self) {
        self.wake.all();
    }
}

/// The application whose part, link or config has the id: ids begin with the application's name and a dash, and names have no
/// `_` of their own. Ids that manifests say themselves are not found; the slow timer looks after those.
fn app_of_id(id: &str) -> Option<AppName> {
    let (name, _) = id.split_once('-')?;
    AppName::new(name.replace('_', "-")).ok()
}

/// The problem that the text of an event is about. Our hosts begin it with the code; others have none.
fn told_problem(error: &str) -> Problem {
    let coded = error.split_once(": ").and_then(|(code, message)| Some((Code::find(code)?, message)));
    let (code, message) = coded.unwrap_or((code::PART_NOT_RUNNING, error));
    Problem::new(code, message)
}

/// Tells who listens as wadm does: `wadm.status.{lattice}.{application}`.
async fn publish(lattice: Arc<dyn Lattice>, name: AppName, status: Status) {
    let subject = format!("wadm.status.{}.{name}", lattice.name());
    if let Err(error) = lattice.publish(Message::json(subject, &status)).await {
        tracing::debug!(%error, "a status could not be published");
    }
}

/// The application that the annotations name, if it is one of ours.
fn app_of(annotations: &Values) -> Option<AppName> {
    let name = annotations.get(crate::desired::APPSPEC)?;
    AppName::new(name).ok().filter(|name| crate::desired::is_ours(Some(annotations), name))
}
