//! Looks at an archive without keeping anything.

use super::ParError;
use super::limits::Limits;
use super::name::{Name, Target, shown};
use super::scan::{Content, scan};
use crate::{ARTIFACT_BYTES_MAX, source};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use umbel_core::claims::{ClaimsError, Provider, Token};
use umbel_core::digest::Digest;

/// What an archive has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Who vouches for it, if anybody: form and signature are right. Whether they are good now says
    /// [`Token::check_time`], and whether they are about these executables [`Info::check_hashes`].
    pub claims: Option<Token<Provider>>,
    /// The executables.
    pub targets: BTreeMap<Target, Packed>,
    /// The provider's WIT.
    pub world: Option<Packed>,
    /// Files that nobody needs, with printable names.
    pub others: Vec<String>,
}

/// One file of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

impl Info {
    /// Fails unless the claims, if there are any, have the hash of every executable.
    pub fn check_hashes(&self) -> Result<(), ClaimsError> {
        let Some(claims) = &self.claims else { return Ok(()) };
        self.targets
            .iter()
            .try_for_each(|(target, packed)| claims.check_target(target.as_str(), &packed.digest))
    }
}

/// Reads an archive to its end. Nothing of it is kept in memory but names, hashes and claims.
pub fn inspect(reader: impl Read, limits: &Limits) -> Result<Info, ParError> {
    let mut info = Info { claims: None, targets: BTreeMap::new(), world: None, others: Vec::new() };
    info.claims = scan(reader, *limits, |name, content| {
        match name {
            Name::Executable(target) => {
                info.targets.insert(target.clone(), hash(content, |_| Ok(()))?);
            }
            Name::World => info.world = Some(hash(content, |_| Ok(()))?),
            Name::Other(name) => info.others.push(shown(name.as_bytes())),
            Name::Claims => {}
        }
        Ok(())
    })?;
    Ok(info)
}

/// As [`inspect`], of a file. Pipes and devices are refused without waiting for them.
pub fn inspect_file(path: &Path, limits: &Limits) -> Result<Info, ParError> {
    inspect(source::open(path, ARTIFACT_BYTES_MAX)?, limits)
}

/// Hashes a file, and hands on what is hashed.
pub(super) fn hash(
    content: &mut Content,
    mut write: impl FnMut(&[u8]) -> Result<(), ParError>,
) -> Result<Packed, ParError> {
    let mut sha = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ParError::Io { source }),
        };
        sha.update(&buffer[..read]);
        size += read as u64;
        write(&buffer[..read])?;
    }
    Ok(Packed { digest: Digest::from_sha256(sha.finalize().into()), size })
}
