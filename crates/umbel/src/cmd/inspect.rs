//! `umbel inspect`: everything about one thing, be it a file or something that runs.

use crate::cmd::par;
use crate::cmd::registry::{self, Access, Shown};
use crate::context::{Context, absolute};
use crate::fail::Failure;
use crate::names;
use crate::render::table::{Cell, cell, render as table, state, toned};
use crate::render::{Style, Tone, tone_of};
use crate::text::{self, neutral};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::document::{
    Application, ApplicationVersion, Component, Document, ExplainedLink, Inspection, Need, Part, Provider,
};
use umbel_api::query::ExplainQuery;
use umbel_artifact::oci::Platform;
use umbel_core::code::api;
use umbel_core::reference::Image;
use umbel_core::{Problem, limits::Limits};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel inspect ./hello.wasm        what a file imports and exports
  umbel inspect hello               an application: versions and parts
  umbel inspect hello-web           a component or provider that runs
  umbel inspect ./acme-kv.par.gz    what is in a provider archive, and who vouches for it
  umbel inspect ghcr.io/team/hello:1.0   an image in a registry; it is not fetched")]
pub(crate) struct Args {
    /// A path or reference, or the name of an application, component or provider
    #[arg(value_name = "PATH|NAME")]
    what: String,
    /// Which image of an index, if it is not for this machine: OS/ARCHITECTURE
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    access: Access,
}

/// An application with its versions and parts.
#[derive(Debug, Serialize, Deserialize)]
struct ApplicationDetails {
    #[serde(flatten)]
    application: Application,
    versions: Vec<ApplicationVersion>,
    parts: Vec<Part>,
    problems: Vec<Problem>,
}

impl Document for ApplicationDetails {
    const TYPE: &'static str = "application.details/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let what = args.what.as_str();
    if par::is_archive(Path::new(what)) {
        return par::inspect(context, Path::new(what));
    }
    if let Some(image) = image_in_registry(what) {
        return show_image(context, &image, args).await;
    }
    let client = context.client()?;
    if is_reference(what) {
        return artifact(context, &client, what).await;
    }
    let applications = client.applications().await?.items;
    let hosts = client.hosts().await?.items;
    let components: Vec<&Component> = hosts.iter().flat_map(|host| &host.components).collect();
    let providers: Vec<&Provider> = hosts.iter().flat_map(|host| &host.providers).collect();
    let all = applications.iter().map(|application| application.name.as_str());
    let all =
        all.chain(components.iter().map(|c| c.id.as_str())).chain(providers.iter().map(|p| p.id.as_str()));
    let name = match names::resolve(what, all, "application, component or provider", api::NO_SUCH_NAME) {
        Err(problem) if problem.code == api::NO_SUCH_NAME && Path::new(what).is_file() => {
            return artifact(context, &client, what).await;
        }
        outcome => outcome?,
    };
    if let Some(application) = applications.into_iter().find(|application| application.name == name) {
        return show_application(context, &client, application).await;
    }
    if let Some(component) = components.into_iter().find(|component| component.id == name) {
        return show_component(context, &client, component).await;
    }
    match providers.into_iter().find(|provider| provider.id == name) {
        Some(provider) => context.show(provider, render_provider, |provider| vec![provider.id.clone()]),
        None => Err(Problem::new(api::NO_SUCH_NAME, format!("`{name}` is gone")).into()),
    }
}

/// The image that is meant: one that names its registry. What is a file here, is that.
fn image_in_registry(what: &str) -> Option<Image> {
    let image = registry::image(what).ok()?;
    let is_said = what.starts_with("oci://") || !Path::new(what).exists();
    (image.registry.is_some() && is_said).then_some(image)
}

async fn show_image(context: &Context, image: &Image, args: Args) -> Result<(), Failure> {
    let note = |problem: &Problem| context.progress.note(&format!("note: {problem}"));
    let (client, credentials) = args.access.open(image, args.platform, note)?;
    let finding = client.find(image, credentials.as_ref());
    let found = context.progress.spin("asking the registry", finding).await.map_err(Problem::from)?;
    context.show(&Shown::of(&found), registry::render, |shown| vec![shown.digest.clone()])
}

/// A component with its links.
#[derive(Debug, Serialize, Deserialize)]
struct ComponentDetails {
    #[serde(flatten)]
    component: Component,
    links: Vec<ExplainedLink>,
}

impl Document for ComponentDetails {
    const TYPE: &'static str = Component::TYPE;
}

async fn show_component(context: &Context, client: &Client, component: &Component) -> Result<(), Failure> {
    let query = ExplainQuery { source_id: component.id.clone(), contract: None, name: None };
    let links = client.explain_links(&query).await?.links;
    let details = ComponentDetails { component: component.clone(), links };
    context.show(
        &details,
        |details, style| {
            let links = render_links(&details.links, style);
            render_component(context, &details.component, style) + &links
        },
        |details| vec![details.component.id.clone()],
    )
}

/// Who serves each import; `umbel link explain` says more.
fn render_links(links: &[ExplainedLink], style: Style) -> String {
    if links.is_empty() {
        return String::new();
    }
    let row = |link: &ExplainedLink| {
        let target = link.target.as_ref().map(|target| target.id.as_str()).unwrap_or_default();
        let verdict = match (link.works, &link.problem) {
            (true, _) => toned("works", Tone::Good),
            (false, Some(problem)) => toned(problem.code.to_string(), Tone::Bad),
            (false, None) => toned("not used", Tone::Faint),
        };
        vec![cell(&link.import), cell(&link.name), cell(target), verdict]
    };
    let rows: Vec<Vec<Cell>> = links.iter().map(row).collect();
    format!("\n{}", table(&["IMPORT", "LINK", "TARGET", "STATE"], &rows, style))
}

/// Whether it can only be a path or a reference: no name of what runs looks so.
pub(super) fn is_reference(what: &str) -> bool {
    what.contains(['/', ':']) || what.starts_with('.') || what.ends_with(".wasm")
}

/// A path is made absolute: the host reads the file, from another folder.
pub(crate) fn reference(what: &str) -> Result<String, Failure> {
    let is_path = !what.contains(':')
        && (what.starts_with(['.', '/'])
            || Path::new(what).exists()
            || [".wasm", ".par", ".par.gz"].iter().any(|end| what.ends_with(end)));
    if is_path { Ok(absolute(Path::new(what))?.display().to_string()) } else { Ok(what.to_string()) }
}

async fn artifact(context: &Context, client: &Client, what: &str) -> Result<(), Failure> {
    let reference = reference(what)?;
    let inspection = context.progress.spin("looking into it", client.inspect(&reference)).await?;
    context.show(&inspection, render_artifact, |inspection| vec![inspection.digest.clone()])
}

async fn show_application(
    context: &Context,
    client: &Client,
    application: Application,
) -> Result<(), Failure> {
    let versions = client.application_versions(&application.name).await?.items;
    let status = client.application_status(&application.name).await?;
    let details =
        ApplicationDetails { application, versions, parts: status.parts, problems: status.problems };
    context.show(&details, render_application, |details| vec![details.application.name.clone()])
}

/// Facts, one on a line.
pub(super) struct Facts(String, Style);

impl Facts {
    pub(super) fn new(style: Style) -> Facts {
        Facts(String::new(), style)
    }

    pub(super) fn text(self) -> String {
        self.0
    }

    pub(super) fn add(&mut self, name: &str, value: impl AsRef<str>) {
        if !value.as_ref().is_empty() {
            let name = self.1.paint(Tone::Faint, &format!("{name:12}"));
            self.0.push_str(&format!("{name} {}\n", neutral(value.as_ref())));
        }
    }

    fn state(&mut self, value: &str) {
        let name = self.1.paint(Tone::Faint, &format!("{:12}", "state"));
        self.0.push_str(&format!("{name} {}\n", self.1.paint(tone_of(value), &neutral(value))));
    }

    pub(super) fn list(&mut self, name: &str, values: &[String]) {
        for (index, value) in values.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            let name = self.1.paint(Tone::Faint, &format!("{name:12}"));
            self.0.push_str(&format!("{name} {}\n", neutral(value)));
        }
    }

    fn problem(&mut self, problem: &Problem, application: &str) {
        self.0.push_str(&format!("{}\n", self.1.paint(Tone::Bad, &neutral(&problem.to_string()))));
        for cause in &problem.causes {
            self.0.push_str(&format!("  cause: {}\n", neutral(cause)));
        }
        let help = text::for_application(&problem.help, application);
        self.0.push_str(&format!("  {} {}\n", self.1.paint(Tone::Good, "help:"), neutral(&help)));
    }
}

fn render_application(details: &ApplicationDetails, style: Style) -> String {
    let application = &details.application;
    let mut facts = Facts(String::new(), style);
    facts.add("application", &application.name);
    facts.add("description", application.description.as_deref().unwrap_or_default());
    facts.state(&application.status);
    // What a problem says below need not be said twice.
    let is_problem = |note: &&str| details.problems.iter().any(|problem| problem.message == **note);
    facts.add("note", application.message.as_deref().filter(|note| !is_problem(note)).unwrap_or_default());
    facts.list("url", &application.urls);
    let serving = details.parts.iter().filter_map(|part| {
        let version = part.serving_version.as_ref()?;
        Some(format!("{version} of `{}`, until the deployed version can", part.name))
    });
    facts.list("serving", &serving.collect::<Vec<_>>());
    for problem in &details.problems {
        facts.problem(problem, &application.name);
    }
    for (part, by_hand) in details.parts.iter().filter_map(|part| Some((part, part.by_hand.as_ref()?))) {
        facts.add("by hand", format!("{} was {by_hand}", part.name));
    }
    let mut text = facts.0;
    let rows: Vec<Vec<Cell>> = details
        .versions
        .iter()
        .map(|version| {
            let created = version.created_unix_ms.map(text::time).unwrap_or_default();
            vec![cell(&version.version), state(if version.deployed { "deployed" } else { "" }), cell(created)]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["VERSION", "STATUS", "STORED"], &rows, style));
    if !details.parts.is_empty() {
        let rows: Vec<Vec<Cell>> = details
            .parts
            .iter()
            .map(|part| {
                let image = part.reference.as_deref().unwrap_or_default();
                vec![cell(&part.name), cell(&part.kind), state(&part.state), cell(&part.id), cell(image)]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["PART", "KIND", "STATE", "ID", "IMAGE"], &rows, style));
    }
    text
}

fn render_component(context: &Context, component: &Component, style: Style) -> String {
    let mut facts = Facts(String::new(), style);
    facts.add("component", &component.id);
    facts.add("name", component.name.as_deref().unwrap_or_default());
    facts.add("application", component.application.as_deref().unwrap_or_default());
    facts.state(&component.state);
    facts.add("image", &component.reference);
    facts.add("digest", component.digest.as_deref().unwrap_or_default());
    facts.add("host", &component.host_id);
    let usage = &component.usage;
    facts.add(
        "calls",
        format!(
            "{} ({} now of {}, {} refused, {} trapped)",
            usage.calls, usage.calls_in_flight, component.instances_max, usage.refused, usage.traps
        ),
    );
    facts.add("cpu", text::duration(Duration::from_micros(usage.cpu_us)));
    let most = text::bytes(usage.memory_bytes_max_seen);
    facts.add("memory", format!("{} now, {most} at most in one instance", text::bytes(usage.memory_bytes)));
    facts.add(
        "log",
        format!("{}, {} dropped", text::bytes(usage.log_bytes), text::bytes(usage.log_bytes_dropped)),
    );
    if let Some(limits) = &component.limits {
        facts.list("limits", &limit_lines(limits));
    }
    facts.list("exports", &component.exports);
    facts.list("imports", &component.imports);
    facts.list("unlinked", &component.unlinked);
    if let Some(problem) = &component.problem {
        facts.problem(problem, component.application.as_deref().unwrap_or("APP"));
    }
    if let Some(import) = component.unlinked.first() {
        let contract = import.split('@').next().unwrap_or(import);
        let command = context.command(&format!("link put {} TARGET {}", component.id, neutral(contract)));
        facts.0.push_str(&format!("{} {command}\n", style.paint(Tone::Good, "help:")));
    }
    facts.0
}

fn limit_lines(limits: &Limits) -> Vec<String> {
    let or_unlimited =
        |value: u64, text: String| if value == 0 { "without a limit".to_string() } else { text };
    vec![
        format!("memory {} of one instance", text::bytes(limits.memory_bytes_max)),
        format!(
            "cpu {}",
            or_unlimited(limits.cpu_percent_max.into(), format!("{} % of a core", limits.cpu_percent_max))
        ),
        format!(
            "call time {}",
            or_unlimited(limits.call_ms_max, text::duration(Duration::from_millis(limits.call_ms_max)))
        ),
        format!("instances {}, waiting {}", limits.instances_max, limits.waiting_max),
        format!("log {} per second", text::bytes(limits.log_bytes_per_s_max)),
        match limits.outbound_hosts.as_slice() {
            [] => "outbound hosts none".into(),
            hosts => format!("outbound hosts {}", hosts.join(", ")),
        },
    ]
}

fn render_provider(provider: &Provider, style: Style) -> String {
    let mut facts = Facts(String::new(), style);
    facts.add("provider", &provider.id);
    facts.add("name", provider.name.as_deref().unwrap_or_default());
    facts.add("application", provider.application.as_deref().unwrap_or_default());
    facts.state(&provider.state);
    facts.add("kind", &provider.kind);
    facts.add("image", &provider.reference);
    facts.add("host", &provider.host_id);
    let endpoints: Vec<String> =
        provider.endpoints.iter().map(|e| format!("{} → {}", e.url, e.component)).collect();
    facts.list("endpoints", &endpoints);
    if let Some(problem) = &provider.problem {
        facts.problem(problem, provider.application.as_deref().unwrap_or("APP"));
    }
    facts.0
}

fn render_artifact(inspection: &Inspection, style: Style) -> String {
    let mut facts = Facts(String::new(), style);
    facts.add("reference", &inspection.reference);
    facts.add("kind", &inspection.kind);
    facts.add("size", text::bytes(inspection.size));
    facts.add("digest", &inspection.digest);
    facts.list("exports", &inspection.exports);
    facts.list("imports", &inspection.imports);
    if let Some(claims) = &inspection.claims {
        facts.add("claims", text::json_line(claims));
    }
    facts.0 + &render_needs(&inspection.needs, style)
}

/// Who could serve each import that needs a link.
fn render_needs(needs: &[Need], style: Style) -> String {
    let row = |need: &Need| {
        let able = match need.served_by.as_slice() {
            [] => toned("nothing that runs here", Tone::Faint),
            able => cell(able.join(", ")),
        };
        vec![cell(&need.import), able]
    };
    let rows: Vec<Vec<Cell>> = needs.iter().filter(|need| !need.by_host).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["NEEDS A LINK", "COULD BE SERVED BY"], &rows, style))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn everything_about_one_thing_is_shown() {
        let context = golden::context();
        golden::check(
            "inspect-application.txt",
            &render_application(&golden::input("inspect-application.json"), Style::PLAIN),
        );
        golden::check(
            "inspect-component.txt",
            &render_component(&context, &golden::input("inspect-component.json"), Style::PLAIN),
        );
        golden::check(
            "inspect-provider.txt",
            &render_provider(&golden::input("inspect-provider.json"), Style::PLAIN),
        );
        golden::check(
            "inspect-artifact.txt",
            &render_artifact(&golden::input("inspect-artifact.json"), Style::PLAIN),
        );
    }
}
