//! What a link from the cron provider to a component says: which jobs, and how they run.

use super::error::CronError;
use super::schedule::{self, Dialect, Schedule};
use super::timer::CatchUp;
use bytes::Bytes;
use jiff::tz::TimeZone;
use std::time::Duration;
use umbel_core::link::Values;

/// The most jobs of one link.
const JOBS_MAX: usize = 100;
/// The most bytes that a job is called with.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// One job, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name among those of the link.
    pub name: String,
    /// When it runs.
    pub schedule: Schedule,
    /// What it is called with.
    pub payload: Bytes,
}

/// The validated settings of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `schedule` is one job, which has the link's name; `cronjobs` are several, each a line `name=schedule:payload`, as wasmCloud's cron
    /// provider reads them. `timezone` is the zone of all, UTC unless said; `payload` goes with `schedule`.
    pub jobs: Vec<Job>,
    /// `path`: where an HTTP component is called. Default `/`.
    pub path: String,
    /// `run_timeout_ms`: the longest that one run may take. Default 5 minutes.
    pub run_timeout: Duration,
    /// `overlap`: `skip` (default) lets a time pass at which the last run has not ended; `allow` runs up to 16 at once.
    pub at_once_max: usize,
    /// `catch_up`: `skip` (default) or `once`; see [`CatchUp`].
    pub catch_up: CatchUp,
}

/// The texts of the config, before schedules are read.
#[derive(Default)]
struct Texts<'a> {
    schedule: Option<&'a str>,
    cronjobs: Option<&'a str>,
    timezone: &'a str,
    payload: Option<&'a str>,
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors. `name` is that of a single job.
    pub fn read(provider: &Values, link: &Values, name: &str, now: Duration) -> Result<Settings, CronError> {
        let mut settings = Settings {
            jobs: Vec::new(),
            path: "/".into(),
            run_timeout: Duration::from_secs(300),
            at_once_max: 1,
            catch_up: CatchUp::Skip,
        };
        let mut texts = Texts::default();
        for (key, value) in provider.iter().chain(link) {
            settings.set(&mut texts, key, value)?;
        }
        let zone = schedule::zone(texts.timezone.trim())?;
        settings.jobs = match (texts.schedule, texts.cronjobs) {
            (Some(line), None) => {
                let schedule = Schedule::read(line, Dialect::Crontab, &zone, now)?;
                let payload = payload("payload", texts.payload.unwrap_or_default())?;
                vec![Job { name: name.into(), schedule, payload }]
            }
            (None, Some(lines)) => jobs(lines, &zone, now)?,
            (Some(_), Some(_)) => {
                return Err(wrong("cronjobs", "`schedule` is given too; one of them is enough"));
            }
            (None, None) => return Err(wrong("schedule", "the link names no schedule")),
        };
        Ok(settings)
    }

    /// Checks the provider's own values, which need not name a schedule.
    pub fn check_provider(values: &Values) -> Result<(), CronError> {
        let mut settings = Settings {
            jobs: Vec::new(),
            path: String::new(),
            run_timeout: Duration::ZERO,
            at_once_max: 1,
            catch_up: CatchUp::Skip,
        };
        let mut texts = Texts::default();
        values.iter().try_for_each(|(key, value)| settings.set(&mut texts, key, value))?;
        schedule::zone(texts.timezone.trim()).map(drop)
    }

    fn set<'a>(&mut self, texts: &mut Texts<'a>, key: &str, text: &'a str) -> Result<(), CronError> {
        let value = text.trim();
        match key {
            "schedule" => texts.schedule = Some(text),
            "cronjobs" => texts.cronjobs = Some(text),
            "timezone" => texts.timezone = text,
            "payload" => texts.payload = Some(text),
            "path" => self.path = path(value)?,
            "run_timeout_ms" => {
                let ms = value.parse().ok().filter(|ms| (1..=86_400_000).contains(ms));
                let ms = ms.ok_or_else(|| {
                    wrong(key, &format!("`{value}` is not a number between 1 and 86400000"))
                })?;
                self.run_timeout = Duration::from_millis(ms);
            }
            "overlap" => {
                self.at_once_max = match value {
                    "skip" => 1,
                    "allow" => 16,
                    _ => return Err(wrong(key, &format!("`{value}` is neither `skip` nor `allow`"))),
                }
            }
            "catch_up" => {
                self.catch_up = match value {
                    "skip" => CatchUp::Skip,
                    "once" => CatchUp::Once,
                    _ => return Err(wrong(key, &format!("`{value}` is neither `skip` nor `once`"))),
                }
            }
            _ => return Err(wrong(key, "this key is not known")),
        }
        Ok(())
    }
}

/// Lines `name=schedule:payload`; without a payload it is `{}`.
fn jobs(lines: &str, zone: &TimeZone, now: Duration) -> Result<Vec<Job>, CronError> {
    let mut jobs: Vec<Job> = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let bad = |reason: &str| {
            wrong("cronjobs", &format!("`{}`: {reason}", line.chars().take(80).collect::<String>()))
        };
        let (name, rest) = line.split_once('=').ok_or_else(|| bad("write `name=schedule:payload`"))?;
        let name = name.trim();
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(bad("a job has a name of at most 64 bytes"));
        }
        if jobs.iter().any(|job| job.name == name) {
            return Err(bad("there are two jobs of this name"));
        }
        let (line, text) = rest.split_once(':').map_or((rest, "{}"), |(line, text)| (line, text.trim()));
        let schedule = Schedule::read(line, Dialect::Wasmcloud, zone, now)?;
        jobs.push(Job { name: name.into(), schedule, payload: payload("cronjobs", text)? });
    }
    match jobs.len() {
        0 => Err(wrong("cronjobs", "it names no job")),
        1..=JOBS_MAX => Ok(jobs),
        count => Err(wrong("cronjobs", &format!("it names {count} jobs, and the limit is {JOBS_MAX}"))),
    }
}

fn payload(key: &str, text: &str) -> Result<Bytes, CronError> {
    if text.len() > PAYLOAD_BYTES_MAX {
        return Err(wrong(key, &format!("a payload has at most {PAYLOAD_BYTES_MAX} bytes")));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn path(text: &str) -> Result<String, CronError> {
    let good =
        text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok() && !text.contains('#');
    if good {
        Ok(text.into())
    } else {
        Err(wrong("path", &format!("`{text}` is not a path such as `/nightly`")))
    }
}

fn wrong(key: &str, reason: &str) -> CronError {
    CronError::Config { key: key.chars().take(60).collect(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
