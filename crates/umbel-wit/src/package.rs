//! Interfaces out of WIT text: how a provider says what it serves and what it calls.

use crate::name::InterfaceName;
use crate::types::{Function, Interface, Type};
use wit_parser::{Handle, InterfaceId, Resolve, Type as WitType, TypeDefKind, TypeId};

/// A text that is no WIT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no WIT: {why}")]
pub struct NotWit {
    /// What is wrong, with its place.
    pub why: String,
}

/// The interfaces of several packages of WIT, each with its types. A package comes after those that it uses.
///
/// The text is a program's own: what comes from strangers is not to be parsed here.
pub fn interfaces(packages: &[&str]) -> Result<Vec<(InterfaceName, Interface)>, NotWit> {
    let mut resolve = Resolve::default();
    for text in packages {
        resolve
            .push_source("package.wit", text)
            .map_err(|error| NotWit { why: format!("{error:#}").lines().collect::<Vec<_>>().join(" ") })?;
    }
    let named = |(id, _): (InterfaceId, &wit_parser::Interface)| {
        Some((InterfaceName::new(&resolve.id_of(id)?), interface(&resolve, id)))
    };
    Ok(resolve.interfaces.iter().filter_map(named).collect())
}

fn interface(resolve: &Resolve, id: InterfaceId) -> Interface {
    let of = &resolve.interfaces[id];
    let functions =
        of.functions.iter().map(|(name, function)| (name.clone(), of_function(resolve, function)));
    let is_resource = |ty: &TypeId| matches!(resolve.types[*ty].kind, TypeDefKind::Resource);
    let resources = of.types.iter().filter(|(_, ty)| is_resource(ty)).map(|(name, _)| name.clone());
    Interface { functions: functions.collect(), resources: resources.collect() }
}

fn of_function(resolve: &Resolve, function: &wit_parser::Function) -> Function {
    Function {
        is_async: function.kind.is_async(),
        params: function.params.iter().map(|p| (p.name.clone(), of_type(resolve, &p.ty))).collect(),
        result: function.result.as_ref().map(|ty| of_type(resolve, ty)),
    }
}

fn of_type(resolve: &Resolve, ty: &WitType) -> Type {
    match ty {
        WitType::Bool => Type::Bool,
        WitType::S8 => Type::S8,
        WitType::U8 => Type::U8,
        WitType::S16 => Type::S16,
        WitType::U16 => Type::U16,
        WitType::S32 => Type::S32,
        WitType::U32 => Type::U32,
        WitType::S64 => Type::S64,
        WitType::U64 => Type::U64,
        WitType::F32 => Type::F32,
        WitType::F64 => Type::F64,
        WitType::Char => Type::Char,
        WitType::String => Type::String,
        WitType::ErrorContext => Type::ErrorContext,
        WitType::Id(id) => of_definition(resolve, *id),
    }
}

fn of_definition(resolve: &Resolve, id: TypeId) -> Type {
    let boxed = |ty: &WitType| Box::new(of_type(resolve, ty));
    let maybe = |ty: &Option<WitType>| ty.as_ref().map(boxed);
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            Type::Record(record.fields.iter().map(|f| (f.name.clone(), of_type(resolve, &f.ty))).collect())
        }
        TypeDefKind::Tuple(tuple) => Type::Tuple(tuple.types.iter().map(|t| of_type(resolve, t)).collect()),
        TypeDefKind::Variant(variant) => {
            let case = |c: &wit_parser::Case| (c.name.clone(), c.ty.as_ref().map(|ty| of_type(resolve, ty)));
            Type::Variant(variant.cases.iter().map(case).collect())
        }
        TypeDefKind::Enum(names) => Type::Enum(names.cases.iter().map(|case| case.name.clone()).collect()),
        TypeDefKind::Flags(names) => Type::Flags(names.flags.iter().map(|flag| flag.name.clone()).collect()),
        TypeDefKind::Option(ty) => Type::Option(boxed(ty)),
        TypeDefKind::Result(result) => Type::Result(maybe(&result.ok), maybe(&result.err)),
        TypeDefKind::List(ty) => Type::List(boxed(ty)),
        TypeDefKind::Map(key, value) => Type::Map(boxed(key), boxed(value)),
        TypeDefKind::FixedLengthList(ty, len) => Type::FixedList(boxed(ty), *len),
        TypeDefKind::Future(ty) => Type::Future(maybe(ty)),
        TypeDefKind::Stream(ty) => Type::Stream(maybe(ty)),
        TypeDefKind::Type(ty) => of_type(resolve, ty),
        TypeDefKind::Handle(Handle::Own(resource)) => Type::Own(resource_name(resolve, *resource)),
        TypeDefKind::Handle(Handle::Borrow(resource)) => Type::Borrow(resource_name(resolve, *resource)),
        // A resource without a handle around it is owned; what is unknown is gone once packages are resolved.
        TypeDefKind::Resource | TypeDefKind::Unknown => Type::Own(resource_name(resolve, id)),
    }
}

/// `wasi:keyvalue/store.bucket`: by the interface that defines it, without the version.
fn resource_name(resolve: &Resolve, mut id: TypeId) -> String {
    // `use store.{bucket}` makes a type that stands for the other one.
    while let TypeDefKind::Type(WitType::Id(of)) = &resolve.types[id].kind {
        id = *of;
    }
    let def = &resolve.types[id];
    let interface = match def.owner {
        wit_parser::TypeOwner::Interface(interface) => resolve.id_of(interface),
        _ => None,
    };
    let name = def.name.as_deref().unwrap_or("resource");
    match interface {
        Some(interface) => format!("{}.{name}", InterfaceName::new(&interface).unversioned),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests;
