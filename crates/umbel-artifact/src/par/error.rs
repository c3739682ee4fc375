//! What can be wrong with a provider archive.

use super::Target;
use crate::ArtifactError;
use crate::error::shown;
use std::io;
use std::path::{Path, PathBuf};
use umbel_core::claims::ClaimsError;
use umbel_core::code::{Code, artifact};
use umbel_core::{Coded, Problem};

/// Why an archive is refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ParError {
    /// Not tar, or not gzip, or not what belongs into an archive.
    #[error("this is not a provider archive: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// It ends in the middle.
    #[error("the provider archive ends too early, {place}")]
    Truncated {
        /// Where.
        place: String,
    },
    /// A name that is not one.
    #[error("the provider archive has a file with the name `{name}`: {reason}")]
    Name {
        /// The name, shortened and printable.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Something else than a file.
    #[error("`{name}` in the provider archive is {kind}, not a file")]
    Kind {
        /// The name, shortened and printable.
        name: String,
        /// What it is.
        kind: EntryKind,
    },
    /// A name for the second time.
    #[error("`{name}` stands twice in the provider archive")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// More bytes than are read.
    #[error("{what} of the provider archive has more than {bytes_max} bytes")]
    TooLarge {
        /// `the content` or a file.
        what: String,
        /// What is read.
        bytes_max: u64,
    },
    /// More bytes out of gzip than an honest archive has.
    #[error("the provider archive unpacks to more than {ratio_max} times of its size")]
    Ratio {
        /// What is allowed.
        ratio_max: u64,
    },
    /// More entries than are read.
    #[error("the provider archive has more than {entries_max} entries")]
    TooMany {
        /// What is read.
        entries_max: usize,
    },
    /// No executable, or none for the target.
    #[error("the provider archive has no executable for {target}{}", among(there))]
    NoTarget {
        /// What was looked for.
        target: Target,
        /// What there is.
        there: Vec<Target>,
    },
    /// No claims where they are required.
    #[error("the provider archive is not signed")]
    Unsigned,
    /// Not `{arch}-{os}`.
    #[error("`{text}` is not the name of a target")]
    Target {
        /// What was given, shortened and printable.
        text: String,
    },
    /// Bytes that cannot be started there.
    #[error("this cannot be the executable for {target}: {reason}")]
    NotExecutable {
        /// What it was given for.
        target: Target,
        /// What it is.
        reason: String,
    },
    /// The claims are not good.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The archive's file cannot be opened.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The archive cannot be read, or written.
    #[error("the provider archive cannot be read or written")]
    Io {
        /// Why.
        source: io::Error,
    },
    /// The folder for executables fails.
    #[error("the executable of the provider cannot be stored in {}", shown(folder))]
    Executable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What stands in an archive and is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A symbolic link.
    Symlink,
    /// A hard link.
    HardLink,
    /// A character or block device.
    Device,
    /// A pipe.
    Pipe,
    /// A folder.
    Folder,
    /// A file with holes.
    Sparse,
    /// Anything else that `tar` knows.
    Other,
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EntryKind::Symlink => "a symbolic link",
            EntryKind::HardLink => "a hard link",
            EntryKind::Device => "a device",
            EntryKind::Pipe => "a pipe",
            EntryKind::Folder => "a folder",
            EntryKind::Sparse => "a sparse file",
            EntryKind::Other => "of a kind that has no place there",
        })
    }
}

/// `, only for …`.
fn among(there: &[Target]) -> String {
    if there.is_empty() {
        return " nor for any other machine".into();
    }
    // An archive has few; a message has room for ten.
    let list: Vec<&str> = there.iter().take(10).map(Target::as_str).collect();
    let more = if there.len() > list.len() { ", …" } else { "" };
    format!(", only for {}{more}", list.join(", "))
}

impl Coded for ParError {
    fn code(&self) -> Code {
        match self {
            ParError::Malformed { .. } => artifact::PAR_MALFORMED,
            ParError::Truncated { .. } => artifact::PAR_TRUNCATED,
            ParError::Name { .. } => artifact::PAR_NAME,
            ParError::Kind { .. } => artifact::PAR_ENTRY_KIND,
            ParError::Duplicate { .. } => artifact::PAR_DUPLICATE,
            ParError::TooLarge { .. } => artifact::PAR_TOO_LARGE,
            ParError::Ratio { .. } => artifact::PAR_RATIO,
            ParError::TooMany { .. } => artifact::PAR_TOO_MANY,
            ParError::NoTarget { .. } => artifact::PAR_NO_TARGET,
            ParError::Unsigned => artifact::PAR_UNSIGNED,
            ParError::Target { .. } => artifact::PAR_TARGET,
            ParError::NotExecutable { .. } => artifact::PAR_NOT_EXECUTABLE,
            ParError::Claims(error) => error.code(),
            ParError::Artifact(error) => error.code(),
            ParError::Io { .. } => artifact::FILE_UNREADABLE,
            ParError::Executable { .. } => artifact::PAR_EXECUTABLE,
        }
    }

    fn help(&self) -> String {
        match self {
            ParError::NoTarget { target, .. } => format!(
                "build the provider for this machine and make the archive again, with `--binary {target}=PATH` for it: \
                 `umbel par create --help`"
            ),
            ParError::Claims(ClaimsError::Expired { .. } | ClaimsError::NotYetValid { .. }) => {
                "check the clock with `date -u`, then sign the archive again with `umbel par sign`".into()
            }
            ParError::Claims(_) => {
                "get the archive again from whoever signed it, or sign this one with `umbel par sign`".into()
            }
            ParError::Artifact(error) => error.help(),
            ParError::Executable { folder, .. } => {
                let folder = shown(folder);
                format!("check space and rights with `df -h {folder}` and `ls -ld {folder}`, then try again")
            }
            _ => self.code().entry().help.to_string(),
        }
    }
}

/// The error as a problem that names the file: of several archives it is not known otherwise which one is meant.
pub fn of_file(error: &ParError, path: &Path) -> Problem {
    let mut problem = Problem::from(error as &dyn Coded);
    let file = shown(path);
    // Errors of opening it have the name already.
    if !problem.message.contains(&file) {
        problem.message = format!("{file}: {}", problem.message);
    }
    problem.help = problem.help.replace(" FILE`", &format!(" {}`", path.display()));
    problem
}

impl From<ParError> for Problem {
    fn from(error: ParError) -> Problem {
        Problem::from(&error)
    }
}
