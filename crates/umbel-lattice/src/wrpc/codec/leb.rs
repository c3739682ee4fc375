//! LEB128: integers in groups of seven bits, the lowest first.

use super::{CodecError, Reader};

/// Appends an unsigned number.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

/// Appends a signed number.
pub(crate) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = low(value.cast_unsigned());
        value >>= 7;
        let is_last = (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0);
        out.push(if is_last { byte } else { byte | 0x80 });
        if is_last {
            return;
        }
    }
}

fn low(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// Reads an unsigned number of at most `bits` bits. Longer forms than that many bits need are refused.
pub(crate) fn unsigned(reader: &mut Reader<'_>, bits: u32) -> Result<u64, CodecError> {
    let mut value = 0_u64;
    let mut shift = 0;
    loop {
        let byte = reader.byte()?;
        let part = u64::from(byte & 0x7f);
        let room = bits - shift;
        if room < 7 && part >> room != 0 {
            return Err(CodecError::Broken { what: "a number that is too large for its type" });
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
        if shift >= bits {
            return Err(CodecError::Broken { what: "a number that is longer than its type" });
        }
    }
}

/// Reads a signed number of at most `bits` bits.
pub(crate) fn signed(reader: &mut Reader<'_>, bits: u32) -> Result<i64, CodecError> {
    let mut value = 0_i64;
    let mut shift = 0;
    loop {
        let byte = reader.byte()?;
        let part = i64::from(byte & 0x7f);
        let room = bits - shift;
        if room < 7 {
            // All bits beyond the type are copies of its sign.
            let beyond = part >> (room - 1);
            if beyond != 0 && beyond != 0x7f >> (room - 1) {
                return Err(CodecError::Broken { what: "a number that is too large for its type" });
            }
        }
        value |= part << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if shift < 64 && byte & 0x40 != 0 {
                value |= -1_i64 << shift;
            }
            return Ok(value);
        }
        if shift >= bits {
            return Err(CodecError::Broken { what: "a number that is longer than its type" });
        }
    }
}
