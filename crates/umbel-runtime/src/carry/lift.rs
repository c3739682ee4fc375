//! Out of a guest: the canonical ABI's flat values and memory become a [`Value`].
//!
//! What a value takes in the host is booked as the engine books its own (`hostcall_fuel`), so that a list of a million empty strings is
//! refused and not paid for by the host.

use super::handles::Handle;
use super::shape;
use bytes::Bytes;
use std::slice::Iter;
use umbel_wit::Value;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LiftContext};
use wasmtime::component::Lift;
use wasmtime::{Result, ValRaw, bail, format_err};

type Flat<'a> = Iter<'a, ValRaw>;

/// The arms that are the same for flat values and for memory.
macro_rules! leaf {
    ($from:ident, $cx:expr, $ty:expr, $src:expr) => {
        match $ty {
            InterfaceType::Bool => Some(Value::Bool(bool::$from($cx, $ty, $src)?)),
            InterfaceType::S8 => Some(Value::S8(i8::$from($cx, $ty, $src)?)),
            InterfaceType::U8 => Some(Value::U8(u8::$from($cx, $ty, $src)?)),
            InterfaceType::S16 => Some(Value::S16(i16::$from($cx, $ty, $src)?)),
            InterfaceType::U16 => Some(Value::U16(u16::$from($cx, $ty, $src)?)),
            InterfaceType::S32 => Some(Value::S32(i32::$from($cx, $ty, $src)?)),
            InterfaceType::U32 => Some(Value::U32(u32::$from($cx, $ty, $src)?)),
            InterfaceType::S64 => Some(Value::S64(i64::$from($cx, $ty, $src)?)),
            InterfaceType::U64 => Some(Value::U64(u64::$from($cx, $ty, $src)?)),
            InterfaceType::Float32 => Some(Value::F32(f32::$from($cx, $ty, $src)?)),
            InterfaceType::Float64 => Some(Value::F64(f64::$from($cx, $ty, $src)?)),
            InterfaceType::Char => Some(Value::Char(char::$from($cx, $ty, $src)?)),
            _ => None,
        }
    };
}

/// Reads a value of the type from flat values.
pub(super) fn flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &mut Flat<'_>) -> Result<Value> {
    if let Some(value) = leaf!(linear_lift_from_flat, cx, ty, next(src)?) {
        return Ok(value);
    }
    Ok(match ty {
        InterfaceType::String => {
            Value::String(String::linear_lift_from_flat(cx, ty, &[*next(src)?, *next(src)?])?)
        }
        InterfaceType::List(_) | InterfaceType::Map(_) => {
            let (at, len) = (next(src)?.get_u32() as usize, next(src)?.get_u32() as usize);
            sequence(cx, ty, at, len)?
        }
        InterfaceType::Record(i) => {
            let types = cx.types;
            book(cx, types[i].fields.len())?;
            let fields = types[i].fields.iter().map(|field| flat(cx, field.ty, src));
            Value::Record(fields.collect::<Result<_>>()?)
        }
        InterfaceType::Tuple(i) => {
            let types = cx.types;
            book(cx, types[i].types.len())?;
            Value::Tuple(types[i].types.iter().map(|ty| flat(cx, *ty, src)).collect::<Result<_>>()?)
        }
        InterfaceType::FixedLengthList(i) => {
            let (element, size) = (cx.types[i].element, cx.types[i].size);
            book(cx, size as usize)?;
            Value::List((0..size).map(|_| flat(cx, element, src)).collect::<Result<_>>()?)
        }
        InterfaceType::Flags(_) => {
            let words = abi(cx, &ty).flat_count(usize::MAX).unwrap_or(0);
            Value::Flags((0..words).map(|_| Ok(next(src)?.get_u32())).collect::<Result<_>>()?)
        }
        InterfaceType::Own(_) | InterfaceType::Borrow(_) | InterfaceType::Stream(_) => {
            Handle::lift(cx, ty, next(src)?)?.into_value(!matches!(ty, InterfaceType::Borrow(_)))
        }
        InterfaceType::Future(_) | InterfaceType::ErrorContext(_) => not_carried()?,
        _ => {
            let place = next(src)?.get_u32();
            let payload = case(cx, ty, place)?;
            // The cases share their places; what a shorter one leaves over is skipped.
            let rest = abi(cx, &ty).flat_count(usize::MAX).unwrap_or(1) - 1;
            let used = payload.map_or(0, |ty| abi(cx, &ty).flat_count(usize::MAX).unwrap_or(0));
            let value = payload.map(|ty| boxed(cx, |cx| flat(cx, ty, src))).transpose()?;
            for _ in used..rest {
                next(src)?;
            }
            variant(ty, place, value)
        }
    })
}

/// Reads a value of the type from memory at an offset.
pub(super) fn memory(cx: &mut LiftContext<'_>, ty: InterfaceType, at: usize) -> Result<Value> {
    let size = abi(cx, &ty).size32 as usize;
    let bytes = cx.memory().get(at..).and_then(|rest| rest.get(..size));
    let bytes = bytes.ok_or_else(|| format_err!("a value is out of bounds of memory"))?;
    if let Some(value) = leaf!(linear_lift_from_memory, cx, ty, bytes) {
        return Ok(value);
    }
    Ok(match ty {
        InterfaceType::String => Value::String(String::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::List(_) | InterfaceType::Map(_) => {
            let (start, len) = (word(bytes, 0) as usize, word(bytes, 4) as usize);
            sequence(cx, ty, start, len)?
        }
        InterfaceType::Record(i) => {
            let types = cx.types;
            book(cx, types[i].fields.len())?;
            Value::Record(fields(cx, types[i].fields.iter().map(|field| field.ty), at)?)
        }
        InterfaceType::Tuple(i) => {
            let types = cx.types;
            book(cx, types[i].types.len())?;
            Value::Tuple(fields(cx, types[i].types.iter().copied(), at)?)
        }
        InterfaceType::FixedLengthList(i) => {
            let (element, len) = (cx.types[i].element, cx.types[i].size as usize);
            book(cx, len)?;
            let step = abi(cx, &element).size32 as usize;
            Value::List((0..len).map(|n| memory(cx, element, at + n * step)).collect::<Result<_>>()?)
        }
        InterfaceType::Flags(_) => Value::Flags(match bytes.len() {
            1 | 2 => vec![short(bytes)],
            size => (0..size / 4).map(|n| word(bytes, 4 * n)).collect(),
        }),
        InterfaceType::Own(_) | InterfaceType::Borrow(_) | InterfaceType::Stream(_) => {
            let index = ValRaw::u32(word(bytes, 0));
            Handle::lift(cx, ty, &index)?.into_value(!matches!(ty, InterfaceType::Borrow(_)))
        }
        InterfaceType::Future(_) | InterfaceType::ErrorContext(_) => not_carried()?,
        _ => {
            let shape = shape(cx.types, ty)?;
            let place = match shape.tag_bytes {
                4 => word(bytes, 0),
                size => short(&bytes[..size]),
            };
            let payload_at = at + shape.payload_at;
            let payload = case(cx, ty, place)?;
            let value = payload.map(|ty| boxed(cx, |cx| memory(cx, ty, payload_at))).transpose()?;
            variant(ty, place, value)
        }
    })
}

/// Reads fields that follow one another from an offset.
pub(super) fn fields(
    cx: &mut LiftContext<'_>,
    types: impl Iterator<Item = InterfaceType>,
    at: usize,
) -> Result<Vec<Value>> {
    let mut offset = 0;
    types
        .map(|ty| {
            let place = at + abi(cx, &ty).next_field32_size(&mut offset);
            memory(cx, ty, place)
        })
        .collect()
}

fn sequence(cx: &mut LiftContext<'_>, ty: InterfaceType, at: usize, len: usize) -> Result<Value> {
    match ty {
        InterfaceType::List(i) if cx.types[i].element == InterfaceType::U8 => {
            let bytes = cx.memory().get(at..).and_then(|rest| rest.get(..len));
            let bytes = bytes.ok_or_else(|| format_err!("a list is out of bounds of memory"))?;
            cx.consume_fuel(len)?;
            Ok(Value::Bytes(Bytes::copy_from_slice(bytes)))
        }
        InterfaceType::List(i) => {
            let element = cx.types[i].element;
            let step = check(cx, abi(cx, &element), at, len)?;
            Ok(Value::List((0..len).map(|n| memory(cx, element, at + n * step)).collect::<Result<_>>()?))
        }
        InterfaceType::Map(i) => {
            let types = cx.types;
            let map = &types[i];
            let step = check(cx, &map.entry_abi, at, len)?;
            book(cx, len)?;
            let entry = |n| {
                let entry_at = at + n * step;
                let key = memory(cx, map.key, entry_at)?;
                Ok((key, memory(cx, map.value, entry_at + map.value_offset32 as usize)?))
            };
            Ok(Value::Map((0..len).map(entry).collect::<Result<_>>()?))
        }
        _ => not_carried(),
    }
}

/// Checks that so many elements lie in memory, and books them. Returns the size of one.
fn check(cx: &mut LiftContext<'_>, abi: &CanonicalAbiInfo, at: usize, len: usize) -> Result<usize> {
    let step = abi.size32 as usize;
    let end = len.checked_mul(step).and_then(|bytes| bytes.checked_add(at));
    if end.is_none_or(|end| end > cx.memory().len()) {
        bail!("a list is out of bounds of memory");
    }
    if !at.is_multiple_of(abi.align32 as usize) {
        bail!("a list is not aligned");
    }
    book(cx, len)?;
    Ok(step)
}

fn book(cx: &mut LiftContext<'_>, values: usize) -> Result<()> {
    cx.consume_fuel_array(values, size_of::<Value>())
}

fn boxed(
    cx: &mut LiftContext<'_>,
    lift: impl FnOnce(&mut LiftContext<'_>) -> Result<Value>,
) -> Result<Box<Value>> {
    book(cx, 1)?;
    Ok(Box::new(lift(cx)?))
}

fn abi<'a>(cx: &LiftContext<'a>, ty: &InterfaceType) -> &'a CanonicalAbiInfo {
    cx.types.canonical_abi(ty)
}

/// One or two bytes.
fn short(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn next<'a>(src: &mut Flat<'a>) -> Result<&'a ValRaw> {
    src.next().ok_or_else(|| format_err!("a flat value is missing"))
}

/// The payload of the case at a place, which the guest chose.
fn case(cx: &LiftContext<'_>, ty: InterfaceType, place: u32) -> Result<Option<InterfaceType>> {
    let at = place as usize;
    let payload = match ty {
        InterfaceType::Variant(i) => cx.types[i].cases.get_index(at).map(|(_, ty)| *ty),
        InterfaceType::Enum(i) => (at < cx.types[i].names.len()).then_some(None),
        InterfaceType::Option(i) => [None, Some(cx.types[i].ty)].get(at).copied(),
        InterfaceType::Result(i) => [cx.types[i].ok, cx.types[i].err].get(at).copied(),
        _ => None,
    };
    payload.ok_or_else(|| format_err!("there is no case {place}"))
}

fn variant(ty: InterfaceType, place: u32, payload: Option<Box<Value>>) -> Value {
    match ty {
        InterfaceType::Enum(_) => Value::Enum(place),
        InterfaceType::Option(_) => Value::Option(payload),
        InterfaceType::Result(_) => Value::Result(if place == 0 { Ok(payload) } else { Err(payload) }),
        _ => Value::Variant(place, payload),
    }
}

/// Links with such types are refused when they are made.
fn not_carried<T>() -> Result<T> {
    bail!("a value of a type that is not carried over links")
}
