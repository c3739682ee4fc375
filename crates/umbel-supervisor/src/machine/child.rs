//! What the machine knows of one child.

use super::rate::Rate;
use super::{Cause, Run, Time};
use crate::spec::{Backoff, ChildSpec, Intensity, Restart};
use std::time::Duration;
use umbel_core::Problem;

/// The part of a [`ChildSpec`] that decisions depend on.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) restart: Restart,
    pub(crate) shutdown: Duration,
    pub(crate) start_deadline: Duration,
    pub(crate) waits_for_ready: bool,
    pub(crate) backoff: Backoff,
    pub(crate) intensity: Option<Intensity>,
}

impl From<&ChildSpec> for Policy {
    fn from(spec: &ChildSpec) -> Policy {
        Policy {
            restart: spec.restart,
            shutdown: spec.shutdown,
            start_deadline: spec.start_deadline,
            waits_for_ready: spec.waits_for_ready,
            backoff: spec.backoff,
            intensity: spec.intensity,
        }
    }
}

/// Where a child is in its life.
///
/// ```text
///             ┌──────────── BackingOff ◀───────────┐ failed
///             ▼                                    │
/// Waiting ─▶ Starting ─ready─▶ Running ────────────┼─▶ Completed
///    ▲            └──────┬──────┘ asked to end     └─▶ CrashLoop   (failed too often)
///    └─ its group ─ Stopping ─▶ Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not started yet; its turn in the order comes.
    Waiting(Cause),
    /// Started, not ready.
    Starting { until: Option<Time> },
    /// Ready.
    Running,
    /// Failed; started again at `until`.
    BackingOff { until: Time },
    /// Asked to end; `killed` once the deadline has passed.
    Stopping { until: Option<Time>, killed: bool },
    /// Down on request, or `held` down because a sibling that it depends on is in a crash loop.
    Stopped { held: bool },
    /// Down because it failed too often.
    CrashLoop,
    /// Ended with success and is not to be restarted.
    Completed,
}

impl Phase {
    /// Whether something of the child runs.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. })
    }

    /// Whether it runs and nobody has asked it to end.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Phase::Starting { .. } | Phase::Running)
    }

    /// When the machine must look at it again.
    pub(crate) fn deadline(self) -> Option<Time> {
        match self {
            Phase::Starting { until } | Phase::Stopping { until, .. } => until,
            Phase::BackingOff { until } => Some(until),
            _ => None,
        }
    }
}

/// What becomes of a child when its present run has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It should run: its restart policy decides.
    #[default]
    Up,
    /// It stays down: stopped by hand, or with its supervisor.
    Down,
    /// It stays down until the sibling in the crash loop is started again.
    Held,
    /// It is taken off the list.
    Remove,
    /// It is started again at once: restarted by hand.
    Again,
    /// It waits for its turn: its group is restarted.
    Regroup,
    /// Its restart policy decides as if it had failed with this.
    Fault(Box<Problem>),
}

/// One child.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) policy: Policy,
    pub(crate) phase: Phase,
    pub(crate) goal: Goal,
    /// Counts the runs; what is told of an earlier run is ignored.
    pub(crate) run: Run,
    /// The stop deadline of the present run; a changed policy is for the next.
    pub(crate) shutdown: Duration,
    /// Restarts by the supervisor, ever.
    pub(crate) restarts: u32,
    /// Failures in a row, for the backoff.
    pub(crate) failures: u32,
    /// Restarts against its own intensity.
    pub(crate) rate: Rate,
    /// When the present run became ready.
    pub(crate) ready_at: Option<Time>,
    pub(crate) last_exit: Option<Problem>,
    /// Why the supervisor keeps it down, in words.
    pub(crate) why: Option<String>,
}

impl Child {
    pub(crate) fn new(policy: Policy) -> Child {
        Child {
            shutdown: policy.shutdown,
            policy,
            phase: Phase::Waiting(Cause::First),
            goal: Goal::Up,
            run: Run(0),
            restarts: 0,
            failures: 0,
            rate: Rate::default(),
            ready_at: None,
            last_exit: None,
            why: None,
        }
    }

    /// Forgets failures: somebody has looked at it.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
        self.rate.clear();
        self.why = None;
    }
}
