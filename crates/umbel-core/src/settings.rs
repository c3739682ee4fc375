//! What a provider or a link is configured with: values that everybody may see, and secrets that nobody may.

use crate::error::Problem;
use crate::link::Values;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroize;

/// How the name of a config begins that holds a secret's reference and not values (`facts/wasmcloud.md` §4.8).
pub const SECRET_PREFIX: &str = "SECRET_";

/// Whether a config of that name holds a secret's reference.
pub fn is_secret(name: &str) -> bool {
    name.starts_with(SECRET_PREFIX)
}

/// The value of a secret, in the JSON of wasmCloud 1.x: `{"kind": "String" or "Bytes", "value": …}`. It is wiped when it is let go of, and
/// not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub enum SecretValue {
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        match self {
            SecretValue::String(text) => text.zeroize(),
            SecretValue::Bytes(bytes) => bytes.zeroize(),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Secrets by the names that their users give them.
pub type Secrets = BTreeMap<String, SecretValue>;

/// The shortest text that is looked for in what is told: shorter ones are words that stand everywhere.
const HIDDEN_CHARS_MIN: usize = 4;

/// The problem without the secrets: who reads a setting and refuses it repeats it.
pub fn hide(mut problem: Problem, secrets: &Secrets) -> Problem {
    for secret in secrets.values() {
        let text = match secret {
            SecretValue::String(text) => text.as_str(),
            SecretValue::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        };
        for hidden in [text, text.trim()].into_iter().filter(|text| text.len() >= HIDDEN_CHARS_MIN) {
            let texts = [&mut problem.message, &mut problem.help].into_iter().chain(&mut problem.causes);
            for told in texts.filter(|told| told.contains(hidden)) {
                *told = told.replace(hidden, "…");
            }
        }
    }
    problem
}

/// Values and secrets of one side.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The merged config.
    pub values: Values,
    /// The secrets, by name.
    pub secrets: Secrets,
}

impl Settings {
    /// All that is text, secrets under their names in place of values: whoever reads a setting need not know which of both it is. Bytes are
    /// in [`Settings::secrets`] alone.
    pub fn all(&self) -> Values {
        with_secrets(&self.values, &self.secrets)
    }
}

impl From<Values> for Settings {
    fn from(values: Values) -> Settings {
        Settings { values, secrets: Secrets::new() }
    }
}

/// Names alone, because values may be what somebody should have kept secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.values.keys().chain(self.secrets.keys());
        f.debug_set().entries(names).finish()
    }
}

/// The values, with the secrets that are text under their names.
pub(crate) fn with_secrets(values: &Values, secrets: &Secrets) -> Values {
    let mut all = values.clone();
    all.extend(secrets.iter().filter_map(|(name, secret)| match secret {
        SecretValue::String(text) => Some((name.clone(), text.clone())),
        SecretValue::Bytes(_) => None,
    }));
    all
}

#[cfg(test)]
mod tests;
