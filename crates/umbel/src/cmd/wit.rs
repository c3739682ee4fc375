//! `umbel wit`: what a component imports and exports, as WIT.

use super::inspect::{is_reference, reference};
use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::text::neutral;
use std::path::Path;
use umbel_api::client::Client;
use umbel_api::document::{Wit, WitRequest};
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel wit ./cart.wasm             the interfaces of a file
  umbel wit shop-cart               of a component that runs
  umbel wit shop-cart > cart.wit    to build another component against them")]
pub(crate) struct Args {
    /// A path or reference, or the id of a component
    #[arg(value_name = "COMPONENT|PATH")]
    what: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let request = meant(&client, &args.what).await?;
    let wit = context.progress.spin("looking into it", client.wit(&request)).await?;
    context.show(&wit, |wit, _| shown(wit), |wit| vec![wit.digest.clone()])
}

async fn meant(client: &Client, what: &str) -> Result<WitRequest, Failure> {
    let artifact = |what| Ok(WitRequest { reference: Some(reference(what)?), ..WitRequest::default() });
    if is_reference(what) {
        return artifact(what);
    }
    let components = client.components().await?.items;
    let ids = components.iter().map(|component| component.id.as_str());
    match names::resolve(what, ids, "component", api::NO_SUCH_NAME) {
        Err(problem) if problem.code == api::NO_SUCH_NAME && Path::new(what).is_file() => artifact(what),
        outcome => Ok(WitRequest { component: Some(outcome?), ..WitRequest::default() }),
    }
}

/// Names in a component are what its author wrote: none of them reaches the terminal as it is.
fn shown(wit: &Wit) -> String {
    wit.wit.lines().map(|line| format!("{}\n", neutral(line))).collect()
}
