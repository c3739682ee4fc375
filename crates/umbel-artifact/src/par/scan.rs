//! Walks over the entries of an archive, once, and hands each file to a visitor.

use super::ParError;
use super::error::EntryKind;
use super::limits::Limits;
use super::name::{Name, shown};
use super::unpack::{Count, Stop, Unpacked};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::rc::Rc;
use tar::{Archive, Entry, EntryType};
use umbel_core::claims::{CLAIMS_BYTES_MAX, ClaimsError, Provider, Token};

/// Extended headers have times and owners; more of them than this is something else.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;

/// The bytes of a file, as many as its head promised; a read that finds less fails.
pub(super) struct Content<'a> {
    from: &'a mut dyn Read,
    left: u64,
    /// As the head says.
    pub(super) size: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

/// Calls `visit` with every file but the claims, in the order of the archive, and returns the claims: their form and signature
/// are right, and whether they are good for these bytes now is up to the caller. What the visitor leaves unread is skipped.
pub(super) fn scan<R: Read>(
    reader: R,
    limits: Limits,
    mut visit: impl FnMut(&Name, &mut Content) -> Result<(), ParError>,
) -> Result<Option<Token<Provider>>, ParError> {
    let (unpacked, count) = Unpacked::new(reader, limits).map_err(|source| ParError::Io { source })?;
    let mut scan = Scan { limits, count, names: BTreeSet::new(), entries: 0, claims: None };
    let mut archive = Archive::new(unpacked);
    scan.walk(&mut archive, &mut visit)?;
    scan.end(archive.into_inner())?;
    Ok(scan.claims)
}

struct Scan {
    limits: Limits,
    count: Rc<Count>,
    names: BTreeSet<Name>,
    entries: usize,
    claims: Option<Token<Provider>>,
}

type Visit<'a> = &'a mut dyn FnMut(&Name, &mut Content) -> Result<(), ParError>;

impl Scan {
    fn walk<R: Read>(&mut self, archive: &mut Archive<Unpacked<R>>, visit: Visit) -> Result<(), ParError> {
        // Raw: what extends the next head is looked at here, and never read into memory as a whole.
        for entry in archive.entries().map_err(|error| self.failed(error, "at its beginning"))?.raw(true) {
            let mut entry = entry.map_err(|error| self.failed(error, "in the head of a file"))?;
            self.entries += 1;
            if self.entries > self.limits.entries_max {
                return Err(ParError::TooMany { entries_max: self.limits.entries_max });
            }
            self.entry(&mut entry, visit)?;
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<Unpacked<R>>, visit: Visit) -> Result<(), ParError> {
        let path = entry.path_bytes().into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            // The folder that everything was packed from.
            EntryType::Directory if path == b"./" || path == b"." => return Ok(()),
            EntryType::XHeader | EntryType::XGlobalHeader => return self.extension(entry),
            EntryType::GNULongName | EntryType::GNULongLink => {
                let reason = "it has more than 100 characters";
                return Err(ParError::Name { name: shown(&path), reason });
            }
            kind => return Err(ParError::Kind { name: shown(&path), kind: kind_of(kind) }),
        }
        let name = Name::read(&path)?;
        if !self.names.insert(name.clone()) {
            return Err(ParError::Duplicate { name: shown(name.to_string().as_bytes()) });
        }
        let size = entry.size();
        let mut content = Content { from: entry, left: size, size };
        let done = match name {
            Name::Claims => self.read_claims(&mut content),
            _ => visit(&name, &mut content),
        };
        done.map_err(|error| match error {
            ParError::Io { source } => self.failed(source, &format!("in `{}`", shown(&path))),
            error => error,
        })?;
        // What nobody wanted is read here, so that a file that is cut off is noticed.
        io::copy(&mut content, &mut io::sink())
            .map_err(|source| self.failed(source, &format!("in `{}`", shown(&path))))?;
        Ok(())
    }

    fn read_claims(&mut self, content: &mut Content) -> Result<(), ParError> {
        if content.size > CLAIMS_BYTES_MAX as u64 {
            return Err(ClaimsError::TooLarge { bytes: content.size }.into());
        }
        let mut jwt = Vec::new();
        content.read_to_end(&mut jwt).map_err(|source| ParError::Io { source })?;
        let not_text = |_| ClaimsError::Malformed { reason: "they are not text".into() };
        let jwt = std::str::from_utf8(&jwt).map_err(not_text)?;
        self.claims = Some(Token::new(jwt.trim_end_matches(['\n', '\r']))?);
        Ok(())
    }

    /// A head that adds to the next one. Times and owners mean nothing here; what would change the name, the size or the kind of
    /// the next file has no place, since readers do not agree on it.
    fn extension<R: Read>(&self, entry: &mut Entry<Unpacked<R>>) -> Result<(), ParError> {
        let malformed = |reason: &str| ParError::Malformed { reason: reason.into() };
        let size = entry.size();
        if size > EXTENSION_BYTES_MAX {
            return Err(malformed("an extended header is too large"));
        }
        let mut records = Vec::new();
        let mut content = Content { from: entry, left: size, size };
        content.read_to_end(&mut records).map_err(|error| self.failed(error, "in an extended header"))?;
        for record in tar::PaxExtensions::new(&records) {
            let record = record.map_err(|_| malformed("an extended header cannot be read"))?;
            let key = record.key_bytes();
            if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse") {
                return Err(malformed("an extended header changes the name or size of a file"));
            }
        }
        Ok(())
    }

    /// Behind the last entry there are zeros, and the archive ends. Gzip checks its sum when it is read to its end.
    fn end<R: Read>(&self, mut rest: Unpacked<R>) -> Result<(), ParError> {
        if self.count.at_end.get() {
            return Err(match self.entries {
                0 => ParError::Malformed { reason: "it is empty".into() },
                _ => ParError::Truncated { place: "before the mark of its end".into() },
            });
        }
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = match rest.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error, "behind its last file")),
            };
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(ParError::Malformed { reason: "something follows its end".into() });
            }
        }
    }

    /// What a failed read means. `tar` hides why its source failed, so the source's own word comes first.
    fn failed(&self, source: io::Error, place: &str) -> ParError {
        match self.count.stop.get() {
            Some(Stop::Bytes) => {
                ParError::TooLarge { what: "the content".into(), bytes_max: self.limits.bytes_max }
            }
            Some(Stop::Ratio) => ParError::Ratio { ratio_max: self.limits.ratio_max },
            Some(Stop::Truncated) => ParError::Truncated { place: place.into() },
            Some(Stop::Gzip) => ParError::Malformed { reason: format!("gzip is damaged {place}") },
            None if self.count.at_end.get() => ParError::Truncated { place: place.into() },
            None if source.kind() == io::ErrorKind::Other || source.kind() == io::ErrorKind::InvalidData => {
                ParError::Malformed { reason: format!("it is not tar, {place}") }
            }
            None => ParError::Io { source },
        }
    }
}

fn kind_of(kind: EntryType) -> EntryKind {
    match kind {
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Char | EntryType::Block => EntryKind::Device,
        EntryType::Fifo => EntryKind::Pipe,
        EntryType::Directory => EntryKind::Folder,
        EntryType::GNUSparse => EntryKind::Sparse,
        _ => EntryKind::Other,
    }
}
