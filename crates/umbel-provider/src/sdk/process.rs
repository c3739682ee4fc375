//! The life of a provider process, once it is connected.

use super::links::Links;
use super::targets::{Components, Current};
use crate::hostdata::HostData;
use crate::wire::{
    Description, HealthAnswer, InterfaceLinkDefinition, NewSettings, SHUTTING_DOWN, Shutdown, Subjects, Taken,
};
use crate::{Factory, Provider, StartContext};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::code::{lattice as code, wire};
use umbel_core::id::ProviderId;
use umbel_core::link::Values;
use umbel_core::settings::{Secrets, Settings};
use umbel_lattice::message::to_json;
use umbel_lattice::unix::connect;
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Server, ServerLimits, ServerSpec};
use umbel_lattice::{Lattice, Message, Spawn, Subscription};
use umbel_supervisor::Stop;

/// How long a provider has for its end unless the host says.
const SHUTDOWN_DEFAULT: Duration = Duration::from_secs(10);

/// How long a provider that could not start waits for the host to ask why.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often a process whose connection has ended tries to come back.
const RECONNECT_EVERY: Duration = Duration::from_millis(50);

/// How a provider process serves.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Whether calls begin on the thread that reads the connection. It is right for functions that answer at once or wait; functions that
    /// compute for long hold up the calls behind them.
    pub is_quick: bool,
    /// Limits of the calls that it serves.
    pub limits: ServerLimits,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions { is_quick: true, limits: ServerLimits::default() }
    }
}

/// Why a provider ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The host asked it to.
    ByHost,
    /// The process was asked to end.
    ByProcess,
}

/// Is a provider on a lattice: starts it, serves its calls, follows links, config and health checks, until it is to end. Where the host
/// data say so, a provider that has lost its connection goes on, and comes back when another host is there.
///
/// Errors: what it could not start for (the host is told it too), or that the connection is lost.
pub async fn serve(
    lattice: Arc<dyn Lattice>,
    spawn: Spawn,
    factory: Arc<dyn Factory>,
    data: HostData,
    stop: Stop,
    options: ServeOptions,
) -> Result<Stopped, Problem> {
    let subjects = Subjects::new(lattice.name(), &data.provider_key);
    let started = Process::start(&lattice, &spawn, &*factory, &data, &subjects, options).await;
    let mut process = match started {
        Ok(process) => process,
        Err(problem) => {
            tell_failure(&*lattice, &subjects, &problem).await;
            lattice.close().await;
            return Err(problem);
        }
    };
    let (stopped, deadline) = loop {
        let problem = match process.follow(&stop).await {
            Ok(ended) => break ended,
            Err(problem) => problem,
        };
        let back = tokio::select! {
            back = process.come_back(&data, problem) => back,
            () = stop.requested() => break (Stopped::ByProcess, SHUTDOWN_DEFAULT),
        };
        if let Err(problem) = back {
            process.provider.stop(SHUTDOWN_DEFAULT).await;
            return Err(problem);
        }
    };
    let begun = Instant::now();
    if let Some(server) = &process.line.server {
        server.drain(deadline).await;
    }
    process.provider.stop(deadline.saturating_sub(begun.elapsed())).await;
    let lattice = process.line.lattice.clone();
    drop(process);
    lattice.close().await;
    Ok(stopped)
}

/// Says why the provider could not start, if the host asks.
async fn tell_failure(lattice: &dyn Lattice, subjects: &Subjects, problem: &Problem) {
    let Ok(mut asked) = lattice.subscribe(&subjects.describe()).await else { return };
    if let Ok(Some(request)) = tokio::time::timeout(FAREWELL, asked.next()).await {
        let description = Description { problem: Some(problem.clone()), ..Description::default() };
        // The host that does not hear it sees that the process ends.
        let _ = lattice.respond(&request, to_json(&description)).await;
    }
}

/// A provider that runs. It stays what it is when it comes back to another host; what goes over the connection is made anew.
struct Process {
    id: ProviderId,
    host_id: String,
    spawn: Spawn,
    options: ServeOptions,
    provider: Arc<dyn Provider>,
    links: Arc<Links>,
    catalog: Arc<Catalog>,
    client: Arc<Current>,
    description: Description,
    /// What it was told last.
    secrets: Secrets,
    line: Line,
}

/// What hangs on one connection.
struct Line {
    lattice: Arc<dyn Lattice>,
    server: Option<Server>,
    changes: Changes,
    questions: Questions,
}

/// What changes a provider. It is heard first: links that come while it starts wait in the queue.
struct Changes {
    link_put: Subscription,
    link_del: Subscription,
    config: Subscription,
    settings: Subscription,
}

/// What a provider is asked. It is heard last: who hears it is ready.
struct Questions {
    shutdown: Subscription,
    describe: Subscription,
    health: Subscription,
}

fn of_lattice(error: umbel_lattice::LatticeError) -> Problem {
    Problem::from(&error)
}

impl Changes {
    async fn hear(lattice: &dyn Lattice, subjects: &Subjects) -> Result<Changes, Problem> {
        Ok(Changes {
            link_put: lattice.subscribe(&subjects.link_put()).await.map_err(of_lattice)?,
            link_del: lattice.subscribe(&subjects.link_del()).await.map_err(of_lattice)?,
            config: lattice.subscribe(&subjects.config_update()).await.map_err(of_lattice)?,
            settings: lattice.subscribe(&subjects.settings()).await.map_err(of_lattice)?,
        })
    }
}

impl Questions {
    async fn hear(lattice: &dyn Lattice, subjects: &Subjects) -> Result<Questions, Problem> {
        Ok(Questions {
            shutdown: lattice.subscribe(&subjects.shutdown()).await.map_err(of_lattice)?,
            describe: lattice.subscribe(&subjects.describe()).await.map_err(of_lattice)?,
            health: lattice.subscribe(&subjects.health()).await.map_err(of_lattice)?,
        })
    }
}

/// What serves the provider's calls over one connection.
struct Serving<'a> {
    id: &'a ProviderId,
    spawn: &'a Spawn,
    catalog: &'a Arc<Catalog>,
    links: &'a Arc<Links>,
    options: ServeOptions,
}

impl Serving<'_> {
    async fn start(
        self,
        lattice: &Arc<dyn Lattice>,
        provider: &dyn Provider,
        lent: Arc<Lent>,
    ) -> Result<Option<Server>, Problem> {
        let Some(serve) = provider.serve() else { return Ok(None) };
        let (links, catalog) = (self.links.clone(), self.catalog.clone());
        let spec = ServerSpec {
            id: self.id.to_string(),
            catalog: Arc::new(move || catalog.clone()),
            serve,
            links: Arc::new(move |caller| links.inward(caller.source, caller.link, caller.interface)),
            lent,
            group: Some(format!("{}.{}", lattice.name(), self.id)),
            is_quick: self.options.is_quick,
            limits: self.options.limits,
        };
        Server::start(lattice.clone(), self.spawn.clone(), spec).await.map(Some).map_err(of_lattice)
    }
}

impl Process {
    async fn start(
        lattice: &Arc<dyn Lattice>,
        spawn: &Spawn,
        factory: &dyn Factory,
        data: &HostData,
        subjects: &Subjects,
        options: ServeOptions,
    ) -> Result<Process, Problem> {
        let id = ProviderId::new(&data.provider_key).map_err(|error| Problem::from(&error))?;
        let interfaces: Vec<_> =
            factory.interfaces().into_iter().map(|(name, interface)| (name, Arc::new(interface))).collect();
        let named = interfaces.iter().map(|(name, interface)| (name.to_string(), (**interface).clone()));
        let mut description = Description { interfaces: named.collect(), ..Description::default() };
        let catalog = Arc::new(Catalog::new(interfaces));
        let (links, lent) = (Arc::new(Links::default()), Lent::new());
        let client = Client::new(lattice.clone(), spawn.clone(), lent.clone(), ClientLimits::default());
        let client = Arc::new(Current::new(client.await.map_err(of_lattice)?));
        let targets = Components {
            id: id.to_string(),
            links: links.clone(),
            client: client.clone(),
            catalog: catalog.clone(),
        };
        let changes = Changes::hear(&**lattice, subjects).await?;
        let provider = factory
            .start(StartContext {
                id: id.clone(),
                config: data.settings().all(),
                secrets: data.secrets.clone(),
                targets: Arc::new(targets),
                folder: data.umbel.clone().unwrap_or_default().folder,
            })
            .await?;
        for definition in &data.link_definitions {
            if let Err(problem) = put(&*provider, &links, id.as_str(), definition.clone()).await {
                // The host offers it again, and shows why.
                tracing::warn!(%problem, "a link was not taken");
            }
        }
        let serving = Serving { id: &id, spawn, catalog: &catalog, links: &links, options };
        let server = serving.start(lattice, &*provider, lent).await?;
        description.serves = server.is_some();
        let questions = Questions::hear(&**lattice, subjects).await?;
        let line = Line { lattice: lattice.clone(), server, changes, questions };
        Ok(Process {
            id,
            host_id: data.host_id.clone(),
            spawn: spawn.clone(),
            options,
            provider,
            links,
            catalog,
            client,
            description,
            secrets: data.secrets.clone(),
            line,
        })
    }

    /// The connection has ended. Comes back to the same place, if the host data give time for that and somebody is there in time: another
    /// host that takes the provider over.
    ///
    /// Errors: what ended the connection.
    async fn come_back(&mut self, data: &HostData, lost: Problem) -> Result<(), Problem> {
        let own = data.umbel.clone().unwrap_or_default();
        let deadline = Instant::now() + Duration::from_millis(own.reconnect_ms);
        // Calls of the host that is gone have nobody who waits for them.
        self.line.server = None;
        while Instant::now() < deadline {
            let connected = connect(data.socket()?, &data.provider_key, &own.token, &self.spawn).await;
            let resumed = match connected {
                Ok(lattice) => self.resume(Arc::new(lattice)).await,
                Err(problem) => Err(problem),
            };
            match resumed {
                Ok(()) => {
                    tracing::info!("another host has taken this provider over");
                    return Ok(());
                }
                Err(problem) if problem.code == wire::HELLO_VERSION => return Err(problem),
                Err(problem) => tracing::debug!(%problem, "no host has taken this provider over yet"),
            }
            tokio::time::sleep(RECONNECT_EVERY).await;
        }
        Err(lost)
    }

    /// Goes on over another connection: what the provider holds stays, with the links that it knows.
    async fn resume(&mut self, lattice: Arc<dyn Lattice>) -> Result<(), Problem> {
        let (lent, subjects) = (Lent::new(), Subjects::new(lattice.name(), self.id.as_str()));
        let client = Client::new(lattice.clone(), self.spawn.clone(), lent.clone(), ClientLimits::default());
        let client = client.await.map_err(of_lattice)?;
        let changes = Changes::hear(&*lattice, &subjects).await?;
        self.client.set(client);
        let serving = Serving {
            id: &self.id,
            spawn: &self.spawn,
            catalog: &self.catalog,
            links: &self.links,
            options: self.options,
        };
        let server = serving.start(&lattice, &*self.provider, lent).await?;
        let questions = Questions::hear(&*lattice, &subjects).await?;
        self.line = Line { lattice, server, changes, questions };
        Ok(())
    }

    /// Follows what the host says, until it is to end, and within which time.
    async fn follow(&mut self, stop: &Stop) -> Result<(Stopped, Duration), Problem> {
        loop {
            let (changes, questions) = (&mut self.line.changes, &mut self.line.questions);
            // In this order where several wait: the end first, then what changes, then questions.
            let (what, message) = tokio::select! {
                biased;
                () = stop.requested() => return Ok((Stopped::ByProcess, SHUTDOWN_DEFAULT)),
                message = questions.shutdown.next() => ("shutdown", message),
                message = changes.config.next() => ("config", message),
                message = changes.settings.next() => ("settings", message),
                message = changes.link_del.next() => ("link_del", message),
                message = changes.link_put.next() => ("link_put", message),
                message = questions.describe.next() => ("describe", message),
                message = questions.health.next() => ("health", message),
            };
            let Some(message) = message else {
                return Err(Problem::new(wire::CONNECTION_LOST, "the host is gone"));
            };
            let answer = match what {
                "shutdown" => match self.shutdown(&message).await {
                    Some(deadline) => return Ok((Stopped::ByHost, deadline)),
                    None => continue,
                },
                "config" => self.taken(self.put_config(&message).await),
                "settings" => {
                    let taken = self.put_settings(&message).await;
                    self.taken(taken)
                }
                "link_put" => self.taken(self.put_link(&message).await),
                "link_del" => self.taken(self.del_link(&message).await),
                "describe" => {
                    self.description.endpoints = self.provider.endpoints();
                    self.description.links = self.links.bare();
                    to_json(&self.description)
                }
                _ => to_json(&HealthAnswer::new(self.provider.health(), self.provider.endpoints())),
            };
            if let Err(error) = self.line.lattice.respond(&message, answer).await {
                tracing::debug!(%error, "the host was not answered");
            }
        }
    }

    fn taken(&self, outcome: Result<(), Problem>) -> bytes::Bytes {
        if let Err(problem) = &outcome {
            tracing::warn!(%problem, "a link or config was not taken");
        }
        to_json(&Taken { problem: outcome.err(), endpoints: self.provider.endpoints() })
    }

    async fn put_link(&self, message: &Message) -> Result<(), Problem> {
        put(&*self.provider, &self.links, self.id.as_str(), read(message)?).await
    }

    async fn del_link(&self, message: &Message) -> Result<(), Problem> {
        let definition: InterfaceLinkDefinition = read(message)?;
        let key = definition.key();
        self.provider.del_link(&key).await?;
        self.links.del(&key);
        Ok(())
    }

    async fn put_config(&self, message: &Message) -> Result<(), Problem> {
        let settings = Settings { values: read::<Values>(message)?, secrets: self.secrets.clone() };
        self.provider.put_settings(settings).await
    }

    async fn put_settings(&mut self, message: &Message) -> Result<(), Problem> {
        let settings = Settings::from(read::<NewSettings>(message)?);
        self.provider.put_settings(settings.clone()).await?;
        self.secrets = settings.secrets;
        Ok(())
    }

    /// The time that the host gives for the end; none if it is not our host.
    async fn shutdown(&self, message: &Message) -> Option<Duration> {
        let asked: Shutdown = read(message).ok()?;
        if asked.host_id != self.host_id {
            tracing::warn!(host = %asked.host_id, "another host asked for the end of this provider");
            return None;
        }
        let _ = self.line.lattice.respond(message, SHUTTING_DOWN.into()).await;
        Some(asked.timeout_ms.map_or(SHUTDOWN_DEFAULT, Duration::from_millis))
    }
}

async fn put(
    provider: &dyn Provider,
    links: &Links,
    id: &str,
    definition: InterfaceLinkDefinition,
) -> Result<(), Problem> {
    // Known first: the provider may ask whose component it is.
    let link = definition.resolved();
    let before = links.put(definition, id);
    let taken = provider.put_link(link.clone()).await;
    if taken.is_err() {
        match before {
            Some(before) => drop(links.put(before, id)),
            None => links.del(&link.link.key()),
        }
    }
    taken
}

fn read<T: serde::de::DeserializeOwned>(message: &Message) -> Result<T, Problem> {
    serde_json::from_slice(&message.payload)
        .map_err(|error| Problem::new(code::BAD_REQUEST, format!("`{}`: {error}", message.subject)))
}
