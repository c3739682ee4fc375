//! A provider under test in ten lines: its factory runs behind the real wire (host data, socket, frames, values), only not in a process
//! of its own.
//!
//! ```no_run
//! # async fn example(factory: std::sync::Arc<dyn umbel_provider::Factory>) -> Result<(), umbel_core::Problem> {
//! use umbel_core::link::Contract;
//! use umbel_provider::testing::Harness;
//!
//! let harness = Harness::start(factory, &[("config", "value")]).await?;
//! harness.link("app-api", Contract::new("wasi", "keyvalue", &["store"]), &[]).await?;
//! let bucket = harness.call("app-api", "wasi:keyvalue/store@0.2.0-draft", "open", vec!["b".into()]).await?;
//! harness.stop().await
//! # }
//! ```

use crate::hostdata::{HostData, OwnData};
use crate::remote::{Remote, RemoteSpec};
use crate::sdk::{ServeOptions, Stopped, serve, spawn_in};
use crate::{Factory, Provider};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_core::id::{HostId, LatticeName, ProviderId};
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_lattice::unix::{Door, DoorSpec, Gate, ProviderRules, Token, connect};
use umbel_lattice::wrpc::{Catalog, Lent, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, Spawn};
use umbel_supervisor::{Scope, Stop};
use umbel_wit::{Call, InterfaceName, Serve, Value};

/// The id of the provider under test.
pub const PROVIDER: &str = "provider";

/// The id of the host that it runs on.
pub const HOST: &str = "NHOST";

/// How long a start, a call or an end may take: long, because a machine may be busy.
const LONG: Duration = Duration::from_secs(30);

/// A provider that runs, and its host.
pub struct Harness {
    /// The provider, as a host has it.
    pub remote: Arc<Remote>,
    /// The host's lattice.
    pub lattice: Arc<dyn Lattice>,
    /// The connection.
    pub door: Door,
    factory: Arc<dyn Factory>,
    ended: oneshot::Receiver<Result<Stopped, Problem>>,
    tasks: Scope,
    gate: Option<Gate>,
    token: Token,
    folder: tempfile::TempDir,
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::new(wire::HOST_DATA, format!("the harness: {what}"))
}

impl Harness {
    /// Starts the provider with the config, and waits until it is ready.
    ///
    /// Errors: what it could not start for.
    pub async fn start(factory: Arc<dyn Factory>, config: &[(&str, &str)]) -> Result<Harness, Problem> {
        Harness::start_with(factory, config, Duration::ZERO).await
    }

    /// The same, for a provider that goes on for so long without a host, see [`Harness::another_host`].
    ///
    /// Errors: what it could not start for.
    pub async fn start_with(
        factory: Arc<dyn Factory>,
        config: &[(&str, &str)],
        reconnect: Duration,
    ) -> Result<Harness, Problem> {
        let folder = tempfile::tempdir().map_err(failed)?;
        let name = LatticeName::new("default").map_err(|error| Problem::from(&error))?;
        let tasks = Scope::new("harness");
        let spawn = spawn_in(&tasks);
        let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name.clone()));
        let gate = Gate::open(lattice.clone(), &folder.path().join("gate"), spawn.clone()).map_err(failed)?;
        let (door, token) = gate.expect(door_of(&name)?);
        let reconnect_ms = u64::try_from(reconnect.as_millis()).unwrap_or(u64::MAX);
        let own = OwnData {
            token: token.reveal().into(),
            folder: folder.path().join("data"),
            reconnect_ms,
            socket: None,
        };
        let mut data = HostData::unix(HOST, name.as_str(), PROVIDER, gate.path(), own);
        data.config = values(config);
        // Through the line, as a process gets it.
        let data = HostData::read(&data.line()).map_err(|error| Problem::from(&error))?;
        let process = connect(data.socket()?, PROVIDER, token.reveal(), &spawn).await?;
        let (tell, ended) = oneshot::channel();
        let serving = serve(
            Arc::new(process),
            spawn.clone(),
            factory.clone(),
            data,
            Stop::new(),
            ServeOptions::default(),
        );
        tasks.spawn(async move {
            // Nobody listens once the test has ended.
            let _ = tell.send(serving.await);
        });
        let remote = Arc::new(Remote::connect(remote_of(&lattice, spawn)?, LONG).await?);
        let gate = Some(gate);
        Ok(Harness { remote, lattice, door, factory, ended, tasks, gate, token, folder })
    }

    /// The host is gone, as if it had been killed, with its lattice; another one takes the provider over.
    ///
    /// Errors: the provider does not come back.
    pub async fn another_host(&mut self) -> Result<(), Problem> {
        let name = self.lattice.name().clone();
        self.gate = None;
        let spawn = spawn_in(&self.tasks);
        self.lattice = Arc::new(InProcess::ephemeral(name.clone()));
        let path = self.folder.path().join("gate");
        let gate = Gate::open(self.lattice.clone(), &path, spawn.clone()).map_err(failed)?;
        self.door = gate.expect_again(door_of(&name)?, self.token.clone());
        self.gate = Some(gate);
        self.remote = Arc::new(Remote::connect(remote_of(&self.lattice, spawn)?, LONG).await?);
        Ok(())
    }

    /// Links a component to the provider. The component `APP-NAME` is of the application `APP`.
    pub async fn link(
        &self,
        component: &str,
        contract: Contract,
        config: &[(&str, &str)],
    ) -> Result<(), Problem> {
        self.put(component, PROVIDER, contract, &[], config).await
    }

    /// Links the provider to a component.
    pub async fn link_out(
        &self,
        component: &str,
        contract: Contract,
        config: &[(&str, &str)],
    ) -> Result<(), Problem> {
        self.put(PROVIDER, component, contract, config, &[]).await
    }

    async fn put(
        &self,
        source: &str,
        target: &str,
        contract: Contract,
        source_values: &[(&str, &str)],
        target_values: &[(&str, &str)],
    ) -> Result<(), Problem> {
        let link = Link {
            source_id: source.into(),
            target: target.into(),
            name: umbel_core::link::DEFAULT_LINK_NAME.into(),
            contract,
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        };
        let (source_values, target_values) = (values(source_values), values(target_values));
        self.remote.put_link(ResolvedLink::new(link, source_values, target_values)).await
    }

    /// Calls a function of the provider as the component does; `interface` is with or without its version.
    pub async fn call(
        &self,
        component: &str,
        interface: &str,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>, Problem> {
        let name = InterfaceName::new(interface);
        let link = umbel_wit::Link {
            source_id: component.into(),
            name: umbel_core::link::DEFAULT_LINK_NAME.into(),
            application: application_of(component),
            values: Values::new(),
        };
        let call = Call {
            link: Arc::new(link),
            interface: name.unversioned.as_str().into(),
            version: name.version,
            function: function.into(),
            args,
            patience: Some(LONG),
        };
        let server = self.remote.serve().ok_or_else(|| failed("the provider serves nothing"))?;
        server.call(call).await
    }

    /// Runs a component that the provider can call, as long as the result is held.
    pub async fn component(&self, id: &str, serve: Arc<dyn Serve>) -> Result<Server, Problem> {
        let interfaces = self.factory.interfaces().into_iter();
        // What a component exports is no resource of the provider.
        let exported = interfaces.filter(|(_, interface)| interface.resources.is_empty());
        let catalog = Arc::new(Catalog::new(exported.map(|(name, interface)| (name, Arc::new(interface)))));
        let spec = ServerSpec {
            id: id.into(),
            catalog: Arc::new(move || catalog.clone()),
            serve,
            links: Arc::new(|caller| {
                let link = umbel_wit::Link {
                    source_id: caller.source.into(),
                    name: caller.link.into(),
                    ..Default::default()
                };
                Ok(Arc::new(link))
            }),
            lent: Lent::new(),
            group: None,
            is_quick: false,
            limits: ServerLimits::default(),
        };
        let spawn = spawn_in(&self.tasks);
        Server::start(self.lattice.clone(), spawn, spec).await.map_err(|error| Problem::from(&error))
    }

    /// Where the provider keeps its data.
    pub fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Asks the provider to end, and waits for it.
    ///
    /// Errors: it did not end in time, or not well.
    pub async fn stop(self) -> Result<(), Problem> {
        self.remote.stop(LONG).await;
        match tokio::time::timeout(LONG, self.ended).await {
            Ok(Ok(Ok(Stopped::ByHost))) => Ok(()),
            Ok(Ok(Ok(Stopped::ByProcess))) => Err(failed("the provider ended of itself")),
            Ok(Ok(Err(problem))) => Err(problem),
            Ok(Err(_)) => Err(failed("the provider panicked")),
            Err(_) => Err(failed("the provider did not end")),
        }
    }
}

fn door_of(lattice: &LatticeName) -> Result<DoorSpec, Problem> {
    let id = ProviderId::new(PROVIDER).map_err(|error| Problem::from(&error))?;
    let rules = ProviderRules::new(lattice, &id, Arc::new(|_| true));
    Ok(DoorSpec { id: PROVIDER.into(), confine: Arc::new(rules) })
}

fn remote_of(lattice: &Arc<dyn Lattice>, spawn: Spawn) -> Result<RemoteSpec, Problem> {
    Ok(RemoteSpec {
        lattice: lattice.clone(),
        spawn,
        id: ProviderId::new(PROVIDER).map_err(|error| Problem::from(&error))?,
        address: PROVIDER.into(),
        host: HostId::new(HOST).map_err(|error| Problem::from(&error))?,
        types: Arc::new(|_, _| None),
        application_of: Arc::new(application_of),
        seal: None,
    })
}

/// `APP-component` belongs to `APP`.
fn application_of(component: &str) -> Option<String> {
    component.split_once('-').map(|(application, _)| application.to_string())
}
