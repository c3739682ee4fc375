//! Values on the wire: the encoding of wRPC (that of component model value definitions, with its additions).
//!
//! | type | bytes |
//! |---|---|
//! | `bool`, `u8`, `s8` | one byte |
//! | `u16`…`u64`, `s16`…`s64`, lengths, cases | LEB128 |
//! | `f32`, `f64` | 4 and 8 bytes, little end first |
//! | `char` | its UTF-8 |
//! | `string`, `list`, `map` | length, then the bytes, elements, or keys and values |
//! | `record`, `tuple`, `list<T, N>` | one after another |
//! | `option`, `result` | `00` or `01`, then the payload; `ok` is `00` |
//! | `variant`, `enum` | number of the case, then its payload |
//! | `flags` | a bit each, in as few bytes as they need |
//! | `own`, `borrow` | length and bytes that only their server understands |
//! | `stream<u8>`, `own<input-stream>` | `00`: the bytes come on a channel of their own; else a length and all the bytes |
//! | `stream<T>` of a plain `T` | `00`: chunks, each a length and as many values, come on a channel of their own; else a chunk with all of them |
//! | `own<output-stream>` | `00`: the bytes go back on a channel of their own |
//! | `future<T>` of a plain `T` | `00`: the value comes on a channel of its own, and all of it is one message or several; `01`: the value follows |
//!
//! Types are known to both ends and do not travel. Nothing of what comes is believed: lengths, depth, text and the number of values are
//! checked before memory is taken for them.

mod decode;
mod encode;
mod leb;

pub use decode::{Take, decode};
pub(crate) use decode::{decode_chunk, decode_plain};
pub(crate) use encode::encode_plain;
pub use encode::{Lend, encode};
pub(crate) use leb::put_unsigned;

use umbel_core::code::{Code, guest, wire};
use umbel_core::{Coded, Problem};
use umbel_wit::Type;

/// How deep values may be nested.
pub const DEPTH_MAX: usize = 100;

/// How many values one list of arguments, or one result, may have.
pub const VALUES_MAX: usize = 1_000_000;

/// How many bytes one list of arguments, or one result, may have, without its streams.
pub const BYTES_MAX: usize = 64 << 20;

/// How many streams one list of arguments, or one result, may have.
pub const STREAMS_MAX: usize = 64;

/// Resources of `wasi:io` that are carried as streams.
pub const INPUT: &str = "wasi:io/streams.input-stream";
/// The other one: bytes in the other direction.
pub const OUTPUT: &str = "wasi:io/streams.output-stream";

/// Why values cannot be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the values do. More may come.
    #[error("the bytes end before the values do")]
    Incomplete,
    /// The bytes are no value of the type.
    #[error("the bytes hold {what}")]
    Broken {
        /// What is there.
        what: &'static str,
    },
    /// The value is not of the type.
    #[error("a value is not of the type `{wanted}`")]
    Mismatch {
        /// The type, as WIT.
        wanted: String,
    },
    /// More than is allowed.
    #[error("there are more than {max} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A type that does not go over the wire.
    #[error("`{ty}` cannot be carried over the wire")]
    NotCarried {
        /// The type, as WIT.
        ty: String,
    },
    /// A resource or a stream was refused.
    #[error("{0}")]
    Refused(Problem),
}

impl Coded for CodecError {
    fn code(&self) -> Code {
        match self {
            CodecError::Incomplete | CodecError::Broken { .. } => wire::WIRE_BROKEN,
            CodecError::Mismatch { .. } => guest::CONTRACT_MISMATCH,
            CodecError::Limit { .. } => wire::WIRE_LIMIT,
            CodecError::NotCarried { .. } => guest::NOT_CARRIED,
            CodecError::Refused(problem) => problem.code,
        }
    }

    fn help(&self) -> String {
        match self {
            CodecError::Refused(problem) => problem.help.clone(),
            _ => self.code().entry().help.to_string(),
        }
    }
}

impl CodecError {
    fn mismatch(ty: &Type) -> CodecError {
        CodecError::Mismatch { wanted: ty.to_string() }
    }

    fn not_carried(ty: &Type) -> CodecError {
        CodecError::NotCarried { ty: ty.to_string() }
    }
}

/// What is at hand of the bytes.
pub(crate) struct Reader<'b> {
    bytes: &'b bytes::Bytes,
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b bytes::Bytes) -> Reader<'b> {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Incomplete)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<bytes::Bytes, CodecError> {
        if count > self.left() {
            return Err(CodecError::Incomplete);
        }
        let part = self.bytes.slice(self.at..self.at + count);
        self.at += count;
        Ok(part)
    }

    pub(crate) fn slice(&mut self, count: usize) -> Result<&'b [u8], CodecError> {
        let end = self.at.checked_add(count).ok_or(CodecError::Incomplete)?;
        let part = self.bytes.get(self.at..end).ok_or(CodecError::Incomplete)?;
        self.at = end;
        Ok(part)
    }

    pub(crate) fn number(&mut self) -> Result<u64, CodecError> {
        leb::unsigned(self, 64)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let part = self.bytes.get(self.at..self.at + N).ok_or(CodecError::Incomplete)?;
        let mut array = [0; N];
        array.copy_from_slice(part);
        self.at += N;
        Ok(array)
    }

    /// A length: of something that is at hand, or has to come.
    pub(crate) fn length(&mut self) -> Result<usize, CodecError> {
        let length = usize::try_from(leb::unsigned(self, 32)?).unwrap_or(usize::MAX);
        if length > BYTES_MAX {
            return Err(CodecError::Limit { what: "bytes or elements", max: BYTES_MAX });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
