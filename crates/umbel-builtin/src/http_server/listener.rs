//! Listening: bind once, accept on every core.
//!
//! A listener's socket is duplicated for each core, and each core accepts one connection at a time and then lets others run.
//! The kernel wakes them all; who comes first takes the connection, and gives it to a core that has fewer. There is no
//! `SO_REUSEPORT`: with it a second program could share the port unnoticed.

use super::connection::{self, Connection};
use super::error::ServerError;
use super::server::Shared;
use super::service::Site;
use super::stats::add;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::code::call;
use umbel_supervisor::cores::Cores;

/// Connections that the kernel holds until they are accepted; it lowers this to its own limit.
const BACKLOG: u32 = 4096;
/// Connections that are taken in at once when accepting ends.
const REST_AT_ONCE: u32 = 64;
/// How long accepting pauses when the system has no more descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds one address. Must be called within a runtime.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ServerError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortInUse { address, port: address.port() },
        _ => ServerError::Listen { address, source },
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(fail)?;
    // A restart must not wait for connections of the last run to time out; two listeners are refused all the same.
    socket.set_reuseaddr(true).map_err(fail)?;
    socket.bind(address).map_err(fail)?;
    socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std).map_err(fail)
}

/// Starts to accept on all cores. Accepting ends when `stop` becomes true or its sender is gone.
pub(crate) fn accept_everywhere(
    socket: &std::net::TcpListener,
    site: &Arc<Site>,
    shared: &Arc<Shared>,
    threads: &Arc<Cores>,
    stop: &watch::Receiver<bool>,
) -> io::Result<()> {
    for core in 0..threads.len() {
        let socket = socket.try_clone()?;
        shared.acceptors.fetch_add(1, AcqRel);
        let acceptor =
            Acceptor { site: site.clone(), shared: shared.clone(), threads: Arc::downgrade(threads), core };
        let stop = stop.clone();
        threads.spawn(core, move || acceptor.run(socket, stop)).map_err(io::Error::other)?;
    }
    Ok(())
}

struct Acceptor {
    site: Arc<Site>,
    shared: Arc<Shared>,
    /// Not owned: this runs on one of these threads, which must not be what keeps them alive.
    threads: std::sync::Weak<Cores>,
    core: usize,
}

impl Acceptor {
    async fn run(self, socket: std::net::TcpListener, mut stop: watch::Receiver<bool>) {
        let listener = match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, core = self.core, "cannot accept connections on this core");
                return;
            }
        };
        while !*stop.borrow() {
            let accepted = tokio::select! {
                biased;
                changed = stop.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => break,
                },
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.take(stream),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.complain(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            tokio::task::yield_now().await;
        }
        if let Ok(socket) = listener.into_std() {
            self.take_the_rest(&socket).await;
        }
    }

    /// Who is already connected would be reset when the socket closes: take them in. The kernel is asked itself, because tokio's
    /// listener says now and then that there is nobody so that others may run.
    async fn take_the_rest(&self, socket: &std::net::TcpListener) {
        for number in 1..=BACKLOG {
            match socket.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        self.take(stream);
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                // Nobody is left, or there is no room for more.
                Err(_) => return,
            }
            if number % REST_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn take(&self, stream: TcpStream) {
        let Some(threads) = self.threads.upgrade() else { return };
        let Some(slot) = Slot::take(&self.shared) else {
            add(&self.shared.cores[self.core].refused, 1);
            let problem =
                Problem::new(call::HTTP_TOO_MANY_CONNECTIONS, "this server has too many open connections");
            let _ = stream.try_write(&super::answer::last_words(&problem));
            return;
        };
        let (core, site) = (self.quietest(), self.site.clone());
        if core == self.core {
            Cores::spawn_here(slot.serve(stream, site, core));
        } else if let Ok(stream) = stream.into_std() {
            let serve = move || async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    slot.serve(stream, site, core).await;
                }
            };
            if threads.spawn(core, serve).is_err() {
                add(&self.shared.cores[self.core].refused, 1);
            }
        }
    }

    /// Without descriptors, accepting fails twenty times a second on every core, for as long as it takes.
    fn complain(&self, error: &io::Error) {
        let mut failures = self.shared.accept_failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = failures.note(Instant::now()) {
            tracing::warn!(%error, count, "cannot accept connections for the moment");
        }
    }

    /// This core, unless another one has clearly fewer connections.
    fn quietest(&self) -> usize {
        let open = |core: usize| self.shared.cores[core].open.load(Relaxed);
        let mut best = self.core;
        for core in 0..self.shared.cores.len() {
            if open(core) + 1 < open(best) {
                best = core;
            }
        }
        best
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.acceptors.fetch_sub(1, AcqRel);
    }
}

/// Whether the failure is about the connection that would have been accepted, not about accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One of the connections that there may be.
struct Slot {
    shared: Arc<Shared>,
}

impl Slot {
    fn take(shared: &Arc<Shared>) -> Option<Slot> {
        let before = shared.open.fetch_add(1, AcqRel);
        let slot = Slot { shared: shared.clone() };
        (before < shared.config.limits.connections_max).then_some(slot)
    }

    async fn serve(self, stream: TcpStream, site: Arc<Site>, core: usize) {
        let connection = Arc::new(Connection::new(self.shared.clone(), site, core));
        let _entry = self.shared.cores[core].enter(&connection);
        if self.shared.is_cut() {
            return;
        }
        connection::serve(stream, connection).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, AcqRel);
    }
}
