//! Keys of the lattice: Ed25519 and X25519 key pairs in the text form of NATS, with the prefixes of wasmCloud 1.x
//! (`facts/wasmcloud.md` §4.9).
//!
//! A public key is an id (`N…` of a host, `M…` of a component); its seed (`SN…`, `SM…`) is a secret. Seeds and key pairs never
//! show their secret in `Debug` or in an error; a [`Seed`] that is handed out wipes its memory when it is dropped. What the
//! `nkeys` crate copies while it signs is out of our hands.

use crate::code::{Code, identity};
use crate::error::Coded;
use crate::id::shown;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a key is for: the first letter of a public key, and the second of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `N`: a host (a *server* in the words of NATS).
    Host,
    /// `M`: a component (a *module*).
    Component,
    /// `V`: a provider (a *service*).
    Provider,
    /// `A`: an account, which signs components and providers.
    Account,
    /// `C`: a cluster.
    Cluster,
    /// `X`: a curve key, which encrypts and does not sign.
    Curve,
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [KeyKind; 6] = [
        KeyKind::Host,
        KeyKind::Component,
        KeyKind::Provider,
        KeyKind::Account,
        KeyKind::Cluster,
        KeyKind::Curve,
    ];

    /// The letter that public keys of this kind begin with.
    pub const fn letter(self) -> char {
        match self {
            KeyKind::Host => 'N',
            KeyKind::Component => 'M',
            KeyKind::Provider => 'V',
            KeyKind::Account => 'A',
            KeyKind::Cluster => 'C',
            KeyKind::Curve => 'X',
        }
    }

    fn of_public(text: &str) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| text.starts_with(kind.letter()))
    }

    fn of_seed(text: &str) -> Option<KeyKind> {
        text.strip_prefix('S').and_then(KeyKind::of_public)
    }

    const fn nkeys(self) -> nkeys::KeyPairType {
        match self {
            KeyKind::Host => nkeys::KeyPairType::Server,
            KeyKind::Component => nkeys::KeyPairType::Module,
            KeyKind::Provider => nkeys::KeyPairType::Service,
            KeyKind::Account => nkeys::KeyPairType::Account,
            KeyKind::Cluster => nkeys::KeyPairType::Cluster,
            KeyKind::Curve => nkeys::KeyPairType::Curve,
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            KeyKind::Host => "host",
            KeyKind::Component => "component",
            KeyKind::Provider => "provider",
            KeyKind::Account => "account",
            KeyKind::Cluster => "cluster",
            KeyKind::Curve => "encryption",
        };
        write!(f, "{name} ({})", self.letter())
    }
}

/// What can be wrong with a key or a signature. No variant carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the text of a public key.
    #[error("`{text}` is not a public key: {reason}")]
    Public {
        /// What was given, shortened.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Not the text of a seed. The text is not repeated: it may be most of a secret.
    #[error("this is not a seed: {reason}")]
    Seed {
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A key of one kind where another is needed.
    #[error("a key of kind {found} was given where one of kind {wanted} is needed")]
    Kind {
        /// What was given.
        found: KeyKind,
        /// What is needed.
        wanted: KeyKind,
    },
    /// A curve key was asked to sign or to verify.
    #[error("a key of kind {kind} cannot sign")]
    CannotSign {
        /// The kind of the key.
        kind: KeyKind,
    },
    /// The signature is not of these bytes by this key.
    #[error("the signature is not of these bytes by {public_key}")]
    Mismatch {
        /// Whose signature it should be.
        public_key: PublicKey,
    },
    /// Sealed bytes that this key does not open.
    #[error("this was not sealed by {other} for this key")]
    Sealed {
        /// Who should have sealed it.
        other: PublicKey,
    },
}

impl Coded for KeyError {
    fn code(&self) -> Code {
        match self {
            KeyError::Public { .. } | KeyError::Seed { .. } => identity::INVALID_NKEY,
            KeyError::Kind { .. } => identity::WRONG_KEY_KIND,
            KeyError::CannotSign { .. } => identity::CANNOT_SIGN,
            KeyError::Mismatch { .. } => identity::SIGNATURE_MISMATCH,
            KeyError::Sealed { .. } => identity::NOT_SEALED_FOR_THIS,
        }
    }
}

/// The public half of a key: 56 characters, the first of which is its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(std::sync::Arc<str>);

impl PublicKey {
    /// Checks length, alphabet, kind and checksum.
    pub fn new(text: impl AsRef<str>) -> Result<PublicKey, KeyError> {
        let text = text.as_ref();
        let fail = |reason| KeyError::Public { text: shown(text), reason };
        if text.starts_with('S') && text.len() == 58 {
            // Somebody mixed up the two halves; the message must not repeat the secret one.
            return Err(KeyError::Public { text: "S…".into(), reason: "it is a seed, which is secret" });
        }
        let kind = KeyKind::of_public(text).ok_or_else(|| fail("it must begin with N, M, V, A, C or X"))?;
        nkeys::from_public_key(text).map_err(|error| fail(reason_of(&error)))?;
        if kind != KeyKind::Curve {
            nkeys::KeyPair::from_public_key(text).map_err(|_| fail("it is not a point of the curve"))?;
        }
        Ok(PublicKey(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the key is for.
    pub fn kind(&self) -> KeyKind {
        KeyKind::of_public(&self.0).expect("the kind was checked when the key was made")
    }

    /// Fails unless the key is of the given kind.
    pub fn require(&self, wanted: KeyKind) -> Result<(), KeyError> {
        let found = self.kind();
        if found == wanted { Ok(()) } else { Err(KeyError::Kind { found, wanted }) }
    }

    /// Checks that the owner of this key signed exactly `bytes`.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let kind = self.kind();
        if kind == KeyKind::Curve {
            return Err(KeyError::CannotSign { kind });
        }
        nkeys::KeyPair::from_public_key(&self.0)
            .and_then(|key| key.verify(bytes, signature))
            .map_err(|_| KeyError::Mismatch { public_key: self.clone() })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<PublicKey, KeyError> {
        PublicKey::new(text)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.0.to_string()
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        PublicKey::new(text)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for PublicKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The secret half of a key as text. It is wiped when dropped, and only [`Seed::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<String>);

impl Seed {
    /// The secret. Whoever calls this writes it to the key's file and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A key with its secret half.
#[derive(Clone)]
pub struct KeyPair {
    secret: Secret,
    public_key: PublicKey,
}

/// The two families of curves. Boxed, so that moving a key pair leaves no copies of the secret on stacks.
#[derive(Clone)]
enum Secret {
    Signing(Box<nkeys::KeyPair>),
    Curve(Box<nkeys::XKey>),
}

impl KeyPair {
    /// A new key of the given kind from the system's randomness.
    pub fn generate(kind: KeyKind) -> KeyPair {
        match kind {
            KeyKind::Curve => KeyPair::of_curve(nkeys::XKey::new()),
            _ => KeyPair::of_signing(nkeys::KeyPair::new(kind.nkeys())),
        }
    }

    /// The key pair of a seed. White space around it is allowed, because seeds come out of files.
    pub fn from_seed(seed: &str) -> Result<KeyPair, KeyError> {
        let seed = seed.trim();
        let kind = KeyKind::of_seed(seed)
            .ok_or(KeyError::Seed { reason: "it must begin with SN, SM, SV, SA, SC or SX" })?;
        let fail = |error: nkeys::error::Error| KeyError::Seed { reason: reason_of(&error) };
        let pair = match kind {
            KeyKind::Curve => KeyPair::of_curve(nkeys::XKey::from_seed(seed).map_err(fail)?),
            _ => {
                let pair = nkeys::KeyPair::from_seed(seed).map_err(fail)?;
                // The letter shows only a part of the prefix; the crate takes what it does not know for an operator's.
                if pair.key_pair_type() != kind.nkeys() {
                    return Err(KeyError::Seed { reason: "its prefix is wrong" });
                }
                KeyPair::of_signing(pair)
            }
        };
        Ok(pair)
    }

    fn of_signing(pair: nkeys::KeyPair) -> KeyPair {
        let public_key = PublicKey(pair.public_key().into());
        KeyPair { secret: Secret::Signing(Box::new(pair)), public_key }
    }

    fn of_curve(key: nkeys::XKey) -> KeyPair {
        let public_key = PublicKey(key.public_key().into());
        KeyPair { secret: Secret::Curve(Box::new(key)), public_key }
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What the key is for.
    pub fn kind(&self) -> KeyKind {
        self.public_key.kind()
    }

    /// The same key, or an error unless it is of the given kind.
    pub fn require(self, wanted: KeyKind) -> Result<KeyPair, KeyError> {
        self.public_key.require(wanted)?;
        Ok(self)
    }

    /// The secret half as text.
    pub fn seed(&self) -> Seed {
        let text = match &self.secret {
            Secret::Signing(pair) => pair.seed(),
            Secret::Curve(key) => key.seed(),
        };
        Seed(Zeroizing::new(text.expect("a key pair always has its secret half")))
    }

    /// Signs `bytes`; 64 bytes of signature.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            Secret::Signing(pair) => Ok(pair.sign(bytes).expect("a key pair always has its secret half")),
            Secret::Curve(_) => Err(KeyError::CannotSign { kind: KeyKind::Curve }),
        }
    }

    /// Seals `bytes` with a curve key, so that the holder of the other key alone can open them, and knows from whom they are: nonce, then
    /// XSalsa20-Poly1305 over X25519, as nkeys does it.
    pub fn seal(&self, bytes: &[u8], to: &PublicKey) -> Result<Vec<u8>, KeyError> {
        let (own, to) = self.curves(to)?;
        own.seal(bytes, &to).map_err(|_| KeyError::Sealed { other: self.public_key.clone() })
    }

    /// Opens what [`KeyPair::seal`] made for this key.
    pub fn open(&self, sealed: &[u8], from: &PublicKey) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (own, other) = self.curves(from)?;
        let opened = own.open(sealed, &other);
        opened.map(Zeroizing::new).map_err(|_| KeyError::Sealed { other: from.clone() })
    }

    /// Both keys as what they are when they encrypt.
    fn curves(&self, other: &PublicKey) -> Result<(&nkeys::XKey, nkeys::XKey), KeyError> {
        other.require(KeyKind::Curve)?;
        let Secret::Curve(own) = &self.secret else {
            return Err(KeyError::Kind { found: self.kind(), wanted: KeyKind::Curve });
        };
        let other = nkeys::XKey::from_public_key(other.as_str());
        let other =
            other.map_err(|error| KeyError::Public { text: String::new(), reason: reason_of(&error) })?;
        Ok((own, other))
    }

    /// Checks that this key signed exactly `bytes`.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.public_key.verify(bytes, signature)
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public_key", &self.public_key.as_str()).finish_non_exhaustive()
    }
}

fn reason_of(error: &nkeys::error::Error) -> &'static str {
    use nkeys::error::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidKeyLength => "its length is wrong",
        ErrorKind::ChecksumFailure => "its checksum is wrong, a character may be mistyped",
        ErrorKind::CodecFailure => "only A-Z and 2-7 are allowed",
        ErrorKind::InvalidPrefix => "its prefix is wrong",
        _ => "it cannot be decoded",
    }
}

#[cfg(test)]
mod tests;
