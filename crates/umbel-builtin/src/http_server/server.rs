//! The engine that all http-server providers of a host share: listeners, links, and the end of it all.

use super::config::Config;
use super::connection::Connection;
use super::error::ServerError;
use super::link::{Claim, On};
use super::listener;
use super::quiet::Quiet;
use super::router::{self, Table};
use super::service::{Route, Site};
use super::stats::{RouteStats, Shard, Stats};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use umbel_core::link::LinkKey;
use umbel_provider::{Endpoint, Targets};
use umbel_supervisor::cores::{CoreError, Cores};

/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// What connections get to notice that they were cut.
const CUT_GRACE: Duration = Duration::from_millis(200);

/// What connections see of the server.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) cores: Box<[Core]>,
    /// Open connections.
    pub(crate) open: AtomicUsize,
    /// Tasks that accept connections, or take in the last ones.
    pub(crate) acceptors: AtomicUsize,
    pub(crate) accept_failures: Mutex<Quiet>,
    draining: AtomicBool,
    cut: AtomicBool,
    started: Instant,
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Whether the drain's deadline has passed.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Acquire)
    }

    fn each_connection(&self, mut visit: impl FnMut(&Connection)) {
        for core in &self.cores {
            core.lock().values().for_each(|connection| visit(connection));
        }
    }
}

/// The part of the server on one core.
#[repr(align(128))]
pub(crate) struct Core {
    now_ms: AtomicU64,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    pub(crate) open: AtomicUsize,
    pub(crate) refused: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) unrouted: AtomicU64,
}

impl Core {
    fn new() -> Core {
        Core {
            now_ms: AtomicU64::new(1),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the server began, as of the last sweep.
    pub(crate) fn now(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists the connection until the entry is dropped.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> Entry {
        let id = self.next.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        self.lock().insert(id, connection.clone());
        Entry { connection: connection.clone(), id }
    }
}

/// A connection's place in its core's list.
pub(crate) struct Entry {
    connection: Arc<Connection>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let core = self.connection.core();
        core.lock().remove(&self.id);
        core.open.fetch_sub(1, Relaxed);
    }
}

/// The engine.
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    threads: Arc<Cores>,
    book: Mutex<Book>,
}

/// Everything that changes when links change. Requests never look here; they have [`Site::table`].
#[derive(Default)]
struct Book {
    routes: BTreeMap<LinkKey, Arc<Route>>,
    sites: HashMap<On, OpenSite>,
    /// Ends the sweeps.
    sweeps: Option<watch::Sender<bool>>,
    /// No table is published yet.
    held: bool,
    stopped: bool,
}

struct OpenSite {
    site: Arc<Site>,
    stop: watch::Sender<bool>,
}

impl Server {
    pub(crate) fn new(config: Config, threads: Arc<Cores>) -> Server {
        let shared = Shared {
            config,
            cores: (0..threads.len()).map(|_| Core::new()).collect(),
            open: AtomicUsize::new(0),
            acceptors: AtomicUsize::new(0),
            accept_failures: Mutex::default(),
            draining: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            started: Instant::now(),
        };
        let book = Book { held: shared.config.held, ..Book::default() };
        Server { shared: Arc::new(shared), threads, book: Mutex::new(book) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the shared listener if it is not open. Must be called within a runtime.
    pub(crate) fn bind(&self) -> Result<Vec<SocketAddr>, ServerError> {
        let mut book = self.book();
        if book.stopped {
            return Err(ServerError::Stopped);
        }
        if !book.sites.contains_key(&On::Shared) {
            let sockets = self.shared_sockets()?;
            self.open(&mut book, On::Shared, sockets)?;
        }
        Ok(book.sites[&On::Shared].site.addresses.clone())
    }

    fn shared_sockets(&self) -> Result<Vec<std::net::TcpListener>, ServerError> {
        let listen = self.shared.config.listen;
        let first = listener::bind(listen)?;
        let port =
            first.local_addr().map_err(|source| ServerError::Listen { address: listen, source })?.port();
        let mut sockets = vec![first];
        if let Some(twin) = self.shared.config.twin(port) {
            match listener::bind(twin) {
                Ok(socket) => sockets.push(socket),
                // A browser would reach the other program: that is a port in use. A port that was picked is not at fault.
                Err(error @ ServerError::PortInUse { .. }) if listen.port() != 0 => return Err(error),
                Err(error) => tracing::debug!(%error, "no listener on [::1]"),
            }
        }
        Ok(sockets)
    }

    fn open(&self, book: &mut Book, on: On, sockets: Vec<std::net::TcpListener>) -> Result<(), ServerError> {
        let fail = |source: io::Error| ServerError::Listen { address: self.shared.config.listen, source };
        let addresses =
            sockets.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>().map_err(fail)?;
        let table = if book.held { Table::held() } else { Table::default() };
        let site = Arc::new(Site { addresses, table: ArcSwap::from_pointee(table) });
        let (stop, stopping) = watch::channel(false);
        for socket in &sockets {
            listener::accept_everywhere(socket, &site, &self.shared, &self.threads, &stopping)
                .map_err(fail)?;
        }
        if book.sweeps.is_none() {
            book.sweeps = Some(self.sweep().map_err(|error| fail(io::Error::other(error)))?);
        }
        tracing::debug!(addresses = ?site.addresses, "HTTP listener is open");
        book.sites.insert(on, OpenSite { site, stop });
        Ok(())
    }

    /// Starts the sweep of each core: the clock of its connections, and the end of those that exceed their limits.
    fn sweep(&self) -> Result<watch::Sender<bool>, CoreError> {
        let (stop, stopping) = watch::channel(false);
        for index in 0..self.threads.len() {
            let (shared, mut stopping) = (self.shared.clone(), stopping.clone());
            let interval = shared.config.limits.sweep_interval();
            let sweep = move || async move {
                let core = &shared.cores[index];
                loop {
                    let now = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    core.now_ms.store(now.max(1), Relaxed);
                    for connection in core.lock().values() {
                        connection.check(now);
                    }
                    tokio::select! {
                        _ = tokio::time::sleep(interval) => {}
                        _ = stopping.changed() => return,
                    }
                }
            };
            self.threads.spawn(index, sweep)?;
        }
        Ok(stop)
    }

    pub(crate) fn release(&self) {
        let mut book = self.book();
        book.held = false;
        let sites: Vec<On> = book.sites.keys().copied().collect();
        for on in sites {
            book.publish(on);
        }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.book().sites.get(&On::Shared).map(|open| open.site.addresses.clone()).unwrap_or_default()
    }

    /// Makes the claim's routes answer, in place of those that the same link had.
    pub(crate) fn put(&self, claim: Claim, targets: Arc<dyn Targets>) -> Result<(), ServerError> {
        let mut book = self.book();
        if book.stopped {
            return Err(ServerError::Stopped);
        }
        let held = book.routes.values().map(|route| &route.claim);
        if let Some((key, holder, at)) = router::conflict(held, &claim) {
            let (host, path) = at.split_once('/').unwrap_or((&at, ""));
            let wanted = match book.sites.get(&claim.on) {
                Some(open) => open.site.url(host, &format!("/{path}")),
                None => format!("http://{at}"),
            };
            return Err(ServerError::Conflict { wanted, component: claim.component, holder, key });
        }
        if let On::Own(address) = claim.on
            && !book.sites.contains_key(&claim.on)
        {
            let socket = listener::bind(address)?;
            self.open(&mut book, claim.on, vec![socket])?;
        }
        let old = book.routes.get(&claim.key);
        let shards = match old {
            Some(old) if old.claim.component == claim.component => old.shards.clone(),
            _ => (0..self.threads.len()).map(|_| Arc::new(Shard::default())).collect(),
        };
        let old_site = old.map(|old| old.claim.on);
        let (key, on) = (claim.key.clone(), claim.on);
        book.routes.insert(key, Arc::new(Route { claim, targets, shards }));
        book.publish(on);
        if let Some(old) = old_site.filter(|old| *old != on) {
            book.publish(old);
            self.close_unused(&mut book, old);
        }
        Ok(())
    }

    /// Removes what the link claimed; requests in flight finish.
    pub(crate) fn delete(&self, key: &LinkKey) -> Option<Arc<Route>> {
        let mut book = self.book();
        let route = book.routes.remove(key)?;
        book.publish(route.claim.on);
        self.close_unused(&mut book, route.claim.on);
        Some(route)
    }

    /// Closes a link's own listener that no link uses any more.
    fn close_unused(&self, book: &mut Book, on: On) {
        if on == On::Shared || book.routes.values().any(|route| route.claim.on == on) {
            return;
        }
        let Some(open) = book.sites.remove(&on) else { return };
        let _ = open.stop.send(true);
        self.shared.each_connection(|connection| {
            if Arc::ptr_eq(&connection.listener, &open.site) {
                connection.close();
            }
        });
    }

    pub(crate) fn endpoints(&self, provider: &str) -> Vec<Endpoint> {
        let book = self.book();
        let mut endpoints = Vec::new();
        for route in book.routes.values().filter(|route| route.claim.key.source_id == provider) {
            let claim = &route.claim;
            let Some(open) = book.sites.get(&claim.on) else { continue };
            let hosts = if claim.hosts.is_empty() { &[String::new()][..] } else { &claim.hosts[..] };
            for (host, path) in hosts.iter().flat_map(|host| claim.paths.iter().map(move |path| (host, path)))
            {
                endpoints
                    .push(Endpoint { component: claim.component.clone(), url: open.site.url(host, path) });
            }
        }
        endpoints
    }

    pub(crate) fn stats(&self) -> Stats {
        let cores = &self.shared.cores;
        let sum =
            |counter: fn(&Core) -> &AtomicU64| cores.iter().map(|core| counter(core).load(Relaxed)).sum();
        let book = self.book();
        let routes = book.routes.values().map(|route| {
            let mut stats = RouteStats {
                component: route.claim.component.clone(),
                application: route.claim.application.clone(),
                provider: route.claim.key.source_id.clone(),
                link_name: route.claim.key.name.clone(),
                ..RouteStats::default()
            };
            route.shards.iter().for_each(|shard| stats.add(shard));
            stats
        });
        Stats {
            connections: cores.iter().map(|core| core.open.load(Relaxed) as u64).collect(),
            connections_refused: sum(|core| &core.refused),
            connections_cut: sum(|core| &core.cut),
            unrouted: sum(|core| &core.unrouted),
            routes: routes.collect(),
        }
    }

    /// Stops: takes no new connections, answers what is there with `Connection: close` or GOAWAY, ends what is left at the deadline.
    pub(crate) async fn stop(&self, deadline: Duration) {
        let end = tokio::time::Instant::now() + deadline;
        let sites: Vec<OpenSite> = {
            let mut book = self.book();
            book.stopped = true;
            book.sites.drain().map(|(_, site)| site).collect()
        };
        self.shared.draining.store(true, Relaxed);
        for open in &sites {
            let _ = open.stop.send(true);
        }
        self.shared.each_connection(|connection| {
            if connection.is_h2.load(Relaxed) {
                connection.close();
            }
        });
        let linger = (tokio::time::Instant::now() + self.shared.config.drain_linger).min(end);
        if !self.empty(linger).await {
            self.shared.each_connection(Connection::close);
            if !self.empty(end).await {
                self.shared.cut.store(true, std::sync::atomic::Ordering::Release);
                self.shared.each_connection(Connection::cut);
                self.empty(tokio::time::Instant::now() + CUT_GRACE).await;
            }
        }
        self.book().sweeps = None;
    }

    /// Waits until no connection is open and none can come any more; false at the deadline.
    async fn empty(&self, deadline: tokio::time::Instant) -> bool {
        let is_zero = |count: &AtomicUsize| count.fetch_add(0, AcqRel) == 0;
        while !is_zero(&self.shared.acceptors) || !is_zero(&self.shared.open) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        true
    }
}

impl Book {
    /// Gives the listener a table of the present links.
    fn publish(&self, on: On) {
        if self.held {
            return;
        }
        if let Some(open) = self.sites.get(&on) {
            let claims = self.routes.values().map(|route| (&route.claim, route.clone()));
            open.site.table.store(Arc::new(Table::build(claims, on)));
        }
    }
}

/// Waits until none of the routes has a request in flight, or the deadline.
pub(crate) async fn settle(routes: &[Arc<Route>], deadline: Duration) {
    let end = tokio::time::Instant::now() + deadline;
    let busy = || routes.iter().flat_map(|route| &route.shards).any(|shard| shard.in_flight() > 0);
    while busy() && tokio::time::Instant::now() < end {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}
