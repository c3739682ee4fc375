//! Writes down what is said. Each room has a bucket: a message under each number, and `last`, the number of the last one.
//!
//! Messages come one after the other (`concurrency: 1` in the manifest), so nobody else numbers them at the same moment.

use exports::wasmcloud::messaging::handler::{BrokerMessage, Guest};
use wasi::keyvalue::batch::set_many;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::clocks::wall_clock;

wit_bindgen::generate!({ path: "../wit", world: "history", generate_all });

/// Older ones are forgotten.
const MESSAGES_MAX: u64 = 1_000;

struct History;

export!(History);

impl Guest for History {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let room = message.subject.strip_prefix("rooms.").ok_or("this is not said in a room")?;
        write_down(room, &message.body).map_err(|error| match error {
            Error::NoSuchStore => "the store is not there".to_owned(),
            Error::AccessDenied => "the store may not be used".to_owned(),
            Error::Other(why) => why,
        })
    }
}

fn write_down(room: &str, said: &[u8]) -> Result<(), Error> {
    let bucket = store::open(&format!("room {room}"))?;
    let number = last(&bucket)? + 1;
    let at = wall_clock::now().seconds;
    let entry = [format!("{at}\n").as_bytes(), said].concat();
    // Both or neither: whoever reads up to the last one finds all before it.
    set_many(&bucket, &[(number.to_string(), entry), ("last".to_owned(), number.to_string().into())])?;
    match number.checked_sub(MESSAGES_MAX) {
        Some(old) => bucket.delete(&old.to_string()),
        None => Ok(()),
    }
}

fn last(bucket: &Bucket) -> Result<u64, Error> {
    let value = bucket.get("last")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
}
