//! `sqldb-postgres`: serves `wasmcloud:postgres` (`0.1.0-draft`, `0.1.1-draft`: types, query, prepared) from a PostgreSQL server.
//!
//! ```text
//!  component ── query, exec ─▶ parameters as text, typed by the server ─▶ a connection of the pool ─▶ PostgreSQL
//!            ◀─ rows: each column a `pg-value` of its type ◀── binary, counted while it comes ◀──────┘
//! ```
//!
//! **Sessions.** A call has a connection for itself and gives it back. What a batch, or a statement that is no plain query, says to
//! its session (`BEGIN`, `SET`, `LISTEN`, temporary tables) ends with the call: transactions stand in one batch. A call that takes
//! too long, or whose caller goes away, is cancelled in the server, and its connection is closed.
//!
//! **Prepared statements** are known by a token that a component gets for a text: the same text gives the same token, for every
//! component of an application and over every connection, until the provider stops or the statement was not used for long.
//!
//! **Connections** are one pool for each server, user and database that the provider or a link names. Passwords are never logged,
//! shown or put into an error.
//!
//! Read in this order: [`config`], [`error`], `value`, `database`, `serve`.

pub mod config;
pub mod error;

mod database;
mod serve;
mod statements;
mod value;

pub use config::Settings;
pub use error::PostgresError;

use async_trait::async_trait;
use config::Place;
use database::Database;
use serve::Server;
use statements::Statements;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Health, Provider, StartContext};
use umbel_supervisor::scope::{Scope, Spawner};
use umbel_wit::{Link, Serve};

/// Pools that are kept for links with config of their own.
const DATABASES_MAX: usize = 64;

/// The factory of PostgreSQL providers. Its name is that of the provider of wasmCloud 1.x that it stands in for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl Postgres {
    /// The factory.
    pub fn new() -> Postgres {
        Postgres
    }
}

#[async_trait]
impl Factory for Postgres {
    fn name(&self) -> &'static str {
        "sqldb-postgres"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["sqldb-postgres"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasmcloud", "postgres", &["query", "prepared", "types"])]
    }

    /// Starts whether the server answers or not. Where config leaves the server to links, it is asked for with the first one.
    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        Settings::read(&cx.config, &Values::new()).map_err(told)?;
        let tasks = Scope::new("sqldb-postgres");
        let state = State { config: cx.config, databases: HashMap::new(), closed: false };
        let databases = Databases { state: Mutex::new(state), tasks: tasks.spawner() };
        let server = Server::new(Arc::new(databases), Arc::new(Statements::default()));
        Ok(Arc::new(PostgresProvider { server: Arc::new(server), tasks }))
    }
}

fn told(error: PostgresError) -> Problem {
    Problem::from(&error)
}

/// The pools of a provider.
struct Databases {
    state: Mutex<State>,
    /// For what goes on after a call has ended.
    tasks: Spawner,
}

struct State {
    config: Values,
    databases: HashMap<Place, Arc<Database>>,
    closed: bool,
}

impl Databases {
    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after every statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database of a link.
    fn find(&self, link: &Link) -> Result<Arc<Database>, PostgresError> {
        let mut state = self.state();
        if state.closed {
            return Err(PostgresError::Closed);
        }
        let settings = Settings::read(&state.config, &link.values)?;
        let place = settings.place()?;
        if let Some(database) = state.databases.get(&place) {
            return Ok(database.clone());
        }
        if state.databases.len() >= DATABASES_MAX {
            // What calls use stays with them.
            state.databases.clear();
        }
        let database = Arc::new(Database::new(&place, self.tasks.clone())?);
        state.databases.insert(place, database.clone());
        Ok(database)
    }
}

/// One PostgreSQL provider.
struct PostgresProvider {
    server: Arc<Server>,
    tasks: Scope,
}

#[async_trait]
impl Provider for PostgresProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        // A call brings its link along; here it is only seen whether it can be served.
        let link = Link { values: link.target_settings(), ..Link::default() };
        self.server.databases().find(&link).map(drop).map_err(told)
    }

    async fn del_link(&self, _key: &LinkKey) -> Result<(), Problem> {
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        Settings::read(&config, &Values::new()).map_err(told)?;
        let mut state = self.server.databases().state();
        state.config = config;
        // Calls under way keep their connections.
        state.databases.clear();
        Ok(())
    }

    fn health(&self) -> Health {
        let state = self.server.databases().state();
        let failure = state.databases.values().find_map(|database| database.failure());
        failure.map_or(Health::Healthy, Health::Unhealthy)
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(self.server.clone())
    }

    async fn stop(&self, deadline: Duration) {
        {
            let mut state = self.server.databases().state();
            state.closed = true;
            state.databases.clear();
        }
        self.tasks.drain(deadline).await;
    }
}
