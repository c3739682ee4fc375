//! What is read of an archive at most.

/// What is read of an archive at most. An archive that needs more is refused while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive when it is unpacked, with the heads of its entries.
    pub bytes_max: u64,
    /// How many times more bytes come out of gzip than go in. The first [`RATIO_FREE_BYTES`] that come out are free.
    pub ratio_max: u64,
    /// Entries, whatever they are.
    pub entries_max: usize,
}

/// What may come out of gzip before the ratio is asked for: little archives of much nothing hurt nobody.
pub(super) const RATIO_FREE_BYTES: u64 = 4 << 20;

impl Default for Limits {
    /// 2 GiB, a hundred times, 256 entries.
    fn default() -> Limits {
        Limits { bytes_max: 2 << 30, ratio_max: 100, entries_max: 256 }
    }
}
