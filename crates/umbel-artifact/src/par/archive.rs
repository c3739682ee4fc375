//! An archive in memory, for tools: made, changed, signed and written.

use super::limits::Limits;
use super::name::{Name, Target};
use super::scan::scan;
use super::{CLAIMS, ParError, WORLD};
use flate2::{Compression as Level, GzBuilder};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Duration;
use tar::{Builder, EntryType, Header};
use umbel_core::claims::{Claims, Provider, Token, target_hash};
use umbel_core::digest::Digest;
use umbel_core::nkey::{KeyPair, PublicKey};

/// Whether an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// tar alone.
    None,
    /// tar in gzip.
    Gzip,
}

/// What is claimed of a provider, beside the hashes of its executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// Name, vendor, revision, version, schema of the config; hashes are filled in.
    pub provider: Provider,
    /// Who the provider is: a key `V…`.
    pub subject: PublicKey,
    /// From when on the claims are void, in Unix seconds.
    pub expires: Option<u64>,
    /// Now, since 1970.
    pub unix_time: Duration,
}

/// An archive, all of it in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    claims: Option<Token<Provider>>,
    executables: BTreeMap<Target, Vec<u8>>,
    world: Option<Vec<u8>>,
}

impl Archive {
    /// An archive without anything in it.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// Reads an archive. Files that nobody needs are not kept. Claims are kept if they are about these executables, and refused
    /// if they are not.
    pub fn read(reader: impl Read, limits: &Limits) -> Result<Archive, ParError> {
        let mut archive = Archive::new();
        let claims = scan(reader, *limits, |name, content| {
            let mut bytes = Vec::new();
            let mut read = || content.read_to_end(&mut bytes).map_err(|source| ParError::Io { source });
            match name {
                Name::Executable(target) => {
                    read()?;
                    archive.executables.insert(target.clone(), bytes);
                }
                Name::World => {
                    read()?;
                    archive.world = Some(bytes);
                }
                Name::Claims | Name::Other(_) => {}
            }
            Ok(())
        })?;
        if let Some(claims) = &claims {
            for (target, bytes) in &archive.executables {
                claims.check_target(target.as_str(), &Digest::of(bytes))?;
            }
        }
        archive.claims = claims;
        Ok(archive)
    }

    /// The claims, if it is signed.
    pub fn claims(&self) -> Option<&Token<Provider>> {
        self.claims.as_ref()
    }

    /// What it has executables for.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.executables.keys()
    }

    /// Puts an executable in, in place of the one for that target. The archive is unsigned afterwards.
    pub fn insert(&mut self, target: Target, bytes: Vec<u8>) {
        self.executables.insert(target, bytes);
        self.claims = None;
    }

    /// Puts the provider's WIT in. Claims say nothing of it.
    pub fn set_world(&mut self, wasm: Vec<u8>) {
        self.world = Some(wasm);
    }

    /// Signs it with the key of an account, in place of whoever signed it before.
    pub fn sign(&mut self, signing: Signing, account: &KeyPair) -> Result<(), ParError> {
        let hashes = self.executables.iter();
        let hashes = hashes.map(|(target, bytes)| (target.to_string(), target_hash(&Digest::of(bytes))));
        let provider = Provider { target_hashes: hashes.collect(), ..signing.provider };
        let mut claims = Claims::new(account.public_key(), &signing.subject, provider, signing.unix_time);
        claims.expires = signing.expires;
        self.claims = Some(claims.sign(account)?);
        Ok(())
    }

    /// Writes it: the same archive gives the same bytes. Claims come first, then executables by target, then the WIT; times and
    /// owners are zero.
    pub fn write(&self, to: impl Write, compression: Compression) -> Result<(), ParError> {
        let written = match compression {
            Compression::None => self.write_tar(to).map(drop),
            Compression::Gzip => {
                let gzip = GzBuilder::new().mtime(0).write(to, Level::best());
                self.write_tar(gzip).and_then(|gzip| gzip.finish()?.flush())
            }
        };
        written.map_err(|source| ParError::Io { source })
    }

    fn write_tar<W: Write>(&self, to: W) -> io::Result<W> {
        let mut tar = Builder::new(to);
        if let Some(claims) = &self.claims {
            append(&mut tar, CLAIMS, 0o644, claims.jwt().as_bytes())?;
        }
        for (target, bytes) in &self.executables {
            append(&mut tar, &target.file(), 0o755, bytes)?;
        }
        if let Some(world) = &self.world {
            append(&mut tar, WORLD, 0o644, world)?;
        }
        let mut to = tar.into_inner()?;
        to.flush()?;
        Ok(to)
    }
}

fn append(tar: &mut Builder<impl Write>, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}
