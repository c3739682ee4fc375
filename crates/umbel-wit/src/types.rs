//! Types of WIT as plain data: to compare the two ends of a link, and to tell a person what a function wants.

use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A type. Resources go by their names: `bucket` within the interface that defines it, `wasi:io/streams.input-stream` elsewhere.
///
/// As JSON the plain ones are their names, the others an object of one key: `"u8"`, `{"list":"u8"}`, `{"record":[["name","string"]]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of WIT")]
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    ErrorContext,
    List(Box<Type>),
    FixedList(Box<Type>, u32),
    Map(Box<Type>, Box<Type>),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Tuple(Vec<Type>),
    Record(Vec<(String, Type)>),
    Variant(Vec<(String, Option<Type>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Own(String),
    Borrow(String),
    Stream(Option<Box<Type>>),
    Future(Option<Box<Type>>),
}

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Whether it is an `async func` of WASI 0.3.
    #[serde(rename = "async", default)]
    pub is_async: bool,
    /// Names and types of its parameters.
    pub params: Vec<(String, Type)>,
    /// Its result, if it has one.
    pub result: Option<Type>,
}

/// The functions of an interface by name, methods as `[method]bucket.get`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its functions.
    pub functions: BTreeMap<String, Function>,
    /// The resources that it defines.
    #[serde(default)]
    pub resources: Vec<String>,
}

/// Where an import and the export that should serve it differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: the importer has `{wanted}`, the server has `{found}`")]
pub struct Mismatch {
    /// The way to the difference: `get: result: ok: field size`.
    pub at: String,
    /// The importer's type, as WIT.
    pub wanted: String,
    /// The server's.
    pub found: String,
}

impl Interface {
    /// Whether `server` can serve this import: every function that is imported is there with the same type. It may have more.
    pub fn served_by(&self, server: &Interface) -> Result<(), Mismatch> {
        for (name, wanted) in &self.functions {
            let Some(found) = server.functions.get(name) else {
                return Err(Mismatch {
                    at: name.clone(),
                    wanted: wanted.to_string(),
                    found: "nothing".into(),
                });
            };
            wanted.same_as(found).map_err(|mut mismatch| {
                mismatch.at = format!("{name}{}", mismatch.at);
                mismatch
            })?;
        }
        Ok(())
    }
}

impl Type {
    /// Whether the value is of the type, as far as values tell: of resources only that they are some.
    pub fn takes(&self, value: &Value) -> bool {
        let all = |types: &[Type], values: &[Value]| {
            types.len() == values.len() && types.iter().zip(values).all(|(ty, value)| ty.takes(value))
        };
        let payload = |ty: Option<&Type>, value: Option<&Value>| match (ty, value) {
            (Some(ty), Some(value)) => ty.takes(value),
            (None, None) => true,
            _ => false,
        };
        match (self, value) {
            (Type::Bool, Value::Bool(_))
            | (Type::S8, Value::S8(_))
            | (Type::U8, Value::U8(_))
            | (Type::S16, Value::S16(_))
            | (Type::U16, Value::U16(_))
            | (Type::S32, Value::S32(_))
            | (Type::U32, Value::U32(_))
            | (Type::S64, Value::S64(_))
            | (Type::U64, Value::U64(_))
            | (Type::F32, Value::F32(_))
            | (Type::F64, Value::F64(_))
            | (Type::Char, Value::Char(_))
            | (Type::String, Value::String(_))
            | (Type::Own(_), Value::Own(_) | Value::Input(_) | Value::Output(_))
            | (Type::Borrow(_), Value::Own(_) | Value::Borrow(_))
            | (Type::Stream(_), Value::Stream(_) | Value::Items(_))
            | (Type::Future(_), Value::Later(_)) => true,
            (Type::List(item), Value::Bytes(_)) => **item == Type::U8,
            (Type::FixedList(item, length), Value::Bytes(bytes)) => {
                **item == Type::U8 && bytes.len() == *length as usize
            }
            (Type::List(item), Value::List(values)) => values.iter().all(|value| item.takes(value)),
            (Type::FixedList(item, length), Value::List(values)) => {
                values.len() == *length as usize && values.iter().all(|value| item.takes(value))
            }
            (Type::Map(key, item), Value::Map(entries)) => {
                entries.iter().all(|(name, value)| key.takes(name) && item.takes(value))
            }
            (Type::Option(item), Value::Option(value)) => {
                value.as_ref().is_none_or(|value| item.takes(value))
            }
            (Type::Result(ok, _), Value::Result(Ok(value))) => payload(ok.as_deref(), value.as_deref()),
            (Type::Result(_, err), Value::Result(Err(value))) => payload(err.as_deref(), value.as_deref()),
            (Type::Tuple(types), Value::Tuple(values)) => all(types, values),
            (Type::Record(fields), Value::Record(values)) => {
                fields.len() == values.len()
                    && fields.iter().zip(values).all(|((_, ty), value)| ty.takes(value))
            }
            (Type::Variant(cases), Value::Variant(place, value)) => {
                cases.get(*place as usize).is_some_and(|(_, ty)| payload(ty.as_ref(), value.as_deref()))
            }
            (Type::Enum(names), Value::Enum(place)) => (*place as usize) < names.len(),
            (Type::Flags(names), Value::Flags(words)) => words.len() == names.len().div_ceil(32),
            _ => false,
        }
    }
}

impl Function {
    /// Whether these are arguments of it, as far as values tell their types: of resources only that they are some.
    pub fn takes(&self, args: &[Value]) -> bool {
        args.len() == self.params.len() && self.params.iter().zip(args).all(|((_, ty), arg)| ty.takes(arg))
    }

    fn same_as(&self, other: &Function) -> Result<(), Mismatch> {
        // Names of parameters are no part of the contract between the two: arguments go by place.
        if self.is_async != other.is_async || self.params.len() != other.params.len() {
            return differ(String::new(), self, other);
        }
        for ((name, a), (_, b)) in self.params.iter().zip(&other.params) {
            same(&format!(": parameter {name}"), a, b)?;
        }
        same_option(": result", self.result.as_ref(), other.result.as_ref())
    }
}

fn differ<T>(at: String, wanted: &impl fmt::Display, found: &impl fmt::Display) -> Result<T, Mismatch> {
    Err(Mismatch { at, wanted: wanted.to_string(), found: found.to_string() })
}

fn same_option(at: &str, a: Option<&Type>, b: Option<&Type>) -> Result<(), Mismatch> {
    match (a, b) {
        (None, None) => Ok(()),
        (Some(a), Some(b)) => same(at, a, b),
        (a, b) => {
            let show = |t: Option<&Type>| t.map_or("_".to_string(), ToString::to_string);
            differ(at.to_string(), &show(a), &show(b))
        }
    }
}

/// Goes as deep as the types agree, so that the mismatch names the smallest part that differs.
fn same(at: &str, a: &Type, b: &Type) -> Result<(), Mismatch> {
    match (a, b) {
        (Type::List(a), Type::List(b)) => same(&format!("{at}: element"), a, b),
        (Type::FixedList(a, n), Type::FixedList(b, m)) if n == m => same(&format!("{at}: element"), a, b),
        (Type::Option(a), Type::Option(b)) => same(&format!("{at}: some"), a, b),
        (Type::Map(ka, va), Type::Map(kb, vb)) => {
            same(&format!("{at}: key"), ka, kb)?;
            same(&format!("{at}: value"), va, vb)
        }
        (Type::Result(oa, ea), Type::Result(ob, eb)) => {
            same_option(&format!("{at}: ok"), oa.as_deref(), ob.as_deref())?;
            same_option(&format!("{at}: err"), ea.as_deref(), eb.as_deref())
        }
        (Type::Stream(a), Type::Stream(b)) | (Type::Future(a), Type::Future(b)) => {
            same_option(&format!("{at}: element"), a.as_deref(), b.as_deref())
        }
        (Type::Tuple(a), Type::Tuple(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                same(&format!("{at}: item {i}"), a, b)?;
            }
            Ok(())
        }
        (Type::Record(fa), Type::Record(fb)) if names(fa).eq(names(fb)) => {
            for ((name, a), (_, b)) in fa.iter().zip(fb) {
                same(&format!("{at}: field {name}"), a, b)?;
            }
            Ok(())
        }
        (Type::Variant(ca), Type::Variant(cb)) if names(ca).eq(names(cb)) => {
            for ((name, a), (_, b)) in ca.iter().zip(cb) {
                same_option(&format!("{at}: case {name}"), a.as_ref(), b.as_ref())?;
            }
            Ok(())
        }
        (a, b) if a == b => Ok(()),
        (a, b) => differ(at.to_string(), a, b),
    }
}

fn names<T>(list: &[(String, T)]) -> impl Iterator<Item = &String> {
    list.iter().map(|(name, _)| name)
}

impl Type {
    /// Calls `visit` for this type and every type within it.
    pub fn each(&self, visit: &mut dyn FnMut(&Type)) {
        visit(self);
        match self {
            Type::List(t) | Type::FixedList(t, _) | Type::Option(t) => t.each(visit),
            Type::Map(k, v) => {
                k.each(visit);
                v.each(visit);
            }
            Type::Result(ok, err) => ok.iter().chain(err).for_each(|t| t.each(visit)),
            Type::Tuple(types) => types.iter().for_each(|t| t.each(visit)),
            Type::Record(fields) => fields.iter().for_each(|(_, t)| t.each(visit)),
            Type::Variant(cases) => cases.iter().filter_map(|(_, t)| t.as_ref()).for_each(|t| t.each(visit)),
            Type::Stream(t) | Type::Future(t) => t.iter().for_each(|t| t.each(visit)),
            _ => {}
        }
    }
}

impl Function {
    /// Calls `visit` for every type that it names.
    pub fn each(&self, visit: &mut dyn FnMut(&Type)) {
        self.params.iter().map(|(_, t)| t).chain(&self.result).for_each(|t| t.each(visit));
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<String> = self.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        let prefix = if self.is_async { "async " } else { "" };
        write!(f, "{prefix}func({})", params.join(", "))?;
        match &self.result {
            Some(ty) => write!(f, " -> {ty}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self {
            Type::Bool => "bool",
            Type::S8 => "s8",
            Type::U8 => "u8",
            Type::S16 => "s16",
            Type::U16 => "u16",
            Type::S32 => "s32",
            Type::U32 => "u32",
            Type::S64 => "s64",
            Type::U64 => "u64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            _ => return self.fmt_compound(f),
        };
        f.write_str(plain)
    }
}

impl Type {
    fn fmt_compound(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(", ");
        let maybe = |t: &Option<Box<Type>>| t.as_ref().map_or("_".to_string(), ToString::to_string);
        match self {
            Type::List(t) => write!(f, "list<{t}>"),
            Type::FixedList(t, n) => write!(f, "list<{t}, {n}>"),
            Type::Map(k, v) => write!(f, "map<{k}, {v}>"),
            Type::Option(t) => write!(f, "option<{t}>"),
            Type::Result(None, None) => f.write_str("result"),
            Type::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Type::Result(ok, err) => write!(f, "result<{}, {}>", maybe(ok), maybe(err)),
            Type::Tuple(types) => {
                write!(f, "tuple<{}>", list(types.iter().map(ToString::to_string).collect()))
            }
            Type::Record(fields) => {
                write!(f, "record {{ {} }}", list(fields.iter().map(|(n, t)| format!("{n}: {t}")).collect()))
            }
            Type::Variant(cases) => {
                let case = |(name, ty): &(String, Option<Type>)| match ty {
                    Some(ty) => format!("{name}({ty})"),
                    None => name.clone(),
                };
                write!(f, "variant {{ {} }}", list(cases.iter().map(case).collect()))
            }
            Type::Enum(names) => write!(f, "enum {{ {} }}", names.join(", ")),
            Type::Flags(names) => write!(f, "flags {{ {} }}", names.join(", ")),
            Type::Own(name) => f.write_str(name),
            Type::Borrow(name) => write!(f, "borrow<{name}>"),
            Type::Stream(None) => f.write_str("stream"),
            Type::Future(None) => f.write_str("future"),
            Type::Stream(Some(t)) => write!(f, "stream<{t}>"),
            Type::Future(Some(t)) => write!(f, "future<{t}>"),
            _ => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests;
