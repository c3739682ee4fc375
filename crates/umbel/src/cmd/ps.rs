//! `umbel ps`: applications, and what runs.

use crate::context::Context;
use crate::fail::Failure;
use crate::render::table::{Cell, cell, number, render as table, state};
use crate::render::{Style, Tone};
use crate::text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use umbel_api::client::Client;
use umbel_api::document::{Application, Component, Document, Provider};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel ps
  umbel ps -w                       look again until Ctrl-C
  umbel ps -o name                  the names of the applications")]
pub(crate) struct Args {
    /// Show it again whenever it changes
    #[arg(short, long)]
    watch: bool,
}

/// What runs.
#[derive(Debug, Serialize, Deserialize)]
struct Ps {
    applications: Vec<Application>,
    components: Vec<Component>,
    providers: Vec<Provider>,
    #[serde(default)]
    hosts: Vec<Place>,
}

/// A host, and what runs there.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    id: String,
    name: String,
    labels: BTreeMap<String, String>,
    uptime_s: u64,
    /// By their ids.
    components: Vec<String>,
    providers: Vec<String>,
}

impl Document for Ps {
    const TYPE: &'static str = "ps/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    if args.watch {
        return super::watch::repeat(context, async || {
            let ps = look(&client).await?;
            Ok(context.form(&ps, |ps, style| render(context, ps, style), names))
        })
        .await;
    }
    let ps = context.progress.spin("asking the hosts", look(&client)).await?;
    context.show(&ps, |ps, style| render(context, ps, style), names)
}

async fn look(client: &Client) -> Result<Ps, Failure> {
    let applications = client.applications().await?.items;
    let hosts = client.hosts().await?.items;
    let (components, providers) = (Vec::new(), Vec::new());
    let mut ps = Ps { applications, components, providers, hosts: Vec::new() };
    for host in hosts {
        ps.hosts.push(Place {
            id: host.id,
            name: host.name,
            labels: host.labels,
            uptime_s: host.uptime_s,
            components: host.components.iter().map(|component| component.id.clone()).collect(),
            providers: host.providers.iter().map(|provider| provider.id.clone()).collect(),
        });
        ps.components.extend(host.components);
        ps.providers.extend(host.providers);
    }
    Ok(ps)
}

fn names(ps: &Ps) -> Vec<String> {
    ps.applications.iter().map(|application| application.name.clone()).collect()
}

fn render(context: &Context, ps: &Ps, style: Style) -> String {
    // One host is this one, and nobody need be told of it.
    let hosts = if ps.hosts.len() > 1 { format!("\n{}", places(&ps.hosts, style)) } else { String::new() };
    if ps.applications.is_empty() && ps.components.is_empty() && ps.providers.is_empty() {
        return format!("Nothing is deployed. Begin with `{}`.\n{hosts}", context.command("launch"));
    }
    let mut text = applications(&ps.applications, style);
    if !ps.components.is_empty() {
        text.push('\n');
        text.push_str(&components(&ps.components, style));
    }
    if !ps.providers.is_empty() {
        text.push('\n');
        text.push_str(&providers(&ps.providers, style));
    }
    text.push_str(&hosts);
    let problems = ps
        .components
        .iter()
        .map(|c| (&c.id, &c.application, &c.problem))
        .chain(ps.providers.iter().map(|p| (&p.id, &p.application, &p.problem)));
    for (id, application, problem) in problems {
        if let Some(problem) = problem {
            let label = style.paint(Tone::Bad, &text::neutral(id));
            text.push_str(&format!("\n{label}: {}\n", text::neutral(&problem.to_string())));
            text.push_str(&format!(
                "  {} {}\n",
                style.paint(Tone::Good, "help:"),
                text::neutral(&text::for_application(&problem.help, application.as_deref().unwrap_or("APP")))
            ));
        }
    }
    text
}

fn places(hosts: &[Place], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = hosts
        .iter()
        .map(|host| {
            let own = host.labels.iter().filter(|(key, _)| !key.starts_with("hostcore."));
            let labels: Vec<String> = own.map(|(key, value)| format!("{key}={value}")).collect();
            let runs: Vec<&str> = host.components.iter().chain(&host.providers).map(String::as_str).collect();
            vec![cell(&host.name), cell(labels.join(" ")), cell(&host.id), cell(runs.join(" "))]
        })
        .collect();
    table(&["HOST", "LABELS", "ID", "RUNS"], &rows, style)
}

fn applications(applications: &[Application], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = applications
        .iter()
        .map(|application| {
            let version = application.deployed_version.as_ref().unwrap_or(&application.version);
            vec![
                cell(&application.name),
                state(&application.status),
                cell(version),
                cell(application.urls.join(" ")),
                cell(
                    application
                        .message
                        .as_deref()
                        .filter(|_| application.status != "deployed")
                        .unwrap_or_default(),
                ),
            ]
        })
        .collect();
    table(&["APPLICATION", "STATUS", "VERSION", "URL", "NOTE"], &rows, style)
}

fn components(components: &[Component], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = components
        .iter()
        .map(|component| {
            let usage = &component.usage;
            vec![
                cell(&component.id),
                state(&component.state),
                number(format!("{}/{}", usage.calls_in_flight, component.instances_max)),
                number(usage.calls_waiting.to_string()),
                number(usage.calls.to_string()),
                number((usage.traps + usage.refused).to_string()),
                number(text::bytes(usage.memory_bytes)),
                cell(&component.reference),
            ]
        })
        .collect();
    table(&["COMPONENT", "STATE", "BUSY", "WAITING", "CALLS", "FAILED", "MEMORY", "IMAGE"], &rows, style)
}

fn providers(providers: &[Provider], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = providers
        .iter()
        .map(|provider| {
            let image = stood_in(&provider.kind, &provider.reference);
            vec![cell(&provider.id), state(&provider.state), cell(&provider.kind), cell(&image)]
        })
        .collect();
    table(&["PROVIDER", "STATE", "KIND", "IMAGE"], &rows, style)
}

/// The reference, and whether a builtin serves in the place of what it names.
pub(in crate::cmd) fn stood_in(kind: &str, reference: &str) -> String {
    match kind == "builtin" && !reference.starts_with("builtin:") {
        true => format!("in place of {reference}"),
        false => reference.to_string(),
    }
}

#[cfg(test)]
mod tests;
