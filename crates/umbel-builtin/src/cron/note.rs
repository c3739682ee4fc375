//! When a job was last run, kept for jobs that catch up. One small file each, replaced whole.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_core::digest::Digest;
use umbel_core::link::LinkKey;

/// The note of one job.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    file: PathBuf,
    schedule: String,
}

impl Note {
    /// The note of a job of a link. It does not count for another schedule.
    pub(crate) fn new(folder: &Path, link: &LinkKey, job: &str, schedule: &str) -> Note {
        let parts = [&link.source_id, &link.name, &link.wit_namespace, &link.wit_package, job];
        let name = Digest::of(parts.join("\n").as_bytes()).hex();
        Note { file: folder.join("last-runs").join(name), schedule: schedule.into() }
    }

    /// When the job was last run, or made.
    pub(crate) fn read(&self) -> io::Result<Option<Duration>> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (seconds, schedule) = text.split_once(' ').unwrap_or((&text, ""));
        let seconds = seconds.parse().ok().filter(|_| schedule == self.schedule);
        Ok(seconds.map(Duration::from_secs))
    }

    pub(crate) fn write(&self, at: Duration) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{} {}", at.as_secs(), self.schedule))?;
        std::fs::rename(new, &self.file)
    }

    /// The link is gone; a new one of the same name starts anew.
    pub(crate) fn forget(&self) {
        // What cannot be removed is of another schedule, or is read once too often.
        let _ = std::fs::remove_file(&self.file);
    }
}
