//! Calls of a component's handler: workers that live while there is something to hand over.

use super::draft;
use super::error::MessagingError;
use super::held::Meter;
use super::message::Message;
use super::space::Space;
use super::stats::Tally;
use super::subscription::{Sink, Subscription};
use super::wasmcloud;
use semver::Version;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_provider::Targets;
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Link, Value};

/// How a component is called with the messages of a subscription.
pub(crate) struct Delivery {
    pub(crate) component: String,
    pub(crate) handler: Handler,
    pub(crate) link: Arc<Link>,
    pub(crate) targets: Arc<dyn Targets>,
    pub(crate) timeout: Duration,
    /// Neither is owned: a guest may hold a message for long, and a worker runs on one of the cores.
    pub(crate) space: Weak<Space>,
    pub(crate) cores: Weak<Cores>,
    pub(crate) meter: Arc<Meter>,
}

/// The export that takes messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handler {
    pub(crate) interface: Arc<str>,
    pub(crate) function: Arc<str>,
    pub(crate) version: Option<Version>,
    pub(crate) shape: Shape,
}

/// What the export takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `handle-message: func(msg: broker-message) -> result<_, string>`
    Record,
    /// `handle: func(message: message) -> result<_, error>`
    Resource,
}

impl Handler {
    /// `wasmcloud:messaging/handler@0.2.0`.
    pub(crate) fn record() -> Handler {
        Handler {
            interface: "wasmcloud:messaging/handler".into(),
            function: "handle-message".into(),
            version: Some(Version::new(0, 2, 0)),
            shape: Shape::Record,
        }
    }

    /// `wasi:messaging/incoming-handler@0.2.0-draft`, which wasmCloud 1.9 has as `wasmcloud:messaging@0.3.0` as well.
    pub(crate) fn resource(namespace: &str) -> Handler {
        Handler {
            interface: format!("{namespace}:messaging/incoming-handler").into(),
            function: "handle".into(),
            version: None,
            shape: Shape::Resource,
        }
    }
}

/// Starts a worker, which the queue counts already.
pub(crate) fn start_worker(subscription: &Arc<Subscription>) {
    let Sink::Component(delivery) = &subscription.sink else { return };
    let started = delivery.cores.upgrade().is_some_and(|cores| {
        let worker = subscription.clone();
        cores.spawn(cores.quietest(), move || Worker(Some(worker)).run()).is_ok()
    });
    if !started {
        let dropped = subscription.queue().no_worker();
        subscription.missed(dropped as u64);
    }
}

/// One of the workers of a subscription. However it ends, the queue knows.
struct Worker(Option<Arc<Subscription>>);

impl Worker {
    async fn run(mut self) {
        while let Some(subscription) = &self.0 {
            let Sink::Component(delivery) = &subscription.sink else { return };
            let next = subscription.queue().next();
            let Some(message) = next else {
                self.0 = None;
                return;
            };
            delivery.deliver(subscription, message).await;
            // A handler that is always ready must not keep others from the core.
            tokio::task::coop::consume_budget().await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It panicked, or the cores shut down, in the middle of a delivery.
        let Some(subscription) = self.0.take() else { return };
        subscription.tally.failed.fetch_add(1, Relaxed);
        let replace = subscription.queue().worker_lost();
        if replace {
            start_worker(&subscription);
        }
    }
}

impl Delivery {
    /// Calls the handler with one message, and counts how it went.
    async fn deliver(&self, subscription: &Subscription, message: Message) {
        let tally = &subscription.tally;
        let subject = message.subject.clone();
        match tokio::time::timeout(self.timeout, self.call(message)).await {
            Ok(Ok(None)) => {
                tally.delivered.fetch_add(1, Relaxed);
            }
            Ok(Ok(Some(words))) => {
                tally.failed.fetch_add(1, Relaxed);
                self.report(tally, &self.handler_error(&subject, words), None);
            }
            Ok(Err(problem)) => {
                tally.failed.fetch_add(1, Relaxed);
                self.report(tally, &self.not_delivered(&subject), Some(&problem));
            }
            Err(_) => {
                tally.timed_out.fetch_add(1, Relaxed);
                self.report(tally, &self.too_late(&subject), None);
            }
        }
    }

    fn report(&self, tally: &Tally, error: &MessagingError, cause: Option<&Problem>) {
        tally.quiet.report(&*self.targets, &self.component, error, cause);
    }

    /// What the handler said, if it returned an error.
    async fn call(&self, message: Message) -> Result<Option<String>, Problem> {
        let Some(export) = self.targets.export(&self.component, &self.handler.interface) else {
            let what = format!(
                "`{}` does not run here with the export `{}`",
                self.component, self.handler.interface
            );
            return Err(Problem::new(guest::NOT_RUNNING, what));
        };
        let argument = match self.handler.shape {
            Shape::Record => wasmcloud::record(&message),
            Shape::Resource => draft::received(message, &self.meter, &self.space)?,
        };
        let call = Call {
            link: self.link.clone(),
            interface: self.handler.interface.clone(),
            version: self.handler.version.clone(),
            function: self.handler.function.clone(),
            args: vec![argument],
            patience: Some(self.timeout),
        };
        match export.call(call).await? {
            Some(Value::Result(Ok(_))) => Ok(None),
            Some(Value::Result(Err(error))) => Ok(Some(self.words(error.map(|error| *error)))),
            _ => Err(Problem::new(guest::CONTRACT_MISMATCH, "the handler gave no `result`")),
        }
    }

    fn words(&self, error: Option<Value>) -> String {
        const WORDS_MAX: usize = 200;
        let words = match error {
            Some(Value::String(words)) => words,
            Some(error) => draft::words_of(error),
            None => String::new(),
        };
        words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
    }

    fn handler_error(&self, subject: &str, words: String) -> MessagingError {
        MessagingError::Handler { component: self.component.clone(), subject: subject.into(), words }
    }

    fn not_delivered(&self, subject: &str) -> MessagingError {
        MessagingError::NotDelivered { component: self.component.clone(), subject: subject.into() }
    }

    fn too_late(&self, subject: &str) -> MessagingError {
        let (component, subject) = (self.component.clone(), subject.into());
        MessagingError::HandlerTimeout { component, subject, after: self.timeout }
    }
}
