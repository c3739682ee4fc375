//! Sessions: the instances that know the resources which their component made for somebody.
//!
//! ```text
//! importer's instance ── Sessions ──▶ Session ── one call at a time ──▶ instance
//! a resource ── Remote(handle, epoch) ──▶ ┘          └── trap, deadline, given up ──▶ another one, of the next epoch
//! ```
//!
//! A session is held by its importer's instance, and by every resource that is left of it; when nobody holds it, its instance goes. That of
//! a [resident](crate::resident) is there for all importers, and its instance is not replaced.

use crate::component::Component;
use crate::error::CallError;
use crate::guest::Call;
use crate::resident::Seat;
use crate::uses::Use;
use crate::warm::Warm;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use wasmtime::component::{Instance, ResourceAny};

/// An instance that serves one importer's instance, because it has resources of its.
pub(crate) struct Session {
    component: Component,
    // Taken for the time of a call: one instance does one thing at a time.
    instance: Arc<tokio::sync::Mutex<Option<Lasting>>>,
    // Held for a few instructions.
    handles: Mutex<Handles>,
    /// What a resident has beyond that.
    pub seat: Option<Seat>,
}

/// An instance between calls, with its place among those of its component.
pub(crate) struct Lasting {
    pub warm: Warm<Instance>,
    pub place: OwnedSemaphorePermit,
}

/// A session's turn: nobody else calls it meanwhile.
pub(crate) struct Turn {
    pub session: Arc<Session>,
    pub instance: OwnedMutexGuard<Option<Lasting>>,
    /// For the instance that it does not have yet.
    pub place: Option<OwnedSemaphorePermit>,
    /// That of a resident is used from when the call waits for it.
    pub used: Option<Use>,
}

/// What is known of an instance's handles outside of it.
#[derive(Default)]
struct Handles {
    /// Counts the session's instances: after a trap, a deadline or a call that was given up there is another.
    epoch: u64,
    /// Resources of this instance that nobody holds any more; the next call ends them.
    dropped: Vec<ResourceAny>,
}

impl Session {
    /// One without an instance yet.
    pub(crate) fn new(component: &Component) -> Arc<Session> {
        Session::of(component, None)
    }

    /// One without an instance yet, of a resident if it has a seat.
    pub(crate) fn of(component: &Component, seat: Option<Seat>) -> Arc<Session> {
        Arc::new(Session {
            component: component.clone(),
            instance: Arc::default(),
            handles: Mutex::default(),
            seat,
        })
    }

    /// The place of its instance, for whoever makes or ends that.
    pub(crate) fn instance(&self) -> Arc<tokio::sync::Mutex<Option<Lasting>>> {
        self.instance.clone()
    }

    /// Whose instance it is.
    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    /// Waits for the session's turn, and for room for its instance. Only then may the call take of the budget of those that run: what
    /// waits here must not keep others from running.
    pub(crate) async fn turn(self: Arc<Session>, call: &Call) -> Result<Turn, CallError> {
        let shared = &self.component.inner.shared;
        let address = Arc::as_ptr(&self).addr();
        if call.is_awaited_in(address) {
            return Err(shared.budget.ring());
        }
        let used = self.seat.as_ref().map(|seat| seat.uses.call());
        let instance = match self.instance.clone().try_lock_owned() {
            Ok(instance) => instance,
            Err(_) => {
                let _place = self.seat.as_ref().map(|_| shared.budget.queue()).transpose()?;
                let left = call.left().unwrap_or(Duration::MAX);
                let turn = tokio::time::timeout(left, self.instance.clone().lock_owned()).await;
                turn.map_err(|_| call.late(shared))?
            }
        };
        let place = match (&*instance, &self.seat) {
            (Some(_), None) => None,
            (is_there, Some(seat)) => {
                seat.check(self.component.id(), is_there.is_some())?;
                call.has_own_time();
                None
            }
            (None, None) => Some(call.admit_session().await?),
        };
        call.runs_in(address);
        Ok(Turn { session: self, instance, place, used })
    }

    /// Counts a resource that somebody has, where that matters: a resident may be waited for until nobody has any.
    pub(crate) fn hold(&self) -> Option<Use> {
        self.seat.as_ref().map(|seat| seat.uses.resource())
    }

    /// Notes that a resource of that instance is not held any more.
    pub(crate) fn drop_later(&self, resource: ResourceAny, epoch: u64) {
        let mut handles = self.handles();
        if handles.epoch == epoch {
            handles.dropped.push(resource);
        }
    }

    /// Whether anybody but the importer's list of sessions has it: a resource, or a call.
    fn is_held(self: &Arc<Session>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Which of its instances is the one it has now.
    pub(crate) fn epoch(&self) -> u64 {
        self.handles().epoch
    }

    /// The handles of the instance that it had mean nothing to the next one.
    pub(crate) fn begin_anew(&self) {
        let mut handles = self.handles();
        handles.epoch += 1;
        handles.dropped.clear();
    }

    /// What the next call is to end.
    pub(crate) fn take_dropped(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut self.handles().dropped)
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions of one importer's instance.
#[derive(Default)]
pub(crate) struct Sessions(Vec<Arc<Session>>);

impl Sessions {
    /// The session with the component, made at the first call.
    pub(crate) fn with(&mut self, component: &Component) -> Arc<Session> {
        if let Some(resident) = &component.resident {
            return resident.clone();
        }
        let same = |session: &&Arc<Session>| Arc::ptr_eq(&session.component.inner, &component.inner);
        if let Some(session) = self.0.iter().find(same) {
            return session.clone();
        }
        // Of a revision that was replaced meanwhile.
        self.0.retain(|session| session.component.id() != component.id() || session.is_held());
        let session = Session::new(component);
        self.0.push(session.clone());
        session
    }

    /// Lets those go that the importer has no resources of: they hold room that others may want.
    pub(crate) fn prune(&mut self) {
        self.0.retain(Session::is_held);
    }
}
