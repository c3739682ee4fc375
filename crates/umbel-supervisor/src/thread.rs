//! A plain OS thread with a stop flag, for the few things that must not share a runtime, such as an epoch ticker.

use crate::contain::message_of;
use crate::context::{Detail, Ready};
use crate::spec::ChildSpec;
use crate::stop::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::code::supervisor as code;
use umbel_core::{Code, Coded, Problem};

/// Why a thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the thread `{name}` could not be started")]
pub struct ThreadError {
    /// The thread's name.
    pub name: String,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

impl Coded for ThreadError {
    fn code(&self) -> Code {
        code::THREAD_NOT_STARTED
    }
}

/// A running thread. Dropping it asks the thread to stop and does not wait.
#[derive(Debug)]
pub struct Thread {
    stop: Stop,
    exit: watch::Receiver<Option<Result<(), Problem>>>,
}

impl Thread {
    /// Starts a thread. `body` must look at its stop often, e.g. `while !stop.wait(TICK) { tick(); }`.
    pub fn start<F>(name: &str, body: F) -> Result<Thread, ThreadError>
    where
        F: FnOnce(&Stop) + Send + 'static,
    {
        Thread::start_with(name, Stop::new(), |stop| {
            body(stop);
            Ok(())
        })
    }

    fn start_with<F>(name: &str, stop: Stop, body: F) -> Result<Thread, ThreadError>
    where
        F: FnOnce(&Stop) -> Result<(), Problem> + Send + 'static,
    {
        let (told, exit) = watch::channel(None);
        let flag = stop.clone();
        let run = move || {
            // Nothing of a panicked body is used again.
            let result = catch_unwind(AssertUnwindSafe(|| body(&flag)))
                .unwrap_or_else(|payload| Err(Problem::new(code::CHILD_PANICKED, message_of(&*payload))));
            told.send_replace(Some(result));
        };
        match std::thread::Builder::new().name(name.to_string()).spawn(run) {
            // Its end is told by the channel; joining would block.
            Ok(_detached) => Ok(Thread { stop, exit }),
            Err(source) => Err(ThreadError { name: name.to_string(), source }),
        }
    }

    /// Asks it to stop and waits for its end. Returns whether it ended before the deadline; a thread cannot be ended by force.
    pub async fn stop(mut self, deadline: Duration) -> bool {
        self.stop.request();
        tokio::time::timeout(deadline, self.ended()).await.is_ok()
    }

    /// Waits for its end; a panic is a problem.
    pub async fn ended(&mut self) -> Result<(), Problem> {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// What one run of a thread child is given.
pub struct ThreadContext {
    /// Asks it to end; look at it often.
    pub stop: Stop,
    /// Says that it is ready.
    pub ready: Ready,
    /// Shows a line of text in the tree.
    pub detail: Detail,
}

impl ChildSpec {
    /// A child that is a plain thread; `body` is called on a new thread for every run. A thread that does not look at its stop
    /// within the shutdown deadline is left behind, and that is reported.
    pub fn thread<F>(id: impl Into<Arc<str>>, body: F) -> ChildSpec
    where
        F: Fn(ThreadContext) -> Result<(), Problem> + Send + Sync + 'static,
    {
        let body = Arc::new(body);
        let spec = ChildSpec::task(id, move |cx| {
            let body = body.clone();
            async move {
                let context = ThreadContext { stop: cx.stop.clone(), ready: cx.ready, detail: cx.detail };
                let thread = Thread::start_with(&cx.id, cx.stop, move |_| body(context));
                let mut thread = thread.map_err(|error| Problem::from(&error))?;
                thread.ended().await
            }
        });
        spec.kind("thread")
    }
}

#[cfg(test)]
mod tests;
