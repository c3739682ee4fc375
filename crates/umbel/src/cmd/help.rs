//! `umbel help`: how to type what; and, because people ask for it here, what `umbel explain` knows.

use super::explain;
use crate::args;
use crate::context::Context;
use crate::fail::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel help
  umbel help deploy                 all options of a verb, with examples
  umbel help link put
  umbel help exit-codes             a concept; `umbel explain` lists them")]
pub(crate) struct Args {
    /// A verb with the word below it, if it has one; or an error code or a concept
    #[arg(value_name = "VERB")]
    words: Vec<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let mut command = args::command();
    // Builds what is global into the verbs.
    command.build();
    let mut found = &mut command;
    for (index, word) in args.words.iter().enumerate() {
        found = match found.find_subcommand_mut(word) {
            Some(verb) => verb,
            None if index == 0 => return explain::show(context, word),
            None => return Err(explain::unknown(&args.words.join(" ")).into()),
        };
    }
    let help = if args.words.is_empty() { found.render_help() } else { found.render_long_help() };
    context.print(&if context.style.colour { help.ansi().to_string() } else { help.to_string() })
}
