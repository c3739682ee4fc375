//! JSON: records are objects, lists and tuples arrays, `none` is null.
//!
//! | WIT | JSON |
//! |---|---|
//! | `u64`, `s64` | a number, or its digits as a string, for readers whose numbers are floats |
//! | `f32`, `f64` | a number, or `"nan"`, `"inf"`, `"-inf"` |
//! | `option<T>` | `null`, or the value; `{"some": …}` where `T` is itself an option |
//! | `result<T, E>` | `{"ok": …}` or `{"err": …}`, with `null` where there is no payload |
//! | a variant | `"case"`, or `{"case": payload}` |
//! | flags | an array of those that are set |
//! | `map<K, V>` | an array of pairs |

use super::Unreadable;
use super::wave::set;
use crate::types::Type;
use crate::value::Value;
use serde_json::{Map, Number, Value as Json};

/// Reads a value.
pub fn from_json(ty: &Type, json: &Json) -> Result<Value, Unreadable> {
    read(ty, json).map_err(|misfit| Unreadable::new(&misfit.ty, misfit.why))
}

/// What does not fit, and the type at its place.
struct Misfit {
    ty: Type,
    why: String,
}

fn misfit(ty: &Type, json: &Json) -> Misfit {
    let mut text: String = json.to_string().chars().take(60).collect();
    if text.len() < json.to_string().len() {
        text.push('…');
    }
    Misfit { ty: ty.clone(), why: format!("`{text}` is no value") }
}

fn read(ty: &Type, json: &Json) -> Result<Value, Misfit> {
    let bad = || misfit(ty, json);
    let list = |ty: &Type| match json {
        Json::Array(items) => items.iter().map(|item| read(ty, item)).collect::<Result<Vec<_>, _>>(),
        _ => Err(bad()),
    };
    Ok(match ty {
        Type::Bool => Value::Bool(json.as_bool().ok_or_else(bad)?),
        Type::S8 => Value::S8(signed(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::S16 => Value::S16(signed(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::S32 => Value::S32(signed(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::S64 => Value::S64(signed(json).ok_or_else(bad)?),
        Type::U8 => Value::U8(unsigned(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::U16 => Value::U16(unsigned(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::U32 => Value::U32(unsigned(json).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
        Type::U64 => Value::U64(unsigned(json).ok_or_else(bad)?),
        Type::F32 => Value::F32(float(json).ok_or_else(bad)? as f32),
        Type::F64 => Value::F64(float(json).ok_or_else(bad)?),
        Type::Char => {
            let mut chars = json.as_str().ok_or_else(bad)?.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => Value::Char(one),
                _ => return Err(bad()),
            }
        }
        Type::String => Value::String(json.as_str().ok_or_else(bad)?.to_string()),
        Type::List(ty) if **ty == Type::U8 => {
            let items = json.as_array().ok_or_else(bad)?;
            let byte = |item: &Json| unsigned(item).and_then(|n| n.try_into().ok());
            Value::bytes(items.iter().map(byte).collect::<Option<Vec<u8>>>().ok_or_else(bad)?)
        }
        Type::List(ty) => Value::List(list(ty)?),
        Type::FixedList(ty, len) => {
            let values = list(ty)?;
            (values.len() == *len as usize).then_some(Value::List(values)).ok_or_else(bad)?
        }
        Type::Option(of) => option(of, json)?,
        _ => return read_compound(ty, json),
    })
}

fn read_compound(ty: &Type, json: &Json) -> Result<Value, Misfit> {
    let bad = || misfit(ty, json);
    Ok(match ty {
        Type::Map(key, of) => {
            let pair = |item: &Json| match item.as_array().map(Vec::as_slice) {
                Some([k, v]) => Ok((read(key, k)?, read(of, v)?)),
                _ => Err(bad()),
            };
            Value::Map(json.as_array().ok_or_else(bad)?.iter().map(pair).collect::<Result<_, _>>()?)
        }
        Type::Result(ok, err) => match one(json) {
            Some(("ok", json)) => {
                Value::Result(Ok(payload(ok.as_deref(), json).map_err(|e| e.unwrap_or_else(bad))?))
            }
            Some(("err", json)) => {
                Value::Result(Err(payload(err.as_deref(), json).map_err(|e| e.unwrap_or_else(bad))?))
            }
            _ => return Err(bad()),
        },
        Type::Tuple(types) => {
            let items = json.as_array().filter(|items| items.len() == types.len()).ok_or_else(bad)?;
            Value::Tuple(types.iter().zip(items).map(|(ty, item)| read(ty, item)).collect::<Result<_, _>>()?)
        }
        Type::Record(fields) => record(fields, json).map_err(|e| e.unwrap_or_else(bad))?,
        Type::Variant(cases) => {
            let (name, json) = match json {
                Json::String(name) => (name.as_str(), &Json::Null),
                json => one(json).ok_or_else(bad)?,
            };
            let place = cases.iter().position(|(case, _)| case == name).ok_or_else(bad)?;
            let payload = payload(cases[place].1.as_ref(), json).map_err(|e| e.unwrap_or_else(bad))?;
            Value::Variant(place as u32, payload)
        }
        Type::Enum(names) => {
            let name = json.as_str().ok_or_else(bad)?;
            Value::Enum(names.iter().position(|case| case == name).ok_or_else(bad)? as u32)
        }
        Type::Flags(names) => {
            let mut words = vec![0_u32; names.len().div_ceil(32)];
            for flag in json.as_array().ok_or_else(bad)? {
                let place = names.iter().position(|name| flag == name.as_str()).ok_or_else(bad)?;
                words[place / 32] |= 1 << (place % 32);
            }
            Value::Flags(words)
        }
        _ => return Err(bad()),
    })
}

/// The one field of an object that has no other.
fn one(json: &Json) -> Option<(&str, &Json)> {
    let mut fields = json.as_object()?.iter();
    let first = fields.next()?;
    fields.next().is_none().then_some((first.0.as_str(), first.1))
}

/// A payload, or null where there is none to have. `None` as the error: null, or something else, does not fit.
fn payload(ty: Option<&Type>, json: &Json) -> Result<Option<Box<Value>>, Option<Misfit>> {
    match ty {
        Some(ty) => read(ty, json).map(|value| Some(Box::new(value))).map_err(Some),
        None if json.is_null() => Ok(None),
        None => Err(None),
    }
}

fn option(of: &Type, json: &Json) -> Result<Value, Misfit> {
    let json = match (of, json) {
        (_, Json::Null) => return Ok(Value::none()),
        (Type::Option(_), json) => match one(json) {
            Some(("some", json)) => json,
            _ => return Err(misfit(&Type::Option(Box::new(of.clone())), json)),
        },
        (_, json) => json,
    };
    read(of, json).map(Value::some)
}

/// A field that is missing is `none` where it may be.
fn record(fields: &[(String, Type)], json: &Json) -> Result<Value, Option<Misfit>> {
    let object = json.as_object().ok_or(None)?;
    if object.keys().any(|key| !fields.iter().any(|(name, _)| name == key)) {
        return Err(None);
    }
    let field = |(name, ty): &(String, Type)| match (object.get(name), ty) {
        (Some(json), ty) => read(ty, json).map_err(Some),
        (None, Type::Option(_)) => Ok(Value::none()),
        (None, _) => Err(None),
    };
    Ok(Value::Record(fields.iter().map(field).collect::<Result<_, _>>()?))
}

fn signed(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

fn unsigned(json: &Json) -> Option<u64> {
    json.as_u64().or_else(|| json.as_str()?.parse().ok())
}

fn float(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some("nan") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => json.as_f64(),
    }
}

/// Writes a value of the type; `None` if it has no text form, or is not of the type.
pub fn to_json(ty: &Type, value: &Value) -> Option<Json> {
    let list =
        |ty: &Type, values: &[Value]| values.iter().map(|v| to_json(ty, v)).collect::<Option<Vec<_>>>();
    Some(match (ty, value) {
        (Type::Bool, Value::Bool(v)) => Json::Bool(*v),
        (Type::S8, Value::S8(v)) => Json::from(*v),
        (Type::U8, Value::U8(v)) => Json::from(*v),
        (Type::S16, Value::S16(v)) => Json::from(*v),
        (Type::U16, Value::U16(v)) => Json::from(*v),
        (Type::S32, Value::S32(v)) => Json::from(*v),
        (Type::U32, Value::U32(v)) => Json::from(*v),
        (Type::S64, Value::S64(v)) => Json::from(*v),
        (Type::U64, Value::U64(v)) => Json::from(*v),
        // The shortest digits that mean the same `f32`, not those of its `f64`.
        (Type::F32, Value::F32(v)) => {
            v.to_string().parse().ok().and_then(number).unwrap_or_else(|| odd(f64::from(*v)))
        }
        (Type::F64, Value::F64(v)) => number(*v).unwrap_or_else(|| odd(*v)),
        (Type::Char, Value::Char(v)) => Json::String(v.to_string()),
        (Type::String, Value::String(v)) => Json::String(v.clone()),
        (Type::List(_), Value::Bytes(bytes)) => bytes.iter().map(|byte| Json::from(*byte)).collect(),
        (Type::List(ty) | Type::FixedList(ty, _), Value::List(values)) => Json::Array(list(ty, values)?),
        (Type::Map(key, of), Value::Map(pairs)) => {
            let pair = |(k, v): &(Value, Value)| Some(Json::Array(vec![to_json(key, k)?, to_json(of, v)?]));
            Json::Array(pairs.iter().map(pair).collect::<Option<_>>()?)
        }
        (Type::Option(_), Value::Option(None)) => Json::Null,
        (Type::Option(of), Value::Option(Some(value))) => {
            let json = to_json(of, value)?;
            if matches!(**of, Type::Option(_)) { object("some", json) } else { json }
        }
        (Type::Result(ok, _), Value::Result(Ok(value))) => object("ok", inner(ok.as_deref(), value)?),
        (Type::Result(_, err), Value::Result(Err(value))) => object("err", inner(err.as_deref(), value)?),
        (Type::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
            Json::Array(types.iter().zip(values).map(|(ty, v)| to_json(ty, v)).collect::<Option<_>>()?)
        }
        (Type::Record(fields), Value::Record(values)) if fields.len() == values.len() => {
            let pairs = fields.iter().zip(values);
            let pairs = pairs.map(|((name, ty), v)| Some((name.clone(), to_json(ty, v)?)));
            Json::Object(pairs.collect::<Option<_>>()?)
        }
        (Type::Variant(cases), Value::Variant(place, value)) => match cases.get(*place as usize)? {
            (name, None) => Json::String(name.clone()),
            (name, ty) => object(name, inner(ty.as_ref(), value)?),
        },
        (Type::Enum(names), Value::Enum(place)) => Json::String(names.get(*place as usize)?.clone()),
        (Type::Flags(names), Value::Flags(words)) => set(names, words).into_iter().map(Json::from).collect(),
        _ => return None,
    })
}

fn inner(ty: Option<&Type>, value: &Option<Box<Value>>) -> Option<Json> {
    match (ty, value) {
        (Some(ty), Some(value)) => to_json(ty, value),
        (None, None) => Some(Json::Null),
        _ => None,
    }
}

fn object(name: &str, json: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_string(), json)]))
}

fn number(value: f64) -> Option<Json> {
    Number::from_f64(value).map(Json::Number)
}

/// What JSON has no number for.
fn odd(value: f64) -> Json {
    let name = match value {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    };
    name.into()
}
