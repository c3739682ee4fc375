//! What a component's calls reach: its links of that moment, its config, its log.

use crate::logs::LogSender;
use crate::provider::ProviderSlot;
use crate::tables::Tables;
use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::id::ComponentId;
use umbel_core::link::{LinkKey, Values};
use umbel_lattice::control::Scale;
use umbel_provider::http::{OutgoingOptions, Request, Response};
use umbel_runtime::calls::{HostCalls, Level, SendOptions, Stream};

/// The interfaces under which guests send HTTP requests.
pub const HTTP_OUTGOING: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/client"];

/// A component's links and config, resolved. Replaced whole whenever one of them changes.
#[derive(Default)]
pub struct Bindings {
    config: Values,
    http: Option<(LinkKey, String, Option<Arc<ProviderSlot>>)>,
}

impl Bindings {
    /// Resolves what the order names against links, configs and providers of this moment.
    pub fn resolve(
        scale: &Scale,
        tables: &Tables,
        provider: impl Fn(&str) -> Option<Arc<ProviderSlot>>,
    ) -> Bindings {
        let outgoing = tables
            .links_of(scale.component_id.as_str())
            .iter()
            .find(|link| HTTP_OUTGOING.iter().any(|import| link.contract.covers(import)));
        Bindings {
            config: tables.merged(&scale.config),
            http: outgoing.map(|link| (link.key(), link.target.clone(), provider(&link.target))),
        }
    }

    /// Whether a link serves the import.
    pub fn serves(&self, import: &str) -> bool {
        let name = import.split('@').next().unwrap_or(import);
        HTTP_OUTGOING.contains(&name) && self.http.is_some()
    }
}

/// The way out of one component.
pub struct Door {
    /// The component's id.
    pub id: ComponentId,
    /// Its application, for log lines.
    pub application: Option<String>,
    /// Its links and config.
    pub bindings: Arc<ArcSwap<Bindings>>,
    /// Where its lines go.
    pub logs: LogSender,
}

impl Door {
    fn unlinked(&self, interface: &str) -> Problem {
        Problem::new(guest::UNLINKED, format!("{} called `{interface}`, and no link serves it", self.id))
            .with_help(self.link_help(interface))
    }
}

impl HostCalls for Door {
    fn http_send(
        &self,
        request: Request,
        options: SendOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let bindings = self.bindings.load();
        let Some((key, target, provider)) = &bindings.http else {
            let problem = self.unlinked(HTTP_OUTGOING[0]);
            return async move { Err(problem) }.boxed();
        };
        let outgoing = provider.as_ref().and_then(|slot| slot.running()).and_then(|p| p.http_outgoing());
        let Some(outgoing) = outgoing else {
            let message =
                format!("{} is linked to `{target}`, which does not serve {} now", self.id, HTTP_OUTGOING[0]);
            let problem = Problem::new(guest::UNLINKED, message).with_help(format!(
                "`umbel ps` shows whether `{target}` runs; {}",
                self.link_help(HTTP_OUTGOING[0])
            ));
            return async move { Err(problem) }.boxed();
        };
        let options = OutgoingOptions {
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            between_bytes_timeout: options.between_bytes_timeout,
        };
        outgoing.send(key, request, options)
    }

    fn config_get(&self, key: &str) -> Option<String> {
        self.bindings.load().config.get(key).cloned()
    }

    fn config_all(&self) -> Vec<(String, String)> {
        self.bindings.load().config.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn log(&self, level: Level, stream: Stream, context: &str, message: &str) {
        self.logs.send(&self.id, self.application.as_deref(), level, stream, context, message);
    }

    fn link_help(&self, interface: &str) -> String {
        let interface = interface.split('@').next().unwrap_or(interface);
        let target = if HTTP_OUTGOING.contains(&interface) { "http-client" } else { "TARGET" };
        format!("umbel link put {} {target} {interface}", self.id)
    }
}
