//! What can be typed. Each verb's own arguments are in its file under `cmd/`.

use crate::cmd;
use crate::render::Style;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run WebAssembly components as supervised applications.
#[derive(Debug, Parser)]
#[command(
    name = "umbel",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Begin with `umbel launch`; `umbel help VERB` has examples, `umbel explain` codes and concepts."
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
    /// The state folder [env: UMBEL_STATE, default: umbel in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, global = true, env = "UMBEL_STATE", hide_env = true, value_name = "DIR")]
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
    Up(Box<cmd::up::Args>),
    /// Start the platform on a lattice that other hosts share
    Join(Box<cmd::join::Args>),
    /// Run as a host of wasmCloud 1.x does, configured by its variables and flags
    Host(Box<cmd::host::Args>),
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
    /// Show what components and the platform use, as it happens
    Top(cmd::top::Args),
    /// Show the supervision tree
    Tree(cmd::tree::Args),
    /// Show what components log
    Logs(cmd::logs::Args),
    /// Show what happened on the platform
    Events(cmd::events::Args),
    /// Show the messages of the lattice as they come, decoded
    Spy(cmd::spy::Args),
    /// Look into a component file, an application, a component or a provider
    Inspect(cmd::inspect::Args),
    /// Print the interfaces of a component as WIT
    Wit(cmd::wit::Args),
    /// Call a function of a component that runs
    Call(cmd::call::Args),
    /// Open an application in the browser
    Open(cmd::open::Args),
    /// List and change links
    Link(cmd::link::Args),
    /// Keep, delete and list secrets of components
    Secret(cmd::secret::Args),
    /// List, show, swap, stop and start capability providers
    Provider(cmd::provider::Args),
    /// Make, sign and look into provider archives
    Par(cmd::par::Args),
    /// Fetch a component or provider archive from a registry into a file
    Pull(cmd::pull::Args),
    /// Put a component or provider archive into a registry
    Push(cmd::push::Args),
    /// Check this machine and the platform
    Doctor(cmd::doctor::Args),
    /// Print help: of everything, of a verb, an error code or a concept
    Help(cmd::help::Args),
    /// Explain an error code or a concept
    Explain(cmd::explain::Args),
    /// Print a completion script for a shell
    Completion(cmd::completion::Args),
    /// Print versions
    Version(cmd::version::Args),
}

/// The exit code of clap for what it does not understand.
const NOT_UNDERSTOOD: u8 = 2;

/// The verbs as the first help shows them: those of every day on top.
const GROUPS: &[(&str, &[&str])] = &[
    ("Every day", &["launch", "deploy", "ps", "logs", "open", "down"]),
    (
        "Applications",
        &[
            "undeploy", "rollback", "inspect", "wit", "call", "link", "secret", "provider", "par", "pull",
            "push",
        ],
    ),
    ("The platform", &["up", "join", "host", "top", "tree", "events", "spy", "doctor"]),
    ("Help and scripts", &["help", "explain", "completion", "version"]),
];

/// The command line, with its verbs in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let width = command.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or(0);
    let heading = command.get_styles().get_header();
    let mut verbs = String::new();
    for (group, names) in GROUPS {
        verbs.push_str(&format!("{heading}{group}:{heading:#}\n"));
        for verb in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let literal = command.get_styles().get_literal();
            let name = verb.get_name();
            verbs.push_str(&format!(
                "  {literal}{name}{literal:#}{:pad$}{about}\n",
                "",
                pad = width + 2 - name.len()
            ));
        }
        verbs.push('\n');
    }
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{verbs}{{options}}{{after-help}}");
    command.help_template(template)
}

/// Reads what was typed. What is not understood ends the process as clap does; where nothing was typed, the verbs are a better
/// answer than that one is missing.
pub(crate) fn parse(typed: impl ExactSizeIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let mut command = command();
    if cmd::host::is_meant() {
        let words = typed.chain([OsString::from("host")]);
        let matches = command.try_get_matches_from_mut(words).unwrap_or_else(|error| error.exit());
        return Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit()));
    }
    if typed.len() <= 1 {
        let help = command.render_help();
        let text = if Style::of_stderr().colour { help.ansi().to_string() } else { help.to_string() };
        // Nobody can be told that stderr is closed.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
        return Err(ExitCode::from(NOT_UNDERSTOOD));
    }
    let matches = command.try_get_matches_from_mut(typed).unwrap_or_else(|error| error.exit());
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit()))
}

#[cfg(test)]
mod tests;
