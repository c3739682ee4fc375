//! Hosts in memory: they answer control requests, and misbehave when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use umbel_core::code::{artifact, manager as code, runtime};
use umbel_core::event::{ComponentScaleFailed, ComponentScaled, Event, Fact};
use umbel_core::id::{HostId, LatticeName};
use umbel_core::link::{Link, LinkKey, Values};
use umbel_core::{Clock, Problem, SystemClock};
use umbel_lattice::control::{
    ComponentView, CtlResponse, Endpoint, Host, Inventory, PartState, ProviderView, Scale, StartProvider,
    StopProvider, links_body, parse_request,
};
use umbel_lattice::extension::{Pinned, ReferenceRequest};
use umbel_lattice::{Lattice, Message, Subscription, subjects};
use umbel_supervisor::Scope;

/// A host to start.
#[derive(Clone)]
pub(crate) struct HostPlan {
    pub(crate) id: &'static str,
    pub(crate) labels: &'static [(&'static str, &'static str)],
}

pub(crate) const ONE: &[HostPlan] = &[HostPlan { id: "NONE", labels: &[] }];

/// What is wrong with the hosts.
#[derive(Default)]
pub(crate) struct Faults {
    /// Components that are refused at once.
    pub(crate) refuse: BTreeSet<String>,
    /// Components that are accepted and then cannot be started.
    pub(crate) fail_later: BTreeSet<String>,
    /// Started components stay in this state.
    pub(crate) start_as: Option<PartState>,
    /// Every answer comes so late.
    pub(crate) delay: Duration,
    /// And answers about configs so much later.
    pub(crate) config_delay: Duration,
    /// Links to another target are refused instead of replaced, as hosts of wasmCloud 1.x do.
    pub(crate) keep_links: bool,
    /// No answers at all.
    pub(crate) silent: bool,
    /// Pins are not known.
    pub(crate) no_pins: bool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) hosts: BTreeMap<String, Inventory>,
    pub(crate) links: Vec<Link>,
    pub(crate) configs: BTreeMap<String, Values>,
    /// The names of the configs that components run with.
    pub(crate) runs_with: BTreeMap<String, Vec<String>>,
    /// What images are.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) faults: Faults,
    /// Every command that was accepted: `scale hello-hello 100`.
    pub(crate) log: Vec<String>,
    /// Requests that were older than what was there.
    pub(crate) stale: usize,
    /// Configs that were asked for.
    pub(crate) config_reads: usize,
}

impl State {
    /// With the images that tests know.
    pub(crate) fn with_files() -> State {
        let files = [("./hello.wasm", "one"), ("./other.wasm", "other")];
        State {
            files: files.map(|(name, content)| (name.to_owned(), content.to_owned())).into(),
            ..State::default()
        }
    }

    pub(crate) fn host(&mut self, id: &str) -> &mut Inventory {
        self.hosts.get_mut(id).expect("the host is there")
    }

    pub(crate) fn component(&self, id: &str) -> Option<&ComponentView> {
        self.hosts.values().flat_map(|host| &host.components).find(|view| view.id.as_str() == id)
    }

    /// What a component reads as its config at this moment.
    pub(crate) fn config_of(&self, id: &str) -> Values {
        let names = self.runs_with.get(id).into_iter().flatten();
        names
            .filter_map(|name| self.configs.get(name))
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    pub(crate) fn component_count(&self) -> usize {
        self.hosts.values().map(|host| host.components.len()).sum()
    }
}

/// The hosts of a lattice.
pub(crate) struct FakeHosts {
    state: Arc<Mutex<State>>,
    scope: Scope,
}

impl FakeHosts {
    pub(crate) async fn start(lattice: &Arc<dyn Lattice>, plan: &[HostPlan]) -> FakeHosts {
        let hosts = FakeHosts::of(Arc::new(Mutex::new(State::with_files())));
        hosts.serve_all(lattice).await;
        for host in plan {
            hosts.add(lattice, host).await;
        }
        hosts
    }

    /// None yet, of which others know as well.
    pub(crate) fn of(state: Arc<Mutex<State>>) -> FakeHosts {
        FakeHosts { state, scope: Scope::new("fake hosts") }
    }

    /// Adds a host that has a way of its own to the lattice, and takes its share of what any host may answer.
    pub(crate) async fn join(&self, lattice: &Arc<dyn Lattice>, plan: &HostPlan) {
        self.serve_all(lattice).await;
        self.add(lattice, plan).await;
    }

    async fn serve_all(&self, lattice: &Arc<dyn Lattice>) {
        let name = lattice.name();
        let group = subjects::ctl::link_group(name);
        let links = lattice.queue_subscribe(&subjects::ctl::link_any(name), &group).await.unwrap();
        let group = subjects::ctl::config_group(name);
        let configs = lattice.queue_subscribe(&subjects::ctl::config_any(name), &group).await.unwrap();
        self.serve(lattice, links, "");
        self.serve(lattice, configs, "");
    }

    pub(crate) async fn add(&self, lattice: &Arc<dyn Lattice>, plan: &HostPlan) {
        let labels =
            plan.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let id = HostId::new(plan.id).unwrap();
        let inventory = Inventory {
            components: Vec::new(),
            providers: Vec::new(),
            links_in_trouble: Vec::new(),
            host_id: id.clone(),
            friendly_name: plan.id.to_owned(),
            labels,
            version: "0".to_owned(),
            uptime_human: String::new(),
            uptime_seconds: 0,
        };
        self.state().hosts.insert(plan.id.to_owned(), inventory);
        let name = lattice.name();
        for subject in [
            subjects::ctl::host_ping(name),
            subjects::ctl::host_get(name, &id),
            subjects::ctl::component_any(name, &id),
            subjects::ctl::provider_any(name, &id),
            subjects::umbel::host_any(name, &id),
        ] {
            let subscription = lattice.subscribe(&subject).await.unwrap();
            self.serve(lattice, subscription, plan.id);
        }
    }

    /// The state, for looking and for meddling.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) async fn stop(&self) {
        self.scope.drain(Duration::ZERO).await;
    }

    fn serve(&self, lattice: &Arc<dyn Lattice>, mut subscription: Subscription, host: &'static str) {
        let (state, lattice) = (self.state.clone(), lattice.clone());
        let spawner = self.scope.spawner();
        self.scope.spawn(async move {
            while let Some(message) = subscription.next().await {
                let (state, lattice) = (state.clone(), lattice.clone());
                spawner.spawn(async move {
                    let (delay, silent) = {
                        let mut state = state.lock().unwrap();
                        let of_config = message.subject.contains(".config.get.");
                        state.config_reads += usize::from(of_config);
                        let more = if of_config { state.faults.config_delay } else { Duration::ZERO };
                        (state.faults.delay + more, state.faults.silent)
                    };
                    if silent {
                        return;
                    }
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    let answered = answer(&mut state.lock().unwrap(), host, lattice.name(), &message);
                    let Some((body, events)) = answered else { return };
                    // Whoever is cut off answers nobody.
                    let _ = lattice.respond(&message, body).await;
                    for event in events {
                        let subject = subjects::evt::event(lattice.name(), event.name());
                        let _ = lattice.publish(Message::json(subject, &event)).await;
                    }
                });
            }
        });
    }
}

type Answer = (bytes::Bytes, Vec<Event>);

fn told(message: &str) -> bytes::Bytes {
    CtlResponse::<()>::accepted(message).to_bytes()
}

fn refused(problem: Problem) -> bytes::Bytes {
    CtlResponse::<()>::refused(problem).to_bytes()
}

fn answer(state: &mut State, host: &str, lattice: &LatticeName, message: &Message) -> Option<Answer> {
    let prefix = format!("wasmbus.ctl.v1.{lattice}.");
    let Some(rest) = message.subject.strip_prefix(&prefix) else {
        return message.subject.ends_with(".artifact.pin").then(|| (pin(state, message), Vec::new()));
    };
    let (kind, rest) = rest.split_once('.')?;
    let (verb, name) = rest.split_once('.').unwrap_or((rest, ""));
    let quiet = |body| Some((body, Vec::new()));
    match (kind, verb) {
        ("host", "ping") => quiet(ping(state, host, lattice)),
        ("host", "get") => {
            let (mut inventory, links) = (state.host(host).clone(), &state.links);
            for view in &mut inventory.providers {
                let leads = |to: &Endpoint| {
                    links.iter().any(|link| link.source_id == view.id.as_str() && link.target == to.component)
                };
                view.endpoints.retain(leads);
                let of_it = links.iter().filter(|link| link.source_id == view.id.as_str());
                for link in of_it.filter(|link| link.contract.package == "http") {
                    if !view.endpoints.iter().any(|shown| shown.component == link.target) {
                        let url = format!("http://{}.localhost:8000", link.target);
                        view.endpoints.push(Endpoint { component: link.target.clone(), url });
                    }
                }
            }
            quiet(CtlResponse::with(inventory).to_bytes())
        }
        ("component", "scale") => Some(scale(state, host, parse_request(message).ok()?)),
        ("provider", "start") => quiet(start(state, host, parse_request(message).ok()?)),
        ("provider", "stop") => quiet(stop(state, host, &parse_request(message).ok()?)),
        ("link", "get") => quiet(CtlResponse::with(links_body(&state.links)).to_bytes()),
        ("link", "put") => quiet(put_link(state, parse_request(message).ok()?)),
        ("link", "del") => {
            let key: LinkKey = parse_request(message).ok()?;
            state.links.retain(|link| link.key() != key);
            state.log.push(format!("del link of {}", key.source_id));
            quiet(told("deleted"))
        }
        ("config", "get") => quiet(match state.configs.get(name) {
            Some(values) => CtlResponse::with(values.clone()).to_bytes(),
            None => told("Configuration not found"),
        }),
        ("config", "put") => {
            state.configs.insert(name.to_owned(), parse_request(message).ok()?);
            state.log.push(format!("put config {name}"));
            quiet(told("put"))
        }
        ("config", "del") => {
            state.configs.remove(name);
            state.log.push(format!("del config {name}"));
            quiet(told("deleted"))
        }
        _ => quiet(CtlResponse::<()>::unsupported().to_bytes()),
    }
}

fn ping(state: &mut State, host: &str, lattice: &LatticeName) -> bytes::Bytes {
    let inventory = state.host(host);
    let host = Host {
        rpc_host: String::new(),
        ctl_host: String::new(),
        friendly_name: inventory.friendly_name.clone(),
        id: inventory.host_id.clone(),
        labels: inventory.labels.clone(),
        lattice: lattice.clone(),
        js_domain: None,
        uptime_human: String::new(),
        uptime_seconds: 0,
        version: "0".to_owned(),
    };
    CtlResponse::with(host).to_bytes()
}

fn pin(state: &State, message: &Message) -> bytes::Bytes {
    if state.faults.no_pins {
        return CtlResponse::<()>::unsupported().to_bytes();
    }
    let request: ReferenceRequest = parse_request(message).unwrap();
    match state.files.get(&request.reference) {
        Some(content) => {
            let pinned = Pinned { digest: Some(format!("sha256:{content}")), size: Some(1) };
            CtlResponse::with(pinned).to_bytes()
        }
        // A builtin stands in for every image.
        None if request.is_provider => CtlResponse::with(Pinned { digest: None, size: None }).to_bytes(),
        None => {
            let message = format!("there is no file `{}`", request.reference);
            refused(Problem::new(artifact::FILE_NOT_FOUND, message))
        }
    }
}

fn scale(state: &mut State, host: &str, scale: Scale) -> Answer {
    let id = scale.component_id.to_string();
    if state.faults.refuse.contains(&id) {
        return (
            refused(Problem::new(code::NO_HOST_MATCHES, format!("`{id}` is not wanted here"))),
            Vec::new(),
        );
    }
    let later = state.faults.fail_later.contains(&id);
    let start_as = state.faults.start_as.unwrap_or(PartState::Running);
    let inventory = state.host(host);
    let found = inventory.components.iter().position(|view| view.id == scale.component_id);
    if found.is_some_and(|at| inventory.components[at].generation > scale.generation) {
        state.stale += 1;
        return (refused(Problem::new(code::CONTENDED, "older than what is here")), Vec::new());
    }
    let annotations = scale.annotations.clone().unwrap_or_default();
    if later {
        let problem =
            Problem::new(runtime::NOT_WASM, "it did not start").with_cause("the first byte is wrong");
        // As a real host: what ran goes on, under the newest order.
        if let Some(at) = found {
            inventory.components[at].annotations = scale.annotations.clone();
            inventory.components[at].problem = Some(problem.clone());
        }
        let fact = Fact::ComponentScaleFailed(ComponentScaleFailed {
            annotations,
            claims: None,
            component_id: id,
            error: if found.is_some() { problem.to_string() } else { problem.message },
            host_id: host.to_owned(),
            image_ref: scale.component_ref.clone(),
            max_instances: scale.count,
            public_key: None,
        });
        return (told("accepted"), vec![event(host, &fact)]);
    }
    if let Some(at) = found {
        inventory.components.remove(at);
    }
    if scale.count > 0 {
        let mut view =
            ComponentView::new(scale.component_id.clone(), scale.component_ref.clone(), scale.count);
        view.annotations = scale.annotations.clone();
        view.generation = scale.generation;
        view.digest = scale.digest.clone();
        view.application = scale.application.clone();
        view.limits_set = scale.limits.clone();
        view.state = start_as;
        inventory.components.push(view);
    }
    state.log.push(format!("scale {id} {}", scale.count));
    state.runs_with.insert(id.clone(), scale.config);
    let fact = Fact::ComponentScaled(ComponentScaled {
        annotations,
        claims: None,
        component_id: id,
        host_id: host.to_owned(),
        image_ref: scale.component_ref,
        max_instances: scale.count,
        public_key: None,
    });
    (told("accepted"), vec![event(host, &fact)])
}

pub(crate) fn event(host: &str, fact: &Fact) -> Event {
    Event::new(&HostId::new(host).unwrap(), SystemClock.unix_time(), fact)
}

fn start(state: &mut State, host: &str, start: StartProvider) -> bytes::Bytes {
    let inventory = state.host(host);
    // As a real host: a builtin stands in for images of every version, and is changed while it runs.
    let kind = |image: &str| {
        image.rsplit(['/', ':']).find(|word| !word.starts_with(char::is_numeric)).map(str::to_owned)
    };
    if inventory
        .providers
        .iter()
        .any(|view| view.id == start.provider_id && kind(&view.image_ref) != kind(&start.provider_ref))
    {
        return refused(Problem::new(umbel_core::code::host::PROVIDER_EXISTS, "another provider runs"));
    }
    inventory.providers.retain(|view| view.id != start.provider_id);
    let mut view = ProviderView::new(start.provider_id.clone(), start.provider_ref.clone());
    view.annotations = start.annotations;
    view.generation = start.generation;
    view.state = PartState::Running;
    view.endpoints =
        vec![Endpoint { component: "hello-hello".into(), url: "http://hello.localhost:8000".into() }];
    inventory.providers.push(view);
    state.log.push(format!("start {}", start.provider_id));
    told("accepted")
}

fn stop(state: &mut State, host: &str, stop: &StopProvider) -> bytes::Bytes {
    state.host(host).providers.retain(|view| view.id != stop.provider_id);
    state.log.push(format!("stop {}", stop.provider_id));
    told("stopped")
}

fn put_link(state: &mut State, link: Link) -> bytes::Bytes {
    let other = state.links.iter().find(|other| other.key() == link.key());
    if state.faults.keep_links && other.is_some_and(|other| other.target != link.target) {
        return refused(Problem::new(code::LINK_TAKEN, "link already exists with different target"));
    }
    state.links.retain(|other| other.key() != link.key());
    state.log.push(format!("put link {} -> {}", link.source_id, link.target));
    state.links.push(link);
    told("put")
}
