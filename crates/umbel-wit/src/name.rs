//! Names of interfaces, and which version of one serves which import of it.

use semver::Version;
use std::fmt;

/// The name of an interface: `wasi:keyvalue/store@0.2.0`, or a plain name such as `store`, which only its world knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName {
    /// The name without its version: `wasi:keyvalue/store`.
    pub unversioned: String,
    /// Its version, if it has one.
    pub version: Option<Version>,
}

impl InterfaceName {
    /// Reads a name. What stands behind `@` and is not a version is part of the name.
    pub fn new(name: &str) -> InterfaceName {
        let split = name.rsplit_once('@').and_then(|(name, version)| Some((name, version.parse().ok()?)));
        match split {
            Some((name, version)) => InterfaceName { unversioned: name.to_string(), version: Some(version) },
            None => InterfaceName { unversioned: name.to_string(), version: None },
        }
    }

    /// The package, `wasi:keyvalue`, unless it is a plain name.
    pub fn package(&self) -> Option<&str> {
        self.unversioned.split_once('/').map(|(package, _)| package)
    }

    /// The interface without its package: `store`.
    pub fn interface(&self) -> &str {
        self.unversioned.split_once('/').map_or(&self.unversioned, |(_, interface)| interface)
    }

    /// Whether an export of this name may serve the import: the same name and a compatible version. As in semver, an import is served by
    /// an export that is not older, and before 1.0 the minor version must be the same (before 0.1 the patch too). A prerelease serves only
    /// itself. A name without a version goes with any.
    pub fn serves(&self, import: &InterfaceName) -> bool {
        if self.unversioned != import.unversioned {
            return false;
        }
        let (Some(have), Some(want)) = (&self.version, &import.version) else { return true };
        if !have.pre.is_empty() || !want.pre.is_empty() {
            return have == want;
        }
        let same_line = match (want.major, want.minor) {
            (0, 0) => (have.major, have.minor, have.patch) == (0, 0, want.patch),
            (0, minor) => (have.major, have.minor) == (0, minor),
            (major, _) => have.major == major,
        };
        same_line && have >= want
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.unversioned),
            None => f.write_str(&self.unversioned),
        }
    }
}

#[cfg(test)]
mod tests;
