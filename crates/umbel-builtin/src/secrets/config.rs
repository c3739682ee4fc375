//! What a secrets provider and its links are told.

use super::error::SecretsError;
use super::secret::Scope;
use umbel_core::link::Values;
use umbel_wit::serve::Link;

/// What a link to the provider says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// `scope`: `application` (default), or `shared`.
    shared: bool,
    /// `names`: the secrets that may be read, with commas between them. Without it all of the scope.
    names: Option<Vec<String>>,
}

impl Target {
    /// Reads a link's target config. Unknown keys are errors. Values are not repeated in them: somebody may have put a secret there.
    pub(super) fn read(values: &Values) -> Result<Target, SecretsError> {
        let mut target = Target::default();
        for (key, value) in values {
            match (key.as_str(), value.as_str()) {
                ("scope", "application") => target.shared = false,
                ("scope", "shared") => target.shared = true,
                ("scope", _) => return Err(wrong(key, "it is neither `application` nor `shared`")),
                ("names", names) => {
                    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                    target.names = Some(names.map(Into::into).collect());
                }
                _ => return Err(wrong(key, "this key is not known")),
            }
        }
        Ok(target)
    }

    /// Whose secrets the link leads to.
    pub(super) fn scope(&self, link: &Link) -> Scope {
        match &link.application {
            _ if self.shared => Scope::Shared,
            Some(application) => Scope::Application(application.clone()),
            None => Scope::Component(link.source_id.clone()),
        }
    }

    /// Whether the link allows that one.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|allowed| allowed == name))
    }
}

/// The provider itself has no config.
pub(super) fn check_provider(values: &Values) -> Result<(), SecretsError> {
    match values.keys().next() {
        Some(key) => Err(wrong(key, "this key is not known")),
        None => Ok(()),
    }
}

fn wrong(key: &str, reason: &'static str) -> SecretsError {
    SecretsError::Config { key: key.chars().take(60).flat_map(char::escape_debug).collect(), reason }
}
