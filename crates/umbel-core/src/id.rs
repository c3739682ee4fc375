//! Names and ids: newtypes that are checked once, when they are made.
//!
//! A *name* is what people type (`hello`); an *id* is what the lattice uses (`hello-http_server`, or a 56-character nkey).

use crate::code::{Code, identity};
use crate::error::Coded;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Why a text is not a name or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a DNS label.
    #[error("`{text}` is not a name: {reason}")]
    Name {
        /// What was given, shortened.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Not a lattice id.
    #[error("`{text}` is not an id: {reason}")]
    Id {
        /// What was given, shortened.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
}

impl Coded for IdError {
    fn code(&self) -> Code {
        match self {
            IdError::Name { .. } => identity::INVALID_NAME,
            IdError::Id { .. } => identity::INVALID_ID,
        }
    }
}

/// At most 40 characters of `text`, printable, for use in a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn check_name(text: &str) -> Result<(), IdError> {
    let fail = |reason| Err(IdError::Name { text: shown(text), reason });
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 63 {
        return fail("it must have 1 to 63 characters");
    }
    if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') {
        return fail("only a-z, 0-9 and - are allowed");
    }
    if bytes[0] == b'-' || bytes[bytes.len() - 1] == b'-' {
        return fail("it must begin and end with a letter or digit");
    }
    Ok(())
}

fn check_id(text: &str) -> Result<(), IdError> {
    let fail = |reason| Err(IdError::Id { text: shown(text), reason });
    if text.is_empty() || text.len() > 256 {
        return fail("it must have 1 to 256 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'>' | b'/' | b'\\')) {
        return fail("only visible ASCII without `*`, `>`, `/` and `\\` is allowed");
    }
    if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        return fail("dots separate non-empty parts");
    }
    Ok(())
}

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps the text.
            pub fn new(text: impl AsRef<str>) -> Result<$name, IdError> {
                $check(text.as_ref())?;
                Ok($name(text.as_ref().into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<$name, IdError> {
                $name::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.to_string()
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<$name, IdError> {
                $name::new(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        // Hash and order are those of the text, so maps can be asked with a text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_newtype! {
    /// The name of an application: a DNS label, because it becomes `<app>.localhost`.
    AppName, check_name
}
text_newtype! {
    /// The name of a lattice: a DNS label, because it becomes a part of subjects.
    LatticeName, check_name
}
text_newtype! {
    /// A host's id: its public key, `N…`.
    HostId, check_id
}
text_newtype! {
    /// A component's id on the lattice. wadm makes it `{app}-{component}` with every other character as `_`
    /// (`facts/wasmcloud.md` §4.7).
    ComponentId, check_id
}
text_newtype! {
    /// A provider's id on the lattice.
    ProviderId, check_id
}

impl From<&crate::nkey::PublicKey> for HostId {
    fn from(key: &crate::nkey::PublicKey) -> HostId {
        HostId(key.as_str().into())
    }
}

/// A fresh ULID: 26 characters that sort by time, as wadm gives to versions of applications. The time is the caller's, the rest
/// is random.
pub fn new_ulid(unix_time: Duration) -> String {
    fresh(unix_time).to_string()
}

/// A fresh UUID made of a ULID's 16 bytes, as wasmCloud 1.x gives to events (`facts/wasmcloud.md` §4.3).
pub fn new_uuid(unix_time: Duration) -> String {
    let hex = HEXLOWER.encode(&fresh(unix_time).to_bytes());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn fresh(unix_time: Duration) -> ulid::Ulid {
    // A time that no clock shows (beyond the year 10889) is cut to the 48 bits that a ULID has.
    let at =
        Duration::from_millis(u64::try_from(unix_time.as_millis()).unwrap_or(u64::MAX) & ((1 << 48) - 1));
    ulid::Ulid::from_datetime(SystemTime::UNIX_EPOCH + at)
}

/// The id that wadm gives a part of an application: `{app}-{part}`, where whatever is not a letter or digit becomes `_`
/// (wasmCloud 1.x, `facts/wasmcloud.md` §4.7).
pub fn application_part_id(app: &AppName, part: &str) -> String {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    };
    format!("{}-{}", clean(app.as_str()), clean(part))
}

#[cfg(test)]
mod tests;
