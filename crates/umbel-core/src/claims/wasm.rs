//! The sections of a wasm file, as far as claims need them: find the claims, leave them out, put them in.
//!
//! A file is a preamble of 8 bytes and sections of `id, length (LEB128), body`. A component nests modules (id 1) and components
//! (id 4) as the bodies of sections. wascap hashes the file as its own encoder writes it again: without sections of claims at any
//! depth, and with lengths in their shortest form. So the walk goes twice: once to know the new lengths of what is nested, once
//! to write. Nothing is copied for a hash, and both walks are linear.

use data_encoding::HEXUPPER;
use sha2::{Digest as _, Sha256};

/// The names under which claims are embedded: the one that wascap writes, and the one that it wrote before 0.9.
const SECTION_NAMES: [&[u8]; 2] = [b"wasmcloud_jwt", b"jwt"];

/// How deep components may nest. Real ones nest a few levels; this keeps the stack bounded.
const DEPTH_MAX: usize = 64;

const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Why a file cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct SectionError {
    /// What is wrong.
    pub reason: &'static str,
    /// Where.
    pub offset: usize,
}

/// The claims of a file, if it has some, as they stand.
pub(super) fn find_claims(wasm: &[u8]) -> Result<Option<&[u8]>, SectionError> {
    let mut found = None;
    for section in Walk::over(wasm, 0, wasm.len())? {
        let section = section?;
        let Some(data) = section.claims(wasm)? else { continue };
        if found.replace(data).is_some() {
            return Err(SectionError { reason: "there are two sections of claims", offset: section.start });
        }
    }
    Ok(found)
}

/// SHA-256, in upper-case hex, of the file without claims.
pub(super) fn hash(wasm: &[u8]) -> Result<String, SectionError> {
    let mut sha = Sha256::new();
    strip(wasm, &mut |bytes| sha.update(bytes))?;
    Ok(HEXUPPER.encode(&sha.finalize()))
}

/// The file with `claims` in place of those that it may have.
pub(super) fn embed(wasm: &[u8], claims: &[u8]) -> Result<Vec<u8>, SectionError> {
    let mut out = Vec::with_capacity(wasm.len() + claims.len() + 32);
    strip(wasm, &mut |bytes| out.extend_from_slice(bytes))?;
    let name = SECTION_NAMES[0];
    out.push(0);
    let length = 1 + name.len() + claims.len();
    let length = u32::try_from(length)
        .map_err(|_| SectionError { reason: "the claims are too long for a section", offset: wasm.len() })?;
    out.extend_from_slice(Leb128::of(length).bytes());
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(claims);
    Ok(out)
}

fn strip(wasm: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), SectionError> {
    let mut lengths = Vec::new();
    measure(wasm, 0, wasm.len(), 0, &mut lengths)?;
    write(wasm, 0, wasm.len(), &mut lengths.into_iter(), sink)
}

/// The length of `wasm[start..end]` without claims. Lengths of what is nested go to `lengths` in the order in which they stand.
fn measure(
    wasm: &[u8],
    start: usize,
    end: usize,
    depth: usize,
    lengths: &mut Vec<u32>,
) -> Result<usize, SectionError> {
    if depth > DEPTH_MAX {
        return Err(SectionError { reason: "components nest too deeply", offset: start });
    }
    let mut total = MODULE.len();
    for section in Walk::over(wasm, start, end)? {
        let section = section?;
        if section.claims(wasm)?.is_some() {
            continue;
        }
        let mut length = section.end - section.start;
        if section.nests {
            let index = lengths.len();
            lengths.push(0);
            length = measure(wasm, section.start, section.end, depth + 1, lengths)?;
            lengths[index] = narrow(length, section.start)?;
        }
        total += 1 + Leb128::of(narrow(length, section.start)?).bytes().len() + length;
    }
    Ok(total)
}

fn write(
    wasm: &[u8],
    start: usize,
    end: usize,
    lengths: &mut impl Iterator<Item = u32>,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), SectionError> {
    let walk = Walk::over(wasm, start, end)?;
    sink(if walk.in_component { &COMPONENT } else { &MODULE });
    for section in walk {
        let section = section?;
        if section.claims(wasm)?.is_some() {
            continue;
        }
        sink(&[section.id]);
        if section.nests {
            let length = lengths.next().expect("the first walk measured every nested section");
            sink(Leb128::of(length).bytes());
            write(wasm, section.start, section.end, lengths, sink)?;
        } else {
            sink(Leb128::of(narrow(section.end - section.start, section.start)?).bytes());
            sink(&wasm[section.start..section.end]);
        }
    }
    Ok(())
}

fn narrow(length: usize, offset: usize) -> Result<u32, SectionError> {
    u32::try_from(length).map_err(|_| SectionError { reason: "a section is longer than 4 GiB", offset })
}

/// One section: its body is `start..end` of the file.
struct Section {
    id: u8,
    start: usize,
    end: usize,
    /// Whether the body is a module or component of its own.
    nests: bool,
}

impl Section {
    /// The data of the section, if it is one of claims.
    fn claims<'a>(&self, wasm: &'a [u8]) -> Result<Option<&'a [u8]>, SectionError> {
        if self.id != 0 {
            return Ok(None);
        }
        let mut at = self.start;
        let length = leb128(wasm, &mut at, self.end)? as usize;
        if length > self.end - at {
            return Err(SectionError { reason: "the name of a custom section is cut off", offset: at });
        }
        let (name, data) = wasm[at..self.end].split_at(length);
        Ok(SECTION_NAMES.contains(&name).then_some(data))
    }
}

/// The sections of one module or component, without those of what is nested.
struct Walk<'a> {
    wasm: &'a [u8],
    at: usize,
    end: usize,
    in_component: bool,
}

impl<'a> Walk<'a> {
    fn over(wasm: &'a [u8], start: usize, end: usize) -> Result<Walk<'a>, SectionError> {
        let preamble = wasm[start..end].first_chunk::<8>();
        let in_component = match preamble {
            Some(&MODULE) => false,
            Some(&COMPONENT) => true,
            Some([0, b'a', b's', b'm', ..]) => {
                return Err(SectionError { reason: "this version of wasm is not known", offset: start + 4 });
            }
            _ => return Err(SectionError { reason: "this is not wasm", offset: start }),
        };
        Ok(Walk { wasm, at: start + MODULE.len(), end, in_component })
    }

    fn section(&mut self) -> Result<Section, SectionError> {
        let id = self.wasm[self.at];
        let mut start = self.at + 1;
        let length = leb128(self.wasm, &mut start, self.end)? as usize;
        if length > self.end - start {
            return Err(SectionError { reason: "the file is cut off", offset: start });
        }
        self.at = start + length;
        let nests = self.in_component && matches!(id, 1 | 4);
        Ok(Section { id, start, end: self.at, nests })
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Section, SectionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let section = self.section();
        if section.is_err() {
            self.at = self.end;
        }
        Some(section)
    }
}

/// Reads an unsigned LEB128 of 32 bits that ends before `end`.
fn leb128(wasm: &[u8], at: &mut usize, end: usize) -> Result<u32, SectionError> {
    let offset = *at;
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        if *at >= end {
            return Err(SectionError { reason: "the file is cut off", offset });
        }
        let byte = wasm[*at];
        *at += 1;
        let bits = u32::from(byte & 0x7f);
        if shift == 28 && bits > 0xf {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(SectionError { reason: "a length has more than 32 bits", offset })
}

/// An unsigned LEB128 in its shortest form.
struct Leb128 {
    bytes: [u8; 5],
    length: usize,
}

impl Leb128 {
    fn of(mut value: u32) -> Leb128 {
        let mut leb = Leb128 { bytes: [0; 5], length: 0 };
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            leb.bytes[leb.length] = if value == 0 { byte } else { byte | 0x80 };
            leb.length += 1;
            if value == 0 {
                return leb;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
