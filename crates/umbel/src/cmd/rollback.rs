//! `umbel rollback`: an older version of an application.

use super::deploy::{Wait, finish};
use crate::context::Context;
use crate::fail::Failure;
use crate::names;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel rollback hello              the last version before this one that had not failed
  umbel rollback hello v3
  umbel inspect hello               lists the versions")]
pub(crate) struct Args {
    /// The application
    #[arg(value_name = "APP")]
    application: String,
    /// The version; when left out, the last one that was deployed before this one and had not failed
    #[arg(value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let name = names::exact_application(&client, &args.application).await?;
    let deployed = client.rollback(&name, args.version.as_deref()).await?;
    finish(context, &client, &name, deployed.version.unwrap_or_default(), &args.wait).await
}
