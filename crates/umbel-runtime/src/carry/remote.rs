//! Resources in a call into a component: what it makes itself, and what it has of others.
//!
//! An exported function may pass both. A handle of the component's own belongs to the one instance that made it; everything else goes
//! into the table of the instance as a resource of somebody else, as it does when the component imports it. By the name of the
//! type it is clear which of the two belongs there: where a component imports and exports an interface, its other exports mean
//! what it exports.

use super::handles::{Carried, Handle, each, not_carried, put_input, take_input};
use super::stream::{self, Given};
use super::types::Resources;
use crate::component::Component;
use crate::ctx::Ctx;
use crate::session::Session;
use crate::uses::Use;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use umbel_core::Problem;
use umbel_core::code::guest::{INSTANCE_ENDED, NOT_CARRIED};
use umbel_wit::value::Input;
use umbel_wit::{Function, InterfaceName, Type, Value};
use wasmtime::component::{Resource, ResourceAny};
use wasmtime::{Result, StoreContextMut};

const GIVEN_OUTPUT: &str = "a stream to write to was given as an argument";

/// A resource that an instance of a component defines, as others hold it.
pub(crate) struct Remote {
    /// The instance's own handle; taken when the resource is given back.
    any: ResourceAny,
    /// The session that it lives in, and keeps alive: handles of one are worth nothing in another.
    session: Arc<Session>,
    /// Which instance of the session made it: the next one has other things under the same handles.
    epoch: u64,
    /// Whether it went back into its instance as a value of its own.
    returned: AtomicBool,
    /// Whoever replaces the resident that made it waits for it.
    _used: Option<Use>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        if !self.returned.load(Relaxed) {
            self.session.drop_later(self.any, self.epoch);
        }
    }
}

/// The component that made a resource among the arguments and has the function, so that the call is its to answer wherever the link leads
/// by now.
pub(crate) fn maker(import: &InterfaceName, function: &str, args: &mut [Value]) -> Option<Component> {
    let mut found = None;
    let mut look = |value: &mut Value| keep_first(&mut found, session_in(value, import, function));
    // Visiting lets the values be changed; nothing is.
    let _ = args.iter_mut().try_for_each(|arg| each(arg, &mut look));
    found.map(|session: Arc<Session>| session.component().clone())
}

/// The first resource among the arguments that no component made.
pub(crate) fn of_a_server(args: &mut [Value]) -> Option<umbel_wit::Resource> {
    let mut found = None;
    let mut look = |value: &mut Value| {
        let resource = resource_in(value).filter(|resource| resource.get::<Remote>().is_none());
        keep_first(&mut found, resource.cloned())
    };
    let _ = args.iter_mut().try_for_each(|arg| each(arg, &mut look));
    found
}

/// The session that a call of a component belongs to by its arguments, if there is a resource among them that the function wants of its
/// own instance: it leads to the instance that knows it, also when the link leads elsewhere by now.
pub(crate) fn session_of(
    target: &Component,
    import: &InterfaceName,
    function: &str,
    args: &mut [Value],
) -> Option<Arc<Session>> {
    let mut found = None;
    let mut look = |value: &mut Value| keep_first(&mut found, session_in(value, import, function));
    let _ = match target.function(import, function) {
        None => args.iter_mut().try_for_each(|arg| each(arg, &mut look)),
        Some(wanted) => each_typed(wanted, args, &mut |value, ty| match ty {
            Type::Own(name) | Type::Borrow(name) if target.resources().defines(name) => look(value),
            _ => Ok(()),
        }),
    };
    found
}

fn resource_in(value: &Value) -> Option<&umbel_wit::Resource> {
    match value {
        Value::Own(resource) | Value::Borrow(resource) => Some(resource),
        _ => None,
    }
}

/// The session that made a resource, if its component has the function.
fn session_in(value: &Value, import: &InterfaceName, function: &str) -> Option<Arc<Session>> {
    let remote = resource_in(value)?.get::<Remote>()?;
    let knows = remote.session.component().function(import, function).is_some();
    knows.then(|| remote.session.clone())
}

/// Notes what a visit has found, unless there is something already. Visits go on.
fn keep_first<T>(found: &mut Option<T>, now: Option<T>) -> Result<()> {
    if found.is_none() {
        *found = now;
    }
    Ok(())
}

/// What is wrong with a resource whose instance has ended.
pub(crate) fn ended(maker: &Component) -> Problem {
    let what = format!("a resource of `{}` cannot be used any more: its instance has ended", maker.id());
    Problem::new(INSTANCE_ENDED, what)
}

/// Calls `change` for every argument, or part of one, that is a handle or a stream, with its type. What does not fit its type is found
/// out where it is written to the guest's memory.
fn each_typed(
    function: &Function,
    args: &mut [Value],
    change: &mut dyn FnMut(&mut Value, &Type) -> Result<()>,
) -> Result<()> {
    let mut pairs = args.iter_mut().zip(&function.params);
    pairs.try_for_each(|(arg, (_, ty))| typed(arg, ty, change))
}

fn typed(
    value: &mut Value,
    ty: &Type,
    change: &mut dyn FnMut(&mut Value, &Type) -> Result<()>,
) -> Result<()> {
    match (value, ty) {
        (
            value
            @ (Value::Own(_) | Value::Borrow(_) | Value::Input(_) | Value::Output(_) | Value::Stream(_)),
            ty,
        ) => change(value, ty),
        (Value::List(values), Type::List(ty) | Type::FixedList(ty, _)) => {
            values.iter_mut().try_for_each(|value| typed(value, ty, change))
        }
        (Value::Tuple(values), Type::Tuple(types)) => {
            values.iter_mut().zip(types).try_for_each(|(value, ty)| typed(value, ty, change))
        }
        (Value::Record(values), Type::Record(fields)) => {
            values.iter_mut().zip(fields).try_for_each(|(value, (_, ty))| typed(value, ty, change))
        }
        (Value::Map(entries), Type::Map(key_ty, value_ty)) => {
            entries.iter_mut().try_for_each(|(key, value)| {
                typed(key, key_ty, change)?;
                typed(value, value_ty, change)
            })
        }
        (Value::Variant(place, Some(value)), Type::Variant(cases)) => match cases.get(*place as usize) {
            Some((_, Some(ty))) => typed(value, ty, change),
            _ => Ok(()),
        },
        (Value::Option(Some(value)), Type::Option(ty))
        | (Value::Result(Ok(Some(value))), Type::Result(Some(ty), _))
        | (Value::Result(Err(Some(value))), Type::Result(_, Some(ty))) => typed(value, ty, change),
        _ => Ok(()),
    }
}

/// What is called, as far as its arguments are concerned.
#[derive(Clone, Copy)]
pub(crate) struct Callee<'a> {
    pub function: &'a Function,
    pub resources: &'a Resources,
    /// Whose instance it is.
    pub session: Option<&'a Arc<Session>>,
    /// Which one of the session it is, if it is there already.
    pub epoch: Option<u64>,
}

/// Where a resource goes in the callee.
enum Goes {
    /// Back to the instance that made it.
    Home(Arc<Remote>),
    /// Among what the instance has of others.
    Abroad,
}

impl Callee<'_> {
    /// Says before anything is changed whether the callee can take these arguments.
    pub(crate) fn check(self, args: &mut [Value]) -> Result<(), Problem> {
        let mut problem = None;
        let _ = each_typed(self.function, args, &mut |value, ty| {
            let checked = match value {
                Value::Own(resource) => self.goes(resource, ty, true).map(drop),
                Value::Borrow(resource) => self.goes(resource, ty, false).map(drop),
                Value::Output(_) => Err(Problem::new(NOT_CARRIED, GIVEN_OUTPUT)),
                _ => Ok(()),
            };
            if let Err(found) = checked {
                problem.get_or_insert(found);
            }
            Ok(())
        });
        problem.map_or(Ok(()), Err)
    }

    fn goes(self, resource: &umbel_wit::Resource, ty: &Type, is_given: bool) -> Result<Goes, Problem> {
        let no = |what: &str| Err(Problem::new(NOT_CARRIED, what));
        let (name, wants_it) = match ty {
            Type::Own(name) => (name, true),
            Type::Borrow(name) => (name, false),
            _ => return no("a resource was given where the contract has something else"),
        };
        if !self.resources.defines(name) {
            return match self.resources.imports(name) {
                true => Ok(Goes::Abroad),
                false => no("a resource was given that the component does not know"),
            };
        }
        let here =
            |remote: &Arc<Remote>| self.session.is_some_and(|session| Arc::ptr_eq(&remote.session, session));
        match resource.get::<Remote>().filter(here) {
            None => no("a resource was given that another server, or another instance of it, made"),
            Some(remote) if Some(remote.epoch) != self.epoch => Err(ended(remote.session.component())),
            Some(_) if wants_it && !is_given => no("a resource was lent where it is to be given away"),
            Some(remote) => Ok(Goes::Home(remote)),
        }
    }
}

/// What an instance has of others for the time of a call, by its places in the table.
#[derive(Default)]
pub(crate) struct Lent(Vec<u32>);

impl Lent {
    /// Takes it back after the call. The engine has seen to it that the guest does not hold it any more.
    pub(crate) fn take_back(self, store: &mut Ctx) -> Result<()> {
        for rep in self.0 {
            store.table.delete(Resource::<Carried>::new_own(rep))?;
        }
        Ok(())
    }
}

/// Arguments of a call into a component, from things to what its instance knows. After an error the instance is of no more use.
pub(crate) fn into_server(
    mut store: StoreContextMut<'_, Ctx>,
    callee: Callee<'_>,
    args: &mut [Value],
) -> Result<Lent> {
    let mut lent = Lent::default();
    each_typed(callee.function, args, &mut |value, ty| {
        let ctx = store.data_mut();
        let (resource, is_given) = match std::mem::replace(value, Value::Bool(false)) {
            Value::Own(resource) => (resource, true),
            Value::Borrow(resource) => (resource, false),
            Value::Input(input) => {
                *value = put_input(&mut ctx.table, input.into_stream())?.into_value(true);
                return Ok(());
            }
            Value::Stream(input) => {
                let reader = stream::put(&mut store, input.into_stream())?;
                *value = Handle::Stream(reader).into_value(true);
                return Ok(());
            }
            _ => return Err(not_carried(GIVEN_OUTPUT)),
        };
        let goes = callee.goes(&resource, ty, is_given).map_err(|problem| not_carried(&problem.message))?;
        let is_lent = matches!(ty, Type::Borrow(_));
        let handle = match goes {
            Goes::Home(remote) => {
                remote.returned.fetch_or(!is_lent, Relaxed);
                Handle::Guest(remote.any)
            }
            Goes::Abroad => {
                let rep = ctx.table.push(Carried(resource))?.rep();
                if is_lent {
                    lent.0.push(rep);
                }
                Handle::Carried(rep)
            }
        };
        *value = handle.into_value(!is_lent);
        Ok(())
    })?;
    Ok(lent)
}

/// The result of a call into a component, from what its instance knows to things. Streams among them go on after the call.
pub(crate) fn out_of_server(
    mut store: StoreContextMut<'_, Ctx>,
    session: Option<&Arc<Session>>,
    result: &mut Value,
) -> Result<Given> {
    let mut given = Given::default();
    each(result, &mut |value| {
        let ctx = store.data_mut();
        *value = match (&*value, Handle::of(value)?, session) {
            (Value::Own(_), Handle::Guest(any), Some(session)) => {
                let (epoch, returned) = (session.epoch(), AtomicBool::new(false));
                let remote = Remote { any, session: session.clone(), epoch, returned, _used: session.hold() };
                Value::Own(umbel_wit::Resource::new(remote))
            }
            (Value::Own(_), Handle::Carried(rep), _) => {
                Value::Own(ctx.table.delete(Resource::<Carried>::new_own(rep))?.0)
            }
            (Value::Own(_), Handle::Input(rep), _) => take_input(&mut ctx.table, rep)?,
            (_, Handle::Stream(reader), _) => {
                Value::Stream(Input::new(stream::take(&mut store, &reader, Some(&mut given))?))
            }
            _ => return Err(not_carried("a resource that only its own instance can use")),
        };
        Ok(())
    })?;
    Ok(given)
}
