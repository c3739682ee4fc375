//! Claims: who vouches for a component, and until when. The tokens are those of wascap revision 3, which wasmCloud 1.x uses
//! (`facts/wasmcloud.md` §4.9): a JSON web token, signed with Ed25519 by an account, embedded in the wasm file.
//!
//! ```text
//! hello.wasm ── section `wasmcloud_jwt` ──▶ header.claims.signature
//!    │                                       {typ,alg} {exp?,jti,iat,iss,sub,nbf?,wascap:{hash,…},wascap_revision:3}
//!    └── SHA-256 of everything else, upper-case hex ────────────────────────────────▲
//! ```
//!
//! A [`Token`] exists only with a right signature: reading one checks size, form, algorithm, kinds of keys and signature.
//! Time and bytes are checked against what the caller gives: [`Token::check_time`], [`Token::check_hash`], or all at once with
//! [`verify_wasm`]. Claims of a provider stand in its archive and have a hash for each executable: [`Token::check_target`].

mod error;
mod strict;
mod wasm;

pub use error::ClaimsError;

use crate::digest::Digest;
use crate::event;
use crate::id::{new_ulid, shown};
use crate::nkey::{KeyKind, KeyPair, PublicKey};
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::time::Duration;

/// The longest token that is read, in bytes.
pub const CLAIMS_BYTES_MAX: usize = 64 << 10;

/// The only revision of wascap that is read and written: the first whose hash is of the whole wasm file.
pub const WASCAP_REVISION: u32 = 3;

const ALGORITHM: &str = "Ed25519";

/// What claims can be about.
pub trait Entity: Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug {
    /// The kind of key that the subject is.
    const SUBJECT: KeyKind;
    /// The kinds of keys that may sign.
    const SIGNERS: &'static [KeyKind];
}

/// What is claimed of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// SHA-256 of the wasm file without its claims, in upper-case hex.
    #[serde(default)]
    pub hash: String,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// A revision that grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
    /// A version for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ver: Option<String>,
    /// A name that can stand for the public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<String>,
    /// Whether the component is a provider.
    #[serde(default)]
    pub prov: bool,
}

impl Entity for Component {
    const SUBJECT: KeyKind = KeyKind::Component;
    const SIGNERS: &'static [KeyKind] = &[KeyKind::Account];
}

/// What is claimed of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Who makes it.
    #[serde(default)]
    pub vendor: String,
    /// A revision that grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
    /// A version for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ver: Option<String>,
    /// SHA-256 of the executable, in upper-case hex, by `{arch}-{os}`.
    #[serde(default)]
    pub target_hashes: BTreeMap<String, String>,
    /// The JSON schema of its config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<serde_json::Value>,
}

impl Entity for Provider {
    const SUBJECT: KeyKind = KeyKind::Provider;
    const SIGNERS: &'static [KeyKind] = &[KeyKind::Account];
}

/// What is claimed of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Further keys that may sign in the account's name.
    #[serde(default)]
    pub valid_signers: Option<Vec<String>>,
}

impl Entity for Account {
    const SUBJECT: KeyKind = KeyKind::Account;
    const SIGNERS: &'static [KeyKind] = &[KeyKind::Account];
}

/// What is claimed of a host. Hosts sign this for themselves, to show policy and secrets services who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The host's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl Entity for Host {
    const SUBJECT: KeyKind = KeyKind::Host;
    const SIGNERS: &'static [KeyKind] = &[KeyKind::Host, KeyKind::Account, KeyKind::Cluster];
}

/// The middle part of a token. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<T> {
    /// From when on the claims are void.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Unique per token.
    #[serde(rename = "jti")]
    pub id: String,
    /// When they were made.
    #[serde(rename = "iat")]
    pub issued_at: u64,
    /// Who signed.
    #[serde(rename = "iss")]
    pub issuer: PublicKey,
    /// Who or what they are about.
    #[serde(rename = "sub")]
    pub subject: PublicKey,
    /// From when on they are good.
    #[serde(rename = "nbf", default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// What is claimed.
    pub wascap: T,
    /// Always [`WASCAP_REVISION`].
    pub wascap_revision: u32,
}

impl<T: Entity> Claims<T> {
    /// Claims by `issuer` about `subject` that are good at once and for ever.
    pub fn new(issuer: &PublicKey, subject: &PublicKey, wascap: T, unix_time: Duration) -> Claims<T> {
        Claims {
            expires: None,
            id: new_ulid(unix_time),
            issued_at: unix_time.as_secs(),
            issuer: issuer.clone(),
            subject: subject.clone(),
            not_before: None,
            wascap,
            wascap_revision: WASCAP_REVISION,
        }
    }

    /// Signs the claims. The key must be the issuer's.
    pub fn sign(self, key: &KeyPair) -> Result<Token<T>, ClaimsError> {
        self.check_keys()?;
        if key.public_key() != &self.issuer {
            return Err(ClaimsError::OtherKey { issuer: self.issuer, key: key.public_key().clone() });
        }
        let header = Header { typ: "jwt".into(), alg: ALGORITHM.into() };
        let signed = format!("{}.{}", encode(&header), encode(&self));
        let signature = key.sign(signed.as_bytes()).map_err(|source| ClaimsError::Key { source })?;
        let jwt = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        if jwt.len() > CLAIMS_BYTES_MAX {
            return Err(ClaimsError::TooLarge { bytes: jwt.len() as u64 });
        }
        Ok(Token { jwt, claims: self })
    }

    fn check_keys(&self) -> Result<(), ClaimsError> {
        let subject = self.subject.kind();
        if subject != T::SUBJECT {
            let wanted = T::SUBJECT.to_string();
            return Err(ClaimsError::WrongSigner { role: "subject", found: subject, wanted });
        }
        let issuer = self.issuer.kind();
        let own = issuer == T::SUBJECT && self.issuer != self.subject;
        if !T::SIGNERS.contains(&issuer) || (own && T::SUBJECT == KeyKind::Host) {
            let wanted = T::SIGNERS.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            return Err(ClaimsError::WrongSigner { role: "issuer", found: issuer, wanted });
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
}

/// Claims with the text that carries them. The signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<T> {
    jwt: String,
    claims: Claims<T>,
}

impl<T: Entity> Token<T> {
    /// Reads a token: its size, form and algorithm, the kinds of its keys, and its signature must be right. Whether it is
    /// good now is another question: [`Token::check_time`].
    pub fn new(jwt: &str) -> Result<Token<T>, ClaimsError> {
        if jwt.len() > CLAIMS_BYTES_MAX {
            return Err(ClaimsError::TooLarge { bytes: jwt.len() as u64 });
        }
        let malformed = |reason: &str| ClaimsError::Malformed { reason: reason.into() };
        let (signed, signature) =
            jwt.rsplit_once('.').ok_or_else(|| malformed("there are no three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("there are no three parts"))?;
        let header: Header = decode(header, "header")?;
        if header.alg != ALGORITHM {
            return Err(ClaimsError::Algorithm { found: shown(&header.alg) });
        }
        if header.typ != "jwt" {
            return Err(malformed("the header's type is not `jwt`"));
        }
        let claims: Claims<T> = decode(claims, "claims")?;
        if claims.wascap_revision != WASCAP_REVISION {
            return Err(malformed("they are not of wascap revision 3"));
        }
        claims.check_keys()?;
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| malformed("the signature is not base64url"))?;
        claims
            .issuer
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| ClaimsError::Forged { issuer: claims.issuer.clone() })?;
        Ok(Token { jwt: jwt.into(), claims })
    }

    /// The text.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// What it says.
    pub fn claims(&self) -> &Claims<T> {
        &self.claims
    }

    /// Fails if the claims have expired or are not valid yet. The clocks of signer and host are taken to agree.
    pub fn check_time(&self, unix_time: Duration) -> Result<(), ClaimsError> {
        if let Some(at) = self.claims.expires.filter(|at| Duration::from_secs(*at) <= unix_time) {
            return Err(ClaimsError::Expired { at });
        }
        if let Some(at) = self.claims.not_before.filter(|at| Duration::from_secs(*at) > unix_time) {
            return Err(ClaimsError::NotYetValid { at });
        }
        Ok(())
    }
}

impl Token<Component> {
    /// Fails unless the claims are about exactly these bytes.
    pub fn check_hash(&self, wasm: impl Read + Seek) -> Result<(), ClaimsError> {
        let actual = wasm_hash(wasm)?;
        if self.claims.wascap.hash == actual {
            return Ok(());
        }
        Err(ClaimsError::OtherBytes { claimed: shown(&self.claims.wascap.hash), actual: shown(&actual) })
    }

    /// The claims as `component_scaled` shows them.
    pub fn for_event(&self, unix_time: Duration) -> event::ComponentClaims {
        let Claims { expires, not_before, issuer, wascap, .. } = &self.claims;
        event::ComponentClaims {
            call_alias: wascap.call_alias.clone(),
            expires_human: human(*expires, unix_time),
            issuer: issuer.to_string(),
            name: wascap.name.clone(),
            not_before_human: human(*not_before, unix_time),
            revision: wascap.rev,
            tags: wascap.tags.clone(),
            version: wascap.ver.clone(),
        }
    }
}

impl Token<Provider> {
    /// Fails unless the claims are about exactly this executable. `target` is `{arch}-{os}`, `sha256` the hash of its bytes.
    pub fn check_target(&self, target: &str, sha256: &Digest) -> Result<(), ClaimsError> {
        let Some(claimed) = self.claims.wascap.target_hashes.get(target) else {
            return Err(ClaimsError::NoTarget { target: shown(target) });
        };
        let actual = target_hash(sha256);
        if claimed.eq_ignore_ascii_case(&actual) {
            return Ok(());
        }
        Err(ClaimsError::OtherBytes { claimed: shown(claimed), actual: shown(&actual) })
    }

    /// The claims as `provider_started` shows them.
    pub fn for_event(&self, unix_time: Duration) -> event::ProviderClaims {
        let Claims { expires, not_before, issuer, wascap, .. } = &self.claims;
        event::ProviderClaims {
            expires_human: human(*expires, unix_time),
            issuer: issuer.to_string(),
            name: wascap.name.clone(),
            not_before_human: human(*not_before, unix_time),
            tags: None,
            version: wascap.ver.clone(),
        }
    }
}

/// Reads the token of a wasm file, if it has one, and checks that it is about these bytes. Costs nothing but a walk over the
/// heads of the sections when there is none. Little of the file is held in memory, however large it is.
pub fn of_wasm(mut wasm: impl Read + Seek) -> Result<Option<Token<Component>>, ClaimsError> {
    let Some(data) = wasm::find_claims(&mut wasm)? else { return Ok(None) };
    let not_text = |_| ClaimsError::Malformed { reason: "they are not text".into() };
    let token = Token::new(std::str::from_utf8(&data).map_err(not_text)?)?;
    token.check_hash(wasm)?;
    Ok(Some(token))
}

/// As [`of_wasm`], and the claims must be good at the given Unix time. This is what a host asks before it runs a component.
pub fn verify_wasm(
    wasm: impl Read + Seek,
    unix_time: Duration,
) -> Result<Option<Token<Component>>, ClaimsError> {
    let token = of_wasm(wasm)?;
    if let Some(token) = &token {
        token.check_time(unix_time)?;
    }
    Ok(token)
}

/// The hash that component claims carry: SHA-256, in upper-case hex, of the wasm file without its claims.
pub fn wasm_hash(wasm: impl Read + Seek) -> Result<String, ClaimsError> {
    wasm::hash(wasm)
}

/// The hash that a provider's claims carry for an executable with this digest: upper-case hex.
pub fn target_hash(sha256: &Digest) -> String {
    sha256.hex().to_ascii_uppercase()
}

/// Signs a wasm file: puts its hash into the claims, signs them and embeds them in place of those that it may have.
pub fn sign_wasm(wasm: &[u8], mut claims: Claims<Component>, key: &KeyPair) -> Result<Vec<u8>, ClaimsError> {
    claims.wascap.hash = wasm_hash(Cursor::new(wasm))?;
    let token = claims.sign(key)?;
    wasm::embed(wasm, token.jwt().as_bytes())
}

fn encode<T: Serialize>(part: &T) -> String {
    let json = serde_json::to_vec(part).expect("claims are structs with string keys");
    BASE64URL_NOPAD.encode(&json)
}

fn decode<T: DeserializeOwned>(part: &str, what: &str) -> Result<T, ClaimsError> {
    let json = BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| ClaimsError::Malformed { reason: format!("the {what} part is not base64url") })?;
    strict::from_slice(&json).map_err(|error| {
        let detail: String = error.to_string().chars().take(200).flat_map(char::escape_debug).collect();
        ClaimsError::Malformed { reason: format!("the {what} part is wrong: {detail}") }
    })
}

/// `never`, `in 16m`, `8h ago`, `in 3days`: the largest whole unit, as wasmCloud 1.x shows it.
fn human(at: Option<u64>, unix_time: Duration) -> String {
    let Some(at) = at else { return "never".into() };
    let now = unix_time.as_secs();
    let span = match at.abs_diff(now) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds @ 86_400..172_800 => format!("{}day", seconds / 86_400),
        seconds => format!("{}days", seconds / 86_400),
    };
    if now > at { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests;
