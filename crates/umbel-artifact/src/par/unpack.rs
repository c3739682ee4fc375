//! The bytes of an archive, out of gzip if they are in it, counted in and out.

use super::limits::{Limits, RATIO_FREE_BYTES};
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 64 << 10;

/// What was counted, and why the reading was stopped, for whoever reads through others' code.
#[derive(Debug, Default)]
pub(super) struct Count {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    /// A read has found the end.
    pub(super) at_end: Cell<bool>,
    pub(super) stop: Cell<Option<Stop>>,
}

/// Why the reading was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Too many bytes.
    Bytes,
    /// Too many bytes out of gzip.
    Ratio,
    /// Gzip says that the bytes are cut off.
    Truncated,
    /// Gzip says that the bytes are wrong.
    Gzip,
}

/// The unpacked bytes.
pub(super) struct Unpacked<R: Read> {
    from: Packing<R>,
    limits: Limits,
    count: Rc<Count>,
}

type Source<R> = BufReader<Counted<io::Chain<Cursor<Vec<u8>>, R>>>;

enum Packing<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
}

impl<R: Read> Unpacked<R> {
    /// Looks at the first two bytes and goes on accordingly.
    pub(super) fn new(mut reader: R, limits: Limits) -> io::Result<(Unpacked<R>, Rc<Count>)> {
        let mut magic = Vec::new();
        (&mut reader).take(2).read_to_end(&mut magic)?;
        let is_gzip = magic == GZIP_MAGIC;
        let count = Rc::new(Count::default());
        let counted = Counted { from: Cursor::new(magic).chain(reader), count: count.clone() };
        let source = BufReader::with_capacity(BUFFER_BYTES, counted);
        let from = if is_gzip {
            Packing::Gzip(Box::new(MultiGzDecoder::new(source)))
        } else {
            Packing::Plain(source)
        };
        Ok((Unpacked { from, limits, count: count.clone() }, count))
    }

    fn stopped(&self, stop: Stop) -> io::Error {
        self.count.stop.set(Some(stop));
        io::Error::other("the archive is refused")
    }

    fn unpack(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let decoder = match &mut self.from {
            Packing::Plain(source) => return source.read(buffer),
            Packing::Gzip(decoder) => decoder,
        };
        // Before every read there is something in the buffer, or the file is at its end: what fails then is gzip, not the disk.
        decoder.get_mut().fill_buf()?;
        decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.stopped(Stop::Truncated),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => self.stopped(Stop::Gzip),
            _ => error,
        })
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpack(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.count.at_end.set(true);
        }
        let unpacked = self.count.unpacked.get() + read as u64;
        self.count.unpacked.set(unpacked);
        if unpacked > self.limits.bytes_max {
            return Err(self.stopped(Stop::Bytes));
        }
        let is_gzip = matches!(self.from, Packing::Gzip(_));
        let allowed = self.count.packed.get().saturating_mul(self.limits.ratio_max).max(RATIO_FREE_BYTES);
        if is_gzip && unpacked > allowed {
            return Err(self.stopped(Stop::Ratio));
        }
        Ok(read)
    }
}

struct Counted<R> {
    from: R,
    count: Rc<Count>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count.packed.set(self.count.packed.get() + read as u64);
        Ok(read)
    }
}
