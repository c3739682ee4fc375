//! An answer on its way out: in one piece when the guest is done with it, and otherwise as soon as the guest can do no more for the
//! moment.
//!
//! ```text
//! the guest sets it ─▶ draft ──all of its body is there──▶ leaves whole, with its length; the instance is free
//!                        └──the guest waits, or it is long──▶ the head leaves with what is there; the guest goes on
//! ```

use crate::body::Pieces;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

/// What the caller gets: a response, or the guest's own error.
pub(crate) type Answer = Result<http::Response<Pieces>, String>;

/// Where a guest puts its answer, and where it leaves from.
pub(crate) struct Outbox {
    // Held for a few instructions, by the one task that runs the guest.
    state: Mutex<State>,
}

enum State {
    /// The guest has not answered.
    Open(oneshot::Sender<Answer>),
    /// It has; the answer is still here.
    Draft(oneshot::Sender<Answer>, http::Response<Pieces>),
    /// The answer has left.
    Sent,
    /// There will be none.
    Closed,
}

impl Outbox {
    pub(crate) fn new(caller: oneshot::Sender<Answer>) -> Outbox {
        Outbox { state: Mutex::new(State::Open(caller)) }
    }

    /// For a call that is not answered with a response.
    pub(crate) fn closed() -> Outbox {
        Outbox { state: Mutex::new(State::Closed) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the guest's answer.
    pub(crate) fn put(&self, answer: Result<http::Response<WasiBody>, String>) {
        let mut state = self.state();
        *state = match (std::mem::replace(&mut *state, State::Closed), answer) {
            (State::Open(caller), Ok(response)) => State::Draft(caller, response.map(Pieces::of)),
            (State::Open(caller), Err(error)) => {
                // Nobody listens any more when the caller went away meanwhile.
                let _ = caller.send(Err(error));
                State::Sent
            }
            // Only the first counts.
            (other, _) => other,
        };
    }

    /// Whether the guest has answered.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(*self.state(), State::Draft(..) | State::Sent)
    }

    /// Whether it has answered, and the answer is still here.
    pub(crate) fn is_draft(&self) -> bool {
        matches!(*self.state(), State::Draft(..))
    }

    /// Takes the first pieces of the body, until they are all or many. Ready as well when there is nothing to take.
    pub(crate) fn poll_gather(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.state() {
            State::Draft(_, response) => response.body_mut().poll_gather(cx),
            State::Open(_) | State::Sent | State::Closed => Poll::Ready(()),
        }
    }

    /// Lets the answer leave with what is there of it, if it has not left. Returns whether that was all.
    pub(crate) fn send(&self) -> bool {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Sent) {
            State::Draft(caller, mut response) => {
                let _ = response.body_mut().poll_gather(&mut Context::from_waker(Waker::noop()));
                let whole = response.body().is_whole();
                let _ = caller.send(Ok(response));
                whole
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// The same for a guest that failed: it leaves only if the guest was done with it.
    pub(crate) fn send_whole(&self) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Draft(caller, mut response) => {
                let _ = response.body_mut().poll_gather(&mut Context::from_waker(Waker::noop()));
                if response.body().is_whole() {
                    let _ = caller.send(Ok(response));
                }
            }
            State::Sent => *state = State::Sent,
            State::Open(_) | State::Closed => {}
        }
    }

    /// Gives up: whoever waits for the answer learns that there will be none.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Sent) {
            *state = State::Closed;
        }
    }
}
