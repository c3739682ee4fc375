//! The application manager: keeps what should run, looks at what runs, and drives hosts from one to the other.
//!
//! It must not know processes, wasm, or how a host does what it is asked: it speaks to hosts by control requests on the lattice
//! only, and is spoken to by application requests (those of wadm, so that `wash` works unchanged). It may be killed at any
//! time: desired state is durable, everything else is looked at again.
//!
//! ```text
//!  put, deploy, undeploy, rollback ─▶ server ─▶ store (versions, generation; compare-and-swap)
//!                                        │ wake                  │
//!  events of hosts, slow timer ──────▶ task ─ observe ─▶ desired × world ─▶ plan, hold (pure) ─▶ execute ─▶ hosts
//!                                        └─▶ view (failures by step) ─▶ status, list
//! ```
//!
//! On a lattice of several hosts each has a manager, and one of them leads ([`lease`]); the others wait.
//!
//! Read in this order: [`store`] what is kept · [`desired`] what an application wants · [`world`] what is there · [`place`] on which hosts · [`plan`] the
//! steps · [`hold`] which of them wait · [`execute`] · `reconcile` one round for one application · [`task`] when · [`put`] how a manifest becomes a
//! version · [`server`] the requests · [`status`] how it is.

pub mod catalog;
pub mod desired;
mod error;
pub mod execute;
pub mod hold;
pub mod lease;
pub mod observe;
pub mod place;
pub mod plan;
pub mod put;
mod reconcile;
pub mod server;
pub mod status;
pub mod store;
pub mod task;
pub mod world;

#[cfg(test)]
mod tests;

pub use error::ManagerError;
pub use task::Options;

use crate::catalog::Catalog;
use crate::lease::Lease;
use crate::observe::Observer;
use crate::put::Putter;
use crate::reconcile::Shared;
use crate::server::Server;
use crate::store::Store;
use crate::task::{Task, View, Wake};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use umbel_core::id::HostId;
use umbel_core::{Clock, Problem};
use umbel_lattice::control::Client;
use umbel_lattice::{Lattice, Subscription, subjects};
use umbel_supervisor::{ChildContext, ChildSpec, Spawner};

/// After this time the manager counts as ready, even if hosts still have not taken all orders for what ran before.
const RESTORE_MAX: Duration = Duration::from_secs(10);

/// The manager as a child of a supervisor. It is ready when it answers requests and has ordered once what is to run.
/// `holder` is the name by which it leads where there are several: that of its host.
pub fn child_spec(
    lattice: Arc<dyn Lattice>,
    clock: Arc<dyn Clock>,
    holder: impl Into<String>,
    options: Options,
) -> ChildSpec {
    let holder = holder.into();
    ChildSpec::task("manager", move |cx| run(lattice.clone(), clock.clone(), holder.clone(), options, cx))
}

/// Runs the manager until it is asked to stop. Where hosts share the lattice, it leads or waits for that.
///
/// # Errors
/// The lattice cannot be subscribed to, or its bucket not opened.
pub async fn run(
    lattice: Arc<dyn Lattice>,
    clock: Arc<dyn Clock>,
    holder: String,
    options: Options,
    cx: ChildContext,
) -> Result<(), Problem> {
    if !lattice.is_shared() {
        return lead(&lattice, &clock, options, &cx).await;
    }
    let mut lease = Lease::open(&lattice, holder).await.map_err(|error| Problem::from(&error))?;
    loop {
        if !lease.try_take().await {
            cx.detail.set("another host leads");
            // What runs here is ordered by whoever leads.
            cx.ready.notify();
            tokio::select! {
                () = cx.stop.requested() => return Ok(()),
                () = lease.take() => {}
            }
        }
        cx.detail.set("leads");
        let ended = tokio::select! {
            ended = lead(&lattice, &clock, options, &cx) => Some(ended),
            () = lease.keep() => None,
        };
        if let Some(ended) = ended {
            lease.give_back().await;
            return ended;
        }
    }
}

/// Decides, until it is asked to stop.
async fn lead(
    lattice: &Arc<dyn Lattice>,
    clock: &Arc<dyn Clock>,
    options: Options,
    cx: &ChildContext,
) -> Result<(), Problem> {
    let store = Store::open(lattice).await.map_err(|error| Problem::from(&error))?;
    let subscribed = |error: umbel_lattice::LatticeError| Problem::from(&error);
    let group = subjects::wadm::GROUP;
    let requests =
        lattice.queue_subscribe(&subjects::wadm::any(lattice.name()), group).await.map_err(subscribed)?;
    let events = lattice.observe(&subjects::evt::any(lattice.name())).await.map_err(subscribed)?;
    let client = Client::new(lattice.clone(), options.request_timeout);
    let observer =
        Arc::new(Observer::new(client.clone(), options.ping_wait, options.host_grace, clock.clone()));
    let catalog = Arc::new(Catalog::new(store));
    let wake = Arc::new(Wake::default());
    let (view, views) = watch::channel(Arc::new(View::default()));
    let putter = Putter {
        catalog: catalog.clone(),
        client: client.with_timeout(options.fetch_timeout),
        observer: observer.clone(),
        clock: clock.clone(),
    };
    let server = Server {
        lattice: lattice.clone(),
        catalog: catalog.clone(),
        putter: Arc::new(putter),
        observer: observer.clone(),
        pages: umbel_lattice::control::Pages::default(),
        wake: wake.clone(),
        view: views,
    };
    let shared = Arc::new(Shared { catalog, client, observer, clock: clock.clone(), options });
    let hosts = keep_roll(lattice.is_shared(), shared.clone(), wake.clone());
    let task = Task::new(shared, lattice.clone(), wake, view, cx.ready.clone());
    let ready = cx.ready.clone();
    cx.scope.spawn(async move {
        tokio::time::sleep(RESTORE_MAX).await;
        ready.notify();
    });
    tokio::select! {
        () = task.run(events, &cx.stop) => {}
        () = hosts => {}
        () = serve(server, requests, cx.scope.spawner(), options.requests_at_once) => {}
    }
    Ok(())
}

/// Asks again and again which hosts are there. One that is not heard of twice is gone, and what it ran is placed elsewhere. Never ends.
async fn keep_roll(is_shared: bool, shared: Arc<Shared>, wake: Arc<Wake>) {
    let mut known: BTreeSet<HostId> = BTreeSet::new();
    let mut missed: BTreeSet<HostId> = BTreeSet::new();
    loop {
        if !is_shared {
            return std::future::pending().await;
        }
        tokio::time::sleep(shared.options.roll_every).await;
        // A lattice that cannot be asked says nothing about hosts.
        let Ok(now) = shared.observer.hosts().await else { continue };
        let now: BTreeSet<HostId> = now.into_iter().collect();
        let is_new = now.iter().any(|host| !known.contains(host));
        // One that was given work between two rolls and is gone before the next is missed all the same.
        known.extend(shared.observer.known());
        let silent: BTreeSet<HostId> = known.difference(&now).cloned().collect();
        let gone: Vec<HostId> = silent.intersection(&missed).cloned().collect();
        for host in &gone {
            tracing::warn!(%host, "a host does not answer any more");
            shared.observer.forget(host);
            known.remove(host);
        }
        if !gone.is_empty() || is_new {
            wake.all();
        }
        known.extend(now);
        missed = silent;
    }
}

/// Answers requests, many at once.
async fn serve(server: Server, mut requests: Subscription, spawner: Spawner, at_once: usize) {
    let permits = Arc::new(Semaphore::new(at_once));
    while let Some(message) = requests.next().await {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let server = server.clone();
        spawner.spawn(async move {
            server.answer(message).await;
            drop(permit);
        });
    }
}
