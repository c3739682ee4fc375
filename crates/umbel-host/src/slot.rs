//! A slot: one component id, whatever revision runs under it. Calls come in here and take the revision of that moment.

use crate::door::Bindings;
use arc_swap::{ArcSwap, ArcSwapOption};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::code::guest;
use umbel_core::id::ComponentId;
use umbel_core::limits::Limits;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{PartState, Scale};
use umbel_provider::http::{Handler, Request, Response};
use umbel_runtime::calls::Within;
use umbel_runtime::{Budget, Component, Usage};
use umbel_wit::{Call, Serve, Value};

/// What runs under an id until an update: an image, the order that asked for it, and what its calls reach.
pub struct Revision {
    /// What runs.
    pub component: Component,
    /// Why.
    pub order: Arc<Scale>,
    /// Its links and config. Its own, so that calls that go on while it is replaced do not see what is meant for its successor.
    /// They are those that its order names: an application's next version has configs of other names, and its links are changed
    /// when it runs.
    pub bindings: Arc<ArcSwap<Bindings>>,
}

/// One component id.
pub struct Slot {
    /// The id.
    pub id: ComponentId,
    /// What should run.
    pub desired: watch::Sender<Arc<Scale>>,
    /// What runs.
    pub current: ArcSwapOption<Revision>,
    // Written by the slot's task alone; read by inventory.
    status: Mutex<Status>,
}

/// How a slot is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its state.
    pub state: PartState,
    /// Why it is not running, or why the newest order could not be followed.
    pub problem: Option<Problem>,
    /// The reference that runs.
    pub image_ref: String,
    /// The digest that runs.
    pub digest: Option<String>,
    /// The claims of what runs, as events show them.
    pub claims: Option<umbel_core::event::ComponentClaims>,
    /// The key that the claims are about.
    pub public_key: Option<String>,
    /// The budget, kept over updates that leave the limits alone.
    pub budget: Option<Arc<Budget>>,
    /// Budgets before the last change of limits, under which calls may still run.
    pub older: Vec<Arc<Budget>>,
    /// Use under budgets that nothing runs under any more.
    pub past: Usage,
}

impl Slot {
    /// A slot that nothing runs in yet.
    pub fn new(scale: Scale) -> Slot {
        let status = Status {
            state: PartState::Starting,
            problem: None,
            image_ref: scale.component_ref.clone(),
            digest: None,
            claims: None,
            public_key: None,
            budget: None,
            older: Vec::new(),
            past: Usage::default(),
        };
        Slot {
            id: scale.component_id.clone(),
            desired: watch::Sender::new(Arc::new(scale)),
            current: ArcSwapOption::empty(),
            status: Mutex::new(status),
        }
    }

    /// A copy of its status.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// Changes its status.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        // Plain data that is valid at every moment.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The annotations of the newest order.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.desired.borrow().annotations.clone().unwrap_or_default()
    }

    /// The budget for these limits: the one it has, or a new one when they changed.
    pub fn budget_for(&self, limits: &Limits) -> Arc<Budget> {
        let mut status = self.lock();
        if let Some(budget) = &status.budget
            && budget.limits() == limits
        {
            return budget.clone();
        }
        status.retire();
        let budget = Budget::new(self.id.as_str(), limits.clone());
        status.budget = Some(budget.clone());
        budget
    }

    /// What it has used, over all its budgets.
    pub fn usage(&self) -> Usage {
        let status = self.lock();
        let mut usage = status.past;
        for budget in status.budgets() {
            let now = budget.usage();
            add(&mut usage, now);
            usage.calls_in_flight += now.calls_in_flight;
            usage.calls_waiting += now.calls_waiting;
            usage.memory_bytes += now.memory_bytes;
        }
        usage
    }
}

impl Status {
    /// All budgets under which calls may run.
    pub fn budgets(&self) -> impl Iterator<Item = &Arc<Budget>> {
        self.older.iter().chain(&self.budget)
    }

    /// Puts the budget among the older ones, and books those that nobody holds any more.
    pub fn retire(&mut self) {
        self.older.extend(self.budget.take());
        let past = &mut self.past;
        self.older.retain(|budget| {
            let held = Arc::strong_count(budget) > 1;
            if !held {
                add(past, budget.usage());
            }
            held
        });
    }
}

fn add(sum: &mut Usage, more: Usage) {
    sum.calls += more.calls;
    sum.refused += more.refused;
    sum.traps += more.traps;
    sum.cpu_us += more.cpu_us;
    sum.cpu_background_us += more.cpu_background_us;
    sum.log_bytes += more.log_bytes;
    sum.log_bytes_dropped += more.log_bytes_dropped;
    sum.cpu_throttled += more.cpu_throttled;
    sum.memory_refused += more.memory_refused;
    sum.memory_bytes_max_seen = sum.memory_bytes_max_seen.max(more.memory_bytes_max_seen);
}

/// The limits that an order asks for, with those of wasmCloud's own fields where ours are absent. `execution_max` is how long a call may
/// take where neither says.
pub fn limits_of(scale: &Scale, execution_max: Option<Duration>) -> Limits {
    let mut limits = scale.limits.clone().unwrap_or_default();
    if let (None, Some(max)) = (&scale.limits, execution_max) {
        limits.call_ms_max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    }
    if scale.limits.is_none()
        && let Some(given) = &scale.component_limits
    {
        limits.memory_bytes_max = given.memory_bytes_max().unwrap_or(limits.memory_bytes_max);
        limits.call_ms_max = given.call_ms_max().unwrap_or(limits.call_ms_max);
    }
    // wasmCloud's scale is the number of calls that may run at once.
    limits.instances_max = limits.instances_max.min(scale.count.max(1));
    limits
}

impl Slot {
    /// Answers a request that another component sends within a call of its own.
    pub(crate) fn answer(
        &self,
        request: Request,
        within: Within,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        match self.current.load_full() {
            Some(revision) => async move {
                let answer = revision.component.http_within(request, within).await;
                answer.map_err(|e| Problem::from(&e as &dyn Coded))
            }
            .boxed(),
            None => futures::future::ready(Err(not_running(self))).boxed(),
        }
    }
}

impl Handler for Slot {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        match self.current.load_full() {
            Some(revision) => async move {
                revision.component.http(request).await.map_err(|e| Problem::from(&e as &dyn Coded))
            }
            .boxed(),
            None => futures::future::ready(Err(not_running(self))).boxed(),
        }
    }
}

impl Serve for Slot {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        match self.current.load_full() {
            Some(revision) => revision.component.call(call),
            None => futures::future::ready(Err(not_running(self))).boxed(),
        }
    }
}

/// Why there is nothing to call: because it comes, because it goes, or because something is wrong with it.
pub(crate) fn not_running(slot: &Slot) -> Problem {
    let Status { state, problem, .. } = slot.status();
    let code = match state {
        PartState::Starting | PartState::Compiling => guest::STARTING,
        PartState::Draining | PartState::Stopped => guest::STOPPING,
        _ => guest::NOT_RUNNING,
    };
    let said = Problem::new(code, format!("{} is {state}", slot.id));
    match problem {
        Some(problem) if code == guest::NOT_RUNNING => {
            said.with_cause(problem.to_string()).with_help(problem.help)
        }
        _ => said,
    }
}

#[cfg(test)]
mod tests;
