//! What guests can import: one linker for both generations of WASI, and stand-ins for what only a link can serve.
//!
//! A stand-in fails the call, not the start: it names the import and the command that links it.

use crate::calls::{Level, Stream};
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::error::{CallError, Cause, LoadError};
use crate::logs;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, HasData, InstancePre, Lift, Linker as WasmLinker, LinkerInstance, Lower,
    ResourceTable, ResourceType,
};
use wasmtime::{Result, StoreContextMut};

/// The versions under which wasmCloud 1.x and 2.x components import configuration.
const CONFIG: [&str; 3] =
    ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft", "wasi:config/runtime@0.2.0-draft"];
const LOGGING: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// WASI packages that the host serves itself. Of these an import that does not fit is an error, not a missing link.
const SERVED: [&str; 8] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
    "wasi:config/",
];

/// Everything that every component may import.
pub(crate) struct Linker {
    engine: wasmtime::Engine,
    base: WasmLinker<Ctx>,
}

/// A component with all its imports resolved.
pub(crate) struct Linked {
    pub pre: InstancePre<Ctx>,
    pub imports: Vec<String>,
    pub unlinked: Vec<String>,
}

impl Linker {
    pub(crate) fn new(engine: &Engine) -> Result<Linker> {
        let mut base = WasmLinker::new(engine.wasmtime());
        wasmtime_wasi::p2::add_to_linker_async(&mut base)?;
        add_io(&mut base)?;
        wasmtime_wasi::p3::add_to_linker(&mut base)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut base)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut base)?;
        for name in CONFIG {
            add_config(&mut base.instance(name)?)?;
        }
        for name in LOGGING {
            add_logging(&mut base.instance(name)?)?;
        }
        Ok(Linker { engine: engine.wasmtime().clone(), base })
    }

    /// Resolves the imports of a component, with stand-ins for those that need a link.
    pub(crate) fn link(&self, component: &Component) -> Result<Linked, LoadError> {
        let mut linker = None;
        let mut imports = Vec::new();
        let mut unlinked = Vec::new();
        for (name, item) in component.component_type().imports(&self.engine) {
            imports.push(name.to_string());
            let served = SERVED.iter().any(|package| name.starts_with(package)) || LOGGING.contains(&name);
            if served {
                continue;
            }
            unlinked.push(name.to_string());
            let linker = linker.get_or_insert_with(|| self.base.clone());
            self.stand_in(&mut linker.root(), "", name, &item.ty)?;
        }
        let pre = linker.as_ref().unwrap_or(&self.base).instantiate_pre(component);
        let pre = pre.map_err(|e| LoadError::Import { import: named_in(&e), source: Cause::of(&e) })?;
        Ok(Linked { pre, imports, unlinked })
    }

    fn stand_in(
        &self,
        linker: &mut LinkerInstance<'_, Ctx>,
        interface: &str,
        name: &str,
        item: &ComponentItem,
    ) -> Result<(), LoadError> {
        let failed = |e: wasmtime::Error| LoadError::Import { import: name.into(), source: Cause::of(&e) };
        match item {
            ComponentItem::ComponentFunc(function) => {
                let import =
                    if interface.is_empty() { name.to_string() } else { format!("{interface}.{name}") };
                let interface = if interface.is_empty() { name } else { interface }.to_string();
                if function.async_() {
                    linker
                        .func_new_concurrent(name, move |accessor, _, _, _| {
                            let error = accessor
                                .with(|mut store| unlinked(store.get().shared(), &interface, &import));
                            Box::pin(async move { Err(error) })
                        })
                        .map_err(failed)
                } else {
                    linker
                        .func_new(name, move |store: StoreContextMut<'_, Ctx>, _, _, _| {
                            Err(unlinked(store.data().shared(), &interface, &import))
                        })
                        .map_err(failed)
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let mut inner = linker.instance(name).map_err(failed)?;
                for (export, item) in instance.exports(&self.engine) {
                    self.stand_in(&mut inner, name, export, &item.ty)?;
                }
                Ok(())
            }
            ComponentItem::Resource(_) => {
                linker.resource(name, ResourceType::host::<StandIn>(), |_, _| Ok(())).map_err(failed)
            }
            ComponentItem::Type(_) => Ok(()),
            ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
                let source = Cause("it is not an interface of functions and resources".into());
                Err(LoadError::Import { import: name.into(), source })
            }
        }
    }
}

/// `wasi:io` again, in place of what came with the rest of WASI 0.2: streams need the table alone, and not the context that an instance
/// may never need.
fn add_io(linker: &mut WasmLinker<Ctx>) -> Result<()> {
    use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
    linker.allow_shadowing(true);
    error::add_to_linker::<Ctx, Table>(linker, |ctx| &mut ctx.table)?;
    poll::add_to_linker::<Ctx, Table>(linker, |ctx| &mut ctx.table)?;
    streams::add_to_linker::<Ctx, Table>(linker, |ctx| &mut ctx.table)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The resources of a store, as a view for linking.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// A resource of an interface that nobody serves yet; there are never any.
struct StandIn;

fn unlinked(shared: &crate::ctx::Shared, interface: &str, import: &str) -> wasmtime::Error {
    let help = shared.calls.link_help(interface);
    let error = CallError::Unlinked { component: shared.id.clone(), import: import.into(), help };
    wasmtime::Error::new(error)
}

/// The import that an engine error is about: the first name in back quotes.
fn named_in(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split('`').nth(1).unwrap_or("an import").to_string()
}

#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

fn add_config(linker: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    linker.func_wrap("get", |store: StoreContextMut<'_, Ctx>, (key,): (String,)| {
        Ok((Ok::<_, ConfigError>(store.data().shared().calls.config_get(&key)),))
    })?;
    linker.func_wrap("get-all", |store: StoreContextMut<'_, Ctx>, (): ()| {
        Ok((Ok::<_, ConfigError>(store.data().shared().calls.config_all()),))
    })
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make the values")]
enum LogLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

fn add_logging(linker: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    linker.func_wrap(
        "log",
        |store: StoreContextMut<'_, Ctx>, (level, context, message): (LogLevel, String, String)| {
            let level = match level {
                LogLevel::Trace => Level::Trace,
                LogLevel::Debug => Level::Debug,
                LogLevel::Info => Level::Info,
                LogLevel::Warn => Level::Warn,
                LogLevel::Error => Level::Error,
                LogLevel::Critical => Level::Critical,
            };
            logs::log(store.data().shared(), level, Stream::Logging, &context, &message);
            Ok(())
        },
    )
}
