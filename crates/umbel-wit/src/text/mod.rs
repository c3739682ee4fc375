//! Values as people write them: in WAVE, the text form of WIT's values, and as JSON.
//!
//! Both forms are read and written against a type, because a [`Value`](crate::Value) knows its fields by place alone.

mod json;
mod wave;

pub use json::{from_json, to_json};
pub use wave::{from_wave, to_wave};

use crate::types::{Function, Type};
use crate::value::Value;

/// How deep types may be nested to have a text form: as deep as WAVE goes.
const DEPTH_MAX: usize = 100;

/// A text that is no value of the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}, where {wanted} is taken")]
pub struct Unreadable {
    /// What is wrong with the text.
    pub why: String,
    /// The type, as WIT.
    pub wanted: String,
}

impl Unreadable {
    fn new(ty: &Type, why: impl Into<String>) -> Unreadable {
        Unreadable { why: why.into(), wanted: format!("`{ty}`") }
    }
}

/// The first type of the function that has no text form, as WIT: what belongs to an instance, and what comes piece by piece.
pub fn without_text(function: &Function) -> Option<String> {
    let mut found = None;
    for ty in function.params.iter().map(|(_, ty)| ty).chain(&function.result) {
        if !within(ty, DEPTH_MAX) {
            return Some(format!("a type of more than {DEPTH_MAX} levels"));
        }
        ty.each(&mut |ty| {
            let is_text = !matches!(
                ty,
                Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_) | Type::ErrorContext
            );
            if !is_text && found.is_none() {
                found = Some(ty.to_string());
            }
        });
    }
    found
}

/// Whether the type has at most so many levels. It goes no deeper than that.
fn within(ty: &Type, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match ty {
        Type::List(ty) | Type::FixedList(ty, _) | Type::Option(ty) => within(ty, below),
        Type::Map(key, value) => within(key, below) && within(value, below),
        Type::Result(ok, err) => ok.iter().chain(err).all(|ty| within(ty, below)),
        Type::Tuple(types) => types.iter().all(|ty| within(ty, below)),
        Type::Record(fields) => fields.iter().all(|(_, ty)| within(ty, below)),
        Type::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).all(|ty| within(ty, below)),
        Type::Stream(ty) | Type::Future(ty) => ty.iter().all(|ty| within(ty, below)),
        _ => true,
    }
}

/// About how many bytes the text of a value has, counted no further than `max`.
pub fn weight(value: &Value, max: usize) -> usize {
    let all = |values: &[Value]| {
        let add = |sum: usize, value: &Value| {
            if sum > max { sum } else { sum + weight(value, max) }
        };
        values.iter().fold(2, add)
    };
    match value {
        Value::String(text) => text.len() + 2,
        Value::Bytes(bytes) => bytes.len() * 5,
        Value::List(values) | Value::Tuple(values) | Value::Record(values) => all(values),
        Value::Map(pairs) => {
            pairs.iter().fold(
                2,
                |sum, (key, value)| {
                    if sum > max { sum } else { sum + weight(key, max) + weight(value, max) }
                },
            )
        }
        Value::Variant(_, Some(value)) | Value::Option(Some(value)) => 8 + weight(value, max),
        Value::Result(Ok(Some(value)) | Err(Some(value))) => 5 + weight(value, max),
        _ => 8,
    }
}

#[cfg(test)]
mod tests;
