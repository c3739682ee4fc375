//! A room as it was written down.

use crate::wasi::keyvalue::batch::get_many;
use crate::wasi::keyvalue::store::{self, Bucket, Error};

const NAME_CHARS_MAX: usize = 40;

/// Messages that are read at once.
const PAGE: u64 = 100;

pub struct Room {
    pub name: String,
    bucket: Bucket,
}

/// What somebody says.
pub struct Said {
    /// One line.
    pub name: String,
    pub text: String,
}

/// What was said, as it was written down.
pub struct Message {
    pub number: u64,
    /// Seconds since 1970.
    pub at: u64,
    pub said: Said,
}

impl Room {
    /// Nothing if that cannot be a room's name. It is a part of a subject and of a URL, and needs no escapes in either.
    pub fn open(name: &str) -> Result<Option<Room>, Error> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(fits) {
            return Ok(None);
        }
        Ok(Some(Room { name: name.to_owned(), bucket: store::open(&format!("room {name}"))? }))
    }

    pub fn subject(&self) -> String {
        format!("rooms.{}", self.name)
    }

    pub fn path(&self) -> String {
        format!("/rooms/{}", self.name)
    }

    /// The number of the last message, 0 in an empty room.
    pub fn last(&self) -> Result<u64, Error> {
        let value = self.bucket.get("last")?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
    }

    /// The messages from after `seen` to `last`, a page at most; and the number up to which that is all.
    pub fn messages(&self, seen: u64, last: u64) -> Result<(Vec<Message>, u64), Error> {
        let end = last.min(seen.saturating_add(PAGE));
        let numbers: Vec<String> = (seen + 1..=end).map(|number| number.to_string()).collect();
        // Those that were forgotten are not there.
        let found = get_many(&self.bucket, &numbers)?.into_iter().flatten();
        Ok((found.filter_map(|(number, value)| Message::read(&number, &value)).collect(), end))
    }
}

impl Said {
    pub fn write(&self) -> String {
        format!("{}\n{}", self.name, self.text)
    }
}

impl Message {
    fn read(number: &str, value: &[u8]) -> Option<Message> {
        let value = String::from_utf8_lossy(value);
        let (at, said) = value.split_once('\n')?;
        let (name, text) = said.split_once('\n')?;
        let said = Said { name: name.to_owned(), text: text.to_owned() };
        Some(Message { number: number.parse().ok()?, at: at.parse().ok()?, said })
    }
}
