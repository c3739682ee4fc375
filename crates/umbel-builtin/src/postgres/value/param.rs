//! Parameters: the text of a `pg-value`.

use super::float;
use super::{Case, Mismatch};
use bytes::BytesMut;
use std::error::Error;
use std::fmt::Write;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use umbel_wit::Value;

type Result<T> = std::result::Result<T, Mismatch>;

/// A parameter; without a text it is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Param(Option<String>);

impl Param {
    /// The text of a `pg-value`.
    pub(in super::super) fn read(value: Value) -> Result<Param> {
        let Value::Variant(place, payload) = value else { return Err(unfit("a `pg-value`")) };
        let case = Case::of(place)?;
        let text = match payload {
            None => None,
            Some(payload) => Some(text(case, *payload)?),
        };
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Mismatch("it has a NUL in it, which PostgreSQL does not keep in texts".into()));
        }
        Ok(Param(text))
    }

    /// How much of a message it takes.
    pub(in super::super) fn bytes(&self) -> usize {
        4 + self.0.as_ref().map_or(0, String::len)
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn unfit(expected: &str) -> Mismatch {
    Mismatch(format!("it is not {expected}"))
}

fn text(case: Case, value: Value) -> Result<String> {
    if let Some(element) = case.element() {
        return array(element, value);
    }
    match case {
        Case::Bool | Case::Boolean => match value {
            Value::Bool(truth) => Ok(if truth { "t" } else { "f" }.into()),
            _ => Err(unfit("a bool")),
        },
        Case::Double | Case::Float8 => Ok(float::text(float(value)?)),
        // Rounded as the type is, so that its text is its own.
        Case::Real | Case::Float4 => Ok(float::text(f64::from(float(value)? as f32))),
        Case::Bit => {
            let (count, bytes) = counted(value)?;
            bits(&bytes, Some(count))
        }
        Case::BitVarying | Case::Varbit => {
            let (count, bytes) = maybe_counted(value)?;
            bits(&bytes, count)
        }
        Case::Bytea => Ok(hex(&bytes(value)?)),
        Case::Char => {
            let (count, bytes) = counted(value)?;
            let text = utf8(bytes)?;
            match count as usize {
                count if count == text.len() || count == text.chars().count() => Ok(text),
                _ => Err(Mismatch(format!("its text has {} bytes, not {count}", text.len()))),
            }
        }
        Case::Varchar => {
            let (limit, bytes) = maybe_counted(value)?;
            let text = utf8(bytes)?;
            match limit {
                Some(limit) if text.chars().count() > limit as usize => {
                    Err(Mismatch(format!("its text is longer than {limit}")))
                }
                _ => Ok(text),
            }
        }
        Case::Macaddr => mac(value, 6),
        Case::Macaddr8 => mac(value, 8),
        Case::Box | Case::Circle | Case::Line | Case::Lseg | Case::Path | Case::Point | Case::Polygon => {
            shape(case, value)
        }
        Case::Date | Case::Time | Case::TimeTz | Case::Timestamp | Case::TimestampTz | Case::Interval => {
            moment(case, value)
        }
        Case::PgLsn => match value {
            Value::U64(lsn) => Ok(format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)),
            _ => Err(unfit("a u64")),
        },
        Case::PgSnapshot => {
            let [from, to, running] = parts(value)?;
            let running = list(running)?.into_iter().map(number).collect::<Result<Vec<_>>>()?;
            Ok(format!("{}:{}:{}", number(from)?, number(to)?, running.join(",")))
        }
        Case::TxidSnapshot => number(value).map(|id| format!("{id}:{id}:")),
        Case::Int2Vector => Ok(list(value)?.into_iter().map(number).collect::<Result<Vec<_>>>()?.join(" ")),
        Case::TsVector => lexemes(value),
        Case::Hstore => pairs(value),
        _ => match value {
            Value::String(text) => Ok(text),
            value => number(value),
        },
    }
}

fn shape(case: Case, value: Value) -> Result<String> {
    match case {
        Case::Point => point(value),
        Case::Path => Ok(format!("[{}]", points(value)?)),
        Case::Polygon => Ok(format!("({})", points(value)?)),
        Case::Circle => {
            let [center, radius] = parts(value)?;
            Ok(format!("<{},{}>", point(center)?, float::text(float(radius)?)))
        }
        _ => {
            let [from, to] = parts(value)?;
            let (from, to) = (point(from)?, point(to)?);
            // Corners of a box stand alone; a line is given by two of its points.
            Ok(if case == Case::Box { format!("{from},{to}") } else { format!("[{from},{to}]") })
        }
    }
}

fn number(value: Value) -> Result<String> {
    match value {
        Value::S16(number) => Ok(number.to_string()),
        Value::S32(number) => Ok(number.to_string()),
        Value::S64(number) => Ok(number.to_string()),
        Value::U32(number) => Ok(number.to_string()),
        _ => Err(unfit("a text or a number")),
    }
}

fn float(value: Value) -> Result<f64> {
    let [mantissa, exponent, sign] = parts(value)?;
    match (mantissa, exponent, sign) {
        (Value::U64(mantissa), Value::S16(exponent), Value::S8(sign)) => {
            Ok(float::to_f64((mantissa, exponent, sign)))
        }
        _ => Err(unfit("mantissa, exponent and sign")),
    }
}

/// The parts of a tuple or record.
fn parts<const N: usize>(value: Value) -> Result<[Value; N]> {
    match value {
        Value::Tuple(parts) | Value::Record(parts) => {
            parts.try_into().map_err(|_| unfit("of that many parts"))
        }
        _ => Err(unfit("a tuple or record")),
    }
}

fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::List(values) => Ok(values),
        _ => Err(unfit("a list")),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Ok(bytes.to_vec()),
        Value::List(values) if values.is_empty() => Ok(Vec::new()),
        _ => Err(unfit("a list of bytes")),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| unfit("UTF-8"))
}

fn count(value: Value) -> Result<u32> {
    match value {
        Value::U32(count) => Ok(count),
        _ => Err(unfit("a u32")),
    }
}

fn counted(value: Value) -> Result<(u32, Vec<u8>)> {
    let [number, content] = parts(value)?;
    Ok((count(number)?, bytes(content)?))
}

fn maybe_counted(value: Value) -> Result<(Option<u32>, Vec<u8>)> {
    let [number, content] = parts(value)?;
    let Value::Option(number) = number else { return Err(unfit("an option")) };
    Ok((number.map(|number| count(*number)).transpose()?, bytes(content)?))
}

/// Digits, the first bit of the first byte first.
fn bits(bytes: &[u8], count: Option<u32>) -> Result<String> {
    let all = bytes.len() * 8;
    let count = count.map_or(all, |count| count as usize);
    if count > all {
        return Err(Mismatch(format!("{} bytes have no {count} bits", bytes.len())));
    }
    Ok((0..count).map(|at| if bytes[at / 8] >> (7 - at % 8) & 1 == 1 { '1' } else { '0' }).collect())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

fn mac(value: Value, length: usize) -> Result<String> {
    let [address] = parts(value)?;
    let (Value::Tuple(bytes) | Value::List(bytes)) = address else { return Err(unfit("a tuple of bytes")) };
    let byte = |value| match value {
        Value::U8(byte) => Ok(format!("{byte:02x}")),
        _ => Err(unfit("a byte")),
    };
    let bytes = bytes.into_iter().map(byte).collect::<Result<Vec<_>>>()?;
    if bytes.len() != length {
        return Err(unfit("of that many bytes"));
    }
    Ok(bytes.join(":"))
}

fn point(value: Value) -> Result<String> {
    let [x, y] = parts(value)?;
    Ok(format!("({},{})", float::text(float(x)?), float::text(float(y)?)))
}

fn points(value: Value) -> Result<String> {
    Ok(list(value)?.into_iter().map(point).collect::<Result<Vec<_>>>()?.join(","))
}

fn moment(case: Case, value: Value) -> Result<String> {
    match case {
        Case::Date => {
            let (date, era) = date(value)?;
            Ok(format!("{date}{era}"))
        }
        Case::Time => time(value),
        Case::TimeTz => {
            let [zone, at] = parts(value)?;
            let Value::String(zone) = zone else { return Err(unfit("a time zone")) };
            Ok(format!("{}{zone}", time(at)?))
        }
        Case::Timestamp => timestamp(value, ""),
        Case::TimestampTz => {
            let [stamp, offset] = parts(value)?;
            let seconds = match offset {
                Value::Variant(0, Some(seconds)) => whole(*seconds)?,
                Value::Variant(1, Some(seconds)) => -whole(*seconds)?,
                _ => return Err(unfit("an offset")),
            };
            let sign = if seconds < 0 { '-' } else { '+' };
            let (hours, rest) = (seconds.abs() / 3_600, seconds.abs() % 3_600);
            timestamp(stamp, &format!("{sign}{hours:02}:{:02}:{:02}", rest / 60, rest % 60))
        }
        _ => {
            let [start, start_inclusive, end, end_inclusive] = parts(value)?;
            let (Value::Bool(from), Value::Bool(to)) = (start_inclusive, end_inclusive) else {
                return Err(unfit("an interval"));
            };
            let ((start, start_era), (end, end_era)) = (date(start)?, date(end)?);
            let (open, close) = (if from { '[' } else { '(' }, if to { ']' } else { ')' });
            Ok(format!("{open}\"{start}{start_era}\",\"{end}{end_era}\"{close}"))
        }
    }
}

fn whole(value: Value) -> Result<i64> {
    match value {
        Value::S32(number) => Ok(number.into()),
        Value::U32(number) => Ok(number.into()),
        _ => Err(unfit("a whole number")),
    }
}

/// A date, and what stands behind it and its time: ` BC` for the years before the first.
fn date(value: Value) -> Result<(String, &'static str)> {
    match value {
        Value::Variant(0, None) => Ok(("infinity".into(), "")),
        Value::Variant(1, None) => Ok(("-infinity".into(), "")),
        Value::Variant(2, Some(parts_of)) => {
            let [year, month, day] = parts(*parts_of)?;
            let (year, month, day) = (whole(year)?, whole(month)?, whole(day)?);
            let (year, era) = if year <= 0 { (1 - year, " BC") } else { (year, "") };
            Ok((format!("{year:04}-{month:02}-{day:02}"), era))
        }
        _ => Err(unfit("a date")),
    }
}

fn time(value: Value) -> Result<String> {
    let [hour, min, sec, micro] = parts(value)?;
    Ok(format!("{:02}:{:02}:{:02}.{:06}", whole(hour)?, whole(min)?, whole(sec)?, whole(micro)?))
}

fn timestamp(value: Value, zone: &str) -> Result<String> {
    let [day, at] = parts(value)?;
    match date(day)? {
        (infinity, _) if infinity.ends_with("infinity") => Ok(infinity),
        (date, era) => Ok(format!("{date} {}{zone}{era}", time(at)?)),
    }
}

/// `'word':1A 'other'`.
fn lexemes(value: Value) -> Result<String> {
    let lexeme = |value| {
        let [position, weight, data] = parts(value)?;
        let Value::String(data) = data else { return Err(unfit("a lexeme")) };
        let mut text = format!("'{}'", data.replace('\\', "\\\\").replace('\'', "''"));
        if let Value::Option(Some(position)) = position {
            let Value::U16(position) = *position else { return Err(unfit("a position")) };
            write!(text, ":{position}").expect("a string takes everything");
            if let Value::Option(Some(weight)) = weight {
                let Value::Enum(weight @ 0..4) = *weight else { return Err(unfit("a weight")) };
                text.push(['A', 'B', 'C', 'D'][weight as usize]);
            }
        }
        Ok(text)
    };
    Ok(list(value)?.into_iter().map(lexeme).collect::<Result<Vec<_>>>()?.join(" "))
}

/// `"key"=>"value","other"=>NULL`.
fn pairs(value: Value) -> Result<String> {
    let pair = |value| {
        let [key, value] = parts(value)?;
        match (key, value) {
            (Value::String(key), Value::Option(None)) => Ok(format!("{}=>NULL", quoted(&key))),
            (Value::String(key), Value::Option(Some(value))) => match *value {
                Value::String(value) => Ok(format!("{}=>{}", quoted(&key), quoted(&value))),
                _ => Err(unfit("a text")),
            },
            _ => Err(unfit("a key and a value")),
        }
    };
    Ok(list(value)?.into_iter().map(pair).collect::<Result<Vec<_>>>()?.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `{"one","two"}`; boxes, whose texts have commas, are separated by semicolons.
fn array(element: Case, value: Value) -> Result<String> {
    let texts = list(value)?.into_iter().map(|value| text(element, value).map(|text| quoted(&text)));
    let delimiter = if element == Case::Box { ";" } else { "," };
    Ok(format!("{{{}}}", texts.collect::<Result<Vec<_>>>()?.join(delimiter)))
}
