//! The file of a bucket: a list of changes, each written at the end. Reading them all gives the bucket.
//!
//! ```text
//! change = checksum u32 · place u64 · length of key u32 · length of value u32, or u32::MAX for a key that was deleted · key · value
//! ```
//!
//! All numbers begin with their lowest byte. What stands after the last whole change was being written when the power went; it is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const HEAD: usize = 20;
const DELETED: u32 = u32::MAX;

/// One change of a key: its new value, or none when it was deleted.
pub struct Change<'a> {
    /// What the key is listed by: it keeps it for as long as it is there.
    pub place: u64,
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}

/// The open file.
pub struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens the file, or makes it, and tells each change in it.
    pub fn open(path: PathBuf, mut each: impl FnMut(Change<'_>)) -> io::Result<Log> {
        let mut content = Vec::new();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        file.read_to_end(&mut content)?;
        let mut whole = 0;
        while let Some((change, length)) = read(&content[whole..]) {
            each(change);
            whole += length;
        }
        if whole < content.len() {
            file.set_len(whole as u64)?;
        }
        Ok(Log { path, file, bytes: whole as u64 })
    }

    /// How long the file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes changes, all of them or none; with `sync` they are on the disk when this returns.
    pub fn append<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>, sync: bool) -> io::Result<()> {
        let mut content = Vec::new();
        changes.for_each(|change| write(&mut content, &change));
        let written = self.file.write_all(&content).and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // What there is of it must not come back with the next start.
            self.file.set_len(self.bytes)?;
        }
        written.map(|()| self.bytes += content.len() as u64)
    }

    /// Replaces the file by one that has only these changes.
    pub fn rewrite<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut content = Vec::new();
        changes.for_each(|change| write(&mut content, &change));
        let mut file = File::create(&new)?;
        file.write_all(&content)?;
        file.sync_data()?;
        drop(file);
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = content.len() as u64;
        Ok(())
    }
}

fn read(content: &[u8]) -> Option<(Change<'_>, usize)> {
    let number = |at: usize| content.get(at..at + 4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    let place = u64::from_le_bytes(content.get(4..12)?.try_into().ok()?);
    let (sum, key, value) = (number(0)?, number(12)? as usize, number(16)?);
    let end_of_key = HEAD.checked_add(key)?;
    let end = end_of_key.checked_add(if value == DELETED { 0 } else { value as usize })?;
    let change = content.get(4..end)?;
    if checksum(change) != sum {
        return None;
    }
    let key = std::str::from_utf8(content.get(HEAD..end_of_key)?).ok()?;
    let value = (value != DELETED).then(|| &content[end_of_key..end]);
    Some((Change { place, key, value }, end))
}

fn write(content: &mut Vec<u8>, change: &Change<'_>) {
    let begin = content.len();
    content.extend([0; 4]);
    content.extend(change.place.to_le_bytes());
    content.extend((change.key.len() as u32).to_le_bytes());
    content.extend(change.value.map_or(DELETED, |value| value.len() as u32).to_le_bytes());
    content.extend(change.key.as_bytes());
    content.extend(change.value.unwrap_or_default());
    let sum = checksum(&content[begin + 4..]);
    content[begin..begin + 4].copy_from_slice(&sum.to_le_bytes());
}

/// FNV-1a: it tells a change that is half written, and is no protection against more.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The file of the bucket of that name. Names are any text, so the file is called by their bytes.
pub fn path(folder: &Path, bucket: &str) -> PathBuf {
    let mut name = String::from("b");
    for byte in bucket.bytes() {
        name.push_str(&format!("{byte:02x}"));
    }
    folder.join(name).with_extension("log")
}
