//! What a child is given: a stop to watch, a way to say that it is ready, a scope for its tasks.

use crate::handle::Handle;
use crate::machine::{Key, Run};
use crate::scope::Scope;
use crate::stop::Stop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What one run of a child is given. Public fields, so that they can be moved to where they are needed.
pub struct ChildContext {
    /// The child's id.
    pub id: Arc<str>,
    /// Asks the child to end.
    pub stop: Stop,
    /// Says that the child is ready.
    pub ready: Ready,
    /// Shows a line of text beside the child in the tree.
    pub detail: Detail,
    /// Tasks of the child; those that run when the child ends are aborted.
    pub scope: Scope,
    /// How long the child may take to stop once it is asked to: its budget for draining.
    pub shutdown: Duration,
    /// The supervisor of this child, for starting siblings and for reading the tree. It does not keep the tree alive.
    pub supervisor: Handle,
}

/// Says that a child is ready; the next child of an ordered start waits for it.
#[derive(Clone)]
pub struct Ready(Arc<ReadyInner>);

struct ReadyInner {
    told: AtomicBool,
    bell: Arc<Bell>,
    key: Key,
    run: Run,
}

impl Ready {
    pub(crate) fn new(bell: Arc<Bell>, key: Key, run: Run) -> Ready {
        Ready(Arc::new(ReadyInner { told: AtomicBool::new(false), bell, key, run }))
    }

    /// The child serves now. Further calls do nothing.
    pub fn notify(&self) {
        if !self.0.told.swap(true, Ordering::AcqRel) {
            self.0.bell.ring(Note::Ready(self.0.key, self.0.run));
        }
    }
}

/// A line of text beside the child in the tree, such as the address that it serves. Kept over restarts until it is set anew.
#[derive(Clone)]
pub struct Detail(Arc<DetailInner>);

struct DetailInner {
    text: Mutex<Option<String>>,
    noted: AtomicBool,
    bell: Arc<Bell>,
    key: Key,
}

impl Detail {
    pub(crate) fn new(bell: Arc<Bell>, key: Key) -> Detail {
        Detail(Arc::new(DetailInner { text: Mutex::default(), noted: AtomicBool::new(false), bell, key }))
    }

    /// Shows this text from now on.
    pub fn set(&self, text: impl Into<String>) {
        self.put(Some(text.into()));
    }

    /// Shows no text from now on.
    pub fn clear(&self) {
        self.put(None);
    }

    fn put(&self, text: Option<String>) {
        *self.0.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        // One note until it is read, however often the text changes.
        if !self.0.noted.swap(true, Ordering::AcqRel) {
            self.0.bell.ring(Note::Changed(self.0.key));
        }
    }

    pub(crate) fn read(&self) -> Option<String> {
        self.0.noted.store(false, Ordering::Release);
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What children tell their supervisor without waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// The run is ready.
    Ready(Key, Run),
    /// What is shown of the child has changed.
    Changed(Key),
}

/// Where notes are left. It is bounded by its users: one readiness per run, one unread change per child.
#[derive(Default)]
pub(crate) struct Bell {
    notes: Mutex<Vec<Note>>,
    rung: Notify,
}

impl Bell {
    pub(crate) fn ring(&self, note: Note) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        self.rung.notify_one();
    }

    /// Waits until somebody has rung. Cancel-safe.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
