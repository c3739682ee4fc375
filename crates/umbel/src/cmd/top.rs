//! `umbel top`: what components use of their budgets, and the process of the machine, over the last moments.

mod rates;

use crate::args::Output;
use crate::context::Context;
use crate::fail::Failure;
use crate::render::table::{Cell, cell, number, render as table, state, toned};
use crate::render::{Style, Tone};
use crate::text::{self, bad_argument, parse_duration};
use rates::{Row, Top};
use std::io::IsTerminal;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "CPU is a share of one core, memory that of all instances; beside each stands what the component may use. The rows below
are the process: their sum is what the system says of it.

Examples:
  umbel top                         until Ctrl-C
  umbel top --once -o json          one look over a second, for a script
  umbel top -n 10 --interval 5s"
)]
pub(crate) struct Args {
    /// Show it so many times, then end
    #[arg(short = 'n', long = "times", value_name = "N", conflicts_with = "once")]
    times: Option<u32>,
    /// Show it once
    #[arg(long)]
    once: bool,
    /// The time that rates are of
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
}

/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if args.interval < Duration::from_millis(100) {
        return Err(bad_argument("rates need an interval of at least 100ms").into());
    }
    let client = context.client()?;
    let mut left = if args.once { Some(1) } else { args.times };
    let in_place = context.output == Output::Table && std::io::stdout().is_terminal() && left != Some(1);
    let showing = async {
        let mut before = client.usage().await?;
        while left != Some(0) {
            tokio::time::sleep(args.interval).await;
            let now = client.usage().await?;
            let top = rates::between(&before, &now);
            let text =
                context.form(&top, render, |top| top.components.iter().map(|row| row.id.clone()).collect());
            context.print(&if in_place { format!("{CLEAR}{text}") } else { text })?;
            before = now;
            left = left.map(|left| left - 1);
        }
        Ok(())
    };
    tokio::select! {
        outcome = showing => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Stopped),
    }
}

fn render(top: &Top, style: Style) -> String {
    let mut text = String::new();
    let rows: Vec<Vec<Cell>> = top.components.iter().map(row).collect();
    if rows.is_empty() {
        text.push_str("No component runs.\n");
    } else {
        let headings =
            ["COMPONENT", "STATE", "CPU", "MEMORY", "CALLS/S", "BUSY", "WAITING", "LOG/S", "HELD BACK BY"];
        text.push_str(&table(&headings, &rows, style));
    }
    let percent = |value: f64| number(format!("{value:.1} %"));
    let rows: Vec<Vec<Cell>> = top
        .cpu
        .iter()
        .map(|part| {
            let threads = part.threads.map_or_else(|| cell(""), |n| number(n.to_string()));
            vec![cell(&part.part), percent(part.percent), threads]
        })
        .chain([vec![toned("all", Tone::Strong), percent(top.cpu_percent)]])
        .collect();
    text.push('\n');
    text.push_str(&table(&["PROCESSOR", "CPU", "THREADS"], &rows, style));
    let rows: Vec<Vec<Cell>> = top
        .memory
        .iter()
        .map(|part| vec![cell(&part.part), number(text::bytes(part.bytes))])
        .chain([vec![toned("all", Tone::Strong), number(text::bytes(top.resident_bytes))]])
        .collect();
    text.push('\n');
    text.push_str(&table(&["MEMORY", "RESIDENT"], &rows, style));
    text
}

fn row(row: &Row) -> Vec<Cell> {
    let of = |used: String, limit: Option<String>| match limit {
        Some(limit) => number(format!("{used} / {limit}")),
        None => number(used),
    };
    let limits = row.limits.as_ref();
    let share = limits
        .filter(|limits| limits.cpu_percent_max > 0)
        .map(|limits| format!("{} %", limits.cpu_percent_max));
    vec![
        cell(&row.id),
        state(&row.state),
        of(format!("{:.1}", row.cpu_percent), Some(share.unwrap_or_else(|| "–".into()))),
        of(
            text::bytes(row.resident_bytes),
            limits.map(|limits| format!("{} each", text::bytes(limits.memory_bytes_max))),
        ),
        number(format!("{:.1}", row.calls_per_s)),
        of(row.calls_in_flight.to_string(), limits.map(|limits| limits.instances_max.to_string())),
        of(row.calls_waiting.to_string(), limits.map(|limits| limits.waiting_max.to_string())),
        of(
            text::bytes(row.log_bytes_per_s as u64),
            limits.map(|limits| text::bytes(limits.log_bytes_per_s_max)),
        ),
        toned(row.held_back_by.join(", "), Tone::Busy),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn use_is_shown_against_its_limits() {
        let samples: Vec<umbel_api::document::UsageList> = golden::input("top.json");
        let [before, now] = samples.as_slice() else { panic!("two samples") };
        golden::check("top.txt", &render(&rates::between(before, now), Style::PLAIN));
    }
}
