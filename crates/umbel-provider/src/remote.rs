//! A provider in a process of its own, as its host sees it: a [`Provider`] like every other.
//!
//! The process itself is somebody else's: whoever starts and watches it makes a [`Remote`] when it runs, and another one when it runs
//! anew. Nothing here starts or ends processes.

use crate::hostdata::HostData;
use crate::wire::{
    ACK, Description, HealthAnswer, InterfaceLinkDefinition, NewSettings, Shutdown, Subjects, Taken,
};
use crate::{Endpoint, Health, Provider, wrpc};
use async_trait::async_trait;
use futures::future::BoxFuture;
use semver::Version;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_core::id::{HostId, ProviderId};
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_core::settings::{Secrets, Settings};
use umbel_lattice::message::to_json;
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing};
use umbel_lattice::{Lattice, LatticeError, Message, Spawn};
use umbel_wit::{Call, Interface, InterfaceName, Serve, Value};
use zeroize::Zeroizing;

/// How long a provider may take to answer about a link, a config or its health.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How often a provider that starts is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Finds the types of a contract where the provider does not say them: those of an importer, or of its archive.
pub type Types = Arc<dyn Fn(&str, Option<&Version>) -> Option<Arc<Interface>> + Send + Sync>;

/// Whose application a component is of.
pub type ApplicationOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What it takes to reach a provider process.
pub struct RemoteSpec {
    /// Where it is connected.
    pub lattice: Arc<dyn Lattice>,
    /// Starts tasks that end with the host.
    pub spawn: Spawn,
    /// Its id.
    pub id: ProviderId,
    /// Where it is reached: its id, or another name for one that takes the place of another (`ProviderRules::at`).
    pub address: String,
    /// The host that it was started by.
    pub host: HostId,
    /// Types of contracts that it does not say itself.
    pub types: Types,
    /// Finds the application of a component.
    pub application_of: ApplicationOf,
    /// What a process of wasmCloud 1.x was given for secrets of links.
    pub seal: Option<Arc<Seal>>,
}

/// The keys with which secrets of links go to one process of wasmCloud 1.x (`facts/wasmcloud.md` §4.5): the host seals, the process opens.
pub struct Seal {
    host: KeyPair,
    provider: KeyPair,
}

impl Seal {
    /// New keys, for one start of a process.
    pub fn new() -> Seal {
        Seal { host: KeyPair::generate(KeyKind::Curve), provider: KeyPair::generate(KeyKind::Curve) }
    }

    /// Puts them into the host data.
    pub fn tell(&self, data: &mut HostData) {
        data.host_xkey_public_key = self.host.public_key().to_string();
        data.provider_xkey_private_key = self.provider.seed().expose().to_string();
    }

    /// The name under which the process hears of links.
    fn address(&self) -> &str {
        self.provider.public_key().as_str()
    }

    /// Seals the secrets; none if there are none.
    fn seal(&self, secrets: &Secrets) -> Result<Option<Vec<u8>>, Problem> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let json = Zeroizing::new(serde_json::to_vec(secrets).expect("secrets are plain JSON data"));
        let sealed = self.host.seal(&json, self.provider.public_key());
        sealed.map(Some).map_err(|error| Problem::from(&error))
    }
}

impl Default for Seal {
    fn default() -> Seal {
        Seal::new()
    }
}

/// A provider process, once it is ready.
pub struct Remote {
    spec: RemoteSpec,
    subjects: Subjects,
    client: Client,
    server: Arc<Calls>,
    /// The same for components: what wasmCloud 1.x carries in another form is said so.
    serve: Arc<dyn Serve>,
    /// Whether it speaks our additions.
    is_ours: bool,
    serves: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: BTreeMap<LinkKey, InterfaceLinkDefinition>,
    endpoints: Vec<Endpoint>,
    problem: Option<Problem>,
}

/// Calls of components to the provider.
struct Calls {
    id: ProviderId,
    client: Client,
    address: String,
    catalog: Catalog,
    types: Types,
    /// Catalogues of what the provider does not say, one for each import.
    imported: Mutex<BTreeMap<(String, String), Arc<Catalog>>>,
}

impl Remote {
    /// Waits until the provider is ready, within the time.
    ///
    /// Errors: what it could not start for, or `UM0646` if it says nothing in time. Dropping the future is enough when its process ends.
    pub async fn connect(spec: RemoteSpec, within: Duration) -> Result<Remote, Problem> {
        let subjects = Subjects::new(spec.lattice.name(), &spec.address);
        let ready = ready(&*spec.lattice, &subjects);
        let description = tokio::time::timeout(within, ready).await.map_err(|_| {
            let message = format!("the provider `{}` was not ready within {within:?}", spec.id);
            Problem::new(wire::PROVIDER_SILENT, message).of_provider(spec.id.as_str())
        })??;
        Remote::with(spec, description).await
    }

    async fn with(spec: RemoteSpec, description: Option<Description>) -> Result<Remote, Problem> {
        let subjects = Subjects::new(spec.lattice.name(), &spec.address);
        let client =
            Client::new(spec.lattice.clone(), spec.spawn.clone(), Lent::new(), ClientLimits::default());
        let client = client.await.map_err(|error| Problem::from(&error))?;
        let is_ours = description.is_some();
        let description =
            description.unwrap_or_else(|| Description { serves: true, ..Description::default() });
        if let Some(problem) = description.problem {
            return Err(problem);
        }
        let named = description.interfaces.into_iter();
        let server = Arc::new(Calls {
            id: spec.id.clone(),
            client: client.clone(),
            address: spec.address.clone(),
            catalog: Catalog::new(
                named.map(|(name, interface)| (InterfaceName::new(&name), Arc::new(interface))),
            ),
            types: spec.types.clone(),
            imported: Mutex::default(),
        });
        let serve: Arc<dyn Serve> = match is_ours {
            true => server.clone(),
            false => Arc::new(wrpc::Speaks::new(server.clone(), spec.spawn.clone())),
        };
        let links = description.links.into_iter().map(|definition| (definition.key(), definition));
        let state = State { endpoints: description.endpoints, links: links.collect(), problem: None };
        let serves = description.serves;
        Ok(Remote { spec, subjects, client, server, serve, is_ours, serves, state: Mutex::new(state) })
    }

    /// Waits until a provider of wasmCloud 1.x is ready, which says no more of itself than that it is healthy.
    ///
    /// Errors: `UM0646` if it says nothing in time.
    pub async fn connect_plain(spec: RemoteSpec, within: Duration) -> Result<Remote, Problem> {
        let subjects = Subjects::new(spec.lattice.name(), &spec.address);
        let healthy = async {
            while spec.lattice.request(&subjects.health(), bytes::Bytes::new(), ANSWER_MAX).await.is_err() {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(within, healthy).await.map_err(|_| {
            let message = format!("the provider `{}` was not ready within {within:?}", spec.id);
            Problem::new(wire::PROVIDER_SILENT, message)
        })?;
        Remote::with(spec, None).await
    }

    /// Whether it speaks wasmCloud 1.x alone.
    pub fn is_plain(&self) -> bool {
        !self.is_ours
    }

    /// The types that the provider says it serves and calls.
    pub fn interfaces(&self) -> &[(InterfaceName, Arc<Interface>)] {
        self.server.catalog.interfaces()
    }

    /// The links that the provider knows. Of one that was taken over, those that it was told before are among them.
    pub fn links(&self) -> Vec<LinkKey> {
        self.lock().links.keys().cloned().collect()
    }

    /// Asks the provider how it is; [`Provider::health`] says the same until it is asked again.
    pub async fn check(&self) -> Health {
        let answer = self.ask(self.subjects.health(), bytes::Bytes::new(), ANSWER_MAX).await;
        let read = answer.and_then(|answer| {
            serde_json::from_slice::<HealthAnswer>(&answer.payload).map_err(|error| {
                Problem::new(wire::WIRE_BROKEN, format!("its answer about its health: {error}"))
            })
        });
        let problem = match read {
            Ok(answer) => {
                let extra = answer.umbel.unwrap_or_default();
                self.lock().endpoints = extra.endpoints;
                let said = || answer.message.unwrap_or_else(|| "it gives no reason".into());
                match (answer.healthy, extra.problem) {
                    (true, _) => None,
                    (false, Some(problem)) => Some(problem),
                    (false, None) => {
                        let problem = Problem::new(wire::PROVIDER_UNHEALTHY, said());
                        Some(problem.of_provider(self.spec.id.as_str()))
                    }
                }
            }
            Err(problem) => Some(problem),
        };
        self.lock().problem.clone_from(&problem);
        problem.map_or(Health::Healthy, Health::Unhealthy)
    }

    /// The process has ended: calls under way end with the problem, and so do later ones.
    pub fn lose(&self, why: Problem) {
        let why = why.of_provider(self.spec.id.as_str());
        self.lock().problem = Some(why.clone());
        self.client.lose(why);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        subject: String,
        payload: bytes::Bytes,
        within: Duration,
    ) -> Result<Message, Problem> {
        let request = Message::new(subject, payload).with_header(ACK, "1");
        let answer = self.spec.lattice.request_message(request, within).await;
        answer.map_err(|error| match error {
            LatticeError::Timeout { subject, after } => {
                let message =
                    format!("the provider `{}` gave no answer on `{subject}` within {after:?}", self.spec.id);
                Problem::new(wire::PROVIDER_SILENT, message).of_provider(self.spec.id.as_str())
            }
            error => Problem::from(&error),
        })
    }

    /// A link as a process of wasmCloud 1.x is told it, and where.
    fn plain(&self, link: &ResolvedLink) -> Result<(String, InterfaceLinkDefinition), Problem> {
        let mut definition = InterfaceLinkDefinition::plain(link);
        let Some(seal) = &self.spec.seal else { return Ok((self.subjects.link_put(), definition)) };
        definition.source_secrets = seal.seal(&link.source_secrets)?;
        definition.target_secrets = seal.seal(&link.target_secrets)?;
        Ok((Subjects::new(self.spec.lattice.name(), seal.address()).link_put(), definition))
    }

    /// Tells the provider something, and hears whether it took it if it can say so.
    async fn tell(&self, subject: String, payload: bytes::Bytes) -> Result<(), Problem> {
        if !self.is_ours {
            let sent = self.spec.lattice.publish(Message::new(subject, payload)).await;
            return sent.map_err(|error| Problem::from(&error));
        }
        let answer = self.ask(subject, payload, ANSWER_MAX).await?;
        let taken: Taken = serde_json::from_slice(&answer.payload)
            .map_err(|error| Problem::new(wire::WIRE_BROKEN, format!("its answer: {error}")))?;
        self.lock().endpoints = taken.endpoints;
        taken.problem.map_or(Ok(()), Err)
    }
}

/// Waits until the provider hears; what it says of itself if it speaks our additions.
async fn ready(lattice: &dyn Lattice, subjects: &Subjects) -> Result<Option<Description>, Problem> {
    let mut is_healthy = false;
    loop {
        match lattice.request(&subjects.describe(), bytes::Bytes::new(), ANSWER_MAX).await {
            Ok(answer) => {
                return serde_json::from_slice(&answer.payload).map(Some).map_err(|error| {
                    Problem::new(wire::WIRE_BROKEN, format!("the provider's description of itself: {error}"))
                });
            }
            // One of wasmCloud 1.x hears questions about its health and none about itself. Ours hears both, that one last.
            Err(LatticeError::NoResponders { .. }) if is_healthy => return Ok(None),
            Err(LatticeError::NoResponders { .. }) => {}
            Err(error @ LatticeError::Closed) => return Err(Problem::from(&error)),
            Err(_) => continue,
        }
        is_healthy = lattice.request(&subjects.health(), bytes::Bytes::new(), ANSWER_MAX).await.is_ok();
        if !is_healthy {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

#[async_trait]
impl Provider for Remote {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let is_source = link.link.source_id == self.spec.id.as_str();
        let component = if is_source { &link.link.target } else { &link.link.source_id };
        let (subject, definition) = if self.is_ours {
            let application = (self.spec.application_of)(component);
            (self.subjects.link_put(), InterfaceLinkDefinition::new(&link, application))
        } else {
            self.plain(&link)?
        };
        self.tell(subject, to_json(&definition)).await?;
        self.lock().links.insert(definition.key(), definition.bare());
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        let Some(definition) = self.lock().links.get(key).cloned() else { return Ok(()) };
        self.tell(self.subjects.link_del(), to_json(&definition)).await?;
        self.lock().links.remove(key);
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        self.put_settings(config.into()).await
    }

    async fn put_settings(&self, settings: Settings) -> Result<(), Problem> {
        if self.is_ours {
            return self.tell(self.subjects.settings(), to_json(&NewSettings::from(settings))).await;
        }
        // One of wasmCloud 1.x hears its secrets at its start alone.
        self.tell(self.subjects.config_update(), to_json(&settings.values)).await
    }

    fn health(&self) -> Health {
        self.lock().problem.clone().map_or(Health::Healthy, Health::Unhealthy)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.lock().endpoints.clone()
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        self.serves.then(|| self.serve.clone())
    }

    /// Asks the provider to end. Its process ends a little later; whoever watches it sees to that.
    async fn stop(&self, deadline: Duration) {
        let begun = Instant::now();
        let timeout_ms = u64::try_from(deadline.as_millis()).ok();
        let shutdown = Shutdown { host_id: self.spec.host.to_string(), timeout_ms };
        let asked = self.ask(self.subjects.shutdown(), to_json(&shutdown), deadline.min(ANSWER_MAX)).await;
        if let Err(problem) = asked {
            tracing::warn!(provider = %self.spec.id, %problem, "a provider process did not say that it ends");
            return;
        }
        // It answers calls until it has drained; then nobody hears any more.
        while begun.elapsed() < deadline && self.client.calls() > 0 {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Calls {
    fn catalog_of(&self, interface: &str, version: Option<&Version>) -> Option<Arc<Catalog>> {
        let key = (interface.to_string(), version.map(ToString::to_string).unwrap_or_default());
        let mut imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = imported.get(&key) {
            return Some(known.clone());
        }
        let types = (self.types)(interface, version)?;
        let name = InterfaceName { unversioned: interface.to_string(), version: version.cloned() };
        let catalog = Arc::new(Catalog::new([(name, types)]));
        imported.insert(key, catalog.clone());
        Some(catalog)
    }
}

impl Serve for Calls {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let version = call.version.as_ref();
        let catalog = if wrpc::is_heard(&call) { wrpc::catalog() } else { &self.catalog };
        let mut signature = catalog.outgoing(&call.interface, version, &call.function);
        if signature.is_err()
            && let Some(catalog) = self.catalog_of(&call.interface, version)
        {
            signature = catalog.outgoing(&call.interface, version, &call.function);
        }
        let client = self.client.clone();
        let outgoing = Outgoing {
            target: self.address.clone(),
            source: call.link.source_id.clone(),
            link: call.link.name.clone(),
            application: call.link.application.clone(),
            patience: call.patience,
        };
        let id = self.id.clone();
        Box::pin(async move {
            let outcome = client.call(&outgoing, &*signature?, call.args).await;
            outcome.map_err(|problem| problem.of_provider(id.as_str()))
        })
    }
}
