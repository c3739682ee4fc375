//! What a batch of writes does: a pure function from what is there to what will be there and what is answered.
//!
//! Writes of a batch see those before them, as if each had been alone; what no write of the batch changes is looked up.

use crate::{LatticeError, Result};
use bytes::Bytes;
use std::collections::HashMap;

/// One write to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Whatever is there.
    Put(Bytes),
    /// Only if nothing is there.
    Create(Bytes),
    /// Only if this revision is there.
    Update(Bytes, u64),
    /// If a revision is given, only if it is there.
    Delete(Option<u64>),
}

/// A key of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) revision: u64,
    pub(crate) value: Bytes,
}

/// One change: the value that a place has now, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) revision: u64,
    pub(crate) value: Option<Bytes>,
}

/// The sums over all entries. They are stored with them and must fit when the file is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// The revision that was given last.
    pub(crate) revision: u64,
    /// How many entries there are.
    pub(crate) count: u64,
    /// The sum of their checksums.
    pub(crate) checksum: u64,
    /// The sum of the lengths of their keys and values.
    pub(crate) bytes: u64,
}

/// The outcome of a batch.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What to store, in the order of revisions.
    pub(crate) changes: Vec<Change>,
    /// What to answer to each write: the revision, or why not.
    pub(crate) answers: Vec<Result<u64>>,
    /// The sums after it.
    pub(crate) sums: Sums,
}

/// Plans a batch. `look_up` tells what is stored before it; `bytes_max` limits all entries together.
pub(crate) fn plan(
    batch: &[(Place, Write)],
    sums: Sums,
    bytes_max: u64,
    mut look_up: impl FnMut(&Place) -> Option<Stored>,
) -> Plan {
    let mut plan = Plan { changes: Vec::new(), answers: Vec::with_capacity(batch.len()), sums };
    let mut seen: HashMap<&Place, Option<Stored>> = HashMap::new();
    for (place, write) in batch {
        let current = seen.entry(place).or_insert_with(|| look_up(place));
        let answer = match decide(place, write, current.as_ref()) {
            Ok(None) => Ok(plan.sums.revision),
            Ok(Some(value)) => plan.step(place, current, value, bytes_max),
            Err(error) => Err(error),
        };
        plan.answers.push(answer);
    }
    plan
}

impl Plan {
    fn step(
        &mut self,
        place: &Place,
        current: &mut Option<Stored>,
        value: Option<Bytes>,
        bytes_max: u64,
    ) -> Result<u64> {
        let mut sums = self.sums;
        sums.revision += 1;
        let next = value.clone().map(|value| Stored { revision: sums.revision, value });
        if let Some(old) = current.as_ref() {
            sums.remove(place, old);
        }
        if let Some(new) = next.as_ref() {
            sums.add(place, new);
            if sums.bytes > bytes_max && sums.bytes > self.sums.bytes {
                return Err(super::too_large(bytes_max));
            }
        }
        self.sums = sums;
        *current = next;
        self.changes.push(Change { place: place.clone(), revision: sums.revision, value });
        Ok(sums.revision)
    }
}

impl Sums {
    /// Counts an entry in.
    pub(crate) fn add(&mut self, place: &Place, stored: &Stored) {
        self.count += 1;
        self.bytes += size(place, stored);
        self.checksum = self.checksum.wrapping_add(checksum(place, stored));
    }

    fn remove(&mut self, place: &Place, stored: &Stored) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size(place, stored));
        self.checksum = self.checksum.wrapping_sub(checksum(place, stored));
    }
}

/// What the write makes of the place: `None` nothing, `Some(None)` empties it.
fn decide(place: &Place, write: &Write, current: Option<&Stored>) -> Result<Option<Option<Bytes>>> {
    let actual = current.map(|stored| stored.revision);
    match write {
        Write::Put(value) => Ok(Some(Some(value.clone()))),
        Write::Create(value) => match actual {
            None => Ok(Some(Some(value.clone()))),
            Some(revision) => Err(LatticeError::KeyExists {
                bucket: place.bucket.clone(),
                key: place.key.clone(),
                revision,
            }),
        },
        Write::Update(_, expected) | Write::Delete(Some(expected)) if actual != Some(*expected) => {
            Err(LatticeError::WrongRevision {
                bucket: place.bucket.clone(),
                key: place.key.clone(),
                expected: *expected,
                actual,
            })
        }
        Write::Update(value, _) => Ok(Some(Some(value.clone()))),
        Write::Delete(_) => Ok(current.map(|_| None)),
    }
}

fn size(place: &Place, stored: &Stored) -> u64 {
    (place.bucket.len() + place.key.len() + stored.value.len()) as u64
}

/// FNV-1a over everything that makes an entry. It finds damage, not malice.
pub(crate) fn checksum(place: &Place, stored: &Stored) -> u64 {
    let parts: [&[u8]; 6] = [
        place.bucket.as_bytes(),
        &[0],
        place.key.as_bytes(),
        &[0],
        &stored.revision.to_le_bytes(),
        &stored.value,
    ];
    fnv(parts)
}

/// FNV-1a of the parts in a row.
pub(crate) fn fnv<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    parts
        .into_iter()
        .flatten()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests;
