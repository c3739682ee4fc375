//! `messaging`: messages between components of this host, and of the host with them.
//!
//! It serves `wasmcloud:messaging@0.2.0` and `wasi:messaging@0.2.0-draft` (which wasmCloud 1.9 has as `wasmcloud:messaging@0.3.0`
//! too); a message that was sent by one of them is delivered by the other. Delivery is at most once, to whoever subscribes at that
//! moment; nothing is kept. A reply goes to the one who asked, and to nobody else.
//!
//! ```text
//! component ──publish──▶ Space ─▶ Router ─▶ Subscription (plain: each; of a queue group: one)
//!                                               │ bounded queue ── full ─▶ missed, counted, told
//!                                               ▼
//!                        workers on the data path, `concurrency` at most, none while nothing waits
//!                                               │ deadline
//!                                               ▼
//!                        Targets::export ─▶ handler.handle-message, or incoming-handler.handle
//! ```
//!
//! **Who hears whom.** Subjects belong to a space. The components of one application share a space and are alone in it; those
//! of no application share another one. Links whose config has the same `space` join the space of that name instead, whatever their
//! applications are: both sides have to say so.
//!
//! **Back-pressure.** A publisher never waits. What does not fit into a subscriber's queue is dropped for that subscriber alone; a
//! message that had subscribers and fitted nowhere is an error for its publisher, who can slow down.
//!
//! Subscriptions come from the config of links from the provider to a component, as in wasmCloud: `subscriptions` is a comma list of
//! `subject` or `subject|queue`. All keys are in [`config`].
//!
//! Read in this order: [`config`], `subject`, `router`, `queue` (decisions, pure) · [`space`] (who is there), `subscription`, `delivery` ·
//! `wasmcloud`, `draft` (the contracts) · [`stats`], [`error`].

pub mod config;
pub mod error;
pub mod message;
pub mod space;
pub mod stats;

mod delivery;
mod draft;
mod held;
mod link;
mod queue;
mod route;
mod router;
pub(crate) mod subject;
pub(crate) mod subscription;
mod wasmcloud;

pub use config::{Limits, Settings};
pub use error::MessagingError;
pub use message::{Content, Message};
pub use space::{Space, SpaceId, Subscriber, Wait};
pub use stats::{SpaceStats, SubscriptionStats};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use delivery::{Delivery, Handler};
use futures::future::BoxFuture;
use queue::Queue;
use route::Route;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subscription::{Sink, Subscription};
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Health, Provider, StartContext};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Link, Serve, Value};

/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Where the spaces of a provider are.
pub(crate) trait Spaces: Send + Sync + 'static {
    /// Which config there is for it.
    fn reach(&self) -> Reach;
    /// A space, by the settings of whoever asks.
    fn space(&self, settings: &Settings, id: SpaceId) -> Result<Arc<Space>, MessagingError>;
    /// Why messages do not travel, if they do not.
    fn failure(&self) -> Option<Problem> {
        None
    }
    /// Waits until what was asked of all spaces is carried out.
    fn settle(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// How far messages go: what may be said in config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Within the host.
    Host,
    /// To a message server.
    #[cfg(feature = "messaging_nats")]
    Server,
}

/// The factory of messaging providers, and the spaces that they share.
#[derive(Clone)]
pub struct Messaging {
    broker: Arc<Broker>,
}

/// The spaces of this host.
struct Broker {
    spaces: ArcSwap<HashMap<SpaceId, Arc<Space>>>,
    cores: Arc<Cores>,
}

impl Spaces for Broker {
    fn reach(&self) -> Reach {
        Reach::Host
    }

    fn space(&self, _settings: &Settings, id: SpaceId) -> Result<Arc<Space>, MessagingError> {
        Ok(Broker::space(self, id))
    }
}

impl Broker {
    fn space(&self, id: SpaceId) -> Arc<Space> {
        if let Some(space) = self.spaces.load().get(&id) {
            return space.clone();
        }
        let fresh = Arc::new(Space::new(id.clone()));
        self.spaces.rcu(|spaces| {
            let mut spaces = HashMap::clone(spaces);
            spaces.entry(id.clone()).or_insert_with(|| fresh.clone());
            spaces
        });
        self.spaces.load()[&id].clone()
    }
}

impl Messaging {
    /// A messaging without subscriptions. Components will be called on `cores`.
    pub fn new(cores: Arc<Cores>) -> Messaging {
        Messaging { broker: Arc::new(Broker { spaces: ArcSwap::default(), cores }) }
    }

    /// A space, for subscribers and publishers in the host itself.
    pub fn space(&self, id: SpaceId) -> Arc<Space> {
        self.broker.space(id)
    }

    /// What happened, by space.
    pub fn stats(&self) -> Vec<SpaceStats> {
        let mut stats: Vec<_> = self.broker.spaces.load().values().map(|space| space.stats()).collect();
        stats.sort_by(|one, other| one.space.cmp(&other.space));
        stats
    }
}

#[async_trait]
impl Factory for Messaging {
    fn name(&self) -> &'static str {
        "messaging"
    }

    fn contracts(&self) -> Vec<Contract> {
        let draft = ["types", "producer", "request-reply", "incoming-handler"];
        let wasmcloud = ["consumer", "handler"].into_iter().chain(draft).collect::<Vec<_>>();
        vec![Contract::new("wasmcloud", "messaging", &wasmcloud), Contract::new("wasi", "messaging", &draft)]
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        Ok(Arc::new(MessagingProvider::new(self.broker.clone(), self.broker.cores.clone(), cx)?))
    }
}

/// One messaging provider.
pub(crate) struct MessagingProvider {
    server: Arc<Server>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: BTreeMap<LinkKey, ResolvedLink>,
    subscribed: BTreeMap<LinkKey, Subscribed>,
}

/// What calls of components see.
struct Server {
    spaces: Arc<dyn Spaces>,
    cores: Arc<Cores>,
    cx: StartContext,
    config: ArcSwap<Values>,
    /// By the address of the link, which the route keeps alive.
    routes: ArcSwap<HashMap<usize, Arc<Route>>>,
    stopped: AtomicBool,
}

/// What a link to a component subscribes.
struct Subscribed {
    plan: Plan,
    space: Arc<Space>,
    subscriptions: Vec<Arc<Subscription>>,
}

/// What a link to a component asks for, checked.
#[derive(PartialEq)]
struct Plan {
    space: SpaceId,
    settings: Settings,
    handler: Handler,
    link: Link,
    component: String,
}

impl MessagingProvider {
    pub(crate) fn new(
        spaces: Arc<dyn Spaces>,
        cores: Arc<Cores>,
        cx: StartContext,
    ) -> Result<MessagingProvider, MessagingError> {
        Settings::read_for(spaces.reach(), &cx.config, &Values::new())?;
        let config = ArcSwap::from_pointee(cx.config.clone());
        let (routes, stopped) = (ArcSwap::default(), AtomicBool::new(false));
        let server = Server { spaces, cores, cx, config, routes, stopped };
        Ok(MessagingProvider { server: Arc::new(server), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what the link subscribes what is planned; nothing happens to one that is as planned already.
    fn subscribe(
        &self,
        subscribed: &mut BTreeMap<LinkKey, Subscribed>,
        key: LinkKey,
        plan: Plan,
    ) -> Result<(), MessagingError> {
        let before = subscribed.get(&key);
        if before.is_some_and(|before| before.plan == plan) {
            return Ok(());
        }
        let space = self.server.spaces.space(&plan.settings, plan.space.clone())?;
        let new = self.server.subscriptions(&plan, &space);
        match before {
            Some(before) if Arc::ptr_eq(&before.space, &space) => {
                space.change(&before.subscriptions, &new)?
            }
            before => {
                space.change(&[], &new)?;
                before.map_or(Ok(()), |before| before.space.change(&before.subscriptions, &[]))?;
            }
        }
        subscribed.insert(key, Subscribed { plan, space, subscriptions: new });
        Ok(())
    }
}

impl Server {
    fn read(&self, provider: &Values, link: &Values) -> Result<Settings, MessagingError> {
        Settings::read_for(self.spaces.reach(), provider, link)
    }

    /// Reads a link; a plan if it leads to a component.
    fn plan(&self, link: &ResolvedLink, config: &Values) -> Result<Option<Plan>, MessagingError> {
        if link.link.source_id != self.cx.id.as_str() {
            link::check_called(&link.link.contract)?;
            return self.read(config, &link.target_settings()).map(|_| None);
        }
        let handler = link::handler(&link.link.contract)?;
        let settings = self.read(config, &link.source_settings())?;
        if settings.subscriptions.is_empty() {
            let reason = "the link subscribes to nothing: name at least one subject".to_string();
            return Err(MessagingError::Config { key: "subscriptions".into(), reason });
        }
        let component = link.link.target.clone();
        let application = self.cx.targets.application_of(&component);
        let to_component = Link {
            source_id: self.cx.id.to_string(),
            name: link.link.name.clone(),
            application: application.clone(),
            values: link.target_settings(),
        };
        let space = space_of(&settings, application);
        Ok(Some(Plan { space, settings, handler, link: to_component, component }))
    }

    fn subscriptions(&self, plan: &Plan, space: &Arc<Space>) -> Vec<Arc<Subscription>> {
        let (link, limits) = (Arc::new(plan.link.clone()), plan.settings.limits);
        let subscription = |wanted: &config::Wanted| {
            let delivery = Delivery {
                component: plan.component.clone(),
                handler: plan.handler.clone(),
                link: link.clone(),
                targets: self.cx.targets.clone(),
                timeout: limits.handle_timeout,
                space: Arc::downgrade(space),
                cores: Arc::downgrade(&self.cores),
                meter: space.meter(&plan.component),
            };
            let queue = Queue::new(limits.queue_messages_max, limits.queue_bytes_max, limits.concurrency);
            Subscription::new(&wanted.pattern, wanted.group.as_deref(), queue, Sink::Component(delivery))
        };
        plan.settings.subscriptions.iter().map(subscription).collect()
    }

    /// What a call over this link means. Read once for each binding of a component.
    fn route(&self, link: &Arc<Link>) -> Result<Arc<Route>, MessagingError> {
        if self.stopped.load(Relaxed) {
            return Err(MessagingError::Stopped);
        }
        let address = Arc::as_ptr(link) as usize;
        let config = self.config.load_full();
        if let Some(route) = self.routes.load().get(&address)
            && Arc::ptr_eq(&route.config, &config)
        {
            return Ok(route.clone());
        }
        let settings = self.read(&config, &link.values)?;
        let application =
            link.application.clone().or_else(|| self.cx.targets.application_of(&link.source_id));
        let space = self.spaces.space(&settings, space_of(&settings, application))?;
        let meter = space.meter(&link.source_id);
        let route = Arc::new(Route { link: link.clone(), config, space, settings, meter });
        self.routes.rcu(|routes| {
            let mut routes = HashMap::clone(routes);
            // Bindings that are gone: nobody else has their link, so no call comes with it again.
            routes.retain(|_, route| Arc::strong_count(&route.link) > 1);
            routes.insert(address, route.clone());
            routes
        });
        Ok(route)
    }
}

fn space_of(settings: &Settings, application: Option<String>) -> SpaceId {
    match (&settings.space, application) {
        (Some(name), _) => SpaceId::Shared(name.clone()),
        (None, Some(application)) => SpaceId::Application(application),
        (None, None) => SpaceId::Loose,
    }
}

#[async_trait]
impl Provider for MessagingProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let mut state = self.state();
        if self.server.stopped.load(Relaxed) {
            return Err(MessagingError::Stopped.into());
        }
        let plan = self.server.plan(&link, &self.server.config.load())?;
        let key = link.link.key();
        if let Some(plan) = plan {
            self.subscribe(&mut state.subscribed, key.clone(), plan)?;
        }
        state.links.insert(key, link);
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        let mut state = self.state();
        state.links.remove(key);
        if let Some(subscribed) = state.subscribed.remove(key) {
            subscribed.space.change(&subscribed.subscriptions, &[])?;
        }
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        self.server.read(&config, &Values::new())?;
        let mut state = self.state();
        let state = &mut *state;
        let plan = |(key, link): (&LinkKey, &ResolvedLink)| {
            self.server.plan(link, &config).map(|plan| plan.map(|plan| (key.clone(), plan)))
        };
        let plans = state.links.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        for (key, plan) in plans.into_iter().flatten() {
            self.subscribe(&mut state.subscribed, key, plan)?;
        }
        self.server.config.store(Arc::new(config));
        Ok(())
    }

    fn health(&self) -> Health {
        self.server.spaces.failure().map_or(Health::Healthy, Health::Unhealthy)
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(Front(self.server.clone())))
    }

    async fn stop(&self, deadline: Duration) {
        let gone: Vec<Subscribed> = {
            let mut state = self.state();
            self.server.stopped.store(true, Relaxed);
            std::mem::take(&mut state.subscribed).into_values().collect()
        };
        for subscribed in &gone {
            // Taking away never fails.
            let _ = subscribed.space.change(&subscribed.subscriptions, &[]);
        }
        let begun = tokio::time::Instant::now();
        // What does not settle in time is cut off with the connection.
        let _ = tokio::time::timeout(deadline, self.server.spaces.settle()).await;
        let deadline = deadline.saturating_sub(begun.elapsed());
        let all = || gone.iter().flat_map(|subscribed| &subscribed.subscriptions);
        let end = tokio::time::Instant::now() + deadline;
        while all().any(|subscription| subscription.queue().load() > 0) && tokio::time::Instant::now() < end {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        for subscription in all() {
            let dropped = subscription.queue().clear();
            subscription.missed(dropped as u64);
        }
    }
}

/// What components call.
struct Front(Arc<Server>);

impl Serve for Front {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let server = self.0.clone();
        Box::pin(async move {
            let route = server.route(&call.link);
            if &*call.interface == "wasmcloud:messaging/consumer" {
                wasmcloud::consumer(route, call).await
            } else {
                draft::call(route, call).await
            }
        })
    }
}
