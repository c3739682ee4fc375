//! The sealed file: all secrets as one message of XChaCha20-Poly1305, with a new nonce each time.
//!
//! ```text
//! "umbel-secrets-2\n"   24 bytes of nonce   sealed: count, then for each: scope, owner, name, version, time, kind, value
//!  └─ is authenticated with what follows                lengths and numbers are little-endian
//! ```
//!
//! Files of the first format, which had neither version nor time, are read; what is written is of the second.

use super::error::SecretsError;
use super::key::Key;
use super::secret::{Scope, Secret};
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{AeadInPlace, KeyInit, OsRng};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the file of this format begins with.
pub(super) const MAGIC: &[u8; 16] = b"umbel-secrets-2\n";
/// What one without versions begins with.
pub(super) const MAGIC_1: &[u8; 16] = b"umbel-secrets-1\n";

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// All secrets, by whose they are and their names.
pub(super) type Entries = BTreeMap<(Scope, String), Entry>;

/// A secret, and what may be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) secret: Arc<Secret>,
    /// How often it was put.
    pub(super) version: u64,
    /// When, in ms since 1970; 0 where that was not noted.
    pub(super) put_unix_ms: u64,
}

/// Why bytes cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsealable {
    /// They are not of this format.
    Format,
    /// The key is another, or they were changed.
    Authentic,
}

/// Seals the secrets.
pub(super) fn seal(key: &Key, entries: &Entries) -> Result<Vec<u8>, SecretsError> {
    let mut nonce = [0; NONCE_BYTES];
    OsRng.try_fill_bytes(&mut nonce).map_err(|_| SecretsError::Random)?;
    let mut text = encode(entries);
    let cipher = XChaCha20Poly1305::new(key.0.as_slice().into());
    let tag = cipher.encrypt_in_place_detached(XNonce::from_slice(&nonce), MAGIC, &mut text);
    // It fails only for messages of many gigabytes.
    let tag = tag.map_err(|_| SecretsError::Full { max: usize::MAX, unit: "bytes" })?;
    Ok([MAGIC.as_slice(), &nonce, &text, &tag].concat())
}

/// Opens what was sealed.
pub(super) fn unseal(key: &Key, sealed: &[u8]) -> Result<Entries, Unsealable> {
    let magic = [MAGIC, MAGIC_1].into_iter().find(|magic| sealed.starts_with(*magic));
    let magic = magic.ok_or(Unsealable::Format)?;
    let rest = &sealed[magic.len()..];
    let (nonce, rest) = rest.split_at_checked(NONCE_BYTES).ok_or(Unsealable::Authentic)?;
    let length = rest.len().checked_sub(TAG_BYTES).ok_or(Unsealable::Authentic)?;
    let (text, tag) = rest.split_at(length);
    let mut text = Zeroizing::new(text.to_vec());
    let cipher = XChaCha20Poly1305::new(key.0.as_slice().into());
    cipher
        .decrypt_in_place_detached(XNonce::from_slice(nonce), magic, &mut text, tag.into())
        .map_err(|_| Unsealable::Authentic)?;
    // What is authentic was written by us, so this does not fail; if it does, it is not of this format.
    decode(&text, magic == MAGIC).ok_or(Unsealable::Format)
}

const APPLICATION: u8 = 0;
const COMPONENT: u8 = 1;
const SHARED: u8 = 2;
const STRING: u8 = 0;
const BYTES: u8 = 1;

fn encode(entries: &Entries) -> Zeroizing<Vec<u8>> {
    let size: usize = entries.iter().map(|((scope, name), entry)| size(scope, name, &entry.secret)).sum();
    // As large as it gets, so that nothing is moved while it grows and left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(4 + size));
    text.extend((entries.len() as u32).to_le_bytes());
    for ((scope, name), Entry { secret, version, put_unix_ms }) in entries {
        let (tag, owner) = parts(scope);
        text.push(tag);
        for part in [owner, name] {
            text.extend((part.len() as u32).to_le_bytes());
            text.extend(part.as_bytes());
        }
        text.extend(version.to_le_bytes());
        text.extend(put_unix_ms.to_le_bytes());
        text.push(match **secret {
            Secret::String(_) => STRING,
            Secret::Bytes(_) => BYTES,
        });
        text.extend((secret.bytes().len() as u32).to_le_bytes());
        text.extend_from_slice(secret.bytes());
    }
    text
}

/// The bytes that a secret takes in the file.
pub(super) fn size(scope: &Scope, name: &str, secret: &Secret) -> usize {
    30 + parts(scope).1.len() + name.len() + secret.bytes().len()
}

fn parts(scope: &Scope) -> (u8, &str) {
    match scope {
        Scope::Application(name) => (APPLICATION, name),
        Scope::Component(id) => (COMPONENT, id),
        Scope::Shared => (SHARED, ""),
    }
}

fn decode(text: &[u8], has_notes: bool) -> Option<Entries> {
    let mut reader = Reader(text);
    let mut entries = Entries::new();
    for _ in 0..reader.u32()? {
        let (tag, owner, name) = (reader.u8()?, reader.string()?, reader.string()?);
        let scope = match tag {
            APPLICATION => Scope::Application(owner),
            COMPONENT => Scope::Component(owner),
            SHARED => Scope::Shared,
            _ => return None,
        };
        let (version, put_unix_ms) = if has_notes { (reader.u64()?, reader.u64()?) } else { (1, 0) };
        let secret = match (reader.u8()?, reader.bytes()?) {
            (STRING, bytes) => Secret::String(Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_string())),
            (BYTES, bytes) => Secret::Bytes(Zeroizing::new(bytes.to_vec())),
            _ => return None,
        };
        entries.insert((scope, name), Entry { secret: Arc::new(secret), version, put_unix_ms });
    }
    reader.0.is_empty().then_some(entries)
}

struct Reader<'t>(&'t [u8]);

impl<'t> Reader<'t> {
    fn u8(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'t [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests;
