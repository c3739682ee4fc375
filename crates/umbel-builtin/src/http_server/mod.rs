//! `http-server`: brings HTTP requests from outside to components.
//!
//! All applications of a host share one listener. Which component answers is decided per request by host name and path, in an
//! immutable table that is replaced whenever a link changes. A connection lives on the core that it was given to; routing, the
//! guest's call and the answer all run on that core's thread.
//!
//! ```text
//! listener (bound once, duplicated per core)
//!    └─▶ core 0 … n: accept ─▶ connection ─▶ [framing] ─▶ hyper ─▶ service ─▶ Table::find ─▶ Targets::http ─▶ Handler::call
//!                                 ▲ sweep: timeouts                    │
//!                                                                      └─▶ stats (one shard per route and core)
//! links: put ─▶ link::Claim ─▶ conflict? ─▶ book ─▶ new Table
//! ```
//!
//! A link's source config says where its component answers: `host` (a comma list; unless said `<app>.localhost`), `path` (a comma
//! list of prefixes; unless said all), `address` (a listener of its own, as wasmCloud's http-server has). The bare port answers
//! when there is one application.
//!
//! Requests reach a [`Handler`](umbel_provider::http::Handler) as they came: HTTP/1.1 with a path and one `Host` header, HTTP/2
//! with an absolute URI. Response trailers reach HTTP/1.1 clients that sent `TE: trailers`, when the response names them in a
//! `Trailer` header; HTTP/2 clients always get them.
//!
//! Read in this order: [`config`], `link`, `router`, `authority` (decisions, pure) · `framing` (what a request is, pure) ·
//! `server` (the state and its changes), `listener`, `connection`, `service`, `body`, `answer` (the path of a request) ·
//! [`stats`], [`error`].

pub mod config;
pub mod error;
pub mod stats;

mod answer;
mod authority;
mod body;
mod connection;
mod framing;
mod link;
mod listener;
mod manner;
mod quiet;
mod router;
mod server;
mod service;

pub use config::{Config, Limits};
pub use error::ServerError;
pub use stats::{RouteStats, Stats};

use async_trait::async_trait;
use link::Claim;
use server::Server;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Endpoint, Factory, Provider, StartContext};
use umbel_supervisor::cores::Cores;

/// The factory of http-server providers and the server that they share.
#[derive(Clone)]
pub struct HttpServer {
    server: Arc<Server>,
}

impl HttpServer {
    /// A server that does not listen yet. Its connections will live on `cores`.
    pub fn new(config: Config, cores: Arc<Cores>) -> HttpServer {
        HttpServer { server: Arc::new(Server::new(config, cores)) }
    }

    /// Opens the shared listener, so that a port clash shows at once. Otherwise the first provider opens it.
    pub async fn bind(&self) -> Result<Vec<SocketAddr>, Problem> {
        self.server.bind().map_err(|error| Problem::from(&error))
    }

    /// Where the shared listener is, once it is open.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Routes requests from now on, if it was [`Config::held`]: all links of the time before the restart are here again.
    pub fn release(&self) {
        self.server.release();
    }

    /// The access counters.
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }

    /// Stops the whole server: no new connections, then the requests in flight finish, then, at the deadline, what is left is cut.
    pub async fn stop(&self, deadline: Duration) {
        self.server.stop(deadline).await;
    }
}

#[async_trait]
impl Factory for HttpServer {
    fn name(&self) -> &'static str {
        "http-server"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["http-server"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "http", &["incoming-handler", "handler"])]
    }

    fn runs_apart(&self) -> bool {
        false
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        link::check_provider(&cx.config).map_err(|error| Problem::from(&error))?;
        self.bind().await?;
        Ok(Arc::new(HttpServerProvider {
            server: self.server.clone(),
            state: Mutex::new(State::default()),
            cx,
        }))
    }
}

/// One http-server provider: some of the links of the shared server.
struct HttpServerProvider {
    server: Arc<Server>,
    cx: StartContext,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The provider's config, once it was changed.
    config: Option<Values>,
    links: BTreeMap<LinkKey, ResolvedLink>,
    stopped: bool,
}

impl HttpServerProvider {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, link: &ResolvedLink, config: &Values) -> Result<(), ServerError> {
        let application = self.cx.targets.application_of(&link.link.target);
        let claim = Claim::read(link, config, application, &self.server.addresses())?;
        self.server.put(claim, self.cx.targets.clone())
    }
}

#[async_trait]
impl Provider for HttpServerProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let mut state = self.state();
        if state.stopped {
            return Err(Problem::from(&ServerError::Stopped));
        }
        let config = state.config.as_ref().unwrap_or(&self.cx.config);
        self.apply(&link, config).map_err(|error| Problem::from(&error))?;
        state.links.insert(link.link.key(), link);
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        if self.state().links.remove(key).is_some() {
            self.server.delete(key);
        }
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        link::check_provider(&config).map_err(|error| Problem::from(&error))?;
        let mut state = self.state();
        for link in state.links.values() {
            self.apply(link, &config).map_err(|error| Problem::from(&error))?;
        }
        state.config = Some(config);
        Ok(())
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.server.endpoints(self.cx.id.as_str())
    }

    async fn stop(&self, deadline: Duration) {
        let links = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.links)
        };
        let routes: Vec<_> = links.keys().filter_map(|key| self.server.delete(key)).collect();
        server::settle(&routes, deadline).await;
    }
}
