//! Counts visits, by day. Each code has a bucket of its own, with a number for each day and one for all.

mod date;

use exports::examples::visits::stats::{Day, Guest};
use wasi::keyvalue::atomics::increment;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::clocks::wall_clock;

wit_bindgen::generate!({ path: "../wit", world: "visits", generate_all });

const ALL_DAYS: &str = "all";

struct Stats;

export!(Stats);

impl Guest for Stats {
    fn count(code: String) -> Result<u64, String> {
        let visits = open(&code)?;
        let today = date::of(wall_clock::now().seconds);
        increment(&visits, &today, 1).and_then(|_| increment(&visits, ALL_DAYS, 1)).map_err(words)
    }

    fn days(code: String) -> Result<Vec<Day>, String> {
        let visits = open(&code)?;
        let mut days = Vec::new();
        let mut cursor = None;
        loop {
            let page = visits.list_keys(cursor).map_err(words)?;
            for date in page.keys.into_iter().filter(|key| key != ALL_DAYS) {
                let value = visits.get(&date).map_err(words)?.unwrap_or_default();
                days.push(Day { visits: String::from_utf8_lossy(&value).parse().unwrap_or(0), date });
            }
            cursor = page.cursor;
            if cursor.is_none() {
                days.sort_by(|one, other| one.date.cmp(&other.date));
                return Ok(days);
            }
        }
    }
}

fn open(code: &str) -> Result<Bucket, String> {
    store::open(&format!("visits of {code}")).map_err(words)
}

fn words(error: Error) -> String {
    match error {
        Error::NoSuchStore => "the store is not there".to_owned(),
        Error::AccessDenied => "the store may not be used".to_owned(),
        Error::Other(why) => why,
    }
}
