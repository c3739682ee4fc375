//! Where a call is driven: on the thread that it came in by, and in the background once it computes for long.
//!
//! A thread of the data path serves many. A guest gives way there at every tick, but four that compute would still make everybody else wait for
//! four ticks. So a call that was seen to compute through a whole turn goes on on a thread of low priority, and for a while further calls of its
//! component begin there.

use crate::ctx::Shared;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::resident::ToTheEnd;
use crate::session::Session;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A call that waits is looked at at least so often, for its deadline and for the end of its component.
const LOOK_MS: u64 = 1_000;

/// A turn that takes so long may be one of a guest that computes: most of a tick.
const TURN_MAX: Duration = Duration::from_micros(700);

/// For how long the calls of a component begin in the background after one of them has computed for long.
const HEAVY_MS: u64 = 1_000;

thread_local! {
    /// Time of calls within the step that this thread is at: it is booked to their components, not to the caller.
    static NESTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Whether what runs on this thread was moved to the background, so that what is nested in it is there too.
    static IN_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Drives a call within a call, on the task of the outer one.
pub(crate) async fn nested<T>(
    shared: &Arc<Shared>,
    call: &Arc<Call>,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let mut driven = Driven::new(shared, call, work);
    driven.is_nested = true;
    driven.await
}

/// Drives a call of a resident, to its end also when nobody waits for it any more: its instance must not go because a caller does.
pub(crate) async fn to_the_end<T, F>(
    call: &Arc<Call>,
    session: Arc<Session>,
    is_part: bool,
    work: F,
) -> Result<T, CallError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    let shared = session.component().inner.shared.clone();
    if !is_part {
        return ToTheEnd::of(place(&shared, call, work), session).await;
    }
    let mut driven = Driven::new(&shared, call, work);
    driven.is_nested = true;
    ToTheEnd::of(driven, session).await
}

/// Runs something on a task of its own, which ends when this is dropped; nothing if it panicked. The event loop of one store cannot run within
/// that of another.
#[expect(
    clippy::disallowed_methods,
    reason = "the task is owned: by the future, which ends it when it is dropped"
)]
pub(crate) fn apart<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Option<T>> + Send {
    let task = Apart(tokio::spawn(work));
    async move {
        let mut task = task;
        (&mut task.0).await.ok()
    }
}

/// A task that ends when this is dropped.
struct Apart<T>(JoinHandle<T>);

impl<T> Drop for Apart<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Drives a call that is part of no other.
pub(crate) fn place<T, F>(shared: &Arc<Shared>, call: &Arc<Call>, work: F) -> Placed<T, F>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    let driven = Driven::new(shared, call, work);
    match call.engine().background() {
        Some(_) if shared.is_heavy(call) => driven.move_on(),
        _ => Placed::Here(Some(driven)),
    }
}

impl Shared {
    fn is_heavy(&self, call: &Call) -> bool {
        call.engine().now() < self.heavy_until.load(Relaxed)
    }

    fn is_heavy_now(&self, call: &Call) {
        self.heavy_until.store(call.engine().now() + HEAVY_MS, Relaxed);
    }
}

/// A call where it belongs.
pub(crate) enum Placed<T, F> {
    /// On the thread that it came in by. Empty only within a step.
    Here(Option<Driven<F>>),
    /// In the background.
    There(Moved<T>),
}

/// A call in the background.
pub(crate) struct Moved<T> {
    task: Apart<Result<T, CallError>>,
    shared: Arc<Shared>,
}

impl<T, F> Future for Placed<T, F>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Placed::Here(here) => {
                    let Some(driven) = here else { return Poll::Pending };
                    let polled = Pin::new(&mut *driven).poll(cx);
                    if polled.is_ready()
                        || !driven.has_computed
                        || driven.call.engine().background().is_none()
                    {
                        return polled;
                    }
                    if let Some(driven) = here.take() {
                        *self = driven.move_on();
                    }
                }
                Placed::There(moved) => {
                    let polled = Pin::new(&mut moved.task.0).poll(cx);
                    return polled.map(|joined| match joined {
                        Ok(result) => result,
                        Err(end) if end.is_cancelled() => {
                            Err(CallError::Stopping { component: moved.shared.id.clone() })
                        }
                        Err(_) => Err(guest::panicked(&moved.shared)),
                    });
                }
            }
        }
    }
}

/// Books the CPU of every step, and ends the work when it is late while it waits.
pub(crate) struct Driven<F> {
    work: Pin<Box<F>>,
    shared: Arc<Shared>,
    call: Arc<Call>,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
    watch: Watch,
    /// Whether a turn of it was one of computing throughout.
    has_computed: bool,
    /// Whether it goes on in the background.
    is_moved: bool,
    /// Whether it is part of another: where that is driven is decided for both.
    is_nested: bool,
}

/// How the time of a step is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// By the wall clock, which is cheap.
    Wall,
    /// By the clock of the thread, which does not run on while the thread has no core: a long step may have been one of waiting for a core.
    Thread,
}

impl Watch {
    fn begin(self) -> Begun {
        match self {
            Watch::Wall => Begun::Wall(Instant::now()),
            Watch::Thread => Begun::Thread(thread_time()),
        }
    }
}

enum Begun {
    Wall(Instant),
    Thread(Duration),
}

impl Begun {
    fn elapsed(&self) -> Duration {
        match self {
            Begun::Wall(begun) => begun.elapsed(),
            Begun::Thread(begun) => thread_time().saturating_sub(*begun),
        }
    }
}

/// The CPU time that this thread has had.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl<F> Driven<F> {
    fn new(shared: &Arc<Shared>, call: &Arc<Call>, work: F) -> Driven<F> {
        Driven {
            work: Box::pin(work),
            shared: shared.clone(),
            call: call.clone(),
            alarm: None,
            watch: Watch::Wall,
            has_computed: false,
            is_moved: false,
            is_nested: false,
        }
    }

    /// Goes on in the background, from the next step on.
    fn move_on<T>(mut self) -> Placed<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let Some(background) = self.call.engine().background().cloned() else {
            return Placed::Here(Some(self));
        };
        self.is_moved = true;
        let shared = self.shared.clone();
        Placed::There(Moved { task: Apart(background.spawn(self)), shared })
    }

    fn step<T>(&mut self, cx: &mut Context<'_>) -> Poll<T>
    where
        F: Future<Output = T>,
    {
        if self.is_moved {
            IN_BACKGROUND.set(true);
        }
        let in_background = IN_BACKGROUND.get();
        if self.is_moved {
            // There a thread often waits for a core. What is nested has the cheap clock all the same: it is asked at every call.
            self.watch = Watch::Thread;
        }
        let outer = NESTED.take();
        let begun = self.watch.begin();
        let polled = self.work.as_mut().poll(cx);
        let spent = begun.elapsed();
        self.shared.budget.charge_cpu(spent.saturating_sub(NESTED.get()), in_background);
        if self.is_moved {
            IN_BACKGROUND.set(false);
        }
        NESTED.set(outer + spent);
        if self.is_nested {
            return polled;
        }
        if spent >= TURN_MAX {
            match self.watch {
                // The next step tells.
                Watch::Wall => self.watch = Watch::Thread,
                Watch::Thread => {
                    self.has_computed = true;
                    self.shared.is_heavy_now(&self.call);
                }
            }
        } else {
            self.watch = Watch::Wall;
        }
        polled
    }
}

impl<T, F: Future<Output = Result<T, CallError>>> Future for Driven<F> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.step(cx);
        if polled.is_ready() {
            return polled;
        }
        loop {
            if self.shared.budget.is_over() {
                self.call.fail();
                return Poll::Ready(Err(CallError::Stopping { component: self.shared.id.clone() }));
            }
            if self.call.is_late() {
                self.call.fail();
                return Poll::Ready(Err(self.call.late(&self.shared)));
            }
            let left = self.call.ms_left();
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

/// Whoever waits for the answer learns that there is none, however the work ended.
impl<F> Drop for Driven<F> {
    fn drop(&mut self) {
        self.call.outbox.close();
    }
}
