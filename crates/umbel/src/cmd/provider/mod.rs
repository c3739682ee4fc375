//! `umbel provider`: what serves the contracts of components.

mod show;
mod swap;

use super::logs;
use crate::context::Context;
use crate::daemon;
use crate::fail::Failure;
use crate::names;
use crate::render::Style;
use crate::render::table::{Cell, cell, number, render as table, state};
use crate::text;
use clap::Subcommand;
use umbel_api::client::Client;
use umbel_api::document::{Done, Provider, ProviderList};
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_supervisor::Cores;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A provider serves a capability to components, such as keys and values, over links. It is a part of an application: `type: capability` in
the manifest (`umbel explain capabilities`), and its id is the application's name and its own: `shop-keyvalue`.

There are three kinds: code of the platform (`image: builtin:keyvalue`), a component (`image: ./NAME.wasm`), and a process of its own: of
an archive (`image: ./NAME.par.gz`, see `umbel par`), or of a builtin that the manifest keeps apart with `isolation: process`.

What is changed here holds until the application of the provider is deployed again, also when the platform is started anew.

Examples:
  umbel provider list
  umbel provider show shop-keyvalue
  umbel provider stop shop-keyvalue
  umbel provider swap shop-keyvalue builtin:keyvalue-redis --dry-run
  umbel provider swap shop-keyvalue builtin:keyvalue --isolation process
  umbel provider logs shop-keyvalue -f"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the providers that run or should: their kind, state, process and what is wrong
    List,
    /// Show everything about a provider: its process, its links and whether it has taken them, its health
    Show {
        /// The provider's id, or a unique beginning of it
        #[arg(value_name = "PROVIDER")]
        id: String,
    },
    /// Start a provider that was stopped by hand, or given up after it had ended too often
    Start(One),
    /// Stop a provider: calls of it fail until it is started again, and an http-server answers nowhere
    Stop(One),
    /// Let a provider finish its calls and start it anew; calls that come meanwhile wait
    Restart(One),
    /// Put another provider in the place of one that runs; calls go on
    Swap(swap::Swap),
    /// Show what the process of a provider prints, and what the platform says about it
    Logs(Logs),
    /// Be a builtin provider in this process: a platform does that by itself for `isolation: process`
    #[command(after_help = RUN_HELP)]
    Run {
        /// The builtin; the names are below
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Which builtins can be a process is said by [`daemon::apart`]; making them to ask takes threads.
const RUN_HELP: &str = "These can be a process of their own: keyvalue, keyvalue-redis, blobstore, blobstore-s3, messaging, messaging-nats,
sqldb-postgres, cron. A platform starts it so and tells it on standard input where to connect; by hand it waits for that line.";

/// Which provider is changed.
#[derive(Debug, clap::Args)]
struct One {
    /// The provider's whole id, as `umbel provider list` shows it
    #[arg(value_name = "PROVIDER")]
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The newest 1,000 lines of a provider are kept, at most 256 KiB; a provider that is a component logs as other components do.
Where older lines are gone, the first line says how many.

Examples:
  umbel provider logs shop-keyvalue
  umbel provider logs shop-keyvalue -n 1000 --level warn
  umbel provider logs shop-keyvalue -f"
)]
struct Logs {
    /// The provider's id, or a unique beginning of it
    #[arg(value_name = "PROVIDER")]
    id: String,
    #[command(flatten)]
    lines: logs::Lines,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Show { id } => show::run(context, &context.client()?, &id).await,
        Verb::Swap(swap) => swap::run(context, &context.client()?, swap).await,
        Verb::Start(One { id }) => {
            let client = context.client()?;
            let id = exact(&client, &id).await?;
            done(context, context.progress.spin("starting it", client.start_provider(&id)).await?)
        }
        Verb::Stop(One { id }) => {
            let client = context.client()?;
            let id = exact(&client, &id).await?;
            done(context, context.progress.spin("draining it", client.stop_provider(&id)).await?)
        }
        Verb::Restart(One { id }) => {
            let client = context.client()?;
            let id = exact(&client, &id).await?;
            done(context, context.progress.spin("draining it", client.restart_provider(&id)).await?)
        }
        Verb::Logs(Logs { id, lines }) => {
            let client = context.client()?;
            let id = one(&client, &id).await?;
            logs::print(context, &client, lines.query(None, Some(id)), &lines).await
        }
        Verb::List => {
            let providers = context.client()?.providers().await?;
            context.show(&providers, render, |list| list.items.iter().map(|p| p.id.clone()).collect())
        }
        Verb::Run { name } => serve(&name).await,
    }
}

/// Finds a provider that is to be looked at.
async fn one(client: &Client, typed: &str) -> Result<String, Failure> {
    let providers = client.providers().await?.items;
    let ids = providers.iter().map(|provider| provider.id.as_str());
    Ok(names::resolve(typed, ids, "provider", api::NO_SUCH_NAME).map_err(help)?)
}

/// Finds a provider that is to be changed.
async fn exact(client: &Client, typed: &str) -> Result<String, Failure> {
    let providers = client.providers().await?.items;
    let ids = providers.iter().map(|provider| provider.id.as_str());
    Ok(names::exact(typed, ids, "provider", api::NO_SUCH_NAME).map_err(help)?)
}

/// Names of providers are found in their list.
fn help(problem: Problem) -> Problem {
    let meant = problem.help.split_once('?').map(|(meant, _)| format!("{meant}? ")).unwrap_or_default();
    problem.with_help(format!("{meant}list the providers with `umbel provider list`"))
}

fn done(context: &Context, done: Done) -> Result<(), Failure> {
    context.show(&done, |done, _| format!("{}\n", text::neutral(&done.message)), |_| Vec::new())
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
    table(&["PROVIDER", "KIND", "STATE", "RESTARTS", "PID", "MEMORY", "REFERENCE", "NOTE"], &rows, style)
}

fn row(provider: &Provider) -> Vec<Cell> {
    let process = provider.process.as_ref();
    let note = match (&provider.problem, &provider.by_hand) {
        (Some(problem), _) => problem.to_string(),
        (None, _) if let Some(coming) = coming(provider) => coming,
        (None, Some(by_hand)) => by_hand.clone(),
        (None, None) => {
            provider.endpoints.iter().map(|endpoint| endpoint.url.clone()).collect::<Vec<_>>().join(" ")
        }
    };
    vec![
        cell(&provider.id),
        cell(&provider.kind),
        state(&provider.state),
        number(provider.restarts.to_string()),
        process.map_or_else(|| cell(""), |process| number(process.pid.to_string())),
        process.map_or_else(|| cell(""), |process| number(text::bytes(process.memory_bytes))),
        cell(&provider.reference),
        cell(&note),
    ]
}

/// What is about to take its place.
fn coming(provider: &Provider) -> Option<String> {
    let coming = provider.coming.as_ref()?;
    Some(format!("{} ({}) is about to take its place", coming.reference, coming.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn providers_are_a_table() {
        golden::check("provider-list.txt", &render(&golden::input("provider-list.json"), Style::PLAIN));
    }

    #[test]
    fn the_help_names_every_builtin_that_can_be_a_process() {
        let cores = Cores::start(1, "test").unwrap();
        let names: Vec<&str> = daemon::apart(&cores).iter().map(|factory| factory.name()).collect();
        assert!(
            RUN_HELP.replace('\n', " ").contains(&format!(": {}. A platform", names.join(", "))),
            "{names:?}"
        );
    }

    #[test]
    fn whoever_mistypes_a_provider_is_led_to_their_list() {
        let names = ["shop-keyvalue", "shop-http"];
        let problem = names::exact("shop-keyvalu", names, "provider", api::NO_SUCH_NAME).unwrap_err();
        assert_eq!(
            help(problem).help,
            "did you mean `shop-keyvalue`? list the providers with `umbel provider list`"
        );
        let problem = names::exact("x", names, "provider", api::NO_SUCH_NAME).unwrap_err();
        assert_eq!(help(problem).help, "list the providers with `umbel provider list`");
    }
}
