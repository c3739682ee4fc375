//! WAVE, by way of the values of `wasm-wave`.

use super::Unreadable;
use crate::types::Type;
use crate::value::Value;
use std::borrow::Cow;
use wasm_wave::value::{Type as WaveType, Value as Wave};
use wasm_wave::wasm::{WasmValue, WasmValueError};

/// Characters that are shown of either side of a place.
const BEFORE: usize = 20;

/// Reads a value. Where a string is taken, a text that does not begin with a quote is that string as it is: no WAVE string begins otherwise.
pub fn from_wave(ty: &Type, text: &str) -> Result<Value, Unreadable> {
    if matches!(ty, Type::String) && !text.trim_start().starts_with('"') {
        return Ok(Value::String(text.to_string()));
    }
    let wanted = type_of(ty).ok_or_else(|| Unreadable::new(ty, "a value that has no text form"))?;
    let wave: Wave = wasm_wave::from_str(&wanted, text).map_err(|error| {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let place = place(text, error.span().start);
        Unreadable::new(ty, format!("`{}` is no value: {}{detail}{place}", shortened(text), error.kind()))
    })?;
    value(ty, &wave).ok_or_else(|| Unreadable::new(ty, format!("`{}` is no value", shortened(text))))
}

/// Writes a value of the type; `None` if it has no text form, or is not of the type.
pub fn to_wave(ty: &Type, value: &Value) -> Option<String> {
    wasm_wave::to_string(&wave(ty, value)?).ok()
}

/// Where in a text something is wrong, by what stands there: which field, and what is in it.
fn place(text: &str, at: usize) -> String {
    let Some((before, from)) = text.split_at_checked(at).filter(|(before, _)| !before.is_empty()) else {
        return String::new();
    };
    let begin = before.char_indices().rev().nth(BEFORE).map_or(0, |(place, _)| place);
    let shown = format!("{}{}", &before[begin..], from.chars().take(BEFORE).collect::<String>());
    let column = before.chars().count() + 1;
    format!(", at character {column} (`{}`)", shortened(&shown))
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

fn type_of(ty: &Type) -> Option<WaveType> {
    let all = |types: &[Type]| types.iter().map(type_of).collect::<Option<Vec<_>>>();
    let named = |(name, ty): &(String, Type)| Some((name.clone(), type_of(ty)?));
    let maybe = |ty: &Option<Box<Type>>| match ty {
        Some(ty) => type_of(ty).map(Some),
        None => Some(None),
    };
    Some(match ty {
        Type::Bool => WaveType::BOOL,
        Type::S8 => WaveType::S8,
        Type::U8 => WaveType::U8,
        Type::S16 => WaveType::S16,
        Type::U16 => WaveType::U16,
        Type::S32 => WaveType::S32,
        Type::U32 => WaveType::U32,
        Type::S64 => WaveType::S64,
        Type::U64 => WaveType::U64,
        Type::F32 => WaveType::F32,
        Type::F64 => WaveType::F64,
        Type::Char => WaveType::CHAR,
        Type::String => WaveType::STRING,
        // Their number is looked at when they are read.
        Type::List(ty) | Type::FixedList(ty, _) => WaveType::list(type_of(ty)?),
        // WAVE has no maps: one is a list of pairs.
        Type::Map(key, value) => WaveType::list(WaveType::tuple([type_of(key)?, type_of(value)?])?),
        Type::Option(ty) => WaveType::option(type_of(ty)?),
        Type::Result(ok, err) => WaveType::result(maybe(ok)?, maybe(err)?),
        Type::Tuple(types) => WaveType::tuple(all(types)?)?,
        Type::Record(fields) => WaveType::record(fields.iter().map(named).collect::<Option<Vec<_>>>()?)?,
        Type::Variant(cases) => {
            let case = |(name, ty): &(String, Option<Type>)| match ty {
                Some(ty) => Some((name.clone(), Some(type_of(ty)?))),
                None => Some((name.clone(), None)),
            };
            WaveType::variant(cases.iter().map(case).collect::<Option<Vec<_>>>()?)?
        }
        Type::Enum(names) => WaveType::enum_ty(names.iter().map(String::as_str))?,
        Type::Flags(names) => WaveType::flags(names.iter().map(String::as_str))?,
        Type::ErrorContext | Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_) => {
            return None;
        }
    })
}

fn value(ty: &Type, wave: &Wave) -> Option<Value> {
    Some(match ty {
        Type::Bool => Value::Bool(wave.unwrap_bool()),
        Type::S8 => Value::S8(wave.unwrap_s8()),
        Type::U8 => Value::U8(wave.unwrap_u8()),
        Type::S16 => Value::S16(wave.unwrap_s16()),
        Type::U16 => Value::U16(wave.unwrap_u16()),
        Type::S32 => Value::S32(wave.unwrap_s32()),
        Type::U32 => Value::U32(wave.unwrap_u32()),
        Type::S64 => Value::S64(wave.unwrap_s64()),
        Type::U64 => Value::U64(wave.unwrap_u64()),
        Type::F32 => Value::F32(wave.unwrap_f32()),
        Type::F64 => Value::F64(wave.unwrap_f64()),
        Type::Char => Value::Char(wave.unwrap_char()),
        Type::String => Value::String(wave.unwrap_string().into_owned()),
        _ => return compound_value(ty, wave),
    })
}

fn compound_value(ty: &Type, wave: &Wave) -> Option<Value> {
    let inner = |ty: &Option<Box<Type>>, wave: Option<Cow<'_, Wave>>| match (ty, wave) {
        (Some(ty), Some(wave)) => value(ty, &wave).map(|value| Some(Box::new(value))),
        (None, None) => Some(None),
        _ => None,
    };
    let list = |ty: &Type| wave.unwrap_list().map(|wave| value(ty, &wave)).collect::<Option<Vec<_>>>();
    Some(match ty {
        Type::List(ty) if **ty == Type::U8 => {
            Value::bytes(wave.unwrap_list().map(|byte| byte.unwrap_u8()).collect::<Vec<u8>>())
        }
        Type::List(ty) => Value::List(list(ty)?),
        Type::FixedList(ty, len) => {
            let values = list(ty)?;
            (values.len() == *len as usize).then_some(Value::List(values))?
        }
        Type::Map(key, of) => {
            let pair = |wave: Cow<'_, Wave>| {
                let mut pair = wave.unwrap_tuple();
                let (k, v) = (pair.next()?, pair.next()?);
                Some((value(key, &k)?, value(of, &v)?))
            };
            Value::Map(wave.unwrap_list().map(pair).collect::<Option<_>>()?)
        }
        Type::Option(ty) => Value::Option(match wave.unwrap_option() {
            Some(wave) => Some(Box::new(value(ty, &wave)?)),
            None => None,
        }),
        Type::Result(ok, err) => Value::Result(match wave.unwrap_result() {
            Ok(wave) => Ok(inner(ok, wave)?),
            Err(wave) => Err(inner(err, wave)?),
        }),
        Type::Tuple(types) => {
            let pairs = types.iter().zip(wave.unwrap_tuple());
            Value::Tuple(pairs.map(|(ty, wave)| value(ty, &wave)).collect::<Option<_>>()?)
        }
        Type::Record(fields) => {
            let pairs = fields.iter().zip(wave.unwrap_record());
            Value::Record(pairs.map(|((_, ty), (_, wave))| value(ty, &wave)).collect::<Option<_>>()?)
        }
        Type::Variant(cases) => {
            let (name, wave) = wave.unwrap_variant();
            let place = cases.iter().position(|(case, _)| *case == name)?;
            let payload = match (&cases[place].1, wave) {
                (Some(ty), Some(wave)) => Some(Box::new(value(ty, &wave)?)),
                _ => None,
            };
            Value::Variant(u32::try_from(place).ok()?, payload)
        }
        Type::Enum(names) => {
            let name = wave.unwrap_enum();
            Value::Enum(u32::try_from(names.iter().position(|case| *case == name)?).ok()?)
        }
        Type::Flags(names) => {
            let mut words = vec![0_u32; names.len().div_ceil(32)];
            for flag in wave.unwrap_flags() {
                let place = names.iter().position(|name| *name == flag)?;
                words[place / 32] |= 1 << (place % 32);
            }
            Value::Flags(words)
        }
        _ => return None,
    })
}

fn wave(ty: &Type, value: &Value) -> Option<Wave> {
    let of = type_of(ty)?;
    let made = match (ty, value) {
        (Type::Bool, Value::Bool(v)) => Wave::make_bool(*v),
        (Type::S8, Value::S8(v)) => Wave::make_s8(*v),
        (Type::U8, Value::U8(v)) => Wave::make_u8(*v),
        (Type::S16, Value::S16(v)) => Wave::make_s16(*v),
        (Type::U16, Value::U16(v)) => Wave::make_u16(*v),
        (Type::S32, Value::S32(v)) => Wave::make_s32(*v),
        (Type::U32, Value::U32(v)) => Wave::make_u32(*v),
        (Type::S64, Value::S64(v)) => Wave::make_s64(*v),
        (Type::U64, Value::U64(v)) => Wave::make_u64(*v),
        (Type::F32, Value::F32(v)) => Wave::make_f32(*v),
        (Type::F64, Value::F64(v)) => Wave::make_f64(*v),
        (Type::Char, Value::Char(v)) => Wave::make_char(*v),
        (Type::String, Value::String(v)) => Wave::make_string(Cow::Borrowed(v)),
        (_, value) => return compound(ty, &of, value)?.ok(),
    };
    Some(made)
}

type Made = Option<Result<Wave, WasmValueError>>;

fn compound(ty: &Type, of: &WaveType, value: &Value) -> Made {
    let inner = |ty: &Option<Box<Type>>, value: &Option<Box<Value>>| match (ty, value) {
        (Some(ty), Some(value)) => wave(ty, value).map(Some),
        (None, None) => Some(None),
        _ => None,
    };
    let list = |ty: &Type, values: &[Value]| values.iter().map(|v| wave(ty, v)).collect::<Option<Vec<_>>>();
    Some(match (ty, value) {
        (Type::List(_), Value::Bytes(bytes)) => Wave::make_list(of, bytes.iter().map(|b| Wave::make_u8(*b))),
        (Type::List(ty) | Type::FixedList(ty, _), Value::List(values)) => {
            Wave::make_list(of, list(ty, values)?)
        }
        (Type::Map(key, item), Value::Map(pairs)) => {
            let pair = WaveType::tuple([type_of(key)?, type_of(item)?])?;
            let pairs =
                pairs.iter().map(|(k, v)| Wave::make_tuple(&pair, [wave(key, k)?, wave(item, v)?]).ok());
            Wave::make_list(of, pairs.collect::<Option<Vec<_>>>()?)
        }
        (Type::Option(_), Value::Option(None)) => Wave::make_option(of, None),
        (Type::Option(ty), Value::Option(Some(value))) => Wave::make_option(of, Some(wave(ty, value)?)),
        (Type::Result(ok, _), Value::Result(Ok(value))) => Wave::make_result(of, Ok(inner(ok, value)?)),
        (Type::Result(_, err), Value::Result(Err(value))) => Wave::make_result(of, Err(inner(err, value)?)),
        (Type::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
            let pairs = types.iter().zip(values);
            Wave::make_tuple(of, pairs.map(|(ty, v)| wave(ty, v)).collect::<Option<Vec<_>>>()?)
        }
        (Type::Record(fields), Value::Record(values)) if fields.len() == values.len() => {
            let pairs = fields.iter().zip(values);
            let pairs = pairs.map(|((name, ty), v)| Some((name.as_str(), wave(ty, v)?)));
            Wave::make_record(of, pairs.collect::<Option<Vec<_>>>()?)
        }
        (Type::Variant(cases), Value::Variant(place, value)) => {
            let (name, ty) = cases.get(*place as usize)?;
            let payload = match (ty, value) {
                (Some(ty), Some(value)) => Some(wave(ty, value)?),
                _ => None,
            };
            Wave::make_variant(of, name, payload)
        }
        (Type::Enum(names), Value::Enum(place)) => Wave::make_enum(of, names.get(*place as usize)?),
        (Type::Flags(names), Value::Flags(words)) => Wave::make_flags(of, set(names, words)),
        _ => return None,
    })
}

/// The names of the flags that are set.
pub(super) fn set<'n>(names: &'n [String], words: &[u32]) -> Vec<&'n str> {
    let is_set = |place: usize| words.get(place / 32).is_some_and(|word| word >> (place % 32) & 1 == 1);
    names.iter().enumerate().filter(|(place, _)| is_set(*place)).map(|(_, name)| name.as_str()).collect()
}
