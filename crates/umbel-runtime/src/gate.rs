//! Imports that a link serves: every call finds its target anew, so a link can change while its importer runs.

use crate::calls::{TOLD_EVERY, Target};
use crate::carry::handles::{self, Carried};
use crate::carry::list::{FLAT_MAX, Values, with_count};
use crate::carry::{remote, types};
use crate::component::Component;
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::serve::Invocation;
use crate::{calls, lane, logs};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;
use umbel_core::code::guest::{CONTRACT_MISMATCH, NOT_CARRIED, UNLINKED, UNSUPPORTED_CALL};
use umbel_core::code::host::PROVIDER_STOPPED;
use umbel_core::{Coded, Problem};
use umbel_wit::{Call, Function, InterfaceName, Type, Value};
use wasmtime::component::{Accessor, LinkerInstance, ResourceType};
use wasmtime::{AsContextMut, Result, StoreContextMut};

/// One imported function.
pub(crate) struct Gate {
    import: InterfaceName,
    // Without its version, as a server is called.
    interface: Arc<str>,
    function: Arc<str>,
    /// The link's name that the import itself asks for: imports with names of their own.
    link_name: Option<String>,
    has_handles: bool,
    failure: Option<Failure>,
    not_carried: Option<String>,
}

/// How the function's own result can tell that the call failed.
#[derive(Clone, Copy)]
enum Failure {
    /// `result<_, string>`.
    Text,
    /// The case at this place of a variant or enum; with the text, if it takes one.
    Case { place: u32, takes_text: bool, is_enum: bool },
}

/// Cases that mean "something else went wrong", in the order in which they are looked for.
const OTHER: [&str; 8] =
    ["other", "internal-error", "internal", "unexpected", "unknown", "upstream", "io", "unavailable"];

impl Failure {
    fn of(function: &Function) -> Option<Failure> {
        let Some(Type::Result(_, Some(error))) = &function.result else { return None };
        match &**error {
            Type::String => Some(Failure::Text),
            Type::Variant(cases) => OTHER.iter().find_map(|name| {
                let place = cases.iter().position(|(case, _)| case == name)?;
                let takes_text = match &cases[place].1 {
                    None => false,
                    Some(Type::String) => true,
                    Some(Type::Option(inner)) if **inner == Type::String => return None,
                    Some(_) => return None,
                };
                Some(Failure::Case { place: place as u32, takes_text, is_enum: false })
            }),
            Type::Enum(names) => OTHER.iter().find_map(|name| {
                let place = names.iter().position(|case| case == name)?;
                Some(Failure::Case { place: place as u32, takes_text: false, is_enum: true })
            }),
            _ => None,
        }
    }

    fn value(self, text: String) -> Value {
        Value::err(match self {
            Failure::Text => Value::String(text),
            Failure::Case { place, is_enum: true, .. } => Value::Enum(place),
            Failure::Case { place, takes_text: true, .. } => Value::case(place, Value::String(text)),
            Failure::Case { place, .. } => Value::Variant(place, None),
        })
    }
}

/// Defines an imported function that goes where the link leads. Returns what of it no link carries, if anything: the type, as WIT.
pub(crate) fn define(
    linker: &mut LinkerInstance<'_, Ctx>,
    import: &InterfaceName,
    link_name: Option<&str>,
    function: &str,
    ty: &Function,
    carried: &[String],
) -> Result<Option<String>> {
    let not_carried = types::not_carried(ty, carried);
    let gate = Gate {
        import: import.clone(),
        interface: import.unversioned.as_str().into(),
        function: function.into(),
        link_name: link_name.map(str::to_string),
        has_handles: types::has_handles(ty),
        failure: Failure::of(ty),
        not_carried: not_carried.clone(),
    };
    let params = types::flat_count(ty.params.iter().map(|(_, ty)| ty));
    // What does not fit goes through memory, whatever the number is.
    let params = if params > FLAT_MAX { 0 } else { params };
    let has_result = ty.result.as_ref().is_some_and(|ty| types::flat_count([ty]) > 0);
    with_count!(params, wrap(linker, function, Arc::new(gate), ty.is_async, has_result))?;
    Ok(not_carried)
}

/// Defines a resource of a contract that a link serves.
pub(crate) fn define_resource(linker: &mut LinkerInstance<'_, Ctx>, name: &str) -> Result<()> {
    linker.resource(name, ResourceType::host::<Carried>(), |mut store, rep| {
        handles::dropped(store.data_mut(), rep)
    })
}

/// With `N` flat values of arguments.
fn wrap<const N: usize>(
    linker: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    gate: Arc<Gate>,
    is_async: bool,
    has_result: bool,
) -> Result<()> {
    match (is_async, has_result) {
        (false, false) => blocking::<N, 0>(linker, name, gate),
        (false, true) => blocking::<N, 1>(linker, name, gate),
        (true, false) => concurrent::<N, 0>(linker, name, gate),
        (true, true) => concurrent::<N, 1>(linker, name, gate),
    }
}

fn blocking<const N: usize, const M: usize>(
    linker: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    gate: Arc<Gate>,
) -> Result<()> {
    linker.func_wrap_async(name, move |store, args: Values<N>| {
        let gate = gate.clone();
        Box::new(async move { gate.pass(store, args.0).await.map(Values::<M>) })
    })
}

fn concurrent<const N: usize, const M: usize>(
    linker: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    gate: Arc<Gate>,
) -> Result<()> {
    linker.func_wrap_concurrent(name, move |accessor, args: Values<N>| {
        let gate = gate.clone();
        Box::pin(async move { gate.pass_concurrently(accessor, args.0).await.map(Values::<M>) })
    })
}

/// The time, for one call in [`TOLD_EVERY`].
fn begun() -> Option<Instant> {
    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }
    let calls = CALLS.get();
    CALLS.set(calls.wrapping_add(1));
    calls.is_multiple_of(TOLD_EVERY).then(Instant::now)
}

async fn invoke_apart(component: Component, invocation: Invocation) -> Result<Option<Value>, CallError> {
    let id = component.id().to_string();
    let outcome = lane::apart(async move { component.invoke(invocation).await }).await;
    outcome.unwrap_or_else(|| Err(CallError::Trapped { component: id, reason: "the host panicked".into() }))
}

impl Gate {
    async fn pass(&self, mut store: StoreContextMut<'_, Ctx>, args: Vec<Value>) -> Result<Vec<Value>> {
        let begun = begun();
        let trip = self.leave(store.as_context_mut(), args, false)?;
        let outcome = match trip {
            Ok(trip) => trip.await,
            Err(problem) => Err(problem),
        };
        self.tell(store.data(), begun.filter(|_| outcome.is_ok()));
        self.enter(store.as_context_mut(), outcome)
    }

    async fn pass_concurrently(&self, accessor: &Accessor<Ctx>, args: Vec<Value>) -> Result<Vec<Value>> {
        // This is polled by the event loop of the importer's store.
        let begun = begun();
        let trip = accessor.with(|mut access| self.leave(access.as_context_mut(), args, true))?;
        let outcome = match trip {
            Ok(trip) => trip.await,
            Err(problem) => Err(problem),
        };
        accessor.with(|mut access| {
            self.tell(access.data_mut(), begun.filter(|_| outcome.is_ok()));
            self.enter(access.as_context_mut(), outcome)
        })
    }

    /// Tells how long a call took.
    fn tell(&self, ctx: &Ctx, begun: Option<Instant>) {
        let Some(begun) = begun else { return };
        let name = self.link_name.as_deref().or_else(|| ctx.link_name(&self.interface));
        ctx.shared().calls.took(&self.import, name, begun.elapsed());
    }

    /// Finds where the call goes, and what it takes along.
    fn leave(
        &self,
        mut store: StoreContextMut<'_, Ctx>,
        mut args: Vec<Value>,
        is_apart: bool,
    ) -> Result<Result<impl Future<Output = Result<Option<Value>, Problem>> + Send + use<>, Problem>> {
        if let Some(ty) = &self.not_carried {
            let text = format!("`{}` of `{}` passes `{ty}`", self.function, self.import);
            return Ok(Err(Problem::new(NOT_CARRIED, text)));
        }
        if self.has_handles {
            handles::out_of_importer(store.as_context_mut(), &mut args)?;
        }
        let ctx = store.data_mut();
        let name = self.link_name.as_deref().or_else(|| ctx.link_name(&self.interface));
        let target = match ctx.shared().calls.target(&self.import, &self.function, name) {
            Ok(target) => target,
            Err(problem) => return Ok(Err(problem)),
        };
        let target = if self.has_handles { self.of_maker(ctx, target, &mut args, name) } else { target };
        let session = match &target {
            Target::Component(component) | Target::Held(component, _)
                if component.needs_session(&self.import) =>
            {
                Some(ctx.sessions.with(component))
            }
            // What is waited for is a provider: one that is a component has its one session.
            _ => None,
        };
        let parent = ctx.call.clone();

        let (import, interface, function) =
            (self.import.clone(), self.interface.clone(), self.function.clone());
        Ok(Ok(async move {
            let mut target = target;
            let (component, _used) = loop {
                target = match target {
                    Target::Component(component) => break (component, None),
                    Target::Held(component, used) => break (component, Some(used)),
                    Target::Server(server, link) => {
                        let (version, patience) = (import.version, parent.left());
                        return server
                            .call(Call { link, interface, version, function, args, patience })
                            .await;
                    }
                    Target::Later(later) => later.await?,
                };
            };
            let invocation = Invocation { import, function, args, parent: Some(parent), session, is_apart };
            let outcome = match is_apart {
                false => component.invoke(invocation).await,
                true => invoke_apart(component, invocation).await,
            };
            outcome.map_err(|error| Problem::from(&error as &dyn Coded))
        }))
    }

    /// A call that brings a resource is for whoever made it, also when the link has come to lead to another since.
    fn of_maker(&self, ctx: &Ctx, target: Target, args: &mut [Value], name: Option<&str>) -> Target {
        let made_by_component =
            |args: &mut [Value]| remote::maker(&self.import, &self.function, args).map(Target::Component);
        let made_by_server = |args: &mut [Value]| {
            let resource = remote::of_a_server(args)?;
            ctx.shared().calls.maker(&self.import, name, &resource)
        };
        let maker = match &target {
            Target::Server(..) => made_by_component(args),
            Target::Component(_) | Target::Held(..) => made_by_server(args),
            Target::Later(_) => made_by_component(args).or_else(|| made_by_server(args)),
        };
        maker.unwrap_or(target)
    }

    /// Hands the outcome to the importer.
    fn enter(
        &self,
        store: StoreContextMut<'_, Ctx>,
        outcome: Result<Option<Value>, Problem>,
    ) -> Result<Vec<Value>> {
        let mut value = match outcome {
            Ok(value) => value,
            Err(problem) => Some(self.failed(store.data(), problem)?),
        };
        if let Some(value) = value.as_mut().filter(|_| self.has_handles) {
            handles::into_importer(store, value)?;
        }
        Ok(value.into_iter().collect())
    }

    /// The contract's own error, where it has one that fits; otherwise the importer's call ends with the problem.
    fn failed(&self, ctx: &Ctx, problem: Problem) -> Result<Value> {
        // What only a change of links or of a component can mend, or somebody's hand, is not the importer's to handle.
        let wrong = [UNLINKED, CONTRACT_MISMATCH, NOT_CARRIED, UNSUPPORTED_CALL, PROVIDER_STOPPED]
            .contains(&problem.code);
        match self.failure.filter(|_| !wrong) {
            Some(failure) => {
                let text = format!("{}: {problem}; {}", self.function, problem.help);
                logs::log(ctx.shared(), calls::Level::Warn, calls::Stream::Host, "link", &text);
                Ok(failure.value(problem.to_string()))
            }
            None => Err(wasmtime::Error::new(CallError::Link { problem: Box::new(problem) })),
        }
    }
}
