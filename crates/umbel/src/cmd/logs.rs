//! `umbel logs`: what components log.

use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::render::{Style, Tone, tone_of};
use crate::text::{self, neutral, parse_duration};
use clap::ValueEnum;
use std::time::Duration;
use umbel_api::client::{Client, Followed};
use umbel_api::document::{LogEntry, Lost};
use umbel_api::query::LogQuery;
use umbel_core::code::api;
use umbel_core::{Clock, SystemClock};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel logs                        the last lines of everything
  umbel logs hello -f               follow the application `hello`
  umbel logs hello --since 10m --level warn
  umbel logs --grep timeout -o jsonl")]
pub(crate) struct Args {
    /// The application; all when left out
    #[arg(value_name = "APP")]
    application: Option<String>,
    /// Only of this component: its id, or a unique beginning of it
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    #[command(flatten)]
    lines: Lines,
}

/// Which lines, and whether those to come.
#[derive(Debug, clap::Args)]
pub(crate) struct Lines {
    /// Go on with the lines to come
    #[arg(short, long)]
    follow: bool,
    /// Not older than this, e.g. 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Of this level or a graver one
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// How many of the kept lines at most, the newest; of each component and provider 1,000 are kept
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    lines: u32,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let application = match &args.application {
        Some(typed) => Some(names::application(&client, typed).await?),
        None => None,
    };
    let component = match &args.component {
        Some(typed) => Some(component(&client, typed).await?),
        None => None,
    };
    let query = args.lines.query(application, component);
    print(context, &client, query, &args.lines).await
}

impl Lines {
    /// The question for them.
    pub(crate) fn query(&self, application: Option<String>, component: Option<String>) -> LogQuery {
        LogQuery {
            application,
            component,
            level: self
                .level
                .and_then(|level| level.to_possible_value())
                .map(|value| value.get_name().to_string()),
            since_unix_ms: self.since.map(since_unix_ms),
            limit: Some(self.lines),
        }
    }
}

/// Prints the lines.
pub(crate) async fn print(
    context: &Context,
    client: &Client,
    query: LogQuery,
    lines: &Lines,
) -> Result<(), Failure> {
    let wanted = |entry: &LogEntry| lines.grep.as_ref().is_none_or(|text| entry.message.contains(text));
    if !lines.follow {
        let mut list = client.logs(&query).await?;
        let is_empty = list.items.is_empty();
        list.items.retain(wanted);
        if is_empty {
            context.progress.note("nothing was logged; -f waits for what will be");
        } else if list.items.is_empty() {
            context.progress.note("no line of those that are kept contains the text");
        }
        return context.show(
            &list,
            |list, style| list.items.iter().map(|entry| line(entry, style)).collect(),
            |list| list.items.iter().map(|entry| line(entry, Style::PLAIN).trim_end().to_string()).collect(),
        );
    }
    let mut stream = client.follow_logs(&query).await?;
    let following = async {
        while let Some(followed) = stream.next().await? {
            match followed {
                Followed::Item(entry) if wanted(&entry) => context.show_entry(&entry, line)?,
                Followed::Item(_) => {}
                Followed::Lost(lost) => context.show_entry(&lost, lost_line)?,
            }
        }
        context.progress.note("the platform has stopped");
        Ok(())
    };
    tokio::select! {
        outcome = following => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Stopped),
    }
}

/// Finds a component among those that run, or have run and are still remembered by what they logged.
async fn component(client: &Client, typed: &str) -> Result<String, Failure> {
    let hosts = client.hosts().await?.items;
    let ids = hosts.iter().flat_map(|host| &host.components).map(|component| component.id.as_str());
    match names::resolve(typed, ids, "component", api::NO_SUCH_NAME) {
        Err(problem) if problem.code == api::NO_SUCH_NAME => {
            let one = LogQuery { component: Some(typed.into()), limit: Some(1), ..LogQuery::default() };
            if client.logs(&one).await?.items.is_empty() { Err(problem.into()) } else { Ok(typed.into()) }
        }
        outcome => Ok(outcome?),
    }
}

/// The moment so long ago, in milliseconds since 1970.
pub(super) fn since_unix_ms(ago: Duration) -> u64 {
    let then = SystemClock.unix_time().saturating_sub(ago);
    u64::try_from(then.as_millis()).unwrap_or(u64::MAX)
}

/// One line, with everything that a guest wrote neutralised; further lines of a message are indented.
fn line(entry: &LogEntry, style: Style) -> String {
    let time = style.paint(Tone::Faint, &text::time(entry.unix_ms));
    let level = style.paint(tone_of(&entry.level), &format!("{:5}", neutral(&entry.level)));
    let dropped = entry.dropped_before.map(|count| {
        let told = format!("… {count} older lines of {} are no longer kept", neutral(&entry.component));
        format!("{}\n", style.paint(Tone::Busy, &told))
    });
    let mut text = dropped.unwrap_or_default();
    text.push_str(&format!("{time} {level} {}", neutral(&entry.component)));
    if let Some(context) = entry.context.as_ref().filter(|context| !context.is_empty()) {
        text.push_str(&format!(" [{}]", neutral(context)));
    }
    for (index, part) in entry.message.trim_end_matches(['\n', '\r']).split('\n').enumerate() {
        text.push_str(if index == 0 { "  " } else { "\n    " });
        text.push_str(&neutral(part));
    }
    text.push('\n');
    text
}

/// A line for what is missing.
pub(super) fn lost_line(lost: &Lost, style: Style) -> String {
    let count = lost.count.map_or_else(|| "some".to_string(), |count| count.to_string());
    let why = match lost.reason.as_str() {
        "slow" => "this reader was too slow",
        "expired" => "they are no longer kept",
        "interrupted" => "the connection was lost",
        "restarted" => "the host was started anew",
        other => other,
    };
    format!("{}\n", style.paint(Tone::Busy, &format!("… {count} entries are missing: {}", neutral(why))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_logs_cannot_reach_the_terminal() {
        let entry = LogEntry {
            unix_ms: 1_795_248_898_123,
            component: "hello-web".into(),
            level: "info".into(),
            context: Some("db\x1b[1m".into()),
            message: "one\x1b]0;pwned\x07\n2026 ERROR forged\n".into(),
            ..LogEntry::default()
        };
        assert_eq!(
            line(&entry, Style::PLAIN),
            "2026-11-21T08:14:58.123Z info  hello-web [db\\u{1b}[1m]  one\\u{1b}]0;pwned\\u{7}\n    2026 ERROR forged\n"
        );
        let cut = LogEntry { dropped_before: Some(7), ..entry };
        assert!(
            line(&cut, Style::PLAIN)
                .starts_with("… 7 older lines of hello-web are no longer kept\n2026-11-21")
        );
    }
}
