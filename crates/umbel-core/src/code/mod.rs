//! Every error code of Umbel: `UM` and four digits, the first two naming the area.
//!
//! A code is a promise: its number and meaning never change, and it is never used again for something else.
//! `umbel explain UM0401` prints the entry. One module per area keeps each list readable.

use crate::error::Kind;

mod macros;
pub(crate) use macros::codes;

pub mod api;
pub mod artifact;
pub mod blobstore;
pub mod call;
pub mod cron;
pub mod guest;
pub mod host;
pub mod identity;
pub mod invoke;
pub mod keyvalue;
pub mod lattice;
pub mod manager;
pub mod manifest;
pub mod messaging;
pub mod postgres;
pub mod runtime;
pub mod secrets;
pub mod supervisor;
pub mod wire;

/// One entry of the catalogue. Two codes are equal when their numbers are.
#[derive(Debug)]
pub struct Entry {
    /// The number, e.g. 401 for `UM0401`.
    pub number: u16,
    /// The name of the constant, e.g. `NOT_WASM`; used by tests and docs.
    pub name: &'static str,
    /// What class of failure this is; decides HTTP status, exit code, retry and log level.
    pub kind: Kind,
    /// One line: what happened.
    pub title: &'static str,
    /// Why it happens, in a sentence or two.
    pub why: &'static str,
    /// What to do: a command or a manifest line.
    pub help: &'static str,
}

/// A code of the catalogue, e.g. [`runtime::NOT_WASM`].
#[derive(Clone, Copy)]
pub struct Code(pub(crate) &'static Entry);

impl Code {
    /// The catalogue entry behind the code.
    pub fn entry(self) -> &'static Entry {
        self.0
    }

    /// The class of failure.
    pub fn kind(self) -> Kind {
        self.0.kind
    }

    /// Finds a code by what a user types: `UM0401`, `um401`, `401`.
    pub fn find(text: &str) -> Option<Code> {
        let text = text.trim();
        let prefix = text.get(..2).filter(|start| start.eq_ignore_ascii_case("um"));
        let digits = &text[prefix.map_or(0, str::len)..];
        let number: u16 = digits.parse().ok()?;
        all().find(|code| code.0.number == number)
    }
}

/// The areas, each with the first two digits of its numbers, its name and its codes.
pub const AREAS: &[(u16, &str, &[Code])] = &[
    (1, "identity", identity::ALL),
    (2, "manifest", manifest::ALL),
    (3, "artifact", artifact::ALL),
    (4, "runtime", runtime::ALL),
    (5, "call", call::ALL),
    (5, "guest", guest::ALL),
    (5, "invoke", invoke::ALL),
    (6, "lattice", lattice::ALL),
    (6, "wire", wire::ALL),
    (7, "supervisor", supervisor::ALL),
    (8, "host", host::ALL),
    (9, "manager", manager::ALL),
    (10, "api", api::ALL),
    (11, "messaging", messaging::ALL),
    (11, "cron", cron::ALL),
    (11, "blobstore", blobstore::ALL),
    (11, "keyvalue", keyvalue::ALL),
    (11, "secrets", secrets::ALL),
    (11, "postgres", postgres::ALL),
];

/// All codes, by area and in the order of their numbers within it.
pub fn all() -> impl Iterator<Item = Code> {
    AREAS.iter().flat_map(|(_, _, codes)| codes.iter().copied())
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Code {}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UM{:04}", self.0.number)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UM{:04} {}", self.0.number, self.0.name)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Code, D::Error> {
        let text = String::deserialize(d)?;
        // A newer peer may know codes that this build does not: they keep their text in the message, not their entry.
        Ok(Code::find(&text).unwrap_or(api::UNKNOWN_CODE))
    }
}

#[cfg(test)]
mod tests;
