//! A connection that can be made to fail: a TCP proxy that cuts, swallows, freezes, delays, throttles and refuses when it is told to.
//!
//! It loses no packets, as the two ends would not notice: their kernels send those again. What does is [`crate::network`].

use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often something goes through where it is throttled.
const THROTTLE_STEP: Duration = Duration::from_millis(50);
/// How often that is in a second.
const STEPS: usize = 20;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// They go through.
    #[default]
    Open,
    /// They are taken and go nowhere; nobody is told.
    Hole,
    /// They go through so much later.
    Slow(Duration),
    /// They wait until it is another way: whoever sends finds that nothing more is taken, and nothing is lost.
    Frozen,
    /// So many bytes go through in a second, at least one.
    Throttled(u64),
}

/// What happens to connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// From whoever connects to the server.
    pub up: Way,
    /// From the server back.
    pub down: Way,
    /// Whether new connections are closed at once.
    pub refuses: bool,
    /// Connections that were made before it last grew are gone.
    cuts: u64,
}

/// A proxy in front of a server. Its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of the address, through which everything goes.
    pub async fn start(server: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (faults, heard) = watch::channel(Faults::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, heard));
        Ok(Proxy { address, faults, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Changes what happens, to connections that are there too.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Closes every connection that is there.
    pub fn cut(&self) {
        self.set(|faults| faults.cuts += 1);
    }

    /// Closes every connection, and takes no new ones until [`Proxy::heal`].
    pub fn part(&self) {
        self.set(|faults| {
            faults.refuses = true;
            faults.cuts += 1;
        });
    }

    /// Everything goes through again. Connections of before stay as they are: what they lost is lost.
    pub fn heal(&self) {
        self.set(|faults| *faults = Faults { cuts: faults.cuts, ..Faults::default() });
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, faults: watch::Receiver<Faults>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if !faults.borrow().refuses {
            connections.spawn(carry(stream, server, faults.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut faults: watch::Receiver<Faults>) {
    let cuts = faults.borrow().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Small messages are not held back by the proxy.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let up = copy(client_in, server_out, faults.clone(), |faults| faults.up);
    let down = copy(server_in, client_out, faults.clone(), |faults| faults.down);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = faults.wait_for(|faults| faults.cuts != cuts) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Faults>,
    way: impl Fn(&Faults) -> Way,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            // Nothing is borrowed while something is waited for: whoever changes the faults must not wait for a connection.
            let now = way(&faults.borrow_and_update());
            let piece = match now {
                Way::Open => rest.len(),
                Way::Hole => break,
                Way::Frozen => {
                    if faults.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Way::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    rest.len()
                }
                Way::Throttled(bytes) => {
                    tokio::time::sleep(THROTTLE_STEP).await;
                    usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(STEPS).clamp(1, rest.len())
                }
            };
            let (now, later) = rest.split_at(piece);
            if to.write_all(now).await.is_err() {
                return;
            }
            rest = later;
        }
    }
}

#[cfg(test)]
mod tests;
