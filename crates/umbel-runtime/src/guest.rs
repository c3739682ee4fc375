//! Driving one call: its task, its deadline, its CPU, and what its end means.

use crate::body::BodyWatch;
use crate::budget::Budget;
use crate::calls::{Level, Stream};
use crate::ctx::{Ctx, Shared};
use crate::engine::Engine;
use crate::error::CallError;
use crate::logs;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

/// A call that waits is looked at at least so often, for its deadline and for the end of its component.
const LOOK_MS: u64 = 1_000;

/// One call, seen from the response body and from the deadline.
pub(crate) struct Call {
    engine: Engine,
    limit_ms: u64,
    // When the call is late, in ms of the engine's clock; moved on by its progress.
    deadline: AtomicU64,
    task: OnceLock<AbortHandle>,
    answered: AtomicBool,
    ended: AtomicBool,
    end: Notify,
}

impl Call {
    pub(crate) fn new(engine: &Engine, limit_ms: u64) -> Arc<Call> {
        let deadline = AtomicU64::new(engine.deadline(limit_ms));
        Arc::new(Call {
            engine: engine.clone(),
            limit_ms,
            deadline,
            task: OnceLock::new(),
            answered: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        })
    }

    /// Notes that the guest has set its response.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until the last frame of the response has left.
    pub(crate) async fn body_ended(&self) {
        let mut end = std::pin::pin!(self.end.notified());
        end.as_mut().enable();
        if !self.ended.load(Ordering::Acquire) {
            end.await;
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        self.engine.now() >= self.deadline.load(Ordering::Relaxed)
    }
}

impl BodyWatch for Call {
    fn progressed(&self) {
        self.deadline.store(self.engine.deadline(self.limit_ms), Ordering::Relaxed);
    }

    fn ended(&self) {
        self.progressed();
        self.ended.store(true, Ordering::Release);
        self.end.notify_waiters();
    }

    fn abandoned(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// The task of a call; ends it when dropped before [`Guest::release`].
pub(crate) struct Guest {
    task: Option<JoinHandle<Result<(), CallError>>>,
}

impl Guest {
    /// Starts driving `work` on the thread that asks.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task is owned: by this guard, then by its response body, and by its deadline throughout"
    )]
    pub(crate) fn start<F>(shared: &Arc<Shared>, call: &Arc<Call>, work: F) -> Guest
    where
        F: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        let driven = Driven { work: Box::pin(work), shared: shared.clone(), call: call.clone(), alarm: None };
        let task = tokio::spawn(driven);
        // Set before anybody can hold the response, so that abandoning it always finds the task.
        let _ = call.task.set(task.abort_handle());
        Guest { task: Some(task) }
    }

    /// Lets the guest go on by itself: its response body and its deadline end it.
    pub(crate) fn release(mut self) {
        self.task = None;
    }

    /// Waits for the end of a guest that gave no answer, and says why.
    pub(crate) async fn outcome(mut self, shared: &Shared) -> CallError {
        let id = shared.id.clone();
        let Some(task) = &mut self.task else { return CallError::NoResponse { component: id } };
        let result = task.await;
        self.task = None;
        match result {
            Ok(Ok(())) => {
                shared.budget.trapped();
                let error = CallError::NoResponse { component: id };
                logs::log(shared, Level::Error, Stream::Host, "call", &error.to_string());
                error
            }
            Ok(Err(error)) => error,
            Err(join) if join.is_cancelled() => CallError::Stopping { component: id },
            Err(join) => CallError::Trapped { component: id, reason: join.to_string() },
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Books the CPU of every step, and ends the work when it is late while it waits.
struct Driven<F> {
    work: Pin<Box<F>>,
    shared: Arc<Shared>,
    call: Arc<Call>,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<F: Future<Output = Result<(), CallError>>> Future for Driven<F> {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let begun = Instant::now();
        let polled = self.work.as_mut().poll(cx);
        self.shared.budget.charge_cpu(begun.elapsed());
        if polled.is_ready() {
            return polled;
        }
        loop {
            if self.shared.budget.is_over() {
                return Poll::Ready(Err(CallError::Stopping { component: self.shared.id.clone() }));
            }
            if self.call.is_late() {
                return Poll::Ready(Err(late(&self.shared, self.call.limit_ms)));
            }
            let left = self.call.deadline.load(Ordering::Relaxed).saturating_sub(self.call.engine.now());
            // Wakes once in a while, not per step: progress moves the deadline, and the alarm is set anew when it rings early.
            let alarm = self.alarm.get_or_insert_with(|| {
                Box::pin(tokio::time::sleep(Duration::from_millis(left.clamp(1, LOOK_MS))))
            });
            match alarm.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.alarm = None,
            }
        }
    }
}

fn late(shared: &Shared, limit_ms: u64) -> CallError {
    shared.budget.trapped();
    let error = CallError::Timeout { component: shared.id.clone(), limit_ms };
    logs::log(shared, Level::Error, Stream::Host, "call", &error.to_string());
    error
}

/// Raised in a guest that computes past its deadline.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct Late;

/// A store for one instance of the component, whose first call this is.
pub(crate) fn store(engine: &Engine, shared: &Arc<Shared>, call: &Arc<Call>) -> Store<Ctx> {
    let mut store = Store::new(engine.wasmtime(), Ctx::new(shared, call));
    store.limiter(|ctx| &mut ctx.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|cx| {
        let ctx = cx.data();
        if ctx.call.is_late() {
            return Err(wasmtime::Error::new(Late));
        }
        Ok(match ctx.shared().budget.cpu_debt() {
            Some(pause) => UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(pause))),
            None => UpdateDeadline::Yield(1),
        })
    });
    store
}

/// Turns an engine error into what the caller is told, books it, and logs it for the component's author.
pub(crate) fn failed(store: &Store<Ctx>, call: &Call, error: wasmtime::Error) -> CallError {
    let shared = store.data().shared().clone();
    let verdict = classify(store, &shared, call, &error);
    count(&shared.budget, &verdict);
    // The chain holds the guest's own backtrace; the host's is nobody's business here.
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    logs::log(&shared, Level::Error, Stream::Host, "call", &format!("{verdict}\n{}", chain.join("\n")));
    verdict
}

fn count(budget: &Budget, verdict: &CallError) {
    if !matches!(verdict, CallError::Pool { .. }) {
        budget.trapped();
    }
}

fn classify(store: &Store<Ctx>, shared: &Shared, call: &Call, error: &wasmtime::Error) -> CallError {
    let component = shared.id.clone();
    if error.is::<Late>() {
        return CallError::Timeout { component, limit_ms: call.limit_ms };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Pool { component };
    }
    if let Some(CallError::Unlinked { import, help, .. }) = error.downcast_ref::<CallError>() {
        return CallError::Unlinked { component, import: import.clone(), help: help.clone() };
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return CallError::Stack { component, reason: first_frame(error) };
    }
    if store.data().limiter.refused {
        return CallError::Memory { component, limit_bytes: shared.limits().memory_bytes_max };
    }
    match trap {
        Some(trap) => CallError::Trapped { component, reason: format!("{trap} {}", first_frame(error)) },
        None => CallError::Trapped { component, reason: format!("{error:#}") },
    }
}

/// The innermost guest function, for the one line that the caller sees.
fn first_frame(error: &wasmtime::Error) -> String {
    let trace = error.downcast_ref::<wasmtime::WasmBacktrace>();
    let Some(frame) = trace.and_then(|trace| trace.frames().first()) else { return "somewhere".into() };
    match frame.func_name() {
        Some(name) => format!("in {name}"),
        None => format!("in function {}", frame.func_index()),
    }
}
