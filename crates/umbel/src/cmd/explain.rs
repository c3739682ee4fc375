//! `umbel explain`: an error code, or a concept, in words. It needs no platform.

use crate::context::Context;
use crate::fail::Failure;
use crate::render::{Style, Tone};
use crate::{args, names};
use serde::{Deserialize, Serialize};
use umbel_api::document::Document;
use umbel_core::code::{self, api};
use umbel_core::{Code, Problem};

/// Concepts, each with its text.
const TOPICS: &[(&str, &str)] = &[
    ("application", include_str!("../topics/application.md")),
    ("capabilities", include_str!("../topics/capabilities.md")),
    ("component", include_str!("../topics/component.md")),
    ("exit-codes", include_str!("../topics/exit-codes.md")),
    ("grants", include_str!("../topics/grants.md")),
    ("host", include_str!("../topics/host.md")),
    ("lattice", include_str!("../topics/lattice.md")),
    ("limits", include_str!("../topics/limits.md")),
    ("link", include_str!("../topics/link.md")),
    ("manifest", include_str!("../topics/manifest.md")),
    ("provider", include_str!("../topics/provider.md")),
    ("registry", include_str!("../topics/registry.md")),
    ("state", include_str!("../topics/state.md")),
];

/// Words for what another concept's text is about.
const ALIASES: &[(&str, &str)] = &[
    ("blobstore", "capabilities"),
    ("config", "capabilities"),
    ("cron", "capabilities"),
    ("http-client", "capabilities"),
    ("http-server", "capabilities"),
    ("keyvalue", "capabilities"),
    ("messaging", "capabilities"),
    ("secret", "capabilities"),
    ("secrets", "capabilities"),
];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel explain                     list codes and concepts
  umbel explain UM1002              an error code
  umbel explain link                a concept")]
pub(crate) struct Args {
    /// An error code, e.g. UM0401, or a concept; a list of both when left out
    #[arg(value_name = "CODE|CONCEPT")]
    what: Option<String>,
}

/// An explanation.
#[derive(Debug, Serialize, Deserialize)]
struct Explanation {
    /// The code, or the concept.
    name: String,
    /// One line.
    title: String,
    /// The class of failure and its exit code, of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    /// What it is, or why it happens.
    text: String,
    /// What to do, of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Document for Explanation {
    const TYPE: &'static str = "explanation/v1";
}

/// Everything that can be explained.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    items: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    title: String,
}

impl Document for Index {
    const TYPE: &'static str = "explanation.list/v1";
}

pub(crate) fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let Some(what) = args.what else {
        return context.show(&index(), render_index, |index| {
            index.items.iter().map(|item| item.name.clone()).collect()
        });
    };
    show(context, &what)
}

/// Shows the explanation of a code or a concept.
pub(super) fn show(context: &Context, what: &str) -> Result<(), Failure> {
    let explanation = topic(what).or_else(|| Code::find(what).map(of_code)).ok_or_else(|| unknown(what))?;
    context.show(&explanation, render, |explanation| vec![explanation.name.clone()])
}

/// Nothing is known by that name.
pub(super) fn unknown(what: &str) -> Problem {
    let command = args::command();
    let verbs = command.get_subcommands().map(clap::Command::get_name);
    let topics = TOPICS.iter().map(|(name, _)| *name);
    let message = format!("there is no explanation of `{}`", what.escape_debug());
    names::suggest(Problem::new(api::NO_SUCH_TOPIC, message), what, verbs.chain(topics))
}

fn topic(what: &str) -> Option<Explanation> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(what));
    let what = alias.map_or(what, |(_, topic)| topic);
    let (name, text) = TOPICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(what))?;
    let (title, text) = text.split_once('\n').unwrap_or((text, ""));
    Some(Explanation {
        name: (*name).into(),
        title: title.trim_start_matches("# ").into(),
        kind: None,
        exit_code: None,
        text: text.trim().into(),
        help: None,
    })
}

fn of_code(code: Code) -> Explanation {
    let entry = code.entry();
    let kind = serde_json::to_value(entry.kind).ok().and_then(|kind| kind.as_str().map(str::to_string));
    let problem = Problem::new(code, entry.title);
    Explanation {
        name: code.to_string(),
        title: entry.title.into(),
        kind,
        exit_code: Some(crate::fail::exit_code(&problem.into())),
        text: entry.why.into(),
        help: Some(entry.help.into()),
    }
}

fn index() -> Index {
    let topics = TOPICS.iter().filter_map(|(name, _)| topic(name));
    let codes = code::all().map(of_code);
    let entry = |explanation: Explanation| Entry { name: explanation.name, title: explanation.title };
    Index { items: topics.chain(codes).map(entry).collect() }
}

fn render(explanation: &Explanation, style: Style) -> String {
    let name = style.paint(Tone::Strong, &explanation.name);
    let mut text = format!("{name}: {}\n\n{}\n", explanation.title, explanation.text);
    if let Some(help) = &explanation.help {
        text.push_str(&format!("\n{} {help}\n", style.paint(Tone::Good, "help:")));
    }
    if let (Some(kind), Some(exit_code)) = (&explanation.kind, explanation.exit_code) {
        text.push_str(&style.paint(Tone::Faint, &format!("kind {kind}, exit code {exit_code}\n")));
    }
    text
}

fn render_index(index: &Index, style: Style) -> String {
    let width = index.items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    let line = |item: &Entry| {
        let name = style.paint(Tone::Strong, &item.name);
        format!("{name}{}  {}\n", " ".repeat(width - item.name.len()), item.title)
    };
    index.items.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_every_concept_is_explained() {
        for item in index().items {
            let explanation = topic(&item.name).or_else(|| Code::find(&item.name).map(of_code)).unwrap();
            assert!(!explanation.title.is_empty() && explanation.text.len() > 20, "{}", item.name);
        }
        for wanted in ["link", "host", "lattice", "component", "provider", "limits", "exit-codes"] {
            assert!(topic(wanted).is_some(), "{wanted}");
        }
    }

    #[test]
    fn the_exit_codes_that_are_explained_are_the_ones_that_are_used() {
        let text = topic("exit-codes").unwrap().text;
        let mut explained: Vec<u8> =
            text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        let mut used: Vec<u8> =
            code::all().filter_map(|code| of_code(code).exit_code).chain([0, 2]).collect();
        used.extend(
            [umbel_core::Kind::Version, umbel_core::Kind::Unauthenticated].map(umbel_core::Kind::exit_code),
        );
        used.sort_unstable();
        used.dedup();
        explained.sort_unstable();
        assert_eq!(explained, used);
    }
}
