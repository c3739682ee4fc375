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
//! Read in this order: [`store`] what is kept · [`desired`] what an application wants · [`world`] what is there · [`place`] on which hosts · [`plan`] the
//! steps · [`hold`] which of them wait · [`execute`] · `reconcile` one round for one application · [`task`] when · [`put`] how a manifest becomes a
//! version · [`server`] the requests · [`status`] how it is.

pub mod catalog;
pub mod desired;
mod error;
pub mod execute;
pub mod hold;
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
use crate::observe::Observer;
use crate::put::Putter;
use crate::reconcile::Shared;
use crate::server::Server;
use crate::store::Store;
use crate::task::{Task, View, Wake};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use umbel_core::{Clock, Problem};
use umbel_lattice::control::Client;
use umbel_lattice::{Lattice, Subscription, subjects};
use umbel_supervisor::{ChildContext, ChildSpec, Spawner};

/// After this time the manager counts as ready, even if hosts still have not taken all orders for what ran before.
const RESTORE_MAX: Duration = Duration::from_secs(10);

/// The manager as a child of a supervisor. It is ready when it answers requests and has ordered once what is to run.
pub fn child_spec(lattice: Arc<dyn Lattice>, clock: Arc<dyn Clock>, options: Options) -> ChildSpec {
    ChildSpec::task("manager", move |cx| run(lattice.clone(), clock.clone(), options, cx))
}

/// Runs the manager until it is asked to stop.
///
/// # Errors
/// The lattice cannot be subscribed to, or its bucket not opened.
pub async fn run(
    lattice: Arc<dyn Lattice>,
    clock: Arc<dyn Clock>,
    options: Options,
    cx: ChildContext,
) -> Result<(), Problem> {
    let store = Store::open(&lattice).await.map_err(|error| Problem::from(&error))?;
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
        wake: wake.clone(),
        view: views,
    };
    let shared = Arc::new(Shared { catalog, client, observer, clock, options });
    let task = Task::new(shared, lattice, wake, view, cx.ready.clone());
    let ready = cx.ready.clone();
    cx.scope.spawn(async move {
        tokio::time::sleep(RESTORE_MAX).await;
        ready.notify();
    });
    tokio::select! {
        () = task.run(events, &cx.stop) => {}
        () = serve(server, requests, cx.scope.spawner(), options.requests_at_once) => {}
    }
    Ok(())
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
