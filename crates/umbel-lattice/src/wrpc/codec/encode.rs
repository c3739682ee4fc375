//! Values to bytes.

use super::leb::{put_signed, put_unsigned};
use super::{BYTES_MAX, CodecError, DEPTH_MAX, INPUT, OUTPUT, STREAMS_MAX};
use bytes::Bytes;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{Resource, Type, Value};

/// Takes over what is more than bytes. Paths say where a stream stands: the number of the argument, then of fields and elements.
pub trait Lend {
    /// The bytes by which the other end names the resource.
    fn lend(&mut self, resource: Resource, name: &str, is_own: bool) -> Result<Bytes, Problem>;

    /// Bytes that will be sent on a channel of their own.
    fn input(&mut self, path: &[u32], input: Input) -> Result<(), Problem>;

    /// Plain values of the type that will be sent on a channel of their own.
    fn items(&mut self, path: &[u32], ty: &Type, items: Items) -> Result<(), Problem>;

    /// Bytes that will come back on a channel of their own.
    fn output(&mut self, path: &[u32], output: Output) -> Result<(), Problem>;

    /// A plain value of the type that will be sent on a channel of its own.
    fn later(&mut self, path: &[u32], ty: &Type, later: Later) -> Result<(), Problem>;
}

/// Writes one value that has neither resources nor streams.
pub(crate) fn encode_plain(value: Value, ty: &Type) -> Result<Vec<u8>, CodecError> {
    encode([value], [ty], &mut Plain)
}

/// Takes over nothing.
struct Plain;

fn not_plain<T>() -> Result<T, Problem> {
    Err(Problem::new(
        guest::NOT_CARRIED,
        "a stream or future of resources, streams or futures cannot be carried",
    ))
}

impl Lend for Plain {
    fn lend(&mut self, _: Resource, _: &str, _: bool) -> Result<Bytes, Problem> {
        not_plain()
    }

    fn input(&mut self, _: &[u32], _: Input) -> Result<(), Problem> {
        not_plain()
    }

    fn items(&mut self, _: &[u32], _: &Type, _: Items) -> Result<(), Problem> {
        not_plain()
    }

    fn output(&mut self, _: &[u32], _: Output) -> Result<(), Problem> {
        not_plain()
    }

    fn later(&mut self, _: &[u32], _: &Type, _: Later) -> Result<(), Problem> {
        not_plain()
    }
}

/// Writes values of the types, one after another.
pub fn encode<'t>(
    values: impl IntoIterator<Item = Value>,
    types: impl IntoIterator<Item = &'t Type>,
    lend: &mut dyn Lend,
) -> Result<Vec<u8>, CodecError> {
    let mut writer = Writer { out: Vec::with_capacity(64), path: Vec::new(), streams: 0, lend };
    let mut values = values.into_iter();
    for (place, ty) in (0..).zip(types) {
        let value = values.next().ok_or_else(|| CodecError::mismatch(ty))?;
        writer.within(place, ty, value, 0)?;
    }
    if values.next().is_some() {
        return Err(CodecError::Mismatch { wanted: "nothing more".into() });
    }
    Ok(writer.out)
}

struct Writer<'l> {
    out: Vec<u8>,
    path: Vec<u32>,
    streams: usize,
    lend: &'l mut dyn Lend,
}

impl Writer<'_> {
    fn within(&mut self, place: u32, ty: &Type, value: Value, depth: usize) -> Result<(), CodecError> {
        self.path.push(place);
        let written = self.value(ty, value, depth);
        self.path.pop();
        written
    }

    fn value(&mut self, ty: &Type, value: Value, depth: usize) -> Result<(), CodecError> {
        if depth > DEPTH_MAX {
            return Err(CodecError::Limit { what: "levels of a value", max: DEPTH_MAX });
        }
        if self.out.len() > BYTES_MAX {
            return Err(CodecError::Limit { what: "bytes", max: BYTES_MAX });
        }
        match (ty, value) {
            (Type::Bool, Value::Bool(value)) => self.out.push(value.into()),
            (Type::U8, Value::U8(value)) => self.out.push(value),
            (Type::S8, Value::S8(value)) => self.out.push(value.cast_unsigned()),
            (Type::U16, Value::U16(value)) => put_unsigned(&mut self.out, value.into()),
            (Type::U32, Value::U32(value)) => put_unsigned(&mut self.out, value.into()),
            (Type::U64, Value::U64(value)) => put_unsigned(&mut self.out, value),
            (Type::S16, Value::S16(value)) => put_signed(&mut self.out, value.into()),
            (Type::S32, Value::S32(value)) => put_signed(&mut self.out, value.into()),
            (Type::S64, Value::S64(value)) => put_signed(&mut self.out, value),
            (Type::F32, Value::F32(value)) => self.out.extend_from_slice(&value.to_le_bytes()),
            (Type::F64, Value::F64(value)) => self.out.extend_from_slice(&value.to_le_bytes()),
            (Type::Char, Value::Char(value)) => {
                self.out.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes());
            }
            (Type::String, Value::String(text)) => self.bytes(text.as_bytes())?,
            (Type::Option(_), Value::Option(None)) => self.out.push(0),
            (Type::Option(ty), Value::Option(Some(value))) => {
                self.out.push(1);
                self.value(ty, *value, depth + 1)?;
            }
            (Type::Result(ok, _), Value::Result(Ok(value))) => {
                self.case(0, ok.as_deref(), value, ty, depth)?
            }
            (Type::Result(_, err), Value::Result(Err(value))) => {
                self.case(1, err.as_deref(), value, ty, depth)?;
            }
            (Type::Variant(cases), Value::Variant(place, value)) => {
                let (_, payload) = cases.get(place as usize).ok_or_else(|| CodecError::mismatch(ty))?;
                self.case(place, payload.as_ref(), value, ty, depth)?;
            }
            (Type::Enum(names), Value::Enum(place)) if (place as usize) < names.len() => {
                put_unsigned(&mut self.out, place.into());
            }
            (Type::Flags(names), Value::Flags(words)) => self.flags(ty, names.len(), &words)?,
            (ty, value) => self.compound(ty, value, depth)?,
        }
        Ok(())
    }

    fn compound(&mut self, ty: &Type, value: Value, depth: usize) -> Result<(), CodecError> {
        match (ty, value) {
            (Type::List(element), Value::Bytes(bytes)) if **element == Type::U8 => self.bytes(&bytes)?,
            (Type::List(element), Value::List(values)) if **element != Type::U8 => {
                self.length(values.len())?;
                self.all(std::iter::repeat(&**element), values, depth)?;
            }
            (Type::FixedList(element, len), Value::List(values)) if values.len() == *len as usize => {
                self.all(std::iter::repeat(&**element), values, depth)?;
            }
            (Type::FixedList(element, len), Value::Bytes(bytes))
                if **element == Type::U8 && bytes.len() == *len as usize =>
            {
                self.out.extend_from_slice(&bytes);
            }
            (Type::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                self.all(types, values, depth)?;
            }
            (Type::Record(fields), Value::Record(values)) if fields.len() == values.len() => {
                self.all(fields.iter().map(|(_, ty)| ty), values, depth)?;
            }
            (Type::Map(key, value), Value::Map(pairs)) => {
                self.length(pairs.len())?;
                for (place, (k, v)) in (0..).zip(pairs) {
                    self.within(place, key, k, depth + 1)?;
                    self.within(place, value, v, depth + 1)?;
                }
            }
            (ty, value) => self.handle(ty, value)?,
        }
        Ok(())
    }

    fn handle(&mut self, ty: &Type, value: Value) -> Result<(), CodecError> {
        match (ty, value) {
            (Type::Stream(Some(element)), Value::Stream(input)) if **element == Type::U8 => self.input(input),
            (Type::Stream(Some(element)), Value::Items(items)) if **element != Type::U8 => {
                self.stream()?;
                self.lend.items(&self.path, element, items).map_err(CodecError::Refused)
            }
            (Type::Own(name), Value::Input(input)) if name == INPUT => self.input(input),
            (Type::Own(name), Value::Output(output)) if name == OUTPUT => {
                self.stream()?;
                self.lend.output(&self.path, output).map_err(CodecError::Refused)
            }
            (Type::Future(Some(ty)), Value::Later(later)) => {
                self.stream()?;
                self.lend.later(&self.path, ty, later).map_err(CodecError::Refused)
            }
            (Type::Own(name) | Type::Borrow(name), Value::Own(_) | Value::Borrow(_))
                if name == INPUT || name == OUTPUT =>
            {
                Err(CodecError::not_carried(ty))
            }
            (Type::Own(name), Value::Own(resource)) => self.resource(resource, name, true),
            (Type::Borrow(name), Value::Borrow(resource)) => self.resource(resource, name, false),
            (Type::Stream(_) | Type::Future(_) | Type::ErrorContext, _) => Err(CodecError::not_carried(ty)),
            _ => Err(CodecError::mismatch(ty)),
        }
    }

    fn input(&mut self, input: Input) -> Result<(), CodecError> {
        self.stream()?;
        self.lend.input(&self.path, input).map_err(CodecError::Refused)
    }

    fn stream(&mut self) -> Result<(), CodecError> {
        self.streams += 1;
        if self.streams > STREAMS_MAX {
            return Err(CodecError::Limit { what: "streams", max: STREAMS_MAX });
        }
        self.out.push(0);
        Ok(())
    }

    fn resource(&mut self, resource: Resource, name: &str, is_own: bool) -> Result<(), CodecError> {
        let handle = self.lend.lend(resource, name, is_own).map_err(CodecError::Refused)?;
        self.bytes(&handle)
    }

    fn all<'t>(
        &mut self,
        types: impl IntoIterator<Item = &'t Type>,
        values: Vec<Value>,
        depth: usize,
    ) -> Result<(), CodecError> {
        for ((place, ty), value) in (0..).zip(types).zip(values) {
            self.within(place, ty, value, depth + 1)?;
        }
        Ok(())
    }

    fn case(
        &mut self,
        place: u32,
        payload: Option<&Type>,
        value: Option<Box<Value>>,
        whole: &Type,
        depth: usize,
    ) -> Result<(), CodecError> {
        put_unsigned(&mut self.out, place.into());
        match (payload, value) {
            (None, None) => Ok(()),
            (Some(ty), Some(value)) => self.value(ty, *value, depth + 1),
            _ => Err(CodecError::mismatch(whole)),
        }
    }

    fn flags(&mut self, ty: &Type, count: usize, words: &[u32]) -> Result<(), CodecError> {
        let is_beyond = |(place, word): (usize, &u32)| {
            let left = count.saturating_sub(place * 32);
            left < 32 && *word >> left != 0
        };
        if words.iter().enumerate().any(is_beyond) {
            return Err(CodecError::mismatch(ty));
        }
        let all = words.iter().flat_map(|word| word.to_le_bytes()).chain(std::iter::repeat(0));
        self.out.extend(all.take(count.div_ceil(8).max(1)));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.length(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn length(&mut self, length: usize) -> Result<(), CodecError> {
        if length > BYTES_MAX {
            return Err(CodecError::Limit { what: "bytes or elements", max: BYTES_MAX });
        }
        put_unsigned(&mut self.out, length as u64);
        Ok(())
    }
}
