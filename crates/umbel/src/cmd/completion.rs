//! `umbel completion`: a script for a shell.

use crate::args::Cli;
use crate::context::Context;
use crate::fail::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel completion bash > ~/.local/share/bash-completion/completions/umbel
  umbel completion zsh > ~/.zfunc/_umbel
  umbel completion fish > ~/.config/fish/completions/umbel.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "umbel", &mut script);
    context.print(&String::from_utf8_lossy(&script))
}
