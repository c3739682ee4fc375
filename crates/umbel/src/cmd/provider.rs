//! `umbel provider`: what serves the contracts of components.

use crate::context::Context;
use crate::daemon;
use crate::fail::Failure;
use crate::render::Style;
use crate::render::table::{Cell, cell, number, render as table, state};
use crate::text;
use clap::Subcommand;
use umbel_api::document::{Provider, ProviderList};
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_supervisor::Cores;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A provider is code of the platform (builtin), a component (`image: ./NAME.wasm`), or a process of
its own: of an archive (`image: ./NAME.par.gz`), or of a builtin that the manifest keeps apart
with `isolation: process`.

Examples:
  umbel provider list
  umbel logs --component PROVIDER   what a process prints
  umbel tree                        how often one was started again"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the providers that run
    List,
    /// Be a builtin provider in this process: a platform starts it so, and tells it on standard input where to connect
    Run {
        /// The builtin, e.g. keyvalue
        #[arg(value_name = "NAME")]
        name: String,
    },
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::List => {
            let providers = context.client()?.providers().await?;
            context.show(&providers, render, |list| list.items.iter().map(|p| p.id.clone()).collect())
        }
        Verb::Run { name } => serve(&name).await,
    }
}

/// Is the provider until its host ends it or is gone.
async fn serve(name: &str) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Problem::new(api::START_FAILED, "the provider cannot be started").with_cause(error.to_string())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = Cores::start(threads, "umbel-data").map_err(|error| failed(&error))?;
    let factories = daemon::apart(&cores);
    let Some(factory) = factories.iter().find(|factory| factory.name() == name) else {
        let known: Vec<&str> = factories.iter().map(|factory| factory.name()).collect();
        let message = format!("there is no builtin `{}` that can be a process", name.escape_debug());
        let help = format!("these can: {}", known.join(", "));
        return Err(Problem::new(api::NO_SUCH_NAME, message).with_help(help).into());
    };
    umbel_provider::sdk::run(factory.clone()).await?;
    Ok(())
}

fn render(list: &ProviderList, style: Style) -> String {
    if list.items.is_empty() {
        return "No provider runs.\n".into();
    }
    let rows: Vec<Vec<Cell>> = list.items.iter().map(row).collect();
    table(&["PROVIDER", "KIND", "STATE", "PID", "MEMORY", "REFERENCE", "NOTE"], &rows, style)
}

fn row(provider: &Provider) -> Vec<Cell> {
    let process = provider.process.as_ref();
    let note = match &provider.problem {
        Some(problem) => problem.to_string(),
        None => provider.endpoints.iter().map(|endpoint| endpoint.url.clone()).collect::<Vec<_>>().join(" "),
    };
    vec![
        cell(&provider.id),
        cell(&provider.kind),
        state(&provider.state),
        process.map_or_else(|| cell(""), |process| number(process.pid.to_string())),
        process.map_or_else(|| cell(""), |process| number(text::bytes(process.memory_bytes))),
        cell(&provider.reference),
        cell(&note),
    ]
}
