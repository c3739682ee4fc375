//! What stands in the file, and what one write does to it.
//!
//! Every entry has a *version*, which no other write of the whole file ever gets again, so that compare-and-swap cannot mistake a
//! value that came back for one that never went; and the number under which it was *made*, by which keys are listed, so that a
//! cursor means the same whatever is written between two pages.

use super::super::config::Settings;
use super::super::error::KeyvalueError;
use super::super::place::Place;
use bytes::Bytes;
use redb::{
    Database, Error, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, TableDefinition, WriteTransaction,
};
use std::collections::HashMap;
use std::sync::Arc;

/// The format of the tables below. It grows when they change.
pub(super) const FORMAT: u64 = 1;

/// `format`, and `last`: the newest version that was given.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("umbel.keyvalue.meta");

/// (bucket, key) → made and version, 8 bytes each, little-endian, then the value.
type Entries = (&'static str, &'static str);
const ENTRIES: TableDefinition<Entries, &[u8]> = TableDefinition::new("umbel.keyvalue.entries");

/// (bucket, made) → key.
type Order = (&'static str, u64);
const ORDER: TableDefinition<Order, &str> = TableDefinition::new("umbel.keyvalue.order");

/// Owner → entries, and the bytes that count against limits.
const USAGE: TableDefinition<&str, (u64, u64)> = TableDefinition::new("umbel.keyvalue.usage");

/// What an entry counts beside its key and its value, so that empty ones are not for nothing.
const ENTRY_BYTES: u64 = 64;

const HEAD: usize = 16;

/// A write, checked against the limits that need no look at the store.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// No key twice.
    Set(Vec<(String, Bytes)>),
    Delete(Vec<String>),
    Increment {
        key: String,
        delta: i128,
        min: i128,
        max: i128,
    },
    /// Only if the entry still has that version; 0 is no entry.
    Swap {
        key: String,
        value: Bytes,
        version: u64,
    },
}

impl Write {
    /// How much memory it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Write::Set(items) => items.iter().map(|(key, value)| key.len() + value.len()).sum(),
            Write::Delete(keys) => keys.iter().map(String::len).sum(),
            Write::Increment { key, .. } => key.len(),
            Write::Swap { key, value, .. } => key.len() + value.len(),
        }
    }
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    Nothing,
    Number(i128),
    /// Not swapped: the entry has this version now.
    Stale(u64),
}

/// A change that is durable.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) place: Arc<Place>,
    pub(crate) key: String,
    /// None: deleted.
    pub(crate) value: Option<Bytes>,
}

/// A value with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Stored {
    pub(in super::super) version: u64,
    pub(in super::super) value: Bytes,
}

/// Entries and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    entries: u64,
    bytes: u64,
}

/// What the writer keeps in memory between batches.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    pub(super) last: u64,
    usage: HashMap<Arc<str>, Usage>,
    total: u64,
}

/// The durable state of one moment, for reads.
pub(in super::super) struct View {
    entries: ReadOnlyTable<Entries, &'static [u8]>,
    order: ReadOnlyTable<Order, &'static str>,
}

impl View {
    pub(super) fn new(db: &Database) -> Result<View, Error> {
        let transaction = db.begin_read()?;
        Ok(View { entries: transaction.open_table(ENTRIES)?, order: transaction.open_table(ORDER)? })
    }

    pub(in super::super) fn get(&self, bucket: &str, key: &str) -> Result<Option<Stored>, Error> {
        let Some(row) = self.entries.get((bucket, key))? else { return Ok(None) };
        let (_, version, value) = split(row.value())?;
        Ok(Some(Stored { version, value: Bytes::copy_from_slice(value) }))
    }

    /// The entry's version, 0 if there is none.
    pub(in super::super) fn version(&self, bucket: &str, key: &str) -> Result<u64, Error> {
        match self.entries.get((bucket, key))? {
            Some(row) => Ok(split(row.value())?.1),
            None => Ok(0),
        }
    }

    /// The keys that were made after `after`, and where to go on if there are more.
    pub(in super::super) fn keys(
        &self,
        bucket: &str,
        after: u64,
        max: usize,
    ) -> Result<(Vec<String>, Option<u64>), Error> {
        let mut keys = Vec::new();
        let mut last = after;
        let rest = (bucket, after.saturating_add(1))..=(bucket, u64::MAX);
        for row in self.order.range(rest)? {
            let (at, key) = row?;
            if keys.len() == max {
                return Ok((keys, Some(last)));
            }
            last = at.value().1;
            keys.push(key.value().to_string());
        }
        Ok((keys, None))
    }
}

/// A row in its parts: made, version, value.
fn split(row: &[u8]) -> Result<(u64, u64, &[u8]), Error> {
    let cut_off = || Error::Corrupted("an entry is cut off".into());
    let (made, rest) = row.split_first_chunk::<8>().ok_or_else(cut_off)?;
    let (version, value) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
    Ok((u64::from_le_bytes(*made), u64::from_le_bytes(*version), value))
}

/// Makes the tables of a new store.
pub(super) fn create(db: &Database) -> Result<(), Error> {
    let mut transaction = begin(db)?;
    drop(transaction.open_table(ENTRIES)?);
    drop(transaction.open_table(ORDER)?);
    drop(transaction.open_table(USAGE)?);
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(META)?.insert("last", 0)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction.commit()?)
}

/// A write transaction. Commits are two-phase: otherwise the engine would take a damaged last commit for one that a crash has cut
/// off, and go back to the one before without a word.
pub(super) fn begin(db: &Database) -> Result<WriteTransaction, Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// The format of the file; None if it has none and is not ours.
pub(super) fn format(db: &Database) -> Result<Option<u64>, Error> {
    let transaction = db.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    Ok(meta.get("format")?.map(|format| format.value()))
}

impl Books {
    /// Reads them, and checks that the tables agree.
    pub(super) fn read(db: &Database) -> Result<Books, Error> {
        let transaction = db.begin_read()?;
        let mut books = Books { last: last(&transaction)?, ..Books::default() };
        let mut entries = 0;
        for row in transaction.open_table(USAGE)?.iter()? {
            let (owner, usage) = row?;
            let usage = Usage { entries: usage.value().0, bytes: usage.value().1 };
            entries += usage.entries;
            books.total += usage.bytes;
            books.usage.insert(owner.value().into(), usage);
        }
        let counts = [transaction.open_table(ENTRIES)?.len()?, transaction.open_table(ORDER)?.len()?];
        if counts != [entries, entries] {
            return Err(Error::Corrupted("entries are missing, or there are too many".into()));
        }
        Ok(books)
    }
}

fn last(transaction: &ReadTransaction) -> Result<u64, Error> {
    let last = transaction.open_table(META)?.get("last")?.map(|last| last.value());
    last.ok_or_else(|| Error::Corrupted("its description is incomplete".into()))
}

/// Why a write did not happen.
pub(super) enum Failed {
    /// By its own fault; the rest of the batch goes on.
    Refused(KeyvalueError),
    /// By that of the machine; nothing of the batch is kept.
    Engine(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::Engine(error.into())
    }
}

/// Writes of one transaction.
pub(super) struct Batch<'t> {
    entries: Table<'t, Entries, &'static [u8]>,
    order: Table<'t, Order, &'static str>,
    pub(super) books: Books,
    touched: Vec<Arc<str>>,
    pub(super) changes: Vec<Change>,
}

impl<'t> Batch<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, books: &Books) -> Result<Batch<'t>, Error> {
        Ok(Batch {
            entries: transaction.open_table(ENTRIES)?,
            order: transaction.open_table(ORDER)?,
            books: books.clone(),
            touched: Vec::new(),
            changes: Vec::new(),
        })
    }

    /// Carries out one write, as a whole or not at all.
    pub(super) fn perform(
        &mut self,
        place: &Arc<Place>,
        write: Write,
        limits: &Settings,
    ) -> Result<Done, Failed> {
        match write {
            Write::Set(items) => self.set(place, items, limits).map(|()| Done::Nothing),
            Write::Delete(keys) => self.delete(place, keys).map(|()| Done::Nothing),
            Write::Increment { key, delta, min, max } => {
                let number = match self.entries.get((&*place.bucket, key.as_str()))? {
                    Some(row) => {
                        number(split(row.value())?.2).ok_or(Failed::Refused(KeyvalueError::NotANumber))?
                    }
                    None => 0,
                };
                let overflow = || Failed::Refused(KeyvalueError::Overflow { number, delta });
                let sum =
                    number.checked_add(delta).filter(|sum| (min..=max).contains(sum)).ok_or_else(overflow)?;
                self.set(place, vec![(key, sum.to_string().into())], limits)?;
                Ok(Done::Number(sum))
            }
            Write::Swap { key, value, version } => {
                let found = match self.entries.get((&*place.bucket, key.as_str()))? {
                    Some(row) => split(row.value())?.1,
                    None => 0,
                };
                if found != version {
                    return Ok(Done::Stale(found));
                }
                self.set(place, vec![(key, value)], limits)?;
                Ok(Done::Nothing)
            }
        }
    }

    fn set(
        &mut self,
        place: &Arc<Place>,
        items: Vec<(String, Bytes)>,
        limits: &Settings,
    ) -> Result<(), Failed> {
        // First all that can be refused, then all that changes something.
        let mut made = Vec::with_capacity(items.len());
        let mut after = self.books.usage.get(&place.owner).copied().unwrap_or_default();
        let before = after.bytes;
        for (key, value) in &items {
            let old = match self.entries.get((&*place.bucket, key.as_str()))? {
                Some(row) => {
                    let (made, _, old) = split(row.value())?;
                    after.bytes = after.bytes.saturating_sub(bytes(key, old));
                    Some(made)
                }
                None => {
                    after.entries += 1;
                    None
                }
            };
            after.bytes += bytes(key, value);
            made.push(old);
        }
        self.check_room(place, before, after.bytes, limits)?;
        for ((key, value), old) in items.into_iter().zip(made) {
            self.books.last += 1;
            let (bucket, version) = (&*place.bucket, self.books.last);
            if old.is_none() {
                self.order.insert((bucket, version), key.as_str())?;
            }
            let mut row = self.entries.insert_reserve((bucket, key.as_str()), HEAD + value.len())?;
            let (head, rest) = row.as_mut().split_at_mut(HEAD);
            head[..8].copy_from_slice(&old.unwrap_or(version).to_le_bytes());
            head[8..].copy_from_slice(&version.to_le_bytes());
            rest.copy_from_slice(&value);
            drop(row);
            self.changes.push(Change { place: place.clone(), key, value: Some(value) });
        }
        self.account(place, before, after);
        Ok(())
    }

    fn delete(&mut self, place: &Arc<Place>, keys: Vec<String>) -> Result<(), Failed> {
        let mut after = self.books.usage.get(&place.owner).copied().unwrap_or_default();
        let before = after.bytes;
        for key in keys {
            let made = match self.entries.remove((&*place.bucket, key.as_str()))? {
                Some(row) => {
                    let (made, _, old) = split(row.value())?;
                    after.entries = after.entries.saturating_sub(1);
                    after.bytes = after.bytes.saturating_sub(bytes(&key, old));
                    made
                }
                None => continue,
            };
            self.order.remove((&*place.bucket, made))?;
            self.changes.push(Change { place: place.clone(), key, value: None });
        }
        self.account(place, before, after);
        Ok(())
    }

    /// What shrinks, or stays, is never refused: otherwise a store that is full could not be emptied.
    fn check_room(&self, place: &Place, before: u64, after: u64, limits: &Settings) -> Result<(), Failed> {
        let full = |whose: String, bytes_max| Err(Failed::Refused(KeyvalueError::Full { whose, bytes_max }));
        if after <= before {
            return Ok(());
        }
        if after > limits.application_bytes_max {
            return full(format!("`{}`", place.owner), limits.application_bytes_max);
        }
        if self.books.total.saturating_sub(before).saturating_add(after) > limits.total_bytes_max {
            return full("the whole store".into(), limits.total_bytes_max);
        }
        Ok(())
    }

    fn account(&mut self, place: &Place, before: u64, after: Usage) {
        self.books.total = self.books.total.saturating_sub(before) + after.bytes;
        self.books.usage.insert(place.owner.clone(), after);
        if !self.touched.contains(&place.owner) {
            self.touched.push(place.owner.clone());
        }
    }

    /// Writes the books; returns them with the changes, to be used when the transaction is durable.
    pub(super) fn finish(self, transaction: &WriteTransaction) -> Result<(Books, Vec<Change>), Error> {
        let mut table = transaction.open_table(USAGE)?;
        for owner in &self.touched {
            match self.books.usage.get(owner).filter(|usage| usage.entries > 0) {
                Some(usage) => drop(table.insert(&**owner, (usage.entries, usage.bytes))?),
                None => drop(table.remove(&**owner)?),
            }
        }
        transaction.open_table(META)?.insert("last", self.books.last)?;
        Ok((self.books, self.changes))
    }
}

fn bytes(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_BYTES
}

/// A whole number in decimal digits, as `increment` writes it.
pub(crate) fn number(value: &[u8]) -> Option<i128> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
