//! What a capability provider is: the trait, the life of its links, and the typed calls that travel without a wire.
//!
//! A provider serves contracts to components, or brings calls from outside to them, or both. The host starts it from a
//! [`Factory`], hands it links as they come and go, and stops it with a deadline. It must not know the host: what it needs of
//! the host is in [`StartContext`].
//!
//! ```text
//! Factory::start ─▶ Provider ◀─ put_link / del_link / put_config (any time, any order, idempotent)
//!                      │
//!                      ├─ as a source (http-server): StartContext::targets finds the component, per call
//!                      ├─ as a target: serve() (or http_outgoing()) is called by components
//!                      └─ stop(deadline): drain, then end
//! ```
//!
//! A provider runs in the host, or in a process of its own: then [`sdk`] is around it there, [`remote`] stands for it in the host, and what
//! they say to one another is in `docs/protocols/provider.md`.
//!
//! Read in this order: [`provider`](self) (here), [`http`] and how it travels ([`http::wire`]), [`wrpc`] (storage as wasmCloud 1.x carries it), [`secrets`] · [`hostdata`] what a process is told at its start, [`wire`]
//! subjects and messages, [`sdk`] the process, [`remote`] the host · `testing` both in one test.

pub mod hostdata;
pub mod http;
pub mod remote;
pub mod sdk;
pub mod secrets;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;
pub mod wrpc;

use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_core::settings::{Secrets, Settings};
use umbel_wit::{Interface, InterfaceName, Serve};

/// Makes providers of one kind. The binary lists the factories that it ships; the host knows only this trait.
#[async_trait]
pub trait Factory: Send + Sync + 'static {
    /// The name in a reference `builtin:NAME`.
    fn name(&self) -> &'static str;

    /// The last path segments of the images whose providers its own can be in place of, with the same links and config:
    /// `http-server` of `…/http-server:0.23.2`.
    fn stands_in_for(&self) -> &'static [&'static str] {
        &[]
    }

    /// What its providers serve, or bring calls of, e.g. `wasi:http/incoming-handler`.
    fn contracts(&self) -> Vec<Contract>;

    /// The types of what its providers serve and of what they call, which a provider in a process of its own needs: values travel
    /// without them. [`umbel_wit::package::interfaces`] reads them from WIT.
    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        Vec::new()
    }

    /// Whether its providers keep data in their folder that only one of them can have open, so that two of one id cannot run at once.
    fn opens_its_data_alone(&self) -> bool {
        false
    }

    /// Whether its providers can be processes: not those that serve or bring HTTP, which does not travel as calls do.
    fn runs_apart(&self) -> bool {
        true
    }

    /// Where secrets are put by hand, if its providers serve secrets.
    fn keeper(&self) -> Option<&dyn secrets::Keeper> {
        None
    }

    /// Starts one provider. Several may run at once, one for each application that declares it.
    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem>;
}

/// What a starting provider is given.
#[derive(Clone)]
pub struct StartContext {
    /// Its id on the lattice.
    pub id: ProviderId,
    /// Its config, merged, with those of its secrets that are text under their names: a setting may be given either way.
    pub config: Values,
    /// Its secrets, by name.
    pub secrets: Secrets,
    /// Finds the components that its links point at.
    pub targets: Arc<dyn Targets>,
    /// A folder of its own for what it keeps, readable by the host's user alone. It is made by the provider when it needs it, and
    /// outlives it: the same id finds it again.
    pub folder: PathBuf,
}

/// Finds what runs in this host. Look-ups are cheap and must be made per call: what is found may be another revision next time.
pub trait Targets: Send + Sync + 'static {
    /// The component's HTTP export, if it runs here and has one.
    fn http(&self, component: &str) -> Option<Arc<dyn http::Handler>>;

    /// What the component exports of an interface (a name without a version, e.g. `wasmcloud:messaging/handler`), if it runs here
    /// and has it.
    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>>;

    /// The application that the component belongs to, for default host names.
    fn application_of(&self, component: &str) -> Option<String>;

    /// Tells those who run the component what a call that the provider made of it came to: the text goes to the component's log. Not
    /// for what may come a thousand times a second.
    fn report(&self, component: &str, text: &str) {
        // Where nobody keeps such a log.
        let _ = (component, text);
    }
}

/// How a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Healthy,
    /// It cannot serve, and why.
    Unhealthy(Problem),
}

/// A running provider. All methods may be called at any time and must be idempotent.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// A link that names this provider as source or target is new, or has changed (same key). Its values and its secrets are read as one by
    /// [`ResolvedLink::source_settings`] and [`ResolvedLink::target_settings`].
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem>;

    /// The link is gone. Calls in flight finish.
    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem>;

    /// The provider's own config or a secret of it has changed: all of it, as in [`StartContext::config`].
    async fn put_config(&self, config: Values) -> Result<(), Problem>;

    /// The same, with values and secrets apart.
    async fn put_settings(&self, settings: Settings) -> Result<(), Problem> {
        self.put_config(settings.all()).await
    }

    /// How it is.
    fn health(&self) -> Health {
        Health::Healthy
    }

    /// The addresses under which a user reaches it, e.g. `http://hello.localhost:8000`, each with the component it leads to.
    fn endpoints(&self) -> Vec<Endpoint> {
        Vec::new()
    }

    /// What serves calls of components that link to it, if it serves contracts other than outgoing HTTP.
    fn serve(&self) -> Option<Arc<dyn Serve>> {
        None
    }

    /// Its `wasi:http/outgoing-handler`, if it serves that.
    fn http_outgoing(&self) -> Option<Arc<dyn http::Outgoing>> {
        None
    }

    /// Waits until it has ended by itself, and says why. One that is part of the host never does.
    async fn ended(&self) -> Problem {
        std::future::pending().await
    }

    /// Take no new work, finish what is under way within `deadline`, end.
    async fn stop(&self, deadline: Duration);
}

/// An address that leads to a component.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// The component's id.
    pub component: String,
    /// What to open.
    pub url: String,
}
