//! Listeners and connections: a unix socket for this machine's user, loopback TCP for those who have the token.

use crate::folder::{StateFolder, folder_problem};
use crate::guard::{self, Token};
use crate::routes;
use crate::service::Service;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_lattice::Lattice;
use umbel_supervisor::{ChildContext, ChildSpec, Spawner, Stop};

/// From a request's head to its answer, streams aside.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for looking into a component, which may have to be compiled first: above the limit of a compilation, and of one before it.
pub(crate) const INSPECT_TIMEOUT: Duration = Duration::from_secs(400);

/// The same for calls by hand, which may take 300 s.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(310);

/// The same for what is done to a provider by hand, which drains and starts.
pub(crate) const PROVIDER_TIMEOUT: Duration = Duration::from_secs(80);

/// How long the answer at `path` may take.
pub(crate) fn patience(path: &str) -> Duration {
    match path {
        "/v1/inspect" | "/v1/wit" => INSPECT_TIMEOUT,
        "/v1/call" => CALL_TIMEOUT,
        path if path.starts_with("/v1/providers/") => PROVIDER_TIMEOUT,
        _ => REQUEST_TIMEOUT,
    }
}
/// Until the head of a request is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at the same moment, on each listener; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Before accepting again after the operating system refused, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the API needs to be told.
#[derive(Clone)]
pub struct Config {
    /// The state folder; [`StateFolder::prepare`] has been called.
    pub folder: StateFolder,
    /// Where to listen on TCP; a loopback address. Port 0 is any free one. `None`: the unix socket only.
    pub tcp: Option<SocketAddr>,
    /// The platform's version.
    pub version: String,
    /// Told where the API listens, each time it starts to.
    pub listening: watch::Sender<Option<Listening>>,
    /// Called, with a reason, when somebody asks the platform to stop. It must return at once.
    pub shutdown: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The unix socket.
    pub socket: PathBuf,
    /// The TCP address, with the port that was found.
    pub tcp: Option<SocketAddr>,
}

/// The API as a child of the tree.
pub struct Api;

impl Api {
    /// The child that serves the API of the lattice.
    pub fn child_spec(config: Config, lattice: Arc<dyn Lattice>) -> ChildSpec {
        ChildSpec::task("api", move |cx| Api::run(config.clone(), lattice.clone(), cx))
    }

    /// Whether it can serve, asked before anything is started: a child that fails is started again and again, and nobody would be
    /// told why. What was bound is let go again.
    pub async fn check(config: &Config) -> Result<(), Problem> {
        Token::read_or_create(&config.folder)?;
        config.folder.check_socket_path()?;
        bind_unix(&config.folder.socket()).await?;
        if let Some(address) = config.tcp {
            bind_tcp(address).await?;
        }
        Ok(())
    }

    /// Serves until it is asked to stop, then lets requests under way finish.
    pub async fn run(config: Config, lattice: Arc<dyn Lattice>, cx: ChildContext) -> Result<(), Problem> {
        let token = Token::read_or_create(&config.folder)?;
        let socket = config.folder.socket();
        config.folder.check_socket_path()?;
        let unix = bind_unix(&socket).await?;
        let tcp = match config.tcp {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        let listening = Listening { socket, tcp: tcp.as_ref().map(|(_, address)| *address) };

        let service = Service::new(lattice, config.version, config.shutdown, cx.stop.clone());
        let router = routes::router(Arc::new(service));
        let spawner = cx.scope.spawner();
        cx.scope.spawn(accept(Unix(unix), router.clone(), spawner.clone(), cx.stop.clone()));
        if let Some((listener, address)) = tcp {
            let guarded = router.layer(axum::middleware::from_fn(move |request, next| {
                guard::tcp_only(token.clone(), request, next)
            }));
            cx.scope.spawn(accept(Tcp(listener), guarded, spawner, cx.stop.clone()));
            cx.detail.set(format!("http://{address} and {}", listening.socket.display()));
        } else {
            cx.detail.set(listening.socket.display().to_string());
        }
        config.listening.send_replace(Some(listening));
        cx.ready.notify();

        cx.stop.requested().await;
        config.listening.send_replace(None);
        // Whoever is being answered gets the answer; a little of the budget is kept for ending what does not.
        cx.scope.drain(cx.shutdown.mul_f64(0.8)).await;
        Ok(())
    }
}

/// Binds the socket, taking the place of one that a killed platform left behind.
async fn bind_unix(path: &Path) -> Result<UnixListener, Problem> {
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(Problem::new(
                api::LISTEN_FAILED,
                format!("another platform listens on `{}`", path.display()),
            )
            .with_help(
                "use the platform that runs, stop it with `umbel down`, or choose another `--state`",
            ));
        }
        std::fs::remove_file(path).map_err(|error| folder_problem(path, "cannot be replaced", &error))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| {
        Problem::new(api::LISTEN_FAILED, format!("the API cannot listen on `{}`", path.display()))
            .with_cause(error.to_string())
    })?;
    // Until here the 0700 folder alone keeps others out.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| folder_problem(path, "cannot be made private", &error))?;
    Ok(listener)
}

async fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Problem> {
    let failed = |why: String| {
        Problem::new(api::LISTEN_FAILED, format!("the API cannot listen on {address}")).with_cause(why)
    };
    let is_loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !is_loopback {
        return Err(failed("it is not a loopback address".into()));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| failed(error.to_string()))?;
    let bound = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    Ok((listener, bound))
}

/// A listener of either kind.
trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

struct Unix(UnixListener);
struct Tcp(TcpListener);

impl Listener for Unix {
    type Stream = tokio::net::UnixStream;
    async fn accept(&self) -> std::io::Result<Self::Stream> {
        Ok(self.0.accept().await?.0)
    }
}

impl Listener for Tcp {
    type Stream = tokio::net::TcpStream;
    async fn accept(&self) -> std::io::Result<Self::Stream> {
        let (stream, _) = self.0.accept().await?;
        // Answers are short: waiting to fill a packet would only delay them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn accept<L: Listener>(listener: L, router: Router, spawner: Spawner, stop: Stop) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            // The semaphore is never closed; were it, nothing would be accepted any more.
            let permit = connections.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let (outcome, permit) = tokio::select! {
            () = stop.requested() => return,
            Some(accepted) = accepted => accepted,
            else => return,
        };
        match outcome {
            Ok(stream) => {
                let (router, stop) = (router.clone(), stop.clone());
                spawner.spawn(async move {
                    connection(stream, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: Stop,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
