//! `umbel link`: who serves an import.

pub(super) mod explain;

use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::render::table::{Cell, cell, render as table};
use crate::text::bad_argument;
use clap::{Subcommand, ValueEnum};
use umbel_api::document::{Done, Link, LinkList, PutLink};
use umbel_api::query::LinkQuery;
use umbel_core::code::api;
use umbel_core::{Problem, link::DEFAULT_LINK_NAME};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A link says who serves what a component imports: the importer (SOURCE), who serves it (TARGET) and the contract. A component without
its link runs, and the call fails with the command that adds it. SOURCE and TARGET are ids as `umbel ps` and `umbel provider list` show them.

Links of a deployed application belong to its manifest: what is changed here is put back. Links that are put by hand stay.

Examples:
  umbel link list
  umbel link explain hello-web
  umbel link put hello-web http-client wasi:http/outgoing-handler
  umbel link put shop-web shop-keyvalue wasi:keyvalue/store,atomics --name carts
  umbel link del hello-web wasi:http"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all links
    List,
    /// Tell why a link works or not, who serves it, and the command that mends what is wrong
    Explain(explain::Explain),
    /// Put a link; one with the same source, name and package is replaced
    Put(Put),
    /// Delete a link; calls over it fail until another one is put
    Del(Del),
}

#[derive(Debug, clap::Args)]
struct Put {
    /// The importer: the id of a component, or of a provider that calls components (HTTP, messages, jobs)
    source: String,
    /// Who serves it: the id of a component or provider; it may be started later
    target: String,
    /// What it carries, e.g. wasi:http/outgoing-handler; several interfaces with commas
    #[arg(value_name = "CONTRACT")]
    contract: String,
    /// The link's name: a component that imports one contract several times tells its links apart by it
    #[arg(long, default_value = DEFAULT_LINK_NAME)]
    name: String,
    /// A config for the importer's side, by its name; may be given several times
    #[arg(long = "source-config", value_name = "NAME")]
    source_configs: Vec<String>,
    /// A config for the server's side, by its name; may be given several times
    #[arg(long = "target-config", value_name = "NAME")]
    target_configs: Vec<String>,
    /// How far the server may be from the importer
    #[arg(long, value_enum, default_value_t = Distance::Any)]
    distance: Distance,
}

#[derive(Debug, clap::Args)]
struct Del {
    /// The importer: the id of a component or provider
    source: String,
    /// The package, e.g. wasi:http
    #[arg(value_name = "PACKAGE")]
    package: String,
    /// The link's name
    #[arg(long, default_value = DEFAULT_LINK_NAME)]
    name: String,
}

/// How far a server may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Distance {
    /// On the same host only
    Local,
    /// Wherever it is; the nearest is taken
    Any,
    /// On another host only
    Remote,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    match args.verb {
        Verb::List => {
            let links = client.links().await?;
            if links.items.is_empty() {
                context.progress.note("there are no links; manifests and `umbel link put` make them");
            }
            context.show(&links, render, names_of)
        }
        Verb::Explain(args) => explain::run(context, &client, args).await,
        Verb::Put(put) => {
            let (namespace, package, interfaces) = contract(&put.contract)?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if put.name.is_empty() || !put.name.chars().all(is_name) {
                let name = put.name.escape_debug();
                return Err(
                    bad_argument(format!("`{name}` is no name of a link: letters, digits, `-_.`")).into()
                );
            }
            // What it joins may be started later.
            let link = PutLink {
                source_id: put.source,
                target: put.target,
                name: Some(put.name),
                wit_namespace: namespace,
                wit_package: package,
                interfaces,
                source_config: put.source_configs,
                target_config: put.target_configs,
                distance: put.distance.to_possible_value().map(|value| value.get_name().to_string()),
            };
            show(context, client.put_link(&link).await?)
        }
        Verb::Del(del) => {
            let (namespace, package, _) =
                contract(&format!("{}/any", del.package.split('/').next().unwrap_or_default()))?;
            let links = client.links().await?;
            let sources = links.items.iter().map(|link| link.source_id.as_str());
            let source_id = names::exact(&del.source, sources, "link of", api::NO_SUCH_NAME)?;
            let is_it = |link: &Link| {
                link.source_id == source_id
                    && link.name == del.name
                    && link.wit_namespace == namespace
                    && link.wit_package == package
            };
            if !links.items.iter().any(is_it) {
                let message = format!("`{source_id}` has no link `{}` for {namespace}:{package}", del.name);
                return Err(Problem::new(api::NO_SUCH_NAME, message)
                    .with_help(format!("list the links with `{}`", context.command("link list")))
                    .into());
            }
            let query =
                LinkQuery { source_id, name: Some(del.name), wit_namespace: namespace, wit_package: package };
            show(context, client.delete_link(&query).await?)
        }
    }
}

/// Reads `wasi:http/outgoing-handler,types`.
fn contract(text: &str) -> Result<(String, String, Vec<String>), Problem> {
    let parts = text.split_once(':').and_then(|(namespace, rest)| Some((namespace, rest.split_once('/')?)));
    let Some((namespace, (package, interfaces))) = parts else {
        return Err(bad_argument(format!(
            "`{}` is not a contract such as wasi:http/outgoing-handler",
            text.escape_debug()
        )));
    };
    // Links are looked up without versions.
    let interfaces = interfaces.split('@').next().unwrap_or(interfaces);
    let interfaces: Vec<String> = interfaces.split(',').map(str::to_string).collect();
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_word(namespace) || !is_word(package) || !interfaces.iter().all(|interface| is_word(interface)) {
        return Err(bad_argument(format!(
            "`{}` is not a contract such as wasi:http/outgoing-handler",
            text.escape_debug()
        )));
    }
    Ok((namespace.into(), package.into(), interfaces))
}

fn render(links: &LinkList, style: crate::render::Style) -> String {
    let rows: Vec<Vec<Cell>> = links
        .items
        .iter()
        .map(|link| {
            let carried =
                format!("{}:{}/{}", link.wit_namespace, link.wit_package, link.interfaces.join(","));
            vec![
                cell(&link.source_id),
                cell(&link.target),
                cell(carried),
                cell(&link.name),
                cell(&link.distance),
            ]
        })
        .collect();
    table(&["SOURCE", "TARGET", "CONTRACT", "NAME", "DISTANCE"], &rows, style)
}

fn names_of(links: &LinkList) -> Vec<String> {
    links.items.iter().map(|link| format!("{}/{}", link.source_id, link.name)).collect()
}

fn show(context: &Context, done: Done) -> Result<(), Failure> {
    for warning in &done.warnings {
        context.progress.note(&format!("note: {}", crate::text::neutral(warning)));
    }
    context.show(&done, |done, _| format!("{}\n", crate::text::neutral(&done.message)), |_| Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::render::Style;

    #[test]
    fn links_are_a_table() {
        golden::check("link-list.txt", &render(&golden::input("link-list.json"), Style::PLAIN));
    }

    #[test]
    fn contracts_are_read() {
        let read = |text| contract(text).ok();
        let expect = |interfaces: &[&str]| {
            Some((
                "wasi".to_string(),
                "http".to_string(),
                interfaces.iter().map(|i| (*i).to_string()).collect::<Vec<_>>(),
            ))
        };
        assert_eq!(read("wasi:http/outgoing-handler"), expect(&["outgoing-handler"]));
        assert_eq!(read("wasi:http/outgoing-handler@0.2.6"), expect(&["outgoing-handler"]));
        assert_eq!(read("wasi:http/a,b"), expect(&["a", "b"]));
        for text in
            ["", "wasi", "wasi:http", "wasi:http/", ":http/a", "wasi:/a", "wasi:http/a,", "wasi:http/a b"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
