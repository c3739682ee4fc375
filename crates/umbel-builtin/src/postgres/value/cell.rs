//! Columns: the `pg-value` of what the server sends in its binary form.

use super::calendar::{DAY_MICROS, date_of, time_of};
use super::float::{of_f32, of_f64};
use super::{Case, Mismatch};
use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;
use tokio_postgres::types::{FromSql, Kind, Type};
use umbel_wit::Value;

type Result<T> = std::result::Result<T, Mismatch>;

/// One column of one row, as a `pg-value`.
#[derive(Debug)]
pub(in super::super) struct Cell(pub(in super::super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Cell, Box<dyn Error + Sync + Send>> {
        let (case, payload) = read(ty, raw)?;
        Ok(Cell(Value::case(case as u32, payload)))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Cell, Box<dyn Error + Sync + Send>> {
        Ok(Cell(Value::Variant(Case::Null as u32, None)))
    }

    fn accepts(_: &Type) -> bool {
        // What cannot be carried is told by its name.
        true
    }
}

/// Bytes, taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let damaged = || Mismatch("the server has sent a value of another form".into());
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many were taken"))
    }

    fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn f64(&mut self) -> Result<Value> {
        let number = f64::from_be_bytes(self.array()?);
        Ok(float(of_f64(number)))
    }

    fn point(&mut self) -> Result<Value> {
        Ok(Value::Tuple(vec![self.f64()?, self.f64()?]))
    }

    fn count(&mut self) -> Result<usize> {
        usize::try_from(self.i32()?).map_err(|_| Mismatch("the server has sent a negative length".into()))
    }

    /// A text that ends with a zero.
    fn cstring(&mut self) -> Result<String> {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = text(self.take(length)?)?;
        self.take(1)?;
        Ok(text)
    }

    fn end(&self) -> Result<()> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Mismatch("the server has sent a value of another form".into())),
        }
    }
}

fn float((mantissa, exponent, sign): (u64, i16, i8)) -> Value {
    Value::Tuple(vec![Value::U64(mantissa), Value::S16(exponent), Value::S8(sign)])
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Mismatch("the server has sent a text that is not UTF-8".into()))
}

fn read(ty: &Type, raw: &[u8]) -> Result<(Case, Value)> {
    match ty.kind() {
        // To the server's catalogue it is an array of `smallint`s; the contract has a case for it.
        _ if *ty == Type::INT2_VECTOR => {}
        Kind::Array(element) => return array(ty, element, raw),
        Kind::Enum(_) => return Ok((Case::Text, text(raw)?.into())),
        Kind::Domain(over) => return read(over, raw),
        _ => {}
    }
    let mut bytes = Bytes(raw);
    let read = simple(ty, &mut bytes)?;
    bytes.end()?;
    Ok(read)
}

fn simple(ty: &Type, bytes: &mut Bytes) -> Result<(Case, Value)> {
    Ok(match *ty {
        Type::BOOL => (Case::Bool, (bytes.u8()? != 0).into()),
        Type::INT2 => (Case::Int2, Value::S16(bytes.i16()?)),
        Type::INT4 => (Case::Int4, Value::S32(bytes.i32()?)),
        Type::INT8 => (Case::Int8, Value::S64(bytes.i64()?)),
        Type::OID => (Case::Int8, Value::S64(u32::from_be_bytes(bytes.array()?).into())),
        Type::FLOAT4 => (Case::Float4, float(of_f32(f32::from_be_bytes(bytes.array()?)))),
        Type::FLOAT8 => (Case::Float8, bytes.f64()?),
        Type::NUMERIC => (Case::Numeric, numeric(bytes)?.into()),
        Type::MONEY => (Case::Money, money(bytes.i64()?).into()),
        Type::INT2_VECTOR => (Case::Int2Vector, elements(bytes, &mut |bytes| Ok(Value::S16(bytes.i16()?)))?),
        Type::BIT | Type::VARBIT => {
            let count = bytes.count()? as u32;
            let content = Value::bytes(bytes.take(bytes.0.len())?.to_vec());
            if *ty == Type::BIT {
                (Case::Bit, Value::Tuple(vec![Value::U32(count), content]))
            } else {
                (Case::Varbit, Value::Tuple(vec![Value::some(Value::U32(count)), content]))
            }
        }
        Type::MACADDR | Type::MACADDR8 => {
            let (case, length) = if *ty == Type::MACADDR { (Case::Macaddr, 6) } else { (Case::Macaddr8, 8) };
            let address = bytes.take(length)?.iter().map(|byte| Value::U8(*byte)).collect();
            (case, Value::Record(vec![Value::Tuple(address)]))
        }
        Type::INET => (Case::Inet, address(bytes)?.into()),
        Type::CIDR => (Case::Cidr, address(bytes)?.into()),
        Type::UUID => (Case::Uuid, uuid(bytes.array()?).into()),
        Type::PG_LSN => (Case::PgLsn, Value::U64(u64::from_be_bytes(bytes.array()?))),
        Type::PG_SNAPSHOT | Type::TXID_SNAPSHOT => {
            let (count, from, to) = (bytes.count()?, bytes.i64()?, bytes.i64()?);
            let running = (0..count).map(|_| Ok(Value::S64(bytes.i64()?))).collect::<Result<_>>()?;
            (Case::PgSnapshot, Value::Tuple(vec![Value::S64(from), Value::S64(to), Value::List(running)]))
        }
        Type::TS_VECTOR => (Case::TsVector, lexemes(bytes)?),
        Type::POINT | Type::BOX | Type::LSEG | Type::LINE | Type::CIRCLE | Type::PATH | Type::POLYGON => {
            shape(ty, bytes)?
        }
        Type::DATE
        | Type::TIME
        | Type::TIMETZ
        | Type::TIMESTAMP
        | Type::TIMESTAMPTZ
        | Type::INTERVAL
        | Type::DATE_RANGE => moment(ty, bytes)?,
        _ => textual(ty, bytes)?,
    })
}

/// What is a text in its binary form, too.
fn textual(ty: &Type, bytes: &mut Bytes) -> Result<(Case, Value)> {
    if *ty == Type::JSONB {
        let version = bytes.u8()?;
        if version != 1 {
            return Err(Mismatch(format!("the server has sent `jsonb` of version {version}")));
        }
    }
    let raw = bytes.take(bytes.0.len())?;
    let limited = |count: Value| Value::Tuple(vec![count, Value::bytes(raw.to_vec())]);
    Ok(match *ty {
        Type::TEXT | Type::UNKNOWN => (Case::Text, text(raw)?.into()),
        Type::NAME => (Case::Name, text(raw)?.into()),
        Type::XML => (Case::Xml, text(raw)?.into()),
        Type::JSON => (Case::Json, text(raw)?.into()),
        Type::JSONB => (Case::Jsonb, text(raw)?.into()),
        Type::BYTEA => (Case::Bytea, Value::bytes(raw.to_vec())),
        Type::VARCHAR => (Case::Varchar, limited(Value::none())),
        Type::BPCHAR | Type::CHAR => (Case::Char, limited(Value::U32(raw.len() as u32))),
        _ if ty.name() == "citext" => (Case::Text, text(raw)?.into()),
        _ if ty.name() == "hstore" => (Case::Hstore, pairs(&mut Bytes(raw))?),
        Type::VOID => (Case::Text, String::new().into()),
        _ => return Err(no_case(ty)),
    })
}

fn no_case(ty: &Type) -> Mismatch {
    Mismatch(format!(
        "a column has the type `{ty}`, which `pg-value` has no case for: cast it, for example with `::text`"
    ))
}

/// An array's elements, each with its length in front, of one dimension.
fn elements(bytes: &mut Bytes, read: &mut dyn FnMut(&mut Bytes) -> Result<Value>) -> Result<Value> {
    let (dimensions, _has_nulls, _element) = (bytes.count()?, bytes.i32()?, bytes.i32()?);
    if dimensions > 1 {
        return Err(Mismatch(
            "an array has several dimensions: cast it, for example with `::text`, or use `to_jsonb`".into(),
        ));
    }
    let count = if dimensions == 0 { 0 } else { bytes.count()? };
    if dimensions == 1 {
        bytes.i32()?;
    }
    let mut values = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(bytes.i32()?).map_err(|_| {
            Mismatch(
                "an array has NULL in it, which lists have no place for: use `to_jsonb` or `array_remove`"
                    .into(),
            )
        })?;
        let mut element = Bytes(bytes.take(length)?);
        values.push(read(&mut element)?);
        element.end()?;
    }
    Ok(Value::List(values))
}

fn array(ty: &Type, element: &Type, raw: &[u8]) -> Result<(Case, Value)> {
    let mut case = None;
    let mut bytes = Bytes(raw);
    let values = elements(&mut bytes, &mut |bytes| {
        let (of, value) = read(element, bytes.take(bytes.0.len())?)?;
        case = of.array();
        Ok(value)
    })?;
    bytes.end()?;
    // An empty one has no element that says its case.
    let case = case.or_else(|| case_of(element)?.array());
    Ok((case.ok_or_else(|| no_case(ty))?, values))
}

/// The case of a type, by its name.
fn case_of(ty: &Type) -> Option<Case> {
    Some(match (ty.kind(), ty) {
        (Kind::Enum(_), _) => Case::Text,
        (Kind::Domain(over), _) => return case_of(over),
        _ if ty.name() == "citext" => Case::Text,
        (_, &Type::BOOL) => Case::Bool,
        (_, &Type::INT2) => Case::Int2,
        (_, &Type::INT4) => Case::Int4,
        (_, &Type::INT8 | &Type::OID) => Case::Int8,
        (_, &Type::FLOAT4) => Case::Float4,
        (_, &Type::FLOAT8) => Case::Float8,
        (_, &Type::NUMERIC) => Case::Numeric,
        (_, &Type::MONEY) => Case::Money,
        (_, &Type::BIT) => Case::Bit,
        (_, &Type::VARBIT) => Case::Varbit,
        (_, &Type::BYTEA) => Case::Bytea,
        (_, &Type::CHAR | &Type::BPCHAR) => Case::Char,
        (_, &Type::VARCHAR) => Case::Varchar,
        (_, &Type::CIDR) => Case::Cidr,
        (_, &Type::INET) => Case::Inet,
        (_, &Type::MACADDR) => Case::Macaddr,
        (_, &Type::MACADDR8) => Case::Macaddr8,
        (_, &Type::BOX) => Case::Box,
        (_, &Type::CIRCLE) => Case::Circle,
        (_, &Type::LINE) => Case::Line,
        (_, &Type::LSEG) => Case::Lseg,
        (_, &Type::PATH) => Case::Path,
        (_, &Type::POINT) => Case::Point,
        (_, &Type::POLYGON) => Case::Polygon,
        (_, &Type::DATE) => Case::Date,
        (_, &Type::DATE_RANGE) => Case::Interval,
        (_, &Type::INTERVAL) => Case::Text,
        (_, &Type::TIME) => Case::Time,
        (_, &Type::TIMETZ) => Case::TimeTz,
        (_, &Type::TIMESTAMP) => Case::Timestamp,
        (_, &Type::TIMESTAMPTZ) => Case::TimestampTz,
        (_, &Type::JSON) => Case::Json,
        (_, &Type::JSONB) => Case::Jsonb,
        (_, &Type::PG_LSN) => Case::PgLsn,
        (_, &Type::NAME) => Case::Name,
        (_, &Type::TEXT) => Case::Text,
        (_, &Type::XML) => Case::Xml,
        (_, &Type::UUID) => Case::Uuid,
        (_, &Type::INT2_VECTOR) => Case::Int2Vector,
        _ => return None,
    })
}

/// Digits of ten thousand, of which the first has the weight `10000^weight`.
fn numeric(bytes: &mut Bytes) -> Result<String> {
    let (count, weight) = (bytes.u16()?, i32::from(bytes.i16()?));
    let (sign, scale) = (bytes.u16()?, usize::from(bytes.u16()?));
    let digits = (0..count).map(|_| bytes.u16()).collect::<Result<Vec<u16>>>()?;
    match sign {
        0xc000 => return Ok("NaN".into()),
        0xd000 => return Ok("Infinity".into()),
        0xf000 => return Ok("-Infinity".into()),
        _ => {}
    }
    let digit =
        |place: i32| usize::try_from(weight - place).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let mut text = String::from(if sign == 0x4000 { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for place in (0..=weight).rev() {
        let first = place == weight;
        let written =
            if first { write!(text, "{}", digit(place)) } else { write!(text, "{:04}", digit(place)) };
        written.expect("a string takes everything");
    }
    if scale > 0 {
        let fraction: String =
            (1..=scale.div_ceil(4) as i32).map(|place| format!("{:04}", digit(-place))).collect();
        write!(text, ".{}", &fraction[..scale]).expect("a string takes everything");
    }
    Ok(text)
}

/// Hundredths, as most currencies have them; the server does not say how many digits its own has.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

fn uuid(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let part = |from: u32, digits: u32| (number >> from) & ((1 << (digits * 4)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

/// `10.0.0.1/8`; an address of the whole length of `inet` stands alone.
fn address(bytes: &mut Bytes) -> Result<String> {
    let (_family, mask, is_cidr, length) = (bytes.u8()?, bytes.u8()?, bytes.u8()?, bytes.u8()?);
    let address: IpAddr = match length {
        4 => bytes.array::<4>()?.into(),
        16 => bytes.array::<16>()?.into(),
        _ => return Err(Mismatch(format!("the server has sent an address of {length} bytes"))),
    };
    let is_whole = u32::from(mask) == u32::from(length) * 8;
    Ok(if is_whole && is_cidr == 0 { address.to_string() } else { format!("{address}/{mask}") })
}

fn lexemes(bytes: &mut Bytes) -> Result<Value> {
    let count = bytes.count()?;
    let mut lexemes = Vec::new();
    for _ in 0..count {
        let data = bytes.cstring()?;
        let positions = (0..bytes.u16()?).map(|_| bytes.u16()).collect::<Result<Vec<u16>>>()?;
        let lexeme =
            |position: Value, weight: Value| Value::Record(vec![position, weight, data.clone().into()]);
        if positions.is_empty() {
            lexemes.push(lexeme(Value::none(), Value::none()));
        }
        // A word with several positions stands once for each.
        for position in positions {
            let weight = 3 - u32::from(position >> 14);
            lexemes
                .push(lexeme(Value::some(Value::U16(position & 0x3fff)), Value::some(Value::Enum(weight))));
        }
    }
    Ok(Value::List(lexemes))
}

fn pairs(bytes: &mut Bytes) -> Result<Value> {
    let count = bytes.count()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let length = bytes.count()?;
        let key = text(bytes.take(length)?)?;
        let value = match bytes.i32()? {
            -1 => Value::none(),
            length => {
                let length = usize::try_from(length).map_err(|_| Mismatch("a length is negative".into()))?;
                Value::some(text(bytes.take(length)?)?.into())
            }
        };
        pairs.push(Value::Tuple(vec![key.into(), value]));
    }
    Ok(Value::List(pairs))
}

fn shape(ty: &Type, bytes: &mut Bytes) -> Result<(Case, Value)> {
    Ok(match *ty {
        Type::POINT => (Case::Point, bytes.point()?),
        Type::BOX => {
            // The server sends the upper right corner first.
            let (upper, lower) = (bytes.point()?, bytes.point()?);
            (Case::Box, Value::Tuple(vec![lower, upper]))
        }
        Type::LSEG => (Case::Lseg, Value::Tuple(vec![bytes.point()?, bytes.point()?])),
        Type::LINE => (Case::Line, line(bytes)?),
        Type::CIRCLE => (Case::Circle, Value::Tuple(vec![bytes.point()?, bytes.f64()?])),
        _ => {
            let case = if *ty == Type::PATH { Case::Path } else { Case::Polygon };
            if case == Case::Path {
                // Whether it is closed: the case has no place for it.
                bytes.u8()?;
            }
            let count = bytes.count()?;
            (case, Value::List((0..count).map(|_| bytes.point()).collect::<Result<_>>()?))
        }
    })
}

/// The server has `Ax + By + C = 0`; the case has two points of the line.
fn line(bytes: &mut Bytes) -> Result<Value> {
    let mut number = || Ok(f64::from_be_bytes(bytes.array()?));
    let (a, b, c): (f64, f64, f64) = (number()?, number()?, number()?);
    let points = if b == 0.0 { [(-c / a, 0.0), (-c / a, 1.0)] } else { [(0.0, -c / b), (1.0, (-c - a) / b)] };
    let point = |(x, y): (f64, f64)| Value::Tuple(vec![float(of_f64(x)), float(of_f64(y))]);
    Ok(Value::Tuple(points.map(point).into()))
}

fn moment(ty: &Type, bytes: &mut Bytes) -> Result<(Case, Value)> {
    Ok(match *ty {
        Type::DATE => (Case::Date, date(bytes.i32()?)),
        Type::TIME => (Case::Time, time(bytes.i64()?)),
        Type::TIMETZ => {
            let (at, west) = (bytes.i64()?, bytes.i32()?);
            let (sign, seconds) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
            let zone = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
            (Case::TimeTz, Value::Record(vec![zone.into(), time(at)]))
        }
        Type::TIMESTAMP => (Case::Timestamp, timestamp(bytes.i64()?)),
        Type::TIMESTAMPTZ => {
            // The server sends it in UTC.
            let offset = Value::case(0, Value::S32(0));
            (Case::TimestampTz, Value::Record(vec![timestamp(bytes.i64()?), offset]))
        }
        Type::DATE_RANGE => (Case::Interval, range(bytes)?),
        _ => (Case::Text, interval(bytes)?.into()),
    })
}

fn date(days: i32) -> Value {
    match days {
        i32::MAX => Value::Variant(0, None),
        i32::MIN => Value::Variant(1, None),
        days => {
            let (year, month, day) = date_of(days.into());
            Value::case(2, Value::Tuple(vec![Value::S32(year as i32), Value::U32(month), Value::U32(day)]))
        }
    }
}

fn time(micros: i64) -> Value {
    let (hour, min, sec, micro) = time_of(micros);
    Value::Record([hour, min, sec, micro].map(Value::U32).into())
}

fn timestamp(micros: i64) -> Value {
    let (days, micros) = match micros {
        i64::MAX => (i32::MAX, 0),
        i64::MIN => (i32::MIN, 0),
        // Its days fit: the server's calendar ends in the year 294276.
        micros => (micros.div_euclid(DAY_MICROS) as i32, micros.rem_euclid(DAY_MICROS)),
    };
    Value::Record(vec![date(days), time(micros)])
}

/// Dates from one to another; without an end it goes on for ever.
fn range(bytes: &mut Bytes) -> Result<Value> {
    let flags = bytes.u8()?;
    if flags & 1 != 0 {
        return Err(Mismatch(
            "a range of dates is empty, which `interval` has no place for: cast it with `::text`".into(),
        ));
    }
    let mut bound = |is_infinite: bool, infinity: i32| match is_infinite {
        true => Ok(date(infinity)),
        false => {
            bytes.count()?;
            Ok(date(bytes.i32()?))
        }
    };
    let start = bound(flags & 8 != 0, i32::MIN)?;
    let end = bound(flags & 16 != 0, i32::MAX)?;
    Ok(Value::Record(vec![start, (flags & 2 != 0).into(), end, (flags & 4 != 0).into()]))
}

fn interval(bytes: &mut Bytes) -> Result<String> {
    let (micros, days, months) = (bytes.i64()?, bytes.i32()?, bytes.i32()?);
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let clock =
        format!("{sign}{:02}:{:02}:{:02}.{rest:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Ok(format!("{months} mons {days} days {clock}"))
}
