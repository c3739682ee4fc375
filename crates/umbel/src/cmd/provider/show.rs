//! `umbel provider show`: everything about one provider.

use super::{coming, one};
use crate::context::Context;
use crate::fail::Failure;
use crate::render::table::{Cell, cell, render as table, state};
use crate::render::{Style, Tone, tone_of};
use crate::text::{self, neutral};
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::document::{ProviderDetails, ProviderLink};
use umbel_core::Problem;

pub(super) async fn run(context: &Context, client: &Client, typed: &str) -> Result<(), Failure> {
    let id = one(client, typed).await?;
    let details = client.provider(&id).await?;
    context.show(&details, render, |details| vec![details.provider.id.clone()])
}

/// Lines of a name and a value; those without a value are left out.
struct Facts(String, Style);

impl Facts {
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.put(name, &neutral(value));
        }
    }

    fn put(&mut self, name: &str, value: &str) {
        let name = self.1.paint(Tone::Faint, &format!("{name:<12}"));
        self.0.push_str(&format!("{name} {value}\n"));
    }

    fn problem(&mut self, name: &str, problem: &Problem) {
        let told = self.1.paint(Tone::Bad, &neutral(&problem.to_string()));
        self.put(name, &told);
        self.add("", &problem.help);
    }
}

fn render(details: &ProviderDetails, style: Style) -> String {
    let provider = &details.provider;
    let mut facts = Facts(String::new(), style);
    facts.add("provider", &provider.id);
    facts.add("name", provider.name.as_deref().unwrap_or_default());
    facts.add("application", provider.application.as_deref().unwrap_or_default());
    let retry = details.retry_in_ms.map(Duration::from_millis);
    let retry = retry.map(|wait| format!(", next try in {}", text::duration(wait))).unwrap_or_default();
    facts.put(
        "state",
        &format!("{}{retry}", style.paint(tone_of(&provider.state), &neutral(&provider.state))),
    );
    facts.add("by hand", provider.by_hand.as_deref().unwrap_or_default());
    facts.add("kind", &provider.kind);
    facts.add("reference", &provider.reference);
    facts.add("coming", &coming(provider).unwrap_or_default());
    if let Some(process) = &provider.process {
        let cpu = Duration::from_micros(process.cpu_us);
        facts.add("pid", &process.pid.to_string());
        facts.add("processes", &process.processes.to_string());
        facts.add("memory", &text::bytes(process.memory_bytes));
        facts.add("cpu", &format!("{:.2} s", cpu.as_secs_f64()));
    }
    facts.add("restarts", &provider.restarts.to_string());
    match &details.health {
        Some(problem) => facts.problem("health", problem),
        None if details.healthy => facts.add("health", "well"),
        None => facts.add("health", "it does not run"),
    }
    for endpoint in &provider.endpoints {
        facts.add("endpoint", &format!("{} to {}", endpoint.url, endpoint.component));
    }
    facts.add("config", &details.config.join(", "));
    facts.add("secrets", &details.secrets.join(", "));
    facts.add("folder", &details.folder);
    if let Some(claims) = &details.claims {
        facts.add("claims", &crate::text::json_line(claims));
    }
    if let Some(problem) = &provider.problem {
        facts.problem("problem", problem);
    }
    if let Some(problem) = &details.last_exit {
        facts.add("last end", &problem.to_string());
    }
    let mut text = facts.0;
    if !details.links.is_empty() {
        let rows: Vec<Vec<Cell>> = details.links.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["SOURCE", "TARGET", "CONTRACT", "NAME", "STATE", "NOTE"], &rows, style));
    }
    text
}

fn row(taken: &ProviderLink) -> Vec<Cell> {
    let link = &taken.link;
    let word = match (&taken.problem, taken.taken) {
        (Some(_), _) => "failed",
        (None, true) => "running",
        (None, false) => "starting",
    };
    vec![
        cell(&link.source_id),
        cell(&link.target),
        cell(format!("{}:{}/{}", link.wit_namespace, link.wit_package, link.interfaces.join(","))),
        cell(&link.name),
        state(word),
        cell(taken.problem.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_provider_is_shown_with_its_links() {
        golden::check("provider-show.txt", &render(&golden::input("provider-show.json"), Style::PLAIN));
    }
}
