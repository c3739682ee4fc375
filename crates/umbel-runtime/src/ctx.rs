//! What belongs to one instance: its WASI context, its resources, and the hooks that tie it to its component.

use crate::budget::Budget;
use crate::calls::HostCalls;
use crate::granted::Granted;
use crate::guest::Call;
use crate::session::Sessions;
use crate::{body, calls, granted, logs, wasi_error};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use umbel_core::code::guest;
use umbel_core::limits::Limits;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Result};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// What all instances of one component share.
pub(crate) struct Shared {
    pub id: String,
    pub budget: Arc<Budget>,
    pub calls: Arc<dyn HostCalls>,
    pub granted: Granted,
    /// Until when its calls begin in the background, in ms of the engine's clock.
    pub heavy_until: AtomicU64,
}

impl Shared {
    pub(crate) fn limits(&self) -> &Limits {
        self.budget.limits()
    }
}

/// The data of one store.
pub(crate) struct Ctx {
    pub table: ResourceTable,
    // Made at the first call that needs it: many guests answer a request without one, and it costs as much as the request.
    wasi: Option<Box<WasiCtx>>,
    pub http: WasiHttpCtx,
    pub hooks: Hooks,
    memory_held: usize,
    pub growth: Growth,
    /// The call under way.
    pub call: Arc<Call>,
    /// Instances of other components that serve this one.
    pub sessions: Sessions,
    // By interface; most guests never choose.
    link_names: Option<HashMap<String, String>>,
}

/// Resources that an instance may hold in the host, such as headers of up to 128 KiB: they are memory of the host, which the
/// limit of the guest's own does not count.
const RESOURCES_MAX: usize = 20_000;

impl Ctx {
    pub(crate) fn new(shared: &Arc<Shared>, call: &Arc<Call>) -> Ctx {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Ctx {
            table,
            wasi: None,
            http: WasiHttpCtx::new(),
            hooks: Hooks { shared: shared.clone(), call: call.clone() },
            memory_held: 0,
            growth: Growth::Granted,
            call: call.clone(),
            sessions: Sessions::default(),
            link_names: None,
        }
    }

    /// Its next call: what an earlier one chose for itself is none of this one's business.
    pub(crate) fn begin(&mut self, call: &Arc<Call>) {
        self.call = call.clone();
        self.hooks.call = call.clone();
        self.link_names = None;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.hooks.shared
    }

    /// The link by which calls of the interface go, if the guest has chosen one.
    pub(crate) fn link_name(&self, interface: &str) -> Option<&str> {
        self.link_names.as_ref()?.get(interface).map(String::as_str)
    }

    /// Calls of the interface go by that link from now on.
    pub(crate) fn set_link_name(&mut self, interface: String, name: String) {
        let names = self.link_names.get_or_insert_default();
        // What a guest can make grow has a limit; the table of resources has the same.
        if names.len() < RESOURCES_MAX || names.contains_key(&interface) {
            names.insert(interface, name);
        }
    }

    /// Whether memory that the instance asked for was not given.
    pub(crate) fn wants_memory(&self) -> bool {
        self.growth != Growth::Granted
    }
}

impl WasiView for Ctx {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let shared = &self.hooks.shared;
        let ctx = self.wasi.get_or_insert_with(|| Box::new(granted::wasi(shared)));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for Ctx {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// What became of an instance's wishes for memory. After one that was not granted, a trap is most likely its consequence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Granted,
    /// By the component's budget.
    Refused,
    /// The budget allowed it, and the system had none to give.
    Failed(String),
}

/// Elements that all tables of an instance may have; the pool's slots have room for as many.
const TABLE_ELEMENTS_MAX: usize = 100_000;

impl ResourceLimiter for Ctx {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // The engine refuses this by itself, but only after it was booked here.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let budget = &self.hooks.shared.budget;
        let held = self.memory_held + (desired - current);
        if held as u64 > budget.limits().memory_bytes_max {
            self.growth = Growth::Refused;
            budget.memory_refused();
            return Ok(false);
        }
        let more = (desired - current) as u64;
        let own = budget.memory_bytes() + more;
        let memory = self.call.engine().memory();
        if !memory.take(more, own) {
            let all = memory.max() >> 20;
            let text = format!(
                "all guests may hold {all} MiB, and one component half of it; it has {} MiB",
                own >> 20
            );
            self.growth = Growth::Failed(text);
            return Ok(false);
        }
        budget.memory_changed(more as i64);
        self.memory_held = held;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        // What was booked stays so until the instance goes: the engine also comes here for growth that the memory's own type
        // forbids, which was never booked, and does not say so. A guest must not talk its bookings down with that.
        if error.is::<std::io::Error>() || error.is::<rustix::io::Errno>() {
            self.growth = Growth::Failed(format!("{error:#}"));
        }
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.call.engine().memory().give_back(self.memory_held as u64);
        self.hooks.shared.budget.memory_changed(-(self.memory_held as i64));
    }
}

/// Where `wasi:http` asks the host.
pub(crate) struct Hooks {
    pub shared: Arc<Shared>,
    /// The call under way, which its requests are part of.
    call: Arc<Call>,
}

type IoResult = Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>;
type Sending =
    Box<dyn Future<Output = Result<(http::Response<WasiBody>, IoResult), wasmtime_wasi_http::Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: IoResult,
    ) -> Sending {
        use wasmtime_wasi_http::Error;
        let (shared, within) = (self.shared.clone(), calls::Within(self.call.clone()));
        let options = options.map_or_else(calls::SendOptions::default, |o| calls::SendOptions {
            connect_timeout: o.connect_timeout,
            first_byte_timeout: o.first_byte_timeout,
            between_bytes_timeout: o.between_bytes_timeout,
        });
        Box::new(async move {
            let uri = request.uri();
            let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let Some(host) = uri.host().map(str::to_string) else {
                return Err(Error::HttpRequestUriInvalid);
            };
            let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
            if !shared.limits().allows_host(&host, port) {
                let text = format!(
                    "{}: {} may not call {host}:{port}; {}",
                    guest::HOST_DENIED,
                    shared.id,
                    guest::HOST_DENIED.entry().help
                );
                logs::log(&shared, calls::Level::Warn, calls::Stream::Host, "outbound", &text);
                return Err(Error::HttpRequestDenied);
            }
            let request = request.map(body::from_wasi);
            match shared.calls.http_send(request, options, within).await {
                Ok(response) => {
                    let response = response.map(|b| body::into_wasi(b).boxed_unsync());
                    let io: IoResult = Box::new(async { Ok(()) });
                    Ok((response, io))
                }
                Err(problem) => {
                    let text = format!("{problem}; {}", problem.help);
                    logs::log(&shared, calls::Level::Warn, calls::Stream::Host, "outbound", &text);
                    Err(wasi_error::of(&problem))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
