//! `cron`: calls components by the clock.
//!
//! ```text
//! link ─▶ Settings ─▶ jobs, a task each:   Timer (pure) ──Run──▶ gate: still running? ── skipped, counted
//!                        ▲ Clock                │ Wait                │
//!                        └──────────────────────┘                     ▼
//!                                                  a place among all runs ─▶ a core of the data path ─▶ Target
//!                                                              scheduler.invoke · POST / · cli run, with a deadline
//! ```
//!
//! A link from the provider to a component makes the jobs; its contract says what is called: `wasmcloud:cron/scheduler` (the contract
//! of wasmCloud's cron provider), `wasi:http/incoming-handler`, which lets any HTTP component be a job (the header
//! `x-umbel-cron` has the job's name; it is no proof of who calls, for a client outside may send it too, where an http-server leads to the
//! same path), or `wasi:cli/run`. All keys of the config are in [`config`].
//!
//! **Overlap.** A job whose last run has not ended is not started again; that is counted as skipped. `overlap: allow` is for those
//! that may.
//!
//! **Lateness.** A time that passed no longer than a minute ago is on time. One that passed longer ago, because the host was down or the
//! machine slept, is missed and counted; with `catch_up: once` the job runs once, at once. When a job ran is noted before
//! it runs, so that a run is cut off by a crash, but never repeated by it.
//!
//! Read in this order: [`config`], [`schedule`], `timer` (decisions, pure) · `run`, `target`, `note` · [`stats`], [`error`].

pub mod config;
pub mod error;
pub mod schedule;
pub mod stats;

mod note;
mod run;
mod target;
mod timer;

pub use config::{Job, Settings};
pub use error::CronError;
pub use schedule::{Dialect, Schedule};
pub use stats::JobStats;
pub use timer::CatchUp;

use async_trait::async_trait;
use note::Note;
use run::{Running, Shared};
use stats::Tally;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use target::{Face, Target};
use timer::{GRACE, Timer};
use tokio::sync::Semaphore;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_core::{Clock, Coded, Problem};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::cores::Cores;
use umbel_supervisor::{Scope, Stop};
use umbel_wit::Link;

/// Runs at once, of all jobs of the host.
const RUNS_MAX: usize = 64;

/// The factory of cron providers.
#[derive(Clone)]
pub struct Cron {
    shared: Arc<Shared>,
    /// All jobs of all providers, for [`Cron::stats`].
    books: Arc<Mutex<Vec<std::sync::Weak<CronProvider>>>>,
}

impl Cron {
    /// A factory whose jobs go by `clock`, and run on `cores`.
    pub fn new(cores: &Arc<Cores>, clock: Arc<dyn Clock>) -> Cron {
        let places = Arc::new(Semaphore::new(RUNS_MAX));
        let shared = Arc::new(Shared { clock, cores: Arc::downgrade(cores), places });
        Cron { shared, books: Arc::default() }
    }

    /// What the jobs have done, by component and job.
    pub fn stats(&self) -> Vec<JobStats> {
        let books = lock(&self.books);
        let providers: Vec<_> = books.iter().filter_map(std::sync::Weak::upgrade).collect();
        drop(books);
        let mut stats: Vec<JobStats> = Vec::new();
        for provider in providers {
            stats.extend(provider.links().values().flat_map(|link| &link.jobs).map(|job| job.stats()));
        }
        stats.sort_by(|one, other| (&one.component, &one.job).cmp(&(&other.component, &other.job)));
        stats
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Factory for Cron {
    fn name(&self) -> &'static str {
        "cron"
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![
            Contract::new("wasmcloud", "cron", &["scheduler"]),
            Contract::new("wasi", "http", &["incoming-handler", "handler"]),
            Contract::new("wasi", "cli", &["run"]),
        ]
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        Settings::check_provider(&cx.config)?;
        let provider = Arc::new(CronProvider {
            shared: self.shared.clone(),
            config: Mutex::new(cx.config.clone()),
            cx,
            tasks: Scope::new("cron"),
            links: Mutex::default(),
        });
        let mut books = lock(&self.books);
        books.retain(|book| book.strong_count() > 0);
        books.push(Arc::downgrade(&provider));
        Ok(provider)
    }
}

/// One cron provider.
struct CronProvider {
    shared: Arc<Shared>,
    cx: StartContext,
    config: Mutex<Values>,
    /// The jobs' tasks and their runs.
    tasks: Scope,
    links: Mutex<BTreeMap<LinkKey, Jobs>>,
}

/// The jobs of one link.
struct Jobs {
    link: ResolvedLink,
    plan: Plan,
    jobs: Vec<Arc<Running>>,
}

/// What a link asks for, checked.
#[derive(Debug, Clone, PartialEq)]
struct Plan {
    settings: Settings,
    face: Face,
    component: String,
    application: Option<String>,
}

impl CronProvider {
    fn links(&self) -> MutexGuard<'_, BTreeMap<LinkKey, Jobs>> {
        lock(&self.links)
    }

    fn plan(&self, link: &ResolvedLink, config: &Values) -> Result<Plan, CronError> {
        if link.link.source_id != self.cx.id.as_str() {
            return Err(CronError::Contract { contract: link.link.contract.to_string() });
        }
        let face = Face::of(&link.link.contract)?;
        let now = self.shared.clock.unix_time();
        let settings = Settings::read(config, &link.source_settings(), &link.link.name, now)?;
        let component = link.link.target.clone();
        let application = self.cx.targets.application_of(&component);
        Ok(Plan { settings, face, component, application })
    }

    /// Makes the link's jobs what is planned; nothing happens to one that is as planned already.
    fn apply(&self, links: &mut BTreeMap<LinkKey, Jobs>, link: ResolvedLink, plan: Plan) {
        let key = link.link.key();
        let before = links.get(&key);
        if before.is_some_and(|before| before.plan == plan) {
            return;
        }
        let jobs: Vec<_> = plan.settings.jobs.iter().map(|job| self.job(&link, &plan, job, before)).collect();
        if let Some(before) = before {
            before.jobs.iter().for_each(|job| job.stop.request());
        }
        for job in &jobs {
            let last = job.note.as_ref().and_then(|note| self.last(job, note));
            let now = self.shared.clock.unix_time();
            let timer = Timer::new(job.job.schedule.clone(), plan.settings.catch_up, last, now);
            self.tasks.spawn(job.clone().tick(timer, self.shared.clone(), self.tasks.spawner()));
        }
        links.insert(key, Jobs { link, plan, jobs });
    }

    fn job(&self, link: &ResolvedLink, plan: &Plan, job: &Job, before: Option<&Jobs>) -> Arc<Running> {
        let settings = &plan.settings;
        // The run of the job as it was may still be going, and must not be overlapped by the job as it is.
        let gate = before
            .filter(|before| before.plan.settings.at_once_max == settings.at_once_max)
            .and_then(|before| before.jobs.iter().find(|other| other.job.name == job.name))
            .map(|other| other.gate.clone());
        let catches_up = settings.catch_up == CatchUp::Once;
        let target = Target {
            targets: self.cx.targets.clone(),
            component: plan.component.clone(),
            face: plan.face,
            link: Arc::new(Link {
                source_id: self.cx.id.to_string(),
                name: link.link.name.clone(),
                application: plan.application.clone(),
                values: link.target_settings(),
            }),
            path: settings.path.clone(),
            timeout: settings.run_timeout,
            patience: GRACE,
        };
        let note = Note::new(&self.cx.folder, &link.link.key(), &job.name, job.schedule.text());
        Arc::new(Running {
            job: job.clone(),
            target,
            tally: Tally::new(),
            gate: gate.unwrap_or_else(|| Arc::new(Semaphore::new(settings.at_once_max))),
            note: catches_up.then_some(note),
            stop: Stop::new(),
        })
    }

    /// When the job was last run. One that never was starts to count now.
    fn last(&self, job: &Running, note: &Note) -> Option<Duration> {
        let read = note.read().and_then(|last| match last {
            Some(last) => Ok(Some(last)),
            None => note.write(self.shared.clock.unix_time()).map(|()| None),
        });
        read.unwrap_or_else(|error| {
            let cannot =
                CronError::State { job: job.job.name.clone(), component: job.target.component.clone() };
            tracing::warn!(code = %cannot.code(), %error, "{cannot}");
            None
        })
    }
}

#[async_trait]
impl Provider for CronProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let mut links = self.links();
        let plan = self.plan(&link, &lock(&self.config))?;
        self.apply(&mut links, link, plan);
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        if let Some(gone) = self.links().remove(key) {
            for job in gone.jobs {
                job.stop.request();
                job.note.iter().for_each(Note::forget);
            }
        }
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        Settings::check_provider(&config)?;
        let mut links = self.links();
        let all: Vec<ResolvedLink> = links.values().map(|jobs| jobs.link.clone()).collect();
        let plans = all.iter().map(|link| self.plan(link, &config)).collect::<Result<Vec<_>, _>>()?;
        for (link, plan) in all.into_iter().zip(plans) {
            self.apply(&mut links, link, plan);
        }
        *lock(&self.config) = config;
        Ok(())
    }

    async fn stop(&self, deadline: Duration) {
        for jobs in std::mem::take(&mut *self.links()).into_values() {
            jobs.jobs.iter().for_each(|job| job.stop.request());
        }
        self.tasks.drain(deadline).await;
    }
}
