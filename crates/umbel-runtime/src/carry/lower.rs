//! Into a guest: a [`Value`] becomes the canonical ABI's flat values and memory.

use super::handles::Handle;
use super::shape;
use crate::error::CallError;
use std::mem::MaybeUninit;
use std::slice::IterMut;
use umbel_core::Problem;
use umbel_core::code::guest::CONTRACT_MISMATCH;
use umbel_wit::Value;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LowerContext};
use wasmtime::component::Lower;
use wasmtime::{Result, ValRaw, bail, format_err};

type Flat<'a> = IterMut<'a, MaybeUninit<ValRaw>>;

/// The arms that are the same for flat values and for memory.
macro_rules! leaf {
    ($to:ident, $cx:expr, $ty:expr, $value:expr, $dst:expr) => {
        match ($ty, $value) {
            (InterfaceType::Bool, Value::Bool(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::S8, Value::S8(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::U8, Value::U8(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::S16, Value::S16(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::U16, Value::U16(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::S32, Value::S32(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::U32, Value::U32(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::S64, Value::S64(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::U64, Value::U64(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::Float32, Value::F32(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::Float64, Value::F64(v)) => Some(v.$to($cx, $ty, $dst)),
            (InterfaceType::Char, Value::Char(v)) => Some(v.$to($cx, $ty, $dst)),
            _ => None,
        }
    };
}

/// Writes a value as flat values.
pub(super) fn flat<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    dst: &mut Flat<'_>,
) -> Result<()> {
    if let Some(done) = leaf!(linear_lower_to_flat, cx, ty, value, next(dst)?) {
        return done;
    }
    match (ty, value) {
        (InterfaceType::String, Value::String(_))
        | (InterfaceType::List(_), Value::Bytes(_) | Value::List(_))
        | (InterfaceType::Map(_), Value::Map(_)) => {
            let (at, len) = sequence(cx, ty, value)?;
            put(dst, at)?;
            put(dst, len)
        }
        (InterfaceType::Record(i), Value::Record(values)) => {
            let types = cx.types[i].fields.iter().map(|field| field.ty);
            each(cx, types, values, |cx, ty, value| flat(cx, ty, value, dst))
        }
        (InterfaceType::Tuple(i), Value::Tuple(values)) => {
            let types = cx.types[i].types.iter().copied();
            each(cx, types, values, |cx, ty, value| flat(cx, ty, value, dst))
        }
        (InterfaceType::FixedLengthList(i), Value::List(values)) => {
            let types = std::iter::repeat_n(cx.types[i].element, cx.types[i].size as usize);
            each(cx, types, values, |cx, ty, value| flat(cx, ty, value, dst))
        }
        (InterfaceType::Flags(_), Value::Flags(words)) => {
            let count = abi(cx, &ty).flat_count(usize::MAX).unwrap_or(0);
            (0..count).try_for_each(|n| put(dst, words.get(n).copied().unwrap_or(0)))
        }
        (InterfaceType::Own(_) | InterfaceType::Borrow(_) | InterfaceType::Stream(_), _) => {
            let handle = Handle::of(value)?;
            handle.lower(cx, ty, next(dst)?)
        }
        _ => {
            let (place, payload) = case(cx, ty, value)?;
            put(dst, place)?;
            let rest = abi(cx, &ty).flat_count(usize::MAX).unwrap_or(1) - 1;
            let mut used = 0;
            if let Some((ty, value)) = payload {
                flat(cx, ty, value, dst)?;
                used = abi(cx, &ty).flat_count(usize::MAX).unwrap_or(0);
            }
            (used..rest).try_for_each(|_| put(dst, 0))
        }
    }
}

/// Writes a value to memory at an offset, which is in bounds and aligned.
pub(super) fn memory<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    at: usize,
) -> Result<()> {
    if let Some(done) = leaf!(linear_lower_to_memory, cx, ty, value, at) {
        return done;
    }
    match (ty, value) {
        (InterfaceType::String, Value::String(_))
        | (InterfaceType::List(_), Value::Bytes(_) | Value::List(_))
        | (InterfaceType::Map(_), Value::Map(_)) => {
            let (start, len) = sequence(cx, ty, value)?;
            *cx.get(at) = start.to_le_bytes();
            *cx.get(at + 4) = len.to_le_bytes();
            Ok(())
        }
        (InterfaceType::Record(i), Value::Record(values)) => {
            let types = cx.types[i].fields.iter().map(|field| field.ty);
            fields(cx, types, values, at)
        }
        (InterfaceType::Tuple(i), Value::Tuple(values)) => {
            let types = cx.types[i].types.iter().copied();
            fields(cx, types, values, at)
        }
        (InterfaceType::FixedLengthList(i), Value::List(values)) => {
            let types = std::iter::repeat_n(cx.types[i].element, cx.types[i].size as usize);
            fields(cx, types, values, at)
        }
        (InterfaceType::Flags(_), Value::Flags(words)) => {
            let size = abi(cx, &ty).size32 as usize;
            let bytes = words.iter().flat_map(|word| word.to_le_bytes()).chain(std::iter::repeat(0));
            cx.as_slice_mut()[at..][..size].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            Ok(())
        }
        (InterfaceType::Own(_) | InterfaceType::Borrow(_) | InterfaceType::Stream(_), _) => {
            let mut index = MaybeUninit::new(ValRaw::u32(0));
            Handle::of(value)?.lower(cx, ty, &mut index)?;
            #[expect(
                unsafe_code,
                reason = "the engine lowers handles into storage that may be uninitialised"
            )]
            // SAFETY: it was initialised when it was made.
            let index = unsafe { index.assume_init() };
            *cx.get(at) = index.get_u32().to_le_bytes();
            Ok(())
        }
        _ => {
            let (place, payload) = case(cx, ty, value)?;
            let shape = shape(cx.types, ty)?;
            let tag = &place.to_le_bytes()[..shape.tag_bytes];
            cx.as_slice_mut()[at..][..tag.len()].copy_from_slice(tag);
            match payload {
                Some((ty, value)) => memory(cx, ty, value, at + shape.payload_at),
                None => Ok(()),
            }
        }
    }
}

/// Writes fields one after another from an offset.
pub(super) fn fields<T>(
    cx: &mut LowerContext<'_, T>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    values: &[Value],
    at: usize,
) -> Result<()> {
    let mut offset = 0;
    each(cx, types, values, |cx, ty, value| {
        let place = at + abi(cx, &ty).next_field32_size(&mut offset);
        memory(cx, ty, value, place)
    })
}

fn each<T>(
    cx: &mut LowerContext<'_, T>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    values: &[Value],
    mut lower: impl FnMut(&mut LowerContext<'_, T>, InterfaceType, &Value) -> Result<()>,
) -> Result<()> {
    if types.len() != values.len() {
        bail!("{} values where {} belong", values.len(), types.len());
    }
    let mut pairs = types.zip(values);
    pairs.try_for_each(|(ty, value)| lower(cx, ty, value))
}

/// Writes what a string, list or map points at. Returns where it is and how many elements it has.
fn sequence<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value) -> Result<(u32, u32)> {
    let (at, len) = match (ty, value) {
        (InterfaceType::String, Value::String(text)) => {
            let mut pair = MaybeUninit::new([ValRaw::u32(0); 2]);
            text.linear_lower_to_flat(cx, ty, &mut pair)?;
            #[expect(
                unsafe_code,
                reason = "the engine lowers strings into storage that may be uninitialised"
            )]
            // SAFETY: it was initialised when it was made.
            let pair = unsafe { pair.assume_init() };
            return Ok((pair[0].get_u32(), pair[1].get_u32()));
        }
        (InterfaceType::List(i), Value::Bytes(bytes)) if cx.types[i].element == InterfaceType::U8 => {
            let at = cx.realloc(0, 0, 1, bytes.len())?;
            cx.as_slice_mut()[at..][..bytes.len()].copy_from_slice(bytes);
            (at, bytes.len())
        }
        (InterfaceType::List(i), Value::List(values)) => {
            let element = cx.types[i].element;
            let element_abi = abi(cx, &element);
            let (at, step) = reserve(cx, element_abi, values.len())?;
            for (n, value) in values.iter().enumerate() {
                memory(cx, element, value, at + n * step)?;
            }
            (at, values.len())
        }
        (InterfaceType::Map(i), Value::Map(entries)) => {
            let (key_ty, value_ty) = (cx.types[i].key, cx.types[i].value);
            let types = cx.types;
            let value_at = types[i].value_offset32 as usize;
            let (at, step) = reserve(cx, &types[i].entry_abi, entries.len())?;
            for (n, (key, value)) in entries.iter().enumerate() {
                memory(cx, key_ty, key, at + n * step)?;
                memory(cx, value_ty, value, at + n * step + value_at)?;
            }
            (at, entries.len())
        }
        _ => return unfit(value),
    };
    Ok((u32::try_from(at)?, u32::try_from(len)?))
}

fn reserve<T>(cx: &mut LowerContext<'_, T>, abi: &CanonicalAbiInfo, len: usize) -> Result<(usize, usize)> {
    let step = abi.size32 as usize;
    let size = len.checked_mul(step).ok_or_else(|| format_err!("a list is too long"))?;
    Ok((cx.realloc(0, 0, abi.align32, size)?, step))
}

type Payload<'a> = Option<(InterfaceType, &'a Value)>;

/// The place of a value's case, and its payload with its type.
fn case<'a, T>(cx: &LowerContext<'_, T>, ty: InterfaceType, value: &'a Value) -> Result<(u32, Payload<'a>)> {
    let (place, wanted, payload) = match (ty, value) {
        (InterfaceType::Variant(i), Value::Variant(place, payload)) => {
            let case = cx.types[i].cases.get_index(*place as usize);
            let (_, wanted) = case.ok_or_else(|| format_err!("there is no case {place}"))?;
            (*place, *wanted, payload)
        }
        (InterfaceType::Enum(i), Value::Enum(place)) if (*place as usize) < cx.types[i].names.len() => {
            return Ok((*place, None));
        }
        (InterfaceType::Option(_), Value::Option(None)) => return Ok((0, None)),
        (InterfaceType::Option(i), Value::Option(payload)) => (1, Some(cx.types[i].ty), payload),
        (InterfaceType::Result(i), Value::Result(Ok(payload))) => (0, cx.types[i].ok, payload),
        (InterfaceType::Result(i), Value::Result(Err(payload))) => (1, cx.types[i].err, payload),
        _ => return unfit(value),
    };
    match (wanted, payload) {
        (None, None) => Ok((place, None)),
        (Some(ty), Some(value)) => Ok((place, Some((ty, value)))),
        _ => unfit(value),
    }
}

fn abi<'a, T>(cx: &LowerContext<'a, T>, ty: &InterfaceType) -> &'a CanonicalAbiInfo {
    cx.types.canonical_abi(ty)
}

fn next<'a>(dst: &mut Flat<'a>) -> Result<&'a mut MaybeUninit<ValRaw>> {
    dst.next().ok_or_else(|| format_err!("there is no place for a flat value"))
}

fn put(dst: &mut Flat<'_>, word: u32) -> Result<()> {
    next(dst)?.write(ValRaw::u32(word));
    Ok(())
}

/// The server answered with something else than its contract says. What it is stays unsaid: it may be a secret.
fn unfit<T>(value: &Value) -> Result<T> {
    let text = format!("the server answered with {} where the contract has another type", kind(value));
    Err(wasmtime::Error::new(CallError::Link { problem: Box::new(Problem::new(CONTRACT_MISMATCH, text)) }))
}

/// What a value is, without what is in it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "a bool",
        Value::S8(_) | Value::S16(_) | Value::S32(_) | Value::S64(_) => "a signed number",
        Value::U8(_) | Value::U16(_) | Value::U32(_) | Value::U64(_) => "an unsigned number",
        Value::F32(_) | Value::F64(_) => "a floating-point number",
        Value::Char(_) => "a character",
        Value::String(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Tuple(_) => "a tuple",
        Value::Record(_) => "a record",
        Value::Variant(..) => "a variant",
        Value::Enum(_) => "an enum",
        Value::Option(_) => "an option",
        Value::Result(_) => "a result",
        Value::Flags(_) => "flags",
        Value::Own(_) | Value::Borrow(_) => "a resource",
        Value::Input(_) | Value::Stream(_) | Value::Items(_) => "a stream",
        Value::Output(_) => "a place to write to",
        Value::Later(_) => "a future",
    }
}
