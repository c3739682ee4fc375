//! `umbel tree`: the supervision tree.

use crate::context::Context;
use crate::fail::Failure;
use crate::render::tree::render;
use umbel_api::document::TreeList;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel tree
  umbel tree -w                     look again until Ctrl-C
  umbel tree -o json")]
pub(crate) struct Args {
    /// Show it again whenever it changes
    #[arg(short, long)]
    watch: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    if args.watch {
        return super::watch::repeat(context, async || {
            let trees = client.tree().await?;
            Ok(context.form(&trees, render, names))
        })
        .await;
    }
    let trees = context.progress.spin("asking the hosts", client.tree()).await?;
    context.show(&trees, render, names)
}

fn names(trees: &TreeList) -> Vec<String> {
    trees.items.iter().map(|tree| tree.host_id.clone()).collect()
}
