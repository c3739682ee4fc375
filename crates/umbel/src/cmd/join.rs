//! `umbel join`: a platform that shares the lattice of others.

use crate::cmd::up;
use crate::context::Context;
use crate::fail::Failure;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  umbel join nats://10.0.0.5:4222 --detach         run what the lattice of that server has for this host
  umbel join nats://10.0.0.5:4222 --label zone=b   the same, with a label for placement")]
pub(crate) struct Args {
    /// The NATS server of the lattice: nats://HOST[:PORT], several joined by commas
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    up: up::Args,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    up::run(context, args.up.sharing(args.url)).await
}
