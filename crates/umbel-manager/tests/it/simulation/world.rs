//! The hub, the hosts and their managers, and somebody who operates them.

use super::apps::{self, APPS, ZONES};
use super::wire::{Node, Way, Wire};
use super::{HOSTS, MANAGERS};
use crate::fake::{FakeHosts, HostPlan, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant as StdInstant};
use tokio::time::Instant;
use umbel_core::Clock;
use umbel_core::event::{Fact, HostStarted};
use umbel_core::id::LatticeName;
use umbel_core::link::{Contract, Distance, Link, Values};
use umbel_lattice::wadm::{Client, DeployResult, PutResult, StatusType, YAML};
use umbel_lattice::{InProcess, Lattice, Message, control, subjects};
use umbel_manager::Options;
use umbel_supervisor::{Env, Handle, Scope, Strategy, Supervisor, SupervisorSpec};

/// After so long without an answer a connection is known to be lost.
const NOTICED: Duration = Duration::from_secs(6);
/// How long the operator waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time that stands still while anybody has something to do.
struct Virtual;

impl Clock for Virtual {
    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }

    fn unix_time(&self) -> Duration {
        static BEGUN: OnceLock<StdInstant> = OnceLock::new();
        let begun = *BEGUN.get_or_init(StdInstant::now);
        // Any day will do.
        Duration::from_secs(1_800_000_000) + self.now().saturating_duration_since(begun)
    }
}

/// One host, dead or alive.
struct Host {
    plan: HostPlan,
    node: Arc<Node>,
    cut_since: Option<Instant>,
    /// Its life; none is a host that was killed.
    life: Option<Life>,
}

struct Life {
    _agent: FakeHosts,
    _manager: Option<Handle>,
    /// What its wire has started.
    _scope: Scope,
}

/// What was tried with an application since the last time that was acknowledged, which is the first.
type Tries = Vec<Option<u64>>;

/// What the operator knows.
#[derive(Default)]
struct Ledger {
    tries: BTreeMap<usize, Tries>,
    busy: BTreeSet<usize>,
    /// How often something of an application was tried, and acknowledged.
    tried: usize,
    acked: usize,
    configs: BTreeSet<String>,
    links: BTreeSet<String>,
}

pub(super) struct World {
    hub: InProcess,
    state: Arc<Mutex<State>>,
    hosts: Vec<Host>,
    ledger: Arc<Mutex<Ledger>>,
    operator: Scope,
    seed: u64,
    number: u64,
    /// Pairs that were seen together: the application and the host.
    together: BTreeSet<(usize, String)>,
}

fn plans() -> &'static [HostPlan] {
    static PLANS: OnceLock<Vec<HostPlan>> = OnceLock::new();
    PLANS.get_or_init(|| {
        let plan = |host: usize| {
            let id: &'static str = Box::leak(format!("N{host:03}").into_boxed_str());
            let labels: &'static [(&'static str, &'static str)] =
                Box::leak(Box::new([("zone", ZONES[host % ZONES.len()])]));
            HostPlan { id, labels }
        };
        (0..HOSTS).map(plan).collect()
    })
}

impl World {
    pub(super) async fn start(seed: u64) -> World {
        let hub = InProcess::ephemeral(LatticeName::new("default").unwrap());
        let node = |host: usize| Node::new(seed.wrapping_mul(1_000_003).wrapping_add(host as u64));
        let host = |(number, plan): (usize, &HostPlan)| Host {
            plan: plan.clone(),
            node: node(number),
            cut_since: None,
            life: None,
        };
        let mut world = World {
            hub,
            state: Arc::new(Mutex::new(State::with_files())),
            hosts: plans().iter().enumerate().map(host).collect(),
            ledger: Arc::default(),
            operator: Scope::new("operator"),
            seed,
            number: 0,
            together: BTreeSet::new(),
        };
        for host in 0..HOSTS {
            world.raise(host).await;
        }
        world
    }

    /// Starts a host, with nothing running on it.
    async fn raise(&mut self, host: usize) {
        let scope = Scope::new("a host");
        let Host { plan, node, .. } = &self.hosts[host];
        let wire: Arc<dyn Lattice> =
            Arc::new(Wire { hub: self.hub.clone(), node: node.clone(), spawner: scope.spawner() });
        let agent = FakeHosts::of(self.state.clone());
        agent.join(&wire, plan).await;
        let labels =
            plan.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let started = Fact::HostStarted(HostStarted {
            friendly_name: plan.id.to_owned(),
            labels,
            uptime_seconds: 0,
            version: "0".to_owned(),
        });
        let subject = subjects::evt::event(wire.name(), started.name());
        // Who is lost tells nobody.
        let _ = wire.publish(Message::json(subject, &crate::fake::event(plan.id, &started))).await;
        let manager = (host < MANAGERS).then(|| {
            let child =
                umbel_manager::child_spec(wire.clone(), Arc::new(Virtual), plan.id, Options::default());
            let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
            let env = Env { clock: Arc::new(Virtual), seed: self.seed };
            Supervisor::start("manager", spec, env)
        });
        self.hosts[host].life = Some(Life { _agent: agent, _manager: manager, _scope: scope });
    }

    /// Ends a host as `kill -9` does.
    pub(super) fn kill(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        // First the wire: nothing of it says goodbye.
        host.node.way.send_modify(|way| (way.up, way.down, way.is_lost) = (1.0, 1.0, true));
        host.life = None;
        self.state.lock().unwrap().hosts.remove(host.plan.id);
        self.together.retain(|(_, on)| on != host.plan.id);
    }

    /// Changes the way of a host.
    pub(super) fn change(&mut self, host: usize, change: impl FnOnce(&mut Way)) {
        self.hosts[host].node.way.send_modify(change);
    }

    /// Everything works again, and who was killed is started again.
    pub(super) async fn heal(&mut self) {
        for host in 0..HOSTS {
            let Host { node, cut_since, life, .. } = &mut self.hosts[host];
            *cut_since = None;
            if life.is_some() {
                node.way.send_replace(Way::default());
                continue;
            }
            // What is left of its life before stays where nobody hears it.
            self.number += 1;
            *node = Node::new(self.seed.wrapping_add(self.number));
            self.raise(host).await;
        }
    }

    /// Connections that are cut for long are known to be lost; and what is linked locally is together.
    pub(super) fn look(&mut self) {
        for host in &mut self.hosts {
            if host.node.way.borrow().is_cut() {
                let since = *host.cut_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= NOTICED {
                    host.node.way.send_if_modified(|way| !std::mem::replace(&mut way.is_lost, true));
                }
            }
        }
        let state = self.state.lock().unwrap();
        for app in 0..APPS {
            let Some((web, store)) = apps::pair(&state, app) else { continue };
            for host in web.iter().filter(|host| !store.contains(*host)) {
                let was = self.together.contains(&(app, host.clone()));
                assert!(
                    !was,
                    "the local link of {} is torn apart on {host}: web on {web:?}, store on {store:?}",
                    apps::name(app)
                );
            }
            self.together.retain(|(of, host)| *of != app || web.contains(host));
            self.together.extend(web.intersection(&store).map(|host| (app, host.clone())));
        }
    }

    /// A client whose own way is fine.
    fn wire(&self) -> Arc<dyn Lattice> {
        Arc::new(Wire { hub: self.hub.clone(), node: Node::new(0), spawner: self.operator.spawner() })
    }

    /// Puts a version and deploys it; one thing at a time for each application.
    pub(super) fn deploy(&mut self, app: usize) {
        self.number += 1;
        let version = self.number;
        self.change_app(app, Some(version), move |client| async move {
            let manifest = apps::manifest(app, version);
            let put = client.put(manifest.into(), YAML, "app.yaml").await.ok()?;
            assert!(put.result != PutResult::Error || !put.problems.is_empty(), "{}", put.message);
            if put.result == PutResult::Error {
                return None;
            }
            let reply = client.deploy(&put.name, Some(&put.current_version)).await.ok()?;
            (reply.result == DeployResult::Acknowledged).then_some(())
        });
    }

    pub(super) fn undeploy(&mut self, app: usize) {
        self.change_app(app, None, move |client| async move {
            let reply = client.undeploy(&apps::name(app)).await.ok()?;
            (reply.result == DeployResult::Acknowledged).then_some(())
        });
    }

    fn change_app<F: Future<Output = Option<()>> + Send + 'static>(
        &self,
        app: usize,
        version: Option<u64>,
        doing: impl FnOnce(Client) -> F,
    ) {
        {
            let mut ledger = self.ledger.lock().unwrap();
            if !ledger.busy.insert(app) {
                return;
            }
            ledger.tried += 1;
            ledger.tries.entry(app).or_insert_with(|| vec![None]).push(version);
        }
        let (ledger, doing) = (self.ledger.clone(), doing(Client::new(self.wire(), PATIENCE)));
        self.operator.spawn(async move {
            let begun = Instant::now();
            let done = doing.await;
            // Two requests, each with its patience.
            assert!(begun.elapsed() <= PATIENCE * 2, "a request took {:?}", begun.elapsed());
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.busy.remove(&app);
            if done.is_some() {
                ledger.tries.insert(app, vec![version]);
                ledger.acked += 1;
            }
        });
    }

    pub(super) fn put_config(&mut self) {
        self.number += 1;
        let name = format!("noted-{}", self.number);
        let (client, ledger) = (control::Client::new(self.wire(), PATIENCE), self.ledger.clone());
        self.operator.spawn(async move {
            let values = Values::from([("name".to_owned(), name.clone())]);
            if client.put_config(&name, &values).await.is_ok() {
                ledger.lock().unwrap_or_else(PoisonError::into_inner).configs.insert(name);
            }
        });
    }

    pub(super) fn put_link(&mut self) {
        self.number += 1;
        let source = format!("noted-{}", self.number);
        let (client, ledger) = (control::Client::new(self.wire(), PATIENCE), self.ledger.clone());
        let link = link(&source);
        self.operator.spawn(async move {
            if client.put_link(&link).await.is_ok() {
                ledger.lock().unwrap_or_else(PoisonError::into_inner).links.insert(source);
            }
        });
    }

    /// What is not as wanted.
    pub(super) async fn wrong(&self) -> Vec<String> {
        if !self.operator.is_empty() {
            return vec![format!("{} requests are under way", self.operator.len())];
        }
        let client = Client::new(self.wire(), PATIENCE);
        let list = match client.list().await {
            Ok(list) => list,
            Err(error) => return vec![format!("nobody manages: {error}")],
        };
        let (state, ledger) = (self.state.lock().unwrap(), self.ledger.lock().unwrap());
        let mut wrong = Vec::new();
        for app in 0..APPS {
            let name = apps::name(app);
            let summary = list.iter().find(|summary| summary.name == name);
            let deployed = summary.and_then(|summary| summary.deployed_version.as_deref());
            let version = deployed.and_then(|version| version.trim_start_matches('v').parse().ok());
            let tries = ledger.tries.get(&app).cloned().unwrap_or_default();
            if !tries.contains(&version) {
                wrong.push(format!("{name} is at {version:?}, and of {tries:?} the first was acknowledged"));
            }
            let wanted = if version.is_some() { StatusType::Deployed } else { StatusType::Undeployed };
            if let Some(summary) = summary.filter(|summary| summary.status != wanted) {
                wrong.push(format!("{name} is {:?}: {}", summary.status, summary.status_message));
            }
            wrong.extend(apps::wrong(&state, app, version).map(|wrong| format!("{name}: {wrong}")));
        }
        let is_there = |source: &&String| state.links.iter().any(|link| link.source_id == **source);
        wrong.extend(
            ledger.links.iter().filter(|link| !is_there(link)).map(|link| format!("no link of {link}")),
        );
        let lost = ledger.configs.iter().filter(|name| !state.configs.contains_key(*name));
        wrong.extend(lost.map(|name| format!("no config {name}")));
        wrong
    }

    /// How much there was to lose.
    pub(super) fn summary(&self) -> String {
        let (state, ledger) = (self.state.lock().unwrap(), self.ledger.lock().unwrap());
        assert!(ledger.acked >= APPS, "what was deployed at the beginning was acknowledged");
        let Ledger { acked, tried, configs, links, .. } = &*ledger;
        let (configs, links, orders) = (configs.len(), links.len(), state.log.len());
        format!(
            "{acked} of {tried} deploys, {configs} configs and {links} links acknowledged, {orders} orders"
        )
    }

    pub(super) async fn stop(mut self) {
        self.hosts.clear();
        self.hub.close().await;
    }
}

fn link(source: &str) -> Link {
    Link {
        source_id: source.to_owned(),
        target: "somebody".to_owned(),
        name: "default".to_owned(),
        contract: Contract {
            namespace: "acme".into(),
            package: "test".into(),
            interfaces: vec!["one".to_owned()],
        },
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    }
}
