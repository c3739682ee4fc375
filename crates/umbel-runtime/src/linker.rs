//! What guests can import: a linker for each engine, one of them with WASI 0.3 as well, and gates for what links serve.
//!
//! A gate without a link fails the call, not the start: the error names the import and the command that links it.

use crate::calls::{Level, Stream};
use crate::carry::types::Resources;
use crate::ctx::Ctx;
use crate::engine::{Pool, Style};
use crate::error::{Cause, LoadError};
use crate::{gate, logs};
use std::collections::BTreeMap;
use umbel_wit::{Interface, InterfaceName};
use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime::component::{
    Component, ComponentType, HasData, InstancePre, Lift, Linker as WasmLinker, LinkerInstance, Lower,
    Resource, ResourceTable, ResourceType,
};
use wasmtime::{Result, StoreContextMut};

/// The versions under which wasmCloud 1.x and 2.x components import configuration.
const CONFIG: [&str; 3] =
    ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft", "wasi:config/runtime@0.2.0-draft"];
const LOGGING: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];
/// Where a guest says by which link its next calls go, as wasmCloud 1.x has it.
const BUS: [&str; 3] =
    ["wasmcloud:bus/lattice@1.0.0", "wasmcloud:bus/lattice@2.0.0", "wasmcloud:bus/lattice@2.0.1"];
/// Interfaces outside those packages that the host serves itself.
const OURS: [&str; 5] = [LOGGING[0], LOGGING[1], BUS[0], BUS[1], BUS[2]];

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
    /// Imports that need a link, with what they are made of.
    pub contracts: BTreeMap<String, Contract>,
    pub resources: Resources,
}

/// An import that needs a link.
pub(crate) struct Contract {
    pub interface: Interface,
    /// A function that no link can serve, and the type in it because of which.
    pub not_carried: Option<(String, String)>,
}

impl Linker {
    pub(crate) fn new(pool: &Pool, style: Style) -> Result<Linker> {
        let mut base = WasmLinker::new(&pool.wasmtime);
        wasmtime_wasi::p2::add_to_linker_async(&mut base)?;
        add_io(&mut base)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut base)?;
        if style == Style::Concurrent {
            wasmtime_wasi::p3::add_to_linker(&mut base)?;
            wasmtime_wasi_http::p3::add_to_linker(&mut base)?;
        }
        for name in CONFIG {
            add_config(&mut base.instance(name)?)?;
        }
        for name in LOGGING {
            add_logging(&mut base.instance(name)?)?;
        }
        for name in BUS {
            add_bus(&mut base.instance(name)?, name == BUS[0])?;
        }
        Ok(Linker { engine: pool.wasmtime.clone(), base })
    }

    /// Resolves the imports of a component, with gates to where links lead for what the host does not serve itself.
    pub(crate) fn link(&self, component: &Component) -> Result<Linked, LoadError> {
        let resources = Resources::of(&self.engine, component);
        let mut linker = None;
        let mut imports = Vec::new();
        let mut contracts = BTreeMap::new();
        for (name, item) in component.component_type().imports(&self.engine) {
            imports.push(name.to_string());
            let served = SERVED.iter().any(|package| name.starts_with(package)) || OURS.contains(&name);
            if served {
                continue;
            }
            let linker = linker.get_or_insert_with(|| self.base.clone());
            let failed =
                |e: wasmtime::Error| LoadError::Import { import: name.into(), source: Cause::of(&e) };
            let contract = self.contract(&mut linker.root(), &resources, name, &item).map_err(failed)?;
            contracts.insert(name.to_string(), contract);
        }
        let pre = linker.as_ref().unwrap_or(&self.base).instantiate_pre(component);
        let pre = pre.map_err(|e| LoadError::Import { import: named_in(&e), source: Cause::of(&e) })?;
        Ok(Linked { pre, imports, contracts, resources })
    }

    /// Defines an import that needs a link.
    fn contract(
        &self,
        linker: &mut LinkerInstance<'_, Ctx>,
        resources: &Resources,
        name: &str,
        item: &ComponentExtern<'_>,
    ) -> Result<Contract> {
        // An import with a name of its own says which interface it is; the name is then the link's.
        let (import, link_name) = match item.implements {
            Some(interface) => (InterfaceName::new(interface), Some(name)),
            None => (InterfaceName::new(name), None),
        };
        match &item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let interface = resources.interface(&self.engine, item.implements.unwrap_or(name), instance);
                let carried =
                    resources.defined_by(|defining| !SERVED.iter().any(|s| defining.starts_with(s)));
                let mut inner = linker.instance(name)?;
                let mut not_carried = None;
                for (export, item) in instance.exports(&self.engine) {
                    match item.ty {
                        ComponentItem::ComponentFunc(_) => {
                            let ty = &interface.functions[export];
                            let found = gate::define(&mut inner, &import, link_name, export, ty, &carried)?;
                            not_carried = not_carried.or(found.map(|ty| (export.to_string(), ty)));
                        }
                        ComponentItem::Resource(ty) if carried.contains(&resources.defining(&ty)) => {
                            gate::define_resource(&mut inner, export)?;
                        }
                        // A resource of the host, under another name; types need no definition.
                        ComponentItem::Resource(_) | ComponentItem::Type(_) => {}
                        _ => wasmtime::bail!("`{export}` in it is neither a function nor a resource"),
                    }
                }
                Ok(Contract { interface, not_carried })
            }
            ComponentItem::ComponentFunc(function) => {
                let function = resources.function(function);
                let found = gate::define(linker, &import, None, name, &function, &[])?;
                let not_carried = found.map(|ty| (name.to_string(), ty));
                let functions = [(name.to_string(), function)].into();
                Ok(Contract { interface: Interface { functions, resources: Vec::new() }, not_carried })
            }
            _ => wasmtime::bail!("it is not an interface of functions and resources"),
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

/// What a guest names interfaces by when it chooses a link.
struct TargetInterface(String);

fn add_bus(linker: &mut LinkerInstance<'_, Ctx>, is_first: bool) -> Result<()> {
    linker.resource(
        "call-target-interface",
        ResourceType::host::<TargetInterface>(),
        |mut store: StoreContextMut<'_, Ctx>, rep| {
            store.data_mut().table.delete(Resource::<TargetInterface>::new_own(rep))?;
            Ok(())
        },
    )?;
    linker.func_wrap(
        "[constructor]call-target-interface",
        |mut store: StoreContextMut<'_, Ctx>, (namespace, package, interface): (String, String, String)| {
            let target = TargetInterface(format!("{namespace}:{package}/{interface}"));
            Ok((store.data_mut().table.push(target)?,))
        },
    )?;
    type Choice = (String, Vec<Resource<TargetInterface>>);
    fn choose(mut store: StoreContextMut<'_, Ctx>, (name, interfaces): Choice) -> Result<()> {
        let ctx = store.data_mut();
        for interface in interfaces {
            let TargetInterface(interface) = ctx.table.delete(interface)?;
            ctx.set_link_name(interface, name.clone());
        }
        Ok(())
    }
    if is_first {
        linker.func_wrap("set-link-name", choose)
    } else {
        linker.func_wrap("set-link-name", |store: StoreContextMut<'_, Ctx>, choice: Choice| {
            choose(store, choice)?;
            Ok((Ok::<(), String>(()),))
        })
    }
}
