//! Writes a report of what was sold since the last one. It is called by the clock.
//!
//! Sales are numbers that only grow, and what was reported of each is kept beside them. So no sale is missed, whenever this runs or breaks
//! off; one that breaks off between its report and its notes is repeated by the next one.

mod date;

use exports::wasmcloud::cron::scheduler::Guest;
use std::fmt::Write as _;
use wasi::blobstore::blobstore::create_container;
use wasi::blobstore::types::OutgoingValue;
use wasi::keyvalue::atomics::increment;
use wasi::keyvalue::batch::set_many;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::clocks::wall_clock;

wit_bindgen::generate!({
    path: "../wit",
    world: "nightly",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

struct Nightly;

export!(Nightly);

/// What was sold of one thing.
struct Sales {
    item: String,
    in_all: u64,
    since: u64,
}

impl Guest for Nightly {
    /// The payload is the title.
    fn invoke(title: Vec<u8>) -> Result<(), String> {
        let sold = store::open("sold").map_err(words)?;
        let reported = store::open("reported").map_err(words)?;
        let sales = gather(&sold, &reported).map_err(words)?;
        if sales.is_empty() {
            return Ok(());
        }
        let reports = store::open("reports").map_err(words)?;
        let number = increment(&reports, "last", 1).map_err(words)?;
        let seconds = wall_clock::now().seconds;
        let report = write(&String::from_utf8_lossy(&title), seconds, &sales);
        keep(&format!("{}-{number:06}.txt", date::of(seconds)), &report)?;
        let notes: Vec<(String, Vec<u8>)> =
            sales.into_iter().map(|sales| (sales.item, sales.in_all.to_string().into())).collect();
        set_many(&reported, &notes).map_err(words)
    }
}

/// All of which something was sold since the last report.
fn gather(sold: &Bucket, reported: &Bucket) -> Result<Vec<Sales>, Error> {
    let mut sales = Vec::new();
    let mut cursor = None;
    loop {
        let page = sold.list_keys(cursor)?;
        for item in page.keys {
            let (in_all, before) = (number(sold, &item)?, number(reported, &item)?);
            if in_all > before {
                sales.push(Sales { item, in_all, since: in_all - before });
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            sales.sort_by(|one, other| other.since.cmp(&one.since).then_with(|| one.item.cmp(&other.item)));
            return Ok(sales);
        }
    }
}

fn number(bucket: &Bucket, key: &str) -> Result<u64, Error> {
    let value = bucket.get(key)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
}

fn write(title: &str, seconds: u64, sales: &[Sales]) -> String {
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let mut report = format!("{title}, {} {hour:02}:{minute:02} UTC\n\n", date::of(seconds));
    for Sales { item, in_all, since } in sales {
        let _ = writeln!(report, "{since:>8}  {item} ({in_all} in all)");
    }
    let _ = writeln!(report, "\n{:>8}  sales", sales.iter().map(|sales| sales.since).sum::<u64>());
    report
}

/// The report is there, as a whole, when this has returned.
fn keep(name: &str, report: &str) -> Result<(), String> {
    let container = create_container("reports")?;
    let value = OutgoingValue::new_outgoing_value();
    container.write_data(name, &value)?;
    let stream = value.outgoing_value_write_body().map_err(|()| "the store cannot take a report now")?;
    let mut pieces = report.as_bytes().chunks(4096);
    let is_written = pieces.all(|piece| stream.blocking_write_and_flush(piece).is_ok());
    drop(stream);
    // It says why where something was not written.
    let finished = OutgoingValue::finish(value);
    if is_written {
        finished
    } else {
        finished.and(Err("the store takes no more".to_owned()))
    }
}

fn words(error: Error) -> String {
    match error {
        Error::NoSuchStore => "the store is not there".to_owned(),
        Error::AccessDenied => "the store may not be used".to_owned(),
        Error::Other(why) => why,
    }
}
