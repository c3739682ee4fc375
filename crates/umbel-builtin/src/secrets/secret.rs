//! A secret, and whose it is.

use std::fmt;
use zeroize::Zeroizing;

/// Largest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// The value of a secret. It is wiped when it is let go of, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Text.
    String(Zeroizing<String>),
    /// Bytes.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Secret {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Secret::String(text) => text.as_bytes(),
            Secret::Bytes(bytes) => bytes,
        }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::String(Zeroizing::new(text))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret::Bytes(Zeroizing::new(bytes))
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Whose a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read by the components of that application.
    Application(String),
    /// Read by that component, which belongs to no application.
    Component(String),
    /// Read over every link that says `scope: shared`.
    Shared,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Application(name) => write!(f, "application `{name}`"),
            Scope::Component(id) => write!(f, "component `{id}`"),
            Scope::Shared => f.write_str("all"),
        }
    }
}
