//! What a component imports and exports, as the plain data of [`umbel_wit`].

use umbel_wit::{Function, Interface, InterfaceName, Type};
use wasmtime::Engine;
use wasmtime::component::types::{self, ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ResourceType};

/// Types within one function. More is hostile: the engine's own limit would let one type be a million.
const TYPES_MAX: usize = 10_000;

/// Resources by their full names, `wasi:keyvalue/store.bucket`, each under the interface that first shows it: that is the one that
/// defines it, because what it uses comes first.
pub(crate) struct Resources(Vec<Known>);

struct Known {
    ty: ResourceType,
    name: String,
    /// Whether the component has it of somebody else.
    is_imported: bool,
}

impl Resources {
    /// All that the component imports and exports.
    pub(crate) fn of(engine: &Engine, component: &Component) -> Resources {
        let mut all = Resources(Vec::new());
        let ty = component.component_type();
        for (name, item) in ty.imports(engine) {
            if let ComponentItem::ComponentInstance(instance) = &item.ty {
                // An import with a name of its own has the resources of the interface that it is.
                all.add(engine, item.implements.unwrap_or(name), instance, true);
            }
        }
        for (name, item) in ty.exports(engine) {
            if let ComponentItem::ComponentInstance(instance) = &item.ty {
                all.add(engine, name, instance, false);
            }
        }
        all
    }

    fn add(&mut self, engine: &Engine, name: &str, instance: &ComponentInstance, is_imported: bool) {
        let interface = InterfaceName::new(name).unversioned;
        for (resource, item) in instance.exports(engine) {
            if let ComponentItem::Resource(ty) = item.ty
                && !self.0.iter().any(|known| known.ty == ty)
            {
                self.0.push(Known { ty, name: format!("{interface}.{resource}"), is_imported });
            }
        }
    }

    /// Whether the component itself makes resources of that name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.0.iter().any(|known| !known.is_imported && known.name == name)
    }

    /// Whether the component has resources of that name of others.
    pub(crate) fn imports(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.is_imported && known.name == name)
    }

    /// Whether the function passes resources that the component makes: they belong to one instance of it.
    pub(crate) fn passes_own(&self, function: &Function) -> bool {
        let mut passes = false;
        function.each(&mut |ty| {
            passes |= matches!(ty, Type::Own(name) | Type::Borrow(name) if self.defines(name));
        });
        passes
    }

    /// The interfaces that define resources, if they are wanted.
    pub(crate) fn defined_by(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut all: Vec<String> = self.0.iter().map(|known| self.defining(&known.ty)).collect();
        all.retain(|interface| wanted(interface));
        all.sort();
        all.dedup();
        all
    }

    /// The interface that defines the resource, without its version.
    pub(crate) fn defining(&self, ty: &ResourceType) -> String {
        let name = self.name(ty);
        name.rsplit_once('.').map_or(name.clone(), |(interface, _)| interface.to_string())
    }

    fn name(&self, ty: &ResourceType) -> String {
        let known = self.0.iter().find(|known| known.ty == *ty);
        known.map_or_else(|| "resource".to_string(), |known| known.name.clone())
    }

    /// An interface with its functions and resources.
    pub(crate) fn interface(&self, engine: &Engine, name: &str, instance: &ComponentInstance) -> Interface {
        let mut interface = Interface::default();
        let own = format!("{}.", InterfaceName::new(name).unversioned);
        for (export, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(function) => {
                    interface.functions.insert(export.to_string(), self.function(&function));
                }
                ComponentItem::Resource(ty) if self.name(&ty).starts_with(&own) => {
                    interface.resources.push(export.to_string());
                }
                _ => {}
            }
        }
        interface
    }

    /// A function with its types.
    pub(crate) fn function(&self, function: &ComponentFunc) -> Function {
        let mut left = TYPES_MAX;
        let params =
            function.params().map(|(name, ty)| (name.to_string(), self.ty(&ty, &mut left))).collect();
        let result = function.results().next().map(|ty| self.ty(&ty, &mut left));
        Function { is_async: function.async_(), params, result }
    }

    fn ty(&self, ty: &types::Type, left: &mut usize) -> Type {
        use types::Type as T;
        if *left == 0 {
            // Nothing has such a type, so a link with it is refused.
            return Type::ErrorContext;
        }
        *left -= 1;
        let mut boxed = |ty: types::Type| Box::new(self.ty(&ty, left));
        match ty {
            T::Bool => Type::Bool,
            T::S8 => Type::S8,
            T::U8 => Type::U8,
            T::S16 => Type::S16,
            T::U16 => Type::U16,
            T::S32 => Type::S32,
            T::U32 => Type::U32,
            T::S64 => Type::S64,
            T::U64 => Type::U64,
            T::Float32 => Type::F32,
            T::Float64 => Type::F64,
            T::Char => Type::Char,
            T::String => Type::String,
            T::ErrorContext => Type::ErrorContext,
            T::List(list) => Type::List(boxed(list.ty())),
            T::FixedLengthList(list) => Type::FixedList(boxed(list.ty()), list.len()),
            T::Map(map) => Type::Map(boxed(map.key()), boxed(map.value())),
            T::Option(option) => Type::Option(boxed(option.ty())),
            T::Result(result) => Type::Result(result.ok().map(&mut boxed), result.err().map(&mut boxed)),
            T::Tuple(tuple) => Type::Tuple(tuple.types().map(|ty| self.ty(&ty, left)).collect()),
            T::Record(record) => {
                Type::Record(record.fields().map(|f| (f.name.to_string(), self.ty(&f.ty, left))).collect())
            }
            T::Variant(variant) => {
                let case = |c: types::Case<'_>| (c.name.to_string(), c.ty.map(|ty| self.ty(&ty, left)));
                Type::Variant(variant.cases().map(case).collect())
            }
            T::Enum(names) => Type::Enum(names.names().map(str::to_string).collect()),
            T::Flags(names) => Type::Flags(names.names().map(str::to_string).collect()),
            T::Own(ty) => Type::Own(self.name(ty)),
            T::Borrow(ty) => Type::Borrow(self.name(ty)),
            T::Stream(stream) => Type::Stream(stream.ty().map(boxed)),
            T::Future(future) => Type::Future(future.ty().map(boxed)),
        }
    }
}

/// Resources of `wasi:io` that can go to another store.
pub(crate) const INPUT: &str = "wasi:io/streams.input-stream";
pub(crate) const OUTPUT: &str = "wasi:io/streams.output-stream";

/// What of a function cannot be carried between stores, if anything: the type, as WIT.
pub(crate) fn not_carried(function: &Function, interfaces: &[String]) -> Option<String> {
    // Only a caller that goes on meanwhile can be the producer or the reader of a stream; and an instance that serves with resources is
    // one for all calls, and not free while a stream of it is read.
    let streams = function.is_async && !has_resources(function);
    let mut found = None;
    let mut look = |ty: &Type, is_param: bool| {
        ty.each(&mut |ty| {
            let fits = match ty {
                Type::Stream(Some(element)) if streams && **element == Type::U8 => true,
                Type::Stream(_) | Type::Future(_) | Type::ErrorContext => false,
                Type::Own(name) if name == INPUT => true,
                Type::Own(name) if name == OUTPUT => !is_param,
                Type::Own(name) | Type::Borrow(name) => interfaces
                    .iter()
                    .any(|i| name.strip_prefix(i.as_str()).is_some_and(|r| r.starts_with('.'))),
                _ => true,
            };
            if !fits && found.is_none() {
                found = Some(ty.to_string());
            }
        });
    };
    function.params.iter().for_each(|(_, ty)| look(ty, true));
    function.result.iter().for_each(|ty| look(ty, false));
    found
}

/// Whether a function passes anything that is more than bytes.
pub(crate) fn has_handles(function: &Function) -> bool {
    let mut has = false;
    function.each(&mut |ty| has |= matches!(ty, Type::Own(_) | Type::Borrow(_) | Type::Stream(_)));
    has
}

/// Whether it passes resources of a contract, which belong to one instance of their server.
fn has_resources(function: &Function) -> bool {
    let mut has = false;
    function.each(&mut |ty| {
        has |= matches!(ty, Type::Own(name) | Type::Borrow(name) if name != INPUT && name != OUTPUT);
    });
    has
}

/// How many flat values a list of types has.
pub(crate) fn flat_count<'a>(types: impl IntoIterator<Item = &'a Type>) -> usize {
    types.into_iter().map(flat).sum()
}

fn flat(ty: &Type) -> usize {
    let most = |cases: &mut dyn Iterator<Item = Option<&Type>>| cases.map(|ty| ty.map_or(0, flat)).max();
    match ty {
        Type::String | Type::List(_) | Type::Map(..) => 2,
        Type::FixedList(ty, len) => flat(ty).saturating_mul(*len as usize),
        Type::Tuple(types) => flat_count(types),
        Type::Record(fields) => fields.iter().map(|(_, ty)| flat(ty)).sum(),
        Type::Flags(names) => names.len().div_ceil(32),
        Type::Option(ty) => 1 + flat(ty),
        Type::Result(ok, err) => 1 + most(&mut [ok, err].into_iter().map(|ty| ty.as_deref())).unwrap_or(0),
        Type::Variant(cases) => 1 + most(&mut cases.iter().map(|(_, ty)| ty.as_ref())).unwrap_or(0),
        _ => 1,
    }
}
