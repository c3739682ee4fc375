//! `umbel link explain`: why a link works, or does not.

use crate::cmd::ps::stood_in;
use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::render::{Style, Tone, tone_of};
use crate::text::neutral;
use umbel_api::client::Client;
use umbel_api::document::{ExplainedLink, LinkExplanation, LinkTarget};
use umbel_api::query::ExplainQuery;
use umbel_core::Problem;
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel link explain shop-web
  umbel link explain shop-web wasi:keyvalue/store")]
pub(super) struct Explain {
    /// The importer: the id of a component or provider, or a unique beginning of it
    source: String,
    /// Only this package or interface, e.g. wasi:keyvalue or wasi:keyvalue/store
    #[arg(value_name = "CONTRACT")]
    contract: Option<String>,
    /// Only links of this name
    #[arg(long)]
    name: Option<String>,
}

pub(super) async fn run(context: &Context, client: &Client, args: Explain) -> Result<(), Failure> {
    let source_id = source(client, &args.source).await?;
    let query = ExplainQuery { source_id, contract: args.contract, name: args.name };
    let explanation = client.explain_links(&query).await?;
    if explanation.links.is_empty() {
        if let Some(contract) = &query.contract {
            let message = format!("`{}` neither imports nor links {}", query.source_id, neutral(contract));
            return Err(Problem::new(api::NO_SUCH_NAME, message)
                .with_help(format!(
                    "see all with `{}`",
                    context.command(&format!("link explain {}", query.source_id))
                ))
                .into());
        }
        context.progress.note("it imports nothing that needs a link");
    }
    let names =
        |explanation: &LinkExplanation| explanation.links.iter().map(|link| link.import.clone()).collect();
    context.show(&explanation, |explanation, style| render(context, explanation, style), names)
}

/// The id that is meant: of what runs, or of what has links.
async fn source(client: &Client, typed: &str) -> Result<String, Failure> {
    let mut ids = ids(client).await?;
    ids.extend(client.links().await?.items.into_iter().map(|link| link.source_id));
    let ids = ids.iter().map(String::as_str);
    Ok(names::resolve(typed, ids, "component, provider or link of", api::NO_SUCH_NAME)?)
}

/// The ids of everything that runs.
async fn ids(client: &Client) -> Result<Vec<String>, Failure> {
    let hosts = client.hosts().await?.items.into_iter();
    let ids = hosts.flat_map(|host| {
        let components = host.components.into_iter().map(|component| component.id);
        components.chain(host.providers.into_iter().map(|provider| provider.id)).collect::<Vec<_>>()
    });
    Ok(ids.collect())
}

/// The links, import by import.
pub(in crate::cmd) fn render(context: &Context, explanation: &LinkExplanation, style: Style) -> String {
    let state = style.paint(tone_of(&explanation.state), &neutral(&explanation.state));
    let mut text = format!("{}  {state}\n", neutral(&explanation.source_id));
    for link in &explanation.links {
        text.push('\n');
        text.push_str(&one(context, link, style));
    }
    if !explanation.by_host.is_empty() {
        let all: Vec<String> = explanation.by_host.iter().map(|import| neutral(import)).collect();
        let line = format!("served by the host itself: {}", all.join(", "));
        text.push_str(&format!("\n{}\n", style.paint(Tone::Faint, &line)));
    }
    text
}

fn one(context: &Context, link: &ExplainedLink, style: Style) -> String {
    let verdict = match (link.works, &link.problem) {
        (true, _) => style.paint(Tone::Good, "works"),
        (false, Some(_)) => style.paint(Tone::Bad, "does not work"),
        (false, None) => style.paint(Tone::Faint, "not used"),
    };
    let mut text = format!("{}  {verdict}\n", style.paint(Tone::Strong, &neutral(&link.import)));
    let mut fact = |name: &str, value: String| {
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Faint, &format!("{name:8}")), neutral(&value)));
    };
    if let Some(target) = &link.target {
        fact("link", format!("{} → {} ({})", link.name, target.id, what(target)));
        fact("distance", distance(target));
    }
    if let Some(call) = call(link) {
        fact("call", call);
    }
    if let Some(note) = &link.note {
        fact("note", note.clone());
    }
    if let Some(problem) = &link.problem {
        text.push_str(&format!("  {}\n", style.paint(Tone::Bad, &neutral(&problem.to_string()))));
        for cause in &problem.causes {
            text.push_str(&format!("    cause: {}\n", neutral(cause)));
        }
        let help = command(context, &problem.help);
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Good, "help:"), neutral(&help)));
    }
    text
}

/// A help that is one command and nothing else works as it is printed.
fn command(context: &Context, help: &str) -> String {
    match help.strip_prefix("umbel ") {
        Some(words) if !words.contains([',', ';', '`']) => context.command(words),
        _ => help.to_string(),
    }
}

fn what(target: &LinkTarget) -> String {
    let kind = match target.kind.as_str() {
        "builtin" => "builtin provider",
        "process" => "provider process",
        "unknown" => return "does not run".into(),
        other => other,
    };
    let reference = target.reference.as_deref().unwrap_or_default();
    format!("{kind}, {}, {}", target.state, stood_in(&target.kind, reference))
}

fn distance(target: &LinkTarget) -> String {
    match (target.distance.as_deref(), target.distance_asked.as_str()) {
        (Some("local"), asked) => format!("{asked}; it is in the same host"),
        (Some(far), asked) => format!("{asked}; it is {far}"),
        (None, asked) => asked.to_string(),
    }
}

/// What a call does, which is what it costs.
fn call(link: &ExplainedLink) -> Option<String> {
    let target = &link.target.as_ref()?.id;
    let calls = link.target_calls.unwrap_or_default();
    let had = format!("it has had {calls} {}", if calls == 1 { "call" } else { "calls" });
    let does = match link.path.as_deref()? {
        "direct" => "a direct call of the provider, in the same process".into(),
        "process" => "a message to the provider's process and back, over a unix socket".into(),
        "fresh-instance" => format!("makes a fresh instance of {target}, on the same thread; {had}"),
        "reused-instance" => format!("uses a kept instance of {target}, on the same thread; {had}"),
        "resident-instance" => format!("takes its turn in the one instance of {target}; {had}"),
        other => format!("{other}; {had}"),
    };
    Some(match link.call_us {
        Some(us) => format!("{does}; the last took {}", took(us)),
        None => does,
    })
}

/// A time as people say it.
fn took(us: f64) -> String {
    match us {
        ..100.0 => format!("{us:.1} µs"),
        ..10_000.0 => format!("{us:.0} µs"),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_link_is_explained() {
        let explanation: LinkExplanation = golden::input("link-explain.json");
        golden::check("link-explain.txt", &render(&golden::context(), &explanation, Style::PLAIN));
    }
}
