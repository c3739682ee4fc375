//! `http-client`: carries the requests of components out of the host.
//!
//! It dials http and https, and nothing else; it never follows redirects and keeps no cookies. Whether a component may reach a
//! host is decided before a request comes here; `deny_private` is a second fence, against names that resolve to addresses inside.
//!
//! ```text
//! Outgoing::send ─▶ settings of the link ─▶ target (URI, checked) ─▶ pool ──idle──────────────▶ exchange ─▶ response
//!                                                                      └──none──▶ connect ──┘        │
//!                                                             resolve, guard, TCP, TLS (ALPN)        └─▶ back to the pool
//!                                                                                                        when its body ended
//! ```
//!
//! A link's target config overrides the provider's: see [`config::Settings`].
//!
//! Read in this order: [`config`], [`error`], `connect`, `pool`, `exchange`.

pub mod config;
pub mod error;

mod connect;
mod exchange;
mod pool;

pub use config::Settings;
#[cfg(any(feature = "messaging_nats", feature = "postgres"))]
pub(crate) use connect::tls_config;
pub use error::ClientError;
pub(crate) use exchange::Client;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::http::{Outgoing, OutgoingOptions, Request, Response};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::scope::{Scope, Spawner};

/// The factory of http-client providers.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpClient;

impl HttpClient {
    /// The factory.
    pub fn new() -> HttpClient {
        HttpClient
    }
}

#[async_trait]
impl Factory for HttpClient {
    fn name(&self) -> &'static str {
        "http-client"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["http-client"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "http", &["outgoing-handler", "client"])]
    }

    fn runs_apart(&self) -> bool {
        false
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        let tasks = Scope::new("http-client");
        let default = client(&cx.config, &Values::new(), tasks.spawner())?;
        let clients = Clients { default, by_link: HashMap::new() };
        let outgoing = Arc::new(Shared { clients: ArcSwap::from_pointee(clients) });
        let state = State { config: cx.config, links: HashMap::new() };
        Ok(Arc::new(HttpClientProvider { outgoing, tasks, state: Mutex::new(state) }))
    }
}

fn client(config: &Values, link: &Values, tasks: Spawner) -> Result<Arc<Client>, Problem> {
    Settings::read(config, link)
        .and_then(|settings| Client::new(settings, tasks))
        .map(Arc::new)
        .map_err(|error| Problem::from(&error))
}

/// One http-client provider.
struct HttpClientProvider {
    outgoing: Arc<Shared>,
    /// The tasks that drive connections.
    tasks: Scope,
    state: Mutex<State>,
}

struct State {
    config: Values,
    links: HashMap<LinkKey, Values>,
}

/// What calls see: the clients, by link.
struct Shared {
    clients: ArcSwap<Clients>,
}

#[derive(Clone)]
struct Clients {
    default: Arc<Client>,
    /// Only links that have config of their own.
    by_link: HashMap<LinkKey, Arc<Client>>,
}

impl HttpClientProvider {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Clients)) {
        let mut clients = Clients::clone(&self.outgoing.clients.load());
        change(&mut clients);
        self.outgoing.clients.store(Arc::new(clients));
    }
}

#[async_trait]
impl Provider for HttpClientProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let (key, values) = (link.link.key(), link.target_settings());
        let mut state = self.state();
        if state.links.get(&key) == Some(&values) {
            return Ok(());
        }
        let own = if values.is_empty() {
            None
        } else {
            Some(client(&state.config, &values, self.tasks.spawner())?)
        };
        state.links.insert(key.clone(), values);
        self.change(|clients| {
            match own {
                Some(own) => clients.by_link.insert(key, own),
                None => clients.by_link.remove(&key),
            };
        });
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        let mut state = self.state();
        state.links.remove(key);
        self.change(|clients| drop(clients.by_link.remove(key)));
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        let mut state = self.state();
        let default = client(&config, &Values::new(), self.tasks.spawner())?;
        let mut by_link = HashMap::new();
        for (key, values) in state.links.iter().filter(|(_, values)| !values.is_empty()) {
            by_link.insert(key.clone(), client(&config, values, self.tasks.spawner())?);
        }
        state.config = config;
        self.outgoing.clients.store(Arc::new(Clients { default, by_link }));
        Ok(())
    }

    fn http_outgoing(&self) -> Option<Arc<dyn Outgoing>> {
        Some(self.outgoing.clone())
    }

    async fn stop(&self, deadline: Duration) {
        let clients = self.outgoing.clients.load_full();
        clients.by_link.values().chain([&clients.default]).for_each(|client| client.close_idle());
        self.tasks.drain(deadline).await;
    }
}

impl Outgoing for Shared {
    fn send(
        &self,
        link: &LinkKey,
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let clients = self.clients.load();
        let client = clients.by_link.get(link).unwrap_or(&clients.default).clone();
        Box::pin(async move { client.send(request, options).await.map_err(|error| Problem::from(&error)) })
    }
}
