//! Provider archives (PAR): what a capability provider that runs as a process is shipped in. The format is that of wasmCloud 1.x
//! (`facts/wasmcloud.md` §4.9), so that archives go both ways.
//!
//! ```text
//!  NAME.par or NAME.par.gz        tar, plain or compressed by gzip
//!  ├─ claims.jwt                  who vouches for the executables below: a hash for each of them. May be missing
//!  ├─ aarch64-linux.bin           one executable for each target
//!  ├─ x86_64-linux.bin
//!  └─ world.wasm                  the WIT of the provider. May be missing
//!
//!  inspect ─▶ Info                everything is looked at, nothing is kept
//!  Executables::extract ─▶ one executable, in FOLDER/sha256/<hex>, nothing else
//!  Archive                        in memory, for tools: read, insert, sign, write
//! ```
//!
//! An archive is a stranger's. It is read as a stream and counted while it is unpacked; nothing of it names a place on the disk;
//! only plain files are taken, each name once; and nothing is kept unless the archive is whole and its claims, if it has any, are
//! good. Other files than those above are looked at and left alone.
//!
//! Read in this order: [`Target`], [`Limits`], [`inspect`], [`Executables`], [`Archive`], [`ParError`].

mod archive;
mod error;
mod executable;
mod executables;
mod inspect;
mod limits;
mod name;
mod scan;
mod unpack;

pub use archive::{Archive, Compression, Signing};
pub use error::{EntryKind, ParError, of_file};
pub use executable::{Kind, look};
pub use executables::{Executable, Executables, Policy};
pub use inspect::{Info, Packed, inspect, inspect_file};
pub use limits::Limits;
pub use name::Target;

/// So many bytes of a file say whether it may be an archive.
pub const HEAD_BYTES: u64 = 262;

/// Whether a file that begins so may be an archive: compressed by gzip, or a tar file.
pub fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b") || head.get(257..262) == Some(b"ustar")
}

/// The file with the claims.
const CLAIMS: &str = "claims.jwt";
/// The file with the provider's WIT.
const WORLD: &str = "world.wasm";

#[cfg(test)]
mod tests;
