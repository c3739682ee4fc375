//! Compiled code on disk: by digest of the component, engine and flags; authenticated before it is loaded; mapped, not copied.
//!
//! Loading machine code is trusting it. Each file carries a keyed hash in a file beside it, made with a key that only this user can
//! read; what does not verify is thrown away and compiled again.

use crate::engine::{Engine, Style};
use crate::error::{Cause, LoadError};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Changes when what is stored means something else.
const FORMAT: &[u8] = b"umbel aot 2";

/// In the order in which code is tried: most is plain, and what code is for stands at its beginning.
const STYLES: [Style; 2] = [Style::Plain, Style::Concurrent];

/// Code as an engine has it, and which engine that is.
pub(crate) type Loaded = (wasmtime::component::Component, Style);

/// The name of one compiled component: a hash over its digest, the engines and their flags. For which of the two engines the code is,
/// the code itself says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key of the component with this digest under these engines.
    pub(crate) fn of(digest: &str, engine: &Engine) -> Key {
        struct Sink(blake3::Hasher);
        impl Hasher for Sink {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut sink = Sink(blake3::Hasher::new());
        sink.write(FORMAT);
        digest.hash(&mut sink);
        for style in STYLES {
            engine.pool(style).wasmtime.precompile_compatibility_hash().hash(&mut sink);
        }
        Key(sink.0.finalize().to_hex().to_string())
    }
}

/// The folder of compiled code.
pub struct Cache {
    dir: PathBuf,
    secret: [u8; 32],
    scratch: AtomicU64,
}

/// What trimming removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many compiled components.
    pub components: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A file under way; removed when dropped before it was adopted.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn cache_error(path: &Path) -> impl FnOnce(std::io::Error) -> LoadError {
    let path = path.to_path_buf();
    move |e| LoadError::Cache { path, source: e.into() }
}

impl Cache {
    /// Opens the folder, making it (mode 0700) and its secret (mode 0600) when absent.
    pub fn open(dir: &Path) -> Result<Cache, LoadError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cache_error(dir))?;
        // One that was there may have been open to others, who could have left a secret that they know.
        close_to_others(dir).map_err(cache_error(dir))?;
        remove_leftovers(dir);
        let secret = read_or_make_secret(&dir.join("secret"))?;
        Ok(Cache { dir: dir.to_path_buf(), secret, scratch: AtomicU64::new(0) })
    }

    fn code_path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key.0))
    }

    fn mac_path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.mac", key.0))
    }

    /// Whether there is code under this key; it may still turn out not to be authentic.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.code_path(key).exists()
    }

    /// A name for a file under way.
    pub(crate) fn scratch(&self, key: &Key) -> Scratch {
        // The folder may be deleted at any time; if it cannot be made again, writing to it says why.
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        Scratch(self.dir.join(format!("{}.{}-{number}.tmp", key.0, std::process::id())))
    }

    /// Takes a finished file in: its keyed hash first, then the file under its name.
    pub(crate) fn adopt(&self, key: &Key, scratch: Scratch) -> Result<(), LoadError> {
        let file = File::open(scratch.path()).map_err(cache_error(scratch.path()))?;
        let mac = self.mac(key, &file).map_err(cache_error(scratch.path()))?;
        let mac_path = self.mac_path(key);
        let mac_scratch = self.scratch(key);
        fs::write(mac_scratch.path(), mac.as_bytes()).map_err(cache_error(mac_scratch.path()))?;
        fs::rename(mac_scratch.path(), &mac_path).map_err(cache_error(&mac_path))?;
        let code_path = self.code_path(key);
        fs::rename(scratch.path(), &code_path).map_err(cache_error(&code_path))
    }

    /// Maps the code, if it is there and authentic. What is there and is not authentic is removed.
    pub(crate) fn load(&self, key: &Key, engine: &Engine) -> Result<Option<Loaded>, LoadError> {
        let path = self.code_path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cache_error(&path)(e)),
        };
        let authentic = match fs::read(self.mac_path(key)) {
            Ok(mac) => blake3_eq(&mac, &self.mac(key, &file).map_err(cache_error(&path))?),
            Err(_) => false,
        };
        if !authentic {
            tracing::warn!(path = %path.display(), "compiled code is not authentic, compiling again");
            self.forget(key);
            return Ok(None);
        }
        match map(engine, &file) {
            Ok(loaded) => {
                // The time of its last use, for `trim`. A folder that takes no changes is trimmed by age.
                #[expect(clippy::disallowed_methods, reason = "how old a file is, the system's clock says")]
                let _ = file.set_modified(SystemTime::now());
                Ok(Some(loaded))
            }
            // Made by an engine that differs in a way its hash does not show: compile again rather than fail.
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %Cause::of(&error), "compiled code does not load, compiling again");
                self.forget(key);
                Ok(None)
            }
        }
    }

    /// Removes code that was not used for the longest time until no more than `bytes_max` are left, but nothing of `keep`.
    pub(crate) fn trim(&self, keep: &HashSet<Key>, bytes_max: u64) -> Result<Trimmed, LoadError> {
        let mut all = self.list().map_err(cache_error(&self.dir))?;
        all.sort_by_key(|(_, used, _)| *used);
        let mut left: u64 = all.iter().map(|(_, _, bytes)| bytes).sum();
        let mut trimmed = Trimmed::default();
        for (key, _, bytes) in all {
            if left <= bytes_max {
                break;
            }
            if keep.contains(&key) {
                continue;
            }
            // Whoever has it mapped keeps it.
            self.forget(&key);
            left -= bytes;
            trimmed.components += 1;
            trimmed.bytes += bytes;
        }
        Ok(trimmed)
    }

    /// What there is, when it was used last, and how many bytes it has.
    fn list(&self) -> std::io::Result<Vec<(Key, SystemTime, u64)>> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(all),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".cwasm")) else { continue };
            // It may be gone by now.
            let Ok(metadata) = entry.metadata() else { continue };
            all.push((Key(key.to_string()), metadata.modified()?, metadata.len()));
        }
        Ok(all)
    }

    fn forget(&self, key: &Key) {
        let _ = fs::remove_file(self.code_path(key));
        let _ = fs::remove_file(self.mac_path(key));
    }

    fn mac(&self, key: &Key, mut file: &File) -> std::io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(key.0.as_bytes());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok(hasher.finalize());
            }
            hasher.update(&buffer[..n]);
        }
    }
}

/// Compares in constant time.
fn blake3_eq(stored: &[u8], computed: &blake3::Hash) -> bool {
    <[u8; 32]>::try_from(stored).is_ok_and(|bytes| blake3::Hash::from_bytes(bytes) == *computed)
}

/// Maps the code for the engine that it was made for.
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Loaded> {
    let mut last = None;
    for style in STYLES {
        match map_for(&engine.pool(style).wasmtime, file) {
            Ok(component) => return Ok((component, style)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| wasmtime::format_err!("there is no engine")))
}

#[expect(unsafe_code, reason = "loading machine code is what a cache of machine code is for")]
fn map_for(engine: &wasmtime::Engine, file: &File) -> wasmtime::Result<wasmtime::component::Component> {
    // Through the open file, so that what is mapped is what was authenticated, whatever happens to the name meanwhile.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file was written by our compile process and its keyed hash verified a moment ago; the folder is ours alone (0700).
    unsafe { wasmtime::component::Component::deserialize_file(engine, path) }
}

/// Files that an earlier process did not finish.
fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.path().extension().is_some_and(|e| e == "tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the folder ours alone. Where others could write until now, nothing in it is to be trusted.
fn close_to_others(dir: &Path) -> std::io::Result<()> {
    let found = fs::metadata(dir)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        let reason = "the folder of compiled code belongs to another user";
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    if found.mode() & 0o022 != 0 {
        match fs::remove_file(dir.join("secret")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn read_or_make_secret(path: &Path) -> Result<[u8; 32], LoadError> {
    match fs::read(path) {
        Ok(bytes) => {
            if let Ok(secret) = bytes.try_into() {
                return Ok(secret);
            }
            // A secret of another length was cut off while it was written; nothing that it signed can be trusted or is needed.
            fs::remove_file(path).map_err(cache_error(path))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(cache_error(path)(e)),
    }
    let mut secret = [0; 32];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut secret)).map_err(cache_error(path))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cache_error(path))?;
    file.write_all(&secret).and_then(|()| file.sync_all()).map_err(cache_error(path))?;
    Ok(secret)
}
