//! `umbel provider swap`: another provider in the place of one that runs.

use super::exact;
use crate::cmd::inspect::reference;
use crate::context::Context;
use crate::fail::Failure;
use crate::render::table::{Cell, cell, render as table, state};
use crate::render::{Style, Tone};
use crate::text::neutral;
use clap::ValueEnum;
use umbel_api::client::Client;
use umbel_api::document::{ProviderSwap, ProviderSwapList, SwapLink, SwapProvider};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The new provider is started, gets the config and all links of the old one, and then its calls.
Where both open the same data, or bring calls to components, they take turns, and calls wait.
If the new one does not start or refuses a link, nothing changes, and the exit code is 4.

What a component has opened with the old one (a bucket, a cursor) is served by that until it is
dropped, at most as long as it may drain.

Examples:
  umbel provider swap shop-keyvalue builtin:keyvalue-redis --dry-run
  umbel provider swap shop-keyvalue builtin:keyvalue --isolation process
  umbel provider swap shop-keyvalue ./acme.par.gz"
)]
pub(super) struct Swap {
    /// The provider that runs: its whole id
    #[arg(value_name = "OLD")]
    old: String,
    /// What is to run in its place: builtin:NAME, the file of an archive, or that of a component
    #[arg(value_name = "NEW")]
    new: String,
    /// Keep a builtin apart from the platform, in a process of its own
    #[arg(long, value_enum, value_name = "KIND")]
    isolation: Option<Isolation>,
    /// Only show what would move, and fail with the reason if it cannot be
    #[arg(long)]
    dry_run: bool,
}

/// What a builtin is kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Isolation {
    /// A process of its own
    Process,
}

pub(super) async fn run(context: &Context, client: &Client, swap: Swap) -> Result<(), Failure> {
    let id = exact(client, &swap.old).await?;
    let request = SwapProvider {
        reference: reference(&swap.new)?,
        isolation: swap
            .isolation
            .and_then(|kind| kind.to_possible_value())
            .map(|value| value.get_name().into()),
        dry_run: swap.dry_run,
    };
    let doing = if swap.dry_run { "looking at it" } else { "swapping it" };
    let swapped = context.progress.spin(doing, client.swap_provider(&id, &request)).await?;
    let is_done = !swap.dry_run;
    context.show(
        &swapped,
        |list, style| render(list, is_done, style),
        |list| list.items.iter().map(|item| item.id.clone()).collect(),
    )?;
    // A look that found something in the way has shown it; scripts see it by the code.
    match swapped.items.into_iter().find_map(|item| item.problem) {
        Some(problem) => Err(problem.into()),
        None => Ok(()),
    }
}

fn render(list: &ProviderSwapList, is_done: bool, style: Style) -> String {
    list.items.iter().map(|item| one(item, is_done, style)).collect()
}

fn one(swap: &ProviderSwap, is_done: bool, style: Style) -> String {
    let verb = if is_done { "was swapped" } else { "would be swapped" };
    let mut text =
        format!("{} {verb} on {}\n", style.paint(Tone::Strong, &neutral(&swap.id)), neutral(&swap.host_id));
    for (name, made) in [("from", &swap.from), ("to", &swap.to)] {
        let name = style.paint(Tone::Faint, &format!("{name:<8}"));
        text.push_str(&format!("  {name} {} ({})\n", neutral(&made.reference), neutral(&made.kind)));
    }
    if !swap.config.is_empty() {
        let name = style.paint(Tone::Faint, "config  ");
        text.push_str(&format!("  {name} {}\n", neutral(&swap.config.join(", "))));
    }
    for note in &swap.notes {
        let name = style.paint(Tone::Faint, "note    ");
        text.push_str(&format!("  {name} {}\n", neutral(note)));
    }
    if !swap.links.is_empty() {
        let rows: Vec<Vec<Cell>> = swap.links.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["SOURCE", "TARGET", "CONTRACT", "NAME", "TYPES", "NOTE"], &rows, style));
    }
    text
}

fn row(moved: &SwapLink) -> Vec<Cell> {
    let link = &moved.link;
    let types = match (&moved.problem, moved.compared) {
        (Some(_), _) => state("failed"),
        (None, true) => cell("match"),
        (None, false) => cell("not known yet"),
    };
    vec![
        cell(&link.source_id),
        cell(&link.target),
        cell(format!("{}:{}/{}", link.wit_namespace, link.wit_package, link.interfaces.join(","))),
        cell(&link.name),
        types,
        cell(moved.problem.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_swap_is_shown_with_what_moves() {
        let list: ProviderSwapList = golden::input("provider-swap.json");
        golden::check("provider-swap.txt", &render(&list, false, Style::PLAIN));
    }
}
