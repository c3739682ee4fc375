//! Opening a file that somebody named, without trusting that it is one.

use crate::ArtifactError;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Opens a regular file of at most `bytes_max`. It never waits for a pipe's other end and never opens a device, whose opening
/// may already do something.
pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<File, ArtifactError> {
    check(path, &std::fs::metadata(path).map_err(|source| failed(path, source))?, bytes_max)?;
    // What is there may be another file by now: a pipe is opened without waiting, and what was opened is checked again.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: File = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(path, e.into()))?.into();
    check(path, &file.metadata().map_err(|source| failed(path, source))?, bytes_max)?;
    Ok(file)
}

fn check(path: &Path, metadata: &Metadata, bytes_max: u64) -> Result<(), ArtifactError> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => "",
        () if kind.is_dir() => "folder",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () => "device",
    };
    if !what.is_empty() {
        return Err(ArtifactError::NotAFile { path: whole(path), what });
    }
    if metadata.len() > bytes_max {
        return Err(too_large(Some(path), bytes_max));
    }
    Ok(())
}

/// The error that names a file which could not be opened or read.
pub(crate) fn failed(path: &Path, source: io::Error) -> ArtifactError {
    let path = whole(path);
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ArtifactError::NotFound { path },
        _ => ArtifactError::Unreadable { path, source },
    }
}

/// The error of more bytes than the store takes, from a file or from memory.
pub(crate) fn too_large(name: Option<&Path>, bytes_max: u64) -> ArtifactError {
    ArtifactError::TooLarge { name: name.map(whole), bytes_max }
}

/// The path from the root on, so that a message shows in which folder a relative one was looked for.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
