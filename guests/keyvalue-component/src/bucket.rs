//! A bucket in memory. All handles of one name share it.

use crate::log::{self, Change, Log};
use crate::wasi::config::store as config;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

const DATA: &str = "/data";
/// Longest name of a bucket, in bytes: its file is called by it.
const NAME_BYTES_MAX: usize = 100;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1 << 10;
/// Largest value, in bytes.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Keys of one page of a listing.
const PAGE: usize = 1_000;
/// A file is written anew when it is so many times as long as what it says, and not short.
const WASTE: u64 = 4;
const SHORT: u64 = 1 << 20;

/// What went wrong, for the caller to read.
pub type Result<T> = std::result::Result<T, String>;

/// One bucket; cheap to clone.
#[derive(Clone)]
pub struct Bucket(Rc<RefCell<State>>);

struct State {
    log: Log,
    entries: HashMap<String, Entry>,
    /// Keys by the place in which they are listed: that of their making, which stays while they are written.
    places: BTreeMap<u64, String>,
    /// Grows with every change.
    clock: u64,
    /// Bytes of all keys and values.
    bytes: u64,
}

struct Entry {
    place: u64,
    /// When it was written last.
    version: u64,
    value: Vec<u8>,
}

thread_local! {
    // Of the instance, which is all that there is of the provider.
    static BUCKETS: RefCell<HashMap<String, Bucket>> = RefCell::default();
}

/// Whether each write is on the disk before it is answered. `durability: process` in the config is content with the system having it.
fn is_durable() -> bool {
    !matches!(config::get("durability"), Ok(Some(level)) if level == "process")
}

fn check(key: &str, value: &[u8]) -> Result<()> {
    match (key.len(), value.len()) {
        (length, _) if length > KEY_BYTES_MAX => {
            Err(format!("the key has {length} bytes, and {KEY_BYTES_MAX} are allowed"))
        }
        (_, length) if length > VALUE_BYTES_MAX => {
            Err(format!("the value has {length} bytes, and {VALUE_BYTES_MAX} are allowed"))
        }
        _ => Ok(()),
    }
}

impl Bucket {
    /// The bucket of that name, read from its file when nobody has used it yet.
    pub fn open(name: &str) -> Result<Bucket> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("the name has {} bytes, and {NAME_BYTES_MAX} are allowed", name.len()));
        }
        BUCKETS.with_borrow_mut(|buckets| {
            if let Some(bucket) = buckets.get(name) {
                return Ok(bucket.clone());
            }
            let bucket = Bucket(Rc::new(RefCell::new(State::read(name)?)));
            buckets.insert(name.to_string(), bucket.clone());
            Ok(bucket)
        })
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        check(key, &[])?;
        Ok(self.0.borrow().entries.get(key).map(|entry| entry.value.clone()))
    }

    pub fn exists(&self, key: &str) -> Result<bool> {
        check(key, &[])?;
        Ok(self.0.borrow().entries.contains_key(key))
    }

    /// The value, and what to know it again by.
    pub fn look(&self, key: &str) -> Result<(Option<Vec<u8>>, Option<u64>)> {
        check(key, &[])?;
        let state = self.0.borrow();
        let entry = state.entries.get(key);
        Ok((entry.map(|entry| entry.value.clone()), entry.map(|entry| entry.version)))
    }

    pub fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.change(vec![(key, Some(value))])
    }

    pub fn delete(&self, key: String) -> Result<()> {
        self.change(vec![(key, None)])
    }

    /// Changes all of these keys, or none.
    pub fn change(&self, changes: Vec<(String, Option<Vec<u8>>)>) -> Result<()> {
        for (key, value) in &changes {
            check(key, value.as_deref().unwrap_or_default())?;
        }
        self.0.borrow_mut().change(changes)
    }

    /// Sets the value if the key has not been written since it was [looked](Bucket::look) at; whether it was.
    pub fn swap(&self, key: &str, version: Option<u64>, value: Vec<u8>) -> Result<bool> {
        if self.look(key)?.1 != version {
            return Ok(false);
        }
        self.set(key.to_string(), value).map(|()| true)
    }

    /// The keys that are listed after a place, and where the next page begins.
    pub fn list(&self, after: Option<u64>) -> (Vec<String>, Option<u64>) {
        let state = self.0.borrow();
        let mut rest = state.places.range(after.map_or(0, |place| place.saturating_add(1))..);
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let cursor = rest.next().and(page.last()).map(|(place, _)| **place);
        (page.into_iter().map(|(_, key)| key.clone()).collect(), cursor)
    }
}

impl State {
    fn read(name: &str) -> Result<State> {
        let path = log::path(Path::new(DATA), name);
        let (mut entries, mut places) = (HashMap::<String, Entry>::new(), BTreeMap::new());
        let (mut clock, mut bytes) = (0, 0);
        let log = Log::open(path, |change| {
            clock = clock.max(change.place) + 1;
            if let Some(old) = entries.remove(change.key) {
                places.remove(&old.place);
                bytes -= size(change.key, &old.value);
            }
            let Some(value) = change.value else { return };
            bytes += size(change.key, value);
            places.insert(change.place, change.key.to_string());
            let entry = Entry { place: change.place, version: clock, value: value.to_vec() };
            entries.insert(change.key.to_string(), entry);
        });
        let log = log.map_err(|error| format!("the file of the bucket cannot be read: {error}"))?;
        Ok(State { log, entries, places, clock, bytes })
    }

    fn change(&mut self, changes: Vec<(String, Option<Vec<u8>>)>) -> Result<()> {
        let placed: Vec<_> = changes.into_iter().map(|(key, value)| (self.place_of(&key), key, value)).collect();
        // A key that is not there need not be deleted.
        let is_news = |key: &str, value: &Option<Vec<u8>>| value.is_some() || self.entries.contains_key(key);
        let news = placed.iter().filter(|(_, key, value)| is_news(key, value));
        let news = news.map(|(place, key, value)| Change { place: *place, key, value: value.as_deref() });
        let written = self.log.append(news, is_durable());
        written.map_err(|error| format!("the file of the bucket cannot be written: {error}"))?;
        placed.into_iter().for_each(|(place, key, value)| self.apply(place, key, value));
        if self.log.bytes() > SHORT && self.log.bytes() > self.bytes.saturating_mul(WASTE) {
            self.rewrite();
        }
        Ok(())
    }

    /// The place of a key that is there, or a new one.
    fn place_of(&mut self, key: &str) -> u64 {
        self.clock += 1;
        self.entries.get(key).map_or(self.clock, |entry| entry.place)
    }

    fn apply(&mut self, place: u64, key: String, value: Option<Vec<u8>>) {
        self.clock += 1;
        if let Some(old) = self.entries.remove(&key) {
            self.places.remove(&old.place);
            self.bytes -= size(&key, &old.value);
        }
        let Some(value) = value else { return };
        self.bytes += size(&key, &value);
        self.places.insert(place, key.clone());
        self.entries.insert(key, Entry { place, version: self.clock, value });
    }

    /// Leaves out of the file what is not so any more. If that fails, the file is as good as it was.
    fn rewrite(&mut self) {
        let entries = self.entries.iter();
        let changes =
            entries.map(|(key, entry)| Change { place: entry.place, key, value: Some(entry.value.as_slice()) });
        if let Err(error) = self.log.rewrite(changes) {
            eprintln!("the file of a bucket could not be made shorter: {error}");
        }
    }
}

fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
