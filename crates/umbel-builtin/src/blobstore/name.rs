//! Names as files: any text becomes one file name that is its own on every file system.
//!
//! `a-z`, `0-9`, `_`, `-` and a dot that is not the first stand for themselves; every other byte of the UTF-8 is `%` and two
//! hexadecimal digits. So there are no separators, no `..`, nothing that differs in case only and nothing that a file system would
//! normalise. The empty name is `%`. A name that would be too long for a file is `%%` and its SHA-256; whoever stores it keeps the
//! name beside it.

use std::fmt::Write;
use umbel_core::Digest;

/// Bytes of a name as it is given.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Bytes of a file name that spells its name out; the limit of file systems is 255, of some layers above them less.
const SPELLED_BYTES_MAX: usize = 200;

const EMPTY: &str = "%";
const DIGEST: &str = "%%";

/// The file name of a name.
pub(crate) fn file_name(name: &str) -> String {
    if name.is_empty() {
        return EMPTY.to_string();
    }
    let mut spelled = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => spelled.push(char::from(byte)),
            b'.' if place > 0 => spelled.push('.'),
            _ => write!(spelled, "%{byte:02x}").expect("writing to a string does not fail"),
        }
    }
    if spelled.len() > SPELLED_BYTES_MAX {
        return format!("{DIGEST}{}", Digest::of(name.as_bytes()).hex());
    }
    spelled
}

/// Whether the file name does not say the name.
pub(crate) fn is_digest(file: &str) -> bool {
    file.starts_with(DIGEST)
}

/// The name that a file name spells, if it is one that [`file_name`] makes.
pub(crate) fn spelled(file: &str) -> Option<String> {
    if file == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (file_name(&name) == file).then_some(name)
}

#[cfg(test)]
mod tests;
