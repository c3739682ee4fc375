//! What a component's calls reach: its links of that moment, its config, its log.

use crate::given::{self, Given};
use crate::logs::{LogSender, Trial};
use crate::provider::ProviderSlot;
use crate::provider::way::{Found, WAIT_MAX, is_of_a_way};
use crate::shared::Shared;
use crate::slot;
use crate::tables::Tables;
use crate::times::Times;
use arc_swap::{ArcSwap, ArcSwapOption};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::id::ComponentId;
use umbel_core::link::{DEFAULT_LINK_NAME, Distance, Link, LinkKey, Values};
use umbel_core::settings::{Settings, is_secret};
use umbel_lattice::control::{PartState, Scale};
use umbel_provider::http::{OutgoingOptions, Request, Response};
use umbel_runtime::calls::{HostCalls, Level, SendOptions, Stream, Target, Within};
use umbel_runtime::{Component, Image, World};
use umbel_wit::{Interface, InterfaceName, Resource, Serve};

/// The interfaces under which guests send HTTP requests.
pub const HTTP_OUTGOING: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/client"];

/// A component's links and config, resolved. Replaced whole whenever one of them changes.
#[derive(Default)]
pub struct Bindings {
    config: Values,
    http: Option<Outgoing>,
    // What the importer was given of secrets, if it refers to any.
    given: Option<(Arc<dyn Serve>, Arc<umbel_wit::Link>)>,
    // By interface without its version; several where links have names.
    contracts: HashMap<String, Vec<Arc<Bound>>>,
}

/// The link over which requests of HTTP are sent.
struct Outgoing {
    key: LinkKey,
    target: String,
    provider: Option<Arc<ProviderSlot>>,
    times: Arc<Times>,
}

/// A link of a component, and where it leads.
struct Bound {
    link: Link,
    /// As a server is told of it.
    told: Arc<umbel_wit::Link>,
    /// The provider it leads to; otherwise it leads to a component, which is looked up at every call.
    provider: Option<Arc<ProviderSlot>>,
    // What comparing the contract with the server's found, for the server of that image.
    compared: ArcSwapOption<(Arc<Image>, Option<Problem>)>,
    // As long as it leads to the same target.
    times: Arc<Times>,
    // Its target on another host, for imports of each interface that it was called for.
    there: OnceLock<Arc<dyn Serve>>,
}

/// Whose links and config they are: a component, or a provider that is one.
#[derive(Clone, Copy)]
pub struct Importer<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its application.
    pub application: Option<&'a str>,
    /// The names of its configs.
    pub config: &'a [String],
}

impl<'a> Importer<'a> {
    /// The component of an order.
    pub fn of(scale: &'a Scale) -> Importer<'a> {
        Importer {
            id: scale.component_id.as_str(),
            application: scale.application.as_deref(),
            config: &scale.config,
        }
    }
}

impl Bindings {
    /// Resolves what the importer names against links, configs and providers of this moment. What is known of links that stay is kept.
    pub fn resolve(
        &self,
        importer: Importer<'_>,
        tables: &Tables,
        given: &Given,
        provider: impl Fn(&str) -> Option<Arc<ProviderSlot>>,
    ) -> Bindings {
        let outgoing = tables
            .links_of(importer.id)
            .iter()
            .find(|link| HTTP_OUTGOING.iter().any(|import| link.contract.covers(import)));
        let mut contracts: HashMap<String, Vec<Arc<Bound>>> = HashMap::new();
        for link in tables.links_of(importer.id) {
            let served_by = provider(&link.target);
            let secrets = served_by
                .as_ref()
                .map(|slot| given.fetched(&link.target_config, &given::owner_of(&slot.order())));
            let settings =
                Settings { values: tables.merged(&link.target_config), secrets: secrets.unwrap_or_default() };
            let told = umbel_wit::Link {
                source_id: link.source_id.clone(),
                name: link.name.clone(),
                application: importer.application.map(str::to_string),
                values: settings.all(),
            };
            let bound = Bound {
                link: link.clone(),
                told: Arc::new(told),
                provider: served_by,
                compared: ArcSwapOption::empty(),
                times: self.times(&link.key(), &link.target),
                there: OnceLock::new(),
            };
            let bound = Arc::new(bound);
            let contract = &link.contract;
            for interface in &contract.interfaces {
                let name = format!("{}:{}/{interface}", contract.namespace, contract.package);
                contracts.entry(name).or_default().push(bound.clone());
            }
        }
        let secrets = importer.config.iter().any(|name| is_secret(name)).then(|| {
            let owner = given::owner(importer.application, importer.id);
            let server = given::serve::Server(given.fetched(importer.config, &owner));
            let told = umbel_wit::Link {
                source_id: importer.id.to_string(),
                name: DEFAULT_LINK_NAME.to_string(),
                application: importer.application.map(str::to_string),
                values: Values::new(),
            };
            (Arc::new(server) as Arc<dyn Serve>, Arc::new(told))
        });
        Bindings {
            given: secrets,
            contracts,
            config: tables.merged(importer.config),
            http: outgoing.map(|link| Outgoing {
                key: link.key(),
                target: link.target.clone(),
                provider: provider(&link.target),
                times: self.times(&link.key(), &link.target),
            }),
        }
    }

    fn times(&self, key: &LinkKey, target: &str) -> Arc<Times> {
        let http = self.http.as_ref().filter(|http| http.key == *key && http.target == target);
        let http = http.map(|http| http.times.clone());
        let of = |bound: &&Arc<Bound>| bound.link.target == target && bound.link.key() == *key;
        let bound = || Some(self.contracts.values().flatten().find(of)?.times.clone());
        http.or_else(bound).unwrap_or_default()
    }

    /// How long a call over the link takes, in nanoseconds: the median of the last calls whose time was taken.
    pub fn call_ns(&self, key: &LinkKey) -> Option<u64> {
        let http = self.http.as_ref().filter(|http| http.key == *key).and_then(|http| http.times.median_ns());
        let of = |bound: &&Arc<Bound>| bound.link.key() == *key;
        http.or_else(|| self.contracts.values().flatten().find(of)?.times.median_ns())
    }

    /// The config.
    pub fn config(&self) -> &Values {
        &self.config
    }

    /// Whether one of the links leads to the component or provider.
    pub fn lead_to(&self, id: &str) -> bool {
        self.http.as_ref().is_some_and(|http| http.target == id)
            || self.contracts.values().flatten().any(|bound| bound.link.target == id)
    }

    /// Whether a link serves the import, or what the importer was given.
    pub fn serves(&self, import: &str) -> bool {
        let name = import.split('@').next().unwrap_or(import);
        self.contracts.contains_key(name) || self.gives(name)
    }

    /// Whether the import is of secrets that the importer was given, and no link leads elsewhere.
    pub fn gives(&self, import: &str) -> bool {
        let is_linked = || self.contracts.keys().any(|name| name.starts_with(given::serve::PACKAGE));
        self.given.is_some() && import.starts_with(given::serve::PACKAGE) && !is_linked()
    }
}

/// The way out of one component.
#[derive(Clone)]
pub struct Door {
    /// The component's id.
    pub id: ComponentId,
    /// Its application, for log lines.
    pub application: Option<String>,
    /// Its links and config.
    pub bindings: Arc<ArcSwap<Bindings>>,
    /// What runs, for its side of contracts.
    pub image: Arc<Image>,
    /// The host, for components that links lead to. Weak, because the host holds the component.
    pub host: Weak<Shared>,
    /// Where its lines go.
    pub logs: LogSender,
    /// Whether it is a provider that is only tried yet.
    pub trial: Arc<Trial>,
}

impl Door {
    fn unlinked(&self, interface: &str, called: &str) -> Problem {
        Problem::new(guest::UNLINKED, format!("{} called `{called}`, and no link serves it", self.id))
            .with_help(self.link_help(interface))
    }

    fn link_help(&self, interface: &str) -> String {
        let target = if HTTP_OUTGOING.contains(&interface) { "http-client" } else { "TARGET" };
        format!("umbel link put {} {target} {interface}", self.id)
    }

    /// A link that leads nowhere at this moment.
    fn away(&self, bound: &Bound, import: &InterfaceName) -> Problem {
        let target = &bound.link.target;
        let message = format!("{} is linked to `{target}`, which does not serve {import} now", self.id);
        let help =
            format!("`umbel ps` shows whether `{target}` runs; {}", self.link_help(&import.unversioned));
        Problem::new(guest::UNLINKED, message).with_help(help)
    }

    /// The component that a link leads to, if it serves the contract as this one has it.
    fn component(&self, bound: &Bound, import: &InterfaceName) -> Result<Component, Problem> {
        let slot = self.host.upgrade().and_then(|host| host.slot(&bound.link.target));
        let slot = slot.ok_or_else(|| self.away(bound, import))?;
        let Some(revision) = slot.current.load_full() else { return Err(slot::not_running(&slot)) };
        self.checked(bound, import, revision.component.clone())
    }

    /// Where the way to a provider leads at this moment.
    fn over_way(
        &self,
        slot: &Arc<ProviderSlot>,
        found: Found,
        bound: &Arc<Bound>,
        import: &InterfaceName,
    ) -> Result<Target, Problem> {
        match found {
            Found::Served(true) => Ok(Target::Server(slot.calls.clone(), bound.told.clone())),
            Found::Served(false) => Err(self.away(bound, import)),
            Found::Component(component, used) => {
                self.checked(bound, import, component).map(|component| Target::Held(component, used))
            }
            Found::Moves => Ok(self.next(slot, bound, import)),
            Found::Nobody => Err(not_running(slot)),
        }
    }

    /// The provider that is about to serve.
    fn next(&self, slot: &Arc<ProviderSlot>, bound: &Arc<Bound>, import: &InterfaceName) -> Target {
        let (door, slot, bound, import) = (self.clone(), slot.clone(), bound.clone(), import.clone());
        let served = async move {
            let found = slot.way.arrive(WAIT_MAX).await?.found();
            door.over_way(&slot, found, &bound, &import)
        };
        Target::Later(served.boxed())
    }

    /// What serves the link on another host, if its target is not here and may be there.
    fn there(&self, bound: &Bound) -> Option<Arc<dyn Serve>> {
        if bound.link.distance == Distance::Local {
            return None;
        }
        let host = self.host.upgrade()?;
        let elsewhere = host.elsewhere.as_ref()?;
        if host.slot(&bound.link.target).is_some() {
            return None;
        }
        let types = || {
            let imports = self.image.imports().iter().filter(|import| bound.link.contract.covers(import));
            let typed = |import: &String| Some((InterfaceName::new(import), self.types(import)?));
            elsewhere.serve(&bound.link.target, imports.filter_map(typed).collect::<Vec<_>>())
        };
        Some(bound.there.get_or_init(types).clone())
    }

    /// The types of an import, as the component has them.
    fn types(&self, import: &str) -> Option<Arc<Interface>> {
        self.image.imported(import).cloned().map(Arc::new)
    }

    /// The component, if it serves the contract as this one has it.
    fn checked(
        &self,
        bound: &Bound,
        import: &InterfaceName,
        component: Component,
    ) -> Result<Component, Problem> {
        let known = bound.compared.load();
        let problem = match known.as_deref() {
            Some((image, problem)) if Arc::ptr_eq(image, component.image()) => problem.clone(),
            _ => {
                let problem = self.compare(&bound.link, import, &component);
                let compared = (component.image().clone(), problem.clone());
                bound.compared.store(Some(Arc::new(compared)));
                problem
            }
        };
        problem.map_or(Ok(component), Err)
    }

    /// Whether the server's contract is the importer's, for all that the link carries.
    fn compare(&self, link: &Link, import: &InterfaceName, server: &Component) -> Option<Problem> {
        let importer = (self.id.as_str(), &*self.image);
        let server = (server.id(), &**server.image());
        mismatch(importer, server, |name| link.contract.covers(name) || *name == import.to_string())
    }
}

fn outgoing_options(options: &SendOptions) -> OutgoingOptions {
    OutgoingOptions {
        connect_timeout: options.connect_timeout,
        first_byte_timeout: options.first_byte_timeout,
        between_bytes_timeout: options.between_bytes_timeout,
    }
}

/// Takes the time that an answer's head takes.
fn timed<T: 'static>(
    times: &Arc<Times>,
    work: BoxFuture<'static, Result<T, Problem>>,
) -> BoxFuture<'static, Result<T, Problem>> {
    let times = times.clone();
    async move {
        let begun = Instant::now();
        let outcome = work.await;
        if outcome.is_ok() {
            times.add(begun.elapsed());
        }
        outcome
    }
    .boxed()
}

/// Why a provider that is a component cannot be called. Unlike a missing link, that passes.
fn not_running(slot: &ProviderSlot) -> Problem {
    let (state, problem) = slot.status();
    let code = match state {
        PartState::Starting => guest::STARTING,
        PartState::Draining | PartState::Stopped => guest::STOPPING,
        _ => guest::NOT_RUNNING,
    };
    let said = Problem::new(code, format!("the provider {} is {state}", slot.id));
    match problem {
        Some(problem) => said.with_cause(problem.to_string()),
        None => said,
    }
}

/// What keeps a component from serving another one's imports, those that the link carries: an interface that is not there, or differs.
pub(crate) fn mismatch(
    (importer, wants): (&str, &Image),
    (server, has): (&str, &Image),
    carried: impl Fn(&str) -> bool,
) -> Option<Problem> {
    let sends = |name: &&String| HTTP_OUTGOING.iter().any(|http| name.split('@').next() == Some(http));
    if let Some(import) = wants.imports().iter().filter(sends).find(|name| carried(name))
        && !matches!(has.world(), World::HttpP2 | World::HttpP3)
    {
        let exports = exports(has);
        let text =
            format!("{importer} imports `{import}`, and {server} answers no HTTP: it exports {exports}");
        return Some(Problem::new(guest::CONTRACT_MISMATCH, text));
    }
    for name in wants.needs_link().iter().filter(|name| carried(name)) {
        let import = InterfaceName::new(name);
        let Some(wanted) = wants.imported(name) else { continue };
        let Some((export, found)) = has.contracts().find(|(export, _)| export.serves(&import)) else {
            let exports = exports(has);
            let text = format!("{importer} imports `{import}`, and {server} exports {exports}");
            return Some(Problem::new(guest::CONTRACT_MISMATCH, text));
        };
        if let Err(mismatch) = wanted.served_by(found) {
            let text =
                format!("{importer} imports `{import}`, and `{export}` of {server} is another: {mismatch}");
            return Some(Problem::new(guest::CONTRACT_MISMATCH, text));
        }
    }
    None
}

/// What an image exports, in words.
fn exports(image: &Image) -> String {
    let exports: Vec<String> = image.contracts().map(|(name, _)| name.to_string()).collect();
    if exports.is_empty() { "nothing".into() } else { exports.join(", ") }
}

impl HostCalls for Door {
    fn http_send(
        &self,
        request: Request,
        options: SendOptions,
        within: Within,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let bindings = self.bindings.load();
        let Some(Outgoing { key, target, provider, times }) = &bindings.http else {
            let problem = self.unlinked(HTTP_OUTGOING[0], HTTP_OUTGOING[0]);
            return async move { Err(problem) }.boxed();
        };
        if provider.is_none()
            && let Some(slot) = self.host.upgrade().and_then(|host| host.slot(target))
        {
            // A component that answers HTTP serves requests as well as the network does.
            return timed(times, slot.answer(request, within));
        }
        if provider.is_none()
            && let Some(host) = self.host.upgrade()
            && let Some(elsewhere) = &host.elsewhere
        {
            let link = (key.source_id.as_str(), key.name.as_str(), target.as_str());
            return timed(times, elsewhere.send(link, request, outgoing_options(&options)));
        }
        let way = provider.as_ref().map(|slot| &slot.way);
        let served = way.map_or(Ok(false), |way| way.check_http());
        let Some(way) = way.filter(|_| matches!(served, Ok(true))) else {
            if let Err(problem) = served {
                return async move { Err(problem) }.boxed();
            }
            let message =
                format!("{} is linked to `{target}`, which does not serve {} now", self.id, HTTP_OUTGOING[0]);
            let problem = Problem::new(guest::UNLINKED, message).with_help(format!(
                "`umbel ps` shows whether `{target}` runs; {}",
                self.link_help(HTTP_OUTGOING[0])
            ));
            return async move { Err(problem) }.boxed();
        };
        timed(times, way.send(key, request, outgoing_options(&options)))
    }

    fn config_get(&self, key: &str) -> Option<String> {
        self.bindings.load().config.get(key).cloned()
    }

    fn config_all(&self) -> Vec<(String, String)> {
        self.bindings.load().config.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn log(&self, level: Level, stream: Stream, context: &str, message: &str) {
        let context = self.trial.context(context);
        self.logs.send(&self.id, self.application.as_deref(), level, stream, &context, message);
    }

    fn target(
        &self,
        import: &InterfaceName,
        function: &str,
        link_name: Option<&str>,
    ) -> Result<Target, Problem> {
        let bindings = self.bindings.load();
        let name = link_name.unwrap_or(DEFAULT_LINK_NAME);
        let links = bindings.contracts.get(&import.unversioned).map_or(&[][..], Vec::as_slice);
        if let Some((server, told)) = bindings.given.as_ref().filter(|_| bindings.gives(&import.unversioned))
        {
            return Ok(Target::Server(server.clone(), told.clone()));
        }
        let Some(bound) = links.iter().find(|bound| bound.link.name == name) else {
            let mut problem = self.unlinked(&import.unversioned, &format!("{import}.{function}"));
            let others: Vec<String> = links.iter().map(|bound| format!("`{}`", bound.link.name)).collect();
            if !others.is_empty() {
                let others = others.join(", ");
                problem
                    .message
                    .push_str(&format!(" by the name `{name}`; there are links by the names {others}"));
                problem.help = format!(
                    "put the link by the name `{name}`, or let the component choose one with `wasmcloud:bus/lattice.set-link-name`: {}",
                    problem.help
                );
            } else if name != DEFAULT_LINK_NAME {
                problem.message.push_str(&format!(" under the name `{name}`"));
            }
            if name != DEFAULT_LINK_NAME {
                problem.help.push_str(&format!(" --name {name}"));
            }
            return Err(problem);
        };
        match &bound.provider {
            Some(slot) => self.over_way(slot, slot.way.find()?, bound, import),
            None => match self.there(bound) {
                Some(there) => Ok(Target::Server(there, bound.told.clone())),
                None => self.component(bound, import).map(Target::Component),
            },
        }
    }

    fn took(&self, import: &InterfaceName, link_name: Option<&str>, took: Duration) {
        let bindings = self.bindings.load();
        let name = link_name.unwrap_or(DEFAULT_LINK_NAME);
        let links = bindings.contracts.get(&import.unversioned).map_or(&[][..], Vec::as_slice);
        if let Some(bound) = links.iter().find(|bound| bound.link.name == name) {
            bound.times.add(took);
        }
    }

    fn maker(&self, import: &InterfaceName, link_name: Option<&str>, resource: &Resource) -> Option<Target> {
        let bindings = self.bindings.load();
        let name = link_name.unwrap_or(DEFAULT_LINK_NAME);
        let bound =
            bindings.contracts.get(&import.unversioned)?.iter().find(|bound| bound.link.name == name)?;
        let slot = bound.provider.as_ref().filter(|_| is_of_a_way(resource))?;
        Some(Target::Server(slot.calls.clone(), bound.told.clone()))
    }
}
