//! Writes what was decoded as WIT.

use std::fmt::Write;
use wit_parser::{
    Function, FunctionKind, Handle, InterfaceId, PackageId, PackageName, Resolve, Type, TypeDefKind, TypeId,
    TypeOwner, WorldId, WorldItem, WorldKey,
};

/// Words of WIT, which are names only behind a `%`.
const KEYWORDS: &str = " as async bool borrow char constructor enum error-context export f32 f64 flags from func future \
                        import include interface list map option own package record resource result s16 s32 s64 s8 static \
                        stream string tuple type u16 u32 u64 u8 use variant with world ";

/// The world of a component, then the packages that it names.
pub(super) fn component(resolve: &Resolve, world: WorldId) -> String {
    let mut out = Writer { resolve, text: String::new(), indent: 0 };
    let own = resolve.worlds[world].package;
    if let Some(package) = own {
        out.line(&format!("package {};", package_name(&resolve.packages[package].name)));
        out.text.push('\n');
    }
    out.world(world);
    for (id, _) in
        resolve.packages.iter().filter(|(id, package)| Some(*id) != own && !package.interfaces.is_empty())
    {
        out.text.push('\n');
        out.package(id);
    }
    out.text
}

/// The package of a WIT file that is kept as wasm, then those that it names.
pub(super) fn packages(resolve: &Resolve, first: PackageId) -> String {
    let mut out = Writer { resolve, text: String::new(), indent: 0 };
    out.package(first);
    for (id, _) in resolve.packages.iter().filter(|(id, _)| *id != first) {
        out.text.push('\n');
        out.package(id);
    }
    out.text
}

fn package_name(name: &PackageName) -> String {
    let version = name.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("{}:{}{version}", escaped(&name.namespace), escaped(&name.name))
}

fn escaped(name: &str) -> String {
    if KEYWORDS.contains(&format!(" {name} ")) { format!("%{name}") } else { name.to_string() }
}

struct Writer<'r> {
    resolve: &'r Resolve,
    text: String,
    indent: usize,
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.indent {
            self.text.push_str("  ");
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn block(&mut self, head: &str, inside: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.indent += 1;
        inside(self);
        self.indent -= 1;
        self.line("}");
    }

    fn package(&mut self, id: PackageId) {
        let package = &self.resolve.packages[id];
        self.block(&format!("package {}", package_name(&package.name)), |out| {
            for (name, interface) in &package.interfaces {
                out.block(&format!("interface {}", escaped(name)), |out| out.interface(*interface));
            }
            for world in package.worlds.values() {
                out.world(*world);
            }
        });
    }

    fn world(&mut self, id: WorldId) {
        let world = &self.resolve.worlds[id];
        self.block(&format!("world {}", escaped(&world.name)), |out| {
            for (verb, items) in [("import", &world.imports), ("export", &world.exports)] {
                for (key, item) in items {
                    out.world_item(verb, world.package, key, item);
                }
            }
        });
    }

    fn world_item(&mut self, verb: &str, package: Option<PackageId>, key: &WorldKey, item: &WorldItem) {
        match (key, item) {
            (WorldKey::Interface(id), _) => {
                let name = self.interface_name(*id, package);
                self.line(&format!("{verb} {name};"));
            }
            (WorldKey::Name(name), WorldItem::Interface { id, .. }) => {
                let id = *id;
                self.block(&format!("{verb} {}: interface", escaped(name)), |out| out.interface(id));
            }
            (WorldKey::Name(name), WorldItem::Function(function)) => {
                let text = format!("{verb} {}: {};", escaped(name), self.function(function));
                self.line(&text);
            }
            (WorldKey::Name(name), WorldItem::Type { id, .. }) => self.definition(name, *id, &[]),
        }
    }

    /// The name of an interface as it is written within a package: there its own interfaces go without it.
    fn interface_name(&self, id: InterfaceId, within: Option<PackageId>) -> String {
        let interface = &self.resolve.interfaces[id];
        let name = interface.name.as_deref().map(escaped).unwrap_or_default();
        let foreign = interface.package.filter(|package| Some(*package) != within);
        let Some(package) = foreign.map(|package| &self.resolve.packages[package].name) else { return name };
        let version = package.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        format!("{}:{}/{name}{version}", escaped(&package.namespace), escaped(&package.name))
    }

    fn interface(&mut self, id: InterfaceId) {
        let interface = &self.resolve.interfaces[id];
        let functions: Vec<&Function> = interface.functions.values().collect();
        for (name, ty) in &interface.types {
            self.definition(name, *ty, &functions);
        }
        for function in functions.iter().filter(|function| resource_of(function).is_none()) {
            let text = format!("{}: {};", escaped(&function.name), self.function(function));
            self.line(&text);
        }
    }

    fn definition(&mut self, name: &str, id: TypeId, functions: &[&Function]) {
        let ty = &self.resolve.types[id];
        let name = escaped(name);
        match &ty.kind {
            TypeDefKind::Record(record) => self.block(&format!("record {name}"), |out| {
                for field in &record.fields {
                    let text = format!("{}: {},", escaped(&field.name), out.ty(&field.ty));
                    out.line(&text);
                }
            }),
            TypeDefKind::Variant(variant) => self.block(&format!("variant {name}"), |out| {
                for case in &variant.cases {
                    let payload = case.ty.as_ref().map(|ty| format!("({})", out.ty(ty))).unwrap_or_default();
                    out.line(&format!("{}{payload},", escaped(&case.name)));
                }
            }),
            TypeDefKind::Enum(cases) => self.block(&format!("enum {name}"), |out| {
                cases.cases.iter().for_each(|case| out.line(&format!("{},", escaped(&case.name))));
            }),
            TypeDefKind::Flags(flags) => self.block(&format!("flags {name}"), |out| {
                flags.flags.iter().for_each(|flag| out.line(&format!("{},", escaped(&flag.name))));
            }),
            TypeDefKind::Resource => self.resource(&name, id, functions),
            TypeDefKind::Type(Type::Id(other)) => self.alias(&name, id, *other),
            _ => {
                let text = format!("type {name} = {};", self.kind(&ty.kind));
                self.line(&text);
            }
        }
    }

    /// A type of another interface is used from there; one of the same interface has another name.
    fn alias(&mut self, name: &str, id: TypeId, other: TypeId) {
        let (owner, of) = (self.resolve.types[id].owner, &self.resolve.types[other]);
        let other_name = of.name.as_deref().map(escaped);
        let text = match (of.owner, other_name) {
            (TypeOwner::Interface(interface), Some(other)) if owner != of.owner => {
                let renamed = if other == name { String::new() } else { format!(" as {name}") };
                let within = match owner {
                    TypeOwner::Interface(id) => self.resolve.interfaces[id].package,
                    TypeOwner::World(id) => self.resolve.worlds[id].package,
                    TypeOwner::None => None,
                };
                format!("use {}.{{{other}{renamed}}};", self.interface_name(interface, within))
            }
            _ => format!("type {name} = {};", self.ty(&Type::Id(other))),
        };
        self.line(&text);
    }

    fn resource(&mut self, name: &str, id: TypeId, functions: &[&Function]) {
        let own: Vec<&&Function> =
            functions.iter().filter(|function| resource_of(function) == Some(id)).collect();
        if own.is_empty() {
            return self.line(&format!("resource {name};"));
        }
        self.block(&format!("resource {name}"), |out| {
            for function in own {
                let text = match &function.kind {
                    FunctionKind::Constructor(_) => format!("constructor({});", out.params(function)),
                    FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => {
                        format!("{}: static {};", escaped(function.item_name()), out.function(function))
                    }
                    _ => format!("{}: {};", escaped(function.item_name()), out.function(function)),
                };
                out.line(&text);
            }
        });
    }

    fn params(&self, function: &Function) -> String {
        // The resource itself is not written.
        let own = matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_));
        let params = function.params.iter().skip(usize::from(own));
        let params: Vec<String> =
            params.map(|param| format!("{}: {}", escaped(&param.name), self.ty(&param.ty))).collect();
        params.join(", ")
    }

    fn function(&self, function: &Function) -> String {
        let is_async = matches!(
            function.kind,
            FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_)
        );
        let mut text = format!("{}func({})", if is_async { "async " } else { "" }, self.params(function));
        if let Some(ty) = &function.result {
            // Writing to a string does not fail.
            let _ = write!(text, " -> {}", self.ty(ty));
        }
        text
    }

    fn ty(&self, ty: &Type) -> String {
        let plain = match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => {
                let ty = &self.resolve.types[*id];
                return ty.name.as_deref().map_or_else(|| self.kind(&ty.kind), escaped);
            }
        };
        plain.to_string()
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        let one = |name: &str, ty: &Option<Type>| match ty {
            Some(ty) => format!("{name}<{}>", self.ty(ty)),
            None => name.to_string(),
        };
        match kind {
            // An owned resource is written by its name alone.
            TypeDefKind::Handle(Handle::Own(id)) => self.ty(&Type::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.ty(&Type::Id(*id))),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (None, None) => "result".into(),
                (Some(ok), None) => format!("result<{}>", self.ty(ok)),
                (ok, Some(err)) => {
                    let ok = ok.as_ref().map_or_else(|| "_".to_string(), |ok| self.ty(ok));
                    format!("result<{ok}, {}>", self.ty(err))
                }
            },
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::FixedLengthList(ty, len) => format!("list<{}, {len}>", self.ty(ty)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", self.ty(key), self.ty(value)),
            TypeDefKind::Future(ty) => one("future", ty),
            TypeDefKind::Stream(ty) => one("stream", ty),
            TypeDefKind::Type(ty) => self.ty(ty),
            // These have names, and are written by them.
            other => other.as_str().to_string(),
        }
    }
}

fn resource_of(function: &Function) -> Option<TypeId> {
    match function.kind {
        FunctionKind::Method(id)
        | FunctionKind::AsyncMethod(id)
        | FunctionKind::Static(id)
        | FunctionKind::AsyncStatic(id)
        | FunctionKind::Constructor(id) => Some(id),
        FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
    }
}
