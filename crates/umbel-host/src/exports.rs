//! What other hosts of the lattice can call here: every component and provider that runs, each with a queue group that it shares with the
//! same one on other hosts.
//!
//! It is heard as wasmCloud 1.x calls it: `{lattice}.{id}.wrpc.0.0.1.…` (`facts/wasmcloud.md` §4.6), HTTP as `wrpc:http`, and
//! `wasi:keyvalue` and `wasi:blobstore` as `wrpc:` beside their own names.

mod retries;

use crate::process::reach::links_of;
use crate::provider::ProviderSlot;
use crate::provider::way::{Serving, Way};
use crate::shared::Shared;
use futures::future::BoxFuture;
use retries::Retries;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use umbel_core::code::guest;
use umbel_core::link::LinkKey;
use umbel_core::{Coded, Problem};
use umbel_lattice::wrpc::{Caller, Catalog, Lent, Links, Server, ServerLimits, ServerSpec};
use umbel_provider::http::wire::{self, Answers, INCOMING, OUTGOING, Sends};
use umbel_provider::http::{Outgoing, OutgoingOptions, Request, Response};
use umbel_provider::wrpc;
use umbel_runtime::{Image, World};
use umbel_supervisor::ChildContext;
use umbel_wit::{Call, Serve, Value};

/// How long a swap waits for its provider to be heard here no more: that takes as long as this child needs to look.
const HIDE_MAX: Duration = Duration::from_secs(1);

/// What is heard here, and what is not to be.
#[derive(Default)]
pub struct Exports {
    heard: watch::Sender<BTreeSet<String>>,
    hidden: Mutex<BTreeSet<String>>,
}

impl Exports {
    fn hidden(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears no calls of the id until it is shown again: a provider of wasmCloud 1.x is about to hear them itself, and a call that both
    /// hear would be done twice.
    pub async fn hide(&self, shared: &Shared, id: &str) {
        self.hidden().insert(id.to_string());
        shared.parts_changed();
        let mut heard = self.heard.subscribe();
        let gone = heard.wait_for(|heard| !heard.contains(id));
        if tokio::time::timeout(HIDE_MAX, gone).await.is_err() {
            tracing::warn!(id, "calls of a provider from other hosts are still heard here");
        }
    }

    /// Hears calls of the id again, if anything here serves them.
    pub fn show(&self, shared: &Shared, id: &str) {
        if self.hidden().remove(id) {
            shared.parts_changed();
        }
    }
}

/// The child that lets other hosts call what runs here. It has nothing to do where there are none.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let Some(spawn) = shared.elsewhere.as_ref().map(|elsewhere| elsewhere.spawn()) else {
        cx.ready.notify();
        cx.stop.requested().await;
        return Ok(());
    };
    let mut parts = shared.parts.subscribe();
    let (mut slots, mut providers) = (shared.slots.changes(), shared.providers.changes());
    let mut served: BTreeMap<String, Server> = BTreeMap::new();
    let mut retries = Retries::default();
    loop {
        parts.borrow_and_update();
        slots.borrow_and_update();
        providers.borrow_and_update();
        let wanted = wanted(&shared);
        let gone: Vec<String> = served.keys().filter(|id| !wanted.contains(*id)).cloned().collect();
        for server in gone.iter().filter_map(|id| served.remove(id)) {
            let drain = shared.config.drain;
            server.hear_no_more();
            cx.scope.spawn(async move {
                server.drain(drain).await;
            });
        }
        retries.retain(&wanted);
        for id in wanted {
            let Entry::Vacant(place) = served.entry(id) else { continue };
            if !retries.is_due(place.key(), Instant::now()) {
                continue;
            }
            let spec = spec(&shared, place.key());
            match Server::start(shared.lattice.clone(), spawn.clone(), spec).await {
                Ok(server) => {
                    retries.succeeded(place.key());
                    place.insert(server);
                }
                // The others go on serving, and so do calls of this host.
                Err(error) => {
                    let problem = Problem::from(&error as &dyn Coded);
                    if retries.failed(place.key(), Instant::now()) {
                        tracing::warn!(id = place.key(), %problem, "other hosts cannot call it; it is tried again");
                    }
                }
            }
        }
        show(&cx, &retries);
        shared.exports.heard.send_replace(served.keys().cloned().collect());
        cx.ready.notify();
        let next = retries.next();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cx.stop.requested() => break,
            () = due => {}
            _ = parts.changed() => {}
            _ = slots.changed() => {}
            _ = providers.changed() => {}
        }
    }
    let drains = served.values().map(|server| server.drain(shared.config.drain));
    futures::future::join_all(drains).await;
    Ok(())
}

/// Shows in the tree what other hosts cannot call.
fn show(cx: &ChildContext, retries: &Retries) {
    match retries.ids().as_slice() {
        [] => cx.detail.clear(),
        [id] => cx.detail.set(format!("other hosts cannot call {id}")),
        [id, more @ ..] => cx.detail.set(format!("other hosts cannot call {id} and {} more", more.len())),
    }
}

/// The ids of what can be called here. Who is a process of wasmCloud 1.x hears its calls itself.
fn wanted(shared: &Shared) -> BTreeSet<String> {
    let (slots, hidden) = (shared.slots.all(), shared.exports.hidden().clone());
    let components = slots.values().filter(|slot| slot.current.load().is_some());
    let components = components.map(|slot| slot.id.to_string());
    let providers = shared.providers.all();
    // Also while another takes its place: calls from other hosts wait for that as those from here do.
    let serves = |slot: &&Arc<ProviderSlot>| {
        !hidden.contains(slot.id.as_str())
            && !slot.process().is_some_and(|process| process.is_plain())
            && (matches!(slot.way.check(), Ok(true)) || matches!(slot.way.check_http(), Ok(true)))
    };
    components.chain(providers.values().filter(serves).map(|slot| slot.id.to_string())).collect()
}

fn spec(shared: &Arc<Shared>, id: &str) -> ServerSpec {
    let weak = Arc::downgrade(shared);
    ServerSpec {
        id: id.to_string(),
        catalog: catalog(weak.clone(), id),
        serve: Arc::new(Here { shared: weak, id: id.to_string() }),
        links: links(shared, id),
        lent: Lent::new(),
        group: Some(format!("{}.{id}", shared.config.lattice)),
        is_quick: false,
        limits: ServerLimits::default(),
    }
}

/// The link of a caller elsewhere, with its application as it says itself: hosts of a lattice trust one another.
fn links(shared: &Arc<Shared>, id: &str) -> Links {
    let known = links_of(shared, id);
    Arc::new(move |caller| {
        // The link is of the contract that the importer has, however the call is said.
        let interface = wrpc::meant_by(caller.interface);
        let caller = &Caller { interface: &interface, ..*caller };
        let mut link = known(caller)?;
        if let (None, Some(application)) = (&link.application, caller.application) {
            Arc::make_mut(&mut link).application = Some(application.to_string());
        }
        Ok(link)
    })
}

/// A component or provider of this host, whichever has the id at that moment.
struct Here {
    shared: Weak<Shared>,
    id: String,
}

impl Serve for Here {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let is_http = matches!(&*call.interface, INCOMING | OUTGOING);
        let shared = self.shared.upgrade();
        let slot = shared.as_ref().and_then(|shared| shared.slot(&self.id));
        let provider = shared.as_ref().and_then(|shared| shared.provider(&self.id));
        if wrpc::is_heard(&call) {
            let inner = Here { shared: self.shared.clone(), id: self.id.clone() };
            return wrpc::Hears(Arc::new(inner)).call(call);
        }
        match (slot, provider) {
            (Some(slot), _) if is_http => Answers(slot).call(call),
            (Some(slot), _) => slot.call(call),
            (None, Some(provider)) if is_http => Sends(Arc::new(Leaves(provider.way.clone()))).call(call),
            (None, Some(provider)) => provider.calls.call(call),
            (None, None) => {
                let message = format!("`{}` does not run on this host", self.id);
                Box::pin(futures::future::ready(Err(Problem::new(guest::NOT_RUNNING, message))))
            }
        }
    }
}

/// Requests that leave through a provider of this host.
struct Leaves(Way);

impl Outgoing for Leaves {
    fn send(
        &self,
        link: &LinkKey,
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        self.0.send(link, request, options)
    }
}

/// The types of what the id serves, as of what runs.
fn catalog(shared: Weak<Shared>, id: &str) -> Arc<dyn Fn() -> Arc<Catalog> + Send + Sync> {
    let id = id.to_string();
    let known: Mutex<Option<(Of, Arc<Catalog>)>> = Mutex::default();
    Arc::new(move || {
        let Some(shared) = shared.upgrade() else { return Arc::default() };
        let of = match (shared.image_of(&id), shared.provider(&id)) {
            (Some(image), _) => Of::Image(image),
            (None, Some(provider)) => {
                let serving = provider.way.now().map(|serving| Arc::downgrade(&serving)).unwrap_or_default();
                Of::Provider(provider, serving)
            }
            (None, None) => return Arc::default(),
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, catalog)) = &*known
            && last.is(&of)
        {
            return catalog.clone();
        }
        let catalog = Arc::new(of.catalog(&shared));
        *known = Some((of, catalog.clone()));
        catalog
    })
}

/// What types are of.
enum Of {
    Image(Arc<Image>),
    // Weak: who is held is not idle.
    Provider(Arc<ProviderSlot>, Weak<Serving>),
}

impl Of {
    fn is(&self, other: &Of) -> bool {
        match (self, other) {
            (Of::Image(a), Of::Image(b)) => Arc::ptr_eq(a, b),
            (Of::Provider(_, a), Of::Provider(_, b)) => a.ptr_eq(b),
            _ => false,
        }
    }

    fn catalog(&self, shared: &Shared) -> Catalog {
        match self {
            Of::Image(image) => {
                let contracts = image.contracts();
                let named = contracts.map(|(name, interface)| (name.clone(), Arc::new(interface.clone())));
                let is_http = matches!(image.world(), World::HttpP2 | World::HttpP3);
                let http = is_http.then(wire::interfaces).into_iter().flatten().cloned();
                let named: Vec<_> = named.collect();
                let heard = wrpc::heard_as(named.iter().map(|(name, _)| name));
                Catalog::new(named.into_iter().chain(http).chain(heard))
            }
            Of::Provider(provider, _) => {
                let named = provider.interfaces(shared);
                let is_http = matches!(provider.way.check_http(), Ok(true));
                let http = is_http.then(wire::interfaces).into_iter().flatten().cloned();
                let heard = wrpc::heard_as(named.iter().map(|(name, _)| name));
                Catalog::new(named.iter().cloned().chain(http).chain(heard))
            }
        }
    }
}
