//! What every part of the lattice shares: the connection, how it is, and whether the lattice is closed.

use super::spec::NatsSpec;
use crate::{LatticeError, Login, Result, Spawn};
use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use umbel_core::id::LatticeName;

/// How long JetStream may take to answer.
pub(super) const STATE_MAX: Duration = Duration::from_secs(5);

/// How long the server may take to send us what we have sent to ourselves.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);

/// How many refused subjects are remembered.
const REFUSED_MAX: usize = 10_000;

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) is_up: bool,
    /// How often it was lost.
    pub(super) losses: u64,
    /// How often the server has refused a subscription.
    pub(super) refusals: u64,
}

/// Subjects that the server did not let us subscribe to, as it said.
#[derive(Debug, Default)]
pub(super) struct RefusedSubjects(Mutex<HashSet<String>>);

impl RefusedSubjects {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, subject: &str) {
        let mut all = self.lock();
        // Whoever is refused is told at once; what nobody takes out does not pile up.
        if all.len() < REFUSED_MAX {
            all.insert(subject.to_string());
        }
    }

    pub(super) fn contains(&self, subject: &str) -> bool {
        self.lock().contains(subject)
    }

    /// It is asked for anew.
    pub(super) fn remove(&self, subject: &str) {
        self.lock().remove(subject);
    }
}

/// A connection that was just made.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) link: watch::Receiver<Link>,
    pub(super) refused: Arc<RefusedSubjects>,
}

/// The connection and what belongs to it.
pub(super) struct Shared {
    pub(super) name: LatticeName,
    pub(super) server: String,
    pub(super) domain: Option<String>,
    pub(super) login: Option<Login>,
    pub(super) replicas: usize,
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) spawn: Spawn,
    link: watch::Receiver<Link>,
    pub(super) refused: Arc<RefusedSubjects>,
    phase: watch::Sender<Phase>,
    /// Writes that are under way.
    writes: watch::Sender<usize>,
    pub(super) echo: Echo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What is under way may end; nothing new begins.
    Closing,
    Closed,
}

/// A write that is under way.
pub(super) struct Writing<'s>(&'s Shared);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writes.send_modify(|writes| *writes -= 1);
    }
}

/// Messages to ourselves: when one is back, the server has done everything that was asked of it before.
pub(super) struct Echo {
    pub(super) subject: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

impl Echo {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None of those under way will come back.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// One is back.
    pub(super) fn heard(&self, payload: &[u8]) {
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        let waits = number.and_then(|number: u64| self.lock().remove(&number));
        if let Some(waits) = waits {
            // Whoever waited may have gone.
            let _ = waits.send(());
        }
    }
}

impl Shared {
    pub(super) fn new(name: LatticeName, spec: &NatsSpec, connected: Connected, spawn: Spawn) -> Shared {
        let Connected { client, link, refused } = connected;
        let builder = jetstream::ContextBuilder::new().timeout(STATE_MAX);
        let context = match &spec.js_domain {
            Some(domain) => builder.domain(domain).build(client.clone()),
            None => builder.build(client.clone()),
        };
        let echo = Echo { subject: client.new_inbox(), next: AtomicU64::new(1), waiting: Mutex::default() };
        Shared {
            name,
            server: spec.shown(),
            domain: spec.js_domain.clone(),
            login: spec.auth.login(),
            replicas: spec.replicas,
            client,
            context,
            spawn,
            link,
            refused,
            phase: watch::Sender::new(Phase::Open),
            writes: watch::Sender::new(0),
            echo,
        }
    }

    /// The address of the first server.
    pub(super) fn address(&self) -> String {
        self.server.split(',').next().unwrap_or_default().to_string()
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.phase.borrow() != Phase::Open
    }

    /// Lets writes that are under way end, and ends everything else.
    pub(super) async fn close(&self) {
        self.phase.send_if_modified(|phase| {
            let is_first = *phase == Phase::Open;
            if is_first {
                *phase = Phase::Closing;
            }
            is_first
        });
        let mut writes = self.writes.subscribe();
        // A server that does not answer must not hold up the end.
        let _ = tokio::time::timeout(STATE_MAX, writes.wait_for(|writes| *writes == 0)).await;
        self.end();
    }

    /// Ends everything now.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    /// Says that a write is under way as long as the value lives.
    pub(super) fn writing(&self) -> Writing<'_> {
        self.writes.send_modify(|writes| *writes += 1);
        Writing(self)
    }

    /// Ends when the lattice is closed.
    pub(super) fn until_closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            // An error is the end of the sender, and that too is the end.
            let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
        }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    pub(super) fn check(&self, what: &str) -> Result<()> {
        if self.is_closed() {
            return Err(LatticeError::Closed);
        }
        if !self.link.borrow().is_up || self.client.connection_state() != State::Connected {
            return Err(disconnected(what));
        }
        Ok(())
    }

    /// Does something over the connection; it ends at once when the connection is lost or the lattice closed.
    pub(super) async fn over<T>(&self, what: &str, doing: impl Future<Output = Result<T>>) -> Result<T> {
        let mut link = self.link.clone();
        let losses = link.borrow_and_update().losses;
        self.check(what)?;
        tokio::select! {
            biased;
            done = doing => done,
            () = self.until_closed() => Err(LatticeError::Closed),
            _ = link.wait_for(|link| link.losses != losses) => Err(disconnected(what)),
        }
    }

    /// Returns when the server has done everything that was asked of it before.
    pub(super) async fn round_trip(&self, what: &str) -> Result<()> {
        let number = self.echo.next.fetch_add(1, Ordering::Relaxed);
        let (told, back) = oneshot::channel();
        self.echo.lock().insert(number, told);
        let going = async {
            let sent = self.client.publish(self.echo.subject.clone(), number.to_string().into()).await;
            sent.map_err(|_| disconnected(what))?;
            match tokio::time::timeout(ROUND_TRIP_MAX, back).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(disconnected(what)),
            }
        };
        let done = self.over(what, going).await;
        self.echo.lock().remove(&number);
        done
    }
}

pub(super) fn disconnected(what: &str) -> LatticeError {
    LatticeError::Disconnected { what: what.to_string() }
}
