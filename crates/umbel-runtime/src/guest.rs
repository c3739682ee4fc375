//! One call: its task, its deadline, and what its end means.

use crate::answer::Outbox;
use crate::body::BodyWatch;
use crate::budget::Budget;
use crate::calls::{Level, Stream};
use crate::ctx::{Ctx, Growth, Shared};
use crate::engine::{Engine, Pool};
use crate::error::CallError;
use crate::{lane, logs};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

/// Turns that a guest gets after its answer's head for the body. In WASI 0.3 its parts hand the body on to each other, and each is
/// woken by the one before.
const TURNS_MAX: u32 = 3;

/// How deep calls may lead to calls.
const DEPTH_MAX: u32 = 32;

/// One call, seen from its caller, from the response body and from the deadline.
pub(crate) struct Call {
    engine: Engine,
    limit_ms: u64,
    // The call that waits for this one, and how many there are in a row.
    parent: Option<Arc<Call>>,
    depth: u32,
    // What it takes its instance of.
    budget: Arc<Budget>,
    session: AtomicUsize,
    // When the call is late, in ms of the engine's clock; moved on by its progress.
    deadline: AtomicU64,
    task: OnceLock<AbortHandle>,
    pub outbox: Outbox,
    failed: AtomicBool,
    ended: AtomicBool,
    end: Notify,
}

impl Call {
    /// A call of the component. One that is part of another ends no later, and cannot be part of too many.
    pub(crate) fn new(
        engine: &Engine,
        shared: &Shared,
        limit_ms: u64,
        outbox: Outbox,
        parent: Option<Arc<Call>>,
    ) -> Result<Arc<Call>, CallError> {
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        if depth > DEPTH_MAX {
            return Err(CallError::Depth { component: shared.id.clone(), depth: DEPTH_MAX });
        }
        let latest = parent.as_ref().map_or(u64::MAX, |parent| parent.deadline.load(Ordering::Relaxed));
        let deadline = AtomicU64::new(engine.deadline(limit_ms).min(latest));
        Ok(Arc::new(Call {
            engine: engine.clone(),
            limit_ms,
            parent,
            depth,
            budget: shared.budget.clone(),
            session: AtomicUsize::new(0),
            deadline,
            task: OnceLock::new(),
            outbox,
            failed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }))
    }

    /// Waits for a free instance, unless calls that wait for this one hold them: that could be for ever.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, CallError> {
        self.budget.admit_within(|| self.is_ring()).await
    }

    /// Waits for room for an instance that serves a session, likewise.
    pub(crate) async fn admit_session(&self) -> Result<OwnedSemaphorePermit, CallError> {
        self.budget.admit_session(|| self.is_ring()).await
    }

    fn is_ring(&self) -> bool {
        self.ancestors().any(|call| Arc::ptr_eq(&call.budget, &self.budget))
    }

    /// Notes in which session it runs, by its address: whoever looks does so while this call keeps it alive.
    pub(crate) fn runs_in(&self, session: usize) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// Whether a call that waits for this one runs in that session.
    pub(crate) fn is_awaited_in(&self, session: usize) -> bool {
        self.ancestors().any(|call| call.session.load(Ordering::Relaxed) == session)
    }

    fn ancestors(&self) -> impl Iterator<Item = &Arc<Call>> {
        std::iter::successors(self.parent.as_ref(), |call| call.parent.as_ref())
    }

    /// How long it may still take, if it has a limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        let deadline = self.deadline.load(Ordering::Relaxed);
        (deadline < u64::MAX).then(|| Duration::from_millis(deadline.saturating_sub(self.engine.now())))
    }

    /// Its time begins now, and does not end with that of whoever waits for it: what it runs in is not theirs alone.
    pub(crate) fn has_own_time(&self) {
        self.deadline.store(self.engine.deadline(self.limit_ms), Ordering::Relaxed);
    }

    /// Lets the answer leave with what is there of it.
    pub(crate) fn send(&self) {
        if self.outbox.send() {
            self.ended();
        }
    }

    /// Drives the guest. Its answer leaves when it can do no more for the moment.
    pub(crate) async fn sending<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = std::pin::pin!(guest);
        let mut turns = TURNS_MAX;
        std::future::poll_fn(|cx| {
            loop {
                let polled = guest.as_mut().poll(cx);
                if polled.is_ready() || !self.outbox.is_draft() {
                    return polled;
                }
                if turns == 0 {
                    self.send();
                    return polled;
                }
                turns -= 1;
            }
        })
        .await
    }

    /// Notes that the guest failed, before what it holds goes: its body must not look whole then.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.outbox.send_whole();
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

    /// The error of a call that is late.
    pub(crate) fn late(&self, shared: &Shared) -> CallError {
        shared.budget.trapped();
        let error = CallError::Timeout { component: shared.id.clone(), limit_ms: self.limit_ms };
        logs::log(shared, Level::Error, Stream::Host, "call", &error.to_string());
        error
    }

    /// How long it may still take, in ms.
    pub(crate) fn ms_left(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed).saturating_sub(self.engine.now())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
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

    fn is_broken(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// A guest that has begun; ends with this value unless it is released.
pub(crate) enum Guest {
    /// It went on without waiting to its end.
    Ended(Result<(), CallError>),
    /// It goes on in a task.
    Running(Running),
}

/// A task that ends when this is dropped.
pub(crate) struct Running(Option<JoinHandle<Result<(), CallError>>>);

impl Guest {
    /// Starts driving `work` on the thread that asks. Most guests never wait: for them there is no task to make and to wake.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task is owned: by this guard, then by its response body, and by its deadline throughout"
    )]
    pub(crate) async fn start<F>(shared: &Arc<Shared>, call: &Arc<Call>, work: F) -> Guest
    where
        F: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        let mut placed = lane::place(shared, call, work);
        // A task would contain a panic as well.
        match futures::poll!(AssertUnwindSafe(&mut placed).catch_unwind()) {
            Poll::Ready(Ok(result)) => Guest::Ended(result),
            Poll::Ready(Err(_)) => Guest::Ended(Err(panicked(shared))),
            Poll::Pending => {
                let task = tokio::spawn(placed);
                // Set before anybody can hold the response, so that abandoning it always finds the task.
                let _ = call.task.set(task.abort_handle());
                Guest::Running(Running(Some(task)))
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Guest::Ended(_))
    }

    /// Lets the guest go on by itself: its response body and its deadline end it.
    pub(crate) fn release(self) {
        if let Guest::Running(mut running) = self {
            running.0 = None;
        }
    }

    /// Waits for the end of a guest that gave no answer, and says why.
    pub(crate) async fn outcome(self, shared: &Shared) -> CallError {
        let component = shared.id.clone();
        let result = match self {
            Guest::Ended(result) => Ok(result),
            Guest::Running(mut running) => match &mut running.0 {
                Some(task) => {
                    let result = task.await;
                    running.0 = None;
                    result
                }
                None => Ok(Ok(())),
            },
        };
        match result {
            Ok(Ok(())) => {
                shared.budget.trapped();
                let error = CallError::NoResponse { component };
                logs::log(shared, Level::Error, Stream::Host, "call", &error.to_string());
                error
            }
            Ok(Err(error)) => error,
            Err(join) if join.is_cancelled() => CallError::Stopping { component },
            Err(_) => panicked(shared),
        }
    }
}

pub(crate) fn panicked(shared: &Shared) -> CallError {
    CallError::Trapped { component: shared.id.clone(), reason: "the host panicked".into() }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Raised in a guest that computes past its deadline.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct Late;

/// A store for one instance of the component, whose first call this is.
pub(crate) fn store(pool: &Pool, shared: &Arc<Shared>, call: &Arc<Call>) -> Store<Ctx> {
    let mut store = Store::new(&pool.wasmtime, Ctx::new(shared, call));
    store.limiter(|ctx| ctx);
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

/// Prepares the store of a kept instance for its next call.
pub(crate) fn resume(store: &mut Store<Ctx>, call: &Arc<Call>) {
    store.data_mut().begin(call);
    // The epoch has moved on while it was kept; without this the guest would give way at its first step.
    store.set_epoch_deadline(1);
}

/// Whether an instance could not be made because the pool is full.
pub(crate) fn lacks_room(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>()
}

/// Turns an engine error into what the caller is told, books it, and logs it for the component's author.
pub(crate) fn failed(store: &Store<Ctx>, call: &Call, error: wasmtime::Error) -> CallError {
    call.fail();
    let shared = store.data().shared().clone();
    let verdict = classify(store, &shared, call, &error);
    count(&shared.budget, &verdict);
    // The chain holds the guest's own backtrace; the host's is nobody's business here.
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    logs::log(&shared, Level::Error, Stream::Host, "call", &format!("{verdict}\n{}", chain.join("\n")));
    verdict
}

fn count(budget: &Budget, verdict: &CallError) {
    if !matches!(verdict, CallError::Pool { .. } | CallError::Link { .. }) {
        budget.trapped();
    }
}

fn classify(store: &Store<Ctx>, shared: &Shared, call: &Call, error: &wasmtime::Error) -> CallError {
    let component = shared.id.clone();
    if error.is::<Late>() {
        return CallError::Timeout { component, limit_ms: call.limit_ms };
    }
    if lacks_room(error) {
        return CallError::Pool { component };
    }
    if let Some(CallError::Link { problem }) = error.downcast_ref::<CallError>() {
        return CallError::Link { problem: problem.clone() };
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return CallError::Stack { component, reason: first_frame(error) };
    }
    match &store.data().growth {
        Growth::Granted => {}
        Growth::Refused => {
            return CallError::Memory { component, limit_bytes: shared.limits().memory_bytes_max };
        }
        Growth::Failed(reason) => return CallError::HostMemory { component, reason: reason.clone() },
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
