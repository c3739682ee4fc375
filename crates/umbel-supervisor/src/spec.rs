//! What should run: child specifications in OTP's words.
//!
//! ```
//! use std::time::Duration;
//! use umbel_supervisor::{ChildSpec, Restart, Strategy, SupervisorSpec};
//!
//! let spec = SupervisorSpec::new(Strategy::OneForOne)
//!     .child(ChildSpec::task("heartbeat", |cx| async move {
//!         cx.ready.notify();
//!         cx.stop.requested().await;
//!         Ok(())
//!     }))
//!     .child(
//!         ChildSpec::supervisor("components", SupervisorSpec::new(Strategy::OneForOne).together())
//!             .restart(Restart::Transient)
//!             .shutdown(Duration::from_secs(30)),
//!     );
//! assert_eq!(spec.children.len(), 2);
//! ```

use crate::context::ChildContext;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;

/// Whether a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// Only after a failure; after success it is `completed`.
    Transient,
    /// Never; it is removed from the list when it ends.
    Temporary,
}

/// Who is restarted when one child fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The child alone.
    OneForOne,
    /// All children: they are stopped in reverse and started in order.
    OneForAll,
    /// The child and those after it.
    RestForOne,
}

/// Whether the children of a supervisor depend on one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Started one after the other, each waiting for the one before to be ready; stopped one after the other in reverse.
    Sequential,
    /// Independent: started and stopped all at once (as OTP's `simple_one_for_one` stops).
    Together,
}

/// How many restarts are tolerated: a burst in a short window, and a sustained number in a long one.
///
/// What happens above it:
///
/// | whose intensity | effect |
/// |---|---|
/// | the child has one of its own ([`ChildSpec::intensity`]) | the child stays down in `crash-loop`, its reason kept; siblings and the supervisor's own count are untouched |
/// | the supervisor's | the same, for the child whose restart would be one too many |
/// | the supervisor's, and it has [`SupervisorSpec::escalate`] | it stops all its children and fails; its parent decides |
///
/// With `one_for_all` and `rest_for_one`, the siblings that would have been restarted too are stopped with it.
/// A child in `crash-loop` is started again by [`crate::Handle::restart_child`] or [`crate::Handle::replace_child`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts tolerated within `burst_window`.
    pub burst: u32,
    /// The short window.
    pub burst_window: Duration,
    /// Restarts tolerated within `sustained_window`.
    pub sustained: u32,
    /// The long window.
    pub sustained_window: Duration,
}

impl Intensity {
    /// The same number in one window.
    pub const fn new(restarts: u32, window: Duration) -> Intensity {
        Intensity { burst: restarts, burst_window: window, sustained: restarts, sustained_window: window }
    }
}

impl Default for Intensity {
    /// 5 in 10 s, and 10 in 10 min: with the default backoff a child that always fails is given up after about four minutes.
    fn default() -> Intensity {
        Intensity {
            burst: 5,
            burst_window: Duration::from_secs(10),
            sustained: 10,
            sustained_window: Duration::from_secs(600),
        }
    }
}

/// How long to wait before a restart: `first`, `first × factor`, … up to `max`, each changed by up to ± `jitter` of itself.
/// A child that ran longer than `max` before it failed begins anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// By what each wait is longer than the one before; below 1 counts as 1.
    pub factor: f64,
    /// Share of the wait that is random, 0 to 1; it keeps children that failed together from coming back together.
    pub jitter: f64,
    /// Whether the first restart after a good run does not wait at all.
    pub immediate: bool,
}

impl Default for Backoff {
    /// At once, then 1 s, 2 s, 4 s … 60 s, ± 20 %.
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(60),
            factor: 2.0,
            jitter: 0.2,
            immediate: true,
        }
    }
}

impl Backoff {
    /// No waiting at all.
    pub const NONE: Backoff =
        Backoff { first: Duration::ZERO, max: Duration::ZERO, factor: 1.0, jitter: 0.0, immediate: true };

    /// The same wait every time, without chance.
    pub const fn constant(wait: Duration) -> Backoff {
        Backoff { first: wait, max: wait, factor: 1.0, jitter: 0.0, immediate: false }
    }

    /// The wait after `failures` earlier failures in a row; `chance` is in 0..1.
    pub(crate) fn delay(&self, failures: u32, chance: f64) -> Duration {
        let steps = match (self.immediate, failures) {
            (true, 0) => return Duration::ZERO,
            (true, n) => n - 1,
            (false, n) => n,
        };
        let factor = self.factor.max(1.0);
        let max = self.max.as_secs_f64();
        let grown = (self.first.as_secs_f64() * factor.powi(steps.min(1_000) as i32)).min(max);
        let jitter = self.jitter.clamp(0.0, 1.0);
        let wait = grown * (1.0 + jitter * (2.0 * chance - 1.0));
        Duration::try_from_secs_f64(wait).unwrap_or(self.max)
    }
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a child is made of.
#[derive(Clone)]
pub(crate) enum Start {
    Task(Arc<dyn Fn(ChildContext) -> BoxFuture<Result<(), Problem>> + Send + Sync>),
    Supervisor(Arc<SupervisorSpec>),
}

/// One child: how it is started, and what happens when it ends. Cheap to clone.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its id, unique among its siblings.
    pub id: Arc<str>,
    /// What it is, for people: `task`, `supervisor`, `process`, `thread`, or a word of the caller's, such as `component`.
    pub kind: Arc<str>,
    /// Whether it is started again. Default: permanent.
    pub restart: Restart,
    /// How long it may take to stop before it is killed; zero kills at once. Default: 5 s; for supervisors no limit of its
    /// own, because each of its children has one.
    pub shutdown: Duration,
    /// How long it may take until it is ready. Default: 30 s; for supervisors no limit of its own.
    pub start_deadline: Duration,
    /// Whether it tells by [`crate::Ready::notify`] when it is ready. Otherwise it counts as ready at once. Default: true.
    pub waits_for_ready: bool,
    /// How long to wait before restarts.
    pub backoff: Backoff,
    /// How many restarts before it is given up; without one its restarts count against the supervisor's. Default: none.
    pub intensity: Option<Intensity>,
    pub(crate) start: Start,
}

impl ChildSpec {
    /// A child that is one asynchronous task. `make` is called for every run.
    ///
    /// The task should call `cx.ready.notify()` when it serves, and end soon after `cx.stop` is requested. A panic is contained
    /// and counts as a failure. Tasks that it starts in `cx.scope` end with it.
    pub fn task<F, Fut>(id: impl Into<Arc<str>>, make: F) -> ChildSpec
    where
        F: Fn(ChildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        ChildSpec {
            id: id.into(),
            kind: "task".into(),
            restart: Restart::Permanent,
            shutdown: Duration::from_secs(5),
            start_deadline: Duration::from_secs(30),
            waits_for_ready: true,
            backoff: Backoff::default(),
            intensity: None,
            start: Start::Task(Arc::new(move |cx| Box::pin(make(cx)))),
        }
    }

    /// A child that is a supervisor with children of its own. It is ready when its first children are.
    pub fn supervisor(id: impl Into<Arc<str>>, spec: SupervisorSpec) -> ChildSpec {
        ChildSpec {
            id: id.into(),
            kind: "supervisor".into(),
            restart: Restart::Permanent,
            shutdown: Duration::MAX,
            start_deadline: Duration::MAX,
            waits_for_ready: true,
            backoff: Backoff::default(),
            intensity: None,
            start: Start::Supervisor(Arc::new(spec)),
        }
    }

    /// Another word for what it is.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Arc<str>>) -> ChildSpec {
        self.kind = kind.into();
        self
    }

    /// Another restart.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> ChildSpec {
        self.restart = restart;
        self
    }

    /// Another stop deadline.
    #[must_use]
    pub fn shutdown(mut self, deadline: Duration) -> ChildSpec {
        self.shutdown = deadline;
        self
    }

    /// Another start deadline.
    #[must_use]
    pub fn start_deadline(mut self, deadline: Duration) -> ChildSpec {
        self.start_deadline = deadline;
        self
    }

    /// It counts as ready as soon as it is started.
    #[must_use]
    pub fn ready_at_once(mut self) -> ChildSpec {
        self.waits_for_ready = false;
        self
    }

    /// Another backoff.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> ChildSpec {
        self.backoff = backoff;
        self
    }

    /// An intensity of its own.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> ChildSpec {
        self.intensity = Some(intensity);
        self
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// A supervisor: its children in order, and what it does about failures.
#[derive(Debug, Clone)]
pub struct SupervisorSpec {
    /// Who is restarted when one fails.
    pub strategy: Strategy,
    /// Whether children depend on one another.
    pub order: Order,
    /// How many restarts are tolerated of all children that have no intensity of their own.
    pub intensity: Intensity,
    /// Whether it fails when its intensity is exceeded, instead of leaving the child in `crash-loop`.
    pub escalate: bool,
    /// The children that it starts with.
    pub children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor without children, sequential, with the default intensity, that does not escalate.
    pub fn new(strategy: Strategy) -> SupervisorSpec {
        SupervisorSpec {
            strategy,
            order: Order::Sequential,
            intensity: Intensity::default(),
            escalate: false,
            children: Vec::new(),
        }
    }

    /// One more child, after those before.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> SupervisorSpec {
        self.children.push(child);
        self
    }

    /// Another intensity.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> SupervisorSpec {
        self.intensity = intensity;
        self
    }

    /// It fails to its parent when its intensity is exceeded.
    #[must_use]
    pub fn escalate(mut self) -> SupervisorSpec {
        self.escalate = true;
        self
    }

    /// Its children do not depend on one another: they start and stop all at once.
    #[must_use]
    pub fn together(mut self) -> SupervisorSpec {
        self.order = Order::Together;
        self
    }
}

#[cfg(test)]
mod tests;
