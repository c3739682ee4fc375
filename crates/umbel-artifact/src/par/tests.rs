use super::*;
use crate::store::digest_of;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tar::{EntryType, Header};
use tempfile::TempDir;
use umbel_core::claims::{Claims, Provider, target_hash};
use umbel_core::digest::Digest;
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_core::{Coded, Problem};

mod forms;
mod refused;

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// What `provider-archive` of wasmCloud 1.x, which `wash par create` calls, has written: three targets, a schema.
const WASH: &[u8] = include_bytes!("vectors/wash.par");
const WASH_GZIP: &[u8] = include_bytes!("vectors/wash.par.gz");

fn target(text: &str) -> Target {
    Target::new(text).expect("a target")
}

fn linux() -> Target {
    target("x86_64-linux")
}

fn policy() -> Policy {
    Policy { signed_only: false, unix_time: NOW }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Level::best());
    gzip.write_all(bytes).expect("writes");
    gzip.finish().expect("writes")
}

/// An archive of these entries, named byte by byte.
fn pack(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, *bytes).expect("appends");
    }
    tar.into_inner().expect("writes")
}

fn files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> =
        files.iter().map(|(name, bytes)| (name.as_bytes(), EntryType::Regular, *bytes)).collect();
    pack(&entries)
}

fn signing(subject: &KeyPair) -> Signing {
    let provider = Provider {
        name: Some("keyvalue".into()),
        vendor: "Acme".into(),
        rev: Some(3),
        ver: Some("0.2.0".into()),
        ..Provider::default()
    };
    Signing { provider, subject: subject.public_key().clone(), expires: None, unix_time: NOW }
}

/// Claims about executables, signed.
fn jwt(hashes: &[(&str, &[u8])], change: impl FnOnce(&mut Claims<Provider>)) -> String {
    let (account, subject) = (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Provider));
    let hashes = hashes.iter().map(|(target, bytes)| (target.to_string(), target_hash(&Digest::of(bytes))));
    let provider = Provider { target_hashes: hashes.collect(), ..signing(&subject).provider };
    let mut claims = Claims::new(account.public_key(), subject.public_key(), provider, NOW);
    change(&mut claims);
    claims.sign(&account).expect("signs").jwt().to_string()
}

fn look(bytes: &[u8]) -> Result<Info, ParError> {
    inspect(Cursor::new(bytes), &Limits::default())
}

/// A folder for executables, and what is in it.
struct Bed {
    dir: TempDir,
    executables: Executables,
}

impl Bed {
    fn new() -> Bed {
        let dir = TempDir::new().expect("a folder");
        let executables = Executables::open(dir.path().join("state/providers")).expect("opens");
        Bed { dir, executables }
    }

    fn extract(&self, bytes: &[u8]) -> Result<Executable, ParError> {
        self.executables.extract(Cursor::new(bytes), &linux(), &policy(), &Limits::default())
    }

    /// Every file below the folder.
    fn files(&self) -> Vec<std::path::PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), &mut found);
        found
    }
}

fn code_of<T: std::fmt::Debug>(result: Result<T, ParError>) -> String {
    result.expect_err("refused").code().to_string()
}

/// Refused by both ways of reading, with nothing left on the disk, in words that a terminal shows as they are.
fn refused(bytes: &[u8], what: &str) -> String {
    let bed = Bed::new();
    let error = bed.extract(bytes).expect_err(what);
    assert_eq!(bed.files(), [""; 0].map(std::path::PathBuf::from), "{what}");
    let problem = Problem::from(&error);
    assert!(
        problem.message.len() < 400 && !problem.message.contains(char::is_control),
        "{what}: {problem:?}"
    );
    assert!(problem.help.len() > 8 && !problem.help.contains(char::is_control), "{what}: {problem:?}");
    let looked = look(bytes);
    if let Err(other) = &looked {
        assert_eq!(other.code(), error.code(), "{what}");
    }
    error.code().to_string()
}
