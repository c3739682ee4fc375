//! Calls of what a component exports: by another component over a link, or by the host.
//!
//! The callee has a store, a budget and a fate of its own; only values cross. Without resources every call is on its own, in a fresh or kept
//! instance. A contract whose resources the component makes needs one instance that knows them: a [`Session`], which lives as long as a
//! call of its importer, or any of the resources.

use crate::answer::Outbox;
use crate::carry::list::{FLAT_MAX, Values, with_count};
use crate::carry::remote::{self, Callee, Lent};
use crate::carry::stream::Given;
use crate::carry::types::{self, Resources};
use crate::component::{Component, Inner};
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::handler::{self, Exports};
use crate::image::Image;
use crate::lane;
use crate::session::{Lasting, Session, Turn};
use crate::warm::{Shelf, Warm};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use umbel_core::code::guest::{CONTRACT_MISMATCH, UNSUPPORTED_CALL};
use umbel_core::{Coded, Problem};
use umbel_wit::{Function, Interface, InterfaceName, Serve, Value};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, Instance};
use wasmtime::{AsContextMut, Engine, Store};

/// An exported interface, and where its functions are.
pub(crate) struct Exported {
    pub name: InterfaceName,
    pub interface: Interface,
    functions: BTreeMap<String, Export>,
    /// Whether it passes resources that the component itself makes.
    has_resources: bool,
}

/// An exported function.
pub(crate) struct Export {
    index: ComponentExportIndex,
    // Flat values of its result, as a typed function wants to know them.
    results: usize,
    has_handles: bool,
}

/// What a component exports that a link can lead to.
pub(crate) fn exported(
    engine: &Engine,
    component: &wasmtime::component::Component,
    resources: &Resources,
) -> Vec<Exported> {
    let mut all = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        let ComponentItem::ComponentInstance(instance) = &item.ty else { continue };
        let Some(at) = component.get_export_index(None, name) else { continue };
        let interface = resources.interface(engine, name, instance);
        let functions = interface.functions.iter().filter_map(|(function, ty)| {
            let index = component.get_export_index(Some(&at), function.as_str())?;
            Some((
                function.clone(),
                Export { index, results: results(ty), has_handles: types::has_handles(ty) },
            ))
        });
        let functions = functions.collect();
        let has_resources = interface.functions.values().any(|function| resources.passes_own(function));
        all.push(Exported { name: InterfaceName::new(name), interface, functions, has_resources });
    }
    all
}

fn results(function: &Function) -> usize {
    let flat = types::flat_count(&function.result);
    match function.is_async {
        // More than fits is one pointer.
        true if flat > FLAT_MAX => 1,
        true => flat,
        false => flat.min(1),
    }
}

impl Image {
    /// The exported interface that serves the import, if there is one.
    pub(crate) fn exported(&self, import: &InterfaceName) -> Option<&Exported> {
        self.exported.iter().find(|exported| exported.name.serves(import))
    }

    /// What it exports that a link can lead to.
    pub fn contracts(&self) -> impl Iterator<Item = (&InterfaceName, &Interface)> {
        self.exported.iter().map(|exported| (&exported.name, &exported.interface))
    }
}

/// One call of an exported function.
pub(crate) struct Invocation {
    pub import: InterfaceName,
    pub function: Arc<str>,
    pub args: Vec<Value>,
    /// The call of the importer that it is part of.
    pub parent: Option<Arc<Call>>,
    /// The importer's session with this component, if it has one.
    pub session: Option<Arc<Session>>,
    /// Whether it has a task of its own.
    pub is_apart: bool,
}

impl Exports for Instance {
    fn shelf(inner: &Inner) -> &Shelf<Instance> {
        &inner.bare
    }

    async fn instantiate(image: &Image, store: &mut Store<Ctx>) -> Option<wasmtime::Result<Instance>> {
        Some(image.pre.instantiate_async(store).await)
    }
}

impl Component {
    /// Whether calls of the interface need one instance for all of an importer's.
    pub(crate) fn needs_session(&self, import: &InterfaceName) -> bool {
        self.resident.is_some()
            || self.inner.image.exported(import).is_some_and(|exported| exported.has_resources)
    }

    /// An exported function, if it serves the import.
    pub(crate) fn function(&self, import: &InterfaceName, function: &str) -> Option<&Function> {
        self.inner.image.exported(import)?.interface.functions.get(function)
    }

    /// The resources that it makes, and those that it imports.
    pub(crate) fn resources(&self) -> &Resources {
        &self.inner.image.resources
    }

    /// Calls an exported function, on the task and thread of whoever polls. Dropping the future ends the call, unless it is one of a
    /// resident.
    pub(crate) async fn invoke(&self, mut invocation: Invocation) -> Result<Option<Value>, CallError> {
        let Invocation { import, function, args, .. } = &mut invocation;
        let session = match remote::session_of(self, import, function, args) {
            Some(session) if session.has_left() => return Err(refused(remote::ended(session.component()))),
            Some(session) => Some(session),
            None => invocation.session.take(),
        };
        match session {
            Some(session) => session.component().clone().invoke_in(invocation, Some(session)).await,
            None if self.needs_session(&invocation.import) => {
                self.invoke_in(invocation, Some(self.session())).await
            }
            None => self.invoke_in(invocation, None).await,
        }
    }

    /// The session of a resident, or another one.
    fn session(&self) -> Arc<Session> {
        self.resident.clone().unwrap_or_else(|| Session::new(self))
    }

    async fn invoke_in(
        &self,
        invocation: Invocation,
        session: Option<Arc<Session>>,
    ) -> Result<Option<Value>, CallError> {
        let inner = &self.inner;
        let is_part = invocation.parent.is_some() && !invocation.is_apart;
        let (shared, parent) = (&inner.shared, invocation.parent.clone());
        let call = Call::new(&inner.engine, shared, shared.limits().call_ms_max, Outbox::closed(), parent)?;
        let turn = match session {
            Some(session) => Some(session.turn(&call).await?),
            None => None,
        };
        let resident = turn.as_ref().map(|turn| &turn.session).filter(|session| session.seat.is_some());
        if let Some(session) = resident.cloned() {
            let permit = call.admit().await?;
            let work = self.clone().work(invocation, turn, call.clone(), permit);
            return lane::to_the_end(&call, session, is_part, work).await;
        }
        let permit = call.admit().await?;
        let work = self.clone().work(invocation, turn, call.clone(), permit);
        match is_part {
            true => lane::nested(&inner.shared, &call, work).await,
            false => lane::place(&inner.shared, &call, work).await,
        }
    }

    async fn work(
        self,
        mut invocation: Invocation,
        turn: Option<Turn>,
        call: Arc<Call>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<Value>, CallError> {
        let inner = &self.inner;
        let Some((function, export)) = self.find(&invocation) else {
            return Err(refused(self.lacks(&invocation)));
        };
        let callee = Callee { function, resources: self.resources(), session: None, epoch: None };
        let Some(turn) = turn else {
            check(callee, export, &mut invocation.args)?;
            let mut warm = handler::take::<Instance>(inner, &call).await?;
            let entered = enter(&mut warm, export, callee, invocation.args).await;
            let (result, given) = entered.map_err(|error| guest::failed(&warm.store, &call, error))?;
            match given {
                Some(given) => self.drive(warm, given, call, permit),
                None => handler::keep(inner, warm),
            }
            return Ok(result);
        };
        // Used until the instance is back in its place.
        let Turn { used: _used, session, mut instance, place } = turn;
        let epoch = instance.as_ref().map(|_| session.epoch());
        let callee = Callee { session: Some(&session), epoch, ..callee };
        if session.seat.is_some() && !function.takes(&invocation.args) {
            // Not a matter between the caller and an instance of its own: it would end the one that others use as well.
            let text = format!("`{}` was called with arguments of other types", invocation.function);
            return Err(refused(Problem::new(CONTRACT_MISMATCH, text)));
        }
        check(callee, export, &mut invocation.args)?;
        let (mut warm, place) = match (instance.take(), place) {
            (Some(mut lasting), _) => {
                session.is_out(true);
                guest::resume(&mut lasting.warm.store, &call);
                (lasting.warm, Some(lasting.place))
            }
            (None, place) => {
                session.begin_anew();
                (handler::fresh::<Instance>(inner, &call).await?, place)
            }
        };
        let dropped = session.take_dropped();
        let result = async {
            for resource in dropped {
                resource.resource_drop_async(&mut warm.store).await?;
            }
            enter(&mut warm, export, callee, invocation.args).await.map(|(result, _)| result)
        };
        // One that failed is not put back: the next call begins anew, and old resources lead nowhere.
        let result = result.await.map_err(|error| guest::failed(&warm.store, &call, error))?;
        warm.store.data_mut().sessions.prune();
        *instance = place.map(|place| Lasting { warm, place });
        session.is_out(false);
        Ok(result)
    }

    /// Keeps the instance for as long as the streams that it gave are read, on a task of its own.
    fn drive(
        &self,
        mut warm: Warm<Instance>,
        mut given: Given,
        call: Arc<Call>,
        permit: OwnedSemaphorePermit,
    ) {
        let shared = self.inner.shared.clone();
        let ended = given.ended();
        let work = {
            let call = call.clone();
            async move {
                let ran = warm.store.run_concurrent(async |_| ended.await).await;
                let ran = ran.map_err(|error| guest::failed(&warm.store, &call, error));
                drop((warm, permit));
                ran
            }
        };
        let drive = async move {
            // Every piece moves the deadline on; a stream that nobody reads, or that gives nothing, ends with the time of a call.
            let ran = lane::place(&shared, &call, work).await;
            ran.err().map(|error| Problem::from(&error as &dyn Coded))
        };
        given.driven_by(drive);
    }

    fn find(&self, invocation: &Invocation) -> Option<(&Function, &Export)> {
        let exported = self.inner.image.exported(&invocation.import)?;
        let function = exported.interface.functions.get(&*invocation.function)?;
        Some((function, exported.functions.get(&*invocation.function)?))
    }

    fn lacks(&self, invocation: &Invocation) -> Problem {
        let (id, import, function) = (self.id(), &invocation.import, &invocation.function);
        Problem::new(
            UNSUPPORTED_CALL,
            format!("{id} does not export `{import}` with the function `{function}`"),
        )
    }
}

fn check(callee: Callee<'_>, export: &Export, args: &mut [Value]) -> Result<(), CallError> {
    if export.has_handles { callee.check(args).map_err(refused) } else { Ok(()) }
}

/// A call that was refused before the guest ran.
fn refused(problem: Problem) -> CallError {
    CallError::Link { problem: Box::new(problem) }
}

async fn enter(
    warm: &mut Warm<Instance>,
    export: &Export,
    callee: Callee<'_>,
    mut args: Vec<Value>,
) -> wasmtime::Result<(Option<Value>, Option<Given>)> {
    let mut lent = Lent::default();
    if export.has_handles {
        lent = remote::into_server(warm.store.as_context_mut(), callee, &mut args)?;
    }
    let (store, instance) = (&mut warm.store, warm.exports);
    let mut result = match export.results {
        0 => typed::<0>(store, instance, export, args).await,
        1 => typed::<1>(store, instance, export, args).await,
        // Only an `async func` has more: rare enough to be boxed.
        count => with_count!(count, boxed(store, instance, export, args)).await,
    }?;
    lent.take_back(warm.store.data_mut())?;
    let mut given = None;
    if let Some(value) = result.as_mut().filter(|_| export.has_handles) {
        let streams = remote::out_of_server(warm.store.as_context_mut(), callee.session, value)?;
        given = (!streams.is_empty()).then_some(streams);
    }
    Ok((result, given))
}

type Entered<'a> = BoxFuture<'a, wasmtime::Result<Option<Value>>>;

fn boxed<'a, const N: usize>(
    store: &'a mut Store<Ctx>,
    instance: Instance,
    export: &'a Export,
    args: Vec<Value>,
) -> Entered<'a> {
    Box::pin(typed::<N>(store, instance, export, args))
}

async fn typed<const N: usize>(
    store: &mut Store<Ctx>,
    instance: Instance,
    export: &Export,
    args: Vec<Value>,
) -> wasmtime::Result<Option<Value>> {
    let function = instance.get_func(&mut *store, export.index);
    let function = function.ok_or_else(|| wasmtime::format_err!("an exported function is not there"))?;
    let function = function.typed::<Values<FLAT_MAX>, Values<N>>(&*store)?;
    let Values(mut results) = function.call_async(&mut *store, Values(args)).await?;
    Ok(results.pop())
}

impl Serve for Component {
    /// For callers that are not components: the guest runs on the thread that polls.
    fn call(&self, call: umbel_wit::Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let component = self.clone();
        let import = InterfaceName { unversioned: call.interface.to_string(), version: call.version };
        let invocation = Invocation {
            import,
            function: call.function,
            args: call.args,
            parent: None,
            session: None,
            is_apart: false,
        };
        let patience = call.patience;
        let work = async move {
            let id = component.id().to_string();
            let work = component.invoke(invocation);
            let outcome = match patience {
                None => work.await,
                Some(patience) => match tokio::time::timeout(patience, work).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        let limit_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
                        Err(CallError::Timeout { component: id, limit_ms })
                    }
                },
            };
            outcome.map_err(|error| Problem::from(&error as &dyn Coded))
        };
        work.boxed()
    }
}
