//! Bytes to values.

use super::leb::{signed, unsigned};
use super::{BYTES_MAX, CodecError, DEPTH_MAX, INPUT, OUTPUT, Reader, STREAMS_MAX, VALUES_MAX};
use bytes::Bytes;
use futures::StreamExt;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{Resource, Type, Value};

/// Gives what is more than bytes.
pub trait Take {
    /// The resource that the other end names so.
    fn resource(&mut self, handle: &[u8], name: &str, is_own: bool) -> Result<Resource, Problem>;

    /// A stream: all of its bytes, or those that come on a channel of their own.
    fn input(&mut self, path: &[u32], ready: Option<Bytes>) -> Result<Input, Problem>;

    /// Plain values of the type that come on a channel of their own.
    fn items(&mut self, path: &[u32], ty: &Type) -> Result<Items, Problem>;

    /// Where to write bytes that go to a channel of their own.
    fn output(&mut self, path: &[u32]) -> Result<Output, Problem>;

    /// A plain value of the type that comes on a channel of its own.
    fn later(&mut self, path: &[u32], ty: &Type) -> Result<Later, Problem>;
}

/// Reads one value that has neither resources nor streams.
pub(crate) fn decode_plain(bytes: &Bytes, ty: &Type) -> Result<Value, CodecError> {
    let values = decode(bytes, [ty], &mut Plain)?;
    values.into_iter().next().ok_or(CodecError::Incomplete)
}

/// Reads the chunk at the beginning of a stream's bytes: its values, and how many bytes it has.
pub(crate) fn decode_chunk(bytes: &Bytes, ty: &Type) -> Result<(Vec<Value>, usize), CodecError> {
    let mut plain = Plain;
    let take: &mut dyn Take = &mut plain;
    let mut from = From { reader: Reader::new(bytes), path: Vec::new(), left: VALUES_MAX, streams: 0, take };
    let length = from.count()?;
    let values = from.list(ty, length, 0)?;
    Ok((values, bytes.len() - from.reader.left()))
}

/// Gives nothing.
struct Plain;

fn not_plain<T>() -> Result<T, Problem> {
    Err(Problem::new(
        guest::NOT_CARRIED,
        "a stream or future of resources, streams or futures cannot be carried",
    ))
}

impl Take for Plain {
    fn resource(&mut self, _: &[u8], _: &str, _: bool) -> Result<Resource, Problem> {
        not_plain()
    }

    fn input(&mut self, _: &[u32], _: Option<Bytes>) -> Result<Input, Problem> {
        not_plain()
    }

    fn items(&mut self, _: &[u32], _: &Type) -> Result<Items, Problem> {
        not_plain()
    }

    fn output(&mut self, _: &[u32]) -> Result<Output, Problem> {
        not_plain()
    }

    fn later(&mut self, _: &[u32], _: &Type) -> Result<Later, Problem> {
        not_plain()
    }
}

/// Reads values of the types, one after another. All bytes must be used.
///
/// Errors: [`CodecError::Incomplete`] if more bytes would help, others if none would.
pub fn decode<'t>(
    bytes: &Bytes,
    types: impl IntoIterator<Item = &'t Type>,
    take: &mut dyn Take,
) -> Result<Vec<Value>, CodecError> {
    if bytes.len() > BYTES_MAX {
        return Err(CodecError::Limit { what: "bytes", max: BYTES_MAX });
    }
    let mut from = From { reader: Reader::new(bytes), path: Vec::new(), left: VALUES_MAX, streams: 0, take };
    let mut values = Vec::new();
    for (place, ty) in (0..).zip(types) {
        values.push(from.within(place, ty, 0)?);
    }
    if from.reader.left() > 0 {
        return Err(CodecError::Broken { what: "more than the values" });
    }
    Ok(values)
}

struct From<'b, 't> {
    reader: Reader<'b>,
    path: Vec<u32>,
    left: usize,
    streams: usize,
    take: &'t mut dyn Take,
}

impl From<'_, '_> {
    fn within(&mut self, place: u32, ty: &Type, depth: usize) -> Result<Value, CodecError> {
        self.path.push(place);
        let value = self.value(ty, depth);
        self.path.pop();
        value
    }

    fn value(&mut self, ty: &Type, depth: usize) -> Result<Value, CodecError> {
        if depth > DEPTH_MAX {
            return Err(CodecError::Limit { what: "levels of a value", max: DEPTH_MAX });
        }
        self.left = self.left.checked_sub(1).ok_or(CodecError::Limit { what: "values", max: VALUES_MAX })?;
        let reader = &mut self.reader;
        Ok(match ty {
            Type::Bool => Value::Bool(bool_of(reader.byte()?)?),
            Type::U8 => Value::U8(reader.byte()?),
            Type::S8 => Value::S8(reader.byte()?.cast_signed()),
            Type::U16 => Value::U16(narrow(unsigned(reader, 16)?)?),
            Type::U32 => Value::U32(narrow(unsigned(reader, 32)?)?),
            Type::U64 => Value::U64(unsigned(reader, 64)?),
            Type::S16 => Value::S16(narrow(signed(reader, 16)?)?),
            Type::S32 => Value::S32(narrow(signed(reader, 32)?)?),
            Type::S64 => Value::S64(signed(reader, 64)?),
            Type::F32 => Value::F32(f32::from_le_bytes(reader.array()?)),
            Type::F64 => Value::F64(f64::from_le_bytes(reader.array()?)),
            Type::Char => Value::Char(char_of(reader)?),
            Type::String => Value::String(self.text()?),
            Type::Option(ty) => match bool_of(reader.byte()?)? {
                false => Value::Option(None),
                true => Value::some(self.value(ty, depth + 1)?),
            },
            Type::Result(ok, err) => match bool_of(reader.byte()?)? {
                false => Value::Result(Ok(self.maybe(ok.as_deref(), depth)?)),
                true => Value::Result(Err(self.maybe(err.as_deref(), depth)?)),
            },
            Type::Variant(cases) => {
                let place = case_of(reader, cases.len())?;
                Value::Variant(place, self.maybe(cases[place as usize].1.as_ref(), depth)?)
            }
            Type::Enum(names) => Value::Enum(case_of(reader, names.len())?),
            Type::Flags(names) => Value::Flags(flags_of(reader, names.len())?),
            ty => self.compound(ty, depth)?,
        })
    }

    fn compound(&mut self, ty: &Type, depth: usize) -> Result<Value, CodecError> {
        Ok(match ty {
            Type::List(element) if **element == Type::U8 => {
                let length = self.reader.length()?;
                Value::Bytes(self.reader.take(length)?)
            }
            Type::List(element) => {
                let length = self.count()?;
                Value::List(self.list(element, length, depth)?)
            }
            Type::FixedList(element, length) => {
                let length = *length as usize;
                self.check(length)?;
                Value::List(self.list(element, length, depth)?)
            }
            Type::Tuple(types) => Value::Tuple(self.all(types, depth)?),
            Type::Record(fields) => Value::Record(self.all(fields.iter().map(|(_, ty)| ty), depth)?),
            Type::Map(key, value) => {
                let length = self.count()?;
                let mut pairs = Vec::new();
                for place in 0..length as u32 {
                    let key = self.within(place, key, depth + 1)?;
                    pairs.push((key, self.within(place, value, depth + 1)?));
                }
                Value::Map(pairs)
            }
            Type::Stream(Some(element)) if **element == Type::U8 => Value::Stream(self.input()?),
            Type::Stream(Some(element)) => Value::Items(self.items(element, depth)?),
            Type::Own(name) if name == INPUT => Value::Input(self.input()?),
            Type::Own(name) if name == OUTPUT => {
                self.stream()?;
                if self.reader.byte()? != 0 {
                    return Err(CodecError::Broken { what: "an output stream that is not pending" });
                }
                Value::Output(self.take.output(&self.path).map_err(CodecError::Refused)?)
            }
            Type::Future(Some(ty)) => Value::Later(self.later(ty, depth)?),
            Type::Borrow(name) if name == INPUT || name == OUTPUT => return Err(CodecError::not_carried(ty)),
            Type::Own(name) => Value::Own(self.resource(name, true)?),
            Type::Borrow(name) => Value::Borrow(self.resource(name, false)?),
            ty => return Err(CodecError::not_carried(ty)),
        })
    }

    fn maybe(&mut self, ty: Option<&Type>, depth: usize) -> Result<Option<Box<Value>>, CodecError> {
        ty.map(|ty| self.value(ty, depth + 1).map(Box::new)).transpose()
    }

    fn all<'t>(
        &mut self,
        types: impl IntoIterator<Item = &'t Type>,
        depth: usize,
    ) -> Result<Vec<Value>, CodecError> {
        (0..).zip(types).map(|(place, ty)| self.within(place, ty, depth + 1)).collect()
    }

    fn list(&mut self, element: &Type, length: usize, depth: usize) -> Result<Vec<Value>, CodecError> {
        // Not `with_capacity(length)`: the elements have to be there before they get memory.
        let mut values = Vec::new();
        for place in 0..length as u32 {
            values.push(self.within(place, element, depth + 1)?);
        }
        Ok(values)
    }

    fn count(&mut self) -> Result<usize, CodecError> {
        let length = self.reader.length()?;
        self.check(length)?;
        Ok(length)
    }

    fn check(&self, count: usize) -> Result<(), CodecError> {
        if count > self.left {
            return Err(CodecError::Limit { what: "values", max: VALUES_MAX });
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, CodecError> {
        let length = self.reader.length()?;
        let bytes = self.reader.take(length)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| CodecError::Broken { what: "a string that is not UTF-8" })?;
        Ok(text.to_string())
    }

    fn input(&mut self) -> Result<Input, CodecError> {
        self.stream()?;
        let length = self.reader.length()?;
        let ready = if length == 0 { None } else { Some(self.reader.take(length)?) };
        self.take.input(&self.path, ready).map_err(CodecError::Refused)
    }

    fn items(&mut self, element: &Type, depth: usize) -> Result<Items, CodecError> {
        self.stream()?;
        let length = self.count()?;
        if length == 0 {
            return self.take.items(&self.path, element).map_err(CodecError::Refused);
        }
        let values = self.list(element, length, depth)?;
        Ok(Items::new(futures::stream::iter(values.into_iter().map(Ok)).boxed()))
    }

    fn later(&mut self, ty: &Type, depth: usize) -> Result<Later, CodecError> {
        self.stream()?;
        if !bool_of(self.reader.byte()?)? {
            return self.take.later(&self.path, ty).map_err(CodecError::Refused);
        }
        let value = self.value(ty, depth + 1)?;
        Ok(Later::new(async { Ok(value) }))
    }

    fn stream(&mut self) -> Result<(), CodecError> {
        self.streams += 1;
        if self.streams > STREAMS_MAX {
            return Err(CodecError::Limit { what: "streams", max: STREAMS_MAX });
        }
        Ok(())
    }

    fn resource(&mut self, name: &str, is_own: bool) -> Result<Resource, CodecError> {
        let length = self.reader.length()?;
        let handle = self.reader.take(length)?;
        self.take.resource(&handle, name, is_own).map_err(CodecError::Refused)
    }
}

fn bool_of(byte: u8) -> Result<bool, CodecError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CodecError::Broken { what: "neither 0 nor 1 where one of them is" }),
    }
}

fn narrow<T, U: TryFrom<T>>(value: T) -> Result<U, CodecError> {
    U::try_from(value).map_err(|_| CodecError::Broken { what: "a number that is too large for its type" })
}

fn case_of(reader: &mut Reader<'_>, count: usize) -> Result<u32, CodecError> {
    let place = narrow(unsigned(reader, 32)?)?;
    if place as usize >= count {
        return Err(CodecError::Broken { what: "a case that the type does not have" });
    }
    Ok(place)
}

fn char_of(reader: &mut Reader<'_>) -> Result<char, CodecError> {
    let first = reader.byte()?;
    let length = match first {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let mut bytes = [first, 0, 0, 0];
    for byte in &mut bytes[1..length] {
        *byte = reader.byte()?;
    }
    let text = std::str::from_utf8(&bytes[..length]).ok();
    text.and_then(|text| text.chars().next())
        .ok_or(CodecError::Broken { what: "a character that is not UTF-8" })
}

fn flags_of(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, CodecError> {
    let bytes = reader.take(count.div_ceil(8).max(1))?;
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    };
    let words: Vec<u32> = bytes.chunks(4).map(word).collect();
    let beyond = count % 32;
    if beyond != 0 && words.last().is_some_and(|last| last >> beyond != 0) {
        return Err(CodecError::Broken { what: "flags that the type does not have" });
    }
    Ok(words)
}
