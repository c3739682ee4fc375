//! A component that is there all the time: one instance, in which all calls of its contracts run one after another, so that it can hold
//! state.
//!
//! ```text
//! callers ──▶ queue ──▶ the turn ──▶ the instance ──▶ the next turn
//!                                         └── trap, deadline, memory ──▶ failed: whoever supervises it makes another resident
//! ```
//!
//! A call has its own time from its turn on, and runs to its end also when its caller has gone: the instance belongs to all of them.

use crate::answer::Outbox;
use crate::component::Component;
use crate::error::CallError;
use crate::guest::Call;
use crate::handler;
use crate::lane;
use crate::session::{Lasting, Session};
use crate::uses::Uses;
use crate::warm::Warm;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::code::guest::NOT_RUNNING;
use umbel_core::{Coded, Problem};
use wasmtime::component::Instance;

/// What a call that is ended gets to notice it: calls that wait are looked at once in a second.
const END_GRACE: Duration = Duration::from_millis(1_500);

/// A component with its one instance. Cheap to clone; the instance goes when it is stopped, or when nobody holds it.
#[derive(Clone)]
pub struct Resident {
    component: Component,
    session: Arc<Session>,
    uses: Uses,
}

impl Resident {
    /// Makes the instance.
    ///
    /// # Errors
    /// Instantiation traps, takes too long, or there is no room for it.
    pub async fn start(component: Component) -> Result<Resident, CallError> {
        let uses = Uses::default();
        let session = Session::of(&component, Some(Seat::new(uses.clone())));
        let inner = &component.inner;
        let (shared, limit_ms) = (&inner.shared, inner.shared.limits().call_ms_max);
        let call = Call::new(&inner.engine, shared, limit_ms, Outbox::closed(), None)?;
        let place = call.admit_session().await?;
        let permit = call.admit().await?;
        let work = {
            let (inner, call) = (inner.clone(), call.clone());
            async move {
                let warm: Warm<Instance> = handler::fresh(&inner, &call).await?;
                drop(permit);
                Ok(warm)
            }
        };
        let warm = lane::place(shared, &call, work).await?;
        session.begin_anew();
        *session.instance().lock().await = Some(Lasting { warm, place });
        let component = Component { resident: Some(session.clone()), ..component };
        Ok(Resident { component, session, uses })
    }

    /// What calls go to, as to any component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Waits until a call has ended the instance, and says how. A resident that is stopped never fails.
    pub async fn failed(&self) -> Problem {
        let Some(seat) = &self.session.seat else { return std::future::pending().await };
        let mut fate = seat.fate.subscribe();
        loop {
            if let Fate::Failed(problem) = &*fate.borrow_and_update() {
                return problem.clone();
            }
            if fate.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Calls that have their turn or wait for it, and resources that somebody has.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Lets the calls that are there finish within `deadline`, and ends the instance. Calls that come later are refused.
    pub async fn stop(&self, deadline: Duration) {
        // Those who wait already are before us in the queue.
        let mut instance = tokio::time::timeout(deadline, self.session.instance().lock_owned()).await.ok();
        if instance.is_none() {
            self.component.inner.shared.budget.end();
            instance = tokio::time::timeout(END_GRACE, self.session.instance().lock_owned()).await.ok();
        }
        if let Some(seat) = &self.session.seat {
            seat.fate.send_replace(Fate::Stopped);
        }
        if let Some(instance) = &mut instance {
            **instance = None;
        }
    }
}

/// What became of a resident.
#[derive(Clone)]
enum Fate {
    Serves,
    /// A call has ended its instance.
    Failed(Problem),
    Stopped,
}

/// What the session of a resident has beyond that of an importer.
pub(crate) struct Seat {
    fate: watch::Sender<Fate>,
    /// Whether a call has the instance; it stays so when that does not come back.
    is_out: AtomicBool,
    /// Calls that have their turn or wait for it, and resources that somebody has.
    pub(crate) uses: Uses,
}

impl Seat {
    fn new(uses: Uses) -> Seat {
        Seat { fate: watch::Sender::new(Fate::Serves), is_out: AtomicBool::new(false), uses }
    }

    /// Whether the call whose turn it is finds what it came for.
    pub(crate) fn check(&self, id: &str, is_there: bool) -> Result<(), CallError> {
        let component = id.to_string();
        match &*self.fate.borrow() {
            Fate::Serves if is_there => Ok(()),
            Fate::Serves | Fate::Failed(_) => Err(CallError::Over { component }),
            Fate::Stopped => Err(CallError::Stopping { component }),
        }
    }
}

impl Session {
    /// Notes whether a call has the instance.
    pub(crate) fn is_out(&self, is_out: bool) {
        if let Some(seat) = &self.seat {
            seat.is_out.store(is_out, Relaxed);
        }
    }

    /// Whether it is that of a resident that does not serve any more.
    pub(crate) fn has_left(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| !matches!(*seat.fate.borrow(), Fate::Serves))
    }

    /// A call has failed: if it had the instance, that is gone.
    fn failed(&self, problem: impl FnOnce() -> Problem) {
        let Some(seat) = self.seat.as_ref().filter(|seat| seat.is_out.load(Relaxed)) else { return };
        seat.fate.send_if_modified(|fate| {
            let serves = matches!(fate, Fate::Serves);
            if serves {
                *fate = Fate::Failed(problem());
            }
            serves
        });
    }
}

/// A call of a resident. When it is dropped before its end, it goes on in a task: its deadline ends it.
pub(crate) struct ToTheEnd<F: Work> {
    // Taken while it is polled, and at its end.
    work: Option<F>,
    session: Arc<Session>,
    has_begun: bool,
    has_ended: bool,
    is_apart: bool,
}

/// What drives a call.
pub(crate) trait Work:
    Future<Output = Result<Self::Answer, CallError>> + Unpin + Send + 'static
{
    type Answer: Send + 'static;
}

impl<T: Send + 'static, F: Future<Output = Result<T, CallError>> + Unpin + Send + 'static> Work for F {
    type Answer = T;
}

impl<F: Work> ToTheEnd<F> {
    pub(crate) fn of(work: F, session: Arc<Session>) -> ToTheEnd<F> {
        ToTheEnd { work: Some(work), session, has_begun: false, has_ended: false, is_apart: false }
    }
}

impl<F: Work> Future for ToTheEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        self.has_begun = true;
        match Pin::new(&mut work).poll(cx) {
            Poll::Pending => {
                self.work = Some(work);
                Poll::Pending
            }
            Poll::Ready(result) => {
                self.has_ended = true;
                if let Err(error) = &result {
                    self.session.failed(|| Problem::from(error as &dyn Coded));
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<F: Work> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if self.has_ended || !self.has_begun {
            return;
        }
        let id = self.session.component().id();
        match (self.work.take(), tokio::runtime::Handle::try_current()) {
            (Some(work), Ok(runtime)) if !self.is_apart => {
                let apart =
                    ToTheEnd { work: Some(work), session: self.session.clone(), is_apart: true, ..*self };
                // Owned by the call's deadline, and by the end of its budget.
                drop(runtime.spawn(apart));
            }
            // The work is dropped first, so that who waits for the turn finds what it has left.
            (work, _) => {
                drop(work);
                let text = format!("a call of {id} could not be carried to its end");
                self.session.failed(|| Problem::new(NOT_RUNNING, text));
            }
        }
    }
}
