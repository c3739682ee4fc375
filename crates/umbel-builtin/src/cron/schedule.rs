//! When a job runs: cron lines and intervals, read and reckoned with. Times are Unix times in whole seconds.
//!
//! In a zone with daylight saving a fixed time runs once a day all the same: one that the clock jumps over runs right after the jump, and
//! one that comes twice runs the first time. Lines with a `*` or a step in the hour follow the clock as it goes.

use super::error::CronError;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 256;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As crontab has it: 5 fields, or 6 with seconds before them; days of the week from 0 (Sunday) to 7 (Sunday again); of day of month and
    /// day of week, one has to fit if both are given.
    Crontab,
    /// As wasmCloud's cron provider has it: up to 7 fields, the last one the year; days of the week from 1 (Sunday) to 7; day of month
    /// and day of week both have to fit.
    Wasmcloud,
}

/// When a job runs.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Line(Box<Cron>, TimeZone),
    Every(u64),
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        let zones = match (&self.rule, &other.rule) {
            (Rule::Line(_, one), Rule::Line(_, other)) => one == other,
            (Rule::Every(one), Rule::Every(other)) => one == other,
            _ => false,
        };
        zones && self.text == other.text
    }
}

/// The fields of a line, and what each may be.
const FIELDS: [(&str, &str); 7] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, or `L` for the last"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7, or SUN to SAT"),
    ("year", "1970 to 5000"),
];

/// Words for lines.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a line or a word. `now` is used to find out whether its time ever comes.
    ///
    /// # Errors
    /// It is not well-formed, which says where; or no time fits it.
    pub fn read(text: &str, dialect: Dialect, zone: &TimeZone, now: Duration) -> Result<Schedule, CronError> {
        let text = text.trim();
        if text.len() > LINE_BYTES_MAX {
            return Err(wrong(text, 1, format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        if let Some(every) = text.strip_prefix("@every") {
            let rule = Rule::Every(interval(every).map_err(|reason| wrong(text, 8, reason))?.as_secs());
            return Ok(Schedule { text: text.into(), rule });
        }
        let cron = if text.starts_with('@') {
            let line = WORDS.iter().find(|(word, _)| *word == text).map(|(_, line)| *line);
            let line = line.ok_or_else(|| wrong(text, 1, words_there_are()))?;
            parse(line, Dialect::Crontab)?
        } else {
            parse(text, dialect)?
        };
        let schedule = Schedule { text: text.into(), rule: Rule::Line(Box::new(cron), zone.clone()) };
        match schedule.next(now, now) {
            Some(_) => Ok(schedule),
            None => Err(CronError::Never { schedule: shortened(text) }),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time after `after`, if there is one. Intervals are counted from `anchor`.
    pub fn next(&self, after: Duration, anchor: Duration) -> Option<Duration> {
        match &self.rule {
            Rule::Every(seconds) => {
                let passed = after.as_secs().checked_sub(anchor.as_secs());
                // Before the anchor nothing is due; from it on, the next whole number of intervals.
                let steps = passed.map_or(0, |passed| passed / seconds + 1);
                Some(Duration::from_secs(anchor.as_secs() + steps.max(1) * seconds))
            }
            Rule::Line(cron, zone) => {
                let from = zoned(after, zone)?;
                cron.find_next_occurrence(&from, false).ok().and_then(|next| unix(&next))
            }
        }
    }

    /// The last time that is not after `until`, if there is one.
    pub fn last(&self, until: Duration, anchor: Duration) -> Option<Duration> {
        match &self.rule {
            Rule::Every(seconds) => {
                let steps = until.as_secs().checked_sub(anchor.as_secs())? / seconds;
                (steps > 0).then(|| Duration::from_secs(anchor.as_secs() + steps * seconds))
            }
            Rule::Line(cron, zone) => {
                let from = zoned(until, zone)?;
                cron.find_previous_occurrence(&from, true).ok().and_then(|last| unix(&last))
            }
        }
    }
}

/// Finds a zone by its name in the IANA database.
pub fn zone(name: &str) -> Result<TimeZone, CronError> {
    match name {
        "" | "UTC" | "utc" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| CronError::Zone { zone: shortened(name) }),
    }
}

fn zoned(at: Duration, zone: &TimeZone) -> Option<jiff::Zoned> {
    let seconds = i64::try_from(at.as_secs()).ok()?;
    Timestamp::from_second(seconds).ok().map(|at| at.to_zoned(zone.clone()))
}

fn unix(at: &jiff::Zoned) -> Option<Duration> {
    u64::try_from(at.timestamp().as_second()).ok().map(Duration::from_secs)
}

fn parse(line: &str, dialect: Dialect) -> Result<Cron, CronError> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let most = if dialect == Dialect::Wasmcloud { 7 } else { 6 };
    if !(5..=most).contains(&fields.len()) {
        let reason = format!("it has {} fields, and 5 to {most} are needed", fields.len());
        return Err(wrong(line, 1, reason));
    }
    // With 5 fields the seconds are not written.
    let first = usize::from(fields.len() == 5);
    let mut whole = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        // The line with only this field in it tells whether the fault is here.
        let meant = if dialect == Dialect::Wasmcloud && *field == "?" { "*" } else { field };
        let alone: Vec<&str> =
            (0..fields.len()).map(|other| if other == place { meant } else { "*" }).collect();
        if field.split(',').any(str::is_empty) || read(&alone.join(" "), dialect).is_err() {
            let (name, range) = FIELDS[first + place];
            let range = match (dialect, name) {
                (Dialect::Wasmcloud, "day of week") => "1 (Sunday) to 7, or SUN to SAT",
                _ => range,
            };
            let reason = format!(
                "`{}` is not a {name}; it may be {range}, `*`, or these as `1,3`, `1-5`, `*/10`",
                shortened(field)
            );
            return Err(wrong(line, column(line, field), reason));
        }
        whole.push(meant);
    }
    read(&whole.join(" "), dialect).map_err(|error| wrong(line, 1, error.to_string()))
}

fn read(line: &str, dialect: Dialect) -> Result<Cron, croner::errors::CronError> {
    let quartz = dialect == Dialect::Wasmcloud;
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(if quartz { Year::Optional } else { Year::Disallowed })
        .alternative_weekdays(quartz)
        .dom_and_dow(quartz)
        .sloppy_ranges(quartz)
        .build();
    parser.parse(line)
}

/// `10s`, `5m`, `1h30m`, `2d`.
fn interval(text: &str) -> Result<Duration, String> {
    let help = || "write e.g. `@every 10s`, `@every 5m` or `@every 1h30m`".to_string();
    let text = text.strip_prefix(' ').map(str::trim).filter(|text| !text.is_empty()).ok_or_else(help)?;
    let (mut seconds, mut number) = (0_u64, String::new());
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(help()),
        };
        let count: u64 = std::mem::take(&mut number).parse().map_err(|_| help())?;
        seconds = count.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(help)?;
    }
    let every = Duration::from_secs(seconds);
    if !number.is_empty() {
        return Err(help());
    }
    if every < SHORTEST || every > LONGEST {
        return Err("an interval is between one second and 366 days".into());
    }
    Ok(every)
}

fn words_there_are() -> String {
    let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
    format!("there are {} and `@every 10s`", words.join(", "))
}

/// Where a part of the text begins, from 1, in characters.
fn column(text: &str, part: &str) -> usize {
    let bytes = part.as_ptr() as usize - text.as_ptr() as usize;
    text.get(..bytes).map_or(1, |before| before.chars().count() + 1)
}

fn wrong(schedule: &str, column: usize, reason: String) -> CronError {
    CronError::Schedule { schedule: shortened(schedule), column, reason }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
