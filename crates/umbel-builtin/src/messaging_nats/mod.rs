//! `messaging-nats`: serves `wasmcloud:messaging` and `wasi:messaging` over a NATS server, so that components hear other hosts, and
//! whoever else is connected there.
//!
//! It is what [`crate::messaging`] is, contracts, subscriptions, queues and limits, with another way between the two ends:
//!
//! ```text
//! component ──publish, request──▶ commands, in their order ─▶ one connection ─▶ NATS ─▶ subscriptions ─▶ queues ─▶ components
//! ```
//!
//! **Subjects.** As with wasmCloud 1.x, a subject is on the server what the component calls it (`subjects: plain`, the default):
//! whoever uses the server shares it. With `subjects: application` each application is alone, as with `messaging`: its subjects stand
//! below `PREFIX.app-NAME.`. Links that name the same `space` share `PREFIX.space-NAME.` in both.
//!
//! **What is carried.** A body, and in headers the content type, and metadata as JSON (`umbel-metadata`); other headers of a message
//! that comes are metadata. Replies come to an inbox that nobody else knows; that nobody subscribes is told at once.
//!
//! **Connections** are one for each server and user that the provider or a link names, made when it is first needed. A lost one is
//! made again after 100 ms to 5 s, with all its subscriptions; what is sent meanwhile is refused with UM1154. Delivery is at most
//! once: what is on its way when a connection breaks is lost.
//!
//! Read in this order: [`config`], `connection`, `remote`.

pub mod config;

mod connection;
mod remote;

use crate::messaging::error::MessagingError;
use crate::messaging::space::{Space, SpaceId};
use crate::messaging::{MessagingProvider, Reach, Settings, Spaces};
use async_trait::async_trait;
use config::Server;
use connection::Connection;
use futures::future::BoxFuture;
use remote::NatsSpace;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use umbel_core::Problem;
use umbel_core::link::Contract;
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::Scope;
use umbel_supervisor::cores::Cores;

/// The factory of NATS messaging providers.
#[derive(Clone)]
pub struct MessagingNats {
    cores: Arc<Cores>,
}

impl MessagingNats {
    /// The factory. Components will be called on `cores`.
    pub fn new(cores: Arc<Cores>) -> MessagingNats {
        MessagingNats { cores }
    }
}

#[async_trait]
impl Factory for MessagingNats {
    fn name(&self) -> &'static str {
        "messaging-nats"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["messaging-nats"]
    }

    fn contracts(&self) -> Vec<Contract> {
        let draft = ["types", "producer", "request-reply", "incoming-handler"];
        let wasmcloud = ["consumer", "handler"].into_iter().chain(draft).collect::<Vec<_>>();
        vec![Contract::new("wasmcloud", "messaging", &wasmcloud), Contract::new("wasi", "messaging", &draft)]
    }

    /// Starts whether the server answers or not.
    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        let servers = Servers { tasks: Scope::new("messaging-nats"), connected: Mutex::default() };
        Ok(Arc::new(MessagingProvider::new(Arc::new(servers), self.cores.clone(), cx)?))
    }
}

/// The connections of a provider, and the spaces that each carries.
struct Servers {
    /// All tasks of all connections; they end with the provider.
    tasks: Scope,
    connected: Mutex<HashMap<Server, Connected>>,
}

struct Connected {
    connection: Arc<Connection>,
    spaces: HashMap<SpaceId, Arc<Space>>,
}

impl Servers {
    fn connected(&self) -> MutexGuard<'_, HashMap<Server, Connected>> {
        // It is whole after every statement that changes it.
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spaces for Servers {
    fn reach(&self) -> Reach {
        Reach::Server
    }

    fn space(&self, settings: &Settings, id: SpaceId) -> Result<Arc<Space>, MessagingError> {
        let server = &settings.server;
        let mut connected = self.connected();
        if !connected.contains_key(server) {
            // Those that no link and no subscription leads to any more.
            connected.retain(|_, old| old.spaces.values().any(|space| Arc::strong_count(space) > 1));
            let connection = Connection::open(server, self.tasks.spawner())?;
            connected.insert(
                server.clone(),
                Connected { connection: Arc::new(connection), spaces: HashMap::new() },
            );
        }
        let connected = connected.get_mut(server).expect("it was put there");
        let space = connected.spaces.entry(id).or_insert_with_key(|id| {
            let remote = NatsSpace::new(connected.connection.clone(), server.prefix_of(id));
            Arc::new(Space::beyond(id.clone(), remote))
        });
        Ok(space.clone())
    }

    fn failure(&self) -> Option<Problem> {
        let lost = self.connected().values().any(|connected| connected.connection.is_lost());
        lost.then(|| Problem::from(&MessagingError::Unconnected))
    }

    fn settle(&self) -> BoxFuture<'static, ()> {
        let connections: Vec<_> =
            self.connected().values().map(|connected| connected.connection.clone()).collect();
        Box::pin(async move {
            for connection in connections {
                connection.settle().await;
            }
        })
    }
}
