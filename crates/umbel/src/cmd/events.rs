//! `umbel events`: what happened on the platform.

use super::logs::{lost_line, since_unix_ms};
use crate::context::Context;
use crate::fail::Failure;
use crate::render::{Style, Tone};
use crate::text::{self, neutral, parse_duration};
use serde_json::Value;
use std::time::Duration;
use umbel_api::client::Followed;
use umbel_api::document::EventEntry;
use umbel_api::query::EventQuery;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel events                      the last events
  umbel events -f                   follow what happens
  umbel events --since 1h -o jsonl
  umbel events -f --after CURSOR    go on where an earlier run ended")]
pub(crate) struct Args {
    /// Go on with the events to come
    #[arg(short, long)]
    follow: bool,
    /// Not older than this, e.g. 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Behind this cursor, as `-o json` shows it
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// How many of the kept events at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    events: u32,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let query = EventQuery { since: args.after, limit: Some(args.events) };
    // Stamps of events are RFC 3339 in UTC: their order as text is their order in time. Compared up to the second, because
    // the fraction may have any number of digits.
    let oldest = args.since.map(|ago| text::time(since_unix_ms(ago)));
    let wanted = |entry: &EventEntry| {
        oldest.as_ref().is_none_or(|oldest| entry.event.time.get(..19) >= oldest.get(..19))
    };
    if !args.follow {
        let mut list = client.events(&query).await?;
        list.items.retain(wanted);
        if list.items.is_empty() {
            context.progress.note("nothing has happened; -f waits for what will");
        }
        return context.show(
            &list,
            |list, style| {
                let lost = list.lost.iter().map(|lost| lost_line(lost, style));
                lost.chain(list.items.iter().map(|entry| line(entry, style))).collect()
            },
            |list| list.items.iter().map(|entry| entry.event.id.clone()).collect(),
        );
    }
    let mut stream = client.follow_events(&query).await?;
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

/// Data that says what an event is about, in this order.
const TELLING: [&str; 13] = [
    "component_id",
    "provider_id",
    "config_name",
    "source_id",
    "target",
    "name",
    "image_ref",
    "instead_of",
    "provider_ref",
    "max_instances",
    "reason",
    "error",
    "friendly_name",
];

fn line(entry: &EventEntry, style: Style) -> String {
    let event = &entry.event;
    let kind = event.kind.rsplit('.').next().unwrap_or(&event.kind);
    let tone = if kind.ends_with("failed") { Tone::Bad } else { Tone::Strong };
    let mut text = style.paint(Tone::Faint, &neutral(&to_the_millisecond(&event.time)));
    text.push_str(&format!(" {}", style.paint(tone, &format!("{:22}", neutral(kind)))));
    for field in TELLING {
        let shown = match event.data.get(field) {
            Some(Value::String(shown)) if !shown.is_empty() => shown.clone(),
            Some(Value::Number(shown)) => shown.to_string(),
            _ => continue,
        };
        text.push_str(&format!(" {}{}", style.paint(Tone::Faint, &format!("{field}=")), neutral(&shown)));
    }
    let mut text = text.trim_end().to_string();
    text.push('\n');
    text
}

/// The stamp without the digits that nobody reads.
fn to_the_millisecond(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, fraction)) if fraction.len() > 4 && fraction.ends_with('Z') => {
            format!("{seconds}.{}Z", fraction.chars().take(3).collect::<String>())
        }
        _ => time.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use umbel_core::event::Event;

    #[test]
    fn an_event_is_one_line() {
        let event: Event = serde_json::from_value(json!({
            "specversion": "1.0", "id": "1", "type": "com.wasmcloud.lattice.component_scaled", "source": "N1",
            "datacontenttype": "application/json", "time": "2026-11-21T08:14:58.123456789Z",
            "data": {"max_instances": 3, "component_id": "hello\x1b[2J", "annotations": {}},
        }))
        .unwrap();
        let entry = EventEntry { cursor: "N1:1".into(), event };
        assert_eq!(
            line(&entry, Style::PLAIN),
            "2026-11-21T08:14:58.123Z component_scaled       component_id=hello\\u{1b}[2J max_instances=3\n"
        );
    }
}
