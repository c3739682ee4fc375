//! The key that seals the secrets, and where it comes from.
//!
//! A system keyring is one more implementation of [`Keys`]. None is built in: the one of the desktop needs D-Bus and an unlocked
//! session, which servers do not have, and the one of the kernel forgets its keys when the machine is started anew.

use super::error::{Open, SecretsError};
use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// A key. It is wiped when it is let go of, and never shown.
pub struct Key(pub(super) Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Key {
    /// A new one, of the system's random numbers.
    pub fn random() -> Result<Key, SecretsError> {
        let mut key = Key(Box::new(Zeroizing::new([0; KEY_BYTES])));
        OsRng.try_fill_bytes(&mut key.0[..]).map_err(|_| SecretsError::Random)?;
        Ok(key)
    }

    /// The key that these hexadecimal digits are.
    pub fn from_hex(text: &str) -> Option<Key> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut key = Key(Box::new(Zeroizing::new([0; KEY_BYTES])));
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(key)
    }

    /// The key as hexadecimal digits.
    fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in self.0.iter() {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
            }
        }
        text
    }
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Where the key is kept.
pub trait Keys: Send + Sync + 'static {
    /// The key, if there is one.
    fn load(&self) -> Result<Option<Key>, SecretsError>;

    /// Makes a key and keeps it durably. Called only where nothing is sealed yet.
    fn make(&self) -> Result<Key, SecretsError>;
}

/// A key in a file that only its owner may read.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    made: bool,
}

impl KeyFile {
    /// A file that is made at the first use.
    pub fn new(path: impl Into<PathBuf>) -> KeyFile {
        KeyFile { path: path.into(), made: true }
    }

    /// A file that somebody else provides, such as a credential of systemd: where it is missing, none is made.
    pub fn provided(path: impl Into<PathBuf>) -> KeyFile {
        KeyFile { path: path.into(), made: false }
    }
}

impl Keys for KeyFile {
    fn load(&self) -> Result<Option<Key>, SecretsError> {
        let io = |e| SecretsError::io(&self.path, e);
        let file = match open_private(&self.path) {
            Ok(file) => file,
            Err(SecretsError::Io { source, .. }) if source.kind() == ErrorKind::NotFound && self.made => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut text = Zeroizing::new(String::with_capacity(4 * KEY_BYTES));
        // Not more than a key may have, so that nothing is moved while it grows and left behind.
        let invalid = || SecretsError::KeyInvalid { path: self.path.clone() };
        match file.take(3 * KEY_BYTES as u64).read_to_string(&mut text) {
            Ok(_) => Key::from_hex(&text).map(Some).ok_or_else(invalid),
            Err(e) if e.kind() == ErrorKind::InvalidData => Err(invalid()),
            Err(e) => Err(io(e)),
        }
    }

    fn make(&self) -> Result<Key, SecretsError> {
        let io = |e| SecretsError::io(&self.path, e);
        let key = Key::random()?;
        let folder = folder_of(&self.path);
        make_folder(folder).map_err(io)?;
        // Under another name until it is whole: half a key would be none, and in the way of the next one.
        let new = with_suffix(&self.path, ".new");
        let mut text = key.to_hex();
        text.push('\n');
        write_private(&new, text.as_bytes()).map_err(io)?;
        // A link fails if the name is taken: somebody else's key must never be replaced.
        let linked = fs::hard_link(&new, &self.path).map_err(io);
        fs::remove_file(&new).map_err(io)?;
        linked?;
        sync_folder(folder).map_err(io)?;
        Ok(key)
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(suffix);
    path.into()
}

/// Writes a new file that only its owner may read, durably. What a crash has left under the name goes first.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Opens a file after having checked that it is ours and nobody else can read it.
pub(super) fn open_private(path: &Path) -> Result<File, SecretsError> {
    let io = |e| SecretsError::io(path, e);
    let open = |how| Err(SecretsError::Permissions { path: path.to_path_buf(), how: Open(how) });
    // Opening a pipe could block.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(std::io::Error::new(ErrorKind::InvalidInput, "not a file")));
    }
    let file = File::open(path).map_err(io)?;
    // What was opened is checked, not what has the name by now.
    let meta = file.metadata().map_err(io)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return open("it belongs to another user");
    }
    if meta.mode() & 0o077 != 0 {
        return open("others than its owner can read or write it");
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
