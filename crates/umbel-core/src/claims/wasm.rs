//! The sections of a wasm file, as far as claims need them: find the claims, leave them out, put them in.
//!
//! A file is a preamble of 8 bytes and sections of `id, length (LEB128), body`. A component nests modules (id 1) and components
//! (id 4) as the bodies of sections. wascap hashes the file as its own encoder writes it again: without sections of claims at any
//! depth, and with lengths in their shortest form. So the walk goes twice: once to know the new lengths of what is nested, once
//! to write. Both walks are linear, and neither holds more of the file than a buffer: a bad file may be as large as it likes.

use super::{CLAIMS_BYTES_MAX, ClaimsError};
use data_encoding::HEXUPPER;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// The names under which claims are embedded: the one that wascap writes, and the one that it wrote before 0.9.
const SECTION_NAMES: [&[u8]; 2] = [b"wasmcloud_jwt", b"jwt"];

/// How deep components may nest. Real ones nest a few levels; this keeps the stack bounded.
const DEPTH_MAX: usize = 64;
/// How many sections a file may have at all depths. Real ones have hundreds; a section may be two bytes long, and looking at
/// each of them takes time.
const SECTIONS_MAX: usize = 1_000_000;
const BUFFER_BYTES: usize = 32 << 10;

const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

type Result<T> = std::result::Result<T, ClaimsError>;

fn damaged<T>(reason: &'static str, offset: u64) -> Result<T> {
    Err(ClaimsError::Damaged { reason, offset })
}

fn unreadable(error: std::io::Error) -> ClaimsError {
    ClaimsError::Unreadable { kind: error.kind() }
}

/// The claims of a file, if it has some, as they stand.
pub(super) fn find_claims(wasm: impl Read + Seek) -> Result<Option<Vec<u8>>> {
    let mut file = File::open(wasm)?;
    let mut found = None;
    let mut walk = Walk::over(&mut file, 0, None)?;
    while let Some(section) = walk.next(&mut file)? {
        let Some(data) = section.claims(&mut file)? else { continue };
        if found.is_some() {
            return Err(ClaimsError::Malformed { reason: "there are two sections of them".into() });
        }
        let bytes = section.end - data;
        if bytes > CLAIMS_BYTES_MAX as u64 {
            return Err(ClaimsError::TooLarge { bytes });
        }
        let mut claims = Vec::new();
        file.copy(data, section.end, &mut |bytes| claims.extend_from_slice(bytes))?;
        found = Some(claims);
    }
    Ok(found)
}

/// SHA-256, in upper-case hex, of the file without claims.
pub(super) fn hash(wasm: impl Read + Seek) -> Result<String> {
    let mut sha = Sha256::new();
    strip(wasm, &mut |bytes| sha.update(bytes))?;
    Ok(HEXUPPER.encode(&sha.finalize()))
}

/// The file with `claims` in place of those that it may have.
pub(super) fn embed(wasm: &[u8], claims: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(wasm.len() + claims.len() + 32);
    strip(std::io::Cursor::new(wasm), &mut |bytes| out.extend_from_slice(bytes))?;
    let name = SECTION_NAMES[0];
    out.push(0);
    let length = narrow((1 + name.len() + claims.len()) as u64, wasm.len() as u64)?;
    out.extend_from_slice(Leb128::of(length).bytes());
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(claims);
    Ok(out)
}

fn strip(wasm: impl Read + Seek, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(wasm)?;
    let mut lengths = Vec::new();
    measure(&mut file, 0, None, 0, &mut lengths)?;
    file.sections_left = SECTIONS_MAX;
    write(&mut file, 0, None, &mut lengths.into_iter(), sink)
}

/// The length of what is from `start` to `end`, without claims. Lengths of what is nested go to `lengths` in the order in which
/// they stand.
fn measure<R: Read + Seek>(
    file: &mut File<R>,
    start: u64,
    end: Option<u64>,
    depth: usize,
    lengths: &mut Vec<u32>,
) -> Result<u64> {
    if depth > DEPTH_MAX {
        return damaged("components nest too deeply", start);
    }
    let mut total = MODULE.len() as u64;
    let mut walk = Walk::over(file, start, end)?;
    while let Some(section) = walk.next(file)? {
        if section.claims(file)?.is_some() {
            continue;
        }
        let mut length = section.end - section.start;
        if section.nests {
            let index = lengths.len();
            lengths.push(0);
            length = measure(file, section.start, Some(section.end), depth + 1, lengths)?;
            lengths[index] = narrow(length, section.start)?;
        }
        total += 1 + Leb128::of(narrow(length, section.start)?).bytes().len() as u64 + length;
    }
    Ok(total)
}

fn write<R: Read + Seek>(
    file: &mut File<R>,
    start: u64,
    end: Option<u64>,
    lengths: &mut impl Iterator<Item = u32>,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let mut walk = Walk::over(file, start, end)?;
    sink(if walk.in_component { &COMPONENT } else { &MODULE });
    while let Some(section) = walk.next(file)? {
        if section.claims(file)?.is_some() {
            continue;
        }
        sink(&[section.id]);
        if section.nests {
            let Some(length) = lengths.next() else { return damaged("the file changes", section.start) };
            sink(Leb128::of(length).bytes());
            write(file, section.start, Some(section.end), lengths, sink)?;
        } else {
            sink(Leb128::of(narrow(section.end - section.start, section.start)?).bytes());
            file.copy(section.start, section.end, sink)?;
        }
    }
    Ok(())
}

fn narrow(length: u64, offset: u64) -> Result<u32> {
    u32::try_from(length).or_else(|_| damaged("a section is longer than 4 GiB", offset))
}

/// A file that is read forwards, for the most part.
struct File<R> {
    reader: BufReader<R>,
    at: u64,
    length: u64,
    sections_left: usize,
}

impl<R: Read + Seek> File<R> {
    fn open(reader: R) -> Result<File<R>> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let length = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        reader.rewind().map_err(unreadable)?;
        Ok(File { reader, at: 0, length, sections_left: SECTIONS_MAX })
    }

    fn go_to(&mut self, at: u64) -> Result<()> {
        // What is in the buffer already is not read again.
        self.reader.seek_relative(at as i64 - self.at as i64).map_err(unreadable)?;
        self.at = at;
        Ok(())
    }

    /// Fills the buffer; the caller knows that it stands before `end`.
    fn read(&mut self, into: &mut [u8], end: u64) -> Result<()> {
        if end - self.at < into.len() as u64 {
            return damaged("the file is cut off", self.at);
        }
        match self.reader.read_exact(into) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return damaged("the file is cut off", self.at);
            }
            Err(error) => return Err(unreadable(error)),
        }
        self.at += into.len() as u64;
        Ok(())
    }

    fn copy(&mut self, start: u64, end: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.go_to(start)?;
        while self.at < end {
            let buffer = self.reader.fill_buf().map_err(unreadable)?;
            let length = buffer.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
            if length == 0 {
                return damaged("the file is cut off", self.at);
            }
            sink(&buffer[..length]);
            self.reader.consume(length);
            self.at += length as u64;
        }
        Ok(())
    }

    /// Reads an unsigned LEB128 of 32 bits that ends before `end`.
    fn leb128(&mut self, end: u64) -> Result<u32> {
        let offset = self.at;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let mut byte = [0];
            self.read(&mut byte, end)?;
            let bits = u32::from(byte[0] & 0x7f);
            if shift == 28 && bits > 0xf {
                break;
            }
            value |= bits << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        damaged("a length has more than 32 bits", offset)
    }
}

/// One section: its body is from `start` to `end` of the file.
struct Section {
    id: u8,
    start: u64,
    end: u64,
    /// Whether the body is a module or component of its own.
    nests: bool,
}

impl Section {
    /// Where the data of the section begin, if it is one of claims.
    fn claims<R: Read + Seek>(&self, file: &mut File<R>) -> Result<Option<u64>> {
        if self.id != 0 {
            return Ok(None);
        }
        file.go_to(self.start)?;
        let length = file.leb128(self.end)? as usize;
        if length as u64 > self.end - file.at {
            return damaged("the name of a custom section is cut off", file.at);
        }
        let mut name = [0; SECTION_NAMES[0].len()];
        let Some(name) = name.get_mut(..length) else { return Ok(None) };
        file.read(name, self.end)?;
        Ok(SECTION_NAMES.contains(&&*name).then_some(file.at))
    }
}

/// The sections of one module or component, without those of what is nested.
struct Walk {
    at: u64,
    end: u64,
    in_component: bool,
}

impl Walk {
    fn over<R: Read + Seek>(file: &mut File<R>, start: u64, end: Option<u64>) -> Result<Walk> {
        let end = end.unwrap_or(file.length);
        file.go_to(start)?;
        if end - start < MODULE.len() as u64 {
            return damaged("the header is cut off", end);
        }
        let mut preamble = [0; MODULE.len()];
        file.read(&mut preamble, end)?;
        let in_component = match preamble {
            MODULE => false,
            COMPONENT => true,
            [0, b'a', b's', b'm', ..] => return damaged("this version of wasm is not known", start + 4),
            _ => return damaged("this is not wasm", start),
        };
        Ok(Walk { at: file.at, end, in_component })
    }

    fn next<R: Read + Seek>(&mut self, file: &mut File<R>) -> Result<Option<Section>> {
        if self.at >= self.end {
            return Ok(None);
        }
        file.go_to(self.at)?;
        let Some(left) = file.sections_left.checked_sub(1) else {
            return damaged("there are more than 1,000,000 sections", self.at);
        };
        file.sections_left = left;
        let mut id = [0];
        file.read(&mut id, self.end)?;
        let length = u64::from(file.leb128(self.end)?);
        let start = file.at;
        if length > self.end - start {
            return damaged("the file is cut off", start);
        }
        self.at = start + length;
        let nests = self.in_component && matches!(id[0], 1 | 4);
        Ok(Some(Section { id: id[0], start, end: self.at, nests }))
    }
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
