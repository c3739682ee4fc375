//! Names: of targets, and of what stands in an archive.

use super::{CLAIMS, ParError, WORLD};

/// What an executable was built for: `{arch}-{os}`, as in `x86_64-linux`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(String);

impl Target {
    /// Checks the name: two parts of small letters, digits and `_`, at most 64 characters in all.
    pub fn new(text: impl Into<String>) -> Result<Target, ParError> {
        let text = text.into();
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match text.split_once('-') {
            Some((arch, os)) if part(arch) && part(os) && text.len() <= 64 => Ok(Target(text)),
            _ => Err(ParError::Target { text: shown(text.as_bytes()) }),
        }
    }

    /// The one of this machine.
    pub fn of_this_machine() -> Target {
        Target(format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The processor, as in `x86_64`.
    pub(super) fn arch(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(arch, _)| arch)
    }

    /// The operating system, as in `linux`.
    pub(super) fn os(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, os)| os)
    }

    /// The name of its file in an archive.
    pub(super) fn file(&self) -> String {
        format!("{}.bin", self.0)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Target {
    type Err = ParError;
    fn from_str(text: &str) -> Result<Target, ParError> {
        Target::new(text)
    }
}

/// What a file of an archive is, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Claims,
    World,
    Executable(Target),
    /// Nothing that anybody needs.
    Other(String),
}

impl Name {
    /// Reads the name of an entry. `tar` puts `./` in front of what it finds in a folder, and that says nothing.
    pub(super) fn read(bytes: &[u8]) -> Result<Name, ParError> {
        let fail = |reason| ParError::Name { name: shown(bytes), reason };
        let text = std::str::from_utf8(bytes).map_err(|_| fail("it is not UTF-8"))?;
        if text.starts_with('/') || text.contains('\\') || text.split_once(':').is_some() {
            return Err(fail("it is a path from the root"));
        }
        let name = text.strip_prefix("./").unwrap_or(text);
        if name.split('/').any(|part| part == "..") {
            return Err(fail("it leads out of the archive"));
        }
        if name.is_empty() || name.split('/').any(|part| part.is_empty() || part == ".") {
            return Err(fail("a part of it is empty"));
        }
        if name.chars().any(char::is_control) {
            return Err(fail("it has control characters"));
        }
        Ok(match name {
            CLAIMS => Name::Claims,
            WORLD => Name::World,
            _ => match name.strip_suffix(".bin").map(Target::new) {
                Some(Ok(target)) => Name::Executable(target),
                _ => Name::Other(name.to_string()),
            },
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Claims => f.write_str(CLAIMS),
            Name::World => f.write_str(WORLD),
            Name::Executable(target) => f.write_str(&target.file()),
            Name::Other(name) => f.write_str(name),
        }
    }
}

/// At most 60 characters, printable, for a message.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(60).flat_map(char::escape_debug).collect()
}
