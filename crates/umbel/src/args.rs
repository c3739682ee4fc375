//! What can be typed. Each verb's own arguments are in its file under `cmd/`.

use crate::cmd;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Run WebAssembly components as supervised applications.
#[derive(Debug, Parser)]
#[command(
    name = "umbel",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Begin with `umbel launch`. Every command has examples in its --help; \
                  `umbel explain` lists error codes and concepts."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The state folder of the platform [default: $XDG_STATE_HOME/umbel or ~/.local/state/umbel]
    #[arg(long, global = true, env = "UMBEL_STATE", hide_env_values = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The form of the result
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub(crate) output: Output,
    /// Show no progress, only results and failures
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The form of results on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// One JSON document with its `$type`
    Json,
    /// One JSON document per line and entry
    Jsonl,
    /// The same as YAML
    Yaml,
    /// Names only, one per line
    Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the platform if none runs, deploy a component or application, and print its URL
    Launch(cmd::launch::Args),
    /// Start the platform
    Up(cmd::up::Args),
    /// Stop the platform
    Down(cmd::down::Args),
    /// Deploy an application from its manifest
    Deploy(cmd::deploy::Args),
    /// Stop an application; its versions are kept
    Undeploy(cmd::undeploy::Args),
    /// Deploy an older version of an application
    Rollback(cmd::rollback::Args),
    /// List applications and what they run
    Ps(cmd::ps::Args),
    /// Show the supervision tree
    Tree(cmd::tree::Args),
    /// Show what components log
    Logs(cmd::logs::Args),
    /// Show what happened on the platform
    Events(cmd::events::Args),
    /// Look into a component file, an application, a component or a provider
    Inspect(cmd::inspect::Args),
    /// Open an application in the browser
    Open(cmd::open::Args),
    /// List and change links
    Link(cmd::link::Args),
    /// Check this machine and the platform
    Doctor(cmd::doctor::Args),
    /// Explain an error code or a concept
    Explain(cmd::explain::Args),
    /// Print a completion script for a shell
    Completion(cmd::completion::Args),
    /// Print versions
    Version(cmd::version::Args),
}

#[cfg(test)]
mod tests;
